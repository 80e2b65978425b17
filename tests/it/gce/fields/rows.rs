//! The table: the row of FEATURES.md, ClearML's field, the setting, what is on the wire, and what is said of a wrong value.
//!
//! What only a whole program shows is elsewhere: the next machine type after a no in `plan`'s own tests, the zones that Google's error
//! names in `launches`, the warning of a broad scope and the metadata service's token in `main_job::clouds`, the secret that a
//! machine fetches in `guard::secrets`.

use serde_json::{Value, json};
use tidegate::model::settings::Market;

use Wire::{Asked, Body, NotSaid, Said, Script};

/// What is on the wire.
pub(super) enum Wire {
    /// At this place of the body.
    Body(&'static str, Value),
    /// A parameter of the path or the query.
    Asked(&'static str, &'static str),
    /// Metadata of this name, in the body.
    Said(&'static str, &'static str),
    /// In the boot script.
    Script(&'static str),
    /// Nowhere in the boot script.
    NotSaid(&'static str),
}

/// One setting.
pub(super) struct Row {
    pub(super) feature: u32,
    /// As ClearML's form calls it; in brackets what it does unasked.
    pub(super) theirs: &'static str,
    /// What it needs beside it.
    pub(super) with: &'static [(&'static str, &'static str)],
    pub(super) key: &'static str,
    /// As TOML.
    pub(super) value: &'static str,
    pub(super) wire: Vec<Wire>,
    pub(super) wrong: &'static str,
    /// The value, what is right, and often what to write.
    pub(super) told: &'static str,
    /// Where the plan did not buy what the pool would: after a rollback.
    pub(super) bought: Option<Market>,
}

fn row(
    (feature, theirs): (u32, &'static str),
    (key, value): (&'static str, &'static str),
    wire: Vec<Wire>,
    (wrong, told): (&'static str, &'static str),
) -> Row {
    Row { feature, theirs, with: &[], key, value, wire, wrong, told, bought: None }
}

impl Row {
    fn with(self, with: &'static [(&'static str, &'static str)]) -> Self {
        Self { with, ..self }
    }
}

const MACHINE_TYPE: &str = "/machineType";
const SUBNET: &str = "/networkInterfaces/0/subnetwork";
const IMAGE: &str = "/disks/0/initializeParams/sourceImage";
const GPUS: &str = "/guestAccelerators/0";
const BOUGHT: &str = "/scheduling/provisioningModel";

const T4: &[(&str, &str)] = &[("pool.l4.gpu_type", r#""nvidia-tesla-t4""#)];
const SPOT: &[(&str, &str)] = &[("pool.l4.market", r#""spot""#)];
const SCOPED: &[(&str, &str)] = &[("pool.l4.scopes", r#"["logging.write"]"#)];
const DEFAULT: &[(&str, &str)] = &[("pool.l4.service_account", r#""default""#)];
const DOCKER: &[(&str, &str)] = &[("pool.l4.docker", "true")];
const MAY_READ: &[(&str, &str)] = &[
    ("pool.l4.service_account", r#""tasks@lab-1.iam.gserviceaccount.com""#),
    ("pool.l4.scopes", r#"["cloud-platform"]"#),
];

const NO_PLACE: &str = "the value (not shown, it may be a secret) is not `ssm:NAME` or `secretsmanager:NAME` of AWS's, or \
                        `secretmanager:NAME` of Google's";

pub(super) fn rows() -> Vec<Row> {
    [what_it_is(), where_it_stands(), what_it_has(), how_it_is_bought(), what_it_runs(), whose_it_is()]
        .into_iter()
        .flatten()
        .collect()
}

fn what_it_is() -> Vec<Row> {
    vec![
        row(
            (19, "GCP Machine Type"),
            ("pool.l4.types", r#"["e2-standard-4", "e2-standard-8"]"#),
            vec![Body(MACHINE_TYPE, json!("zones/us-central1-a/machineTypes/e2-standard-4"))],
            (r#"["a b"]"#, "`a b` is not a machine type, such as"),
        ),
        row(
            (20, "Run in CPU mode"),
            ("pool.l4.cpu_only", "true"),
            vec![Script("daemon --cpu-only")],
            (r#""yes""#, "`yes` is not true or false"),
        ),
        row(
            (21, "GPU Type"),
            ("pool.l4.gpu_type", r#""nvidia-tesla-v100""#),
            vec![
                Body(
                    GPUS,
                    json!({"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-v100", "acceleratorCount": 1}),
                ),
                // No machine takes its GPUs along to another host.
                Body("/scheduling/onHostMaintenance", json!("TERMINATE")),
            ],
            (r#""Tesla V100""#, "`Tesla V100` is not a type of GPUs, such as `nvidia-tesla-t4`"),
        ),
        row(
            (21, "GPU Type"),
            ("pool.l4.gpu_count", "4"),
            vec![Body("/guestAccelerators/0/acceleratorCount", json!(4))],
            ("0", "`0` is not in 1..16"),
        )
        .with(T4),
        row(
            (22, "Machine Image"),
            ("pool.l4.image", r#""tasks-3""#),
            vec![Body(IMAGE, json!("global/images/tasks-3"))],
            (
                r#""a b""#,
                "`a b` is not an image: a whole path, `family/NAME` for the newest of a family, or the name of one of the",
            ),
        ),
        row(
            (22, "Machine Image"),
            ("pool.l4.image", r#""projects/debian-cloud/global/images/family/debian-12""#),
            vec![Body(IMAGE, json!("projects/debian-cloud/global/images/family/debian-12"))],
            (r#""families/x""#, "`families/x` is not an image"),
        ),
        row(
            (22, "Machine Image"),
            ("pool.l4.machine_image", r#""golden""#),
            vec![Asked("sourceMachineImage", "global/machineImages/golden"), Body("/disks", Value::Null)],
            (r#""family/golden""#, "`family/golden` is not the name or the path of a machine image"),
        )
        .with(&[("pool.l4.image", "")]),
    ]
}

fn where_it_stands() -> Vec<Row> {
    vec![
        row(
            (24, "GCP Project ID"),
            ("account.lab.project", r#""lab-2""#),
            vec![Asked("project", "lab-2")],
            (r#""Lab 2""#, "`Lab 2` is not the id of a project, such as"),
        )
        .with(&[("pool.l4.account", r#""lab""#)]),
        row(
            (24, "GCP Zone"),
            ("pool.l4.zones", r#"["us-central1-f", "us-central1-a"]"#),
            vec![
                Asked("zone", "us-central1-f"),
                Body(MACHINE_TYPE, json!("zones/us-central1-f/machineTypes/n1-standard-8")),
            ],
            (r#"["us-east1-b"]"#, "`us-east1-b` is not a zone of us-central1"),
        ),
        row(
            (24, "GCP Subnet Name"),
            ("pool.l4.subnets", r#"["tasks"]"#),
            vec![Body(SUBNET, json!("regions/us-central1/subnetworks/tasks"))],
            (r#"["a", "b"]"#, "Compute Engine has one subnet for all zones of a region: name one"),
        ),
        row(
            (24, "Use full subnet path; Subnet Full Path"),
            ("pool.l4.subnets", r#"["projects/host/regions/us-central1/subnetworks/x"]"#),
            vec![Body(SUBNET, json!("projects/host/regions/us-central1/subnetworks/x"))],
            (r#"["a b"]"#, "`a b` is not a subnet, such as"),
        ),
        row(
            (24, "[its address]"),
            ("pool.l4.public_address", "true"),
            vec![Body(
                "/networkInterfaces/0/accessConfigs",
                json!([{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]),
            )],
            (r#""yes""#, "`yes` is not true or false"),
        ),
        row(
            (24, "[firewall tags]"),
            ("pool.l4.network_tags", r#"["a", "b"]"#),
            vec![Body("/tags/items", json!(["a", "b"]))],
            (r#"["A"]"#, "`A` is not a network tag: small letters, digits and `-`"),
        ),
        row(
            (40, "[region of the zone]"),
            ("pool.l4.region", r#""us-central1""#),
            vec![Asked("zone", "us-central1-a")],
            (r#""a b""#, "`a b` is not a region, such as"),
        ),
    ]
}

fn what_it_has() -> Vec<Row> {
    vec![
        row(
            (26, "Disc Size (in GB)"),
            ("pool.l4.disk_gb", "200"),
            vec![
                Body("/disks/0/initializeParams/diskSizeGb", json!("200")),
                // It ends with its machine.
                Body("/disks/0/autoDelete", json!(true)),
            ],
            ("0", "`0` is not in 1..65536"),
        ),
        row(
            (26, "[disk type]"),
            ("pool.l4.boot_disk_type", r#""pd-ssd""#),
            vec![Body("/disks/0/initializeParams/diskType", json!("zones/us-central1-a/diskTypes/pd-ssd"))],
            (r#""gp3""#, "`gp3` is not one of `pd-standard`, `pd-balanced`, `pd-ssd`"),
        ),
        row(
            (27, "Metadata"),
            ("pool.l4.metadata", r#"{ enable-oslogin = "TRUE" }"#),
            vec![Said("enable-oslogin", "TRUE")],
            (r#"{ startup-script = "x" }"#, "`startup-script` is not a name of metadata"),
        ),
        row(
            (27, "Global Metadata"),
            ("loop.gce_metadata", r#"{ owner = "ml", team = "all" }"#),
            vec![Said("owner", "ml"), Said("team", "vision")],
            (r#"{ "tidegate-fleet" = "x" }"#, "`tidegate-fleet` is not a name of metadata"),
        )
        // Of the same name the pool's own counts.
        .with(&[("pool.l4.metadata", r#"{ team = "vision" }"#)]),
        row(
            (27, "[labels]"),
            ("pool.l4.labels", r#"{ team = "vision" }"#),
            vec![
                Body("/labels/team", json!("vision")),
                Body("/labels/tidegate-intent", json!("b1_2e0")),
                Body("/disks/0/initializeParams/labels/team", json!("vision")),
            ],
            (r#"{ Team = "x" }"#, "`Team` is not a label's name"),
        ),
        row(
            (29, "Use the default GCP Service Account"),
            ("pool.l4.service_account", r#""default""#),
            vec![Body("/serviceAccounts/0/email", json!("default"))],
            (r#""me""#, "`me` is not a service account: its address, or `default`"),
        )
        .with(SCOPED),
        row(
            (29, "Service Account Email"),
            ("pool.l4.service_account", r#""tasks@lab-1.iam.gserviceaccount.com""#),
            vec![Body("/serviceAccounts/0/email", json!("tasks@lab-1.iam.gserviceaccount.com"))],
            (r#""tasks@""#, "`tasks@` is not a service account: its address, or `default`"),
        )
        .with(SCOPED),
        row(
            (29, "Service Account Scopes"),
            ("pool.l4.scopes", r#"["cloud-platform"]"#),
            vec![Body("/serviceAccounts/0/scopes", json!(["https://www.googleapis.com/auth/cloud-platform"]))],
            (r#"["a b"]"#, "`a b` is not an access scope, such as `devstorage.read_only`"),
        )
        .with(DEFAULT),
    ]
}

fn how_it_is_bought() -> Vec<Row> {
    let gone =
        |market| vec![Body(BOUGHT, json!(market)), Body("/scheduling/instanceTerminationAction", json!("DELETE"))];
    vec![
        row(
            (31, "Use Preemptible Instance"),
            ("pool.l4.market", r#""spot""#),
            gone("SPOT"),
            (r#""cheap""#, "`cheap` is not one of `on-demand`, `spot`"),
        ),
        row(
            (31, "Preemptible Provision Model"),
            ("pool.l4.provisioning", r#""preemptible""#),
            vec![Body(
                "/scheduling",
                json!({"preemptible": true, "automaticRestart": false, "onHostMaintenance": "TERMINATE"}),
            )],
            (r#""legacy""#, "`legacy` is not one of `spot`, `preemptible`"),
        )
        .with(SPOT),
        Row {
            bought: Some(Market::OnDemand),
            ..row(
                (32, "Regular Instance Rollback; Timeout"),
                ("pool.l4.spot_rollback", r#""10m""#),
                gone("STANDARD"),
                (r#""8d""#, "`8d` is not in 0s..7d"),
            )
        }
        .with(SPOT),
        Row {
            bought: Some(Market::OnDemand),
            ..row(
                (32, "Preemptible Instance Blackout Period"),
                ("pool.l4.spot_blackout", r#""5m""#),
                gone("STANDARD"),
                (r#""0s""#, "`0s` is not in 1s..1d"),
            )
        }
        .with(SPOT),
        row(
            (31, "[dead-man]"),
            ("pool.l4.max_life", r#""2h""#),
            vec![
                // Two hours, and a quarter in which it ends itself.
                Body("/scheduling/maxRunDuration/seconds", json!("8100")),
                Body("/scheduling/instanceTerminationAction", json!("DELETE")),
                Body("/scheduling/automaticRestart", json!(false)),
                Script("MAX_LIFE='7200'"),
            ],
            (r#""120d""#, "is more than 119d, the most that Google takes"),
        ),
    ]
}

fn what_it_runs() -> Vec<Row> {
    vec![
        row(
            (34, "Use docker mode"),
            ("pool.l4.docker", "true"),
            vec![Script("daemon --docker --foreground")],
            (r#""img""#, "`img` is not true or false"),
        ),
        row(
            (34, "Base Docker Image"),
            ("pool.l4.docker_image", r#""python:3.12""#),
            vec![Script("--docker 'python:3.12' --foreground")],
            (r#""-x""#, "`-x` is not the name of a container's image, such as"),
        )
        .with(DOCKER),
        row(
            (34, "[behind the image]"),
            ("pool.l4.docker_arguments", r#"["--ipc=host"]"#),
            vec![Script("DOCKER_ARGUMENTS=''\\''--ipc=host'\\'''")],
            (r#"[" "]"#, "is not one argument"),
        )
        .with(DOCKER),
        row(
            (35, "Git User; Git Password / Personal Access Token"),
            ("pool.l4.git_credentials", r#""secretmanager:git""#),
            vec![Script("GIT='secretmanager:git'"), Script("secretmanager.googleapis.com"), NotSaid("AWS4-HMAC")],
            (r#""robot:hush""#, NO_PLACE),
        )
        .with(MAY_READ),
        row(
            (38, "[ClearML's own key]"),
            ("pool.l4.agent_credentials", r#""secretmanager:projects/keys/secrets/agents/versions/3""#),
            vec![
                Script("TOKEN=''\nCREDENTIALS='secretmanager:projects/keys/secrets/agents/versions/3'"),
                NotSaid("t0ken-of-the-agents"),
            ],
            (r#""KEY:hush""#, NO_PLACE),
        )
        .with(MAY_READ),
        row(
            (36, "Init Script"),
            ("pool.l4.init_script", r#""echo hello""#),
            vec![Script("INIT_SCRIPT='echo hello'")],
            (r#""\u0000""#, "is not a text without a zero byte"),
        ),
        row(
            (36, "Exclude .bashrc script"),
            ("pool.l4.agent_version", r#""3.0.2""#),
            vec![Script("AGENT_VERSION='3.0.2'"), NotSaid("bashrc"), NotSaid(".profile"), NotSaid("bash -l")],
            (r#""latest""#, "`latest` is not an exact version, such as"),
        ),
        row(
            (36, "[the agent, pinned with hashes]"),
            ("pool.l4.agent_requirements", PINNED),
            vec![Script("REQUIREMENTS='clearml-agent==3.0.3 --hash=sha256:b5bb9d80")],
            (r#"["clearml-agent==3.0.3"]"#, "is not a version with the hashes of its files"),
        ),
        row(
            (36, "[more arguments of the agent]"),
            ("pool.l4.agent_arguments", r#"["--standalone-mode"]"#),
            vec![Script("--foreground '--standalone-mode' --queue")],
            (r#"["--docker"]"#, "`--docker` is not for here: set it by `docker` and `docker_image`"),
        ),
        row(
            (36, "[several agents]"),
            ("pool.l4.agents_per_machine", "4"),
            vec![Script("AGENTS='4'\nSHARE_GPUS='yes'")],
            ("17", "`17` is not in 1..16"),
        ),
        row(
            (36, "[the guard]"),
            ("pool.l4.guard", r#""hold""#),
            vec![Script("GUARD='hold'")],
            (r#""none""#, "`none` is not one of `gate`"),
        ),
        row(
            (37, "Additional ClearML Configuration"),
            ("pool.l4.extra_clearml_conf", r#""agent.x: 1""#),
            vec![Script("CONF='agent.x: 1'")],
            (r#""agent {""#, "the text at its line 1, column 8 is not HOCON: it ends too early"),
        ),
    ]
}

const PINNED: &str =
    r#"["clearml-agent==3.0.3 --hash=sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"]"#;

fn whose_it_is() -> Vec<Row> {
    vec![
        row(
            (39, "Workers Prefix"),
            ("loop.fleet", r#""lab""#),
            vec![
                Script("WORKER_PREFIX='lab:l4:n1-standard-8'"),
                Script("MACHINE='tidegate-b1-0'"),
                Body("/labels/tidegate-fleet", json!("lab")),
            ],
            (r#""a:b""#, "`a:b` is not a name, such as `research`: not empty, without spaces, `:` and `/`"),
        ),
        row(
            (40, "GCP Credentials"),
            ("account.lab.credentials", r#""file:/etc/tidegate/google.json""#),
            vec![Asked("project", "lab-1"), NotSaid("google.json")],
            (
                r#""{\"type\": \"service_account\"}""#,
                "the value (not shown, it may be a secret) is not `env:NAME` or `file:PATH`, the place where a secret is",
            ),
        )
        .with(&[("pool.l4.account", r#""lab""#)]),
        row(
            (40, "GCP Credentials"),
            ("pool.l4.account", r#""lab""#),
            vec![Asked("project", "lab-1")],
            (r#""labs""#, "no account is called `labs` in these settings: did you mean `lab`?"),
        ),
    ]
}

//! What a provider has, and what it does not: of each setting of a pool that only one of them knows.

use jiff::SignedDuration;

use crate::model::ids::MachineType;
use crate::model::settings::agent::store_of;
use crate::model::settings::fields;
use crate::model::settings::gce::has_own_gpus;
use crate::model::settings::kubernetes;
use crate::model::settings::{AccountSettings, Market, PoolSettings, Provider, Provisioning, Settings};
use crate::model::span::Exact;

const OF_AWS: [&str; 17] = [
    "ami",
    "ami_owner",
    "security_groups",
    "key_name",
    "instance_profile",
    "disk_device",
    "disk_type",
    "disk_iops",
    "disk_throughput",
    "disk_encrypted",
    "disk_snapshot",
    "volumes",
    "monitoring",
    "spot_max_price",
    "spot_strategy",
    "tags",
    "run_instances",
];

const OF_GCE: [&str; 11] = [
    "image",
    "machine_image",
    "gpu_type",
    "gpu_count",
    "boot_disk_type",
    "network_tags",
    "labels",
    "metadata",
    "service_account",
    "scopes",
    "provisioning",
];

const OF_KUBERNETES: [&str; 16] = [
    "context",
    "namespace",
    "pod_template",
    "pod_image",
    "task_image",
    "pod_cpu",
    "pod_memory",
    "pod_gpus",
    "gpu_resource",
    "node_selector",
    "tolerations",
    "priority_class",
    "pod_service_account",
    "pending_queue",
    "pending_timeout",
    "local_queue",
];

const OF_EXEC: [&str; 3] = ["machine_vcpu", "machine_gpus", "machine_options"];

/// What a program's machines have not: where they are and what they are made of is the program's matter.
const NOT_OF_EXEC: [&str; 3] = ["public_address", "subnets", "disk_gb"];

/// What every machine has, and a pod has not: it has one task, and ends with it.
const OF_MACHINES: [&str; 27] = [
    "account",
    "market",
    "min",
    "keep_alive",
    "on_idle",
    "max_stopped",
    "stopped_for",
    "replace_drifted",
    "max_boot",
    "max_silence",
    "public_address",
    "subnets",
    "zones",
    "disk_gb",
    "spot_rollback",
    "spot_blackout",
    "spot_retry",
    "docker",
    "docker_image",
    "docker_arguments",
    "agents_per_machine",
    "agent_arguments",
    "agent_credentials",
    "git_credentials",
    "agent_requirements",
    "guard",
    "cpu_only",
];

/// The end of the scope that the Secret Manager asks for.
const ALL_SCOPES: &str = "/auth/cloud-platform";

/// Google's limit on the life of a machine that ends by itself is 120 days; ours ends a little earlier.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24 * 119);

/// What does not hold of a pool for its provider's sake, by the fields to mend.
pub(super) fn complaints(settings: &Settings, pool: &PoolSettings) -> Vec<(&'static str, String)> {
    let others: &[&[&str]] = match pool.provider {
        Provider::Aws => &[&OF_GCE, &OF_KUBERNETES, &OF_EXEC],
        Provider::Gce => &[&OF_AWS, &OF_KUBERNETES, &OF_EXEC],
        Provider::Kubernetes => &[&OF_AWS, &OF_GCE, &OF_MACHINES, &OF_EXEC],
        Provider::Exec => &[&OF_AWS, &OF_GCE, &OF_KUBERNETES, &NOT_OF_EXEC],
    };
    let foreign = fields::set_in(pool).filter(|field| others.iter().any(|names| names.contains(field)));
    let mut complaints: Vec<_> =
        foreign.map(|field| (field, format!("is not for provider = \"{}\"", pool.provider.word()))).collect();
    if pool.provider != Provider::Kubernetes {
        complaints.extend(of_clouds(pool));
    }
    match pool.provider {
        Provider::Kubernetes => complaints.extend(of_kubernetes(pool)),
        Provider::Aws if pool.launch.ami.is_empty() => {
            complaints.push(("ami", "is missing: write `ami = \"ami-0123456789abcdef0\"`".to_owned()));
        }
        Provider::Aws => {}
        Provider::Gce => complaints.extend(of_gce(pool)),
        Provider::Exec => {
            let account = pool.account.as_ref().and_then(|account| settings.account(account));
            let missing = "is missing: name a section [account.NAME] with a program".to_owned();
            let has_program = account.is_none_or(|account| account.program.is_some());
            complaints.extend(pool.account.is_none().then_some(("account", missing)));
            complaints.extend((!has_program).then(|| ("account", "has no program".to_owned())));
        }
    }
    complaints.extend(of_secrets(pool));
    let account = pool.account.as_ref().and_then(|account| settings.account(account));
    let set = account.into_iter().flat_map(set_for_another(pool.provider));
    complaints
        .extend(set.map(|field| ("account", format!("has a {field}, which is not for {}", pool.provider.word()))));
    complaints
}

/// What every cloud needs.
fn of_clouds(pool: &PoolSettings) -> impl Iterator<Item = (&'static str, String)> {
    let missing = |what: &str| format!("is missing: write `{what}`");
    // A program has one place unless it is told another.
    let needs_region = pool.region.is_empty() && pool.provider != Provider::Exec;
    let region = needs_region.then(|| ("region", missing("region = \"us-east-1\"")));
    let types = pool.types.is_empty().then(|| ("types", missing("types = [\"g5.xlarge\", \"g5.2xlarge\"]")));
    region.into_iter().chain(types)
}

fn of_kubernetes(pool: &PoolSettings) -> impl Iterator<Item = (&'static str, String)> {
    let cluster = &pool.launch.kubernetes;
    let said = |field, said: bool| said.then(|| (field, "is not for provider = \"kubernetes\"".to_owned()));
    let region = said("region", !pool.region.is_empty() && pool.region != cluster.site());
    let types = said("types", !pool.types.is_empty() && pool.types != [MachineType::new(kubernetes::POD)]);
    let namespace = cluster.namespace.is_none();
    let namespace = namespace.then(|| ("namespace", "is missing: write `namespace = \"ml-tasks\"`".to_owned()));
    let image = cluster.image.is_none() && cluster.template.is_none();
    let image = image.then(|| {
        ("pod_image", "is missing: write `pod_image = \"python:3.12\"`, or name one in a pod_template".to_owned())
    });
    [region, types, namespace, image].into_iter().flatten()
}

/// A machine reads its secrets with who it is in its own cloud.
fn of_secrets(pool: &PoolSettings) -> Vec<(&'static str, String)> {
    let gce = &pool.launch.gce;
    let may_ask = gce.whole_scopes().any(|scope| scope.ends_with(ALL_SCOPES));
    let mut complaints = Vec::new();
    for (field, place) in pool.agent.secrets() {
        let Some((provider, store)) = store_of(place) else { continue };
        let word = pool.provider.word();
        let says = match (pool.provider, provider) {
            (Provider::Exec, _) => format!("`{store}:` is a cloud's store: a machine of a program's has none"),
            (Provider::Aws, Provider::Gce) => {
                format!("`{store}:` is Google's store: a machine of {word} reads `ssm:NAME` or `secretsmanager:NAME`")
            }
            (Provider::Gce, Provider::Aws) => {
                format!("`{store}:` is AWS's store: a machine of {word} reads `secretmanager:NAME`")
            }
            (Provider::Aws, Provider::Aws) if pool.launch.instance_profile.is_none() => {
                "no instance_profile is there, with whose role a machine could read it".to_owned()
            }
            (Provider::Gce, Provider::Gce) if gce.service_account.is_none() => {
                "no service_account is there, with which a machine could read it".to_owned()
            }
            (Provider::Gce, Provider::Gce) if !may_ask => {
                "the pool's scopes keep a machine from the Secret Manager: it takes `cloud-platform` only; what the machine may do \
                 then is what the roles of its service_account say"
                    .to_owned()
            }
            _ => continue,
        };
        complaints.push((field, says));
    }
    complaints
}

/// The settings of an account that this provider does not know.
fn set_for_another(provider: Provider) -> impl Fn(&AccountSettings) -> Vec<&'static str> {
    move |account| {
        let set = match provider {
            Provider::Aws => vec![("project", account.project.is_some()), ("program", account.program.is_some())],
            Provider::Gce => vec![
                ("profile", account.profile.is_some()),
                ("role_arn", account.role_arn.is_some()),
                ("external_id", account.external_id.is_some()),
                ("program", account.program.is_some()),
            ],
            Provider::Exec => vec![
                ("profile", account.profile.is_some()),
                ("credentials", account.credentials.is_some()),
                ("role_arn", account.role_arn.is_some()),
                ("external_id", account.external_id.is_some()),
                ("project", account.project.is_some()),
            ],
            // It has no account, and says so.
            Provider::Kubernetes => Vec::new(),
        };
        set.into_iter().filter(|(_, set)| *set).map(|(field, _)| field).collect()
    }
}

fn of_gce(pool: &PoolSettings) -> Vec<(&'static str, String)> {
    let (launch, gce) = (&pool.launch, &pool.launch.gce);
    let in_region = |zone: &String| zone.rsplit_once('-').is_some_and(|(region, _)| region == pool.region);
    let elsewhere = launch.zones.iter().find(|zone| !in_region(zone));
    let with_gpus = pool.types.iter().find(|kind| gce.gpu_type.is_some() && has_own_gpus(kind.as_str()));
    let life = Exact(LONGEST_LIFE);
    let on_demand = pool.market == Market::OnDemand;
    [
        launch.zones.is_empty().then(|| ("zones", format!("is missing: write `zones = [\"{}-a\"]`", pool.region))),
        elsewhere.map(|zone| ("zones", format!("`{zone}` is not a zone of {}", pool.region))),
        (launch.subnets.len() > 1)
            .then(|| ("subnets", "Compute Engine has one subnet for all zones of a region: name one".to_owned())),
        (gce.image.is_none() && gce.machine_image.is_none())
            .then(|| ("image", "is missing: write `image = \"family/NAME\"`, or name a machine_image".to_owned())),
        (gce.image.is_some() && gce.machine_image.is_some())
            .then(|| ("machine_image", "an image is named too: keep one of them".to_owned())),
        (gce.machine_image.is_some() && launch.disk_gb.is_some())
            .then(|| ("disk_gb", "a machine image brings its own disks".to_owned())),
        (gce.machine_image.is_some() && gce.disk_kind.is_some())
            .then(|| ("boot_disk_type", "a machine image brings its own disks".to_owned())),
        (gce.gpu_count.is_some() && gce.gpu_type.is_none())
            .then(|| ("gpu_count", "no gpu_type is there, of which so many could be attached".to_owned())),
        with_gpus.map(|kind| ("gpu_type", format!("`{kind}` has GPUs of its own"))),
        (!gce.scopes.is_empty() && gce.service_account.is_none())
            .then(|| ("scopes", "no service_account is there, for which they would count".to_owned())),
        (gce.scopes.is_empty() && gce.service_account.is_some())
            .then(|| ("service_account", "no scopes are there, without which it may do nothing".to_owned())),
        (gce.provisioning == Provisioning::Preemptible && on_demand)
            .then(|| ("provisioning", "`preemptible` is for market = \"spot\" only".to_owned())),
        (pool.max_life > LONGEST_LIFE)
            .then(|| ("max_life", format!("is more than {life}, the most that Google takes"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

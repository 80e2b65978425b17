//! Every launch field of ClearML's GCP autoscaler (FEATURES rows 19 to 41): the setting, what it is on the wire, and what
//! is said of a wrong value.

use serde_json::{Value, json};
use tidegate::model::settings::{Edit, Provider, Settings};
use tidegate::store::settings::SettingsFile;
use tidegate::world::cloud::{Cloud, LaunchOrder};

use crate::gce::fake::Fake;
use crate::gce::schema::Call;
use crate::gce::{gce, order};

const BASE: &str = r#"
[loop]
fleet = "research"
[account.lab]
project = "lab-1"
[account.amazon]
profile = "x"
[queue.train]
pools = ["l4"]
[pool.l4]
provider = "gce"
region = "us-central1"
zones = ["us-central1-a", "us-central1-c"]
types = ["n1-standard-8"]
image = "family/tasks"
"#;

/// One field.
struct Row {
    /// The row of the list of features.
    feature: u32,
    key: &'static str,
    value: &'static str,
    /// Other settings that it needs.
    with: &'static [(&'static str, &'static str)],
    /// Where in the body of the call, and what is there.
    wire: (&'static str, Value),
    wrong: &'static str,
    said: &'static str,
}

fn row(
    feature: u32,
    key: &'static str,
    value: &'static str,
    wire: (&'static str, Value),
    wrong: &'static str,
    said: &'static str,
) -> Row {
    Row { feature, key, value, with: &[], wire, wrong, said }
}

const MACHINE_TYPE: &str = "/machineType";
const SUBNET: &str = "/networkInterfaces/0/subnetwork";
const SOURCE_IMAGE: &str = "/disks/0/initializeParams/sourceImage";
const WHOLE: &str = "projects/host/regions/us-central1/subnetworks/x";
const T4: &[(&str, &str)] = &[("gpu_type", "nvidia-tesla-t4")];
const SPOT: &[(&str, &str)] = &[("market", "spot")];
const SCOPED: &[(&str, &str)] = &[("scopes", "logging.write")];
const DEFAULT: &[(&str, &str)] = &[("service_account", "default")];
const SCRIPT: &str = "startup-script";

fn rows() -> Vec<Row> {
    what_it_is().into_iter().chain(what_it_has()).chain(what_it_does()).collect()
}

fn what_it_is() -> Vec<Row> {
    vec![
        row(
            19,
            "types",
            "e2-standard-4, e2-standard-8",
            (MACHINE_TYPE, json!("zones/us-central1-a/machineTypes/e2-standard-4")),
            "a b",
            "is not a machine type",
        ),
        row(20, "cpu_only", "true", (SCRIPT, json!("--cpu-only")), "yes", "is not true or false"),
        row(
            21,
            "gpu_type",
            "nvidia-tesla-v100",
            (
                "/guestAccelerators/0",
                json!({"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-v100", "acceleratorCount": 1}),
            ),
            "Tesla V100",
            "`Tesla V100` is not a type of GPUs",
        ),
        Row {
            with: T4,
            ..row(21, "gpu_count", "4", ("/guestAccelerators/0/acceleratorCount", json!(4)), "0", "is not in 1..16")
        },
        row(22, "image", "tasks-3", (SOURCE_IMAGE, json!("global/images/tasks-3")), "a b", "`a b` is not an image"),
        row(
            22,
            "image",
            "projects/debian-cloud/global/images/family/debian-12",
            (SOURCE_IMAGE, json!("projects/debian-cloud/global/images/family/debian-12")),
            "families/x",
            "is not an image",
        ),
    ]
}

fn what_it_has() -> Vec<Row> {
    vec![
        row(
            24,
            "zones",
            "us-central1-f",
            (MACHINE_TYPE, json!("zones/us-central1-f/machineTypes/n1-standard-8")),
            "us-east1-b",
            "`us-east1-b` is not a zone of us-central1",
        ),
        row(24, "subnets", "tasks", (SUBNET, json!("regions/us-central1/subnetworks/tasks")), "a, b", "name one"),
        row(24, "subnets", WHOLE, (SUBNET, json!(WHOLE)), "a b", "`a b` is not a subnet"),
        row(26, "disk_gb", "200", ("/disks/0/initializeParams/diskSizeGb", json!("200")), "0", "`0` is not in 1.."),
        row(
            26,
            "boot_disk_type",
            "pd-ssd",
            ("/disks/0/initializeParams/diskType", json!("zones/us-central1-a/diskTypes/pd-ssd")),
            "gp3",
            "`gp3` is not one of `pd-standard`",
        ),
        row(
            27,
            "metadata",
            "enable-oslogin = TRUE",
            ("/metadata/items/0", json!({"key": "enable-oslogin", "value": "TRUE"})),
            "startup-script = x",
            "`startup-script` is not a name of metadata",
        ),
        row(
            27,
            "labels",
            "team = vision",
            ("/labels/team", json!("vision")),
            "Team = x",
            "`Team` is not a label's name",
        ),
        row(27, "network_tags", "a, b", ("/tags/items", json!(["a", "b"])), "A", "`A` is not a network tag"),
        Row {
            with: SCOPED,
            ..row(
                29,
                "service_account",
                "default",
                ("/serviceAccounts/0/email", json!("default")),
                "me",
                "`me` is not a service",
            )
        },
        Row {
            with: DEFAULT,
            ..row(
                29,
                "scopes",
                "cloud-platform",
                ("/serviceAccounts/0/scopes/0", json!("https://www.googleapis.com/auth/cloud-platform")),
                "a b",
                "`a b` is not an access scope",
            )
        },
    ]
}

fn what_it_does() -> Vec<Row> {
    vec![
        row(31, "market", "spot", ("/scheduling/provisioningModel", json!("SPOT")), "cheap", "is not one of"),
        Row {
            with: SPOT,
            ..row(
                31,
                "provisioning",
                "preemptible",
                ("/scheduling/preemptible", json!(true)),
                "legacy",
                "is not one of",
            )
        },
        Row {
            with: &[("docker", "true")],
            ..row(
                34,
                "docker_image",
                "python:3.12",
                (SCRIPT, json!("python:3.12")),
                "-x",
                "is not the name of a container",
            )
        },
        row(
            36,
            "init_script",
            "echo hello",
            (SCRIPT, json!("echo hello")),
            "\"\\u0000\"",
            "is not a text without a zero",
        ),
        row(37, "extra_clearml_conf", "agent.x: 1", (SCRIPT, json!("CONF='agent.x: 1'")), "agent {", "is not HOCON"),
        row(
            40,
            "account",
            "lab",
            (MACHINE_TYPE, json!("zones/us-central1-a/machineTypes/n1-standard-8")),
            "amazon",
            "has a profile",
        ),
        row(40, "region", "us-central1", ("/name", json!("tidegate-b1-0")), "a b", "is not a region"),
    ]
}

/// The settings after the edits of the pool, or what is said of them.
fn edited(edits: &[(&str, &str)]) -> Result<Settings, String> {
    let edit = |(name, value): &(&str, &str)| Edit { key: format!("pool.l4.{name}"), value: Some((*value).to_owned()) };
    let edits: Vec<_> = edits.iter().map(edit).collect();
    let file = SettingsFile::in_memory(BASE).unwrap();
    file.preview(&edits, jiff::Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())
}

fn order_of(settings: &Settings) -> LaunchOrder {
    let pool = settings.pools[0].clone();
    let mut order = order("b1", 1);
    order.launch.machine_type = pool.types[0].clone();
    order.launch.market = pool.market;
    LaunchOrder { pool, ..order }
}

async fn sent(settings: &Settings) -> Call {
    let fake = Fake::start().await;
    gce(&fake).with_accounts(settings.accounts.clone()).launch(&order_of(settings)).await.unwrap();
    fake.asked("instances.insert").remove(0)
}

fn script(call: &Call) -> String {
    let items = call.body["metadata"]["items"].as_array().unwrap();
    let script = items.iter().find(|item| item["key"] == SCRIPT).unwrap();
    script["value"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_field_is_on_the_wire_as_google_describes_it() {
    for Row { feature, key, value, with, wire: (place, expected), .. } in rows() {
        let edits: Vec<_> = with.iter().copied().chain([(key, value)]).collect();
        let settings = edited(&edits).unwrap_or_else(|said| panic!("row {feature}, {key}: {said}"));
        assert_eq!(settings.pools[0].provider, Provider::Gce);
        let call = sent(&settings).await;
        if place == SCRIPT {
            let script = script(&call);
            assert!(script.contains(expected.as_str().unwrap()), "row {feature}, {key}: {script}");
        } else {
            assert_eq!(call.body.pointer(place), Some(&expected), "row {feature}, {key}: {:#}", call.body);
        }
    }
}

#[test]
fn each_fields_bad_value_is_refused_by_name() {
    for Row { feature, key, with, wrong, said, .. } in rows() {
        let edits: Vec<_> = with.iter().copied().chain([(key, wrong)]).collect();
        let told = edited(&edits).expect_err(key);
        assert!(told.contains(said) && told.contains("pool.l4."), "row {feature}, {key}: {told}");
    }
}

#[test]
fn what_does_not_hold_between_the_fields_is_told() {
    for (edits, said) in [
        (&[("machine_image", "golden")][..], "pool.l4.machine_image: an image is named too: keep one of them"),
        (&[("gpu_count", "2")], "pool.l4.gpu_count: no gpu_type is there"),
        (
            &[("gpu_type", "nvidia-l4"), ("types", "g2-standard-4")],
            "pool.l4.gpu_type: `g2-standard-4` has GPUs of its own",
        ),
        (DEFAULT, "pool.l4.service_account: no scopes are there"),
        (SCOPED, "pool.l4.scopes: no service_account is there"),
        (&[("provisioning", "preemptible")], "pool.l4.provisioning: `preemptible` is for market = \"spot\" only"),
        (&[("max_life", "120d")], "pool.l4.max_life: is more than 119d"),
        (&[("zones", "")], "pool.l4.zones: is missing: write `zones = [\"us-central1-a\"]`"),
        (&[("ami", "ami-1")], "pool.l4.ami: is not for provider = \"gce\""),
        (&[("spot_strategy", "lowest-price")], "pool.l4.spot_strategy: is not for provider = \"gce\""),
        (&[("git_credentials", "ssm:/git")], "pool.l4.git_credentials: is not for provider = \"gce\""),
        (&[("provider", "aws")], "pool.l4.image: is not for provider = \"aws\""),
        (&[("provider", "aws")], "pool.l4.ami: is missing: write `ami = \"ami-0123456789abcdef0\"`"),
        (&[("provider", "gcp")], "`gcp` is not one of `aws`, `gce`"),
    ] {
        let told = edited(edits).unwrap_err();
        assert!(told.contains(said), "{said}: {told}");
    }
    let without = BASE.replace("image = \"family/tasks\"\n", "");
    let told = SettingsFile::in_memory(&without).unwrap_err().to_string();
    assert!(told.contains("pool.l4.image: is missing"), "{told}");
    let whole = without + "machine_image = \"golden\"\n";
    assert!(SettingsFile::in_memory(&whole).is_ok());
    let told = SettingsFile::in_memory(&(whole + "disk_gb = 100\n")).unwrap_err().to_string();
    assert!(told.contains("pool.l4.disk_gb: a machine image brings its own disks"), "{told}");
}

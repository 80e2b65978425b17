//! Every launch field of ClearML's GCP autoscaler: the setting, what it is on the wire, and what is said of a wrong value.

mod rows;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tidegate::model::settings::key::Part;
use tidegate::model::settings::{Provider, Settings, fields};
use tidegate::store::settings::parse;
use tidegate::world::cloud::{Cloud, LaunchOrder};

use crate::gce::fake::Fake;
use crate::gce::fields::rows::{Row, Wire, rows};
use crate::gce::schema::Call;
use crate::gce::{gce, order};

const BASE: &str = r#"[loop]
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

/// The rows of FEATURES.md whose column of ClearML says G.
const OF_THE_GCP_APP: [u32; 16] = [19, 20, 21, 22, 24, 26, 27, 29, 31, 32, 34, 35, 36, 37, 39, 40];

/// The file with these lines, each in the place of its setting or at its section's end; an empty value takes a line out.
fn file(lines: &[(&str, &str)]) -> String {
    let mut text: Vec<String> = BASE.lines().map(str::to_owned).collect();
    for (key, value) in lines {
        let (section, name) = key.rsplit_once('.').unwrap();
        let heading = text.iter().position(|line| *line == format!("[{section}]")).unwrap();
        let of_section = text[heading..].iter().position(String::is_empty).map_or(text.len(), |end| heading + end);
        let there = (heading..of_section).find(|at| text[*at].starts_with(&format!("{name} = ")));
        let line = format!("{name} = {value}");
        match (there, value.is_empty()) {
            (Some(at), true) => drop(text.remove(at)),
            (Some(at), false) => text[at] = line,
            (None, _) => text.insert(of_section, line),
        }
    }
    text.join("\n") + "\n"
}

/// The settings of the file, or what is said of it.
fn read(lines: &[(&str, &str)]) -> Result<Settings, String> {
    parse(&file(lines), Path::new("t.toml")).map_err(|problems| problems.to_string())
}

/// As the loop makes it of its settings.
fn order_of(settings: &Settings, row: &Row) -> LaunchOrder {
    let pool = settings.as_made(&settings.pools[0]);
    let mut order = order("b1", 1);
    order.fleet = settings.the_loop.fleet.clone();
    order.launch.pool = pool.name.clone();
    order.launch.machine_type = pool.types[0].clone();
    order.launch.market = row.bought.unwrap_or(pool.market);
    LaunchOrder { pool, ..order }
}

async fn sent(settings: &Settings, row: &Row) -> Call {
    let fake = Fake::start().await;
    gce(&fake).with_accounts(settings.accounts.clone()).launch(&order_of(settings, row)).await.unwrap();
    fake.asked("instances.insert").remove(0)
}

fn metadata<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let items = call.body["metadata"]["items"].as_array()?;
    items.iter().find(|item| item["key"] == name)?["value"].as_str()
}

#[tokio::test]
async fn each_field_is_on_the_wire_as_google_describes_it() {
    for row in rows() {
        let lines: Vec<_> = row.with.iter().copied().chain([(row.key, row.value)]).collect();
        let of = format!("row {}, {}, {} = {}", row.feature, row.theirs, row.key, row.value);
        let settings = read(&lines).unwrap_or_else(|said| panic!("{of}: {said}"));
        assert_eq!(settings.pools[0].provider, Provider::Gce);
        let call = sent(&settings, &row).await;
        let script = metadata(&call, "startup-script").unwrap();
        for wire in &row.wire {
            match wire {
                Wire::Body(place, expected) => {
                    let there = call.body.pointer(place).unwrap_or(&Value::Null);
                    assert_eq!(there, expected, "{of}: {:#}", call.body);
                }
                Wire::Asked(name, expected) => assert_eq!(call.parameters[*name], *expected, "{of}"),
                Wire::Said(name, expected) => assert_eq!(metadata(&call, name), Some(*expected), "{of}"),
                Wire::Script(expected) => assert!(script.contains(expected), "{of}: {script}"),
                Wire::NotSaid(secret) => assert!(!call.body.to_string().contains(secret), "{of}: {script}"),
            }
        }
    }
}

#[test]
fn each_fields_bad_value_is_refused_at_its_place() {
    for Row { feature, theirs, with, key, wrong, told, .. } in rows() {
        let lines: Vec<_> = with.iter().copied().chain([(key, wrong)]).collect();
        let text = file(&lines);
        let line = format!("{} = {wrong}", key.rsplit('.').next().unwrap());
        let at = text.lines().position(|known| known == line).unwrap() + 1;
        let said = read(&lines).expect_err(key);
        let of = format!("row {feature}, {theirs}: {said}");
        let place = said.lines().find_map(|line| line.strip_prefix(&format!("t.toml:{at}:")));
        let (column, rest) = place.unwrap_or_else(|| panic!("line {at}: {of}")).split_once(": ").unwrap();
        assert!((1..=line.len()).contains(&column.parse().unwrap()), "{of}");
        assert!(rest.starts_with(&format!("{key}: ")) && rest.contains(told), "{of}");
        assert!(!said.contains("hush") && !said.contains("service_account\\\""), "{of}");
    }
}

#[test]
fn every_row_of_the_app_and_every_setting_of_a_machine_has_its_place_in_the_table() {
    let rows = rows();
    let told: BTreeSet<u32> = rows.iter().map(|row| row.feature).collect();
    let missing: Vec<_> = OF_THE_GCP_APP.iter().filter(|feature| !told.contains(feature)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What a machine is said to cost is no part of it.
    let apart = ["discount"];
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| row.key.strip_prefix("pool.l4.")).collect();
    for field in fields::of(Part::Pool).filter(|field| field.takes == fields::Takes::NewMachines) {
        let value = field.read(field.example).unwrap().to_toml();
        let key = format!("pool.l4.{}", field.name);
        let of_aws = read(&[(&key, &value)]).is_err_and(|said| said.contains("is not for provider = \"gce\""));
        assert!(of_aws || apart.contains(&field.name) || known.contains(field.name), "{} is in no row", field.name);
    }
}

#[test]
fn what_does_not_hold_between_the_fields_is_told() {
    let spot = [("pool.l4.provisioning", r#""preemptible""#)];
    let git = ("pool.l4.git_credentials", r#""secretmanager:git""#);
    let account = ("pool.l4.service_account", r#""default""#);
    for (lines, said) in [
        (
            &[("pool.l4.machine_image", r#""golden""#)][..],
            "pool.l4.machine_image: an image is named too: keep one of them",
        ),
        (&[("pool.l4.gpu_count", "2")], "pool.l4.gpu_count: no gpu_type is there"),
        (
            &[("pool.l4.gpu_type", r#""nvidia-l4""#), ("pool.l4.types", r#"["g2-standard-4"]"#)],
            "pool.l4.gpu_type: `g2-standard-4` has GPUs of its own",
        ),
        (&[account], "pool.l4.service_account: no scopes are there"),
        (&[("pool.l4.scopes", r#"["logging.write"]"#)], "pool.l4.scopes: no service_account is there"),
        (&spot, "pool.l4.provisioning: `preemptible` is for market = \"spot\" only"),
        (&[("pool.l4.zones", "[]")], "pool.l4.zones: is missing: write `zones = [\"us-central1-a\"]`"),
        (&[("pool.l4.ami", r#""ami-1""#)], "pool.l4.ami: is not for provider = \"gce\""),
        (&[("pool.l4.spot_strategy", r#""lowest-price""#)], "pool.l4.spot_strategy: is not for provider = \"gce\""),
        (&[("pool.l4.account", r#""amazon""#)], "pool.l4.account: has a profile, which is not for gce"),
        (&[git], "pool.l4.git_credentials: no service_account is there, with which a machine could read it"),
        (
            &[git, account, ("pool.l4.scopes", r#"["logging.write"]"#)],
            "pool.l4.git_credentials: the pool's scopes keep a machine from the Secret Manager: it takes `cloud-platform` only",
        ),
        (
            &[("pool.l4.git_credentials", r#""ssm:/git""#)],
            "pool.l4.git_credentials: `ssm:` is AWS's store: a machine of gce reads `secretmanager:NAME`",
        ),
        (&[("pool.l4.provider", r#""aws""#)], "pool.l4.image: is not for provider = \"aws\""),
        (&[("pool.l4.provider", r#""aws""#)], "pool.l4.ami: is missing: write `ami = \"ami-0123456789abcdef0\"`"),
        (
            &[("pool.l4.provider", r#""aws""#), git],
            "pool.l4.git_credentials: `secretmanager:` is Google's store: a machine of aws reads `ssm:NAME`",
        ),
        (&[("pool.l4.provider", r#""gcp""#)], "`gcp` is not one of `aws`, `gce`"),
        (&[("pool.l4.image", "")], "pool.l4.image: is missing"),
        (
            &[("pool.l4.image", ""), ("pool.l4.machine_image", r#""golden""#), ("pool.l4.disk_gb", "100")],
            "pool.l4.disk_gb: a machine image brings its own disks",
        ),
    ] {
        let told = read(lines).unwrap_err();
        assert!(told.contains(said), "{said}: {told}");
    }
}

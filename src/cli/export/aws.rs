//! The YAML of the open AWS example: `hyper_params` and `configurations`.

use serde_json::{Map, Value, json};

use super::{Share, of_all, yaml};
use crate::model::settings::{Image, Market, PoolSettings};

/// Fields of a pool that are written.
pub(super) const KEPT: &[&str] = &[
    "provider",
    "account",
    "region",
    "types",
    "market",
    "max",
    "keep_alive",
    "max_boot",
    "ami",
    "zones",
    "subnets",
    "security_groups",
    "key_name",
    "instance_profile",
    "disk_gb",
    "disk_device",
    "disk_type",
    "disk_snapshot",
    "tags",
    "run_instances",
    "monitoring",
    "cpu_only",
    "docker",
    "docker_image",
    "docker_arguments",
    "init_script",
    "extra_clearml_conf",
];

pub(super) fn text(
    pools: &[&PoolSettings],
    shares: &[Share<'_>],
    mut general: Map<String, Value>,
    report: &mut Vec<String>,
) -> String {
    let mut texts = Map::new();
    for name in ["extra_clearml_conf", "extra_vm_bash_script"] {
        texts.insert(name.to_owned(), general.remove(name).unwrap_or_default());
    }
    let region = pools.first().map(|pool| pool.region.clone()).unwrap_or_default();
    let profile = of_all(pools, "instance_profile", |pool| pool.launch.instance_profile.clone(), report).flatten();
    let (arn, name) = match &profile {
        Some(profile) if profile.starts_with("arn:") => (profile.as_str(), ""),
        Some(profile) => ("", profile.as_str()),
        None => ("", ""),
    };
    for (field, value) in [
        ("cloud_provider", json!("AWS")),
        ("cloud_credentials_region", json!(region)),
        // Keys come from AWS's own chain there, too.
        ("use_credentials_chain", json!(true)),
        ("cloud_credentials_key", json!("")),
        ("cloud_credentials_secret", json!("")),
        ("git_user", json!("")),
        ("git_pass", json!("")),
        ("use_iam_instance_profile", json!(profile.is_some())),
        ("iam_arn", json!(arn)),
        ("iam_name", json!(name)),
    ] {
        general.insert(field.to_owned(), value);
    }
    let mut queues = Map::new();
    for Share { queue, pool, most } in shares {
        let resources = queues.entry((*queue).to_owned()).or_insert_with(|| json!([]));
        if let Value::Array(resources) = resources {
            resources.push(json!([pool.name.as_str(), most]));
        }
    }
    let machines: Map<String, Value> =
        pools.iter().map(|pool| (pool.name.to_string(), Value::Object(machine(pool, report)))).collect();
    texts.insert("queues".to_owned(), Value::Object(queues));
    texts.insert("resource_configurations".to_owned(), Value::Object(machines));
    let head =
        "# Written by `tidegate export`: for ClearML's aws_autoscaler. Put keys, if it needs any, into hyper_params.\n";
    let whole = json!({ "hyper_params": Value::Object(general), "configurations": Value::Object(texts) });
    format!("{head}{}", yaml::text(&whole))
}

fn machine(pool: &PoolSettings, report: &mut Vec<String>) -> Map<String, Value> {
    let launch = &pool.launch;
    let mut one = |field: &str, values: &[String]| {
        if values.len() > 1 {
            report.push(format!("pool.{}.{field}: theirs takes one; the first is written", pool.name));
        }
        values.first().cloned()
    };
    let types: Vec<String> = pool.types.iter().map(ToString::to_string).collect();
    let machine_type = one("types", &types);
    let (zone, subnet) = (one("zones", &launch.zones), one("subnets", &launch.subnets));
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("instance_type", json!(machine_type.unwrap_or_default()));
    put("is_spot", json!(pool.market == Market::Spot));
    put("cpu_only", json!(pool.agent.cpu_only));
    put("ami_id", json!(image(&launch.ami)));
    put("availability_zone", json!(zone));
    put("subnet_id", json!(subnet));
    put("key_name", json!(launch.key_name));
    put("security_group_ids", json!(launch.security_groups));
    put("ebs_device_name", json!(launch.disk_device));
    put("ebs_volume_size", json!(launch.disk_gb));
    put("ebs_volume_type", json!(launch.disk_type.map(crate::model::settings::volume::VolumeKind::word)));
    put("ebs_snapshot_id", json!(launch.disk_snapshot));
    put("enable_monitoring", json!(launch.monitoring));
    put("extra_configurations", members(pool));
    let (fit, unfit): (Vec<_>, Vec<_>) =
        launch.tags.iter().partition(|(name, text)| !name.contains(['=', ',']) && !text.contains(['=', ',']));
    report.extend(
        unfit.iter().map(|(name, _)| format!("pool.{}.tags: `{name}` has a comma or a `=`: left out", pool.name)),
    );
    put("tags", json!(fit.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(",")));
    fields.retain(|_, value| !value.is_null());
    fields
}

/// As the example names it.
fn image(ami: &str) -> String {
    match Image::read(ami) {
        Some(Image::Parameter(parameter)) => format!("resolve:ssm:{parameter}"),
        Some(Image::Name(pattern)) => pattern.to_owned(),
        _ => ami.to_owned(),
    }
}

/// Members of the launch call, from their dotted names.
fn members(pool: &PoolSettings) -> Value {
    let mut whole = Map::new();
    for (path, text) in &pool.launch.run_instances {
        let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let mut place = &mut whole;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), value);
                break;
            }
            let Value::Object(inner) = place.entry(part).or_insert_with(|| json!({})) else { break };
            place = inner;
        }
    }
    Value::Object(whole)
}

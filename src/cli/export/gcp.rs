//! The JSON that ClearML's GCP app exports and imports.

use serde_json::{Map, Value, json};

use super::Share;
use crate::cli::failure::Failure;
use crate::model::settings::{Market, PoolSettings, Provisioning, Settings};

/// Fields of a pool that are written.
pub(super) const KEPT: &[&str] = &[
    "provider",
    "account",
    "region",
    "types",
    "market",
    "provisioning",
    "max",
    "keep_alive",
    "max_boot",
    "zones",
    "subnets",
    "image",
    "machine_image",
    "gpu_type",
    "gpu_count",
    "disk_gb",
    "service_account",
    "scopes",
    "metadata",
    "spot_rollback",
    "spot_blackout",
    "cpu_only",
    "docker",
    "docker_image",
    "docker_arguments",
    "init_script",
    "extra_clearml_conf",
];

pub(super) fn text(
    settings: &Settings,
    pools: &[&PoolSettings],
    shares: &[Share<'_>],
    general: Map<String, Value>,
) -> Result<String, Failure> {
    let first = pools.first();
    let account = first.and_then(|pool| settings.account(pool.account.as_ref()?));
    let mut fields = Map::new();
    for (name, value) in general {
        let theirs = match name.as_str() {
            "default_docker_image" => "base_docker_image",
            "extra_vm_bash_script" => "init_script",
            "extra_clearml_conf" => "additional_clearml_configuration",
            "max_spin_up_time_min" => "max_spin_up_time_min",
            "polling_interval_time_min" => "polling_interval_time_min",
            other => other,
        };
        fields.insert(theirs.to_owned(), value);
    }
    let subnet = first.and_then(|pool| pool.launch.subnets.first());
    let is_path = subnet.is_some_and(|subnet| subnet.contains('/'));
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("gcp_project_id", json!(account.and_then(|account| account.project.clone()).unwrap_or_default()));
    put("gcp_zone", json!(first.and_then(|pool| pool.launch.zones.first())));
    put("use_full_subnet_path", json!(is_path));
    put(if is_path { "gcp_subnet_full_path" } else { "gcp_subnet_name" }, json!(subnet));
    put("use_docker_mode", json!(first.is_some_and(|pool| pool.agent.docker)));
    put("global_metadata", json!(pairs(&settings.the_loop.gce_metadata)));
    let machines: Vec<Value> = shares.iter().map(machine).collect();
    put("instance_queue_list", json!(machines));
    fields.retain(|_, value| !value.is_null());
    let text = serde_json::to_string_pretty(&fields).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(text + "\n")
}

fn pairs(texts: &std::collections::BTreeMap<String, String>) -> Value {
    texts.iter().map(|(name, text)| (name.clone(), json!(text))).collect::<Map<_, _>>().into()
}

fn machine(share: &Share<'_>) -> Value {
    let Share { queue, pool, most } = share;
    let (launch, gce) = (&pool.launch, &pool.launch.gce);
    let is_spot = pool.market == Market::Spot;
    let minutes = |span: jiff::SignedDuration| span.as_secs() / 60;
    let model = match gce.provisioning {
        Provisioning::Spot => "SPOT",
        Provisioning::Preemptible => "STANDARD",
    };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("resource_name", json!(pool.name.as_str()));
    put("queue_name", json!(queue));
    put("max_number_of_instances", json!(most));
    put("machine_type", json!(pool.types.first().map(ToString::to_string)));
    put("cpu_mode", json!(pool.agent.cpu_only));
    put("gpu_type", json!(gce.gpu_type));
    put("gpu_count", json!(gce.gpu_type.as_ref().map(|_| gce.attached_gpus())));
    put("use_preemptible_instance", json!(is_spot));
    if is_spot {
        put("preemptible_provision_model", json!(model));
        put("regular_instance_rollback", json!(pool.spot.rollback.is_some()));
        put("regular_instance_rollback_timeout", json!(pool.spot.rollback.map(minutes)));
        put("preemptible_instance_blackout_period", json!(pool.spot.blackout.map(minutes)));
    }
    put("machine_image", json!(gce.machine_image_path().or_else(|| gce.image_path())));
    put("disc_size_gb", json!(launch.disk_gb));
    put("use_default_service_account", json!(gce.service_account.as_deref() == Some("default")));
    put("service_account_email", json!(gce.service_account.as_ref().filter(|email| *email != "default")));
    put("service_account_scopes", json!(gce.whole_scopes().collect::<Vec<_>>().join(",")));
    put("metadata", pairs(&gce.metadata));
    fields.retain(|_, value| !value.is_null());
    Value::Object(fields)
}

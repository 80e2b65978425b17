//! One machine as it is asked for: everything that it is.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::metadata::Items;
use google_cloud_compute_v1::model::scheduling::{InstanceTerminationAction, OnHostMaintenance, ProvisioningModel};
use google_cloud_compute_v1::model::{
    AcceleratorConfig, AccessConfig, AttachedDisk, AttachedDiskInitializeParams, Duration, Instance, Metadata,
    NetworkInterface, Scheduling, ServiceAccount, Tags, access_config,
};
use jiff::SignedDuration;

use crate::model::ids::IntentId;
use crate::model::label::{hash, written};
use crate::model::settings::{Market, PoolSettings, Provisioning};
use crate::world::cloud::{LaunchOrder, name_of as name};
use crate::world::gce::label;

/// The machine ends itself at the end of its life; the cloud does so this much later, if it did not.
const DEAD_MAN: SignedDuration = SignedDuration::from_mins(15);

/// The idempotency token of one machine in one zone, in the form of a UUID.
pub(super) fn request_id(intent: &IntentId, zone: &str) -> String {
    let digits = hash(&format!("{intent} {zone}"));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    // Version 4, variant 1: Google looks at the form.
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// The machine, in one zone.
pub(super) fn machine(order: &LaunchOrder, intent: &IntentId, zone: &str, script: &str) -> Instance {
    let (pool, gce) = (&order.pool, &order.pool.launch.gce);
    let tags = tags(order, intent);
    let labels = labels(pool, &tags);
    let machine = Instance::new()
        .set_name(name(intent))
        .set_machine_type(format!("zones/{zone}/machineTypes/{}", order.launch.machine_type))
        .set_metadata(Metadata::new().set_items(metadata(pool, &tags, script)))
        .set_disks(disks(pool, zone, &labels))
        .set_network_interfaces([interface(pool)])
        .set_scheduling(scheduling(order))
        .set_labels(labels);
    let machine = if gce.network_tags.is_empty() {
        machine
    } else {
        machine.set_tags(Tags::new().set_items(gce.network_tags.clone()))
    };
    let machine = match &gce.service_account {
        Some(email) => {
            machine.set_service_accounts([ServiceAccount::new().set_email(email).set_scopes(gce.whole_scopes())])
        }
        None => machine,
    };
    match (&gce.gpu_type, i32::try_from(gce.attached_gpus())) {
        (Some(kind), Ok(count)) => {
            let kind = format!("zones/{zone}/acceleratorTypes/{kind}");
            machine.set_guest_accelerators([AcceleratorConfig::new()
                .set_accelerator_type(kind)
                .set_accelerator_count(count)])
        }
        _ => machine,
    }
}

fn tags(order: &LaunchOrder, intent: &IntentId) -> BTreeMap<&'static str, String> {
    [
        (label::FLEET, order.fleet.to_string()),
        (label::POOL, order.launch.pool.to_string()),
        (label::QUEUE, order.launch.queue.to_string()),
        (label::INTENT, intent.to_string()),
        (label::REVISION, order.revision.to_string()),
        (label::TERM, order.term.to_string()),
        (label::SETTINGS, order.pool.fingerprint()),
    ]
    .into()
}

/// A person's labels come first and cannot take the place of ours.
fn labels(pool: &PoolSettings, tags: &BTreeMap<&'static str, String>) -> BTreeMap<String, String> {
    let mut labels = pool.launch.gce.labels.clone();
    labels.extend(tags.iter().map(|(name, text)| ((*name).to_owned(), written(text))));
    labels
}

fn metadata(pool: &PoolSettings, tags: &BTreeMap<&'static str, String>, script: &str) -> Vec<Items> {
    let mut items: BTreeMap<&str, &str> =
        pool.launch.gce.metadata.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    items.extend(label::too_long(tags).map(|(name, text)| (name, text.as_str())));
    items.insert("startup-script", script);
    items.into_iter().map(|(name, text)| Items::new().set_key(name).set_value(text)).collect()
}

/// The boot disk ends with its machine. A machine image has its own.
fn disks(pool: &PoolSettings, zone: &str, labels: &BTreeMap<String, String>) -> Vec<AttachedDisk> {
    let gce = &pool.launch.gce;
    let disk = |image: String| {
        let kind = gce.disk_kind.map(|kind| format!("zones/{zone}/diskTypes/{}", kind.word()));
        let disk = AttachedDiskInitializeParams::new()
            .set_source_image(image)
            .set_or_clear_disk_size_gb(pool.launch.disk_gb.map(i64::from))
            .set_or_clear_disk_type(kind)
            .set_labels(labels.clone());
        AttachedDisk::new().set_boot(true).set_auto_delete(true).set_initialize_params(disk)
    };
    gce.image_path().map(disk).into_iter().collect()
}

/// In the pool's subnet, by name or whole path, else in the project's default network.
fn interface(pool: &PoolSettings) -> NetworkInterface {
    let interface = match pool.launch.subnets.first() {
        Some(path) if path.contains('/') => NetworkInterface::new().set_subnetwork(path),
        Some(name) => NetworkInterface::new().set_subnetwork(format!("regions/{}/subnetworks/{name}", pool.region)),
        None => NetworkInterface::new().set_network("global/networks/default"),
    };
    if pool.public_address {
        let address = AccessConfig::new().set_name("External NAT").set_type(access_config::Type::OneToOneNat);
        interface.set_access_configs([address])
    } else {
        interface
    }
}

/// Never started again by the cloud: what ended stays ended until somebody decides otherwise. The cloud deletes what
/// outlives its life by far, and what it takes back; a machine of the older preemptible kind it only stops.
fn scheduling(order: &LaunchOrder) -> Scheduling {
    let gce = &order.pool.launch.gce;
    let is_spot = order.launch.market == Market::Spot;
    let scheduling = Scheduling::new().set_automatic_restart(false);
    let scheduling = if is_spot || gce.has_gpus(order.launch.machine_type.as_str()) {
        scheduling.set_on_host_maintenance(OnHostMaintenance::Terminate)
    } else {
        scheduling
    };
    let model = match (is_spot, gce.provisioning) {
        (true, Provisioning::Preemptible) => return scheduling.set_preemptible(true),
        (true, Provisioning::Spot) => ProvisioningModel::Spot,
        (false, _) => ProvisioningModel::Standard,
    };
    let life = order.pool.max_life.saturating_add(DEAD_MAN).as_secs();
    scheduling
        .set_provisioning_model(model)
        .set_max_run_duration(Duration::new().set_seconds(life))
        .set_instance_termination_action(InstanceTerminationAction::Delete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn a_name_is_the_intents() {
        let intent = IntentId::from("0f8fad5b-d9cb-469f-a165-70867728950e.3");
        assert_eq!(name(&intent), "tidegate-0f8fad5b-d9cb-469f-a165-70867728950e-3");
        assert_ne!(request_id(&intent, "a"), request_id(&intent, "b"));
    }

    proptest! {
        #[test]
        fn names_and_tokens_have_the_form_that_google_asks_for(text in ".{1,80}", zone in "[a-z0-9-]{1,20}") {
            let intent = IntentId::from(text.as_str());
            let name = name(&intent);
            prop_assert!(name.len() <= 63 && !name.ends_with('-'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            let id = Uuid::parse_str(&request_id(&intent, &zone)).unwrap();
            prop_assert_eq!(id.get_version_num(), 4);
        }
    }
}

//! A machine as Compute Engine lists it.

use google_cloud_compute_v1::model::Instance;
use google_cloud_compute_v1::model::instance::Status;
use google_cloud_compute_v1::model::scheduling::ProvisioningModel;
use jiff::Timestamp;

use crate::model::ids::{InstanceId, MachineType, Revision, Term, Zone};
use crate::model::observed::{CloudInstance, CloudState, Tags};
use crate::model::settings::{Market, Provider};
use crate::world::cloud::CloudError;
use crate::world::gce::error::unreadable;
use crate::world::gce::{label, newcomer};

/// Reads one machine of a listing; one that cannot be read spoils the listing, for it must not be missed.
pub(super) fn read(call: &str, instance: &Instance, site: &str) -> Result<CloudInstance, CloudError> {
    let odd = |what: &str| {
        let name = instance.name.as_deref().unwrap_or("a machine");
        unreadable(call, &format!("{name} comes without {what}"))
    };
    let state = state(instance);
    Ok(CloudInstance {
        id: id(instance).ok_or_else(|| odd("a name"))?,
        provider: Provider::Gce,
        pod: None,
        region: site.to_owned(),
        machine_type: MachineType::from(last(instance.machine_type.as_deref().ok_or_else(|| odd("a type"))?)),
        zone: Some(Zone::from(zone(instance).ok_or_else(|| odd("a zone"))?)),
        market: market(instance),
        state,
        launched: launched(instance).ok_or_else(|| odd("a time of its making"))?,
        ended: match state {
            CloudState::Pending | CloudState::Running => None,
            _ => stopped(instance),
        },
        image: instance.source_machine_image.as_deref().map(str::to_owned),
        state_reason: instance.status_message.clone().filter(|text| !text.is_empty()),
        tags: tags(instance),
    })
}

/// Our name for it; of one that another autoscaler made, what its worker calls it. Google takes its number wherever it takes
/// its name.
fn id(instance: &Instance) -> Option<InstanceId> {
    let theirs = label::of(instance, label::ID).filter(|id| newcomer::is(instance, id));
    theirs.or_else(|| instance.name.clone()).map(InstanceId::new)
}

/// The zone that a machine stands in.
pub(super) fn zone(instance: &Instance) -> Option<&str> {
    instance.zone.as_deref().map(last).filter(|zone| !zone.is_empty())
}

/// The region of a zone: `us-central1` of `us-central1-a`.
pub(super) fn region_of(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

/// The name at the end of an address.
pub(super) fn last(address: &str) -> &str {
    address.rsplit('/').next().unwrap_or(address)
}

/// A state that we do not know is one of a machine that is there. `TERMINATED` is Google's word for switched off: what was
/// deleted is not listed.
fn state(instance: &Instance) -> CloudState {
    match &instance.status {
        Some(Status::Provisioning | Status::Staging | Status::Pending) => CloudState::Pending,
        Some(Status::Stopping | Status::PendingStop | Status::Suspending) => CloudState::Stopping,
        Some(Status::Terminated | Status::Stopped | Status::Suspended) => CloudState::Stopped,
        Some(Status::Deprovisioning) => CloudState::ShuttingDown,
        _ => CloudState::Running,
    }
}

fn market(instance: &Instance) -> Market {
    let scheduling = instance.scheduling.as_ref();
    let is_spot = scheduling.is_some_and(|scheduling| {
        scheduling.preemptible == Some(true) || scheduling.provisioning_model == Some(ProvisioningModel::Spot)
    });
    if is_spot { Market::Spot } else { Market::OnDemand }
}

/// Since when its present bill runs: a machine that was off is billed anew from its last start.
pub(super) fn launched(instance: &Instance) -> Option<Timestamp> {
    let made = made(instance);
    match (stopped(instance), time(instance.last_start_timestamp.as_deref())) {
        (Some(stopped), Some(started)) if started > stopped => Some(started),
        // It was started again, and is off again.
        (Some(_), Some(started)) => made.map(|made| if is_restarted(made, started) { started } else { made }),
        _ => made,
    }
}

pub(super) fn made(instance: &Instance) -> Option<Timestamp> {
    time(instance.creation_timestamp.as_deref())
}

/// A machine's first start follows its making at once.
fn is_restarted(made: Timestamp, started: Timestamp) -> bool {
    started.duration_since(made) > jiff::SignedDuration::from_mins(10)
}

fn stopped(instance: &Instance) -> Option<Timestamp> {
    time(instance.last_stop_timestamp.as_deref())
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

fn tags(instance: &Instance) -> Tags {
    let tag = |name| label::of(instance, name);
    Tags {
        pool: tag(label::POOL).map(Into::into),
        queue: tag(label::QUEUE).map(Into::into),
        intent: tag(label::INTENT).map(Into::into),
        revision: tag(label::REVISION).map(Revision::new),
        term: tag(label::TERM).and_then(|term| term.parse().ok()).map(Term),
        settings: tag(label::SETTINGS),
        brought_over: tag(label::BROUGHT_OVER).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_compute_v1::model::Scheduling;
    use proptest::prelude::*;

    fn machine() -> Instance {
        Instance::new()
            .set_name("m-1")
            .set_zone("https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a")
            .set_machine_type(
                "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/machineTypes/g2-standard-4",
            )
            .set_creation_timestamp("2026-11-29T00:00:00.000-08:00")
            .set_status(Status::Running)
    }

    #[test]
    fn addresses_are_read_by_their_last_parts() {
        let read = read("list", &machine(), "lab@us-central1").unwrap();
        assert_eq!((read.id.as_str(), read.machine_type.as_str()), ("m-1", "g2-standard-4"));
        assert_eq!((read.zone, read.region.as_str()), (Some("us-central1-a".into()), "lab@us-central1"));
        assert_eq!(read.launched, "2026-11-29T08:00:00Z".parse().unwrap());
        assert_eq!(region_of("us-central1-a"), "us-central1");
    }

    #[test]
    fn a_machine_of_another_autoscaler_s_is_called_as_its_worker_calls_it() {
        let of = |id: &str| {
            let labels = [(label::ID, id), (label::BROUGHT_OVER, "ann")];
            let read = read("list", &machine().set_id(4711_u64).set_labels(labels), "r").unwrap();
            (read.id.to_string(), read.tags.brought_over)
        };
        assert_eq!(of("4711"), ("4711".to_owned(), true));
        assert_eq!(of("m-1"), ("m-1".to_owned(), true));
        // A label that somebody copied to another machine says nothing.
        assert_eq!(of("4712"), ("m-1".to_owned(), true));
    }

    #[test]
    fn googles_states_are_ours() {
        for (status, state) in [
            (Status::Provisioning, CloudState::Pending),
            (Status::Staging, CloudState::Pending),
            (Status::Running, CloudState::Running),
            (Status::Repairing, CloudState::Running),
            (Status::from("MELTING"), CloudState::Running),
            (Status::Stopping, CloudState::Stopping),
            (Status::Terminated, CloudState::Stopped),
            (Status::Suspended, CloudState::Stopped),
            (Status::Deprovisioning, CloudState::ShuttingDown),
        ] {
            assert_eq!(read("list", &machine().set_status(status.clone()), "r").unwrap().state, state, "{status:?}");
        }
        assert_eq!(
            read("list", &machine().set_or_clear_status(None::<Status>), "r").unwrap().state,
            CloudState::Running
        );
    }

    #[test]
    fn a_machine_that_was_off_is_billed_from_its_last_start() {
        let at = |stopped: &str, started: &str| {
            let machine = machine().set_last_stop_timestamp(stopped).set_last_start_timestamp(started);
            read("list", &machine, "r").unwrap().launched.to_string()
        };
        let first = "2026-11-29T08:00:00Z";
        assert_eq!(launched(&machine().set_last_start_timestamp("2026-11-29T08:00:20Z")).unwrap().to_string(), first);
        assert_eq!(at("2026-11-29T09:00:00Z", "2026-11-29T08:00:20Z"), first);
        assert_eq!(at("2026-11-29T09:00:00Z", "2026-11-29T10:00:00Z"), "2026-11-29T10:00:00Z");
        assert_eq!(at("2026-11-29T11:00:00Z", "2026-11-29T10:00:00Z"), "2026-11-29T10:00:00Z");
    }

    #[test]
    fn both_kinds_of_what_may_be_taken_back_are_spot() {
        let of = |scheduling| read("list", &machine().set_scheduling(scheduling), "r").unwrap().market;
        assert_eq!(of(Scheduling::new().set_provisioning_model(ProvisioningModel::Spot)), Market::Spot);
        assert_eq!(of(Scheduling::new().set_preemptible(true)), Market::Spot);
        assert_eq!(of(Scheduling::new().set_provisioning_model(ProvisioningModel::Standard)), Market::OnDemand);
    }

    #[test]
    fn a_machine_that_cannot_be_read_spoils_the_listing() {
        for broken in [
            machine().set_or_clear_name(None::<String>),
            machine().set_or_clear_machine_type(None::<String>),
            machine().set_or_clear_zone(None::<String>),
            machine().set_creation_timestamp("yesterday"),
        ] {
            assert!(read("list", &broken, "r").is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let machine = machine().set_zone(&text).set_machine_type(&text).set_creation_timestamp(&text);
            let _ = read("list", &machine, "r");
        }
    }
}

//! A machine as EC2 describes it.

use aws_sdk_ec2::primitives::DateTime;
use aws_sdk_ec2::types::{Instance, InstanceLifecycleType, InstanceStateName, Placement, Tag};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::model::ids::{IntentId, MachineType, PoolName, QueueName, Revision, Term, Zone};
use crate::model::observed::{CloudInstance, CloudState, Tags};
use crate::model::settings::{Market, Provider};
use crate::world::aws::error::unreadable;
use crate::world::cloud::{CloudError, intent_of};

pub(super) const POOL_TAG: &str = "tidegate-pool";
pub(super) const QUEUE_TAG: &str = "tidegate-queue";
pub(super) const INTENT_TAG: &str = "tidegate-intent";
pub(super) const REVISION_TAG: &str = "tidegate-revision";
pub(super) const TERM_TAG: &str = "tidegate-term";
pub(super) const SETTINGS_TAG: &str = "tidegate-settings";
/// On machines that another autoscaler made: who brought them over.
pub(super) const BROUGHT_OVER_TAG: &str = "tidegate-brought-over-by";

/// Reads one machine of a listing; one that cannot be read spoils the listing, for it must not be missed.
pub(super) fn read(instance: &Instance, region: &str) -> Result<CloudInstance, CloudError> {
    let odd = |what: &str| {
        let id = instance.instance_id().unwrap_or("a machine");
        unreadable("DescribeInstances", &format!("{id} comes without {what}"))
    };
    let state = state(instance);
    Ok(CloudInstance {
        id: instance.instance_id().ok_or_else(|| odd("an id"))?.into(),
        provider: Provider::Aws,
        pod: None,
        region: region.to_owned(),
        machine_type: MachineType::from(instance.instance_type().ok_or_else(|| odd("a type"))?.as_str()),
        zone: instance.placement().and_then(Placement::availability_zone).map(Zone::from),
        market: match instance.instance_lifecycle() {
            Some(InstanceLifecycleType::Spot) => Market::Spot,
            _ => Market::OnDemand,
        },
        state,
        launched: launched(instance).ok_or_else(|| odd("a launch time"))?,
        ended: match state {
            CloudState::Pending | CloudState::Running => None,
            _ => instance.state_transition_reason().and_then(transition_time),
        },
        image: instance.image_id().filter(|id| !id.is_empty()).map(str::to_owned),
        state_reason: state_reason(instance, state),
        tags: tags(instance),
    })
}

/// A state that we do not know is one of a machine that is there.
fn state(instance: &Instance) -> CloudState {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) => CloudState::Pending,
        Some(InstanceStateName::ShuttingDown) => CloudState::ShuttingDown,
        Some(InstanceStateName::Stopping) => CloudState::Stopping,
        Some(InstanceStateName::Stopped) => CloudState::Stopped,
        Some(InstanceStateName::Terminated) => CloudState::Terminated,
        _ => CloudState::Running,
    }
}

fn state_reason(instance: &Instance, state: CloudState) -> Option<String> {
    if matches!(state, CloudState::Pending | CloudState::Running) {
        return None;
    }
    let reason = instance.state_reason().and_then(|reason| reason.message().or(reason.code()));
    reason.or(instance.state_transition_reason()).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn launched(instance: &Instance) -> Option<Timestamp> {
    instance.launch_time().and_then(|time: &DateTime| {
        Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).unwrap_or_default()).ok()
    })
}

/// The time in `User initiated (2026-11-24 12:00:00 GMT)`.
fn transition_time(reason: &str) -> Option<Timestamp> {
    let (_, bracket) = reason.rsplit_once('(')?;
    let inside = bracket.split_once(')')?.0.trim();
    let time = inside.strip_suffix("GMT").or_else(|| inside.strip_suffix("UTC"))?.trim_end();
    let time = civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", time).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

pub(super) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

fn tags(instance: &Instance) -> Tags {
    let tag = |key| tag(instance.tags(), key).filter(|value| !value.is_empty());
    let place = instance.ami_launch_index().and_then(|index| u32::try_from(index).ok());
    Tags {
        pool: tag(POOL_TAG).map(PoolName::from),
        queue: tag(QUEUE_TAG).map(QueueName::from),
        intent: tag(INTENT_TAG).and_then(|tag| intent(tag, place)),
        revision: tag(REVISION_TAG).map(Revision::new),
        term: tag(TERM_TAG).and_then(|term| term.parse().ok()).map(Term),
        settings: tag(SETTINGS_TAG).map(str::to_owned),
        brought_over: tag(BROUGHT_OVER_TAG).is_some(),
    }
}

/// The tag is a batch, in which the machine has its place, or the whole intent, where EC2 chose: no batch has a dot.
fn intent(tag: &str, place: Option<u32>) -> Option<IntentId> {
    if tag.contains('.') { Some(IntentId::from(tag)) } else { Some(intent_of(&IntentId::from(tag), place?)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{InstanceState, InstanceType, StateReason};
    use proptest::prelude::*;

    fn machine() -> aws_sdk_ec2::types::builders::InstanceBuilder {
        Instance::builder()
            .instance_id("i-1")
            .instance_type(InstanceType::G5Xlarge)
            .launch_time(DateTime::from_secs(60))
    }

    fn in_state(name: InstanceStateName) -> aws_sdk_ec2::types::builders::InstanceBuilder {
        machine()
            .state(InstanceState::builder().name(name).build())
            .state_transition_reason("User initiated (2026-11-24 12:00:00 GMT)")
            .state_reason(StateReason::builder().code("Client.X").message("Client.X: someone").build())
    }

    #[test]
    fn the_end_of_a_machine_is_in_the_words_of_its_transition() {
        let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (reason, ended) in [
            ("User initiated (2026-11-24 12:00:00 GMT)", Some(noon)),
            ("User initiated (2026-11-24 12:00:00 UTC)", Some(noon)),
            ("User initiated", None),
            ("", None),
            ("Server.SpotInstanceTermination", None),
            ("User initiated (2026-11-24 12:00:00 CET)", None),
            ("User initiated (yesterday GMT)", None),
            ("User initiated (2026-13-24 12:00:00 GMT)", None),
        ] {
            assert_eq!(transition_time(reason), ended, "{reason}");
        }
    }

    #[test]
    fn a_machine_that_is_up_has_no_end() {
        for (name, state, ends) in [
            (InstanceStateName::Running, CloudState::Running, false),
            (InstanceStateName::Stopped, CloudState::Stopped, true),
            (InstanceStateName::ShuttingDown, CloudState::ShuttingDown, true),
            (InstanceStateName::Terminated, CloudState::Terminated, true),
            (InstanceStateName::from("melting"), CloudState::Running, false),
        ] {
            let read = read(&in_state(name).build(), "us-east-1").unwrap();
            assert_eq!((read.state, read.ended.is_some()), (state, ends), "{state:?}");
            assert_eq!(read.state_reason.is_some(), state != CloudState::Running, "{state:?}");
        }
    }

    #[test]
    fn a_machine_that_cannot_be_read_spoils_the_listing() {
        for broken in [
            machine().set_instance_id(None),
            machine().set_instance_type(None),
            machine().set_launch_time(None),
            machine().launch_time(DateTime::from_secs(i64::MAX)),
        ] {
            assert!(read(&broken.build(), "us-east-1").is_err());
        }
        assert!(read(&machine().build(), "us-east-1").is_ok());
    }

    #[test]
    fn an_intent_needs_the_place_in_the_batch() {
        let batch = Tag::builder().key(INTENT_TAG).value("b1").build();
        let with = read(&machine().tags(batch.clone()).ami_launch_index(3).build(), "us-east-1").unwrap();
        assert_eq!(with.tags.intent, Some("b1.3".into()));
        let without = read(&machine().tags(batch).build(), "us-east-1").unwrap();
        assert_eq!(without.tags.intent, None);
        let whole = Tag::builder().key(INTENT_TAG).value("b1.0").build();
        let whole = read(&machine().tags(whole).ami_launch_index(3).build(), "us-east-1").unwrap();
        assert_eq!(whole.tags.intent, Some("b1.0".into()), "whatever its place in the reservation");
    }

    proptest! {
        #[test]
        fn any_reason_is_read_or_left(text in ".*", inside in ".*") {
            let _ = transition_time(&text);
            let _ = transition_time(&format!("User initiated ({inside} GMT)"));
        }
    }
}

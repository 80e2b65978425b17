//! Disks that outlive their machines: told when they are seen, deleted after a grace, and only ours.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate::world::cloud::{Cloud, Leftover, Sweep};

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, order};

const ZONE: &str = "us-central1-a";
const DELETE: &str = "disks.delete";

fn sweep_at(minute: i64) -> Sweep {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
    Sweep { fleet: "research".into(), region: REGION.to_owned(), now, spot_requests: true, templates: true }
}

#[tokio::test]
async fn a_disk_without_a_machine_is_told_then_deleted_and_no_other_is_touched() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    assert!(cloud.may_leave_behind());
    let ids: Vec<_> = cloud.launch(&order("b1", 2)).await.unwrap().into_iter().map(|made| made.id).collect();
    let ours = json!({"tidegate-fleet": "research"});
    {
        let mut state = fake.state();
        state.leaks = true;
        state.add_disk(ZONE, "theirs", &json!({"tidegate-fleet": "research2"}), None);
        state.add_disk(ZONE, "nobodys", &json!({}), None);
        state.add_disk("us-east1-b", "elsewhere", &ours, None);
    }
    cloud.terminate(REGION, &ids[..1]).await.unwrap();
    let sweep = async |minute| cloud.sweep(&sweep_at(minute)).await.unwrap();
    let (id, deleted_at) = (format!("{ZONE}/{}", ids[0]), Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1));
    assert_eq!(sweep(0).await, [Leftover::Disk { id: id.clone(), gigabytes: 50, deleted_at }]);
    assert!(sweep(59).await.is_empty(), "it is told once, and left alone for an hour");
    assert!(fake.asked(DELETE).is_empty());
    assert_eq!(sweep(60).await, [Leftover::DiskDeleted { id, gigabytes: 50 }]);
    assert!(sweep(75).await.is_empty());
    let left: Vec<_> = fake.state().disks.keys().map(|(_, name)| name.clone()).collect();
    assert_eq!(left, ["nobodys", "theirs", ids[1].as_str(), "elsewhere"]);
}

#[tokio::test]
async fn a_disk_that_is_taken_or_gone_meanwhile_is_left_and_a_no_is_told() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    fake.state().add_disk(ZONE, "left", &json!({"tidegate-fleet": "research"}), None);
    cloud.sweep(&sweep_at(0)).await.unwrap();
    for no in [No::Http(400, "resourceInUseByAnotherResource"), No::Http(404, "notFound")] {
        fake.state().noes = vec![(DELETE, "", no)];
        assert!(cloud.sweep(&sweep_at(60)).await.unwrap().is_empty(), "{no:?}");
    }
    for no in [No::Http(403, "forbidden"), No::Fails("INTERNAL_ERROR", "")] {
        fake.state().noes = vec![(DELETE, "", no)];
        let error = cloud.sweep(&sweep_at(60)).await.unwrap_err();
        assert!(error.message.starts_with("us-central1-a/left: disks.delete"), "{error}");
    }
    fake.state().noes = vec![("disks.aggregatedList", "", No::Http(403, "forbidden"))];
    assert!(cloud.sweep(&sweep_at(60)).await.is_err());
    assert_eq!(cloud.sweep(&sweep_at(60)).await.unwrap().len(), 1, "what could not be seen had been seen for an hour");
}

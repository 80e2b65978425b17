//! Disks that outlive their machines: told when they are seen, deleted after a grace, and only ours.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate::model::settings::GceSettings;
use tidegate::world::cloud::{Cloud, Leftover, Sweep};

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, order};

const ZONE: &str = "us-central1-a";
const DELETE: &str = "disks.delete";
const LABEL: &str = "disks.setLabels";

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
async fn disks_of_a_machine_image_are_labelled_and_swept_and_those_of_others_are_not() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let mut order = order("b1", 1);
    order.pool.launch.gce = GceSettings { machine_image: Some("golden".to_owned()), ..GceSettings::default() };
    let id = cloud.launch(&order).await.unwrap().remove(0).id;
    let list = async || drop(cloud.list(&"research".into(), REGION).await.unwrap());
    {
        // A person attached one of their own, of long ago, and one of another fleet's is there too.
        let mut state = fake.state();
        for (name, labels) in [("data", json!({})), ("others", json!({"tidegate-fleet": "research2"}))] {
            state.add_disk(ZONE, name, &labels, Some(id.as_str()));
            let machine = state.machines.values_mut().next().unwrap();
            let source = format!("https://www.googleapis.com/compute/v1/projects/proj-1/zones/{ZONE}/disks/{name}");
            machine["disks"].as_array_mut().unwrap().push(json!({"source": source}));
        }
        let data = state.disks.get_mut(&(ZONE.to_owned(), "data".to_owned())).unwrap();
        data["creationTimestamp"] = json!("2026-11-01T00:00:00.000-08:00");
    }
    let no = No::Http(412, "conditionNotMet");
    fake.state().noes = vec![(LABEL, "", no), (LABEL, "", No::Http(403, "forbidden"))];
    for _ in 0..4 {
        list().await;
    }
    let labels = |name: &str| fake.state().disks[&(ZONE.to_owned(), name.to_owned())]["labels"].clone();
    let second = format!("{id}-1");
    for name in [id.as_str(), &second] {
        let labels = labels(name);
        assert_eq!((&labels["tidegate-fleet"], &labels["of"]), (&json!("research"), &json!("the-image")), "{name}");
        assert_eq!(labels["tidegate-intent"], "b1.0".replace('.', "_2e"), "{labels}");
    }
    assert_eq!((labels("data"), &labels("others")["tidegate-fleet"]), (json!({}), &json!("research2")));
    let asked = fake.asked(LABEL).len();
    assert_eq!(asked, 4, "two were refused once");
    list().await;
    assert_eq!((fake.asked(LABEL).len(), fake.asked("disks.get").len()), (asked, 8), "nobody asks any more");

    fake.state().leaks = true;
    cloud.terminate(REGION, std::slice::from_ref(&id)).await.unwrap();
    let sweep = async |minute| cloud.sweep(&sweep_at(minute)).await.unwrap();
    assert_eq!(sweep(0).await.len(), 2);
    assert_eq!(sweep(60).await.len(), 2);
    let left: Vec<_> = fake.state().disks.keys().map(|(_, name)| name.clone()).collect();
    assert_eq!(left, ["data", "others"]);
}

#[tokio::test]
async fn a_disk_that_could_not_be_labelled_is_told_by_the_sweep_and_labelled_though_its_machine_is_gone() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let mut order = order("b1", 1);
    order.pool.launch.gce = GceSettings { machine_image: Some("golden".to_owned()), ..GceSettings::default() };
    let id = cloud.launch(&order).await.unwrap().remove(0).id;
    fake.state().noes = vec![(LABEL, "", No::Http(403, "forbidden")); 12];
    for _ in 0..9 {
        cloud.list(&"research".into(), REGION).await.unwrap();
    }
    assert_eq!(fake.asked(LABEL).len(), 10, "listings do not try for ever");
    let error = cloud.sweep(&sweep_at(0)).await.unwrap_err();
    assert!(error.message.starts_with("us-central1-a/tidegate-b1-0") && error.message.contains(LABEL), "{error}");
    fake.state().leaks = true;
    cloud.terminate(REGION, &[id]).await.unwrap();
    cloud.list(&"research".into(), REGION).await.unwrap();
    assert!(cloud.sweep(&sweep_at(15)).await.unwrap().is_empty());
    assert_eq!(cloud.sweep(&sweep_at(30)).await.unwrap().len(), 2);
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

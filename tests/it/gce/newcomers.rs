//! Machines that the GCP app's own autoscaler made: taken over by labels, known from then on as their workers call them.

use serde_json::json;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::{Cloud, Newcomer};

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce};

const ZONE: &str = "us-central1-b";

fn newcomer(instance: &str) -> Newcomer {
    Newcomer {
        instance: instance.into(),
        fleet: "research".into(),
        pool: "L4".into(),
        queue: "gpu large".into(),
        by: "ann@desk".into(),
    }
}

/// As theirs makes one; Google's number of it.
fn theirs(fake: &Fake, name: &str) -> String {
    let machine = json!({"name": name, "machineType": format!("zones/{ZONE}/machineTypes/g2-standard-4"),
        "labels": {"team": "vision"}});
    let mut state = fake.state();
    state.add(ZONE, machine);
    let key = (ZONE.to_owned(), name.to_owned());
    let machine = state.machines.get_mut(&key).unwrap();
    machine["status"] = json!("RUNNING");
    machine["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_is_brought_over_by_its_number_and_ended_by_it() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let (id, other) = (theirs(&fake, "clearml-worker-0a"), theirs(&fake, "clearml-worker-0b"));
    assert_eq!(cloud.list(&"research".into(), REGION).await.unwrap(), []);
    cloud.bring_over(REGION, &newcomer(&id)).await.unwrap();
    let call = fake.asked("instances.setLabels").remove(0);
    assert_eq!((call.parameters["instance"].as_str(), call.parameters["zone"].as_str()), (id.as_str(), ZONE));
    assert_eq!(call.body["labels"]["team"], "vision", "its own labels stay");
    let listed = cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
    assert_eq!((listed.id.as_str(), listed.tags.brought_over), (id.as_str(), true));
    assert_eq!((listed.tags.pool, listed.tags.queue), (Some("L4".into()), Some("gpu large".into())));

    // A console that has not listed it looks it up by its number.
    let log = gce(&fake).console(REGION, &listed.id).await.unwrap();
    assert!(log.contains("tidegate guard"), "{log}");
    cloud.terminate(REGION, &[listed.id]).await.unwrap();
    let left: Vec<_> = fake.state().machines.values().map(|machine| machine["id"].clone()).collect();
    assert_eq!(left, [json!(other)]);
}

#[tokio::test]
async fn one_that_is_named_by_its_name_stays_so() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    theirs(&fake, "clearml-worker-0a");
    cloud.bring_over(REGION, &newcomer("clearml-worker-0a")).await.unwrap();
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed[0].id.as_str(), "clearml-worker-0a");
}

#[tokio::test]
async fn what_is_not_there_or_is_somebody_s_or_changed_meanwhile_is_refused() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let refused = async |newcomer: &Newcomer, said: &str| {
        let error = cloud.bring_over(REGION, newcomer).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (ErrorClass::BadRequest, false), "{error}");
        assert!(error.message.contains(said), "{said}: {error}");
    };
    refused(&newcomer("4711"), "there is no machine 4711 in project proj-1").await;
    let id = theirs(&fake, "clearml-worker-0a");
    let long = Newcomer { queue: "q".repeat(64).as_str().into(), ..newcomer(&id) };
    refused(&long, "is too long for a label of Google's").await;
    fake.state().noes = vec![("instances.setLabels", "", No::Http(412, "conditionNotMet"))];
    refused(&newcomer(&id), "conditionNotMet").await;
    fake.state().switched_off(ZONE, "clearml-worker-0a");
    refused(&newcomer(&id), "it does not run any more").await;
    let mut ours = newcomer(&theirs(&fake, "clearml-worker-0b"));
    cloud.bring_over(REGION, &ours).await.unwrap();
    ours.fleet = "another".into();
    refused(&ours, "it is of fleet research already").await;
}

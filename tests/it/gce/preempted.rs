//! Spot machines that Google takes back: known as taken by it, with few questions.

use tidegate::model::ids::InstanceId;
use tidegate::model::observed::CloudState;
use tidegate::model::settings::{Market, Provisioning};
use tidegate::world::cloud::Cloud;

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, order};

const OPERATIONS: &str = "zoneOperations.list";
const ZONE: &str = "us-central1-a";

#[tokio::test]
async fn a_machine_that_google_took_and_deleted_is_listed_as_taken() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let mut order = order("b1", 3);
    order.launch.market = Market::Spot;
    let ids: Vec<InstanceId> = cloud.launch(&order).await.unwrap().into_iter().map(|made| made.id).collect();
    let list = async || cloud.list(&"research".into(), REGION).await.unwrap();
    assert!(list().await.iter().all(|machine| !machine.is_interrupted()));
    cloud.terminate(REGION, &ids[..1]).await.unwrap();
    list().await;
    assert!(fake.asked(OPERATIONS).is_empty(), "nobody asks while nothing is missing, or what we ended is");

    fake.state().preempt(ZONE, ids[1].as_str());
    let listed = list().await;
    let taken = listed.iter().find(|machine| machine.id == ids[1]).unwrap();
    assert_eq!((taken.state, taken.is_interrupted()), (CloudState::Terminated, true));
    assert_eq!(taken.state_reason.as_deref(), Some("compute.instances.preempted: Instance was preempted."));
    assert_eq!(taken.ended, Some("2026-11-29T11:00:00Z".parse().unwrap()));
    list().await;
    let asked = fake.asked(OPERATIONS);
    assert_eq!(asked.len(), 1, "once it is known nobody asks again");
    assert_eq!(asked[0].parameters["filter"], "operationType=\"compute.instances.preempted\"");
    assert_eq!(asked[0].parameters["zone"], ZONE);
}

#[tokio::test]
async fn one_that_it_only_switched_off_says_so_too_and_who_may_not_ask_still_sees_the_machines() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let mut order = order("b1", 2);
    order.launch.market = Market::Spot;
    order.pool.launch.gce.provisioning = Provisioning::Preemptible;
    let made = cloud.launch(&order).await.unwrap().remove(0);
    let list = async || cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
    list().await;
    fake.state().preempt(ZONE, made.id.as_str());
    fake.state().noes = vec![(OPERATIONS, "", No::Http(403, "forbidden"))];
    let off = list().await;
    assert_eq!((off.state, off.is_interrupted()), (CloudState::Stopped, false));
    let off = list().await;
    assert_eq!((off.state, off.is_interrupted()), (CloudState::Stopped, true));
}

#[tokio::test]
async fn one_that_switched_itself_off_was_not_taken_and_is_asked_after_a_few_times_only() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let mut order = order("b1", 1);
    order.launch.market = Market::Spot;
    let made = cloud.launch(&order).await.unwrap().remove(0);
    fake.state().switched_off(ZONE, made.id.as_str());
    for _ in 0..10 {
        let off = cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
        assert_eq!((off.state, off.is_interrupted()), (CloudState::Stopped, false));
    }
    assert_eq!(fake.asked(OPERATIONS).len(), 6);
}

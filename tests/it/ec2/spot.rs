//! Spot requests: one-time, cancelled with their machine, and never left open.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tidegate::model::settings::Market;
use tidegate::world::cloud::{Cloud, LaunchOrder, Leftover, Sweep};

use crate::ec2::fake::{State, Twist, serve};
use crate::ec2::{REGION, ec2, order};

fn spot(batch: &str, count: u32) -> LaunchOrder {
    let mut order = order(batch, count);
    order.launch.market = Market::Spot;
    order.pool.market = Market::Spot;
    order
}

#[tokio::test]
async fn a_spot_request_is_cancelled_with_its_machine_and_never_in_its_place() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let made = cloud.launch(&spot("b1", 3)).await.unwrap();
    let on_demand = cloud.launch(&order("b2", 1)).await.unwrap().remove(0).id;
    cloud.list(&"research".into(), REGION).await.unwrap();

    cloud.terminate(REGION, &[made[0].id.clone(), on_demand.clone()]).await.unwrap();
    assert_eq!(state.lock().unwrap().terminated, [made[0].id.to_string(), on_demand.to_string()]);
    assert_eq!(state.lock().unwrap().cancelled, ["sir-00000000"]);
    cloud.terminate(REGION, std::slice::from_ref(&made[0].id)).await.unwrap();
    assert_eq!(state.lock().unwrap().cancelled.len(), 1, "once");

    // One that is gone keeps neither the machines nor the other requests.
    state.lock().unwrap().cancelled.push("sir-00000001".to_owned());
    cloud.terminate(REGION, &[made[1].id.clone(), made[2].id.clone()]).await.unwrap();
    assert_eq!(state.lock().unwrap().terminated.len(), 5);
    assert_eq!(state.lock().unwrap().cancelled, ["sir-00000000", "sir-00000001", "sir-00000002"]);
}

#[tokio::test]
async fn row_31_a_launch_opens_no_persistent_request_and_one_that_stays_open_is_cancelled() {
    let state = Arc::new(Mutex::new(State { twists: [Twist::Garbled].into(), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    assert!(cloud.launch(&spot("b1", 1)).await.unwrap_err().may_have_acted);
    let kind = state.lock().unwrap().form["InstanceMarketOptions.SpotOptions.SpotInstanceType"].clone();
    assert_eq!(kind, "one-time");
    // What the cloud should not do, and did: our request waits, and so does another's.
    let open = [("sir-ours", "research"), ("sir-theirs", "research2")];
    state.lock().unwrap().open_requests = open.map(|(id, fleet)| (id.to_owned(), fleet.to_owned())).into();

    let sweep = async |minutes, spot_requests| {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let (fleet, region) = ("research".into(), REGION.to_owned());
        cloud.sweep(&Sweep { fleet, region, now, spot_requests, templates: false }).await.unwrap()
    };
    assert_eq!(sweep(0, true).await, [], "its launch may still be under way");
    assert_eq!(sweep(15, false).await, []);
    assert_eq!(sweep(15, true).await, [Leftover::RequestCancelled { id: "sir-ours".to_owned() }]);
    assert_eq!(sweep(30, true).await, []);
    assert_eq!(state.lock().unwrap().cancelled, ["sir-ours"]);
}

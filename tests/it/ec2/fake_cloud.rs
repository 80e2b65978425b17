//! Launches on the fake: one token, one set of machines.

use std::sync::{Arc, Mutex};

use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::Cloud;

use crate::ec2::fake::{State, serve};
use crate::ec2::{REGION, ec2, order};

#[tokio::test]
async fn a_batch_under_one_token_is_made_once_and_each_machine_knows_its_place() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let first = cloud.launch(&order("b1", 3)).await.unwrap();
    let again = cloud.launch(&order("b1", 3)).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(state.lock().unwrap().machines(), 3);
    let intents: Vec<_> = first.iter().map(|made| made.intent.to_string()).collect();
    assert_eq!(intents, ["b1.0", "b1.1", "b1.2"]);
}

#[tokio::test]
async fn fewer_than_asked_for_is_success() {
    let state = Arc::new(Mutex::new(State { room: [(String::new(), 2)].into(), ..State::default() }));
    let cloud = ec2(&serve(state).await).await;
    assert_eq!(cloud.launch(&order("b1", 5)).await.unwrap().len(), 2);
    let error = cloud.launch(&order("b2", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Capacity, false));
}

#[tokio::test]
async fn the_next_subnet_is_tried_under_a_new_token_and_only_after_a_definite_no() {
    let state = Arc::new(Mutex::new(State { room: [("subnet-a".to_owned(), 0)].into(), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    let mut order = order("b1", 2);
    order.pool.launch.subnets = vec!["subnet-a".to_owned(), "subnet-b".to_owned()];
    assert_eq!(cloud.launch(&order).await.unwrap().len(), 2);
    let tried = std::mem::take(&mut state.lock().unwrap().launches);
    assert_eq!(tried, [("b1".into(), "subnet-a".into()), ("b1-1".into(), "subnet-b".into())]);

    state.lock().unwrap().room.clear();
    state.lock().unwrap().garbled_launches = 1;
    order.batch = "b2".into();
    let error = cloud.launch(&order).await.unwrap_err();
    assert!(error.may_have_acted, "{error}");
    assert_eq!(state.lock().unwrap().launches, [("b2".to_owned(), "subnet-a".to_owned())]);
    assert_eq!(state.lock().unwrap().machines(), 4, "the garbled launch acted");
}

#[tokio::test]
async fn a_machine_that_the_cloud_shows_late_is_found_by_its_intent() {
    let state = Arc::new(Mutex::new(State { late_listings: 2, garbled_launches: 1, ..State::default() }));
    let cloud = ec2(&serve(state).await).await;
    assert!(cloud.launch(&order("b1", 1)).await.unwrap_err().may_have_acted);
    for _ in 0..2 {
        assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());
    }
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed[0].tags.intent, Some("b1.0".into()));
}

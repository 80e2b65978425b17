//! Launches on the fake: one token, one set of machines.

use std::sync::{Arc, Mutex};

use tidegate::model::observed::CloudState;
use tidegate::model::snapshot::{ErrorClass, Quota};
use tidegate::world::cloud::Cloud;

use crate::ec2::fake::{State, Twist, serve};
use crate::ec2::{REGION, ec2, first_of, order};

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
    state.lock().unwrap().twists.push_back(Twist::Garbled);
    order.batch = "b2".into();
    let error = cloud.launch(&order).await.unwrap_err();
    assert!(error.may_have_acted, "{error}");
    assert_eq!(state.lock().unwrap().launches, [("b2".to_owned(), "subnet-a".to_owned())]);
    assert_eq!(state.lock().unwrap().machines(), 4, "the garbled launch acted");
}

#[tokio::test]
async fn a_machine_that_the_cloud_shows_late_is_found_by_its_intent() {
    let state = Arc::new(Mutex::new(State { late_listings: 2, twists: [Twist::Garbled].into(), ..State::default() }));
    let cloud = ec2(&serve(state).await).await;
    assert!(cloud.launch(&order("b1", 1)).await.unwrap_err().may_have_acted);
    for _ in 0..2 {
        assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());
    }
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed[0].tags.intent, Some("b1.0".into()));
}

#[tokio::test]
async fn a_launch_that_acted_unheard_makes_no_second_machine_and_none_is_forgotten() {
    for (twist, class) in [
        (Twist::Garbled, ErrorClass::Unknown),
        (Twist::Throttled, ErrorClass::Throttle),
        (Twist::Late, ErrorClass::Unknown),
    ] {
        let state = Arc::new(Mutex::new(State { twists: [twist].into(), late_listings: 1, ..State::default() }));
        let url = serve(state.clone()).await;
        let cloud = ec2(&url).await;
        let mut order = order("b1", 2);
        order.pool.launch.subnets = vec!["subnet-a".to_owned(), "subnet-b".to_owned()];
        let error = first_of(twist, &url).await.launch(&order).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (class, true), "{twist:?}: {error}");
        assert_eq!(state.lock().unwrap().launches.len(), 1, "{twist:?}: the SDK and we try nothing more");

        // Unheard, unseen, asked again under its own token: the same machines.
        assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());
        let again = cloud.launch(&order).await.unwrap();
        assert_eq!((again.len(), state.lock().unwrap().machines()), (2, 2), "{twist:?}");
        let listed = cloud.list(&"research".into(), REGION).await.unwrap();
        let intents: Vec<_> = listed.iter().filter_map(|machine| machine.tags.intent.clone()).collect();
        assert_eq!(intents, ["b1.0".into(), "b1.1".into()], "{twist:?}: each machine knows its intent");
    }
}

#[tokio::test]
async fn refused_tags_refuse_the_machine() {
    let state = Arc::new(Mutex::new(State { twists: [Twist::TagsRefused].into(), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    let error = cloud.launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::BadRequest, false), "{error}");
    let state = state.lock().unwrap();
    assert_eq!(state.machines(), 0);
    // They are in the call itself: no machine is ever without them.
    assert!(state.form.iter().any(|(name, value)| name.ends_with(".Key") && value == "tidegate-intent"));
}

#[tokio::test]
async fn a_passed_quota_says_how_far_it_is_used_by_whoever() {
    let state = Arc::new(Mutex::new(State { vcpu_quota: Some((32, 12)), ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    cloud.launch(&order("b1", 2)).await.unwrap();
    let error = cloud.launch(&order("b2", 4)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Quota, false));
    assert_eq!(error.quota, Some(Quota { limit: 32, in_use: 20, unit: "vCPU".to_owned() }));
    assert!(error.message.ends_with("; 20 of 32 vCPU in use"), "{error}");
    assert_eq!(cloud.launch(&order("b3", 3)).await.unwrap().len(), 3, "what it still holds");
}

#[tokio::test]
async fn a_machine_that_the_cloud_takes_back_is_seen_ending_by_the_clouds_word() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let made = cloud.launch(&order("b1", 2)).await.unwrap();
    state.lock().unwrap().interrupted.push(made[0].id.to_string());
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed[0].state, CloudState::ShuttingDown);
    assert_eq!(listed[0].state_reason.as_deref(), Some("Server.SpotInstanceTermination"));
    assert_eq!((listed[1].state, listed[1].state_reason.as_deref()), (CloudState::Pending, None));
}

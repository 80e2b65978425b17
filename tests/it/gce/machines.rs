//! Machines that are there: listed, ended, switched off and on, read.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tidegate::model::ids::InstanceId;
use tidegate::model::observed::CloudState;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::Cloud;

use crate::gce::fake::{Fake, No, TOKEN};
use crate::gce::{REGION, gce, gce_with, hasty, order};

/// A machine of somebody's, as small as can be.
fn other(name: &str, zone: &str, fleet: &str) -> serde_json::Value {
    json!({"name": name, "machineType": format!("zones/{zone}/machineTypes/e2-micro"),
        "labels": {"tidegate-fleet": fleet}})
}

#[tokio::test]
async fn all_pages_of_the_fleet_and_the_region_are_listed() {
    let fake = Fake::start().await;
    gce(&fake).launch(&order("b1", 5)).await.unwrap();
    fake.state().add("us-east1-b", other("elsewhere", "us-east1-b", "research"));
    fake.state().add("us-central1-b", other("b", "us-central1-b", "research-2"));
    fake.state().add("us-central1-b", other("a", "us-central1-b", "research"));
    let listed = gce(&fake).with_page_size(2).list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed.len(), 6);
    let unlabelled = listed.iter().find(|machine| machine.id.as_str() == "a").unwrap();
    assert_eq!((unlabelled.tags.intent.clone(), unlabelled.tags.pool.clone()), (None, None));
    let pages = fake.asked("instances.aggregatedList");
    assert_eq!(pages.len(), 4);
    assert!(pages.iter().all(|page| page.parameters["filter"] == "labels.tidegate-fleet=\"research\""));
}

#[tokio::test]
async fn a_zone_that_does_not_answer_spoils_the_listing_of_its_region() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    fake.state().unreachable = Some("zones/us-central1-f");
    let error = cloud.list(&"research".into(), REGION).await.unwrap_err();
    assert!(error.message.contains("zones/us-central1-f did not answer"), "{error}");
    fake.state().unreachable = Some("zones/us-east1-b");
    assert!(cloud.list(&"research".into(), REGION).await.unwrap().is_empty());
}

#[tokio::test]
async fn any_fleet_pool_and_queue_is_read_back() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.fleet = "Größe*1".into();
    order.launch.queue = "a queue whose name is far too long for any label that Google takes".into();
    gce(&fake).launch(&order).await.unwrap();
    let listed = gce(&fake).list(&order.fleet, REGION).await.unwrap().remove(0);
    assert_eq!(listed.tags.queue, Some(order.launch.queue));
    assert!(gce(&fake).list(&"Gr".into(), REGION).await.unwrap().is_empty());
}

#[tokio::test]
async fn ended_machines_are_gone_and_one_that_is_not_there_is_success() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let ids: Vec<InstanceId> = cloud.launch(&order("b1", 3)).await.unwrap().into_iter().map(|made| made.id).collect();
    // One that was never listed just is not there any more.
    cloud.terminate(REGION, &ids[..1]).await.unwrap();
    assert_eq!(cloud.list(&"research".into(), REGION).await.unwrap().len(), 2);
    // Of one that was, the call's own operation says that it ended, and when.
    cloud.terminate(REGION, &ids[1..2]).await.unwrap();
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!((&listed[0].id, listed[0].state), (&ids[2], CloudState::Running));
    assert_eq!((&listed[1].id, listed[1].state), (&ids[1], CloudState::Terminated));
    assert_eq!((listed.len(), listed[1].ended), (2, Some("2026-11-29T11:00:00Z".parse().unwrap())));
    cloud.terminate(REGION, &ids[..1]).await.unwrap();
    // A console that has just begun does not know where the machine stands.
    gce(&fake).terminate(REGION, &ids[2..]).await.unwrap();
    assert!(fake.state().machines.is_empty());
    gce(&fake).terminate(REGION, &ids).await.unwrap();
}

#[tokio::test]
async fn an_end_that_fails_is_no_success_and_one_that_takes_long_is_taken() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let ids: Vec<InstanceId> = cloud.launch(&order("b1", 2)).await.unwrap().into_iter().map(|made| made.id).collect();
    let delete = "instances.delete";
    for (no, class) in [
        (No::Fails("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", ""), ErrorClass::BadRequest),
        (No::Fails("INTERNAL_ERROR", ""), ErrorClass::Unknown),
        (No::Http(403, "forbidden"), ErrorClass::Credentials),
    ] {
        fake.state().noes = vec![(delete, "", no)];
        let error = cloud.terminate(REGION, &ids[..1]).await.unwrap_err();
        assert_eq!(error.class, class, "{no:?}: {error}");
    }
    let cloud = hasty(&fake);
    fake.state().noes = vec![(delete, "", No::Hangs)];
    cloud.terminate(REGION, &ids[..1]).await.unwrap();
    assert!(cloud.list(&"research".into(), REGION).await.unwrap().iter().all(|one| one.state == CloudState::Running));
    // It goes on when nobody waits for it any more.
    fake.state().polls = 40;
    cloud.terminate(REGION, &ids[1..]).await.unwrap();
    let ended = async || {
        let listed = cloud.list(&"research".into(), REGION).await.unwrap();
        listed.iter().any(|one| one.id == ids[1] && one.state == CloudState::Terminated)
    };
    fake.state().end_all();
    assert!(ended().await);
}

#[tokio::test]
async fn a_machine_is_switched_off_and_on_and_its_bill_begins_anew() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let id = cloud.launch(&order("b1", 1)).await.unwrap().remove(0).id;
    let only = std::slice::from_ref(&id);
    let first = cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
    cloud.stop(REGION, only).await.unwrap();
    let off = cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
    assert_eq!((off.state, off.launched), (CloudState::Stopped, first.launched));
    assert_eq!(off.ended, Some("2026-11-29T09:00:00Z".parse().unwrap()));
    cloud.stop(REGION, only).await.unwrap();

    let start = "instances.start";
    fake.state().noes = vec![(start, "", No::Fails("ZONE_RESOURCE_POOL_EXHAUSTED", ""))];
    let error = cloud.start(REGION, only).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Capacity, false));
    fake.state().noes = vec![(start, "", No::Hangs)];
    assert!(hasty(&fake).start(REGION, only).await.unwrap_err().may_have_acted);
    cloud.start(REGION, only).await.unwrap();
    let on = cloud.list(&"research".into(), REGION).await.unwrap().remove(0);
    assert_eq!((on.state, on.ended), (CloudState::Running, None));
    assert_eq!(on.launched, "2026-11-29T10:00:00Z".parse().unwrap());
    let error = cloud.stop(REGION, &["none".into()]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadRequest, "{error}");
}

#[tokio::test]
async fn the_console_is_what_the_machine_wrote_on_its_first_port() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let id = cloud.launch(&order("b1", 1)).await.unwrap().remove(0).id;
    assert_eq!(cloud.console(REGION, &id).await.unwrap(), "SeaBIOS\nport 1: tidegate guard\n");
    assert_eq!(cloud.console(REGION, &"none".into()).await.unwrap_err().class, ErrorClass::BadRequest);
}

#[tokio::test]
async fn a_token_that_expired_is_told_and_a_new_one_is_taken() {
    let fake = Fake::start().await;
    let token = Arc::new(Mutex::new(TOKEN.to_owned()));
    let cloud = gce_with(&fake, &token);
    assert_eq!(
        cloud.check(REGION).await.unwrap(),
        "Compute Engine in us-central1 takes the credentials for project proj-1"
    );
    fake.take_only("another");
    for error in [
        cloud.list(&"research".into(), REGION).await.unwrap_err(),
        cloud.check(REGION).await.unwrap_err(),
        cloud.launch(&order("b1", 1)).await.unwrap_err(),
    ] {
        assert_eq!((error.class, error.may_have_acted), (ErrorClass::Credentials, false), "{error}");
        assert!(error.message.contains("HTTP 401"), "{error}");
    }
    "another".clone_into(&mut token.lock().unwrap());
    assert_eq!(cloud.launch(&order("b1", 1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_did_nothing() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let credentials = google_cloud_auth::credentials::anonymous::Builder::new().build();
    let cloud = tidegate::world::gce::Gce::with_endpoint(&url, "proj-1", credentials);
    let error = cloud.launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Unknown, false), "{error}");
}

#[tokio::test]
async fn who_has_no_token_sends_nothing() {
    let fake = Fake::start().await;
    let credentials = google_cloud_auth::credentials::testing::error_credentials(false);
    let cloud = tidegate::world::gce::Gce::with_endpoint(&fake.url, "proj-1", credentials);
    let error = cloud.launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Credentials, false), "{error}");
    assert!(fake.state().asked.is_empty());
}

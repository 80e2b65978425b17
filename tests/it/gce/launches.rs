//! Launches: what is asked for, where, how often, and what each no comes to.

use serde_json::{Value, json};
use tidegate::model::observed::CloudState;
use tidegate::model::settings::{DiskKind, GceSettings, Market, Provisioning};
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::Cloud;

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, hasty, order};

const INSERT: &str = "instances.insert";
const ZONE: &str = "us-central1-a";

fn label<'a>(machine: &'a Value, name: &str) -> &'a str {
    machine["labels"][name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_batch_is_a_machine_for_each_intent_and_all_are_listed() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    let made = cloud.launch(&order("b1", 3)).await.unwrap();
    let intents: Vec<_> = made.iter().map(|made| made.intent.to_string()).collect();
    assert_eq!(intents, ["b1.0", "b1.1", "b1.2"]);
    let ids: Vec<_> = made.iter().map(|made| made.id.to_string()).collect();
    assert_eq!(ids, ["tidegate-b1-0", "tidegate-b1-1", "tidegate-b1-2"]);
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    for (made, listed) in made.iter().zip(&listed) {
        assert_eq!((&made.id, made.launched, &made.zone), (&listed.id, Some(listed.launched), &listed.zone));
        assert_eq!((listed.state, listed.tags.intent.as_ref()), (CloudState::Running, Some(&made.intent)));
        assert_eq!((listed.market, listed.machine_type.as_str()), (Market::OnDemand, "g2-standard-4"));
        assert_eq!(listed.tags.queue, Some("gpu large".into()));
        assert_eq!(listed.tags.pool, Some("L4".into()));
    }
    assert_eq!(fake.asked(INSERT).len(), 3);
}

#[tokio::test]
async fn the_machine_is_all_that_the_settings_say() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.pool.public_address = true;
    order.pool.launch.disk_gb = Some(120);
    order.pool.launch.subnets = vec!["tasks".to_owned()];
    order.launch.machine_type = "n1-standard-8".into();
    order.pool.launch.gce = GceSettings {
        gpu_type: Some("nvidia-tesla-t4".to_owned()),
        gpu_count: Some(2),
        disk_kind: Some(DiskKind::PdSsd),
        network_tags: vec!["tasks".to_owned(), "no-ssh".to_owned()],
        labels: [("team".to_owned(), "vision".to_owned()), ("tidegate-pool".to_owned(), "theirs".to_owned())].into(),
        metadata: [("serial-port-enable".to_owned(), "true".to_owned())].into(),
        service_account: Some("tasks@proj-1.iam.gserviceaccount.com".to_owned()),
        scopes: vec!["devstorage.read_only".to_owned()],
        ..order.pool.launch.gce
    };
    gce(&fake).launch(&order).await.unwrap();
    let call = fake.asked(INSERT).remove(0);
    assert_eq!((call.parameters["project"].as_str(), call.parameters["zone"].as_str()), ("proj-1", ZONE));
    assert!(uuid::Uuid::parse_str(&call.parameters["requestId"]).is_ok());
    let mut machine = call.body;
    let script = machine["metadata"]["items"][1]["value"].take();
    let script = script.as_str().unwrap();
    assert!(script.contains("MACHINE='tidegate-b1-0'") && script.contains("t0ken-of-the-agents"), "{script}");
    assert!(script.contains("WORKER_PREFIX='research:L4:n1-standard-8'"), "{script}");
    let labels = machine["labels"].clone();
    assert_eq!(labels["tidegate-queue"], "gpu_20large");
    assert_eq!((label(&machine, "tidegate-pool"), label(&machine, "team")), ("_4c4", "vision"));
    assert_eq!((label(&machine, "tidegate-term"), label(&machine, "tidegate-revision")), ("7", "abc"));
    assert_eq!(label(&machine, "tidegate-settings"), order.pool.fingerprint());
    let wanted = json!({
        "name": "tidegate-b1-0",
        "machineType": "zones/us-central1-a/machineTypes/n1-standard-8",
        "labels": labels,
        "metadata": {"items": [
            {"key": "serial-port-enable", "value": "true"}, {"key": "startup-script", "value": null}]},
        "disks": [{"boot": true, "autoDelete": true, "initializeParams": {
            "sourceImage": "global/images/family/tasks", "diskSizeGb": "120",
            "diskType": "zones/us-central1-a/diskTypes/pd-ssd", "labels": labels}}],
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/tasks",
            "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]}],
        "guestAccelerators": [
            {"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 2}],
        "tags": {"items": ["tasks", "no-ssh"]},
        "serviceAccounts": [{"email": "tasks@proj-1.iam.gserviceaccount.com",
            "scopes": ["https://www.googleapis.com/auth/devstorage.read_only"]}],
        "scheduling": {"automaticRestart": false, "onHostMaintenance": "TERMINATE", "provisioningModel": "STANDARD",
            "maxRunDuration": {"seconds": "260100"}, "instanceTerminationAction": "DELETE"},
    });
    assert_eq!(machine, wanted);
}

#[tokio::test]
async fn what_is_not_set_is_left_to_google() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.launch.machine_type = "e2-standard-4".into();
    order.pool.launch.subnets = vec!["projects/host/regions/us-central1/subnetworks/shared".to_owned()];
    gce(&fake).launch(&order).await.unwrap();
    order.batch = "b2".into();
    order.pool.launch.subnets.clear();
    gce(&fake).launch(&order).await.unwrap();
    let [first, second] = [0, 1].map(|place| fake.asked(INSERT)[place].body.clone());
    let interfaces = |machine: &Value| machine["networkInterfaces"].clone();
    assert_eq!(interfaces(&first), json!([{"subnetwork": "projects/host/regions/us-central1/subnetworks/shared"}]));
    assert_eq!(interfaces(&second), json!([{"network": "global/networks/default"}]));
    // A machine without GPUs is moved when its host is mended.
    assert_eq!(first["scheduling"]["onHostMaintenance"], Value::Null);
    for absent in ["serviceAccounts", "tags", "guestAccelerators"] {
        assert_eq!(first[absent], Value::Null, "{absent}");
    }
    assert_eq!(first["disks"][0]["initializeParams"]["diskType"], Value::Null);
}

#[tokio::test]
async fn a_machine_image_brings_its_own_disks() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.pool.launch.gce = GceSettings { machine_image: Some("golden".to_owned()), ..GceSettings::default() };
    gce(&fake).launch(&order).await.unwrap();
    let call = fake.asked(INSERT).remove(0);
    assert_eq!(call.parameters["sourceMachineImage"], "global/machineImages/golden");
    assert_eq!(call.body["disks"], Value::Null);
}

#[tokio::test]
async fn spot_is_bought_as_the_pool_says_and_never_started_again() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.launch.market = Market::Spot;
    gce(&fake).launch(&order).await.unwrap();
    order.batch = "b2".into();
    order.pool.launch.gce.provisioning = Provisioning::Preemptible;
    gce(&fake).launch(&order).await.unwrap();
    let scheduling = |place: usize| fake.asked(INSERT)[place].body["scheduling"].clone();
    assert_eq!(
        scheduling(0),
        json!({"automaticRestart": false, "onHostMaintenance": "TERMINATE", "provisioningModel": "SPOT",
            "maxRunDuration": {"seconds": "260100"}, "instanceTerminationAction": "DELETE"})
    );
    assert_eq!(
        scheduling(1),
        json!({"automaticRestart": false, "onHostMaintenance": "TERMINATE", "preemptible": true})
    );
    let listed = gce(&fake).list(&"research".into(), REGION).await.unwrap();
    assert!(listed.iter().all(|machine| machine.market == Market::Spot) && listed.len() == 2);
}

#[tokio::test]
async fn the_next_zone_is_tried_after_a_definite_no_and_the_one_that_google_names_first() {
    let fake = Fake::start().await;
    fake.state().noes =
        vec![(INSERT, ZONE, No::Fails("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "us-east1-b, us-central1-c"))];
    let made = gce(&fake).launch(&order("b1", 1)).await.unwrap().remove(0);
    assert_eq!(made.zone, Some("us-central1-c".into()));
    let passed: Vec<_> = made.passed_over.iter().map(|no| (no.zone.clone(), no.class)).collect();
    assert_eq!(passed, [(Some(ZONE.into()), ErrorClass::Capacity)]);
    let asked = fake.asked(INSERT);
    assert_eq!(asked.iter().map(|call| call.parameters["zone"].as_str()).collect::<Vec<_>>(), [ZONE, "us-central1-c"]);
    assert_ne!(asked[0].parameters["requestId"], asked[1].parameters["requestId"]);
}

#[tokio::test]
async fn a_zone_without_the_type_is_passed_over_and_no_room_anywhere_is_one_no() {
    let fake = Fake::start().await;
    let mut order = order("b1", 1);
    order.pool.launch.zones.truncate(2);
    fake.state().noes = vec![(INSERT, ZONE, No::NotOffered)];
    let made = gce(&fake).launch(&order).await.unwrap().remove(0);
    assert_eq!(made.zone, Some("us-central1-b".into()));
    fake.state().noes = vec![(INSERT, "", No::Fails("ZONE_RESOURCE_POOL_EXHAUSTED", "")); 2];
    order.batch = "b2".into();
    let error = gce(&fake).launch(&order).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::Capacity, false));
    assert!(error.passed_over.is_empty(), "it speaks of all zones");
}

#[tokio::test]
async fn every_no_has_its_class_and_none_looks_like_a_success() {
    use ErrorClass::{BadRequest, Capacity, Credentials, Quota, Throttle, Unknown};
    for (no, class, acted, code) in [
        (No::Fails("ZONE_RESOURCE_POOL_EXHAUSTED", ""), Capacity, false, Some("ZONE_RESOURCE_POOL_EXHAUSTED")),
        (No::Fails("STOCKOUT", ""), Capacity, false, Some("STOCKOUT")),
        (No::Fails("QUOTA_EXCEEDED", ""), Quota, false, Some("QUOTA_EXCEEDED")),
        (No::Fails("PERMISSIONS_ERROR", ""), Credentials, false, Some("PERMISSIONS_ERROR")),
        (No::Fails("INVALID_FIELD_VALUE", ""), BadRequest, false, Some("INVALID_FIELD_VALUE")),
        (No::Fails("RATE_LIMIT_EXCEEDED", ""), Throttle, true, Some("RATE_LIMIT_EXCEEDED")),
        (No::Fails("INTERNAL_ERROR", ""), Unknown, true, Some("INTERNAL_ERROR")),
        (No::Http(403, "quotaExceeded"), Quota, false, Some("quotaExceeded")),
        (No::Http(403, "rateLimitExceeded"), Throttle, true, Some("rateLimitExceeded")),
        (No::Http(403, "forbidden"), Credentials, false, Some("forbidden")),
        (No::Http(401, "authError"), Credentials, false, Some("authError")),
        (No::Http(400, "invalid"), BadRequest, false, Some("invalid")),
        (No::Http(404, "notFound"), BadRequest, false, Some("notFound")),
        (No::Http(503, "backendError"), Unknown, true, Some("backendError")),
        (No::Http(500, "internalError"), Unknown, true, Some("internalError")),
        (No::Garbled, Unknown, true, None),
        (No::Hangs, Unknown, true, Some("Deadline")),
        (No::Unasked(403, "forbidden"), Credentials, true, Some("forbidden")),
        (No::Unasked(401, "authError"), Credentials, true, Some("authError")),
    ] {
        let fake = Fake::start().await;
        fake.state().noes = vec![(INSERT, "", no)];
        let mut order = order("b1", 1);
        order.pool.launch.zones.truncate(1);
        let cloud = if no == No::Hangs { hasty(&fake) } else { gce(&fake) };
        let error = cloud.launch(&order).await.unwrap_err();
        assert_eq!((error.class, error.may_have_acted), (class, acted), "{no:?}: {error}");
        assert_eq!(error.code.as_deref(), code, "{error}");
        assert_eq!(fake.asked(INSERT).len(), 1, "{no:?}: the client and we try nothing more");
    }
}

#[tokio::test]
async fn a_machine_that_is_long_in_the_making_is_found_by_its_intent() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    fake.state().noes = vec![(INSERT, "", No::Hangs)];
    let order = order("b1", 2);
    assert!(hasty(&fake).launch(&order).await.unwrap_err().may_have_acted, "of one it is not known");
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    let intents: Vec<_> = listed.iter().map(|machine| machine.tags.intent.clone().unwrap().to_string()).collect();
    assert_eq!(intents, ["b1.0", "b1.1"]);
    assert_eq!(fake.asked(INSERT).len(), 2, "no other zone is tried while it is not known");
}

#[tokio::test]
async fn a_launch_that_was_not_heard_makes_no_second_machine() {
    let fake = Fake::start().await;
    fake.state().noes = vec![(INSERT, "", No::Garbled)];
    assert!(gce(&fake).launch(&order("b1", 1)).await.unwrap_err().may_have_acted);
    let again = gce(&fake).launch(&order("b1", 1)).await.unwrap();
    assert_eq!((again.len(), fake.state().machines.len()), (1, 1));
    let asked = fake.asked(INSERT);
    assert_eq!(asked[0].parameters["requestId"], asked[1].parameters["requestId"]);
}

#[tokio::test]
async fn a_name_that_exists_is_adopted_where_it_is_ours_only() {
    let fake = Fake::start().await;
    gce(&fake).launch(&order("b1", 1)).await.unwrap();
    fake.state().forget_requests();
    let adopted = gce(&fake).launch(&order("b1", 1)).await.unwrap().remove(0);
    assert_eq!((adopted.id.as_str(), adopted.intent.as_str()), ("tidegate-b1-0", "b1.0"));
    assert_eq!(fake.state().machines.len(), 1);
    fake.state().machines.values_mut().next().unwrap()["labels"]["tidegate-intent"] = json!("theirs");
    fake.state().forget_requests();
    let error = gce(&fake).launch(&order("b1", 1)).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::BadRequest, false), "{error}");
    assert!(error.message.ends_with("it is not a machine of ours"), "{error}");
}

#[tokio::test]
async fn fewer_than_asked_for_is_success_and_the_noes_are_told() {
    let fake = Fake::start().await;
    let mut order = order("b1", 3);
    order.pool.launch.zones.truncate(1);
    fake.state().noes = vec![(INSERT, "", No::Fails("STOCKOUT", ""))];
    let made = gce(&fake).launch(&order).await.unwrap();
    assert_eq!(made.len(), 2);
    assert_eq!(made[0].passed_over.len(), 1);
}

#[tokio::test]
async fn no_secret_is_repeated() {
    let fake = Fake::start().await;
    fake.state().noes = vec![(INSERT, "", No::Http(400, "t0ken-of-the-agents"))];
    let error = gce(&fake).launch(&order("b1", 1)).await.unwrap_err();
    assert!(error.message.contains("***") && !error.message.contains("t0ken"), "{error}");
}

//! What `check` says of the rights in a project, without starting a machine.

use tidegate::model::ids::FleetId;
use tidegate::model::settings::Market;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::{Answer, Cloud, Right};

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, order};

const TEST: &str = "cloudresourcemanager.projects.testIamPermissions";
const PRICES: &str = "cloudbilling.services.skus.list";

async fn rights(fake: &Fake) -> Vec<Right> {
    let mut spot = order("b1", 1);
    (spot.pool.market, spot.pool.launch.gce.service_account) = (Market::Spot, Some("default".to_owned()));
    gce(fake).rights(&FleetId::from("research"), REGION, &[order("b1", 1), spot]).await.unwrap()
}

#[tokio::test]
async fn each_permission_is_granted_or_named_with_the_role_that_holds_it() {
    let fake = Fake::start().await;
    let granted = rights(&fake).await;
    assert!(granted.iter().all(|right| right.answer == Answer::Granted), "{granted:?}");
    for action in ["compute.instances.create", "compute.zoneOperations.list", "compute.disks.delete"] {
        assert!(granted.iter().any(|right| right.action == action), "{action}");
    }
    fake.state().lacks = ["compute.instances.create", "compute.networks.use", "iam.serviceAccounts.actAs"].into();
    let told = rights(&fake).await;
    let no: Vec<_> = told.iter().filter(|right| right.answer != Answer::Granted).collect();
    let refused = |role: &str| Answer::Refused(format!("{role} holds it; `tidegate policy` prints the least role"));
    assert_eq!(no.len(), 3, "{no:?}");
    assert_eq!((no[0].action, &no[0].answer), ("compute.instances.create", &refused("roles/compute.instanceAdmin.v1")));
    assert_eq!((no[1].action, &no[1].answer), ("compute.networks.use", &refused("roles/compute.networkUser")));
    assert!(matches!(&no[2].answer, Answer::Unclear(said) if said.contains("the service account itself")), "{no:?}");
    assert_eq!(fake.state().machines.len(), 0);
    let calls: Vec<_> = fake.state().asked.iter().map(|call| call.method.clone()).collect();
    assert_eq!(calls, [TEST, PRICES, TEST, PRICES], "nothing is tried on a machine");
}

#[tokio::test]
async fn where_nobody_can_be_asked_no_right_is_taken_for_granted() {
    let fake = Fake::start().await;
    for (no, words) in [
        (
            No::Http(403, "SERVICE_DISABLED"),
            "gcloud services enable cloudresourcemanager.googleapis.com --project proj-1",
        ),
        (No::Http(403, "IAM_PERMISSION_DENIED"), "HTTP 403"),
        (No::Http(503, "UNAVAILABLE"), "HTTP 503"),
    ] {
        fake.state().noes = vec![(TEST, "", no)];
        let told = rights(&fake).await;
        let [Right { action: TEST, answer: Answer::Unclear(said), .. }, _] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(said.starts_with("no right could be tried: ") && said.contains(words), "{said}");
    }
    fake.take_only("another");
    let error = gce(&fake).rights(&"research".into(), REGION, &[order("b1", 1)]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials, "{error}");
}

//! Prices out of Google's catalogue, by its parts.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::model::ids::MachineType;
use tidegate::model::money::Rate;
use tidegate::model::settings::Market;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::{Answer, Cloud};

use crate::gce::fake::{Fake, No};
use crate::gce::{REGION, gce, order};

const LIST: &str = "cloudbilling.services.skus.list";

/// A line, as Google's own documentation has it.
fn sku(description: &str, usage: &str, unit: &str, nanos: i64) -> Value {
    json!({"name": "services/6F81-5844-456A/skus/02EE-77CE-ACCD", "skuId": "02EE-77CE-ACCD", "description": description,
        "category": {"serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "resourceGroup": "CPU",
            "usageType": usage},
        "serviceRegions": ["us-central1", "us-east1"], "serviceProviderName": "Google",
        "pricingInfo": [{"summary": "", "currencyConversionRate": 1, "effectiveTime": "2026-11-26T10:50:40.206Z",
            "pricingExpression": {"usageUnit": unit, "displayQuantity": 1, "baseUnitConversionFactor": 3_600,
                "tieredRates": [{"startUsageAmount": 0,
                    "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": nanos}}]}}]})
}

fn types() -> Vec<MachineType> {
    ["g2-standard-4", "n1-standard-4", "nvidia-tesla-t4", "made-up-1"].map(MachineType::from).into()
}

#[tokio::test]
async fn types_are_priced_by_their_parts_from_all_pages_of_one_reading() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    assert!(cloud.tells_prices() && !cloud.spot_prices_move());
    fake.state().skus = vec![
        sku("G2 Instance Core running in Americas", "OnDemand", "h", 24_988_450),
        sku("G2 Instance Ram running in Americas", "OnDemand", "GiBy.h", 2_927_410),
        sku("Nvidia L4 GPU running in Americas", "OnDemand", "h", 560_040_000),
        sku("Spot Preemptible G2 Instance Core running in Americas", "Preemptible", "h", 9_995_000),
        sku("Spot Preemptible G2 Instance Ram running in Americas", "Preemptible", "GiBy.h", 1_171_000),
        sku("Nvidia L4 GPU attached to Spot Preemptible VMs running in Americas", "Preemptible", "h", 223_100_000),
        sku("Nvidia Tesla T4 GPU running in Americas", "OnDemand", "h", 350_000_000),
    ];
    let now = Timestamp::UNIX_EPOCH;
    let told = async |market, now| {
        let told = cloud.prices(REGION, &types(), market, now).await.unwrap();
        told.into_iter().map(|(name, rate)| (name.to_string(), rate)).collect::<Vec<_>>()
    };
    let rate = Rate::from_micros_per_hour;
    let named = |name: &str, micros| (name.to_owned(), rate(micros));
    let on_demand = [named("g2-standard-4", 706_832), named("nvidia-tesla-t4", 350_000)];
    assert_eq!(told(Market::OnDemand, now).await, on_demand);
    assert_eq!(told(Market::Spot, now).await, [named("g2-standard-4", 281_816)]);
    let asked = fake.asked(LIST);
    assert_eq!(asked.len(), 4, "both markets come of one reading");
    assert_eq!(
        (asked[0].parameters["currencyCode"].as_str(), asked[0].parameters["pageSize"].as_str()),
        ("USD", "5000")
    );
    fake.state().skus.clear();
    assert!(told(Market::OnDemand, now + SignedDuration::from_mins(10)).await.is_empty(), "it is read again later");
}

#[tokio::test]
async fn disks_and_addresses_come_of_the_same_reading() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    fake.state().skus = vec![
        sku("Balanced PD Capacity in Iowa", "OnDemand", "GiBy.mo", 100_000_000),
        sku("Regional Balanced PD Capacity in Iowa", "OnDemand", "GiBy.mo", 200_000_000),
        sku("SSD backed PD Capacity", "OnDemand", "GiBy.mo", 170_000_000),
        sku("External IP Charge on a Standard VM", "OnDemand", "h", 5_000_000),
    ];
    let now = Timestamp::UNIX_EPOCH;
    cloud.prices(REGION, &types(), Market::OnDemand, now).await.unwrap();
    let told = cloud.extra_prices(REGION, now).await.unwrap();
    let disks: Vec<_> = told.disks.iter().map(|(kind, price)| (kind.word(), price.micros())).collect();
    assert_eq!(disks, [("pd-balanced", 100_000), ("pd-ssd", 170_000)]);
    assert_eq!(told.address, Some(Rate::from_micros_per_hour(5_000)));
    assert_eq!(fake.asked(LIST).len(), 2, "two pages, once");
}

#[tokio::test]
async fn no_answer_is_an_error_and_check_says_that_the_table_holds() {
    let fake = Fake::start().await;
    let cloud = gce(&fake);
    for (no, class) in [
        (No::Http(403, "SERVICE_DISABLED"), ErrorClass::Credentials),
        (No::Http(503, "UNAVAILABLE"), ErrorClass::Unknown),
        (No::Http(429, "RATE_LIMIT_EXCEEDED"), ErrorClass::Throttle),
    ] {
        fake.state().noes = vec![(LIST, "", no)];
        let error = cloud.prices(REGION, &types(), Market::OnDemand, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
    }
    fake.state().noes = vec![(LIST, "", No::Http(403, "SERVICE_DISABLED"))];
    let told = cloud.rights(&"research".into(), REGION, &[order("b1", 1)]).await.unwrap();
    let Answer::Unclear(said) = &told.last().unwrap().answer else { panic!("{told:?}") };
    assert!(said.starts_with("the prices that ship with the program are used"), "{said}");
    assert!(said.ends_with("`gcloud services enable cloudbilling.googleapis.com --project proj-1`"), "{said}");
}

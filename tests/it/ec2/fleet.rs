//! Launches for which EC2 chooses type and place: on the fake, what it answers in one 200; on moto, what the machine is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::InstanceAttributeName;
use jiff::{SignedDuration, Timestamp};
use tidegate::model::ids::Zone;
use tidegate::model::settings::{Market, SpotStrategy};
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::{Bid, Cloud, CloudError, LaunchOrder, Leftover, PassedOver, Sweep};
use tidegate::world::guard;

use crate::ec2::fake::{State, Twist, serve};
use crate::ec2::{REGION, config, ec2, first_of, order};
use crate::support::moto;

const TYPES: [&str; 3] = ["g5.xlarge", "g5.2xlarge", "g6.xlarge"];

/// EC2 may choose among three types in two zones; the first costs too much beyond half a dollar, the last has nothing left
/// in the second zone.
fn chosen(batch: &str) -> LaunchOrder {
    let mut order = order(batch, 1);
    order.launch.market = Market::Spot;
    order.pool.market = Market::Spot;
    order.pool.launch.spot_strategy = SpotStrategy::PriceCapacityOptimized;
    order.pool.types = TYPES.map(Into::into).into();
    order.pool.launch.zones = vec!["a".to_owned(), "b".to_owned()];
    order.bids = TYPES.map(|kind| Bid { machine_type: kind.into(), max_price: None, without: Vec::new() }).into();
    order.bids[0].max_price = Some("$0.50/h".parse().unwrap());
    order.bids[2].without = vec!["b".into()];
    order
}

fn told(noes: &[PassedOver]) -> Vec<(String, Option<String>, ErrorClass)> {
    let told = |no: &PassedOver| (no.machine_type.to_string(), no.zone.as_ref().map(Zone::to_string), no.class);
    noes.iter().map(told).collect()
}

#[tokio::test]
async fn one_call_makes_one_machine_of_a_type_that_was_allowed() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let order = chosen("b1");
    let made = cloud.launch(&order).await.unwrap();
    assert_eq!((made.len(), made[0].intent.as_str()), (1, "b1.0"));
    assert_eq!((made[0].machine_type.as_str(), made[0].zone.as_ref().unwrap().as_str()), ("g6.xlarge", "a"));
    assert!(made[0].launched.is_some() && made[0].passed_over.is_empty(), "{made:?}");

    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!((listed[0].id.clone(), listed[0].tags.intent.clone()), (made[0].id.clone(), Some("b1.0".into())));
    assert_eq!((listed[0].machine_type.as_str(), Some(listed[0].launched)), ("g6.xlarge", made[0].launched));

    let state = state.lock().unwrap();
    assert_eq!((state.templates_made.as_slice(), state.templates.len()), (["tidegate-b1".to_owned()].as_slice(), 0));
    let [fleet] = state.fleets.as_slice() else { panic!("{:?}", state.fleets) };
    for (name, value) in [
        ("Type", "instant"),
        ("ClientToken", "b1"),
        ("SpotOptions.AllocationStrategy", "price-capacity-optimized"),
        ("SpotOptions.InstanceInterruptionBehavior", "terminate"),
        ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
        ("TargetCapacitySpecification.DefaultTargetCapacityType", "spot"),
        ("TagSpecification.1.ResourceType", "fleet"),
        ("TagSpecification.1.Tag.1.Key", "tidegate-fleet"),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "tidegate-b1"),
        ("LaunchTemplateConfigs.1.Overrides.1.InstanceType", "g5.xlarge"),
        ("LaunchTemplateConfigs.1.Overrides.1.AvailabilityZone", "a"),
        ("LaunchTemplateConfigs.1.Overrides.1.MaxPrice", "0.500000"),
        ("LaunchTemplateConfigs.1.Overrides.2.AvailabilityZone", "b"),
        ("LaunchTemplateConfigs.1.Overrides.5.InstanceType", "g6.xlarge"),
        ("LaunchTemplateConfigs.1.Overrides.5.AvailabilityZone", "a"),
    ] {
        assert_eq!(fleet.get(name).map(String::as_str), Some(value), "{name}: {fleet:#?}");
    }
    assert!(!fleet.contains_key("LaunchTemplateConfigs.1.Overrides.6.InstanceType"), "g6.xlarge has none in b");
    assert!(!fleet.contains_key("LaunchTemplateConfigs.1.Overrides.3.MaxPrice"));
}

#[tokio::test]
async fn two_subnets_of_one_zone_are_one_place() {
    let state = Arc::new(Mutex::new(State::default()));
    let cloud = ec2(&serve(state.clone()).await).await;
    let mut order = chosen("b1");
    order.pool.launch.subnets = ["subnet-a", "subnet-a2", "subnet-b"].map(str::to_owned).into();
    order.pool.launch.zones = ["a", "a", "b"].map(str::to_owned).into();
    order.bids.truncate(1);
    let made = cloud.launch(&order).await.unwrap();
    let asked: Vec<String> = (1..9)
        .map_while(|n| {
            state.lock().unwrap().fleets[0].get(&format!("LaunchTemplateConfigs.1.Overrides.{n}.SubnetId")).cloned()
        })
        .collect();
    assert_eq!((asked, made.len()), (vec!["subnet-a".to_owned(), "subnet-b".to_owned()], 1));
}

#[tokio::test]
async fn each_no_is_told_by_type_and_zone_beside_the_machine() {
    let noes = vec![
        ("g6.xlarge", "a", "InsufficientInstanceCapacity"),
        ("g5.2xlarge", "b", "MaxSpotInstanceCountExceeded"),
        ("g5.xlarge", "a", "Unsupported"),
    ];
    let state = Arc::new(Mutex::new(State { noes, ..State::default() }));
    let cloud = ec2(&serve(state).await).await;
    let made = cloud.launch(&chosen("b1")).await.unwrap();
    assert_eq!((made[0].machine_type.as_str(), made[0].zone.as_ref().unwrap().as_str()), ("g5.2xlarge", "a"));
    let no = |kind: &str, zone: &str, class| (kind.to_owned(), Some(zone.to_owned()), class);
    let expected = [
        no("g5.xlarge", "a", ErrorClass::Capacity),
        no("g5.2xlarge", "b", ErrorClass::Quota),
        no("g6.xlarge", "a", ErrorClass::Capacity),
    ];
    assert_eq!(told(&made[0].passed_over), expected);
    assert!(made[0].passed_over[2].message.contains("InsufficientInstanceCapacity it is"), "{made:?}");
}

async fn refused(noes: Vec<(&'static str, &'static str, &'static str)>) -> (CloudError, usize) {
    let state = Arc::new(Mutex::new(State { noes, ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    let error = cloud.launch(&chosen("b1")).await.unwrap_err();
    let left = state.lock().unwrap().templates.len();
    (error, left)
}

#[tokio::test]
async fn no_machine_is_a_no_of_the_class_of_its_reasons() {
    let all = |code: [&'static str; 5]| {
        let places =
            [("g5.xlarge", "a"), ("g5.xlarge", "b"), ("g5.2xlarge", "a"), ("g5.2xlarge", "b"), ("g6.xlarge", "a")];
        places.into_iter().zip(code).map(|((kind, zone), code)| (kind, zone, code)).collect::<Vec<_>>()
    };
    let dry = "InsufficientInstanceCapacity";
    for (codes, class, acted) in [
        ([dry, dry, "UnfulfillableCapacity", "SpotMaxPriceTooLow", "Unsupported"], ErrorClass::Capacity, false),
        ([dry, dry, dry, "MaxSpotInstanceCountExceeded", dry], ErrorClass::Quota, false),
        ([dry, dry, dry, dry, "InvalidFleetConfiguration"], ErrorClass::BadRequest, false),
        ([dry, "NeverHeardOf", dry, dry, dry], ErrorClass::Unknown, true),
        ([dry, dry, "RequestLimitExceeded", dry, dry], ErrorClass::Throttle, true),
    ] {
        let (error, templates) = refused(all(codes)).await;
        assert_eq!((error.class, error.may_have_acted, error.passed_over.len()), (class, acted, 5), "{error}");
        assert_eq!(templates, 0, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_machine_and_leaves_no_template() {
    for twist in [Twist::Garbled, Twist::Throttled, Twist::Late] {
        let state = Arc::new(Mutex::new(State { twists: [twist].into(), ..State::default() }));
        let url = serve(state.clone()).await;
        let cloud = ec2(&url).await;
        let error = first_of(twist, &url).await.launch(&chosen("b1")).await.unwrap_err();
        assert!(error.may_have_acted, "{twist:?}: {error}");
        assert_eq!(state.lock().unwrap().fleets.len(), 1, "{twist:?}: the SDK and we try nothing more");
        assert!(state.lock().unwrap().templates.is_empty(), "{twist:?}");
        let again = cloud.launch(&chosen("b1")).await.unwrap();
        assert_eq!((again.len(), state.lock().unwrap().machines()), (1, 1), "{twist:?}");
        let listed = cloud.list(&"research".into(), REGION).await.unwrap();
        assert_eq!(listed[0].tags.intent, Some("b1.0".into()), "{twist:?}");
    }
}

#[tokio::test]
async fn a_template_that_is_not_known_everywhere_yet_is_waited_for() {
    let state = Arc::new(Mutex::new(State { late_template: 1, ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    assert_eq!(cloud.launch(&chosen("b1")).await.unwrap().len(), 1);
    let state = state.lock().unwrap();
    let tokens: Vec<_> = state.fleets.iter().map(|fleet| fleet["ClientToken"].as_str()).collect();
    assert_eq!((tokens, state.machines()), (vec!["b1", "b1-1"], 1));
}

#[tokio::test]
async fn a_machine_that_is_not_listed_yet_has_no_launch_time() {
    let state = Arc::new(Mutex::new(State { late_listings: 1, ..State::default() }));
    let cloud = ec2(&serve(state).await).await;
    let made = cloud.launch(&chosen("b1")).await.unwrap();
    assert_eq!((made[0].launched, made[0].machine_type.as_str()), (None, "g6.xlarge"));
    assert_eq!(made[0].zone, Some("a".into()));
}

#[tokio::test]
async fn a_template_that_stays_is_used_again_and_swept_when_its_launch_is_surely_over() {
    let state = Arc::new(Mutex::new(State { template_stays: true, ..State::default() }));
    let cloud = ec2(&serve(state.clone()).await).await;
    cloud.launch(&chosen("b1")).await.unwrap();
    cloud.launch(&chosen("b1")).await.unwrap();
    let mut theirs = chosen("b9");
    theirs.fleet = "research2".into();
    cloud.launch(&theirs).await.unwrap();
    {
        let mut state = state.lock().unwrap();
        assert_eq!((state.machines(), state.templates.len()), (2, 2));
        state.template_stays = false;
    }

    let sweep = async |minutes, templates| {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let (fleet, region) = ("research".into(), REGION.to_owned());
        cloud.sweep(&Sweep { fleet, region, now, spot_requests: false, templates }).await.unwrap()
    };
    assert_eq!(sweep(0, true).await, []);
    assert_eq!(sweep(4, true).await, []);
    assert_eq!(sweep(60, false).await, [], "nobody makes any");
    assert_eq!(sweep(60, true).await, [Leftover::TemplateDeleted { name: "tidegate-b1".to_owned() }]);
    assert_eq!(sweep(75, true).await, []);
    assert_eq!(state.lock().unwrap().templates.keys().collect::<Vec<_>>(), ["tidegate-b9"]);
}

#[tokio::test]
async fn moto_makes_a_machine_with_all_that_the_template_says() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await;
    let mut order = chosen("b1");
    order.pool.launch.zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    order.bids[2].without.clear();
    let made = cloud.launch(&order).await.unwrap();
    assert_eq!((made.len(), made[0].intent.as_str()), (1, "b1.0"));
    assert!(TYPES.contains(&made[0].machine_type.as_str()) && made[0].launched.is_some(), "{made:?}");
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!((listed.len(), listed[0].market, listed[0].tags.intent.clone()), (1, Market::Spot, Some("b1.0".into())));
    assert_eq!((&listed[0].machine_type, Some(listed[0].launched)), (&made[0].machine_type, made[0].launched));

    let client = Client::new(&config(&moto.url, Duration::from_mins(1)).await);
    let data = client.describe_instance_attribute().instance_id(made[0].id.as_str());
    let data = data.attribute(InstanceAttributeName::UserData).send().await.unwrap();
    let user_data = guard::user_data(&order).unwrap();
    assert_eq!(data.user_data().unwrap().value(), Some(user_data.as_str()));
    let templates = client.describe_launch_templates().send().await.unwrap();
    assert!(templates.launch_templates().is_empty(), "{templates:?}");
    let fleets = client.describe_fleets().send().await.unwrap();
    assert_eq!(fleets.fleets()[0].tags()[0].value(), Some("research"));
}

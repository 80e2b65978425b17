//! What a launch, a listing and an end are on moto.

use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, InstanceAttributeName};
use tidegate::model::observed::CloudState;
use tidegate::model::settings::Market;
use tidegate::model::snapshot::ErrorClass;
use tidegate::world::cloud::Cloud;
use tidegate::world::guard;

use crate::ec2::{REGION, config, ec2, order};
use crate::support::moto;

#[tokio::test]
async fn a_launch_says_everything_in_one_call() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await;
    let order = order("b1", 1);
    let made = cloud.launch(&order).await.unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].intent, "b1.0".into());

    let client = Client::new(&config(&moto.url, Duration::from_mins(1)).await);
    let answer = client.describe_instances().instance_ids(made[0].id.as_str()).send().await.unwrap();
    let seen = &answer.reservations()[0].instances()[0];
    assert_eq!(seen.instance_type().unwrap().as_str(), "g5.xlarge");
    assert_eq!(seen.image_id(), Some("ami-12345678"));
    assert_eq!(seen.metadata_options().unwrap().http_tokens().unwrap().as_str(), "required");
    let tag = |key: &str| seen.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    for (key, value) in [
        ("Name", "tidegate research g5"),
        ("team", "vision"),
        ("tidegate-fleet", "research"),
        ("tidegate-pool", "g5"),
        ("tidegate-queue", "gpu large"),
        ("tidegate-intent", "b1"),
        ("tidegate-revision", "abc"),
        ("tidegate-term", "7"),
    ] {
        assert_eq!(tag(key), Some(value), "{key}");
    }

    let attribute = |name| client.describe_instance_attribute().instance_id(made[0].id.as_str()).attribute(name).send();
    let data = attribute(InstanceAttributeName::UserData).await.unwrap();
    assert_eq!(data.user_data().unwrap().value(), Some(guard::user_data(&order).unwrap().as_str()));
    let end = attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior).await.unwrap();
    assert_eq!(end.instance_initiated_shutdown_behavior().unwrap().value(), Some("terminate"));

    let own = Filter::builder().name("attachment.instance-id").values(made[0].id.as_str()).build();
    let volumes = client.describe_volumes().filters(own).send().await.unwrap();
    assert_eq!(volumes.volumes()[0].size(), Some(120));
    assert_eq!(volumes.volumes()[0].volume_type().unwrap().as_str(), "gp3");
    assert!(volumes.volumes()[0].tags().iter().any(|tag| tag.key() == Some("tidegate-fleet")));
}

#[tokio::test]
async fn the_listing_holds_every_page_of_our_fleet_and_nobody_elses() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await.with_page_size(5);
    let mut ours = Vec::new();
    for batch in 0..7 {
        let mut order = order(&format!("b{batch}"), 1);
        if batch == 6 {
            order.launch.market = Market::Spot;
        }
        ours.extend(cloud.launch(&order).await.unwrap());
    }
    let mut foreign = order("other", 1);
    foreign.fleet = "research2".into();
    cloud.launch(&foreign).await.unwrap();

    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed.len(), 7);
    for made in &ours {
        let seen = listed.iter().find(|seen| seen.id == made.id).unwrap();
        assert_eq!(Some(seen.launched), made.launched);
        assert_eq!(seen.tags.intent.as_ref(), Some(&made.intent));
        assert_eq!((seen.tags.pool.clone(), seen.tags.queue.clone()), (Some("g5".into()), Some("gpu large".into())));
        let spot = made.intent == "b6.0".into();
        assert_eq!(seen.market, if spot { Market::Spot } else { Market::OnDemand });
    }
    assert!(cloud.list(&"research*".into(), REGION).await.unwrap().is_empty(), "a fleet's name is no pattern");
    assert!(cloud.list(&"research".into(), "eu-west-1").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_machine_ends_once_however_often_it_is_asked_for() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await;
    let first = cloud.launch(&order("b1", 1)).await.unwrap().remove(0).id;
    let second = cloud.launch(&order("b2", 1)).await.unwrap().remove(0).id;
    // An id that nobody knows must not keep the others alive.
    cloud.terminate(REGION, &["i-0123456789abcdef0".into(), first.clone(), second]).await.unwrap();
    cloud.terminate(REGION, std::slice::from_ref(&first)).await.unwrap();
    let listed = cloud.list(&"research".into(), REGION).await.unwrap();
    assert_eq!(listed.len(), 2);
    for ended in &listed {
        assert!(matches!(ended.state, CloudState::ShuttingDown | CloudState::Terminated), "{ended:?}");
        assert!(ended.ended.is_some_and(|end| end >= ended.launched.round(jiff::Unit::Second).unwrap()), "{ended:?}");
        assert!(ended.state_reason.is_some());
    }
}

#[tokio::test]
async fn the_console_is_readable_text_and_check_says_that_the_credentials_work() {
    let moto = moto::start();
    let cloud = ec2(&moto.url).await;
    let id = cloud.launch(&order("b1", 1)).await.unwrap().remove(0).id;
    assert!(cloud.console(REGION, &id).await.unwrap().contains("Linux version"));
    let unknown = cloud.console(REGION, &"i-0123456789abcdef0".into()).await.unwrap_err();
    assert_eq!((unknown.class, unknown.code.as_deref()), (ErrorClass::BadRequest, Some("InvalidInstanceID.NotFound")));
    assert_eq!(cloud.check(REGION).await.unwrap(), "EC2 in us-east-1 takes the credentials");
}

#[tokio::test]
async fn a_server_that_checks_images_and_types_takes_what_we_send() {
    let moto =
        moto::start_with(&[("MOTO_ENABLE_AMI_VALIDATION", "1"), ("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")]);
    let cloud = ec2(&moto.url).await;
    let mut order = order("b1", 1);
    "name:amzn2-ami-hvm-2.0.*-x86_64-gp2".clone_into(&mut order.pool.launch.ami);
    "amazon".clone_into(&mut order.pool.launch.ami_owner);
    order.pool.launch.disk_device = None;
    order.pool.launch.disk_encrypted = true;
    order.pool.launch.volumes = vec!["/dev/sdf size=9 type=gp2".parse().unwrap()];
    order.pool.launch.monitoring = true;
    order.pool.launch.zones = vec!["us-east-1b".to_owned()];
    let made = cloud.launch(&order).await.unwrap();

    let client = Client::new(&config(&moto.url, Duration::from_mins(1)).await);
    let answer = client.describe_instances().instance_ids(made[0].id.as_str()).send().await.unwrap();
    let seen = &answer.reservations()[0].instances()[0];
    let image = client.describe_images().image_ids(seen.image_id().unwrap()).send().await.unwrap();
    assert!(image.images()[0].name().unwrap().starts_with("amzn2-ami-hvm-2.0."));
    assert_eq!(seen.placement().unwrap().availability_zone(), Some("us-east-1b"));
    assert_eq!(seen.monitoring().unwrap().state().unwrap().as_str(), "enabled");
    let own = Filter::builder().name("attachment.instance-id").values(made[0].id.as_str()).build();
    let volumes = client.describe_volumes().filters(own).send().await.unwrap();
    let mut disks: Vec<_> = volumes.volumes().iter().map(|disk| (disk.size(), disk.encrypted())).collect();
    disks.sort_unstable();
    assert_eq!(disks, [(Some(9), Some(false)), (Some(120), Some(true))]);

    "ami-0123456789abcdef0".clone_into(&mut order.pool.launch.ami);
    order.batch = "b2".into();
    let error = cloud.launch(&order).await.unwrap_err();
    assert_eq!((error.class, error.may_have_acted), (ErrorClass::BadRequest, false), "{error}");
    order.pool.launch.disk_device = Some("/dev/xvda".to_owned());
    let error = cloud.launch(&order).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("InvalidAMIID.NotFound"), "{error}");
}

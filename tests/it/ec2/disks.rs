//! Disks that outlive their machines: told when they are seen, deleted after a grace, and only ours.

use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
use jiff::{SignedDuration, Timestamp};
use tidegate::world::cloud::{Cloud, Leftover, Sweep};

use crate::ec2::{REGION, config, ec2, order};
use crate::support::moto;

async fn disk(client: &Client, fleet: Option<&str>) -> String {
    let call = client.create_volume().availability_zone("us-east-1a").size(8).volume_type(VolumeType::Gp3);
    let tags = fleet.map(|fleet| {
        let tag = Tag::builder().key("tidegate-fleet").value(fleet).build();
        TagSpecification::builder().resource_type(ResourceType::Volume).tags(tag).build()
    });
    call.set_tag_specifications(tags.map(|tags| vec![tags])).send().await.unwrap().volume_id().unwrap().to_owned()
}

#[tokio::test]
async fn a_disk_without_a_machine_is_told_then_deleted_and_no_other_is_touched() {
    let moto = moto::start();
    let client = Client::new(&config(&moto.url, Duration::from_mins(1)).await);
    let cloud = ec2(&moto.url).await;
    assert!(cloud.may_leave_behind());
    cloud.launch(&order("b1", 1)).await.unwrap();
    let leaked = disk(&client, Some("research")).await;
    let others = [disk(&client, Some("research2")).await, disk(&client, None).await];

    let start = Timestamp::UNIX_EPOCH;
    let sweep = async |minutes| {
        let now = start + SignedDuration::from_mins(minutes);
        let (fleet, region) = ("research".into(), REGION.to_owned());
        cloud.sweep(&Sweep { fleet, region, now, spot_requests: true, templates: true }).await.unwrap()
    };
    let (id, deleted_at) = (leaked, start + SignedDuration::from_hours(1));
    assert_eq!(sweep(0).await, [Leftover::Disk { id: id.clone(), gigabytes: 8, deleted_at }]);
    assert!(sweep(59).await.is_empty(), "it is told once, and left alone for an hour");
    assert_eq!(sweep(60).await, [Leftover::DiskDeleted { id, gigabytes: 8 }]);
    assert!(sweep(75).await.is_empty());

    let left = client.describe_volumes().send().await.unwrap();
    let left: Vec<_> = left.volumes().iter().filter_map(|volume| volume.volume_id()).collect();
    assert!(others.iter().all(|other| left.contains(&other.as_str())), "{left:?}");
    assert_eq!(left.len(), 3, "the machine keeps its own");
}

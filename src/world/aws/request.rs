//! One `RunInstances` request: everything that a machine is.

use std::collections::BTreeMap;
use std::iter::once;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest, InstanceType, MarketType, Placement, ResourceType,
    RunInstancesMonitoringEnabled, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag, TagSpecification,
    VolumeType,
};

use crate::model::money::Rate;
use crate::model::settings::spot_cap::SpotCap;
use crate::model::settings::volume::{Volume, VolumeKind};
use crate::model::settings::{LaunchSettings, Market};
use crate::world::aws::error::refused;
use crate::world::aws::image::Resolved;
use crate::world::aws::{FLEET_TAG, listed};
use crate::world::cloud::{CloudError, LaunchOrder};

/// The device of the root disk on most images.
const USUAL_ROOT: &str = "/dev/sda1";

/// Where machines may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// With its zone, where the settings name it.
    Subnet(String, Option<String>),
    Zone(String),
    /// Wherever EC2 likes, in the default network.
    Anywhere,
}

impl Place {
    pub(super) fn zone(&self) -> Option<&str> {
        match self {
            Self::Subnet(_, zone) => zone.as_deref(),
            Self::Zone(zone) => Some(zone),
            Self::Anywhere => None,
        }
    }
}

/// The pool's places, in order.
pub(super) fn places(settings: &LaunchSettings) -> Vec<Place> {
    let places: Vec<_> = if settings.subnets.is_empty() {
        settings.zones.iter().cloned().map(Place::Zone).collect()
    } else {
        let subnets = settings.subnets.iter().cloned().enumerate();
        subnets.map(|(at, subnet)| Place::Subnet(subnet, settings.zones.get(at).cloned())).collect()
    };
    if places.is_empty() { vec![Place::Anywhere] } else { places }
}

/// The call for machines at one place, under one token.
pub(super) fn run_instances(
    client: &Client,
    order: &LaunchOrder,
    image: &Resolved,
    place: &Place,
    token: String,
    user_data: &str,
) -> Result<RunInstancesFluentBuilder, CloudError> {
    let settings = &order.pool.launch;
    let (group_ids, group_names): (Vec<_>, Vec<_>) =
        settings.security_groups.iter().cloned().partition(|group| group.starts_with("sg-"));
    let call = client
        .run_instances()
        .client_token(token)
        .min_count(1)
        .max_count(number("count", order.launch.count)?)
        .image_id(&image.id)
        .instance_type(InstanceType::from(order.launch.machine_type.as_str()))
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .metadata_options(
            InstanceMetadataOptionsRequest::builder()
                .http_tokens(HttpTokensState::Required)
                .http_put_response_hop_limit(1)
                .build(),
        )
        .set_security_group_ids(some(group_ids))
        .set_security_groups(some(group_names))
        .set_key_name(settings.key_name.clone())
        .set_iam_instance_profile(settings.instance_profile.as_deref().map(profile))
        .set_block_device_mappings(some(disks(settings, image)?))
        .set_monitoring(settings.monitoring.then(|| RunInstancesMonitoringEnabled::builder().enabled(true).build()))
        .set_instance_market_options(market(order)?)
        .set_tag_specifications(Some(tag_specifications(order)))
        .user_data(user_data);
    Ok(match place {
        Place::Subnet(subnet, _) => call.subnet_id(subnet),
        Place::Zone(zone) => call.placement(Placement::builder().availability_zone(zone).build()),
        Place::Anywhere => call,
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn number(what: &str, number: u32) -> Result<i32, CloudError> {
    i32::try_from(number).map_err(|error| refused(format!("{what}: {error}")))
}

fn profile(name: &str) -> IamInstanceProfileSpecification {
    let profile = IamInstanceProfileSpecification::builder();
    if name.starts_with("arn:") { profile.arn(name).build() } else { profile.name(name).build() }
}

/// The root disk, where anything of it is set, and the others.
fn disks(settings: &LaunchSettings, image: &Resolved) -> Result<Vec<BlockDeviceMapping>, CloudError> {
    let root = settings.sets_disk().then(|| Volume {
        device: image.root_device.clone().unwrap_or_else(|| USUAL_ROOT.to_owned()),
        size: settings.disk_gb,
        kind: settings.disk_type.unwrap_or(VolumeKind::Gp3),
        iops: settings.disk_iops,
        throughput: settings.disk_throughput,
        encrypted: settings.disk_encrypted,
        snapshot: settings.disk_snapshot.clone(),
    });
    root.iter().chain(&settings.volumes).map(disk).collect()
}

/// A disk ends with its machine, whatever the image says.
fn disk(volume: &Volume) -> Result<BlockDeviceMapping, CloudError> {
    let optional = |what, asked: Option<u32>| asked.map(|asked| number(what, asked)).transpose();
    let disk = EbsBlockDevice::builder()
        .set_volume_size(optional("size", volume.size)?)
        .volume_type(VolumeType::from(volume.kind.word()))
        .set_iops(optional("iops", volume.iops)?)
        .set_throughput(optional("throughput", volume.throughput)?)
        .set_encrypted(volume.encrypted.then_some(true))
        .set_snapshot_id(volume.snapshot.clone())
        .delete_on_termination(true)
        .build();
    Ok(BlockDeviceMapping::builder().device_name(&volume.device).ebs(disk).build())
}

/// A one-time request: a persistent one would make machines that nobody decided.
fn market(order: &LaunchOrder) -> Result<Option<InstanceMarketOptionsRequest>, CloudError> {
    if order.launch.market != Market::Spot {
        return Ok(None);
    }
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .set_max_price(max_price(order)?)
        .build();
    Ok(Some(InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()))
}

/// A price in an hour as EC2 takes it.
pub(super) fn dollars(rate: Rate) -> String {
    let micros = rate.micros_per_hour();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// The most that one spot machine may cost in an hour, in dollars.
fn max_price(order: &LaunchOrder) -> Result<Option<String>, CloudError> {
    match order.pool.launch.spot_max_price {
        None => Ok(None),
        Some(SpotCap::Price(rate)) => Ok(Some(dollars(rate))),
        Some(SpotCap::Share(percent)) => Err(refused(format!(
            "spot_max_price is {percent}% of the on-demand price of {}, which is not known: write it as `$0.50/h`",
            order.launch.machine_type
        ))),
    }
}

fn tag_specifications(order: &LaunchOrder) -> Vec<TagSpecification> {
    let tags = tags(order);
    let spot = (order.launch.market == Market::Spot).then_some(ResourceType::SpotInstancesRequest);
    [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface]
        .into_iter()
        .chain(spot)
        .map(|resource| TagSpecification::builder().resource_type(resource).set_tags(Some(tags.clone())).build())
        .collect()
}

/// A person's tags come first and cannot take the place of ours.
fn tags(order: &LaunchOrder) -> Vec<Tag> {
    let name = format!("tidegate {} {}", order.fleet, order.launch.pool);
    let ours = [
        (FLEET_TAG, order.fleet.to_string()),
        (listed::POOL_TAG, order.launch.pool.to_string()),
        (listed::QUEUE_TAG, order.launch.queue.to_string()),
        // Where EC2 chooses, it says of no machine what its place in the batch is.
        (listed::INTENT_TAG, if order.bids.is_empty() { order.batch.to_string() } else { order.intent(0).to_string() }),
        (listed::REVISION_TAG, order.revision.to_string()),
        (listed::TERM_TAG, order.term.to_string()),
        (listed::SETTINGS_TAG, order.pool.fingerprint()),
    ];
    let mut all: BTreeMap<&str, String> = once(("Name", name)).collect();
    all.extend(order.pool.launch.tags.iter().map(|(key, value)| (key.as_str(), value.clone())));
    all.extend(ours);
    all.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

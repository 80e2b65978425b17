//! The launch call: everything that a machine is, in one `RunInstances`.

use std::iter::once;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::RunInstancesOutput;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest, InstanceType, MarketType, Placement, ResourceType,
    ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag, TagSpecification, VolumeType,
};

use crate::model::ids::Zone;
use crate::model::settings::Market;
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::{cloud_error, unreadable};
use crate::world::aws::{FLEET_TAG, listed, no_retries};
use crate::world::cloud::{CloudError, LaunchOrder, Launched};
use crate::world::guard;

/// Where machines may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Subnet(String),
    Zone(String),
    /// Wherever EC2 likes, in the default network.
    Anywhere,
}

/// Tries the pool's places in order; the next one only after a definite no for lack of capacity.
pub(super) async fn launch(client: &Client, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
    let user_data = guard::user_data(order).map_err(|error| refused(error.to_string()))?;
    let mut places = places(order).into_iter().enumerate().peekable();
    while let Some((attempt, place)) = places.next() {
        let call = request(client, order, &place, attempt, &user_data)?;
        let error = match call.customize().config_override(no_retries()).send().await {
            Ok(answer) => return made(order, &answer),
            Err(error) => hide_secrets(cloud_error("RunInstances", &error), order, &user_data),
        };
        if error.may_have_acted || !another_place_may_do(&error) || places.peek().is_none() {
            return Err(error);
        }
    }
    Err(refused("the pool has no place for machines".to_owned()))
}

fn places(order: &LaunchOrder) -> Vec<Place> {
    let settings = &order.pool.launch;
    let places: Vec<_> = if settings.subnets.is_empty() {
        settings.zones.iter().cloned().map(Place::Zone).collect()
    } else {
        settings.subnets.iter().cloned().map(Place::Subnet).collect()
    };
    if places.is_empty() { vec![Place::Anywhere] } else { places }
}

/// `Unsupported` is what EC2 says where a zone does not offer the machine type.
fn another_place_may_do(error: &CloudError) -> bool {
    error.class == ErrorClass::Capacity || error.code.as_deref() == Some("Unsupported")
}

/// The idempotency token: a new one for each place, since EC2 refuses another request under the same token.
fn token(order: &LaunchOrder, attempt: usize) -> String {
    if attempt == 0 { order.batch.to_string() } else { format!("{}-{attempt}", order.batch) }
}

fn request(
    client: &Client,
    order: &LaunchOrder,
    place: &Place,
    attempt: usize,
    user_data: &str,
) -> Result<RunInstancesFluentBuilder, CloudError> {
    let settings = &order.pool.launch;
    let count = i32::try_from(order.launch.count).map_err(|error| refused(error.to_string()))?;
    let (group_ids, group_names): (Vec<_>, Vec<_>) =
        settings.security_groups.iter().cloned().partition(|group| group.starts_with("sg-"));
    let call = client
        .run_instances()
        .client_token(token(order, attempt))
        .min_count(1)
        .max_count(count)
        .image_id(&settings.ami)
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
        .set_block_device_mappings(disk(order)?.map(|disk| vec![disk]))
        .set_instance_market_options((order.launch.market == Market::Spot).then(spot))
        .set_tag_specifications(Some(tag_specifications(order)))
        .user_data(user_data);
    Ok(match place {
        Place::Subnet(subnet) => call.subnet_id(subnet),
        Place::Zone(zone) => call.placement(Placement::builder().availability_zone(zone).build()),
        Place::Anywhere => call,
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn profile(name: &str) -> IamInstanceProfileSpecification {
    let profile = IamInstanceProfileSpecification::builder();
    if name.starts_with("arn:") { profile.arn(name).build() } else { profile.name(name).build() }
}

fn disk(order: &LaunchOrder) -> Result<Option<BlockDeviceMapping>, CloudError> {
    let settings = &order.pool.launch;
    let Some(gigabytes) = settings.disk_gb else { return Ok(None) };
    let gigabytes = i32::try_from(gigabytes).map_err(|error| refused(format!("disk_gb: {error}")))?;
    let volume = EbsBlockDevice::builder()
        .volume_size(gigabytes)
        .volume_type(VolumeType::Gp3)
        .delete_on_termination(true)
        .build();
    Ok(Some(BlockDeviceMapping::builder().device_name(&settings.disk_device).ebs(volume).build()))
}

/// A one-time request: a persistent one would make machines that nobody decided.
fn spot() -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
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
        (listed::INTENT_TAG, order.batch.to_string()),
        (listed::REVISION_TAG, order.revision.to_string()),
        (listed::TERM_TAG, order.term.to_string()),
    ];
    let mut all: std::collections::BTreeMap<&str, String> = once(("Name", name)).collect();
    all.extend(order.pool.launch.tags.iter().map(|(key, value)| (key.as_str(), value.clone())));
    all.extend(ours);
    all.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn made(order: &LaunchOrder, answer: &RunInstancesOutput) -> Result<Vec<Launched>, CloudError> {
    let odd = |what: &str| unreadable("RunInstances", what);
    let machine = |instance: &aws_sdk_ec2::types::Instance| {
        let place = instance.ami_launch_index().and_then(|index| u32::try_from(index).ok());
        Ok(Launched {
            id: instance.instance_id().ok_or_else(|| odd("a machine without an id"))?.into(),
            intent: order.intent(place.ok_or_else(|| odd("a machine without its place in the batch"))?),
            launched: listed::launched(instance).ok_or_else(|| odd("a machine without a launch time"))?,
            zone: instance.placement().and_then(Placement::availability_zone).map(Zone::from),
        })
    };
    answer.instances().iter().map(machine).collect()
}

/// EC2 does not repeat user data in its errors; a proxy on the way might.
fn hide_secrets(mut error: CloudError, order: &LaunchOrder, user_data: &str) -> CloudError {
    for secret in [user_data, order.agents.token.expose()] {
        if !secret.is_empty() {
            error.message = error.message.replace(secret, "***");
        }
    }
    error
}

fn refused(message: String) -> CloudError {
    CloudError { class: ErrorClass::BadRequest, code: None, message, may_have_acted: false, quota: None }
}

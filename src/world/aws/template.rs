//! The launch template that a fleet's machine is made by: the launch call's fields once more, in the template's types. It
//! is made for one launch and deleted after it, since user data can be given by no other way and is each launch's own.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, IamInstanceProfileSpecification, InstanceMetadataOptionsRequest,
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateTagSpecificationRequest, LaunchTemplatesMonitoringRequest, RequestLaunchTemplateData, ResourceType,
    Tag, TagSpecification,
};

use crate::model::ids::IntentId;
use crate::model::settings::run_instances::in_template;
use crate::world::aws::error::{cloud_error, refused};
use crate::world::aws::{FLEET_TAG, members, no_retries, quick};
use crate::world::cloud::{CloudError, LaunchOrder};

/// What every template of ours begins with.
pub(super) const PREFIX: &str = "tidegate-";

const DATA: &str = "LaunchTemplateData.";

/// A template's name, by its launch.
pub(super) fn name(batch: &IntentId) -> String {
    format!("{PREFIX}{batch}")
}

/// Makes the template of a launch. One that is there is of an attempt of the same launch before, and the same.
pub(super) async fn make(
    client: &Client,
    order: &LaunchOrder,
    machine: &RunInstancesFluentBuilder,
) -> Result<(), CloudError> {
    const CALL: &str = "CreateLaunchTemplate";
    let there = "InvalidLaunchTemplateName.AlreadyExistsException";
    let (call, overlay) = (call(client, order, machine), overlay(order)?);
    let call = call.customize().mutate_request(move |request| members::add(request, DATA, &overlay));
    match call.send().await.map_err(|error| cloud_error(CALL, &error)) {
        Err(error) if error.code.as_deref() != Some(there) => Err(error),
        _ => Ok(()),
    }
}

/// Deletes it. What stays, whyever, is swept later.
pub(super) async fn delete(client: &Client, batch: &IntentId) {
    let call = client.delete_launch_template().launch_template_name(name(batch));
    let _ = call.customize().config_override(quick()).send().await;
}

/// Tries the right to make it.
pub(super) async fn tried(
    client: &Client,
    order: &LaunchOrder,
    machine: &RunInstancesFluentBuilder,
) -> Result<Option<CloudError>, CloudError> {
    let overlay = overlay(order)?;
    let call = call(client, order, machine).dry_run(true);
    let call = call.customize().mutate_request(move |request| members::add(request, DATA, &overlay));
    let answer = call.config_override(no_retries()).send().await;
    Ok(answer.err().map(|error| cloud_error("CreateLaunchTemplate", &error)))
}

fn call(
    client: &Client,
    order: &LaunchOrder,
    machine: &RunInstancesFluentBuilder,
) -> aws_sdk_ec2::operation::create_launch_template::builders::CreateLaunchTemplateFluentBuilder {
    let tags = TagSpecification::builder().resource_type(ResourceType::LaunchTemplate).tags(fleet_tag(order)).build();
    let call = client.create_launch_template().launch_template_name(name(&order.batch));
    call.tag_specifications(tags).launch_template_data(data(machine))
}

pub(super) fn fleet_tag(order: &LaunchOrder) -> Tag {
    Tag::builder().key(FLEET_TAG).value(order.fleet.as_str()).build()
}

/// The overlay under the template's names. The settings were checked: nothing else is in it.
fn overlay(order: &LaunchOrder) -> Result<std::collections::BTreeMap<String, String>, CloudError> {
    let member = |(name, value): (&String, &String)| {
        let known = in_template(name).ok_or_else(|| refused(format!("`{name}` is in no launch template")))?;
        Ok((known.to_owned(), value.clone()))
    };
    order.pool.launch.run_instances.iter().map(member).collect()
}

/// All that the call says of a machine, but for its type, its place and how it is bought, which the fleet says.
fn data(machine: &RunInstancesFluentBuilder) -> RequestLaunchTemplateData {
    let disks = machine.get_block_device_mappings().as_ref();
    let tags = machine.get_tag_specifications().as_ref();
    let monitoring = machine
        .get_monitoring()
        .as_ref()
        .map(|monitoring| LaunchTemplatesMonitoringRequest::builder().set_enabled(monitoring.enabled()).build());
    RequestLaunchTemplateData::builder()
        .set_image_id(machine.get_image_id().clone())
        .set_key_name(machine.get_key_name().clone())
        .set_user_data(machine.get_user_data().clone())
        .set_security_group_ids(machine.get_security_group_ids().clone())
        .set_security_groups(machine.get_security_groups().clone())
        .set_instance_initiated_shutdown_behavior(machine.get_instance_initiated_shutdown_behavior().clone())
        .set_iam_instance_profile(machine.get_iam_instance_profile().as_ref().map(profile))
        .set_block_device_mappings(disks.map(|disks| disks.iter().map(disk).collect()))
        .set_tag_specifications(tags.map(|tags| tags.iter().map(tagged).collect()))
        .set_metadata_options(machine.get_metadata_options().as_ref().map(metadata))
        .set_monitoring(monitoring)
        .build()
}

fn profile(profile: &IamInstanceProfileSpecification) -> LaunchTemplateIamInstanceProfileSpecificationRequest {
    LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
        .set_arn(profile.arn.clone())
        .set_name(profile.name.clone())
        .build()
}

fn disk(disk: &BlockDeviceMapping) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = disk.ebs().map(|ebs| {
        LaunchTemplateEbsBlockDeviceRequest::builder()
            .set_volume_size(ebs.volume_size())
            .set_volume_type(ebs.volume_type().cloned())
            .set_iops(ebs.iops())
            .set_throughput(ebs.throughput())
            .set_encrypted(ebs.encrypted())
            .set_snapshot_id(ebs.snapshot_id.clone())
            .set_delete_on_termination(ebs.delete_on_termination())
            .build()
    });
    LaunchTemplateBlockDeviceMappingRequest::builder().set_device_name(disk.device_name.clone()).set_ebs(ebs).build()
}

fn tagged(tags: &TagSpecification) -> LaunchTemplateTagSpecificationRequest {
    LaunchTemplateTagSpecificationRequest::builder()
        .set_resource_type(tags.resource_type().cloned())
        .set_tags(tags.tags.clone())
        .build()
}

fn metadata(options: &InstanceMetadataOptionsRequest) -> LaunchTemplateInstanceMetadataOptionsRequest {
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .set_http_tokens(options.http_tokens().map(|tokens| LaunchTemplateHttpTokensState::from(tokens.as_str())))
        .set_http_put_response_hop_limit(options.http_put_response_hop_limit())
        .build()
}

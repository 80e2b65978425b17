//! Machines that another autoscaler made, taken into our fleet by its tags.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Reservation, Tag};

use crate::model::observed::CloudState;
use crate::world::aws::error::{cloud_error, refused, unreadable};
use crate::world::aws::{FLEET_TAG, listed};
use crate::world::cloud::{CloudError, Newcomer};

/// Looks at the machine first: tags on one that has ended, or that is a fleet's already, would say what is not so.
pub(super) async fn bring_over(client: &Client, region: &str, newcomer: &Newcomer) -> Result<(), CloudError> {
    const CALL: &str = "DescribeInstances";
    let id = &newcomer.instance;
    let answer = client.describe_instances().instance_ids(id.as_str()).send().await;
    let answer = answer.map_err(|error| cloud_error(CALL, &error))?;
    let found = answer.reservations().iter().flat_map(Reservation::instances);
    let machine = found.into_iter().next().ok_or_else(|| unreadable(CALL, &format!("{id} is not in the answer")))?;
    if let Some(fleet) = listed::tag(machine.tags(), FLEET_TAG) {
        return Err(refused(format!("it is of fleet {fleet} already")));
    }
    let state = listed::read(machine, region)?.state;
    if !matches!(state, CloudState::Pending | CloudState::Running) {
        return Err(refused("it does not run any more".to_owned()));
    }
    let tags = [
        (FLEET_TAG, newcomer.fleet.as_str()),
        (listed::POOL_TAG, newcomer.pool.as_str()),
        (listed::QUEUE_TAG, newcomer.queue.as_str()),
        (listed::BROUGHT_OVER_TAG, newcomer.by.as_str()),
    ];
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let call = client.create_tags().resources(id.as_str()).set_tags(Some(tags));
    call.send().await.map(drop).map_err(|error| cloud_error("CreateTags", &error))
}

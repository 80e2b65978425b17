//! A launch: the image looked up once, then the pool's places in order until one has machines.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::RunInstancesOutput;
use aws_sdk_ec2::types::Placement;

use crate::model::ids::Zone;
use crate::model::settings::{Market, SpotStrategy};
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::{cloud_error, refused, unreadable};
use crate::world::aws::request::{places, run_instances};
use crate::world::aws::{cheapest, fleet, image, listed, members, no_retries, quota};
use crate::world::cloud::{CloudError, LaunchOrder, Launched, PassedOver};
use crate::world::guard;

/// Tries the pool's places in order; the next one only after a definite no for lack of capacity. Where there are bids, EC2
/// chooses.
pub(super) async fn launch(client: &Client, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
    if !order.bids.is_empty() {
        return fleet::launch(client, order).await;
    }
    let user_data = guard::user_data(order).map_err(|error| refused(error.to_string()))?;
    let settings = &order.pool.launch;
    let image = image::resolve(client, settings).await.map_err(nothing_was_asked)?;
    let mut places = places(settings);
    if order.launch.market == Market::Spot && settings.spot_strategy == SpotStrategy::LowestPrice && places.len() > 1 {
        places = cheapest::first(client, order, places).await;
    }
    let mut passed_over = Vec::new();
    let mut places = places.into_iter().enumerate().peekable();
    while let Some((attempt, place)) = places.next() {
        let call = run_instances(client, order, &image, &place, token(order, attempt), &user_data)?;
        let overlay = settings.run_instances.clone();
        let call = call.customize().mutate_request(move |request| members::add(request, "", &overlay));
        let error = match call.config_override(no_retries()).send().await {
            Ok(answer) => return made(order, &passed_over, &answer),
            Err(error) => hide_secrets(cloud_error("RunInstances", &error), order, &user_data),
        };
        if error.may_have_acted || !another_place_may_do(&error) || places.peek().is_none() {
            return Err(quota::told(client, order, error).await);
        }
        let message = "the cloud had none here and took the next zone";
        passed_over.extend(place.zone().map(|zone| PassedOver {
            machine_type: order.launch.machine_type.clone(),
            zone: Some(zone.into()),
            class: ErrorClass::Capacity,
            message: message.to_owned(),
        }));
    }
    Err(refused("the pool has no place for machines".to_owned()))
}

/// A call before the launch was lost: no machine was asked for.
pub(super) fn nothing_was_asked(error: CloudError) -> CloudError {
    CloudError { may_have_acted: false, ..error }
}

/// `Unsupported` is what EC2 says where a zone does not offer the machine type.
fn another_place_may_do(error: &CloudError) -> bool {
    error.class == ErrorClass::Capacity || error.code.as_deref() == Some("Unsupported")
}

/// The idempotency token: a new one for each attempt after a definite no, since EC2 refuses another request under the same.
pub(super) fn token(order: &LaunchOrder, attempt: usize) -> String {
    if attempt == 0 { order.batch.to_string() } else { format!("{}-{attempt}", order.batch) }
}

/// `passed_over`: the zones that had no machine before.
fn made(
    order: &LaunchOrder,
    passed_over: &[PassedOver],
    answer: &RunInstancesOutput,
) -> Result<Vec<Launched>, CloudError> {
    let odd = |what: &str| unreadable("RunInstances", what);
    let machine = |instance: &aws_sdk_ec2::types::Instance| {
        let place = instance.ami_launch_index().and_then(|index| u32::try_from(index).ok());
        Ok(Launched {
            id: instance.instance_id().ok_or_else(|| odd("a machine without an id"))?.into(),
            intent: order.intent(place.ok_or_else(|| odd("a machine without its place in the batch"))?),
            machine_type: instance
                .instance_type()
                .map_or_else(|| order.launch.machine_type.clone(), |it| it.as_str().into()),
            launched: Some(listed::launched(instance).ok_or_else(|| odd("a machine without a launch time"))?),
            zone: instance.placement().and_then(Placement::availability_zone).map(Zone::from),
            image: instance.image_id().map(str::to_owned),
            passed_over: passed_over.to_vec(),
        })
    };
    answer.instances().iter().map(machine).collect()
}

/// Without the user data and the agents' token.
pub(super) fn hide_secrets(error: CloudError, order: &LaunchOrder, user_data: &str) -> CloudError {
    error.hiding(&[user_data, order.agents.token.expose()])
}

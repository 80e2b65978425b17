//! What the credentials permit, tried by calls that AWS answers and does not carry out (`DryRun`). It says yes with
//! `DryRunOperation`; some of its noes come before it looks at the rights, some after.

use std::error::Error;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::model::ids::{InstanceId, MachineType};
use crate::model::settings::{Market, OnIdle};
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::{cloud_error, refused};
use crate::world::aws::image::{self, Resolved};
use crate::world::aws::request::{Place, places, run_instances};
use crate::world::aws::{fleet, members, no_retries, template};
use crate::world::cloud::{Answer, CloudError, LaunchOrder, Right};
use crate::world::guard;

/// Ids of the right form that no machine, no disk and no spot request has.
const NO_MACHINE: &str = "i-00000000000000000";
const NO_DISK: &str = "vol-00000000000000000";
const NO_REQUEST: &str = "sir-00000000";

/// The words behind which EC2 puts what only an administrator can decode.
const ENCODED: &str = "Encoded authorization failure message";

/// Tries what `orders`, all of one site, would need. `machine` is one of the fleet's, if it has any.
pub(super) async fn tried(
    client: &Client,
    machine: Option<&InstanceId>,
    orders: &[LaunchOrder],
) -> Result<Vec<Right>, CloudError> {
    let mut rights = vec![see_machines(client).await?];
    for order in orders {
        launches(client, order, &mut rights).await;
    }
    on_machines(client, machine, orders, &mut rights).await;
    on_disks(client, &mut rights).await;
    if orders.iter().any(|order| order.pool.market == Market::Spot) {
        on_spot_requests(client, &mut rights).await;
        let answer = client.describe_spot_price_history().dry_run(true).send().await;
        rights.push(right("ec2:DescribeSpotPriceHistory", &"", said("DescribeSpotPriceHistory", answer)));
    }
    if let Some(order) = orders.iter().find(|order| !order.bids.is_empty()) {
        on_templates(client, order, &mut rights).await;
    }
    Ok(rights)
}

/// The price list knows no dry run, so it is asked. Nothing depends on it: without the right the table's prices hold.
pub(super) fn see_prices(answer: Result<(), CloudError>) -> Right {
    let answer = match answer {
        Ok(()) => Answer::Granted,
        Err(error) => Answer::Unclear(format!("the prices that ship with the program are used: {error}")),
    };
    right("pricing:GetProducts", &"", answer)
}

/// Goes first: a server that carries out what it was only to try must not be given anything that matters.
async fn see_machines(client: &Client) -> Result<Right, CloudError> {
    const CALL: &str = "DescribeInstances";
    match client.describe_instances().dry_run(true).send().await {
        Ok(_) => Err(refused(format!("{CALL}: this server does not know dry runs, so that no right is tried on it"))),
        answer => Ok(right("ec2:DescribeInstances", &"", said(CALL, answer))),
    }
}

/// Every machine type at the pool's first place, and the first type at the others.
async fn launches(client: &Client, order: &LaunchOrder, rights: &mut Vec<Right>) {
    let pool = &order.pool;
    let wrong = |action, error: &CloudError| right(action, &pool.name, Answer::Wrong(error.to_string()));
    let user_data = match guard::user_data(order) {
        Ok(user_data) => user_data,
        Err(error) => return rights.push(wrong("ec2:RunInstances", &refused(error.to_string()))),
    };
    let image = match image::resolve(client, &pool.launch).await {
        Ok(image) => {
            let looked_up =
                pool.launch.looks_image_up().then(|| right("ec2:DescribeImages", &pool.name, Answer::Granted));
            rights.extend(looked_up);
            image
        }
        Err(error) if error.class == ErrorClass::Credentials => {
            return rights.push(right("ec2:DescribeImages", &pool.name, Answer::Refused(error.to_string())));
        }
        Err(error) => return rights.push(wrong("ec2:DescribeImages", &error)),
    };
    let places = places(&pool.launch);
    let elsewhere = places.iter().skip(1).zip(pool.types.first().into_iter().cycle());
    let trials = places.first().into_iter().cycle().zip(&pool.types).chain(elsewhere);
    for (place, machine_type) in trials {
        let mut order = order.clone();
        order.launch.machine_type.clone_from(machine_type);
        let answer = launch(client, &order, &image, place, &user_data).await;
        rights.push(right("ec2:RunInstances", &named(&order, machine_type, place), answer));
    }
    if !order.bids.is_empty() {
        fleets(client, order, &image, &user_data, rights).await;
    }
}

/// Making the template of a fleet, and the fleet. Its template is not there: EC2 looks at the rights before that.
async fn fleets(client: &Client, order: &LaunchOrder, image: &Resolved, user_data: &str, rights: &mut Vec<Right>) {
    let of = &order.pool.name;
    let made = match fleet::machine(client, order, image, user_data) {
        Ok(machine) => template::tried(client, order, &machine).await.map(told),
        Err(error) => Err(error),
    };
    let made = made.unwrap_or_else(|error| Answer::Wrong(error.to_string()));
    rights.push(right("ec2:CreateLaunchTemplate", of, made));
    let call = fleet::call(client, order, &fleet::offers(order)).dry_run(true);
    let answer = call.customize().config_override(no_retries()).send().await;
    rights.push(right("ec2:CreateFleet", of, on_ours(said("CreateFleet", answer), false)));
}

fn named(order: &LaunchOrder, machine_type: &MachineType, place: &Place) -> String {
    let at = match place {
        Place::Subnet(subnet, zone) => Some(zone.as_ref().unwrap_or(subnet)),
        Place::Zone(zone) => Some(zone),
        Place::Anywhere => None,
    };
    let at = at.map(|at| format!(" in {at}")).unwrap_or_default();
    format!("{}: {machine_type}{at}", order.pool.name)
}

async fn launch(client: &Client, order: &LaunchOrder, image: &Resolved, place: &Place, user_data: &str) -> Answer {
    const CALL: &str = "RunInstances";
    let call = match run_instances(client, order, image, place, order.batch.to_string(), user_data) {
        Ok(call) => call.dry_run(true),
        Err(error) => return Answer::Wrong(error.to_string()),
    };
    let overlay = order.pool.launch.run_instances.clone();
    let call = call.customize().mutate_request(move |request| members::add(request, "", &overlay));
    said(CALL, call.config_override(no_retries()).send().await)
}

/// Without a machine of the fleet a made-up one is named.
async fn on_machines(client: &Client, machine: Option<&InstanceId>, orders: &[LaunchOrder], rights: &mut Vec<Right>) {
    let (id, made_up) = (machine.map_or(NO_MACHINE, InstanceId::as_str), machine.is_none());
    let answer = client.terminate_instances().dry_run(true).instance_ids(id).send().await;
    rights.push(right("ec2:TerminateInstances", &"", on_ours(said("TerminateInstances", answer), made_up)));
    let answer = client.get_console_output().dry_run(true).instance_id(id).send().await;
    rights.push(right("ec2:GetConsoleOutput", &"", on_ours(said("GetConsoleOutput", answer), made_up)));
    if orders.iter().any(|order| order.pool.on_idle == OnIdle::Stop) {
        let answer = client.stop_instances().dry_run(true).instance_ids(id).send().await;
        rights.push(right("ec2:StopInstances", &"", on_ours(said("StopInstances", answer), made_up)));
        let answer = client.start_instances().dry_run(true).instance_ids(id).send().await;
        rights.push(right("ec2:StartInstances", &"", on_ours(said("StartInstances", answer), made_up)));
    }
}

async fn on_disks(client: &Client, rights: &mut Vec<Right>) {
    let answer = client.describe_volumes().dry_run(true).send().await;
    rights.push(right("ec2:DescribeVolumes", &"", said("DescribeVolumes", answer)));
    let answer = client.delete_volume().dry_run(true).volume_id(NO_DISK).send().await;
    rights.push(right("ec2:DeleteVolume", &"", on_ours(said("DeleteVolume", answer), true)));
}

async fn on_spot_requests(client: &Client, rights: &mut Vec<Right>) {
    let answer = client.describe_spot_instance_requests().dry_run(true).send().await;
    rights.push(right("ec2:DescribeSpotInstanceRequests", &"", said("DescribeSpotInstanceRequests", answer)));
    let call = client.cancel_spot_instance_requests().dry_run(true).spot_instance_request_ids(NO_REQUEST);
    let answer = on_ours(said("CancelSpotInstanceRequests", call.send().await), true);
    rights.push(right("ec2:CancelSpotInstanceRequests", &"", answer));
}

async fn on_templates(client: &Client, order: &LaunchOrder, rights: &mut Vec<Right>) {
    let answer = client.describe_launch_templates().dry_run(true).send().await;
    rights.push(right("ec2:DescribeLaunchTemplates", &"", said("DescribeLaunchTemplates", answer)));
    let call = client.delete_launch_template().dry_run(true).launch_template_name(template::name(&order.batch));
    let answer = on_ours(said("DeleteLaunchTemplate", call.send().await), true);
    rights.push(right("ec2:DeleteLaunchTemplate", &"", answer));
}

fn right(action: &'static str, of: &dyn std::fmt::Display, answer: Answer) -> Right {
    Right { action, of: of.to_string(), answer }
}

/// What a dry run came to.
fn said<T, E>(call: &str, answer: Result<T, SdkError<E, HttpResponse>>) -> Answer
where
    E: Error + ProvideErrorMetadata + 'static,
{
    told(answer.err().map(|error| cloud_error(call, &error)))
}

fn told(answer: Option<CloudError>) -> Answer {
    let Some(error) = answer else { return Answer::Granted };
    if error.code.as_deref() == Some("DryRunOperation") {
        return Answer::Granted;
    }
    let text = error.to_string();
    let text = text.split(ENCODED).next().unwrap_or_default().trim().to_owned();
    match error.class {
        ErrorClass::Credentials => Answer::Refused(text),
        ErrorClass::BadRequest => Answer::Wrong(text),
        _ => Answer::Unclear(text),
    }
}

/// Of a call that names a machine or a disk: EC2 looks at the rights before it looks at what is named. A policy that asks
/// for the fleet's tag refuses a made-up one, as it should: that tells nothing.
fn on_ours(answer: Answer, made_up: bool) -> Answer {
    match answer {
        Answer::Wrong(_) => Answer::Granted,
        Answer::Refused(_) if made_up => {
            Answer::Unclear("the fleet has none that it could be tried on; try again when it has".to_owned())
        }
        answer => answer,
    }
}

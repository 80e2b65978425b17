//! A launch for which EC2 chooses type and place, by price and by how much it has of each: a fleet of one machine, which
//! is done with as soon as it is answered (`CreateFleet`, type `instant`).
//!
//! One call makes one machine, so that its place in the batch is certain. Its type, and where it stands, are in the
//! answer; since when, in the list. The spot requests of such a fleet are one-time.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::operation::create_fleet::builders::CreateFleetFluentBuilder;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    CreateFleetInstance, DefaultTargetCapacityType, FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverrides,
    FleetLaunchTemplateOverridesRequest, FleetLaunchTemplateSpecificationRequest, FleetType, Instance, InstanceType,
    LaunchTemplateAndOverridesResponse, Placement, Reservation, ResourceType, SpotAllocationStrategy,
    SpotInstanceInterruptionBehavior, SpotOptionsRequest, TagSpecification, TargetCapacitySpecificationRequest,
};

use crate::model::ids::{MachineType, Zone};
use crate::model::snapshot::ErrorClass;
use crate::world::aws::error::{cloud_error, one_by_one, refused, unreadable};
use crate::world::aws::image::{self, Resolved};
use crate::world::aws::launch::{hide_secrets, nothing_was_asked, token};
use crate::world::aws::request::{Place, dollars, places, run_instances};
use crate::world::aws::{listed, no_retries, template};
use crate::world::cloud::{CloudError, LaunchOrder, Launched, PassedOver};
use crate::world::guard;

const CALL: &str = "CreateFleet";

/// A template that was just made may not be known everywhere yet. So often a fleet that does not find it is asked for again,
/// under a token of its own, each time after this.
const UNSEEN: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// Has EC2 choose among the order's bids, at the pool's places.
pub(super) async fn launch(client: &Client, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
    let user_data = guard::user_data(order).map_err(|error| refused(error.to_string()))?;
    let image = image::resolve(client, &order.pool.launch).await.map_err(nothing_was_asked)?;
    let hidden = |error| hide_secrets(error, order, &user_data);
    let offers = offers(order);
    if offers.is_empty() {
        return Err(refused("the pool has no place for machines".to_owned()));
    }
    template::make(client, order, &machine(client, order, &image, &user_data)?)
        .await
        .map_err(|error| nothing_was_asked(hidden(error)))?;
    let mut made = asked(client, order, &offers, 0).await.map_err(&hidden);
    for attempt in 1..=UNSEEN {
        if !made.as_ref().is_err_and(is_unseen) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        made = asked(client, order, &offers, attempt).await.map_err(&hidden);
    }
    let shown = async {
        match &made {
            Ok(((_, instance), _)) => shown(client, instance).await,
            Err(_) => None,
        }
    };
    let ((), shown) = tokio::join!(template::delete(client, &order.batch), shown);
    let ((made, id), answer) = made?;
    Ok(vec![launched(order, &made, &id, shown.as_ref(), &answer)])
}

/// Asks once: the machine, its id, and the whole answer.
async fn asked(
    client: &Client,
    order: &LaunchOrder,
    offers: &[Offer<'_>],
    attempt: usize,
) -> Result<((CreateFleetInstance, String), CreateFleetOutput), CloudError> {
    let call = call(client, order, offers).client_token(token(order, attempt));
    let answer = call.customize().config_override(no_retries()).send().await;
    let answer = answer.map_err(|error| cloud_error(CALL, &error))?;
    Ok((first(&answer, order)?, answer))
}

/// A definite no, for want of the template.
fn is_unseen(error: &CloudError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    !error.may_have_acted && code.starts_with("InvalidLaunchTemplate") && code.contains("NotFound")
}

/// What the machine is made of, as a launch call that is never sent. Its cap is each bid's own.
pub(super) fn machine(
    client: &Client,
    order: &LaunchOrder,
    image: &Resolved,
    user_data: &str,
) -> Result<RunInstancesFluentBuilder, CloudError> {
    let mut uncapped = order.clone();
    uncapped.pool.launch.spot_max_price = None;
    run_instances(client, &uncapped, image, &Place::Anywhere, order.batch.to_string(), user_data)
}

/// A type at a place.
pub(super) struct Offer<'a> {
    machine_type: &'a MachineType,
    place: Place,
    max_price: Option<String>,
}

/// Everything that EC2 may choose among. Two subnets of one zone would be the same to it, and are refused.
pub(super) fn offers(order: &LaunchOrder) -> Vec<Offer<'_>> {
    let places = places(&order.pool.launch);
    let mut offers = Vec::new();
    for bid in &order.bids {
        let mut zones = BTreeSet::new();
        let has = |zone: &str| bid.without.iter().all(|without| without.as_str() != zone);
        let open = places.iter().filter(|place| place.zone().is_none_or(|zone| has(zone) && zones.insert(zone)));
        let (machine_type, max_price) = (&bid.machine_type, bid.max_price.map(dollars));
        offers.extend(open.map(|place| Offer { machine_type, place: place.clone(), max_price: max_price.clone() }));
    }
    offers
}

/// The call.
pub(super) fn call(client: &Client, order: &LaunchOrder, offers: &[Offer<'_>]) -> CreateFleetFluentBuilder {
    let tags = TagSpecification::builder().resource_type(ResourceType::Fleet).tags(template::fleet_tag(order)).build();
    let template = FleetLaunchTemplateSpecificationRequest::builder()
        .launch_template_name(template::name(&order.batch))
        .version("1")
        .build();
    let config = FleetLaunchTemplateConfigRequest::builder()
        .launch_template_specification(template)
        .set_overrides(Some(offers.iter().map(overriding).collect()))
        .build();
    client
        .create_fleet()
        .r#type(FleetType::Instant)
        .spot_options(
            SpotOptionsRequest::builder()
                .allocation_strategy(SpotAllocationStrategy::PriceCapacityOptimized)
                .instance_interruption_behavior(SpotInstanceInterruptionBehavior::Terminate)
                .build(),
        )
        .target_capacity_specification(
            TargetCapacitySpecificationRequest::builder()
                .total_target_capacity(1)
                .default_target_capacity_type(DefaultTargetCapacityType::Spot)
                .build(),
        )
        .launch_template_configs(config)
        .tag_specifications(tags)
}

fn overriding(offer: &Offer<'_>) -> FleetLaunchTemplateOverridesRequest {
    let request = FleetLaunchTemplateOverridesRequest::builder()
        .instance_type(InstanceType::from(offer.machine_type.as_str()))
        .set_max_price(offer.max_price.clone());
    match &offer.place {
        Place::Subnet(subnet, _) => request.subnet_id(subnet).build(),
        Place::Zone(zone) => request.availability_zone(zone).build(),
        Place::Anywhere => request.build(),
    }
}

/// The machine that was made, and its id; else the noes.
fn first(answer: &CreateFleetOutput, order: &LaunchOrder) -> Result<(CreateFleetInstance, String), CloudError> {
    let made = answer.instances().iter().find_map(|made| Some((made.clone(), made.instance_ids().first()?.clone())));
    made.ok_or_else(|| {
        let noes = noes(answer, order);
        let worst = noes.iter().find(|no| no.error.class != ErrorClass::Capacity).or_else(|| noes.first());
        let Some(worst) = worst else { return unreadable(CALL, "neither a machine nor a reason") };
        CloudError {
            may_have_acted: noes.iter().any(|no| no.error.may_have_acted),
            passed_over: passed_over(&noes, order),
            ..worst.error.clone()
        }
    })
}

/// One no of several.
struct No {
    machine_type: MachineType,
    place: Option<Place>,
    error: CloudError,
}

fn noes(answer: &CreateFleetOutput, order: &LaunchOrder) -> Vec<No> {
    let no = |error: &aws_sdk_ec2::types::CreateFleetError| {
        let over = error.launch_template_and_overrides().and_then(LaunchTemplateAndOverridesResponse::overrides);
        let machine_type = over.and_then(FleetLaunchTemplateOverrides::instance_type);
        let machine_type = machine_type.map_or_else(|| order.launch.machine_type.clone(), |it| it.as_str().into());
        let error = one_by_one(CALL, error.error_code(), error.error_message());
        No { machine_type, place: over.and_then(|over| place(over, order)), error }
    };
    answer.errors().iter().map(no).collect()
}

/// The pool's place that EC2 speaks of.
fn place(over: &FleetLaunchTemplateOverrides, order: &LaunchOrder) -> Option<Place> {
    let is_it = |place: &Place| match place {
        Place::Subnet(subnet, zone) => {
            over.subnet_id() == Some(subnet)
                || (over.subnet_id().is_none() && zone.is_some() && over.availability_zone() == zone.as_deref())
        }
        Place::Zone(zone) => over.availability_zone() == Some(zone),
        Place::Anywhere => true,
    };
    places(&order.pool.launch).into_iter().find(is_it)
}

/// The noes as far as they can be told: by zone where it is known, of a type as a whole where all its places said no.
fn passed_over(noes: &[No], order: &LaunchOrder) -> Vec<PassedOver> {
    let all = offers(order);
    let everywhere = |machine_type: &MachineType| {
        let mut asked = all.iter().filter(|offer| offer.machine_type == machine_type);
        asked.all(|offer| {
            let said =
                |no: &&No| no.machine_type == *machine_type && no.place.as_ref().is_none_or(|at| *at == offer.place);
            noes.iter().any(|no| said(&no))
        })
    };
    let told = |no: &No| {
        let zone = no.place.as_ref().and_then(Place::zone).map(Zone::from);
        let told = zone.is_some() || no.error.class != ErrorClass::Capacity || everywhere(&no.machine_type);
        let (class, message) = (no.error.class, no.error.to_string());
        told.then(|| PassedOver { machine_type: no.machine_type.clone(), zone, class, message })
    };
    noes.iter().filter_map(told).collect()
}

/// The machine in the list, which may lag behind.
async fn shown(client: &Client, id: &str) -> Option<Instance> {
    let answer = client.describe_instances().instance_ids(id).send().await.ok()?;
    answer.reservations().iter().flat_map(Reservation::instances).next().cloned()
}

fn launched(
    order: &LaunchOrder,
    made: &CreateFleetInstance,
    id: &str,
    shown: Option<&Instance>,
    answer: &CreateFleetOutput,
) -> Launched {
    let over = made.launch_template_and_overrides().and_then(LaunchTemplateAndOverridesResponse::overrides);
    let chosen = made.instance_type().or_else(|| over?.instance_type());
    let chosen = shown.and_then(Instance::instance_type).or(chosen);
    let zone = shown.and_then(Instance::placement).and_then(Placement::availability_zone);
    let known = over.and_then(|over| place(over, order));
    let zone = zone.or(made.availability_zone()).or_else(|| known.as_ref()?.zone());
    Launched {
        id: id.into(),
        intent: order.intent(0),
        machine_type: chosen.map_or_else(|| order.launch.machine_type.clone(), |chosen| chosen.as_str().into()),
        launched: shown.and_then(listed::launched),
        zone: zone.map(Zone::from),
        image: shown.and_then(Instance::image_id).map(str::to_owned),
        passed_over: passed_over(&noes(answer, order), order),
    }
}

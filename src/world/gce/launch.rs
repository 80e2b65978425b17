//! A launch: one call for each machine, all at once; each tries the pool's zones in order until one has room.

use std::collections::VecDeque;

use futures::future::join_all;
use google_cloud_compute_v1::model::Instance;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use tokio::time::timeout;

use crate::model::ids::{IntentId, Zone};
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{CloudError, LaunchOrder, Launched, PassedOver, name_of as name};
use crate::world::gce::error::{No, cloud_error, is_not_offered, name_exists, refused};
use crate::world::gce::operation::{follow, unknown};
use crate::world::gce::request::{machine, request_id};
use crate::world::gce::{Site, label, listed};
use crate::world::guard;

const CALL: &str = "instances.insert";

/// Starts the machines of an order. Where it is not known of one whether it was made, it is not known of the call: the list
/// shows which were.
pub(super) async fn launch(site: &Site, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
    if order.pool.launch.zones.is_empty() {
        return Err(refused("the pool has no zone for machines".to_owned()));
    }
    let asked = |place| async move {
        let made = timeout(site.patience.launch, one(site, order, order.intent(place))).await;
        made.unwrap_or_else(|_| Err(unknown(CALL)))
    };
    let answers = join_all((0..order.launch.count).map(asked)).await;
    let (mut made, mut noes) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(launched) => made.push(launched),
            Err(no) => noes.push(no),
        }
    }
    let doubt = noes.iter().position(|no| no.may_have_acted);
    // The loop hears one class of a call that made nothing, of all its zones.
    let of_all = |no: CloudError| CloudError { passed_over: Vec::new(), ..no };
    match (doubt, made.is_empty()) {
        (Some(place), _) => Err(of_all(noes.swap_remove(place))),
        (None, true) => {
            // What is no want of capacity is what a person must hear of.
            let worst = noes.iter().position(|no| no.class != ErrorClass::Capacity).unwrap_or_default();
            Err(if noes.is_empty() {
                refused("no machine was asked for".to_owned())
            } else {
                of_all(noes.swap_remove(worst))
            })
        }
        (None, false) => {
            if let Some(first) = made.first_mut() {
                first.passed_over.extend(noes.into_iter().flat_map(|no| no.passed_over));
            }
            Ok(made)
        }
    }
}

/// The next zone only after a definite no for want of capacity, those first that Google names as having room.
async fn one(site: &Site, order: &LaunchOrder, intent: IntentId) -> Result<Launched, CloudError> {
    let script = guard::startup_script(order, &name(&intent)).map_err(|error| refused(error.to_string()))?;
    let hide = |error: CloudError| error.hiding(&[&script, order.agents.token.expose()]);
    let mut zones: VecDeque<&String> = order.pool.launch.zones.iter().collect();
    let mut passed_over: Vec<PassedOver> = Vec::new();
    while let Some(zone) = zones.pop_front() {
        let no = match in_zone(site, order, &intent, zone, &script).await {
            Ok(found) => return Ok(launched(order, intent, zone, found.as_ref(), passed_over)),
            Err(no) => no,
        };
        let another_may_do = no.error.class == ErrorClass::Capacity || is_not_offered(&no.error);
        passed_over.push(PassedOver {
            machine_type: order.launch.machine_type.clone(),
            zone: Some(Zone::from(zone.as_str())),
            class: no.error.class,
            message: no.error.message.clone(),
        });
        if no.error.may_have_acted || !another_may_do || zones.is_empty() {
            return Err(hide(CloudError { passed_over, ..no.error }));
        }
        zones.make_contiguous().sort_by_key(|zone| !no.zones_available.contains(zone));
    }
    Err(refused("the pool has no zone for machines".to_owned()))
}

/// Asks one zone for the machine; the machine, if Google shows it already.
async fn in_zone(
    site: &Site,
    order: &LaunchOrder,
    intent: &IntentId,
    zone: &str,
    script: &str,
) -> Result<Option<Instance>, No> {
    let gce = &order.pool.launch.gce;
    // Sent once: the loop itself decides about another attempt, knowing what the first may have done.
    let call = site
        .client
        .insert()
        .set_project(&site.project)
        .set_zone(zone)
        .set_request_id(request_id(intent, zone))
        .set_or_clear_source_machine_image(gce.machine_image_path())
        .set_body(machine(order, intent, zone, script))
        .with_retry_policy(NeverRetry);
    let asked = match call.send().await {
        Ok(operation) => follow(site, zone, CALL, operation).await,
        Err(error) => Err(cloud_error(CALL, &error).into()),
    };
    match asked {
        Ok(()) => Ok(site.get(zone, &name(intent)).await.ok()),
        Err(no) if name_exists(&no.error) => adopted(site, zone, intent, no).await.map(Some),
        Err(no) => Err(no),
    }
}

/// The name is there: the machine of this very intent, of an earlier call that was not heard, or somebody else's.
async fn adopted(site: &Site, zone: &str, intent: &IntentId, no: No) -> Result<Instance, No> {
    let found = site.get(zone, &name(intent)).await.map_err(|error| CloudError { may_have_acted: true, ..error })?;
    if label::of(&found, label::INTENT).as_deref() == Some(intent.as_str()) {
        return Ok(found);
    }
    Err(CloudError { message: format!("{}; it is not a machine of ours", no.error.message), ..no.error }.into())
}

/// Since when it is billed, the list says where the machine was not shown.
fn launched(
    order: &LaunchOrder,
    intent: IntentId,
    zone: &str,
    found: Option<&Instance>,
    passed_over: Vec<PassedOver>,
) -> Launched {
    Launched {
        id: name(&intent).as_str().into(),
        intent,
        machine_type: order.launch.machine_type.clone(),
        launched: found.and_then(listed::launched),
        zone: Some(Zone::from(zone)),
        image: found.and_then(|found| found.source_machine_image.clone()),
        passed_over,
    }
}

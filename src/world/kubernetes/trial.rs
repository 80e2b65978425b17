//! A pool's pod on trial: the API server reads all of it as strictly as it can, and makes nothing.

use std::path::Path;

use jiff::Timestamp;

use crate::model::account::Owner;
use crate::model::attempt::Attempt;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Answer, CloudError, LaunchOrder, PodOrder, Right};
use crate::world::kubernetes::error::cloud_error;
use crate::world::kubernetes::job;
use crate::world::kubernetes::post::{Made, Way, post};
use crate::world::kubernetes::site::{Kind, Site};
use crate::world::tracker::TaskContainer;

/// No task is called so.
const NOBODY: &str = "00000000000000000000000000000000";

/// Whether a pod of the order's pool would be taken.
pub(super) async fn trial(site: &Site, order: &LaunchOrder, folder: Option<&Path>) -> Right {
    let answer = match pod(order, folder) {
        Ok(job) => match post(site, Kind::Job, &job, Way::OnTrial).await {
            Ok(Made { warnings, .. }) if warnings.is_empty() => Answer::Granted,
            Ok(Made { warnings, .. }) => Answer::Unclear(format!("the API server warns: {}", warnings.join("; "))),
            Err(error) => refused(cloud_error("try the Job", &error)),
        },
        Err(error) => refused(error),
    };
    Right { action: "a pod of its template", of: order.pool.name.to_string(), answer }
}

/// What is wrong with what was asked for, and what says nothing about it.
fn refused(error: CloudError) -> Answer {
    if error.class == ErrorClass::BadRequest { Answer::Wrong(error.message) } else { Answer::Unclear(error.message) }
}

fn pod(order: &LaunchOrder, folder: Option<&Path>) -> Result<serde_json::Value, CloudError> {
    let pool = order.pool.clone();
    let attempt = Attempt {
        instance: format!("clearml-{NOBODY}-0").into(),
        task: NOBODY.into(),
        queue: order.launch.queue.clone(),
        queue_id: None,
        pending: Some(pool.launch.kubernetes.pending_queue.as_str().into()),
        number: 0,
        pool: pool.name.clone(),
        site: Some(pool.site()),
        intent: Some(order.intent(0)),
        owner: Owner::default(),
        opened: Timestamp::UNIX_EPOCH,
        goes_back: None,
    };
    let template = job::template(pool.launch.kubernetes.template.as_deref(), folder)?;
    let order = PodOrder {
        fleet: order.fleet.clone(),
        attempt,
        machine_type: order.launch.machine_type.clone(),
        pool,
        revision: order.revision.clone(),
        term: order.term,
        agents: order.agents.clone(),
        container: TaskContainer::default(),
    };
    job::job(&order, template)
}

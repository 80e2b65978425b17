//! What is written on a Job and its pod. Labels are what they are found by; annotations hold any text, and say the rest.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::model::label::written;
use crate::world::cloud::PodOrder;

/// Whose Job it is, as a label and as an annotation.
pub(super) const FLEET: &str = "tidegate-fleet";
pub(super) const POOL: &str = "tidegate-pool";
pub(super) const QUEUE: &str = "tidegate-queue";
pub(super) const QUEUE_ID: &str = "tidegate-queue-id";
/// Where its task waits for it.
pub(super) const PENDING: &str = "tidegate-pending-queue";
pub(super) const INTENT: &str = "tidegate-intent";
pub(super) const REVISION: &str = "tidegate-revision";
pub(super) const TERM: &str = "tidegate-term";
/// As ClearML's glue writes them; its label `CLEARML` is never ours: a glue deletes what bears it.
pub(super) const TASK: &str = "clearml-task-id";
pub(super) const ATTEMPT: &str = "tidegate-attempt";
/// In which of Kueue's queues it is to wait once it is let go; then, as a label, in which it does.
pub(super) const LOCAL_QUEUE: &str = "tidegate-local-queue";
pub(super) const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The selector of a fleet's objects.
pub(super) fn selector(fleet: &str) -> String {
    format!("{FLEET}={}", label(fleet))
}

/// A label of Kubernetes's begins and ends with a letter or a digit.
fn label(text: &str) -> String {
    format!("f{}0", written(text).chars().take(61).collect::<String>())
}

pub(super) fn labels(order: &PodOrder) -> BTreeMap<&'static str, String> {
    let attempt = &order.attempt;
    [
        (MANAGED_BY, "tidegate".to_owned()),
        (FLEET, label(order.fleet.as_str())),
        (TASK, attempt.task.to_string()),
        (ATTEMPT, attempt.number.to_string()),
    ]
    .into()
}

pub(super) fn annotations(order: &PodOrder) -> BTreeMap<&'static str, String> {
    let attempt = &order.attempt;
    let intent = attempt.intent.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        (FLEET, order.fleet.to_string()),
        (POOL, attempt.pool.to_string()),
        (QUEUE, attempt.queue.to_string()),
        (QUEUE_ID, attempt.queue_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        (PENDING, attempt.pending.as_ref().map(ToString::to_string).unwrap_or_default()),
        (INTENT, intent),
        (REVISION, order.revision.to_string()),
        (TERM, order.term.0.to_string()),
        (LOCAL_QUEUE, order.pool.launch.kubernetes.local_queue.clone().unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .collect()
}

/// Whether it waits for us. One of Kueue's is suspended until Kueue lets it go; a server that knows nothing of suspending
/// keeps only that it is to have no pod.
pub(super) fn is_held(job: &DynamicObject) -> bool {
    let suspended = job.data.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
    has_no_pods(&job.data) || suspended && !job.labels().contains_key(KUEUE_QUEUE)
}

/// Whether a Job is to have none.
pub(super) fn has_no_pods(job: &Value) -> bool {
    job.pointer("/spec/parallelism").and_then(Value::as_u64) == Some(0)
}

/// What stands there under this name.
pub(super) fn annotation<'a>(object: &'a DynamicObject, name: &str) -> Option<&'a str> {
    object.annotations().get(name).map(String::as_str).filter(|text| !text.is_empty())
}

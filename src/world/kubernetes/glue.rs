//! What ClearML's own glue has in our namespace, by the labels that it writes. Pure. Its pods are its own: they are told of,
//! and nothing is done to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::world::kubernetes::label::TASK;
use crate::world::kubernetes::listed::whole;
use crate::world::kubernetes::told::{Seen, text, told as told_of};

/// Whose pod it is: `agent-` and a part of the glue's worker id. What bears it is the glue's to delete.
pub(super) const LABEL: &str = "CLEARML";

/// What waits is told by name, so many at most of each glue.
const NAMED: usize = 3;

#[derive(Default)]
struct Has {
    /// By the phase of its pods.
    phases: BTreeMap<String, u32>,
    waiting: Vec<String>,
}

/// A line for each glue: `agent-1a2b3c4d: 2 running, 1 pending (task 9d1f: image error: ErrImagePull)`.
pub(super) fn told(pods: &[Arc<DynamicObject>]) -> Vec<String> {
    let mut glues: BTreeMap<&str, Has> = BTreeMap::new();
    for pod in pods {
        let Some(glue) = pod.labels().get(LABEL) else { continue };
        let has = glues.entry(glue).or_default();
        let phase = text(&pod.data, "/status/phase").to_lowercase();
        *has.phases.entry(phase.clone()).or_default() += 1;
        if phase == "pending"
            && has.waiting.len() < NAMED
            && let Some(task) = pod.labels().get(TASK)
        {
            let nothing = Value::Null;
            let seen = Seen { job: &nothing, pod: &whole(pod), events: &[], workload: &nothing };
            let (state, why) = told_of(&seen);
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            has.waiting.push(format!("task {task}: {}{why}", state.word()));
        }
    }
    let line = |(glue, Has { phases, waiting }): (&str, Has)| {
        let phases: Vec<String> = phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
        let waiting = if waiting.is_empty() { String::new() } else { format!(" ({})", waiting.join("; ")) };
        format!("{glue}: {}{waiting}", phases.join(", "))
    };
    glues.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_glue_is_told_in_a_line_with_what_its_pods_wait_for() {
        let pod = |glue: &str, status: Value| -> Arc<DynamicObject> {
            let pod = json!({ "metadata": { "name": "p", "labels": { "CLEARML": glue, "clearml-task-id": "9d1f" } },
                "status": status });
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let waits = json!({ "phase": "Pending", "containerStatuses": [{ "state": { "waiting": {
            "reason": "ErrImagePull", "message": "no such image" } } }] });
        let pods = [
            pod("agent-b", json!({ "phase": "Running" })),
            pod("agent-a", waits),
            pod("agent-a", json!({ "phase": "Running" })),
        ];
        assert_eq!(
            told(&pods),
            [
                "agent-a: 1 pending, 1 running (task 9d1f: image error: ErrImagePull: no such image)",
                "agent-b: 1 running"
            ]
        );
    }
}

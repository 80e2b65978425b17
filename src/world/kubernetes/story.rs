//! What happened to a Job and its pod, in one line of time: what they themselves show, and what was said of them and of their
//! node. Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::attempt::Told;
use crate::world::kubernetes::told::{compressed, cut, ends_of, said, text, when};

/// Lines of one story: the newest.
const MOST: usize = 30;
/// Conditions that say nothing that another line does not say.
const UNTOLD: [&str; 8] = [
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodReadyToStartContainers",
    "SuccessCriteriaMet",
    "FailureTarget",
    "PodScheduled",
    "Suspended",
];

/// The story, the oldest first. `events` are of the Job, of its pod, and of its node.
pub(super) fn story(job: &Value, pod: &Value, events: &[&Value]) -> Vec<Told> {
    let mut lines = Vec::new();
    let mut line = |at: &str, by: &str, what: String| {
        let Ok(at) = at.parse::<Timestamp>() else { return };
        let told = Told { at, by: by.to_owned(), what: cut(&what) };
        if !lines.contains(&told) {
            lines.push(told);
        }
    };
    line(text(job, "/metadata/creationTimestamp"), "Job", "made".to_owned());
    line(text(job, "/status/startTime"), "Job", "let go".to_owned());
    for event in events {
        let by = ["/source/component", "/reportingComponent"].map(|path| text(event, path));
        let by = by.into_iter().find(|by| !by.is_empty()).unwrap_or("the cluster");
        let series = event.pointer("/series/count").or_else(|| event.pointer("/count")).and_then(Value::as_u64);
        let times = series.filter(|count| *count > 1).map(|count| format!(" ({count} times)")).unwrap_or_default();
        let what = format!("{}: {}{times}", text(event, "/reason"), compressed(text(event, "/message")));
        line(&when(event), by, what);
    }
    line(text(pod, "/metadata/deletionTimestamp"), "pod", "is to be gone".to_owned());
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    for status in statuses {
        line(text(status, "/state/running/startedAt"), "pod", "its container runs".to_owned());
        line(text(status, "/state/terminated/startedAt"), "pod", "its container ran".to_owned());
        let end = text(status, "/state/terminated/finishedAt");
        line(end, "pod", ends_of(pod).unwrap_or_else(|| "its container ended well".to_owned()));
    }
    for (object, by) in [(pod, "pod"), (job, "Job")] {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        for condition in conditions.filter(|condition| text(condition, "/status") == "True") {
            let kind = text(condition, "/type");
            if !UNTOLD.contains(&kind) {
                line(text(condition, "/lastTransitionTime"), by, format!("{kind}: {}", said(condition)));
            }
        }
    }
    // Most clocks here know seconds only: what is of one second stays as it is told above, in the order that it happens in.
    lines.sort_by_key(|line| line.at);
    let old = lines.len().saturating_sub(MOST);
    lines.drain(..old);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;

    /// The objects of the last line of each kind of a recorded stream.
    fn last(file: &str) -> Value {
        let lines = recorded(file)["response"]["lines"].as_array().cloned().unwrap();
        let whole = lines.into_iter().rfind(|line| line["object"]["spec"].is_object() && line["type"] != "BOOKMARK");
        whole.unwrap()["object"].clone()
    }

    #[test]
    fn job_pod_scheduler_and_autoscaler_tell_one_story() {
        let events = recorded("watch/scaleup/events_core_v1")["response"]["lines"].as_array().cloned().unwrap();
        let nodes = recorded("watch/scaleup/node_events")["response"]["lines"].as_array().cloned().unwrap();
        let events: Vec<&Value> = events.iter().chain(&nodes).map(|line| &line["object"]).collect();
        let events: Vec<&Value> = events.into_iter().filter(|event| !event["reason"].is_null()).collect();
        let told = story(&last("watch/scaleup/jobs"), &last("watch/scaleup/pods"), &events);
        let told: Vec<String> = told.iter().map(|line| format!("{}: {}", line.by, line.what)).collect();
        let places = [
            "Job: made",
            "default-scheduler: FailedScheduling: 0/2 nodes: 2 selector",
            "cluster-autoscaler: TriggeredScaleUp: pod triggered scale-up: [{gpu-pool 0->1 (max: 2)}]",
            "default-scheduler: Scheduled: Successfully assigned",
            "Job: Complete: CompletionsReached",
        ]
        .map(|words| {
            told.iter().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("{words} {told:#?}"))
        });
        assert!(places.is_sorted(), "{told:#?}");
        assert!(told.iter().any(|line| line.starts_with("cluster-autoscaler: ScaleDown")), "{told:#?}");
    }

    #[test]
    fn what_is_of_one_second_is_told_in_the_order_that_it_happens_in() {
        let at = "2026-11-23T19:00:00Z";
        let ended = |kind: &str| serde_json::json!([{ "type": kind, "status": "True", "lastTransitionTime": at, "reason": "R" }]);
        let job = serde_json::json!({ "metadata": { "creationTimestamp": at },
            "status": { "startTime": at, "conditions": ended("Failed") } });
        let pod = serde_json::json!({ "metadata": { "deletionTimestamp": at },
            "status": { "conditions": ended("DisruptionTarget") } });
        let event = serde_json::json!({ "reason": "SuccessfulCreate", "message": "m", "lastTimestamp": at,
            "source": { "component": "job-controller" } });
        let told = story(&job, &pod, &[&event, &event]);
        let told: Vec<String> = told.iter().map(|line| format!("{}: {}", line.by, line.what)).collect();
        let expected = [
            "Job: made",
            "Job: let go",
            "job-controller: SuccessfulCreate: m",
            "pod: is to be gone",
            "pod: DisruptionTarget: R",
            "Job: Failed: R",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_story_has_its_newest_lines_only() {
        let events: Vec<Value> = (0..60)
            .map(|minute| {
                serde_json::json!({ "reason": format!("R{minute}"), "message": "m",
                "lastTimestamp": format!("2026-11-23T19:{minute:02}:00Z") })
            })
            .collect();
        let told = story(&Value::Null, &Value::Null, &events.iter().collect::<Vec<_>>());
        assert_eq!((told.len(), told.last().unwrap().what.as_str()), (MOST, "R59: m"));
    }
}

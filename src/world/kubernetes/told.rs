//! What a cluster says of a Job, its pod and their events, as one word and one line of why. Pure; it reads whatever it is given.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::attempt::PodState;
use crate::world::kubernetes::label::has_no_pods;

/// What is known of an attempt in the cluster. Absent parts are null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) job: &'a Value,
    /// Its newest pod.
    pub(super) pod: &'a Value,
    /// Of both, the oldest first.
    pub(super) events: &'a [&'a Value],
    /// What Kueue has made of the Job.
    pub(super) workload: &'a Value,
}

const AUTOSCALER: [&str; 2] = ["cluster-autoscaler", "karpenter"];
const LONGEST: usize = 200;

/// When an event was last seen: the scheduler says so elsewhere than the others.
pub(super) fn when(event: &Value) -> String {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().map(|path| text(event, path)).find(|time| !time.is_empty()).unwrap_or_default().to_owned()
}

/// In which order events happened. Most of their times are whole seconds: of one second the version tells, which grows with each
/// write.
pub(super) fn moment(event: &Value) -> (Option<i64>, u64) {
    let at = when(event).parse::<Timestamp>().ok().map(Timestamp::as_second);
    (at, text(event, "/metadata/resourceVersion").parse().unwrap_or_default())
}

/// A text of the object by its path.
pub(super) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// The condition of this type, if it is true.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions(object).find(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
}

fn flag(object: &Value, path: &str) -> bool {
    object.pointer(path).and_then(Value::as_bool).unwrap_or_default()
}

fn is_there(object: &Value, path: &str) -> bool {
    object.pointer(path).is_some_and(|value| !value.is_null())
}

/// The first state that applies, and why.
pub(super) fn told(seen: &Seen<'_>) -> (PodState, String) {
    let Seen { job, pod, .. } = *seen;
    if condition(job, "Complete").is_some() {
        return (PodState::Succeeded, String::new());
    }
    if let Some(failed) = condition(job, "Failed") {
        return ended(pod, failed);
    }
    if flag(job, "/spec/suspend") || has_no_pods(job) {
        let is_of_kueue = !text(job, "/metadata/labels/kueue.x-k8s.io~1queue-name").is_empty();
        return if is_of_kueue { in_kueue(seen.workload) } else { (PodState::Held, String::new()) };
    }
    if pod.is_null() {
        return not_made(seen);
    }
    match text(pod, "/status/phase") {
        "Running" => running(pod),
        "Succeeded" => (PodState::Succeeded, String::new()),
        "Failed" => (PodState::Failed, end_of(pod)),
        _ => pending(seen),
    }
}

/// Why a Job has failed: its pod's own words before the Job's.
fn ended(pod: &Value, failed: &Value) -> (PodState, String) {
    let (reason, message) = (text(failed, "/reason"), text(failed, "/message"));
    let disrupted = condition(pod, "DisruptionTarget");
    if reason == "PodFailurePolicy" || disrupted.is_some() {
        let why = disrupted.map_or_else(|| message.to_owned(), said);
        return (PodState::Disrupted, cut(&why));
    }
    let own = end_of(pod);
    let why = if own.is_empty() { said(failed) } else { own };
    (PodState::Failed, cut(&why))
}

/// `reason: message` of a condition.
pub(super) fn said(condition: &Value) -> String {
    match (text(condition, "/reason"), text(condition, "/message")) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Why the pod was ended, where its status says so, else how its container ended.
fn end_of(pod: &Value) -> String {
    let own = said(pod.pointer("/status").unwrap_or(&Value::Null));
    if text(pod, "/status/reason").is_empty() { ends_of(pod).unwrap_or(own) } else { own }
}

/// How its container ended, where it did not end well: `OOMKilled, exit code 137`.
pub(super) fn ends_of(pod: &Value) -> Option<String> {
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let ends = statuses.filter_map(|status| status.pointer("/state/terminated"));
    let failed = ends.filter(|end| end.pointer("/exitCode").and_then(Value::as_i64) != Some(0));
    let told = failed.map(|end| {
        let code = end.pointer("/exitCode").and_then(Value::as_i64).unwrap_or(-1);
        match text(end, "/reason") {
            "" | "Error" => format!("exit code {code}"),
            reason => format!("{reason}, exit code {code}"),
        }
    });
    told.reduce(|_, last| last)
}

fn running(pod: &Value) -> (PodState, String) {
    let is_deleted = is_there(pod, "/metadata/deletionTimestamp");
    if let Some(disrupted) = condition(pod, "DisruptionTarget") {
        let lost = text(disrupted, "/reason") == "DeletionByTaintManager";
        let state = if lost { PodState::NodeLost } else { PodState::Evicting };
        return (state, cut(&said(disrupted)));
    }
    let node = text(pod, "/spec/nodeName");
    let ready = conditions(pod).find(|condition| text(condition, "/type") == "Ready");
    match ready.filter(|ready| text(ready, "/status") != "True") {
        _ if is_deleted => (PodState::Evicting, "somebody deletes it".to_owned()),
        Some(ready) if text(ready, "/reason") == "NodeNotReady" || text(ready, "/status") == "Unknown" => {
            (PodState::NodeLost, format!("{node} does not answer"))
        }
        _ => (PodState::Running, format!("on {node}")),
    }
}

fn pending(seen: &Seen<'_>) -> (PodState, String) {
    let pod = seen.pod;
    let scheduled = conditions(pod).find(|condition| text(condition, "/type") == "PodScheduled");
    if let Some(waiting) = waiting(pod) {
        return waiting;
    }
    match scheduled {
        None => (PodState::New, String::new()),
        Some(scheduled) if text(scheduled, "/status") == "True" => {
            (PodState::Scheduled, format!("on {}", text(pod, "/spec/nodeName")))
        }
        Some(scheduled) => unschedulable(seen, scheduled),
    }
}

/// A container that waits for something that may not come.
fn waiting(pod: &Value) -> Option<(PodState, String)> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists.iter().filter_map(|path| pod.pointer(path)?.as_array()).flatten();
    statuses.filter_map(|status| status.pointer("/state/waiting")).find_map(|waiting| {
        let state = match text(waiting, "/reason") {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => PodState::ImageError,
            "CreateContainerConfigError" | "CreateContainerError" | "CrashLoopBackOff" | "RunContainerError" => {
                PodState::ConfigError
            }
            _ => return None,
        };
        Some((state, cut(&said(waiting))))
    })
}

/// No node has room: what the autoscalers say last, else the scheduler.
fn unschedulable(seen: &Seen<'_>, scheduled: &Value) -> (PodState, String) {
    let by_scaler = |event: &&&Value| {
        let source = [text(event, "/source/component"), text(event, "/reportingComponent")];
        source.iter().any(|source| AUTOSCALER.contains(source))
    };
    let last = seen.events.iter().rev().filter(by_scaler).find_map(|event| {
        let message = text(event, "/message");
        match text(event, "/reason") {
            "TriggeredScaleUp" => Some((PodState::NodeComing, after(message, "pod triggered scale-up: ").to_owned())),
            "Nominated" => Some((PodState::NodeComing, after(message, "Pod should schedule on: ").to_owned())),
            "NotTriggerScaleUp" => {
                Some((PodState::NothingComes, compressed(after(message, "pod didn't trigger scale-up: "))))
            }
            _ => None,
        }
    });
    let sentence = || (PodState::Unschedulable, compressed(text(scheduled, "/message")));
    let (state, why) = last.unwrap_or_else(sentence);
    (state, cut(why.trim_matches(['[', '{', '}', ']'])))
}

fn after<'a>(message: &'a str, words: &str) -> &'a str {
    message.strip_prefix(words).unwrap_or(message)
}

/// No pod is made yet: the last word of the job controller says why.
fn not_made(seen: &Seen<'_>) -> (PodState, String) {
    let refused = seen.events.iter().rev().find(|event| text(event, "/reason") == "FailedCreate");
    let Some(refused) = refused else { return (PodState::New, String::new()) };
    let message = text(refused, "/message");
    let why = message.split_once("exceeded quota: ").map(|(_, why)| why);
    match why {
        Some(why) => (PodState::Quota, cut(why)),
        None => (PodState::NotMade, cut(message)),
    }
}

/// Why Kueue does not let a Job go: what it says last that is not so.
fn in_kueue(workload: &Value) -> (PodState, String) {
    let evicted = condition(workload, "Evicted");
    let not = |kind: &str| {
        conditions(workload).find(move |one| text(one, "/type") == kind && text(one, "/status") == "False")
    };
    let says = evicted.or_else(|| not("Admitted")).or_else(|| not("QuotaReserved"));
    let says = says.map_or_else(|| "it has not looked yet".to_owned(), said);
    (PodState::Quota, cut(&format!("Kueue: {says}")))
}

/// The scheduler's sentence in few words: `0/5 nodes: 2 Insufficient nvidia.com/gpu, 3 selector`.
pub(super) fn compressed(sentence: &str) -> String {
    let first = sentence.split(". ").next().unwrap_or_default().trim_end_matches('.');
    let first = first.replacen(" nodes are available:", " nodes:", 1);
    let words = [
        ("node(s) didn't match Pod's node affinity/selector", "selector"),
        ("node(s) had untolerated taint(s)", "taint"),
        ("node(s) had untolerated taint", "taint"),
        ("node(s) were unschedulable", "cordoned"),
        ("node(s) didn't satisfy", "did not satisfy"),
    ];
    words.iter().fold(first, |said, (long, short)| said.replace(long, short))
}

/// Not longer than a line.
pub(super) fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;
    use proptest::prelude::*;
    use serde_json::json;

    /// The states that a recorded stream of pods goes through, with events that are all there already.
    fn states(pods: &str, events: Option<&str>) -> Vec<(PodState, String)> {
        let lines = |file: &str| recorded(file)["response"]["lines"].as_array().cloned().unwrap_or_default();
        let events: Vec<Value> =
            events.map(lines).unwrap_or_default().into_iter().map(|line| line["object"].clone()).collect();
        let events: Vec<&Value> = events.iter().filter(|event| !event["reason"].is_null()).collect();
        let mut told: Vec<(PodState, String)> = Vec::new();
        for line in lines(pods).iter().filter(|line| line["type"] != "BOOKMARK") {
            let now =
                super::told(&Seen { job: &Value::Null, pod: &line["object"], events: &events, workload: &Value::Null });
            if told.last() != Some(&now) {
                told.push(now);
            }
        }
        told
    }

    fn words(states: &[(PodState, String)]) -> Vec<String> {
        states.iter().map(|(state, why)| format!("{}: {why}", state.word())).collect()
    }

    #[test]
    fn a_pod_that_waits_for_a_node_says_which_is_coming_and_what_was_wrong() {
        let told = words(&states("watch/scaleup/pods", Some("watch/scaleup/events_core_v1")));
        assert_eq!(told[1], "node coming: gpu-pool 0->1 (max: 2)", "{told:?}");
        assert!(told.contains(&"running: on gpu-pool-x6k2x".to_owned()), "{told:?}");
        let told = words(&states("watch/scaleup/pods", None));
        assert_eq!(told[1], "unschedulable: 0/2 nodes: 2 selector", "{told:?}");
        assert!(told.contains(&"unschedulable: 0/3 nodes: 1 taint, 2 selector".to_owned()), "{told:?}");
    }

    #[test]
    fn what_goes_wrong_is_told_by_the_pods_own_words() {
        for (file, expected) in [
            ("watch/image_pull/pods", "image error: ImagePullBackOff: Back-off pulling image \"python:3.12\""),
            ("watch/evicted/pods", "evicting: EvictionByEvictionAPI: Eviction API: evicting"),
            ("watch/oom_killed/pods", "failed: OOMKilled, exit code 137"),
        ] {
            let told = words(&states(file, None));
            assert!(told.iter().any(|told| told == expected), "{file}: {told:?}");
        }
        let told = words(&states("watch/node_gone/pods", None));
        assert!(told.iter().any(|told| told.starts_with("node lost")), "{told:?}");
    }

    #[test]
    fn a_pod_for_which_nothing_comes_says_so() {
        let pod = recorded("watch/scaleup/pods")["response"]["lines"][2]["object"].clone();
        for (file, expected) in [
            ("watch/no_scaleup/events", "nothing will come: 2 selector, 1 Insufficient nvidia.com/gpu"),
            ("watch/backoff/events", "nothing will come: 1 in backoff after failed scale-up, 2 selector"),
        ] {
            let lines = recorded(file)["response"]["lines"].as_array().cloned().unwrap();
            let events: Vec<&Value> = lines.iter().map(|line| &line["object"]).collect();
            let (state, why) = told(&Seen { job: &Value::Null, pod: &pod, events: &events, workload: &Value::Null });
            assert_eq!(format!("{}: {why}", state.word()), expected, "{file}");
        }
    }

    #[test]
    fn of_one_second_the_later_write_is_the_last_word() {
        let event = |name: &str, at: &str, version: &str| json!({ "metadata": { "name": name, "resourceVersion": version }, "lastTimestamp": at });
        let second = "2026-11-30T12:00:00Z";
        let mut events = [
            event("third", second, "1000"),
            event("fifth", "2026-11-30T12:00:02Z", "7"),
            event("second", "2026-11-30T12:00:00.900000Z", "999"),
            event("fourth", "2026-11-30T12:00:01Z", "8"),
            event("first", second, "no number"),
        ];
        events.sort_by_key(moment);
        let order = events.each_ref().map(|event| text(event, "/metadata/name"));
        assert_eq!(order, ["first", "second", "third", "fourth", "fifth"]);
    }

    #[test]
    fn a_job_without_a_pod_says_which_quota_is_full() {
        let lines = recorded("watch/quota/events")["response"]["lines"].as_array().cloned().unwrap();
        let events: Vec<&Value> = lines.iter().take(2).map(|line| &line["object"]).collect();
        let (state, why) =
            told(&Seen { job: &Value::Null, pod: &Value::Null, events: &events, workload: &Value::Null });
        assert_eq!(state, PodState::Quota);
        assert!(why.starts_with("gpu-quota, requested: pods=1"), "{why}");
    }

    #[test]
    fn a_job_that_kueue_holds_says_what_for() {
        let job = serde_json::json!({ "metadata": { "labels": { "kueue.x-k8s.io/queue-name": "team" } },
            "spec": { "suspend": true } });
        let workload = serde_json::json!({ "status": { "conditions": [{ "type": "QuotaReserved", "status": "False",
            "reason": "Pending", "message": "couldn't assign flavors: insufficient unused quota for cpu" }] } });
        let told = |workload: &Value| {
            let (state, why) = told(&Seen { job: &job, pod: &Value::Null, events: &[], workload });
            format!("{}: {why}", state.word())
        };
        assert_eq!(
            told(&workload),
            "quota wait: Kueue: Pending: couldn't assign flavors: insufficient unused quota for cpu"
        );
        assert_eq!(told(&Value::Null), "quota wait: Kueue: it has not looked yet");
    }

    #[test]
    fn a_job_that_has_ended_says_how() {
        for (file, state) in [
            ("job/failed_node_pressure", PodState::Disrupted),
            ("job/failed_preempted", PodState::Disrupted),
            ("job/failed_exit_code", PodState::Failed),
            ("job/failed_deadline", PodState::Failed),
            ("job/suspended_get", PodState::Held),
            ("job/get_running", PodState::New),
        ] {
            let job = recorded(file)["response"]["body"].clone();
            let (told, why) = told(&Seen { job: &job, pod: &Value::Null, events: &[], workload: &Value::Null });
            assert_eq!(told, state, "{file}: {why}");
        }
    }

    const NAMES: &[&str] =
        &["status", "conditions", "type", "reason", "message", "state", "waiting", "phase", "spec", "suspend"];
    const WORDS: &[&str] =
        &["True", "Failed", "Complete", "Running", "Pending", "PodScheduled", "DisruptionTarget", "ä{0}"];

    /// Any JSON, with the names that are looked for in it.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::sample::select(WORDS).prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            let pair = (prop::sample::select(NAMES), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                prop::collection::vec(pair, 0..5)
                    .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_one_line(job in any_json(), pod in any_json(), event in any_json()) {
            let (_, why) = told(&Seen { job: &job, pod: &pod, events: &[&event], workload: &event });
            prop_assert!(!why.contains('\n') && why.chars().count() <= LONGEST + 3);
        }
    }
}

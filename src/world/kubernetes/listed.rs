//! Jobs and their pods as machines of a fleet.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::model::attempt::{Attempt, Pod, PodState};
use crate::model::ids::{FleetId, QueueName, Revision, TaskId, Term};
use crate::model::observed::{CloudInstance, CloudState, Tags};
use crate::model::settings::kubernetes::POD;
use crate::model::settings::{Market, Provider};
use crate::world::kubernetes::label;
use crate::world::kubernetes::nodes::asked;
use crate::world::kubernetes::story::story;
use crate::world::kubernetes::told::{Seen, condition, text, told, when};

/// Where a Job's name stands on its pod; before 1.27 in the second place only.
pub(super) const JOB_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// A Job as it is known: whether it is there, or since when not.
pub(super) struct Job<'a> {
    pub(super) object: &'a DynamicObject,
    pub(super) gone: Option<Timestamp>,
    /// What Kueue says of it; null where there is none.
    pub(super) workload: &'a Value,
}

/// The pods of a Job. A cluster makes another in the place of one that is being deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pods<'a> {
    /// The one that says how the Job stands.
    pub(super) shown: &'a DynamicObject,
    /// When the first of them got its node.
    began: Option<Timestamp>,
}

/// The pods of each Job, by the Job's name. Each pod is given with whether it is there, or is gone.
pub(super) fn pods_by_job<'a>(pods: impl Iterator<Item = (&'a DynamicObject, bool)>) -> BTreeMap<&'a str, Pods<'a>> {
    let mut by_job: BTreeMap<&str, (_, Pods<'_>)> = BTreeMap::new();
    for (pod, is_there) in pods {
        let Some(job) = JOB_NAME.iter().find_map(|name| pod.labels().get(*name)) else { continue };
        // One that waits in the place of another says nothing of the task while the other is there.
        let says = (is_there, has_run(pod), pod.creation_timestamp());
        let began = instant(text(&pod.data, "/status/startTime"));
        let (said, pods) = by_job.entry(job).or_insert_with(|| (says.clone(), Pods { shown: pod, began }));
        pods.began = pods.began.into_iter().chain(began).min();
        if says > *said {
            *said = says;
            pods.shown = pod;
        }
    }
    by_job.into_iter().map(|(job, (_, pods))| (job, pods)).collect()
}

fn has_run(pod: &DynamicObject) -> bool {
    !["", "Pending"].contains(&text(&pod.data, "/status/phase"))
}

/// A Job of the fleet as a machine; `None` for another's.
pub(super) fn machine(
    fleet: &FleetId,
    site: &str,
    job: &Job<'_>,
    pods: Option<Pods<'_>>,
    events: &[&Value],
    of_node: &[&Value],
) -> Option<CloudInstance> {
    let object = job.object;
    let name = |name| label::annotation(object, name);
    if name(label::FLEET) != Some(fleet.as_str()) {
        return None;
    }
    let id = object.name_any();
    let task = TaskId::new(object.labels().get(label::TASK)?.as_str());
    let number = Attempt::number_in(&id.as_str().into(), &task)?;
    let queue = QueueName::new(name(label::QUEUE)?);
    let (job_data, pod_data) = (whole(object), pods.map(|pods| whole(pods.shown)).unwrap_or_default());
    let (state, why) = told(&Seen { job: &job_data, pod: &pod_data, events, workload: job.workload });
    let created = object.creation_timestamp().map(|time| time.0)?;
    let has_begun = !text(&pod_data, "/status/startTime").is_empty();
    let finished = ["Complete", "Failed"].iter().find_map(|kind| condition(&job_data, kind));
    let finished_at = finished.map(|end| instant(text(end, "/lastTransitionTime")));
    let ending = object.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let (cloud_state, ended) = match (job.gone, finished_at, ending) {
        (_, Some(at), _) => (CloudState::Terminated, at.or(job.gone)),
        (Some(at), None, _) => (CloudState::Terminated, Some(at)),
        (None, None, Some(_)) => (CloudState::ShuttingDown, None),
        (None, None, None) if has_begun && state != PodState::New => (CloudState::Running, None),
        (None, None, None) => (CloudState::Pending, None),
    };
    // One that never began has cost nothing; another that waits in its place does not undo what it cost.
    let began = pods.and_then(|pods| pods.began);
    let ended = ended.map(|ended| if began.is_some() || pods.is_none() { ended } else { created });
    let deleted = finished.is_none() && (job.gone.is_some() || ending.is_some());
    let (state, why) = if deleted { (PodState::Deleted, format!("the Job was deleted: {why}")) } else { (state, why) };
    let since = |event: &&&Value| when(event).parse::<Timestamp>().is_ok_and(|at| at >= created);
    let events: Vec<&Value> = events.iter().chain(of_node.iter().filter(since)).copied().collect();
    let reason = (cloud_state == CloudState::Terminated).then(|| format!("{}: {why}", reason_word(state)));
    Some(CloudInstance {
        id: id.into(),
        provider: Provider::Kubernetes,
        pod: Some(Pod {
            task,
            queue: queue.clone(),
            queue_id: name(label::QUEUE_ID).map(Into::into),
            pending: name(label::PENDING).map(Into::into),
            number,
            held: label::is_held(object),
            state,
            why,
            node: Some(text(&pod_data, "/spec/nodeName")).filter(|node| !node.is_empty()).map(str::to_owned),
            ends_by: over(&pod_data),
            asks: asked(if pod_data.is_null() { template(&job_data) } else { &pod_data }),
            story: story(&job_data, &pod_data, &events),
        }),
        region: site.to_owned(),
        machine_type: POD.into(),
        zone: None,
        market: Market::OnDemand,
        state: cloud_state,
        launched: began.map_or(created, |began| began.max(created)),
        ended,
        image: None,
        state_reason: reason,
        tags: Tags {
            pool: name(label::POOL).map(Into::into),
            queue: Some(queue),
            intent: name(label::INTENT).map(Into::into),
            revision: name(label::REVISION).map(Revision::new),
            term: name(label::TERM).and_then(|term| term.parse().ok()).map(Term),
            settings: None,
            brought_over: false,
        },
    })
}

/// When its node ends a pod that has begun.
fn over(pod: &Value) -> Option<Timestamp> {
    let seconds = pod.pointer("/spec/activeDeadlineSeconds")?.as_i64()?;
    instant(text(pod, "/status/startTime"))?.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// The pod that a Job makes.
fn template(job: &Value) -> &Value {
    job.pointer("/spec/template").unwrap_or(&Value::Null)
}

/// What ended it, in a word that says whether it was its own fault.
fn reason_word(state: PodState) -> &'static str {
    if state == PodState::Disrupted { "DisruptionTarget" } else { state.word() }
}

/// All of an object, its name and times too.
pub(super) fn whole(object: &DynamicObject) -> Value {
    let mut data = object.data.clone();
    if let (Value::Object(fields), Ok(metadata)) = (&mut data, serde_json::to_value(&object.metadata)) {
        fields.insert("metadata".to_owned(), metadata);
    }
    data
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::QueueId;
    use crate::world::kubernetes::job;
    use crate::world::kubernetes::recorded;
    use serde_json::json;

    /// Our Job, with the status of a recorded one.
    fn ours(file: &str) -> DynamicObject {
        let order = job::tests::order();
        let mut job = job::job(&order, json!({})).unwrap();
        let recorded = recorded(file)["response"]["body"].clone();
        job["status"] = recorded["status"].clone();
        job["spec"]["suspend"] = recorded["spec"]["suspend"].clone();
        job["metadata"]["creationTimestamp"] = recorded["metadata"]["creationTimestamp"].clone();
        serde_json::from_value(job).unwrap()
    }

    fn listed(file: &str, gone: bool) -> CloudInstance {
        let object = ours(file);
        let gone = gone.then(|| "2026-11-23T20:00:00Z".parse().unwrap());
        machine(&"lab".into(), "current/ml", &Job { object: &object, gone, workload: &Value::Null }, None, &[], &[])
            .unwrap()
    }

    #[test]
    fn a_job_is_a_machine_whose_end_says_why() {
        let held = listed("job/suspended_get", false);
        assert_eq!((held.state, held.pod.as_ref().map(|pod| pod.held)), (CloudState::Pending, Some(true)));
        assert_eq!(
            (held.tags.pool.as_ref().unwrap().as_str(), held.tags.intent.as_ref().unwrap().as_str()),
            ("gpu", "b.0")
        );
        let pod = held.pod.as_ref().unwrap();
        let named = |queue: Option<&str>| queue.map(str::to_owned);
        assert_eq!(
            (named(pod.queue_id.as_ref().map(QueueId::as_str)), named(pod.pending.as_ref().map(QueueName::as_str))),
            (named(Some("q-train")), named(Some("k8s_one")))
        );
        let failed = listed("job/failed_node_pressure", false);
        assert_eq!((failed.state, failed.is_interrupted()), (CloudState::Terminated, true));
        assert_eq!(failed.ended, "2026-11-23T19:09:33Z".parse().ok());
        let own = listed("job/failed_exit_code", false);
        assert_eq!((own.state, own.is_interrupted()), (CloudState::Terminated, false));
        let deleted = listed("job/get_running", true);
        assert_eq!(deleted.state, CloudState::Terminated);
        assert!(deleted.state_reason.unwrap().starts_with("deleted: "));
    }

    /// A pod of our Job, made so many minutes after it.
    fn pod(name: &str, minutes: i64, status: Value) -> DynamicObject {
        let job = ours("job/get_running");
        let at = |minutes| job.creation_timestamp().unwrap().0 + jiff::SignedDuration::from_mins(minutes);
        let status = match status {
            Value::Null => json!({ "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu." }] }),
            mut status => {
                status["startTime"] = json!(at(minutes).to_string());
                status
            }
        };
        let metadata = json!({ "name": name, "creationTimestamp": at(minutes).to_string(),
            "labels": { JOB_NAME[1]: job.name_any() } });
        let spec = job.data["spec"]["template"]["spec"].clone();
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status });
        serde_json::from_value(pod).unwrap()
    }

    /// Our Job with these pods: which of them are there.
    fn with_pods(pods: &[(DynamicObject, bool)], gone: bool) -> CloudInstance {
        let mut object = ours("job/get_running");
        object.data["spec"]["parallelism"] = json!(1);
        let pods = pods_by_job(pods.iter().map(|(pod, is_there)| (pod, *is_there)));
        let gone = gone.then(|| object.creation_timestamp().unwrap().0 + jiff::SignedDuration::from_mins(60));
        let job = Job { object: &object, gone, workload: &Value::Null };
        machine(&"lab".into(), "s", &job, pods.get(object.name_any().as_str()).copied(), &[], &[]).unwrap()
    }

    #[test]
    fn a_pod_that_waits_in_the_place_of_another_is_shown_once_that_is_gone() {
        let lost = json!({ "phase": "Running", "conditions": [{ "type": "DisruptionTarget", "status": "True",
            "reason": "DeletionByTaintManager", "message": "Taint manager" }] });
        // The waiting one's name is before and behind the other's.
        for other in ["a", "c"] {
            let pods = |there| [(pod("b", 0, lost.clone()), there), (pod(other, 50, Value::Null), true)];
            let told = |seen: &CloudInstance| (seen.state, seen.pod.as_ref().unwrap().told());
            let both = with_pods(&pods(true), false);
            assert_eq!(
                told(&both),
                (CloudState::Running, "node lost: DeletionByTaintManager: Taint manager".to_owned())
            );
            let replaced = with_pods(&pods(false), false);
            let waits = "unschedulable: 0/1 nodes: 1 Insufficient cpu".to_owned();
            assert_eq!(told(&replaced), (CloudState::Pending, waits));
            // What the first one has cost is not undone.
            assert_eq!(replaced.launched, both.launched);
            let over = with_pods(&pods(false), true);
            assert_eq!(over.ended.unwrap().duration_since(over.launched), jiff::SignedDuration::from_mins(60));
        }
        // Who runs is shown before who ran.
        let running = json!({ "phase": "Running", "conditions": [] });
        let pods = [(pod("b", 0, lost), true), (pod("a", 50, running), true)];
        assert_eq!(with_pods(&pods, false).pod.unwrap().state, PodState::Running);
    }

    #[test]
    fn a_pod_is_over_so_long_after_it_began_however_long_it_waited() {
        let life = job::tests::order().pool.max_life;
        let waiting = with_pods(&[(pod("a", 0, Value::Null), true)], false);
        assert_eq!(waiting.pod.unwrap().ends_by, None);
        let running = with_pods(&[(pod("a", 90, json!({ "phase": "Running", "conditions": [] })), true)], false);
        assert_eq!(running.pod.unwrap().ends_by, running.launched.checked_add(life).ok());
    }

    #[test]
    fn anothers_job_is_not_ours() {
        let object = ours("job/get_running");
        assert_eq!(
            machine(&"other".into(), "s", &Job { object: &object, gone: None, workload: &Value::Null }, None, &[], &[]),
            None
        );
        let theirs: DynamicObject =
            serde_json::from_value(recorded("job/get_running")["response"]["body"].clone()).unwrap();
        assert_eq!(
            machine(&"lab".into(), "s", &Job { object: &theirs, gone: None, workload: &Value::Null }, None, &[], &[]),
            None
        );
    }
}

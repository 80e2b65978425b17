//! The main job in pods, with everything real but the cluster.

use std::collections::BTreeSet;

use tidegate::world::sim::clearml::Status;

use crate::kubernetes::rig::{Rig, SETTINGS};

#[test]
fn tasks_run_in_pods_and_nothing_is_left_behind() {
    let mut rig = Rig::new(SETTINGS);
    let tasks = rig.enqueue(&[("job-a", 2), ("job-b", 2), ("job-c", 2)]);
    rig.start_armed(&[]);
    rig.wait_for_status(&tasks, Status::Completed);
    rig.wait_for_nothing();
    let runs = rig.runs();
    assert!(runs.len() == 3 && runs.values().all(|run| *run == (1, 1)), "{runs:?}\n{}", rig.report());
    {
        let state = rig.api.state();
        assert_eq!(state.jobs_made.len(), 3, "a Job each");
        assert!(state.jobs_made.values().all(|times| *times == 1), "{:?}", state.jobs_made);
        // Watched, not polled: one list of each kind, whatever happens.
        let is_list = |asked: &&String| asked.starts_with("GET") && asked.contains('?') && !asked.contains("watch=");
        let lists: Vec<&String> = state.asked.iter().filter(is_list).collect();
        for plural in ["jobs", "pods", "events", "nodes"] {
            assert!(lists.iter().any(|asked| asked.contains(&format!("/{plural}?"))), "{plural}: {lists:#?}");
        }
        let different: BTreeSet<_> = lists.iter().collect();
        assert_eq!(different.len(), lists.len(), "{lists:#?}");
        for job in state.all("jobs") {
            let text = job.to_string();
            assert!(!text.contains("eyJ") && !text.contains("agents-secret"), "a secret in {text}");
        }
    }
    // What they cost is on the books, from the pods' starts to the Jobs' ends.
    let jobs = rig.api.state().all("jobs");
    let bill: i64 = jobs.iter().map(|job| bill(&rig, job)).sum();
    assert_eq!(rig.ask("status")["total_microusd"], bill, "{}", rig.report());
    assert!(bill > 0);
    assert!(rig.served.entries("k8s_scheduler").is_empty() && rig.served.entries("gpu").is_empty());
    rig.served.all_known();
}

/// $3.60 an hour are a thousandth of a dollar a second.
fn bill(rig: &Rig, job: &serde_json::Value) -> i64 {
    let name = job["metadata"]["name"].as_str().unwrap();
    let pod = rig.pod_of(name).unwrap();
    let at = |text: &serde_json::Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let conditions = job["status"]["conditions"].as_array().unwrap();
    let complete = conditions.iter().find(|condition| condition["type"] == "Complete").unwrap();
    let (start, end) = (at(&pod["status"]["startTime"]), at(&complete["lastTransitionTime"]));
    (end.as_second() - start.as_second()) * 1_000
}

#[test]
fn a_task_whose_pod_is_evicted_runs_again_and_says_why() {
    let mut rig = Rig::new(SETTINGS);
    let tasks = rig.enqueue(&[("job-a", 30)]);
    rig.start_armed(&[]);
    rig.wait("it runs", |rig| rig.runs().len() == 1);
    rig.wait_for_status(&tasks, Status::InProgress);
    // Its node goes: the pod's process ends with it, and the pod says so while it is there.
    let pod = rig.api.state().all("pods")[0].clone();
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    {
        let mut state = rig.api.state();
        let mut pod = state.get("pods", &name).unwrap();
        pod["status"]["phase"] = "Failed".into();
        pod["status"]["conditions"] = serde_json::json!([{ "type": "DisruptionTarget", "status": "True",
            "reason": "TerminationByKubelet", "message": "The node was low on resource: memory" }]);
        state.put("pods", pod);
    }
    // Before 1.26 a Job knows no such policy.
    let reason = if rig.api.minor() < 26 { "BackoffLimitExceeded" } else { "PodFailurePolicy" };
    rig.wait("the Job has failed", |rig| rig.api.state().all("jobs")[0]["status"].to_string().contains(reason));
    rig.api.state().remove("pods", &name);
    rig.wait("another attempt is made", |rig| rig.api.state().jobs_made.len() == 2);
    rig.wait("it runs again", |rig| rig.runs()["job-a"].0 == 2);
    let journal = rig.journal();
    for words in ["put task", "waits at the front of its queue again", "is attempt 2 at task", "DisruptionTarget"] {
        assert!(journal.contains(words), "{words}\n{journal}");
    }
}

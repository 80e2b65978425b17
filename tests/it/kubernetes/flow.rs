//! The flow between ClearML and the cluster, without any real agent: what is asked of whom, and when.

use serde_json::json;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, NewTask, Said, Status};

use crate::kubernetes::api::status;
use crate::kubernetes::rig::{Rig, SETTINGS};

/// No room in the cluster: pods wait.
pub(super) fn full(settings: &str) -> Rig {
    let rig = Rig::new(settings);
    *rig.cluster.room.0.lock().unwrap() = 0;
    rig
}

#[test]
fn caps_hold_before_a_task_is_popped() {
    let mut rig = full(SETTINGS);
    let tasks: Vec<_> = (0..5).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    rig.wait("two wait for their pods", |rig| {
        let taken = rig.served.entries_of("k8s_scheduler");
        taken.len() == 2 && taken.iter().all(|task| tasks[..2].contains(task))
    });
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(rig.served.entries("gpu"), tasks[2..], "the others keep their order\n{}", rig.report());
    // What waits is set aside and not spent, for as long as it waits.
    let status = rig.ask("status");
    let set_aside = status["budgets"][0]["committed_microusd"].as_i64().unwrap();
    assert!(status["total_microusd"] == 0 && set_aside > 0, "{status}");
    let told = rig.tidegate(&["instances"]).1;
    assert!(told.contains("unschedulable: 0/") && told.contains("1 Insufficient cpu"), "{told}");
}

#[test]
fn a_task_that_is_taken_out_of_the_pending_queue_costs_no_pod() {
    let mut rig = full(SETTINGS);
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
    rig.served.dequeue(&task);
    rig.wait("its Job is deleted", |rig| rig.api.state().all("jobs").is_empty());
    rig.wait_for_nothing();
    assert_eq!(rig.served.status(&task), Status::Created);
    assert_eq!(rig.ask("status")["total_microusd"], 0, "a pod that never began costs nothing\n{}", rig.report());
}

#[test]
fn a_pool_that_is_drained_makes_no_new_job_and_leaves_its_pods_to_their_tasks() {
    let mut rig = full(SETTINGS);
    let tasks: Vec<_> = (0..3).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    rig.begin(&tasks[0]);
    rig.wait_for_job(&tasks[1], 1);
    rig.wait("both are counted", |rig| rig.ask("status")["instances"] == 2);
    let (code, told) = rig.tidegate(&["drain", "--pool", "cluster", "--dry-run"]);
    assert!(
        code == Some(0) && told.contains("No new Job is made in pool cluster (pool.cluster.max = 0); 2 of"),
        "{told}"
    );
    assert!(told.contains("`tidegate set pool.cluster.max 2` takes it back"), "{told}");
    assert_eq!(rig.tidegate(&["drain", "--pool", "cluster", "--all-idle"]).0, Some(2), "none can be chosen");
    let (code, told) = rig.tidegate(&["drain", "--pool", "cluster", "--yes"]);
    assert_eq!(code, Some(0), "{told}");
    // Room for the next one.
    rig.served.dequeue(&tasks[1]);
    rig.wait("its Job is deleted", |rig| rig.api.state().all("jobs").len() == 1);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(rig.served.entries("gpu"), tasks[2..], "{}", rig.report());
    assert_eq!(rig.api.state().all("jobs").len(), 1, "{}", rig.report());
    assert_eq!(rig.served.status(&tasks[0]), Status::InProgress);
    let (code, told) = rig.tidegate(&["drain", "--pool", "cluster", "--yes"]);
    assert!(code == Some(0) && told.contains("pool.cluster.max is 0 already; 1 of"), "{told}");
    assert_eq!(rig.tidegate(&["set", "pool.cluster.max", "2"]).0, Some(0));
    rig.wait_for_job(&tasks[2], 1);
}

#[test]
fn a_job_that_somebody_deletes_gives_its_task_back_to_the_front() {
    let mut rig = full(SETTINGS);
    let tasks: Vec<_> = (0..4).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    rig.wait("two pods wait", |rig| rig.api.state().all("pods").len() == 2);
    let name = format!("clearml-{}-1", tasks[0]);
    rig.api.state().remove("jobs", &name);
    rig.wait("it is tried again", |rig| rig.api.state().get("jobs", &format!("clearml-{}-2", tasks[0])).is_some());
}

#[test]
fn a_job_that_is_deleted_while_nobody_looks_gives_its_task_back_too() {
    let mut rig = full(SETTINGS);
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("its launch is written down", |rig| rig.journal().contains(&format!("is attempt 1 at task {task}")));
    rig.kill_loop();
    rig.api.state().remove("jobs", &format!("clearml-{task}-1"));
    // Its pool has another name by then.
    rig.write_settings(&SETTINGS.replace("[pool.cluster]", "[pool.pods]").replace("\"cluster\"", "\"pods\""));
    rig.start_loop(&[]);
    rig.wait_for_job(&task, 2);
}

#[test]
fn a_full_quota_waits_and_fails_no_task() {
    let mut rig = full(SETTINGS);
    let task = rig.served.enqueue_shell("gpu", "true");
    let no = status(
        403,
        "Forbidden",
        "jobs.batch \"x\" is forbidden: exceeded quota: job-count, requested: \
        count/jobs.batch=1, used: count/jobs.batch=1, limited: count/jobs.batch=1",
    );
    rig.api.state().noes.push(("create jobs".to_owned(), 403, no));
    rig.start_armed(&[]);
    rig.wait("the refusal is told", |rig| rig.journal().contains("exceeded quota: job-count"));
    assert_eq!((rig.served.status(&task), rig.served.entries("gpu").len()), (Status::Queued, 1));
    assert_eq!(rig.tidegate(&["reset", "cluster"]).0, Some(0));
    rig.wait("it is tried again", |rig| !rig.api.state().all("pods").is_empty());
}

#[test]
fn a_tasks_own_container_counts_where_the_pool_lets_it() {
    let mut rig = full(&SETTINGS.replace("max = 2", "max = 2\ntask_image = true"));
    let (now, user) = (Clock::Wall.now(), ClearmlServer::console());
    let mut task = NewTask::shell("own container", user.clone(), "true");
    let container = json!({ "image": "team/train:7", "arguments": "-e WORKERS=8 --ipc=host -e CLEARML_TASK_ID=x" });
    task.body.insert("container".to_owned(), container);
    let queue = rig.served.queue("gpu");
    let own = {
        let mut server = rig.served.server();
        let own = server.create_task(now, task).unwrap();
        server.enqueue(now, &user, &own, &queue, Said::default(), false).unwrap();
        own
    };
    let none = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    for (task, image, workers) in [(&own, "team/train:7", vec!["8"]), (&none, "python:3.12", vec![])] {
        rig.wait_for_job(task, 1);
        let job = rig.api.state().get("jobs", &format!("clearml-{task}-1")).unwrap();
        let container = job["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(container["image"], image);
        let env = container["env"].as_array().unwrap();
        let of = |name: &str| -> Vec<&str> {
            env.iter().filter(|one| one["name"] == name).filter_map(|one| one["value"].as_str()).collect()
        };
        assert_eq!((of("WORKERS"), of("CLEARML_TASK_ID")), (workers, vec![task.as_str()]));
    }
}

#[test]
fn a_missing_right_and_a_wrong_field_are_named() {
    let mut rig = full(
        &SETTINGS
            .replace("pod_image = \"python:3.12\"", "pod_template = \"spec: {containers: [{name: a, image: x}]}\""),
    );
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.api.state().denied.insert("create jobs".to_owned());
    let (code, said) = rig.tidegate(&["check"]);
    assert!(
        code != Some(0) && said.contains(&format!("does not permit create jobs ({})", rig.namespace())),
        "{code:?} {said}"
    );
    rig.start_armed(&[]);
    rig.wait("the right is named", |rig| rig.journal().contains("cannot create resource \"jobs\""));
    rig.api.state().denied.clear();
    let mut no = status(422, "Invalid", "Job is invalid");
    no["details"] = serde_json::json!({ "causes": [{ "reason": "FieldValueInvalid", "message": "Invalid value: \"x y\"",
        "field": "spec.template.spec.containers[0].image" }] });
    rig.api.state().noes.push(("create jobs".to_owned(), 422, no));
    rig.tidegate(&["reset", "cluster"]);
    rig.wait("the field is named", |rig| {
        rig.journal().contains("spec.template.spec.containers[0].image: Invalid value")
    });
    assert_eq!((rig.served.status(&task), rig.served.entries("gpu").len()), (Status::Queued, 1));
}

/// The server did it and its answer was lost; or we die at any point: no task is lost, and none has two Jobs.
#[test]
fn whatever_is_cut_short_is_carried_through_once() {
    for lost in ["create jobs", "create secrets", "patch jobs"] {
        let mut rig = full(SETTINGS);
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.api.state().lost.push(lost.to_owned());
        rig.start_armed(&[]);
        rig.wait(&format!("{lost}: its pod waits"), |rig| !rig.api.state().all("pods").is_empty());
        assert_eq!(rig.served.entries_of("k8s_scheduler"), [task], "{lost}");
        assert_eq!(rig.api.state().all("secrets").len(), 1, "{lost}");
        let made = rig.api.state().jobs_made.clone();
        assert!(made.len() == 1 && made.values().all(|times| *times == 1), "{lost}: {made:?}");
    }
}

#[test]
fn a_crash_at_any_point_of_a_launch_loses_no_task() {
    for point in ["before-intent", "after-intent", "after-call", "after-reply", "after-record"] {
        let mut rig = full(SETTINGS);
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_loop(&[("TIDEGATE_CRASH_AT", &format!("launch:{point}"))]);
        // It may not lead yet, and it may die before it answers.
        rig.wait("the loop dies where it shall", |rig| {
            rig.tidegate(&["arm", "--yes"]);
            rig.has_crashed()
        });
        rig.start_loop(&[]);
        // Also one whose call was never made: its task does not wait for minutes.
        rig.wait(&format!("{point}: its pod waits"), |rig| !rig.api.state().all("pods").is_empty());
        rig.wait("it waits for its pod", |rig| rig.served.entries_of("k8s_scheduler") == [task.clone()]);
        let made = rig.api.state().jobs_made.clone();
        assert!(made.len() == 1 && made.values().all(|times| *times == 1), "{point}: {made:?}");
    }
}

#[test]
fn a_store_that_is_lost_is_made_up_for_by_what_the_jobs_say() {
    let mut rig = full(SETTINGS);
    let task = rig.served.enqueue_shell("gpu", "true");
    rig.start_armed(&[]);
    rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
    rig.kill_loop();
    std::fs::remove_dir_all(rig.path("state")).unwrap();
    rig.start_loop(&[]);
    rig.wait("the silent one is followed", |rig| rig.tidegate(&["arm", "--yes"]).0 == Some(0));
    rig.wait("its Job is adopted", |rig| rig.journal().contains(&format!("is attempt 1 at task {task}")));
    rig.api.state().remove("jobs", &format!("clearml-{task}-1"));
    rig.wait("its task is tried again", |rig| rig.api.state().get("jobs", &format!("clearml-{task}-2")).is_some());
}

#[test]
fn a_server_that_is_away_for_a_while_costs_no_task_and_no_second_list() {
    let mut rig = full(SETTINGS);
    let tasks: Vec<_> = (0..2).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    rig.wait("two pods wait", |rig| rig.api.state().all("pods").len() == 2);
    rig.api.state().down = true;
    rig.wait("it is said", |rig| rig.tidegate(&["status"]).1.contains(": watch: the server is down"));
    // Mostly slept: other tests run meanwhile.
    std::thread::sleep(std::time::Duration::from_mins(2));
    assert_eq!(rig.served.entries_of("k8s_scheduler").len(), 2, "nothing is given up");
    {
        let mut state = rig.api.state();
        state.down = false;
        state.asked.clear();
    }
    let of_jobs = |rig: &Rig| {
        let asked = rig.api.state().asked.clone();
        let of_jobs = asked.into_iter().filter(|asked| asked.starts_with("GET") && asked.contains("/jobs?"));
        of_jobs.partition::<Vec<_>, _>(|asked| asked.contains("watch="))
    };
    rig.wait("it is watched again", |rig| !of_jobs(rig).0.is_empty());
    assert_eq!(of_jobs(&rig).1, Vec::<String>::new());
    // What is forgotten there must be listed again, once.
    rig.api.state().compact();
    {
        let mut state = rig.api.state();
        (state.down, state.asked) = (true, Vec::new());
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    rig.api.state().remove("jobs", &format!("clearml-{}-1", tasks[0]));
    rig.api.state().compact();
    rig.api.state().down = false;
    rig.wait("the lost one is seen", |rig| rig.api.state().get("jobs", &format!("clearml-{}-2", tasks[0])).is_some());
    assert_eq!(of_jobs(&rig).1.len(), 1, "{:#?}", rig.api.state().asked);
}

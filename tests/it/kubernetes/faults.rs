//! The sixteen faults of ClearML's own glue, each reproduced with it on a real control plane: here each is a row, and none of
//! them is one of Tidegate's. No real agent runs; what one does is done by hand.

use jiff::SignedDuration;
use serde_json::json;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, NewTask, Said, Status};

use crate::kubernetes::api::now;
use crate::kubernetes::around;
use crate::kubernetes::flow::full;
use crate::kubernetes::real::secrets_of;
use crate::kubernetes::rig::{Rig, SETTINGS};

macro_rules! faults {
    ($($number:literal, $fault:literal => $name:ident $test:block)*) => {
        const FAULTS: &[(u32, &str)] = &[$(($number, $fault)),*];
        $(#[test] fn $name() $test)*
    };
}

#[test]
fn each_of_the_sixteen_has_a_row() {
    let numbers: Vec<u32> = FAULTS.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>(), "{FAULTS:?}");
}

faults! {
    1, "a task whose pod is evicted, preempted or out of memory is lost for two hours" =>
    a_task_whose_running_pod_fails_is_tried_again_at_once {
        let mut rig = full(SETTINGS);
        let tasks: Vec<_> = (0..2).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.start_armed(&[]);
        for task in &tasks {
            rig.begin(task);
        }
        rig.change_pod(&tasks[0], |pod| {
            pod["status"]["phase"] = "Failed".into();
            pod["status"]["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True",
                "reason": "PreemptionByScheduler", "message": "preempting to accommodate a higher priority pod" }]);
        });
        rig.change_pod(&tasks[1], |pod| {
            pod["status"]["phase"] = "Failed".into();
            pod["status"]["containerStatuses"] = json!([{ "name": "task", "state": { "terminated": {
                "exitCode": 137, "reason": "OOMKilled", "finishedAt": now() } } }]);
        });
        for task in &tasks {
            rig.wait_for_job(task, 2);
        }
        let journal = rig.journal();
        for words in ["PreemptionByScheduler", "OOMKilled, exit code 137"] {
            assert!(journal.contains(words), "{words}\n{journal}");
        }
        // Their rule is one more try.
        rig.begin(&tasks[1]);
        rig.change_pod(&tasks[1], |pod| pod["status"]["phase"] = "Failed".into());
        rig.wait_for_status(&tasks[1..], Status::Stopped);
    }

    2, "a pod that somebody deletes, or whose node is gone, is never noticed" =>
    a_pod_that_is_gone_is_noticed_and_a_silent_node_is_waited_for {
        let mut rig = full(SETTINGS);
        let tasks: Vec<_> = (0..2).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.start_armed(&[]);
        for task in &tasks {
            rig.begin(task);
        }
        let [gone, lost] = [0, 1].map(|task: usize| rig.pod_name(&format!("clearml-{}-1", tasks[task])));
        rig.api.state().remove("pods", &gone);
        // The other's node is silent: its pod seems to run, and may.
        rig.change_pod(&tasks[1], |pod| {
            pod["metadata"]["deletionTimestamp"] = now().into();
            pod["status"]["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True",
                "reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint" }]);
        });
        rig.end_replacement(&tasks[0]);
        rig.wait_for_job(&tasks[0], 2);
        rig.wait("the node is told of", |rig| rig.tidegate(&["instances"]).1.contains("node lost: DeletionByTaintManager"));
        assert_eq!(rig.served.status(&tasks[1]), Status::InProgress, "it may still run\n{}", rig.report());
        assert!(rig.api.state().get("jobs", &format!("clearml-{}-2", tasks[1])).is_none());
        // Its Node object is deleted, and pod GC takes the pod.
        rig.api.state().remove("pods", &lost);
        rig.end_replacement(&tasks[1]);
        rig.wait_for_job(&tasks[1], 2);
    }

    3, "failed Jobs stay for ever and count" =>
    failed_jobs_go_by_themselves_and_count_nowhere {
        let mut rig = full(SETTINGS);
        let tasks: Vec<_> = (0..4).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.start_armed(&[]);
        for task in &tasks[..2] {
            rig.begin(task);
            let (at, user) = (Clock::Wall.now(), ClearmlServer::agents());
            rig.served.server().failed(at, &user, task, Said::default(), true).unwrap();
            rig.change_pod(task, |pod| pod["status"]["phase"] = "Failed".into());
        }
        for task in &tasks[2..] {
            rig.wait_for_job(task, 1);
        }
        let jobs = rig.api.state().all("jobs");
        assert!(jobs.len() == 4 && jobs.iter().all(|job| job["spec"]["ttlSecondsAfterFinished"] == 3_600), "{jobs:#?}");
    }

    4, "a full quota fails the task" =>
    a_quota_that_is_freed_later_lets_the_pod_begin {
        let mut rig = full(SETTINGS);
        rig.api.state().limit_pods(Some(1));
        let tasks: Vec<_> = (0..2).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.start_armed(&[]);
        rig.wait("one waits for the quota", |rig| {
            rig.tidegate(&["why", "gpu"]).1.contains("1 pod: quota wait: gpu-quota, requested: pods=1")
        });
        assert!(tasks.iter().all(|task| rig.served.status(task) == Status::Queued));
        rig.api.state().limit_pods(None);
        rig.wait("its pod is made", |rig| rig.api.state().all("pods").len() == 2);
        assert_eq!(rig.served.entries_of("k8s_scheduler").len(), 2);
    }

    5, "a warning of the API server fails the task while its pod starts" =>
    a_warning_is_shown_and_fails_nothing {
        let mut rig = full(SETTINGS);
        rig.api.state().warning = Some("would violate PodSecurity \"restricted:latest\"");
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
        rig.wait("the warning is shown", |rig| {
            rig.tidegate(&["why", "cluster"]).1.contains("the API server warns: would violate PodSecurity \"restricted:latest\"")
        });
        assert_eq!(rig.served.entries_of("k8s_scheduler"), [task]);
    }

    6, "a task that is enqueued again while its old pod is there is never run, or failed" =>
    a_task_that_is_run_again_has_another_job {
        let mut rig = full(SETTINGS);
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.begin(&task);
        let user = ClearmlServer::console();
        rig.served.server().completed(Clock::Wall.now(), &user, &task, Said::default(), true).unwrap();
        rig.change_pod(&task, |pod| pod["status"]["phase"] = "Succeeded".into());
        rig.wait_for_nothing();
        let queue = rig.served.queue("gpu");
        {
            let mut server = rig.served.server();
            server.reset(Clock::Wall.now(), &user, &task, true).unwrap();
            server.enqueue(Clock::Wall.now(), &user, &task, &queue, Said::default(), false).unwrap();
        }
        rig.wait_for_job(&task, 2);
        assert!(rig.api.state().get("jobs", &format!("clearml-{task}-1")).is_some(), "the old one is still there");
    }

    7, "while the API server is away the queue is drained into failed tasks" =>
    while_the_api_server_is_away_no_task_is_touched {
        let mut rig = full(SETTINGS);
        let tasks: Vec<_> = (0..3).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.api.state().down = true;
        rig.start_armed(&[]);
        std::thread::sleep(std::time::Duration::from_secs(6));
        assert_eq!(rig.served.entries("gpu"), tasks, "in their order\n{}", rig.report());
        assert!(tasks.iter().all(|task| rig.served.status(task) == Status::Queued));
        rig.api.state().down = false;
        for task in &tasks[..2] {
            rig.wait_for_job(task, 1);
        }
    }

    8, "a pod in the template's own namespace is neither counted nor watched" =>
    a_pod_is_where_its_pool_says_whatever_its_template_says {
        let template = "pod_template = \"{metadata: {namespace: kube-system, name: mine}, spec: {}}\"\npod_image";
        let mut rig = full(&SETTINGS.replace("pod_image", template));
        let tasks: Vec<_> = (0..3).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
        rig.start_armed(&[]);
        rig.wait("two pods are made", |rig| rig.api.state().all("pods").len() == 2);
        let pods = rig.api.state().all("pods");
        assert!(pods.iter().all(|pod| pod["metadata"]["namespace"] == rig.namespace()), "{pods:#?}");
        rig.wait("both are counted", |rig| rig.ask("status")["instances"] == 2);
        assert_eq!(rig.served.entries("gpu"), tasks[2..]);
    }

    9, "a pod that cannot begin waits for ever" =>
    a_pod_waits_for_as_long_as_its_pool_says {
        let mut rig = full(&SETTINGS.replace("max = 2", "max = 2\npending_timeout = \"15s\""));
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
        rig.change_pod(&task, |pod| {
            pod["status"]["containerStatuses"] = json!([{ "name": "task", "state": { "waiting": {
                "reason": "CreateContainerConfigError", "message": "secret \"x\" not found" } } }]);
        });
        rig.wait_for_job(&task, 2);
        let told = "pool.cluster.pending_timeout is 15s; config error: CreateContainerConfigError: secret \"x\" not found";
        rig.wait("the journal says why", |rig| rig.journal().contains(told));
    }

    10, "no retry, and no template, image, limit or priority of a queue's own" =>
    each_queue_has_a_template_an_image_a_limit_and_a_priority_of_its_own {
        let other = "\n[queue.cpu]\npools = [\"small\"]\n[pool.small]\nprovider = \"kubernetes\"\ncontext = \"test\"\n\
                     namespace = \"ml-tasks\"\npod_image = \"alpine:3\"\npriority_class = \"batch\"\nprice = \"$1/h\"\nmax = 1\n\
                     pod_template = \"spec: {schedulerName: volcano}\"\n";
        let mut rig = Rig::with_queues(&(SETTINGS.to_owned() + other), &["gpu", "cpu"]);
        *rig.cluster.room.0.lock().unwrap() = 0;
        let tasks: Vec<_> = ["gpu", "gpu", "cpu", "cpu"].map(|queue| rig.served.enqueue_shell(queue, "true")).into();
        rig.start_armed(&[]);
        for task in &tasks[..3] {
            rig.wait_for_job(task, 1);
        }
        let spec = |task: usize| {
            let job = rig.api.state().get("jobs", &format!("clearml-{}-1", tasks[task])).unwrap();
            job["spec"]["template"]["spec"].clone()
        };
        let (gpu, cpu) = (spec(0), spec(2));
        assert_eq!((&gpu["containers"][0]["image"], &gpu["priorityClassName"]), (&json!("python:3.12"), &json!(null)));
        assert_eq!((&cpu["containers"][0]["image"], &cpu["priorityClassName"]), (&json!("alpine:3"), &json!("batch")));
        assert_eq!(cpu["schedulerName"], "volcano");
        rig.wait("its own limit is one", |rig| rig.served.entries("cpu") == tasks[3..]);
    }

    11, "a crash between two calls loses the task" =>
    a_task_that_waits_for_a_pod_of_which_there_is_nothing_is_put_back {
        let mut rig = full(SETTINGS);
        let user = ClearmlServer::console();
        let (long_ago, pending) = (Clock::Wall.now() - SignedDuration::from_mins(5), "k8s_scheduler");
        let strand = |reason: &dyn Fn(&str) -> String| {
            let mut server = rig.served.server();
            let queue = server.queue_by_name(pending).map(|queue| queue.id.clone());
            let queue = queue.unwrap_or_else(|| server.create_queue(long_ago, pending, &["k8s-glue"]).unwrap());
            let task = server.create_task(long_ago, NewTask::shell("stranded", user.clone(), "true")).unwrap();
            let reason = reason(task.as_str());
            server.enqueue(long_ago, &user, &task, &queue, Said::reason(&reason), false).unwrap();
            task
        };
        let ours = strand(&|task| format!("waits for pod clearml-{task}-1 of fleet e2e/queue gpu"));
        let anothers = strand(&|task| format!("waits for pod clearml-{task}-1 of fleet other/queue gpu"));
        let of_glue = strand(&|_| "k8s pending scheduler".to_owned());
        rig.start_armed(&[]);
        rig.wait("it waits for a pod of its own", |rig| !rig.api.state().all("pods").is_empty());
        let made = rig.api.state().jobs_made.keys().cloned().collect::<Vec<_>>();
        assert_eq!(made, [format!("clearml-{ours}-1")], "{}", rig.journal());
        let left = rig.served.entries_of(pending);
        assert!(left.contains(&anothers) && left.contains(&of_glue), "they are others': {left:?}");
        assert!(rig.journal().contains("of which there is nothing"));
    }

    12, "keys and passwords are in the pod's arguments" =>
    what_is_secret_is_in_a_secret_that_goes_with_the_job {
        let mut rig = full(SETTINGS);
        let _ = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.wait("its pod waits", |rig| !rig.api.state().all("pods").is_empty());
        let jobs = rig.api.state().all("jobs");
        let secrets = rig.api.state().all("secrets");
        let pod = rig.api.state().all("pods")[0].to_string();
        let token = &secrets_of(&secrets[0])["token"];
        assert!(!pod.contains(token) && !jobs[0].to_string().contains(token) && !pod.contains("agents-secret"));
        assert_eq!(secrets[0]["metadata"]["ownerReferences"][0]["uid"], jobs[0]["metadata"]["uid"]);
        let (code, _) = rig.tidegate(&["stop", jobs[0]["metadata"]["name"].as_str().unwrap(), "--yes", "--kill"]);
        assert_eq!(code, Some(0));
        rig.wait("it goes with its Job", |rig| rig.api.state().all("secrets").iter().all(|one| one["metadata"]["uid"] != secrets[0]["metadata"]["uid"]));
    }

    13, "a letter beyond ASCII ends the glue, and a template that cannot be read strands the task" =>
    any_letter_is_taken_and_a_template_that_cannot_be_read_strands_no_task {
        let conf = "pod_template = \"file:/nowhere/pod.yaml\"\nextra_clearml_conf = \"# für Zoë: 数据\"\npod_image";
        let mut rig = full(&SETTINGS.replace("pod_image", conf));
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.wait("the template is named", |rig| rig.journal().contains("/nowhere/pod.yaml: No such file"));
        assert_eq!(rig.served.entries("gpu"), [task]);
        let found = rig.path("pod.yaml");
        crate::support::process::write(&found, "spec: {}");
        let settings = SETTINGS.replace("pod_image", &conf.replace("/nowhere/pod.yaml", &found.display().to_string()));
        rig.write_settings(&settings);
        rig.wait("it is taken up", |rig| { rig.tidegate(&["reset", "cluster"]); !rig.api.state().all("pods").is_empty() });
        let secret = &secrets_of(&rig.api.state().all("secrets")[0])["clearml.conf"];
        assert!(secret.contains("# für Zoë: 数据"), "{secret}");
    }

    14, "a hung agent of an aborted task keeps its pod" =>
    a_pod_whose_task_has_long_been_over_is_ended {
        let mut rig = full(SETTINGS);
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.begin(&task);
        let (user, long_ago) = (ClearmlServer::console(), Clock::Wall.now() - SignedDuration::from_mins(6));
        rig.served.server().stopped(long_ago, &user, &task, Said::reason("by ann"), true).unwrap();
        rig.wait("its Job is deleted", |rig| rig.api.state().all("jobs").is_empty());
        assert_eq!(rig.served.status(&task), Status::Stopped);
    }

    15, "who renames the worker loses sight of its pods" =>
    a_pool_that_is_renamed_keeps_its_pods {
        let mut rig = full(SETTINGS);
        let task = rig.served.enqueue_shell("gpu", "true");
        rig.start_armed(&[]);
        rig.wait("its launch is written down", |rig| rig.journal().contains(&format!("is attempt 1 at task {task}")));
        rig.kill_loop();
        rig.write_settings(&SETTINGS.replace("[pool.cluster]", "[pool.pods]").replace("\"cluster\"", "\"pods\""));
        rig.start_loop(&[]);
        rig.wait("it is still shown", |rig| rig.tidegate(&["instances"]).1.contains(&format!("clearml-{task}-1")));
        rig.api.state().remove("jobs", &format!("clearml-{task}-1"));
        rig.wait_for_job(&task, 2);
    }

    16, "nobody says whether a node is coming" =>
    why_says_what_a_pod_waits_for_and_what_the_autoscaler_does {
        around::why_says_what_a_pod_waits_for_and_what_the_autoscaler_does_about_it();
    }
}

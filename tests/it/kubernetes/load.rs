//! Many tasks and many pods at once: what the program needs for them. Run it by name, best with a release build:
//! `TIDEGATE_TEST_PROGRAM=.../tidegate cargo test --test it load -- --ignored --nocapture`.

use std::time::Duration;

use serde_json::json;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, Said, Status};

use crate::kubernetes::api::now;
use crate::kubernetes::real::needs_ours;
use crate::kubernetes::rig::{Rig, SETTINGS};

const WAITING: usize = 2_000;
const RUNNING: usize = 500;
/// It is watched for so long.
const WATCHED: Duration = Duration::from_mins(6);

/// Memory in MiB and CPU seconds of a process.
fn used(process: u32) -> (u64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    (kib / 1_024, ticks / 100.0)
}

#[test]
#[ignore = "minutes, and of use for its numbers only"]
fn two_thousand_tasks_and_five_hundred_jobs() {
    if needs_ours("two_thousand_tasks_and_five_hundred_jobs", "what it counts is asked of ours") {
        return;
    }
    let settings = SETTINGS.replace("max = 2", "max = 500").replace("limit = \"$100\"", "limit = \"$100000\"");
    let mut rig = Rig::new(&settings.replace("poll = \"1s\"", "poll = \"auto\""));
    *rig.cluster.room.0.lock().unwrap() = 0;
    for _ in 0..WAITING + RUNNING {
        rig.served.enqueue_shell("gpu", "true");
    }
    rig.start_armed(&[]);
    for _ in 0..20 {
        if rig.api.state().all("pods").len() >= RUNNING {
            break;
        }
        std::thread::sleep(Duration::from_secs(30));
    }
    let pods = rig.api.state().all("pods");
    assert_eq!(pods.len(), RUNNING, "{}", rig.journal());
    for mut pod in pods {
        pod["spec"]["nodeName"] = "worker-1".into();
        pod["status"] = json!({ "phase": "Running", "startTime": now(), "conditions": [
            { "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }] });
        rig.api.state().put("pods", pod);
    }
    let user = ClearmlServer::agents();
    for task in rig.served.entries_of("k8s_scheduler") {
        let mut server = rig.served.server();
        let at = Clock::Wall.now();
        server.dequeue(at, &user, &task, Said::default(), Some(Status::InProgress)).unwrap();
        server.started(at, &user, &task, Said::default(), true).unwrap();
    }
    std::thread::sleep(Duration::from_secs(30));
    let process = rig.process();
    let (before, (_, began)) = (rig.api.state().asked.len(), used(process));
    std::thread::sleep(WATCHED);
    let (memory, ended) = used(process);
    let asked: Vec<String> = rig.api.state().asked[before..].to_vec();
    let lists = asked.iter().filter(|asked| asked.starts_with("GET") && !asked.contains("watch=")).count();
    let minutes = WATCHED.as_secs_f64() / 60.0;
    println!(
        "{WAITING} waiting, {RUNNING} running: {memory} MiB, {:.1} % of a core, {:.1} calls of the API a minute, {lists} lists",
        (ended - began) / WATCHED.as_secs_f64() * 100.0,
        f64::from(u32::try_from(asked.len()).unwrap()) / minutes
    );
    assert_eq!(lists, 0, "{asked:#?}");
    assert_eq!(rig.served.entries("gpu").len(), WAITING);
}

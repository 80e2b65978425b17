//! A machine with several agents: the boot script and two real agents behind one mailbox.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::Status;

use super::{MAILBOX, order, until, wait_minutes};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

/// Boots a machine with so many agents.
fn boot(server: &Served, agents: u32, cpu_only: bool, settings: &[(&str, &str)]) -> Machine {
    let mut order = order(server);
    (order.pool.agent.agents_per_machine, order.pool.agent.cpu_only) = (agents, cpu_only);
    Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", settings)
}

fn two(server: &Served, settings: &[(&str, &str)]) -> Machine {
    let machine = boot(server, 2, true, settings);
    wait_minutes(3, &machine, "both agents register", || server.workers().len() == 2);
    machine
}

fn state(machine: &Machine, agent: u32) -> String {
    std::fs::read_to_string(machine.file(&format!("{agent}/state"))).unwrap_or_default()
}

/// The process of an agent, by what the guard says: those that it started last.
fn agents(machine: &Machine) -> Vec<String> {
    let said = machine.guard.written();
    let started = said.lines().filter(|line| line.contains("]: agent ") && line.contains(" started"));
    let ids = started.filter_map(|line| line.split("]: agent ").nth(1)?.split_whitespace().next());
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned).collect()
}

fn kill(process: &str) {
    assert!(std::process::Command::new("kill").args(["-KILL", process]).status().unwrap().success());
}

#[test]
fn two_tasks_run_at_once_and_a_drain_is_answered_when_both_have_ended() {
    let server = Served::start(&["one", "two"]);
    let machine = two(&server, &[]);
    assert_eq!(server.workers(), ["test:small:t3.medium:i-1.1", "test:small:t3.medium:i-1.2"]);
    assert_eq!(server.metadata(MAILBOX, "agents").as_deref(), Some("2"));
    let ends = [machine.root().join("first"), machine.root().join("second")];
    let tasks = [until(&server, &ends[0]), until(&server, &ends[1])];
    wait_minutes(3, &machine, "both run at once", || {
        tasks.iter().all(|task| server.status(task) == Status::InProgress)
    });
    let behind = server.enqueue_shell("one", "true");
    server.write(MAILBOX, "want", "drain:n1");
    write(&ends[0], "");
    wait_minutes(3, &machine, "one of them has ended", || server.status(&tasks[0]) == Status::Completed);
    let proved = || [1, 2].map(|agent| state(&machine, agent) == "drained:n1\n");
    wait_minutes(3, &machine, "its agent has proved it", || proved().contains(&true));
    let looks = server.watch.count("queues.get_all");
    wait_minutes(3, &machine, "it looks on", || server.watch.count("queues.get_all") > looks + 8);
    assert!(proved().contains(&false), "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "state"), None, "the other one runs: {}", machine.written());
    write(&ends[1], "");
    wait_minutes(3, &machine, "the drain is answered", || {
        server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1")
    });
    assert_eq!(server.status(&tasks[1]), Status::Completed, "{}", machine.written());
    assert_eq!(server.entries("one"), std::slice::from_ref(&behind), "{}", machine.written());
    server.write(MAILBOX, "want", "run");
    wait_minutes(3, &machine, "the cancel is answered and a task taken", || {
        server.metadata(MAILBOX, "state").as_deref() == Some("run:n1") && server.status(&behind) == Status::Completed
    });
    assert!(!machine.is_off());
}

/// One that is given up has proved all there is to prove.
#[test]
fn an_agent_that_cannot_live_is_given_up_and_the_other_works_on_and_is_drained() {
    let server = Served::start(&["one", "two"]);
    let machine = two(&server, &[("TIDEGATE_DEATHS", "1"), ("TIDEGATE_DRAIN_GRACE", "2")]);
    kill(&agents(&machine)[0]);
    wait_minutes(3, &machine, "it is started again", || agents(&machine).len() == 3);
    kill(&agents(&machine)[2]);
    wait_minutes(3, &machine, "it is given up", || machine.file("1/dead").exists());
    let task = server.enqueue_shell("one", "true");
    wait_minutes(3, &machine, "the other works", || server.status(&task) == Status::Completed);
    assert!(!machine.is_off(), "{}", machine.written());
    server.write(MAILBOX, "want", "drain:n1");
    wait_minutes(3, &machine, "the drain is answered", || {
        server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1")
    });
    wait_minutes(3, &machine, "nobody ends it, and it ends itself", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("drained"));
}

/// The command lines of the machine's agents, in order.
fn lines(machine: &Machine) -> Vec<String> {
    let line = |id: &String| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words = |id| String::from_utf8_lossy(&line(id)).replace('\0', " ");
    agents(machine).iter().map(words).collect()
}

/// A folder with an `nvidia-smi` in it that lists so many GPUs, as the first of a path.
fn with_gpus(folder: &Path, gpus: u32) -> String {
    let listed: Vec<_> = (0..gpus).map(|gpu| format!("echo 'GPU {gpu}: NVIDIA A10G (UUID: GPU-{gpu})'")).collect();
    write(&folder.join("nvidia-smi"), &format!("#!/bin/sh\n{}\n", listed.join("\n")));
    std::fs::set_permissions(folder.join("nvidia-smi"), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn each_agent_is_given_its_gpus_and_too_few_of_them_end_the_machine() {
    let (server, folder) = (Served::start(&["one", "two"]), tempfile::tempdir().unwrap());
    let path = with_gpus(folder.path(), 5);
    let gpus = |agents: u32, cpu_only| {
        let machine = boot(&server, agents, cpu_only, &[("PATH", &path)]);
        let count = usize::try_from(agents).unwrap();
        wait_minutes(3, &machine, "they start", || {
            lines(&machine).iter().filter(|line| line.contains("gate.py")).count() == count
        });
        let given =
            |line: &String| line.split_once("--gpus ").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        lines(&machine).iter().map(given).collect::<Vec<_>>()
    };
    assert_eq!(gpus(2, false), [Some("0,1,2".to_owned()), Some("3,4".to_owned())]);
    assert_eq!(gpus(2, true), [None, None]);
    assert_eq!(gpus(1, false), [None], "as it was");
    let machine = boot(&server, 6, false, &[("PATH", &path)]);
    wait_minutes(3, &machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("6 agents, and 5 GPU to share"));
}

#[test]
fn term_stops_every_agent_and_leaves_nothing_behind() {
    let server = Served::start(&["one", "two"]);
    let machine = two(&server, &[]);
    machine.guard.signal_leader("TERM");
    wait_minutes(3, &machine, "every process has ended", || machine.processes().is_empty());
    assert_eq!((server.workers().len(), machine.is_off()), (0, false));
}

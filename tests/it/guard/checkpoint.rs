//! A drain whose task may not go on: it writes what it has, waits again, and the drain is answered as any.

use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::Status;

use super::{MAILBOX, boot, hold, job_lives, order, wait, wait_minutes};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

const QUICK: [(&str, &str); 2] = [("TIDEGATE_SERVER_EVERY", "1"), ("TIDEGATE_DRAIN_GRACE", "600")];

#[test]
fn a_task_that_is_asked_to_end_writes_what_it_has_and_waits_again_once() {
    let server = Served::start(&["one", "two"]);
    let folder = tempfile::tempdir().unwrap();
    let (saved, script) = (folder.path().join("saved"), folder.path().join("callback"));
    write(&script, &format!("sleep 2\ntouch {}\n", saved.display()));
    let callback = format!("sh {}", script.display());
    let settings = [QUICK.as_slice(), &[("CLEARML_AGENT_ABORT_CALLBACK_CMD", &callback)]].concat();
    let machine = boot(&server, &settings);
    let task = server.enqueue_shell("one", "sleep 651");
    wait(&machine, "the job runs", || job_lives(&machine, "651"));
    let behind = server.enqueue_shell("one", "sleep 1");
    // An order to end of another drain is none, nor is one without a drain.
    server.write(MAILBOX, "end", "n1");
    server.write(MAILBOX, "want", "drain:n2");
    let looks = server.watch.count("queues.get_all");
    wait(&machine, "it reads its mailbox", || server.watch.count("queues.get_all") > looks + 6);
    assert!(job_lives(&machine, "651") && server.status(&task) == Status::InProgress, "{}", machine.written());
    server.write(MAILBOX, "end", "n2");
    wait(&machine, "it answers", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n2"));
    assert!(saved.exists() && !job_lives(&machine, "651"), "{}", machine.written());
    wait(&machine, "the task waits again", || server.entries("one") == [behind.clone(), task.clone()]);
    assert_eq!(server.status(&task), Status::Queued);
    wait(&machine, "it has said so", || server.metadata(MAILBOX, "requeue").as_deref() == Some(""));
    // Taken back, it works on; what was asked for then is over.
    server.write(MAILBOX, "want", "run");
    wait(&machine, "the next task ends", || server.status(&behind) == Status::Completed);
    wait(&machine, "the job runs again", || job_lives(&machine, "651"));
    assert!(!machine.is_off() && server.watch.count("tasks.enqueue") == 1, "{}", machine.written());
}

#[test]
fn the_tasks_of_all_agents_wait_again() {
    let server = Served::start(&["one", "two"]);
    let mut several = order(&server);
    several.pool.agent.agents_per_machine = 2;
    let machine = Machine::boot_user_data(&user_data(&several).unwrap(), "i-1", &QUICK);
    let tasks = ["652", "653"].map(|seconds| server.enqueue_shell("one", &format!("sleep {seconds}")));
    wait_minutes(3, &machine, "both jobs run", || ["652", "653"].iter().all(|seconds| job_lives(&machine, seconds)));
    server.write(MAILBOX, "want", "drain:n");
    server.write(MAILBOX, "end", "n");
    wait_minutes(3, &machine, "it answers", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n"));
    wait_minutes(3, &machine, "both wait again", || server.entries("one").len() == 2);
    assert!(tasks.iter().all(|task| server.status(task) == Status::Queued), "{}", machine.written());
    assert_eq!(server.watch.count("tasks.enqueue"), 2);
}

/// Without a gate a hidden task proves that nothing else runs.
#[test]
fn a_task_of_a_machine_without_a_gate_waits_again() {
    let server = Served::start(&["one", "two"]);
    let machine = hold::boot(&server, &QUICK);
    let task = server.enqueue_shell("one", "sleep 654");
    wait(&machine, "the job runs", || job_lives(&machine, "654"));
    server.write(MAILBOX, "want", "drain:n");
    server.write(MAILBOX, "end", "n");
    wait(&machine, "the task waits again", || server.entries("one") == [task.clone()]);
    wait(&machine, "it is held", || hold::holds(&server) == [Status::InProgress]);
    assert!(!job_lives(&machine, "654") && !machine.is_off(), "{}", machine.written());
}

//! How machines end by themselves, and how they come back: the boot script with the real agent, in bad times.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use jiff::SignedDuration;
use tidegate::world::clock::Clock;
use tidegate::world::guard::{boot_script, user_data};
use tidegate::world::secret::Secret;
use tidegate::world::sim::clearml::http::Fault;
use tidegate::world::sim::clearml::{ClearmlServer, Status};

use super::{
    LOOK, MAILBOX, boot, holds, job_lives, order, outlives_its_console, pulls, until, wait, wait_with_console,
};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

#[test]
fn a_busy_machine_whose_console_is_lost_finishes_its_task_first() {
    outlives_its_console(boot);
}

#[test]
fn a_machine_whose_console_lives_stays() {
    let server = Served::start(&["one", "two"]);
    let limits = [("TIDEGATE_LEASE_LIFE", "10"), ("TIDEGATE_IDLE_LIFE", "1"), ("TIDEGATE_SERVER_EVERY", "1")];
    server.write("tidegate:test", "lease", "0");
    let machine = boot(&server, &limits);
    wait_with_console(&machine, &server, "the agent pulls", || server.watch.count("queues.get_next_task") >= 2);
    for beat in 1..=20 {
        server.write("tidegate:test", "lease", &format!("{beat} of another console"));
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(!machine.is_off(), "{}", machine.written());
    }
    wait(&machine, "it switches itself off", || machine.is_off());
}

/// The seconds since power-on at the beginning of a line of the guard's.
fn said_at(line: &str) -> u32 {
    line.strip_prefix("tidegate guard [").unwrap().split(']').next().unwrap().parse().unwrap()
}

#[test]
fn an_agent_that_dies_is_started_again_later_and_later() {
    let server = Served::start(&["one", "two"]);
    let mut broken = order(&server);
    broken.pool.agent.agent_arguments = vec!["--no-such-option".to_owned()];
    let machine = Machine::boot_user_data(&user_data(&broken).unwrap(), "i-1", &[("TIDEGATE_DEATHS", "2")]);
    wait(&machine, "it switches itself off", || machine.is_off());
    let said = machine.guard.written();
    let died: Vec<&str> = said.lines().filter(|line| line.contains("the agent died")).collect();
    let started: Vec<u32> = said
        .lines()
        .filter(|line| line.contains(": agent ") && line.ends_with(" started") && !line.ends_with("agent started"))
        .map(said_at)
        .collect();
    assert_eq!((died.len(), started.len()), (2, 3), "{said}");
    for (death, (line, wait)) in died.iter().zip([2, 8]).enumerate() {
        assert!(line.ends_with(&format!("the agent died ({}); again in {wait} s", death + 1)), "{said}");
        assert!(started[death + 1] >= said_at(line) + wait, "{said}");
    }
    assert!(server.metadata(MAILBOX, "log").unwrap().contains("no-such-option"));
}

/// Whatever is written to this file meets a full disk.
fn full(root: &Path, file: &str) {
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink("/dev/full", path).unwrap();
}

#[test]
fn a_full_disk_loses_no_task_and_keeps_no_machine() {
    let server = Served::start(&["one", "two"]);
    let task = server.enqueue_shell("one", "sleep 1");
    let machine = Machine::boot_prepared(
        &boot_script(&order(&server)).unwrap(),
        "i-1",
        &[("TIDEGATE_DRAIN_GRACE", "2")],
        |root| {
            for file in ["used.new", "token.new"] {
                full(root, &format!("var/lib/tidegate/{file}"));
            }
            // The gate's own note of a task that was just taken, too.
            full(root, "run/tidegate/task.new");
        },
    );
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    assert!(machine.written().contains("cannot write task"), "{}", machine.written());
    server.write(MAILBOX, "want", "drain:n1");
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("drained"));
}

#[test]
fn a_machine_that_cannot_be_switched_off_is_switched_off_again_and_again() {
    let server = Served::start(&["one", "two"]);
    let folder = tempfile::tempdir().unwrap();
    let tries = folder.path().join("tries");
    let off = format!("echo off >>{}; false", tries.display());
    let settings = [("TIDEGATE_MAX_LIFE", "1"), ("TIDEGATE_OFF", &off), ("TIDEGATE_OFF_AGAIN", "1")];
    let machine = boot(&server, &settings);
    let count = || std::fs::read_to_string(&tries).unwrap_or_default().lines().count();
    wait(&machine, "it is switched off three times", || count() >= 3);
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("end of life"));
    assert!(machine.guard.written().matches("power-off: ").count() == 1, "{}", machine.guard.written());
}

fn life_used(machine: &Machine) -> u32 {
    let used = std::fs::read_to_string(machine.root().join("var/lib/tidegate/used")).unwrap_or_default();
    used.trim().parse().unwrap_or_default()
}

/// cloud-init runs the user data once only. The life that a machine has used counts on, and its agent works again.
#[test]
fn a_machine_that_reboots_works_on_and_remembers_its_life() {
    let server = Served::start(&["one", "two"]);
    let mut machine = boot(&server, &[]);
    pulls(&machine, &server);
    wait(&machine, "it has lived for 6 s", || life_used(&machine) >= 6);
    let task = server.enqueue_shell("one", "sleep 1");
    machine.boot_again();
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    assert!(life_used(&machine) > 6, "{}", machine.written());
    let said = machine.guard.written();
    assert_eq!(said.matches(": agent started").count(), 2, "{said}");
    assert!(!machine.is_off());
}

#[test]
fn a_machine_that_has_switched_itself_off_does_so_again_when_it_boots() {
    let server = Served::start(&["one", "two"]);
    let mut machine = boot(&server, &[("TIDEGATE_MAX_LIFE", "3")]);
    wait(&machine, "it switches itself off", || machine.is_off());
    std::fs::remove_file(machine.root().join("powered-off")).unwrap();
    let registered = server.watch.count("workers.register");
    machine.boot_again();
    wait(&machine, "it switches itself off again", || machine.is_off());
    assert_eq!(server.watch.count("workers.register"), registered);
    assert_eq!(machine.guard.written().matches("power-off: end of life").count(), 2);
}

/// Kept for longer than its boot token lives, and its mailbox was swept: as one that the console switched off and starts.
#[test]
fn a_machine_that_was_switched_off_for_long_comes_back_with_a_token_and_a_mailbox() {
    let server = Served::start(&["one", "two"]);
    let mut short = order(&server);
    let life = SignedDuration::from_secs(70);
    short.agents.token = Secret::new(server.watch.mint(&ClearmlServer::agents(), life).expose().to_owned());
    let minted = Clock::Wall.now();
    let mut machine = Machine::boot_user_data(&user_data(&short).unwrap(), "i-1", &[]);
    pulls(&machine, &server);
    wait(&machine, "it renews its token", || {
        std::fs::read_to_string(machine.root().join("var/lib/tidegate/token")).unwrap() != short.agents.token.expose()
    });
    server.write(MAILBOX, "want", "drain:n1");
    wait(&machine, "the drain is answered", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1"));
    machine.guard.signal_leader("TERM");
    wait(&machine, "every process has ended", || machine.processes().is_empty());
    let (user, mailbox) = (ClearmlServer::console(), server.queue(MAILBOX));
    server.server().delete_queue(Clock::Wall.now(), &user, &mailbox, true).unwrap();
    wait(&machine, "the token of its first boot ends", || Clock::Wall.now() > minted + life);
    let task = server.enqueue_shell("one", "sleep 1");
    machine.boot_again();
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    assert!(server.server().queue_by_name(MAILBOX).unwrap().hidden());
}

/// An image that was made of a machine of ours: what that one kept for its next boot, its life and its token are not for
/// the machines that are made of it.
#[test]
fn a_machine_made_of_a_machine_s_image_begins_anew() {
    let server = Served::start(&["one", "two"]);
    let mut machine = boot(&server, &[]);
    pulls(&machine, &server);
    let state = machine.root().join("var/lib/tidegate");
    for file in ["off", "token"] {
        write(&state.join(file), "of another machine");
    }
    machine.boot_as("i-2");
    wait(&machine, "it registers", || server.workers().contains(&"test:small:t3.medium:i-2".to_owned()));
    assert!(!machine.is_off());
    let again = std::fs::read_to_string(machine.root().join("var/lib/cloud/scripts/per-boot/zz-tidegate")).unwrap();
    assert!(again.contains("./instances/i-2") && !again.contains("i-1"), "{again}");
}

/// It does not pull, and says so; a console that wants to drain it makes the mailbox anew, and is heard.
#[test]
fn a_machine_whose_mailbox_is_deleted_takes_no_task_until_there_is_one_again() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    let (user, mailbox) = (ClearmlServer::console(), server.queue(MAILBOX));
    server.server().delete_queue(Clock::Wall.now(), &user, &mailbox, true).unwrap();
    let state = || std::fs::read_to_string(machine.file("state")).unwrap_or_default();
    wait(&machine, "the gate says that it is closed", || state().starts_with("closed: "));
    assert!(state().contains("there is no mailbox drain:i-1"), "{}", state());
    let task = server.enqueue_shell("one", "sleep 1");
    holds(&machine, &server);
    server.write(MAILBOX, "want", "drain:n1");
    wait(&machine, "the drain is answered", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1"));
    assert_eq!(server.entries("one"), [task]);
}

/// The name of a machine that was there before may come back, and its mailbox may have been left behind.
#[test]
fn a_machine_that_finds_an_old_order_in_its_mailbox_obeys_it() {
    let server = Served::start(&["one", "two"]);
    server.write(MAILBOX, "want", "drain:old");
    let task = server.enqueue_shell("one", "sleep 1");
    let machine = boot(&server, &[]);
    wait(&machine, "the drain is answered", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:old"));
    holds(&machine, &server);
    assert_eq!(server.entries("one"), [task]);
}

/// Nobody answers for a while: what runs goes on, and what could not be said is told on the machine's console.
#[test]
fn a_task_outlives_the_loss_of_the_network() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[("TIDEGATE_SERVER_EVERY", "1")]);
    let end = machine.root().join("end");
    let task = until(&server, &end);
    wait(&machine, "the job runs", || job_lives(&machine, LOOK));
    server.watch.spoil(|_, _| Some(Fault::Answer(502)));
    wait(&machine, "the guard tells what failed", || {
        machine.guard.written().contains("tidegate guard: renew: HTTPError: HTTP Error 502")
    });
    wait(&machine, "the job runs on", || job_lives(&machine, LOOK));
    server.watch.heal();
    write(&end, "");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    pulls(&machine, &server);
    assert!(!machine.is_off() && machine.guard.written().matches(" started").count() == 2, "{}", machine.written());
}

/// Python's clock, and the one of `date`, as far ahead as a file says.
const STEPPED: &str = r#"
import os, time
real = time.time
def stepped():
    with open(os.environ["CLOCK_STEP"]) as step:
        return real() + float(step.read() or 0)
time.time = stepped
"#;

#[test]
fn a_clock_that_is_set_forward_and_back_by_a_day_ends_no_machine_and_delays_no_drain() {
    let server = Served::start(&["one", "two"]);
    let folder = tempfile::tempdir().unwrap();
    let step = folder.path().join("step");
    write(&step, "0");
    write(&folder.path().join("sitecustomize.py"), STEPPED);
    write(&folder.path().join("date"), "#!/bin/sh\nexec /bin/date -d \"$(cat \"$CLOCK_STEP\") seconds\" \"$@\"\n");
    std::fs::set_permissions(folder.path().join("date"), PermissionsExt::from_mode(0o755)).unwrap();
    let (folder, file) = (folder.path().display().to_string(), step.display().to_string());
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let machine = boot(&server, &[("PYTHONPATH", &folder), ("PATH", &path), ("CLOCK_STEP", &file)]);
    pulls(&machine, &server);
    for (seconds, nonce) in [("86400", "n1"), ("-86400", "n2")] {
        // In one step, as a machine's clock is set.
        write(&step.with_extension("new"), seconds);
        std::fs::rename(step.with_extension("new"), &step).unwrap();
        server.write(MAILBOX, "want", &format!("drain:{nonce}"));
        let state = || server.metadata(MAILBOX, "state");
        wait(&machine, "the drain is answered", || state() == Some(format!("drained:{nonce}")));
        server.write(MAILBOX, "want", "run");
        wait(&machine, "the cancel is answered", || state() == Some(format!("run:{nonce}")));
        pulls(&machine, &server);
    }
    assert!(!machine.is_off() && life_used(&machine) < 3_600, "{}", machine.written());
}

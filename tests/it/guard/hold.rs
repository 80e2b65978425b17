//! A machine without a gate: the boot script, the agent as it is, and tasks that hold it.

use std::path::Path;

use tidegate::model::instance::{Hold, Phase};
use tidegate::model::settings::GuardKind;
use tidegate::model::snapshot::Ask;
use tidegate::world::clock::Clock;
use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::{Status, Task};

use super::console::{Console, SETTINGS};
use super::{LOOK, MAILBOX, job_lives, order, outlives_its_console, pulls, until, wait};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

pub(super) fn boot(server: &Served, settings: &[(&str, &str)]) -> Machine {
    let mut order = order(server);
    order.pool.guard = GuardKind::Hold;
    Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", settings)
}

fn console(server: &Served, machine: Machine) -> Console {
    Console::start_with(server, machine, &SETTINGS.replace("keep_alive", "guard = \"hold\"\nkeep_alive"))
}

/// The statuses of the tasks that hold the machine, or did.
pub(super) fn holds(server: &Served) -> Vec<Status> {
    let hold = |task: &&Task| task.name.starts_with("tidegate:hold:i-1:");
    server.server().tasks().filter(hold).map(|task| task.status).collect()
}

#[test]
fn a_drain_waits_for_the_task_leaves_the_next_one_and_nothing_behind() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    assert!(!machine.file("state").exists(), "there is no gate");
    let end = machine.root().join("end");
    let mut console = console(&server, machine);
    let first = until(&server, &end);
    console.sees("the task runs", |seen| seen.phase == Phase::Busy);
    console.ask(Ask::Drain("i-1".into()));
    wait(&console.machine, "the hold task waits", || !server.entries(MAILBOX).is_empty());
    let behind = server.enqueue_shell("one", "sleep 1");
    write(&end, "");
    let told = console.tells("i-1 is drained");
    assert_eq!(told.reason, "a hidden task holds it");
    assert_eq!(server.status(&first), Status::Completed);
    console.tells("i-1 has ended");
    wait(&console.machine, "its queue and its hold task are removed", || {
        server.server().queue_by_name(MAILBOX).is_none() && holds(&server).is_empty()
    });
    assert_eq!(server.entries("one"), [behind]);
    console.end();
}

/// A person keeps it from being stopped, so that it can be cancelled when the hold task runs already.
#[test]
fn a_drain_is_cancelled_while_its_hold_task_runs() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    let mut console = console(&server, machine);
    console.sees("the machine is idle", |seen| seen.phase == Phase::Idle);
    let until = Clock::Wall.now() + jiff::SignedDuration::from_hours(1);
    let hold = Hold { until, by: "ann".into(), why: "looking".to_owned() };
    console.ask(Ask::Hold { instance: "i-1".into(), hold });
    console.sees("it is left alone", |seen| seen.hold.is_some());
    console.ask(Ask::Drain("i-1".into()));
    console.tells("i-1 is drained");
    let seen = console.sees("it is no task of anyone's", |seen| {
        seen.phase == Phase::Draining && seen.drain.as_ref().is_some_and(|drain| drain.held)
    });
    assert_eq!(seen.task, None);
    let task = server.enqueue_shell("one", "sleep 1");
    console.ask(Ask::CancelDrain("i-1".into()));
    wait(&console.machine, "the task ends", || server.status(&task) == Status::Completed);
    assert_eq!(holds(&server), [Status::Stopped]);
    console.end();
}

#[test]
fn an_idle_machine_whose_console_is_lost_ends_itself_when_its_own_task_holds_it() {
    let (server, machine) = outlives_its_console(boot);
    assert_eq!(holds(&server), [Status::InProgress], "{}", machine.written());
}

/// Makes of the agent one of another version: it asks for tasks, and not by the name that the gate knows.
const WITHOUT_THE_NAME: &str = r#"
import sys
if any(word.endswith("gate.py") for word in sys.orig_argv):
    import types
    import clearml_agent.commands.worker as worker
    loop = worker.Worker.run_tasks_loop
    names = dict(vars(worker))
    other = types.FunctionType(loop.__code__, names, loop.__name__, loop.__defaults__, loop.__closure__)
    other.__kwdefaults__ = loop.__kwdefaults__
    worker.Worker.run_tasks_loop = other
    del worker.get_next_task
"#;

fn python_path(folder: &Path, text: &str) -> String {
    write(&folder.join("sitecustomize.py"), text);
    folder.display().to_string()
}

#[test]
fn an_agent_that_its_gate_does_not_know_runs_without_it_and_is_held_by_a_task() {
    let server = Served::start(&["one", "two"]);
    let folder = tempfile::tempdir().unwrap();
    let path = python_path(folder.path(), WITHOUT_THE_NAME);
    let machine = super::boot(&server, &[("PYTHONPATH", &path), ("TIDEGATE_SERVER_EVERY", "1")]);
    pulls(&machine, &server);
    wait(&machine, "it says that it has no gate", || server.metadata(MAILBOX, "state").as_deref() == Some("nogate"));
    let end = machine.root().join("end");
    let mut console = Console::start(&server, machine);
    let first = until(&server, &end);
    console.sees("the task runs", |seen| seen.phase == Phase::Busy);
    wait(&console.machine, "the job runs", || job_lives(&console.machine, LOOK));
    console.ask(Ask::Drain("i-1".into()));
    wait(&console.machine, "the hold task waits", || !server.entries(MAILBOX).is_empty());
    write(&end, "");
    console.tells("i-1 is drained");
    console.tells("i-1 has ended");
    assert_eq!(server.status(&first), Status::Completed);
    console.end();
}

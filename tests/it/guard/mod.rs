//! The boot script with the real agent behind its gate.

mod checkpoint;
mod console;
mod docker;
mod endings;
mod google_secrets;
mod hold;
mod install;
mod model;
mod races;
mod secrets;
mod several;
mod spot;

use std::path::Path;

use jiff::SignedDuration;
use tidegate::model::ids::{Revision, TaskId, Term};
use tidegate::model::money::Money;
use tidegate::model::plan::Launch;
use tidegate::model::settings::{AgentSettings, Market, PoolSettings};
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{AgentAccess, LaunchOrder};
use tidegate::world::guard::user_data;
use tidegate::world::secret::Secret;
use tidegate::world::sim::clearml::http::Fault;
use tidegate::world::sim::clearml::{ClearmlServer, Status};

use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::{A_MINUTE, write};

const MAILBOX: &str = "drain:i-1";

fn order(server: &Served) -> LaunchOrder {
    LaunchOrder {
        fleet: "test".into(),
        batch: "b1".into(),
        launch: Launch {
            pool: "small".into(),
            queue: "one".into(),
            machine_type: "t3.medium".into(),
            market: Market::OnDemand,
            count: 1,
            vcpu: 2,
            gpu: 0,
            rate: None,
            reservation: Money::ZERO,
            choices: Vec::new(),
        },
        pool: PoolSettings {
            region: "us-east-1".to_owned(),
            types: vec!["t3.medium".into()],
            max_boot: SignedDuration::from_mins(10),
            agent: AgentSettings {
                agent_version: "3.0.3".to_owned(),
                cpu_only: true,
                init_script: Some("echo prepared".to_owned()),
                ..AgentSettings::default()
            },
            ..PoolSettings::with_defaults("small")
        },
        revision: Revision::new("r1"),
        term: Term(1),
        queues: vec!["one".into(), "two".into()],
        agents: AgentAccess { api_server: server.url.clone(), token: Secret::new(server.agent_token()) },
        bids: Vec::new(),
    }
}

fn boot(server: &Served, settings: &[(&str, &str)]) -> Machine {
    Machine::boot_user_data(&user_data(&order(server)).unwrap(), "i-1", settings)
}

/// A task that runs until there is such a file.
fn until(server: &Served, file: &Path) -> TaskId {
    server.enqueue_shell("one", &format!("until [ -e '{}' ]; do sleep {LOOK}; done", file.display()))
}

/// What the program of such a task sleeps for.
const LOOK: &str = "0.2";

/// Waits, at most three minutes, and fails with everything that the machine wrote.
fn wait(machine: &Machine, what: &str, ready: impl FnMut() -> bool) {
    wait_minutes(3, machine, what, ready);
}

/// The same on a machine whose console lives meanwhile: it finds a new sign of that whenever it looks.
fn wait_with_console(machine: &Machine, server: &Served, what: &str, mut ready: impl FnMut() -> bool) {
    let mut beat = 0;
    wait(machine, what, || {
        beat += 1;
        server.write("tidegate:test", "lease", &beat.to_string());
        ready()
    });
}

/// The same, for what takes a busy host longer still.
fn wait_minutes(minutes: u32, machine: &Machine, what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..minutes * A_MINUTE {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what}: it did not happen\n{}", machine.written());
}

/// A machine whose console is lost while a task runs there: it finishes the task, and ends itself then.
fn outlives_its_console(boot: fn(&Served, &[(&str, &str)]) -> Machine) -> (Served, Machine) {
    let server = Served::start(&["one", "two"]);
    server.write("tidegate:test", "lease", "0");
    let task = server.enqueue_shell("one", "sleep 12");
    let limits = [("TIDEGATE_LEASE_LIFE", "3"), ("TIDEGATE_IDLE_LIFE", "2"), ("TIDEGATE_SERVER_EVERY", "1")];
    let machine = boot(&server, &limits);
    wait_with_console(&machine, &server, "the task runs", || server.status(&task) == Status::InProgress);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.status(&task), Status::Completed, "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("console lost, idle"));
    (server, machine)
}

/// Pulls go on: at least two more calls arrive.
fn pulls(machine: &Machine, server: &Served) {
    let before = server.watch.count("queues.get_next_task");
    wait(machine, "the agent pulls", || server.watch.count("queues.get_next_task") >= before + 2);
}

/// The gate polls on and lets nothing through, for as many polls of the mailbox.
fn holds(machine: &Machine, server: &Served) {
    let looks = || server.watch.count("queues.get_all");
    let before = (looks(), server.watch.count("queues.get_next_task"));
    wait(machine, "the agent polls", || looks() >= before.0 + 6);
    assert_eq!(server.watch.count("queues.get_next_task"), before.1, "{}", machine.written());
}

#[test]
fn a_drain_is_answered_holds_is_cancelled_and_given_again() {
    let server = Served::start(&["one", "two"]);
    let queues = server.server().queues(true).count();
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    assert_eq!(server.workers(), ["test:small:t3.medium:i-1"]);
    assert!(server.server().queue_by_name(MAILBOX).unwrap().hidden());
    assert!(machine.written().contains("prepared"));
    for nonce in ["n1", "n2", "n3"] {
        server.write(MAILBOX, "want", &format!("drain:{nonce}"));
        wait(&machine, "the drain is answered", || {
            server.metadata(MAILBOX, "state") == Some(format!("drained:{nonce}"))
        });
        holds(&machine, &server);
        server.write(MAILBOX, "want", "run");
        wait(&machine, "the cancel is answered", || server.metadata(MAILBOX, "state") == Some(format!("run:{nonce}")));
        pulls(&machine, &server);
    }
    assert!(!machine.is_off());
    assert_eq!(server.server().queues(true).count(), queues + 1, "no queue but the mailbox was made");
}

/// Three trials: two tasks arrive around the order, the power is cut at the answer, and nothing was lost:
/// each task is done, or it is still in its queue.
#[test]
fn what_a_drained_machine_did_not_finish_it_did_not_take() {
    for trial in 0..3 {
        let server = Served::start(&["one", "two"]);
        let machine = boot(&server, &[]);
        pulls(&machine, &server);
        let end = machine.root().join("end");
        let first = until(&server, &end);
        match trial {
            0 => {}
            1 => wait(&machine, "the first task is taken", || server.entries("one").is_empty()),
            _ => wait(&machine, "the first task runs", || server.status(&first) == Status::InProgress),
        }
        server.write(MAILBOX, "want", "drain:n1");
        let second = server.enqueue_shell("one", "sleep 1");
        write(&end, "");
        wait(&machine, "the drain is answered", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1"));
        machine.power_cut();
        for task in [&first, &second] {
            let wanted = if server.entries("one").contains(task) { Status::Queued } else { Status::Completed };
            assert_eq!(server.status(task), wanted, "trial {trial}, {task}:\n{}", machine.written());
        }
        assert!(trial == 0 || server.status(&first) == Status::Completed, "it was taken before the order");
    }
}

#[test]
fn a_mailbox_that_cannot_be_read_closes_the_gate_until_it_can() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    let mailbox = server.queue(MAILBOX).to_string();
    server.watch.spoil(move |_, body| {
        let of_mailbox =
            body["id"][0] == mailbox.as_str() || body["name"].as_str().is_some_and(|name| name.contains("drain:"));
        of_mailbox.then_some(Fault::Answer(500))
    });
    let state = || std::fs::read_to_string(machine.file("state")).unwrap_or_default();
    wait(&machine, "the gate says that it is closed", || state().starts_with("closed: "));
    holds(&machine, &server);
    server.watch.heal();
    wait(&machine, "the gate opens", || state() == "open\n");
    pulls(&machine, &server);
}

#[test]
fn a_drained_machine_that_nobody_ends_ends_itself() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[("TIDEGATE_DRAIN_GRACE", "2")]);
    pulls(&machine, &server);
    server.write(MAILBOX, "want", "drain:n1");
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("drained"));
}

#[test]
fn a_machine_whose_console_is_lost_ends_itself_when_idle() {
    let server = Served::start(&["one", "two"]);
    server.write("tidegate:test", "lease", "0");
    let limits = [("TIDEGATE_LEASE_LIFE", "4"), ("TIDEGATE_IDLE_LIFE", "2"), ("TIDEGATE_SERVER_EVERY", "1")];
    let machine = boot(&server, &limits);
    wait_with_console(&machine, &server, "the agent pulls", || server.watch.count("queues.get_next_task") >= 2);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("console lost, idle"));
}

#[test]
fn a_machine_at_the_end_of_its_life_ends_itself() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[("TIDEGATE_MAX_LIFE", "3")]);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("end of life"));
}

#[test]
fn a_killed_agent_is_started_again_and_one_that_cannot_live_ends_the_machine() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[("TIDEGATE_DEATHS", "1")]);
    pulls(&machine, &server);
    let registered = server.watch.count("workers.register");
    kill_agent(&machine);
    wait(&machine, "it registers again", || server.watch.count("workers.register") > registered);
    kill_agent(&machine);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("the agent does not live"));
    let log = server.metadata(MAILBOX, "log").unwrap();
    assert!(!log.is_empty() && log.chars().count() <= 500, "{log}");
    assert!(machine.written().contains(log.lines().last().unwrap().trim()), "{log}");
}

/// The stock agent would fail at each poll for good, and neither pull nor answer its mailbox.
#[test]
fn a_machine_one_of_whose_queues_is_deleted_ends_itself_after_its_task() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[("TIDEGATE_DEATHS", "1")]);
    let task = server.enqueue_shell("one", "sleep 4");
    wait(&machine, "the task runs", || server.status(&task) == Status::InProgress);
    let (now, user, queue) = (Clock::Wall.now(), ClearmlServer::console(), server.queue("two"));
    server.server().delete_queue(now, &user, &queue, true).unwrap();
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.status(&task), Status::Completed, "{}", machine.written());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("the agent does not live"));
}

fn kill_agent(machine: &Machine) {
    let said = machine.guard.written();
    let line = said.lines().rfind(|line| line.ends_with(" started") && !line.ends_with("agent started")).unwrap();
    let id = line.split_whitespace().rev().nth(1).unwrap();
    assert!(std::process::Command::new("kill").args(["-KILL", id]).status().unwrap().success());
}

/// Whether a process of the machine sleeps for that long: a task's own program.
fn job_lives(machine: &Machine, seconds: &str) -> bool {
    let line = |id: u32| std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    machine.processes().into_iter().any(|id| line(id).starts_with(&format!("sleep\0{seconds}\0")))
}

#[test]
fn the_job_of_a_dead_agent_is_ended_and_its_task_left_as_lost() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    let task = server.enqueue_shell("one", "sleep 611");
    wait(&machine, "the job runs", || job_lives(&machine, "611"));
    let registered = server.watch.count("workers.register");
    kill_agent(&machine);
    wait(&machine, "the agent registers again", || server.watch.count("workers.register") > registered);
    assert!(!job_lives(&machine, "611"), "{}", machine.written());
    assert_eq!(server.status(&task), Status::InProgress);
}

/// A task that the agent stops counts as a user's abort; one that is killed with the machine can be put back.
#[test]
fn the_end_of_life_leaves_a_running_task_in_progress() {
    // A life counts from the boot: where its job does not run within it, as on a loaded host, the next one is longer.
    for life in ["30", "150"] {
        let server = Served::start(&["one", "two"]);
        let task = server.enqueue_shell("one", "sleep 612");
        let machine = boot(&server, &[("TIDEGATE_MAX_LIFE", life)]);
        let mut has_run = false;
        wait(&machine, "the job runs, or the machine ends", || {
            has_run |= job_lives(&machine, "612");
            has_run || machine.is_off()
        });
        if has_run {
            wait_minutes(4, &machine, "it switches itself off", || machine.is_off());
            assert!(!job_lives(&machine, "612"), "{}", machine.written());
            assert_eq!(server.status(&task), Status::InProgress, "{}", machine.written());
            return;
        }
    }
    panic!("no machine lived for so long that its job ran");
}

/// An init script, too, is heard of: the mailbox is made before it.
#[test]
fn the_steps_of_a_boot_are_in_the_mailbox() {
    let server = Served::start(&["one", "two"]);
    let mut slow = order(&server);
    slow.pool.agent.init_script = Some("sleep 3".to_owned());
    let machine = Machine::boot_user_data(&user_data(&slow).unwrap(), "i-1", &[]);
    for step in ["init script begun ", "agent started "] {
        wait(&machine, step, || {
            let boot = server.metadata(MAILBOX, "boot").unwrap_or_default();
            boot.strip_prefix(step).is_some_and(|seconds| seconds.parse::<u32>().is_ok())
        });
    }
    let said = machine.guard.written();
    let steps = ["mailbox made", "init script begun", "init script done", "agent installed", "agent started"];
    assert!(steps.map(|step| said.find(step).unwrap()).is_sorted(), "{said}");
}

#[test]
fn a_failing_init_script_and_an_unreachable_server_end_the_machine() {
    let server = Served::start(&["one", "two"]);
    let mut failing = order(&server);
    failing.pool.agent.init_script = Some("exit 3".to_owned());
    let machine = Machine::boot_user_data(&user_data(&failing).unwrap(), "i-1", &[]);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.workers().len(), 0);
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("init script failed"));
    server.watch.spoil(|_, _| Some(Fault::Answer(502)));
    let machine = boot(&server, &[]);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert!(machine.written().contains("no mailbox could be made"), "{}", machine.written());
}

#[test]
fn term_stops_the_agent_and_leaves_nothing_behind() {
    let server = Served::start(&["one", "two"]);
    let machine = boot(&server, &[]);
    pulls(&machine, &server);
    machine.guard.signal_leader("TERM");
    wait(&machine, "every process has ended", || machine.processes().is_empty());
    assert_eq!((server.workers().len(), machine.is_off()), (0, false));
}

#[test]
fn no_secret_is_on_the_console_and_the_token_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let server = Served::start(&["one", "two"]);
    let order = order(&server);
    let machine = Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &[]);
    pulls(&machine, &server);
    let token = order.agents.token.expose().to_owned();
    assert!(!machine.guard.written().contains(&token));
    let kept = machine.file("../../var/lib/tidegate/token");
    assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
}

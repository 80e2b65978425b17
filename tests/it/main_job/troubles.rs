//! What goes wrong from outside: the program says what and where, goes on, and stops nothing by mistake.

use serde_json::Value;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::ClearmlServer;
use tidegate::world::sim::clearml::http::Fault;

use super::rig::{Rig, SETTINGS};
use crate::support::process::free_port;
use crate::support::{agent, microburst};

/// The source's line of `status`.
fn source(rig: &Rig, name: &str) -> Value {
    let status = rig.ask("status");
    status["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).unwrap().clone()
}

/// What is said to happen next on a queue.
fn next(rig: &Rig, queue: &str) -> String {
    let queues = rig.ask("queues");
    let row = queues.as_array().unwrap().iter().find(|row| row["queue"] == queue).unwrap();
    row["next"].as_str().unwrap_or_default().to_owned()
}

/// Lets the loop look at the world that often.
fn looks(rig: &mut Rig, count: usize) {
    let before = rig.served.watch.count("queues.get_all");
    rig.wait("it looks on", |rig| rig.served.watch.count("queues.get_all") >= before + count);
}

#[test]
fn of_two_consoles_on_one_state_directory_one_acts() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    rig.start_armed();
    let said = rig.tidegate(&["run", "--headless"]);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.err.contains("leads this fleet already") && said.err.contains("process "), "{said:?}");
    assert!(rig.loop_lives());
    looks(&mut rig, 2);
    assert_eq!(rig.end_loop(), Some(0));
    rig.start_loop(&[]);
    assert_eq!(rig.ask("status")["armed"], true);
}

#[test]
fn no_settings_and_broken_ones_are_said_with_their_place() {
    let rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    for arguments in [&["check"][..], &["run", "--headless"], &["set", "limits.max", "1"], &[]] {
        let said = rig.tidegate_with(arguments, &[("TIDEGATE_CONFIG", "/nowhere/tidegate.toml")]);
        assert_eq!(said.code, Some(3), "{arguments:?}: {said:?}");
        assert!(said.err.contains("/nowhere/tidegate.toml"), "{arguments:?}: {said:?}");
    }
    assert_eq!(rig.tidegate(&["arm", "--yes"]).code, Some(4));
    rig.write_settings(&SETTINGS.replace("max = 3 # trailing", "maxx = 3 # trailing"));
    for arguments in [&["check"][..], &["run", "--headless"]] {
        let said = rig.tidegate(arguments);
        assert_eq!(said.code, Some(3), "{arguments:?}: {said:?}");
        assert!(said.err.contains("tidegate.toml:24:1: ") && said.err.contains("did you mean `max`?"), "{said:?}");
    }
    assert_eq!((rig.served.watch.calls().len(), rig.ec2.machines().len()), (0, 0));
}

#[test]
fn settings_that_break_while_it_runs_leave_the_last_good_ones_live() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    rig.start_armed();
    rig.write_settings(&SETTINGS.replace("[limits]\nmax = 3", "[limits]\nmax = 0\npools = ["));
    rig.wait("the problem is shown", |rig| !rig.ask("status")["settings_problem"].is_null());
    let problem = rig.ask("status")["settings_problem"].to_string();
    assert!(problem.contains("tidegate.toml:19:1: this is not TOML"), "{problem}");
    assert!(rig.done(&["status"]).contains("what runs is not what is on disk"));
    let refused = rig.tidegate(&["set", "limits.max", "2"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(rig.settings_text().contains("pools = ["), "what a person is writing is left alone");
    rig.write_settings(&SETTINGS.replace("[limits]\nmax = 3", "[limits]\nmax = 2"));
    rig.wait("it is over", |rig| rig.ask("status")["settings_problem"].is_null());
    let journal = rig.journal();
    assert!(journal.contains("the last good ones stay live") && journal.contains("changed on disk"), "{journal}");
}

#[test]
fn a_clearml_that_cannot_be_asked_is_said_and_nothing_is_started() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let said = rig.done(&["check"]);
    assert!(
        said.contains("the agents are agents")
            && said.contains("permits ec2:DescribeInstances, ec2:RunInstances (g5: g5.xlarge)"),
        "{said}"
    );
    rig.served.enqueue_shell("gpu", "true");
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    for (settings, console, words) in [
        (SETTINGS.to_owned(), "CONSOLE-KEY:wrong", ["the variable CONSOLE", "invalid credentials"]),
        (SETTINGS.replace("API_SERVER", &nowhere), "CONSOLE-KEY:console-secret", [nowhere.as_str(), "does not answer"]),
    ] {
        rig.write_settings(&settings);
        let variables = [("CONSOLE", console)];
        let said = rig.tidegate_with(&["check"], &variables);
        assert_eq!(said.code, Some(4), "{said:?}");
        rig.start_loop(&variables);
        rig.tidegate(&["arm", "--yes"]);
        rig.wait("it says that it cannot ask", |rig| !source(rig, "clearml")["error"].is_null());
        let shown = source(&rig, "clearml")["error"].to_string();
        for word in words {
            assert!(said.out.contains(word), "{word}: {said:?}");
            assert!(shown.contains(word), "{word}: {shown}");
        }
        assert!(rig.loop_lives() && !shown.contains("secret") && !said.out.contains("wrong "), "{shown}");
        rig.end_loop();
    }
    assert_eq!(rig.ec2.machines().len(), 0);
}

/// It shares its machines with a queue that is there: their agents must live all the same.
#[test]
fn an_unknown_queue_is_said_with_the_nearest_and_never_created() {
    let settings = SETTINGS.replace("[queue.gpu]", "[queue.gpuu]");
    let mut rig = Rig::new(&["gpu", "cpu"], &settings);
    let said = rig.tidegate(&["check"]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.out.contains("no queue `gpuu`; it is not created: did you mean `gpu`?"), "{said:?}");
    let tasks = rig.enqueue(&[("cpu", "job-a", 1)]);
    rig.start_armed();
    rig.wait("it is said", |rig| next(rig, "gpuu").contains("the server has no queue `gpuu`"));
    let why = rig.done(&["why", "gpuu"]);
    assert!(why.contains("did you mean `gpu`?"), "{why}");
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    let server = rig.served.server();
    let names: Vec<_> = server.queues(false).map(|queue| queue.name.to_string()).collect();
    assert_eq!(names, ["default", "gpu", "cpu"]);
}

#[test]
fn a_foreign_worker_is_capacity_and_is_never_touched() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let conf = rig.agents_conf();
    let mut foreign = agent::start(&conf, "somebody:cpu:0", &["cpu"]);
    foreign.wait_for("it registers", || rig.served.workers() == ["somebody:cpu:0"]);
    // It stands still, so that a task waits while it is idle.
    foreign.signal("STOP");
    rig.start_armed();
    let tasks = rig.enqueue(&[("cpu", "job-a", 1)]);
    rig.wait("it counts", |rig| next(rig, "cpu").contains("1 waiting, 0 idle, 0 starting, 1 foreign idle: enough"));
    looks(&mut rig, 2);
    let rows = rig.ask("instances");
    assert_eq!((rows[0]["phase"].as_str(), rows[0]["id"].as_str()), (Some("foreign"), Some("somebody:cpu:0")));
    foreign.signal("CONT");
    rig.wait_for_tasks(&tasks);
    rig.assert_nothing_lost(&tasks, &[]);
    looks(&mut rig, 4);
    let refused = rig.tidegate(&["drain", "somebody:cpu:0"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(rig.ec2.machines().len(), 0, "{}", rig.report());
    assert_eq!((rig.served.workers(), foreign.ended()), (vec!["somebody:cpu:0".to_owned()], None));
    assert_eq!(rig.served.watch.count("workers.unregister"), 0);
}

#[test]
fn a_machine_that_someone_else_ends_costs_its_task_one_more_run() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let tasks = rig.enqueue(&[("gpu", "job-a", 10)]);
    rig.start_armed();
    rig.wait("the job runs", |rig| rig.runs().contains_key("job-a"));
    let first = rig.ec2.machines().remove(0).id;
    rig.ec2.terminate(&first);
    rig.wait("it is put back", |rig| rig.journal().contains("waits in its queue again"));
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &["job-a"]);
    rig.assert_bill_agrees();
    let journal = rig.journal();
    assert!(journal.contains(&format!("{first} ended, and not by us")), "{journal}");
    assert_eq!(journal.matches("waits in its queue again").count(), 1, "{journal}");
    assert_eq!(rig.ec2.machines().len(), 2, "{}", rig.report());
}

#[test]
fn a_queue_that_is_deleted_while_its_task_runs_stops_nothing() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let tasks = rig.enqueue(&[("gpu", "job-a", 8), ("cpu", "job-b", 8)]);
    rig.start_armed();
    rig.wait("both jobs run", |rig| rig.runs().len() == 2);
    let (now, user, queue) = (Clock::Wall.now(), ClearmlServer::console(), rig.served.queue("gpu"));
    rig.served.server().delete_queue(now, &user, &queue, true).unwrap();
    rig.wait("it is said", |rig| next(rig, "gpu").contains("the server has no queue `gpu`"));
    let more = rig.enqueue(&[("cpu", "job-c", 1)]);
    rig.wait_for_tasks(&tasks);
    rig.wait_for_tasks(&more);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&[tasks, more].concat(), &[]);
    rig.assert_bill_agrees();
    assert!(rig.served.server().queue_by_name("gpu").is_none(), "it is not created");
}

#[test]
fn a_clearml_that_fails_for_a_while_stops_nothing() {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let tasks = rig.enqueue(&[("gpu", "job-a", 1)]);
    rig.start_armed();
    rig.wait("the job runs", |rig| rig.runs().contains_key("job-a"));
    // Only the program asks for this.
    rig.served.watch.spoil(|endpoint, _| (endpoint == "queues.get_all_ex").then_some(Fault::Answer(502)));
    rig.wait("it is said", |rig| source(rig, "clearml")["error"].to_string().contains("502"));
    rig.wait("it is too old to act on", |rig| source(rig, "clearml")["stale"] == true);
    assert!(rig.done(&["status"]).contains("too old to act on"));
    assert!(rig.ec2.machines()[0].is_up(), "{}", rig.report());
    rig.served.watch.heal();
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    rig.assert_bill_agrees();
}

/// A refusal is passed on to the next kind of machine at once; silence is one that may be there.
#[test]
fn a_cloud_that_refuses_or_fails_is_gone_around() {
    let rules = "  - {name: no, service: ec2, operation: RunInstances, times: 1, error: {code: InsufficientInstanceCapacity, status: 500, message: none left}}\n  \
        - {name: broken, service: ec2, operation: RunInstances, times: 1, error: {code: InternalError, status: 500, message: oh dear}}";
    let mut proxy = None;
    let mut rig = Rig::with_endpoint(&["gpu", "cpu"], SETTINGS, |moto| {
        let started = microburst::start(moto, rules);
        let url = started.url.clone();
        proxy = Some(started);
        Some(url)
    });
    let mut tasks = rig.enqueue(&[("gpu", "job-a", 1)]);
    rig.start_armed();
    rig.wait("it is said", |rig| rig.journal().contains("they count until the cloud shows otherwise"));
    let journal = rig.journal();
    assert!(journal.contains("InsufficientInstanceCapacity") && journal.contains("nothing was started"), "{journal}");
    assert!(rig.loop_lives());
    assert_eq!((rig.ask("status")["intents"].as_u64(), rig.ec2.machines().len()), (Some(1), 0), "{}", rig.report());
    // The one that may be there serves the first; one more is needed for the second.
    tasks.extend(rig.enqueue(&[("gpu", "job-b", 1)]));
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    rig.assert_bill_agrees();
}

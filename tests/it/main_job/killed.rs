//! The main job while the program dies, as by `kill -9`, and while its store is lost. Whatever was under way, no task
//! is lost or run twice, no limit is passed, and the bill agrees.

use super::rig::{Rig, SETTINGS};

/// Six jobs, of which the first comes alone: a launch that was written down and never made takes one place of three
/// for the next five minutes, and the other two do the work. Says how many machines were up at once.
fn dies_in_its_first_launch(at: &str) -> Rig {
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let mut tasks = rig.enqueue(&[("gpu", "job-a", 2)]);
    rig.start_loop(&[("TIDEGATE_CRASH_AT", at)]);
    rig.arm_until_crash();
    rig.start_loop(&[]);
    if at == "launch:after-intent" {
        assert_eq!(rig.ask("status")["intents"], 1, "{}", rig.report());
    }
    tasks.extend(rig.enqueue(&[
        ("gpu", "job-b", 2),
        ("gpu", "job-c", 2),
        ("cpu", "job-d", 2),
        ("cpu", "job-e", 2),
        ("cpu", "job-f", 2),
    ]));
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    rig.assert_bill_agrees();
    rig
}

#[test]
fn before_a_launch_is_written_down() {
    dies_in_its_first_launch("launch:before-intent").assert_peak(3);
}

#[test]
fn before_a_launch_is_sent() {
    dies_in_its_first_launch("launch:after-intent").assert_peak(2);
}

#[test]
fn before_a_launch_is_answered() {
    dies_in_its_first_launch("launch:after-call").assert_peak(3);
}

#[test]
fn before_a_launch_is_recorded() {
    dies_in_its_first_launch("launch:after-reply").assert_peak(3);
}

#[test]
fn after_a_launch() {
    dies_in_its_first_launch("launch:after-record").assert_peak(3);
}

/// Four jobs on two machines; it dies when the first of them is let go.
fn dies_letting_go(at: &str) -> Rig {
    let mut rig = Rig::new(&["gpu", "cpu"], &SETTINGS.replace("max = 3\n", "max = 2\n"));
    let tasks = rig.enqueue(&[("gpu", "job-a", 2), ("gpu", "job-b", 2), ("cpu", "job-c", 2), ("cpu", "job-d", 2)]);
    rig.start_loop(&[("TIDEGATE_CRASH_AT", at)]);
    rig.done(&["arm", "--yes"]);
    rig.wait_for_crash();
    assert_eq!(rig.kept().known.len(), 2, "the next loop knows them before it looks\n{}", rig.report());
    rig.start_loop(&[]);
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    rig.assert_peak(2);
    rig.assert_bill_agrees();
    rig
}

#[test]
fn before_a_drain_is_ordered() {
    assert_eq!(dies_letting_go("drain:after-intent").own_ends(), 0);
}

#[test]
fn before_a_stop_is_sent() {
    assert_eq!(dies_letting_go("stop:after-intent").own_ends(), 0);
}

#[test]
fn before_a_stop_is_answered() {
    assert_eq!(dies_letting_go("stop:after-call").own_ends(), 0);
}

#[test]
fn the_store_is_lost_with_machines_busy() {
    let mut rig = Rig::new(&["gpu", "cpu"], &SETTINGS.replace("max = 3\n", "max = 2\n"));
    let mut tasks = rig.enqueue_endless(&[("gpu", "job-a"), ("cpu", "job-b")]);
    tasks.extend(rig.enqueue(&[("gpu", "job-c", 1), ("cpu", "job-d", 1)]));
    rig.start_armed();
    rig.wait("two jobs run", |rig| rig.runs().len() == 2);
    rig.kill_loop();
    for file in ["tidegate.sqlite", "tidegate.sqlite-wal", "tidegate.sqlite-shm"] {
        std::fs::remove_file(rig.path("state").join(file)).unwrap();
    }
    rig.start_loop(&[]);
    rig.wait("both machines are adopted", |rig| {
        let ours = rig.ask("instances");
        let adopted = |row: &serde_json::Value| row["notes"].to_string().contains("adopted") && row["phase"] == "busy";
        ours.as_array().unwrap().iter().filter(|row| adopted(row)).count() == 2
    });
    let status = rig.ask("status");
    assert_eq!(status["armed"], false);
    assert!(status["total_microusd"].as_i64().unwrap() >= rig.least_bill(), "{}", rig.report());
    rig.done(&["arm", "--yes"]);
    rig.end_jobs();
    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    assert_eq!((rig.ec2.machines().len(), rig.own_ends()), (2, 0), "{}", rig.report());
    rig.assert_bill_agrees();
}

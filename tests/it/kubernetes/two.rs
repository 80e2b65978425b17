//! Two Tidegates on one cluster: of two fleets, each with its own Jobs; of one fleet, of which one acts.

use crate::kubernetes::rig::{Rig, SETTINGS};

#[test]
fn two_fleets_in_one_namespace_do_not_touch_each_others_jobs() {
    let mut rig = Rig::with_queues(SETTINGS, &["gpu", "cpu"]);
    *rig.cluster.room.0.lock().unwrap() = 0;
    let other = SETTINGS.replace("e2e", "other").replace("[queue.gpu]", "[queue.cpu]");
    let (ours, theirs) = (rig.served.enqueue_shell("gpu", "true"), rig.served.enqueue_shell("cpu", "true"));
    rig.start_armed(&[]);
    rig.wait_for_job(&ours, 1);
    rig.start_second(&other);
    rig.wait_for_job(&theirs, 1);
    let told = |rig: &Rig, second: bool| {
        let output = if second { rig.second(&["instances"]) } else { rig.tidegate(&["instances"]) };
        (output.1.contains(ours.as_str()), output.1.contains(theirs.as_str()))
    };
    rig.wait("each sees its own", |rig| (told(rig, false), told(rig, true)) == ((true, false), (false, true)));
    rig.api.state().remove("jobs", &format!("clearml-{ours}-1"));
    rig.wait_for_job(&ours, 2);
    assert!(rig.api.state().get("jobs", &format!("clearml-{theirs}-1")).is_some());
    let made = rig.api.state().jobs_made.clone();
    assert!(made.len() == 3 && made.values().all(|times| *times == 1), "{made:?}");
}

#[test]
fn of_one_fleet_one_acts_and_the_other_takes_over_with_every_job() {
    let mut rig = Rig::new(SETTINGS);
    *rig.cluster.room.0.lock().unwrap() = 0;
    let tasks: Vec<_> = (0..3).map(|_| rig.served.enqueue_shell("gpu", "true")).collect();
    rig.start_armed(&[]);
    for task in &tasks[..2] {
        rig.wait_for_job(task, 1);
    }
    rig.start_second(SETTINGS);
    rig.wait("the second watches", |rig| rig.second(&["status"]).1.contains("leads"));
    rig.kill_loop();
    rig.wait("the second leads", |rig| rig.second(&["arm", "--yes"]).0 == Some(0));
    rig.wait("it has every Job", |rig| {
        let told = rig.second(&["instances"]).1;
        tasks[..2].iter().all(|task| told.contains(&format!("clearml-{task}-1")))
    });
    rig.api.state().remove("jobs", &format!("clearml-{}-1", tasks[0]));
    rig.wait_for_job(&tasks[0], 2);
    let made = rig.api.state().jobs_made.clone();
    assert!(made.values().all(|times| *times == 1), "{made:?}");
}

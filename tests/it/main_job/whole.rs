//! Six tasks on two queues, with everything real: run by real agents on machines that the program starts and ends.

use super::rig::{Rig, SETTINGS};

/// Six jobs of a few seconds.
pub(super) fn six(queue_of: fn(usize) -> &'static str) -> Vec<(&'static str, &'static str, u32)> {
    ["job-a", "job-b", "job-c", "job-d", "job-e", "job-f"]
        .iter()
        .enumerate()
        .map(|(n, name)| (queue_of(n), *name, 4))
        .collect()
}

#[test]
fn the_main_job() {
    // Each queue has its own kind of machine, and may have one of them.
    let settings = SETTINGS
        .replace(r#"pools = ["g5", "t3"] "#, r#"pools = ["g5"] "#)
        .replace(r#"pools = ["t3", "g5"]"#, "pools = [\"t3\"]\nmax = 1")
        .replace("max = 3 # trailing", "max = 1 # trailing");
    let mut rig = Rig::new(&["gpu", "cpu"], &settings);
    let tasks = rig.enqueue(&six(|n| if n < 4 { "gpu" } else { "cpu" }));
    rig.start_loop(&[]);
    rig.wait("it plans in its dry run", |rig| rig.done(&["plan"]).contains("launch"));
    assert_eq!(rig.ec2.machines().len(), 0, "a dry run");
    rig.done(&["arm", "--yes"]);
    rig.wait("a job of each queue runs", |rig| rig.runs().len() == 2);
    assert_eq!((rig.peak_of("gpu"), rig.peak_of("cpu")), (1, 1), "{}", rig.report());

    let before = rig.settings_text();
    let refused = rig.tidegate(&["set", "queue.gpu.max", "many"]);
    assert!(refused.code == Some(2) && refused.err.contains("0..100000"), "{refused:?}");
    assert_eq!(rig.settings_text(), before);
    rig.done(&["set", "queue.gpu.max", "3"]);
    assert_eq!(rig.settings_text(), before.replace("max = 1 # trailing", "max = 3 # trailing"));
    // The answer came after the pass that obeys; the limit over everything leaves room for one.
    let ours = rig.ask("instances");
    let of_gpu = ours.as_array().unwrap().iter().filter(|row| row["queue"] == "gpu").count();
    assert_eq!(of_gpu, 2, "{}", rig.report());

    rig.wait_for_tasks(&tasks);
    rig.wait_for_no_machine();
    rig.assert_nothing_lost(&tasks, &[]);
    rig.assert_peak(3);
    assert_eq!((rig.peak_of("gpu"), rig.peak_of("cpu"), rig.own_ends()), (2, 1, 0), "{}", rig.report());
    rig.assert_bill_agrees();
    let journal = rig.journal();
    for words in ["queue.gpu.max = 3", "is drained: it has no task", "registered"] {
        assert!(journal.contains(words), "{words}\n{journal}");
    }
    assert_eq!(rig.end_loop(), Some(0));
}

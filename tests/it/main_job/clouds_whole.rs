//! The main job on Google's machines: six tasks on two queues, run by real agents on machines that the program starts and
//! ends, with a limit that is edited meanwhile.

use super::clouds::Google;
use super::rig::Rig;
use super::whole::six;

const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"

[clearml.agents]
credentials = "env:AGENTS"

[loop]
fleet = "e2e"
poll = "1s"

[limits]
max = 3

[queue.gpu]
pools = ["l4"]
max = 1 # trailing words

[queue.cpu]
pools = ["e2"]
max = 1

[pool.l4]
provider = "gce"
region = "us-central1"
zones = ["us-central1-a", "us-central1-b"]
types = ["g2-standard-4"]
image = "family/tasks"
keep_alive = "3s"
cpu_only = true

[pool.e2]
provider = "gce"
region = "us-central1"
zones = ["us-central1-b"]
types = ["e2-standard-4"]
image = "family/tasks"
keep_alive = "3s"
cpu_only = true
"#;

/// Machines of a type that are there.
fn count(google: &Google, machine_type: &str) -> usize {
    let is = |machine: &serde_json::Value| machine["machineType"].as_str().unwrap().ends_with(machine_type);
    google.fake.state().machines.values().filter(|machine| is(machine)).count()
}

#[test]
fn the_main_job_on_google() {
    let mut google = Google::start();
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let tasks = rig.enqueue(&six(|n| if n < 4 { "gpu" } else { "cpu" }));
    let variables = google.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    rig.start_loop(&variables);
    rig.wait("it plans in its dry run", |rig| rig.done(&["plan"]).contains("launch"));
    assert!(google.fake.asked("instances.insert").is_empty(), "a dry run");
    rig.done(&["arm", "--yes"]);
    rig.wait("a job of each queue runs", |rig| {
        google.look();
        rig.runs().len() == 2
    });
    assert_eq!((count(&google, "g2-standard-4"), count(&google, "e2-standard-4")), (1, 1), "{}", rig.report());

    let before = rig.settings_text();
    let refused = rig.tidegate(&["set", "queue.gpu.max", "many"]);
    assert!(refused.code == Some(2) && refused.err.contains("0..100000"), "{refused:?}");
    rig.done(&["set", "queue.gpu.max", "3"]);
    assert_eq!(rig.settings_text(), before.replace("max = 1 # trailing", "max = 3 # trailing"));

    let (mut gpu, mut all) = (0, 0);
    rig.wait("every job has ended and every machine is gone", |rig| {
        google.look();
        gpu = gpu.max(count(&google, "g2-standard-4"));
        all = all.max(google.fake.state().machines.len());
        let ended = rig.runs().values().filter(|(_, ends)| *ends == 1).count();
        ended == tasks.len() && rig.ask("status")["instances"] == 0
    });
    // The limit over everything leaves room for one more.
    assert_eq!((gpu, all), (2, 3), "{}", rig.report());
    rig.assert_nothing_lost(&tasks, &[]);
    assert!(google.fake.state().machines.is_empty());
    let journal = rig.journal();
    for words in ["queue.gpu.max = 3", "is drained: it has no task", "registered"] {
        assert!(journal.contains(words), "{words}\n{journal}");
    }
    assert!(!journal.contains("not by us"), "{journal}");
    assert_eq!(rig.end_loop(), Some(0));
}

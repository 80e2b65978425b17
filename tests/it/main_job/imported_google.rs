//! From ClearML's GCP autoscaler: an export of its app is brought over, `check` passes against Google, the loop starts what the
//! fields say and runs the tasks. Its machines are foreign, until a person adopts them by the numbers that they are called by.

use serde_json::{Value, json};

use crate::main_job::clouds::Google;
use crate::main_job::rig::{Rig, Said};
use crate::support::agent;
use crate::support::process;

const EXPORT: &str = include_str!("../../../src/cli/import/gcp.json");

/// No loop runs by it.
const NONE: &str = "[loop]\nfleet = \"none\"\n";

/// The old autoscaler's file and the program's first steps from it.
struct Move {
    rig: Rig,
    google: Google,
}

impl Move {
    fn begin() -> Self {
        let google = Google::start();
        let rig = Rig::new(&["gpu queue", "services"], NONE);
        let mut export = EXPORT.to_owned();
        // As quick as a test wants it, and without what a machine of a test's has not.
        for (theirs, ours) in [
            (r#""use_docker_mode": true"#, r#""use_docker_mode": false"#),
            (r#""max_idle_time_min": 15"#, r#""max_idle_time_min": 0.05"#),
            (r#""polling_interval_time_min": 1"#, r#""polling_interval_time_min": 0.02"#),
            ("apt-get update", "echo the init script ran"),
            ("agent.package_manager.type: pip", "agent.force_git_ssh_port: 2222"),
        ] {
            assert!(export.contains(theirs), "{theirs}");
            export = export.replace(theirs, ours);
        }
        process::write(&rig.path("gcp.json"), &export);
        let (from, to) = (rig.path("gcp.json"), rig.path("imported.toml"));
        let told = rig.tidegate(&["import", from.to_str().unwrap(), "--output", to.to_str().unwrap()]);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(!told.err.contains("hush"), "{told:?}");
        // What a person adds: where ClearML is and by what keys.
        let imported = std::fs::read_to_string(to).unwrap();
        assert!(!imported.contains("hush"), "{imported}");
        let clearml = "[clearml]\napi_server = \"API_SERVER\"\ncredentials = \"env:CONSOLE\"\n\n[clearml.agents]\n\
                       credentials = \"env:AGENTS\"\n\n[loop]\n";
        rig.write_settings(&imported.replace("[loop]\n", clearml));
        Self { rig, google }
    }

    fn tidegate(&self, arguments: &[&str]) -> Said {
        let variables = self.google.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.rig.tidegate_with(arguments, &variables)
    }

    fn start_armed(&mut self) {
        let variables = self.google.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.rig.start_loop(&variables);
        self.rig.done(&["arm", "--yes"]);
    }

    fn wait(&mut self, what: &str, mut ready: impl FnMut(&Rig) -> bool) {
        let Self { rig, google } = self;
        rig.wait(what, |rig| {
            google.look();
            ready(rig)
        });
    }
}

/// The machines that theirs or we made, by their labels of our fleet.
fn of_pool<'a>(machines: &'a [Value], pool: &str) -> &'a Value {
    machines.iter().find(|machine| machine["labels"]["tidegate-pool"] == pool).unwrap()
}

#[test]
fn the_export_is_brought_over_checked_and_run() {
    let mut new = Move::begin();
    let checked = new.tidegate(&["check"]);
    assert!(!checked.out.contains("WRONG"), "{checked:?}");
    for right in ["is valid: fleet dynamic_gcp-tidegate", "takes the credentials for project research-4711"] {
        assert!(checked.out.contains(right), "{right}: {checked:?}");
    }
    let tasks = new.rig.enqueue(&[("gpu queue", "job-a", 6), ("services", "job-b", 6)]);
    new.start_armed();
    new.wait("both jobs run", |rig| rig.runs().len() == 2);
    let machines: Vec<Value> = new.google.fake.state().machines.values().cloned().collect();
    new.wait("every task has ended and every machine is gone", |rig| {
        rig.runs().values().filter(|(_, ends)| *ends == 1).count() == 2 && rig.ask("status")["instances"] == 0
    });
    new.rig.assert_nothing_lost(&tasks, &[]);

    assert_eq!(machines.len(), 2, "{}", new.rig.report());
    let (gpu, cpu) = (of_pool(&machines, "spot-t4"), of_pool(&machines, "cpu"));
    assert_eq!(gpu["scheduling"]["provisioningModel"], "SPOT");
    assert_eq!(cpu["scheduling"]["provisioningModel"], "STANDARD");
    let subnet = "projects/host-1/regions/us-central1/subnetworks/tasks";
    for machine in [gpu, cpu] {
        assert_eq!(machine["networkInterfaces"][0]["subnetwork"], subnet);
        let items = machine["metadata"]["items"].as_array().unwrap();
        let said = |name: &str| items.iter().find(|item| item["key"] == name).map(|item| &item["value"]);
        assert_eq!((said("Owner"), said("enable-oslogin")), (Some(&json!("Admin")), Some(&json!("TRUE"))));
    }
    assert_eq!(gpu["serviceAccounts"][0]["email"], "default");
    assert_eq!(gpu["guestAccelerators"][0]["acceleratorCount"], 1);
    assert_eq!(gpu["disks"][0]["initializeParams"]["diskSizeGb"], "100");
    let asked = new.google.fake.asked("instances.insert");
    assert!(asked.iter().all(|call| call.parameters["project"] == "research-4711"));
    assert_eq!(new.rig.end_loop(), Some(0));
}

#[test]
fn an_old_machine_of_googles_is_foreign_until_a_person_adopts_it() {
    let mut new = Move::begin();
    let id = {
        let mut state = new.google.fake.state();
        let machine =
            json!({"name": "clearml-worker-0a", "machineType": "zones/us-central1-a/machineTypes/e2-standard-4"});
        state.add("us-central1-a", machine);
        let machine = state.machines.values_mut().next().unwrap();
        machine["status"] = json!("RUNNING");
        machine["id"].as_str().unwrap().to_owned()
    };
    let name = format!("dynamic_gcp:cpu:e2-standard-4:{id}");
    let conf = new.rig.agents_conf();
    let mut old = agent::start(&conf, &name, &["services"]);
    old.wait_for("it registers", || new.rig.served.workers() == [name.clone()]);
    new.start_armed();
    new.wait("it is foreign", |rig| rig.ask("instances")[0]["phase"] == "foreign");
    let file = new.rig.path("gcp.json");
    let adopted = new.tidegate(&["import", file.to_str().unwrap(), "--adopt", "--yes"]);
    let said = format!("{id}: adopted into pool cpu");
    assert_eq!((adopted.code, adopted.out.trim()), (Some(0), said.as_str()), "{adopted:?}");
    new.wait("it is ours", |rig| rig.ask("instances")[0]["id"] == id.as_str());
    new.wait("it is idle", |rig| rig.ask("instances")[0]["phase"] == "idle");
    assert_eq!(new.rig.ask("instances")[0]["queue"], "services", "{}", new.rig.report());

    // It takes the tasks of its queue, is left alone however long it idles, and is ended by hand.
    let tasks = new.rig.enqueue(&[("services", "job-a", 1)]);
    new.rig.wait_for_tasks(&tasks);
    new.rig.assert_nothing_lost(&tasks, &[]);
    let kept = format!("{id} is another autoscaler's machine");
    new.wait("the loop says why it stays", |rig| rig.done(&["plan"]).contains(&kept));
    new.rig.done(&["stop", &id, "--kill", "--yes"]);
    new.wait("it is gone", |rig| rig.ask("status")["instances"] == 0);
    assert!(new.google.fake.state().machines.is_empty() && old.ended().is_none());
    let spent = new.rig.ask("status")["total_microusd"].as_i64();
    assert!(spent.is_some_and(|spent| spent > 0), "it was billed from its launch: {spent:?}\n{}", new.rig.report());
}

//! Two clouds in one console, under one budget: a queue on Google's machines, one on EC2's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::gce::fake::Fake;
use crate::main_job::rig::Rig;
use crate::support::machine::Machine;

const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"

[clearml.agents]
credentials = "env:AGENTS"

[loop]
fleet = "e2e"
poll = "1s"

[[budget]]
name = "both"
per = "day"
limit = "$1.20"

[queue.gpu]
pools = ["l4"]
max = 1

[queue.cpu]
pools = ["t3"]

[pool.l4]
provider = "gce"
region = "us-central1"
zones = ["us-central1-a", "us-central1-b"]
types = ["g2-standard-4"]
image = "family/tasks"
service_account = "default"
scopes = ["cloud-platform"]
keep_alive = "3s"
cpu_only = true

[pool.t3]
provider = "aws"
region = "us-east-1"
types = ["t3.medium"]
price = "$0.70/h"
keep_alive = "3s"
ami = "ami-12345678"
cpu_only = true
"#;

/// Google: it runs the machines that it lists, with the very startup script that it was given, and switches off those that
/// switch themselves off.
pub(super) struct Google {
    pub(super) fake: Fake,
    running: BTreeMap<(String, String), Machine>,
    /// Machines that ever were.
    pub(super) made: usize,
    _runtime: tokio::runtime::Runtime,
}

impl Google {
    pub(super) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = runtime.block_on(Fake::start());
        fake.state().by_the_wall = true;
        Self { fake, running: BTreeMap::new(), made: 0, _runtime: runtime }
    }

    /// Where the program finds it, and who it is there: by the metadata service, as on a machine of Google's.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", format!("{}/compute/v1/", self.fake.url)),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", self.fake.url.clone()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", self.fake.url.clone()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_OAUTH2", self.fake.url.clone()),
            ("GOOGLE_CLOUD_PROJECT", "proj-1".to_owned()),
            ("GCE_METADATA_HOST", self.fake.url.trim_start_matches("http://").to_owned()),
        ]
    }

    pub(super) fn look(&mut self) {
        let machines = self.fake.state().machines.clone();
        for (key, machine) in &machines {
            let script = script(machine).filter(|_| machine["status"] == "RUNNING" && !self.running.contains_key(key));
            if let Some(script) = script {
                // The script knows the machine's name by itself. A console on a loaded host takes its time to end it.
                let settings = [("TIDEGATE_DEATHS", "1"), ("TIDEGATE_DRAIN_GRACE", "600"), ("TIDEGATE_INSTANCE", "")];
                self.running.insert(key.clone(), Machine::boot(&script, &key.1, &settings));
                self.made += 1;
            }
        }
        self.running.retain(|key, machine| {
            if !machines.contains_key(key) {
                machine.power_cut();
                return false;
            }
            if machine.is_off() && machines[key]["status"] != "TERMINATED" {
                self.fake.state().switched_off(&key.0, &key.1);
            }
            true
        });
    }

    /// The only machine that there is: its zone and its name.
    pub(super) fn only(&self) -> (String, String) {
        let machines = &self.fake.state().machines;
        assert_eq!(machines.len(), 1, "{machines:?}");
        machines.keys().next().unwrap().clone()
    }

    /// The only machine's power goes, as when a task switches it off.
    pub(super) fn power_cut(&mut self) {
        let key = self.only();
        self.running[&key].power_cut();
        self.fake.state().switched_off(&key.0, &key.1);
    }
}

/// Of a machine that we made.
fn script(machine: &Value) -> Option<String> {
    let items = machine["metadata"]["items"].as_array()?;
    let script = items.iter().find(|item| item["key"] == "startup-script")?;
    script["value"].as_str().map(str::to_owned)
}

#[test]
fn money_that_is_set_aside_on_one_cloud_refuses_a_launch_on_the_other() {
    let mut google = Google::start();
    let mut rig = Rig::new(&["gpu", "cpu"], SETTINGS);
    let mut tasks = rig.enqueue_endless(&[("gpu", "job-a")]);
    tasks.extend(rig.enqueue(&[("gpu", "job-b", 4)]));
    let variables = google.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let checked = rig.tidegate_with(&["check"], &variables).out;
    let taken = "ok    gce us-central1: Compute Engine in us-central1 takes the credentials for project proj-1";
    assert!(checked.contains(taken), "{checked}");
    assert!(
        checked.contains("pool l4: the scope https://www.googleapis.com/auth/cloud-platform is broad"),
        "{checked}"
    );
    assert!(checked.contains("ok    gce us-central1: permits compute.disks.create, compute.disks.delete"), "{checked}");
    assert!(
        checked.contains("takes the credentials for project proj-1: the service account of this machine, renewed"),
        "{checked}"
    );
    google.fake.state().lacks = ["compute.instances.create"].into();
    let lacking = rig.tidegate_with(&["check"], &variables);
    assert_eq!(lacking.code, Some(4), "{lacking:?}");
    for words in [
        "WRONG gce us-central1: does not permit compute.instances.create: roles/compute.instanceAdmin.v1 holds it",
        "as a custom role for `gcloud iam roles create tidegate --project PROJECT --file FILE`:\n{",
    ] {
        assert!(lacking.out.contains(words), "{words}\n{}", lacking.out);
    }
    google.fake.state().lacks.clear();
    let policy = rig.done(&["policy"]);
    assert!(policy.contains("ec2:RunInstances") && policy.contains("compute.instances.create"), "{policy}");
    rig.start_loop(&variables);
    rig.done(&["arm", "--yes"]);
    rig.wait("a job runs on Google's machine", |rig| {
        google.look();
        !rig.runs().is_empty()
    });

    tasks.extend(rig.enqueue(&[("cpu", "job-c", 4)]));
    rig.wait("the budget refuses a machine of EC2", |rig| {
        google.look();
        let plan = rig.done(&["plan"]);
        plan.lines().any(|line| line.contains("t3") && line.contains("both"))
    });
    assert_eq!(rig.ec2.machines().len(), 0, "{}", rig.report());

    rig.end_jobs();
    rig.done(&["set", "budget.both.limit", "$10"]);
    rig.wait("every task has ended and every machine is gone", |rig| {
        google.look();
        rig.runs().values().filter(|(_, ends)| *ends == 1).count() == 3 && rig.ask("status")["instances"] == 0
    });
    rig.assert_nothing_lost(&tasks, &[]);
    assert_eq!((google.made, rig.ec2.machines().len()), (1, 1), "{}", rig.report());
    assert!(google.fake.state().machines.is_empty());
    let journal = rig.journal();
    for words in ["tidegate-", "g2-standard-4", "t3.medium", "is drained: it has no task"] {
        assert!(journal.contains(words), "{words}\n{journal}");
    }
    assert_eq!(rig.end_loop(), Some(0));
}

//! What goes wrong with machines of Google's, end to end: nothing is lost, no machine is made twice, and the reason is said.

use tidegate::model::ids::TaskId;

use crate::gce::fake::No;
use crate::main_job::clouds::Google;
use crate::main_job::rig::Rig;

const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"

[clearml.agents]
credentials = "env:AGENTS"

[loop]
fleet = "e2e"
poll = "1s"

[queue.gpu]
pools = ["l4"]
max = 2

[pool.l4]
provider = "gce"
region = "us-central1"
zones = ["us-central1-a", "us-central1-b"]
types = ["g2-standard-4"]
image = "family/tasks"
keep_alive = "3s"
cpu_only = true
"#;

const INSERT: &str = "instances.insert";

/// A console, and Google beside it.
struct Trouble {
    rig: Rig,
    google: Google,
}

impl Trouble {
    fn new(settings: &str) -> Self {
        Self { google: Google::start(), rig: Rig::new(&["gpu"], settings) }
    }

    fn start(&mut self) {
        let variables = self.google.variables();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.rig.start_loop(&variables);
    }

    /// Starts with a task that takes so many seconds.
    fn armed(settings: &str, seconds: u32) -> (Self, Vec<TaskId>) {
        let mut trouble = Self::new(settings);
        let tasks = trouble.rig.enqueue(&[("gpu", "job-a", seconds)]);
        trouble.start();
        trouble.rig.done(&["arm", "--yes"]);
        (trouble, tasks)
    }

    #[track_caller]
    fn wait(&mut self, what: &str, mut ready: impl FnMut(&mut Rig, &Google) -> bool) {
        let google = &mut self.google;
        self.rig.wait(what, |rig| {
            google.look();
            ready(rig, google)
        });
    }

    fn wait_for_job(&mut self) {
        self.wait("the job runs", |rig, _| rig.runs().contains_key("job-a"));
    }

    /// The end of everything: what is said of it.
    #[track_caller]
    fn ends(mut self, tasks: &[TaskId], again: &[&str], machines: usize) -> String {
        self.wait("the job has ended and every machine is gone", |rig, _| {
            rig.runs().values().any(|(_, ends)| *ends == 1) && rig.ask("status")["instances"] == 0
        });
        self.rig.assert_nothing_lost(tasks, again);
        assert_eq!(self.google.made, machines, "{}", self.rig.report());
        assert!(self.google.fake.state().machines.is_empty());
        let journal = self.rig.journal();
        assert_eq!(self.rig.end_loop(), Some(0));
        journal
    }
}

#[test]
fn a_spot_machine_that_google_takes_costs_its_task_one_more_run_which_is_on_demand() {
    let spot = SETTINGS.replace("keep_alive", "market = \"spot\"\nkeep_alive");
    let (mut trouble, tasks) = Trouble::armed(&spot, 10);
    trouble.wait_for_job();
    let (zone, name) = trouble.google.only();
    trouble.google.fake.state().preempt(&zone, &name);
    trouble.wait("another machine takes it", |_, google| google.made == 2);
    let again = trouble.google.only();
    let machine = trouble.google.fake.state().machines[&again].clone();
    assert_eq!(machine["scheduling"]["provisioningModel"], "STANDARD");
    let journal = trouble.ends(&tasks, &["job-a"], 2);
    assert!(journal.contains(&format!("{name} ended, and not by us")), "{journal}");
    assert!(journal.contains("compute.instances.preempted: Instance was preempted."), "{journal}");
    assert_eq!(journal.matches("waits in its queue again").count(), 1, "{journal}");
}

#[test]
fn a_machine_that_is_switched_off_from_within_costs_its_task_one_more_run_and_no_disk() {
    let (mut trouble, tasks) = Trouble::armed(SETTINGS, 10);
    trouble.wait_for_job();
    let (_, name) = trouble.google.only();
    trouble.google.power_cut();
    trouble.wait("another machine takes it", |_, google| google.made == 2);
    let journal = trouble.ends(&tasks, &["job-a"], 2);
    assert!(journal.contains(&format!("{name} ended, and not by us")), "{journal}");
}

#[test]
fn a_console_that_dies_while_a_machine_is_being_made_makes_no_second_one() {
    let mut trouble = Trouble::new(SETTINGS);
    trouble.google.fake.state().polls = 100_000;
    let tasks = trouble.rig.enqueue(&[("gpu", "job-a", 2)]);
    trouble.start();
    trouble.rig.done(&["arm", "--yes"]);
    trouble.wait("the machine is asked for", |_, google| !google.fake.asked(INSERT).is_empty());
    trouble.rig.kill_loop();
    trouble.start();
    trouble.google.fake.state().end_all();
    trouble.google.fake.state().polls = 1;
    let asked = trouble.google.fake.asked(INSERT).len();
    let google = trouble.google.fake.state().machines.len();
    assert_eq!((asked, google), (1, 1));
    trouble.ends(&tasks, &[], 1);
}

#[test]
fn without_room_in_one_zone_the_machine_comes_from_the_next_and_that_is_said() {
    let mut trouble = Trouble::new(SETTINGS);
    trouble.google.fake.state().noes =
        vec![(INSERT, "us-central1-a", No::Fails("ZONE_RESOURCE_POOL_EXHAUSTED", "us-central1-b"))];
    let tasks = trouble.rig.enqueue_endless(&[("gpu", "job-a")]);
    trouble.start();
    trouble.rig.done(&["arm", "--yes"]);
    // It is said until the zone is tried again, which may be sooner than the job runs.
    let mut is_said = false;
    trouble.wait("the job runs, and why it is not in the first zone was said", |rig, _| {
        let why = rig.done(&["why", "l4"]);
        is_said |= why.contains("in us-central1-a backs off") && why.contains("ZONE_RESOURCE_POOL_EXHAUSTED");
        is_said && rig.runs().contains_key("job-a")
    });
    assert_eq!(trouble.google.only().0, "us-central1-b");
    trouble.rig.end_jobs();
    trouble.ends(&tasks, &[], 1);
}

#[test]
fn a_launch_that_is_refused_says_why_and_the_task_waits_for_a_person() {
    for (no, words) in [
        (
            No::Fails("QUOTA_EXCEEDED", ""),
            "(quota, 1 in a row): QUOTA_EXCEEDED (quota): instances.insert: the operation failed",
        ),
        (No::Http(403, "forbidden"), "(credentials, 1 in a row): forbidden (credentials): instances.insert: HTTP 403"),
    ] {
        let mut trouble = Trouble::new(SETTINGS);
        trouble.google.fake.state().noes = vec![(INSERT, "", no)];
        let tasks = trouble.rig.enqueue(&[("gpu", "job-a", 2)]);
        trouble.start();
        trouble.rig.done(&["arm", "--yes"]);
        trouble.wait("it is said", |rig, _| rig.done(&["why", "gpu"]).contains(words));
        assert_eq!(trouble.google.fake.state().machines.len(), 0);
        trouble.rig.done(&["reset", "l4"]);
        trouble.ends(&tasks, &[], 1);
    }
}

#[test]
fn credentials_that_are_revoked_stop_nothing_and_say_what_to_do() {
    let (mut trouble, tasks) = Trouble::armed(SETTINGS, 15);
    trouble.wait_for_job();
    trouble.google.fake.state().revoked = true;
    let error = |rig: &Rig| {
        let status = rig.ask("status");
        let mut sources = status["sources"].as_array().unwrap().clone();
        sources.retain(|source| source["name"] == "gce us-central1");
        sources[0]["error"].as_str().unwrap_or_default().to_owned()
    };
    trouble.wait("it is said", |rig, _| error(rig).contains("see whether this machine still has a service account"));
    trouble.wait("the job ends meanwhile", |rig, _| rig.runs()["job-a"].1 == 1);
    assert_eq!(trouble.google.fake.state().machines.len(), 1);
    trouble.google.fake.state().revoked = false;
    trouble.wait("it is over", |rig, _| error(rig).is_empty());
    trouble.ends(&tasks, &[], 1);
}

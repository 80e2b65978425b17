//! Everything at once: the program, the official SDK and agents, and a cluster of ours. Only ClearML's server and the cluster
//! are simulated.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, MutexGuard};

use serde_json::{Value, json};
use tidegate::model::ids::TaskId;
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, Said, Status};

use crate::kubernetes::api::{Api, State, now};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::real::{self, NODE, Real, TAKES};
use crate::support::conf::clearml_conf;
use crate::support::face::Served;
use crate::support::jobs;
use crate::support::process::{Group, write};
use crate::support::told::told;

/// One queue, served by pods.
pub(super) const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"

[clearml.agents]
credentials = "env:AGENTS"

[loop]
fleet = "e2e"
poll = "1s"

[[budget]]
name = "day's money"
per = "day"
limit = "$100"

[queue.gpu]
pools = ["cluster"]
on_lost = "requeue:1"

[pool.cluster]
provider = "kubernetes"
context = "test"
namespace = "ml-tasks"
pod_image = "python:3.12"
pod_cpu = "1"
price = "$3.60/h"
max = 2
"#;

/// Dropped in this order: nobody works on a cluster any more that is closed.
pub(super) struct Rig {
    console: Option<Group>,
    /// Another, with a memory and perhaps settings of its own.
    second: Option<Group>,
    pub(super) cluster: Cluster,
    pub(super) api: Api,
    pub(super) served: Served,
    folder: tempfile::TempDir,
    /// Of a real cluster no other test has anything meanwhile.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Rig {
    /// Starts servers and cluster; the program is not started yet.
    pub(super) fn new(settings: &str) -> Self {
        Self::with_queues(settings, &["gpu"])
    }

    pub(super) fn with_queues(settings: &str, queues: &[&str]) -> Self {
        let alone = real::alone();
        let real = real::named().map(|kubeconfig| Arc::new(Real::open(&kubeconfig)));
        let (served, folder, api) = (Served::start(queues), tempfile::tempdir().unwrap(), Api::before(real));
        std::fs::create_dir(folder.path().join("person")).unwrap();
        let cluster = Cluster::start(api.shared(), folder.path().join("pods"));
        write(&folder.path().join("kubeconfig"), &api.kubeconfig());
        let rig = Self { served, api, cluster, console: None, second: None, folder, _alone: alone };
        rig.write_settings(settings);
        rig
    }

    pub(super) fn write_settings(&self, settings: &str) {
        write(&self.path("tidegate.toml"), &self.here(settings));
    }

    /// The settings as they are for these servers.
    fn here(&self, settings: &str) -> String {
        let settings = settings.replace("API_SERVER", &self.served.url);
        let namespace = self.namespace();
        if !self.is_real() {
            return settings;
        }
        // On a cluster that has other nodes too, its pods are for ours.
        let kind = "provider = \"kubernetes\"";
        let settings = settings.replace(kind, &format!("{kind}\nnode_selector = {{ {TAKES} = \"{namespace}\" }}"));
        settings.replace("\"ml-tasks\"", &format!("\"{namespace}\""))
    }

    /// A person's way to the cluster.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        real::named().unwrap_or_else(|| self.path("kubeconfig"))
    }

    pub(super) fn is_real(&self) -> bool {
        self.api.state().real.is_some()
    }

    /// Where its pods are.
    pub(super) fn namespace(&self) -> String {
        self.api.namespace()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let other = std::env::var_os("TIDEGATE_TEST_PROGRAM");
        let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_tidegate").into()));
        command.args(arguments).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.folder.path()).env("USER", "ann").env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_CONFIG", self.path("tidegate.toml")).env("TIDEGATE_STATE_DIR", self.path(state));
        command.env("CONSOLE", "CONSOLE-KEY:console-secret").env("AGENTS", "AGENTS-KEY:agents-secret");
        command.env("KUBECONFIG", self.path("kubeconfig")).env("TIDEGATE_LEADER_TIMES", "200,2000");
        command
    }

    /// Runs a subcommand; its exit code and all that it wrote.
    pub(super) fn tidegate(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command("state", arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + text(&output.stderr).as_str())
    }

    pub(super) fn ask(&self, what: &str) -> Value {
        let output = self.command("state", &[what, "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", self.report());
        told(what, output.stdout)[what].take()
    }

    /// Starts the loop and lets it act.
    pub(super) fn start_armed(&mut self, variables: &[(&str, &str)]) {
        self.start_loop(variables);
        // On a busy host it may not lead yet.
        self.wait("it may act", |rig| rig.tidegate(&["arm", "--yes"]).0 == Some(0));
    }

    pub(super) fn start_loop(&mut self, variables: &[(&str, &str)]) {
        let mut command = self.command("state", &["run", "--headless"]);
        command.envs(variables.iter().copied());
        self.console = Some(Group::start("tidegate", command, &self.path("loop.log")));
        self.wait("the loop listens", |rig| UnixStream::connect(rig.path("state/tidegate.sock")).is_ok());
    }

    /// Starts another console, as on another host.
    pub(super) fn start_second(&mut self, settings: &str) {
        write(&self.path("second.toml"), &self.here(settings));
        let mut command = self.command("state-2", &["run", "--headless"]);
        command.env("TIDEGATE_CONFIG", self.path("second.toml"));
        self.second = Some(Group::start("tidegate", command, &self.path("second.log")));
        self.wait("the second listens", |rig| UnixStream::connect(rig.path("state-2/tidegate.sock")).is_ok());
        if !settings.contains("\"e2e\"") {
            // On a busy host it may not lead yet.
            self.wait("the second may act", |rig| rig.second(&["arm", "--yes"]).0 == Some(0));
        }
    }

    /// A subcommand of the second.
    pub(super) fn second(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command("state-2", arguments);
        let output = command.env("TIDEGATE_CONFIG", self.path("second.toml")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + text(&output.stderr).as_str())
    }

    /// As `kill -9` does.
    pub(super) fn kill_loop(&mut self) {
        drop(self.console.take());
    }

    /// The process of the loop.
    pub(super) fn process(&self) -> u32 {
        self.console.as_ref().unwrap().id()
    }

    /// Whether the loop has died.
    pub(super) fn has_crashed(&mut self) -> bool {
        let has = self.console.as_mut().is_some_and(|console| console.ended().is_some());
        if has {
            self.console = None;
        }
        has
    }

    /// Waits, at most four minutes, until `ready`.
    #[track_caller]
    pub(super) fn wait(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_400 {
            if ready(self) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{what}: it did not happen\n{}", self.report());
    }

    /// Enqueues such jobs with the real SDK: name and seconds of each.
    pub(super) fn enqueue(&self, jobs: &[(&str, u32)]) -> Vec<TaskId> {
        let jobs: Vec<_> = jobs.iter().map(|(name, seconds)| ("gpu", *name, *seconds)).collect();
        let conf = clearml_conf(&self.path("person"), &self.served.url, "CONSOLE-KEY", "console-secret");
        jobs::enqueue(&conf, &self.path("runs"), &jobs)
    }

    /// What an agent does first in its pod, which runs on a node from then on; no process of it is there.
    pub(super) fn begin(&mut self, task: &TaskId) {
        let job = format!("clearml-{task}-");
        // That of an earlier attempt may be there still.
        let waits = |pod: Value| pod["status"]["phase"] == "Pending";
        self.wait("its pod is made", |rig| rig.pod_of(&job).is_some_and(waits));
        self.change_pod(task, |pod| {
            pod["spec"]["nodeName"] = NODE.into();
            pod["status"] = json!({ "phase": "Running", "startTime": now(), "conditions": [
                { "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }] });
        });
        self.wait("its task waits for it", |rig| rig.served.entries_of("k8s_scheduler").contains(task));
        let (at, user) = (Clock::Wall.now(), ClearmlServer::agents());
        let mut server = self.served.server();
        server.dequeue(at, &user, task, Said::default(), Some(Status::InProgress)).unwrap();
        server.started(at, &user, task, Said::default(), true).unwrap();
    }

    /// The newest pod of a task, by the beginning of its Job's name.
    pub(super) fn pod_of(&self, job: &str) -> Option<Value> {
        newest(&self.api.state(), job)
    }

    /// The name of the pod of a task's attempt, or of its newest.
    pub(super) fn pod_name(&self, job: &str) -> String {
        let pod = self.pod_of(job).unwrap_or_else(|| panic!("there is no pod of {job}\n{}", self.report()));
        pod["metadata"]["name"].as_str().unwrap().to_owned()
    }

    /// Changes what the pod of a task shows of itself.
    pub(super) fn change_pod(&self, task: &TaskId, change: impl FnOnce(&mut Value)) {
        let mut state = self.api.state();
        let mut pod = newest(&state, &format!("clearml-{task}-")).unwrap();
        change(&mut pod);
        state.put("pods", pod);
    }

    /// Before 1.26 the cluster makes another pod for a Job whose pod was deleted. Its agent finds that its task does not wait
    /// for it, and ends.
    pub(super) fn end_replacement(&mut self, task: &TaskId) {
        if self.api.minor() >= 26 {
            return;
        }
        let job = format!("clearml-{task}-1-");
        self.wait("there is another pod", |rig| rig.pod_of(&job).is_some());
        self.change_pod(task, |pod| pod["status"]["phase"] = "Failed".into());
    }

    /// Waits until that Job is made.
    #[track_caller]
    pub(super) fn wait_for_job(&mut self, task: &TaskId, number: u32) {
        let name = format!("clearml-{task}-{number}");
        self.wait(&format!("{name} is made"), |rig| rig.api.state().get("jobs", &name).is_some());
    }

    /// How often each job began and ended, by its own trace.
    pub(super) fn runs(&self) -> BTreeMap<String, (u32, u32)> {
        jobs::runs(&self.path("runs"))
    }

    #[track_caller]
    pub(super) fn wait_for_status(&mut self, tasks: &[TaskId], status: Status) {
        self.wait(&format!("{tasks:?} are {status:?}"), |rig| {
            tasks.iter().all(|task| rig.served.status(task) == status)
        });
    }

    /// Waits until nothing is left: no attempt is open, and nothing counts any more.
    #[track_caller]
    pub(super) fn wait_for_nothing(&mut self) {
        self.wait("nothing is up", |rig| rig.ask("status")["instances"] == 0);
    }

    pub(super) fn journal(&self) -> String {
        self.tidegate(&["journal", "--limit", "1000"]).1
    }

    /// Everything that helps to understand a failure.
    pub(super) fn report(&self) -> String {
        let mut parts = Vec::new();
        for what in ["status", "queues", "instances", "plan", "journal"] {
            parts.push(format!("--- {what}\n{}", self.tidegate(&[what]).1));
        }
        let state = self.api.state();
        for plural in ["jobs", "pods"] {
            let told: Vec<_> =
                state.all(plural).iter().map(|one| format!("{} {}", one["metadata"]["name"], one["status"])).collect();
            parts.push(format!("--- {plural}\n{}", told.join("\n")));
        }
        let asked: Vec<&String> = state.asked.iter().rev().take(40).collect();
        parts.push(format!("--- asked of the API\n{asked:#?}"));
        drop(state);
        parts.push(format!("--- pods said\n{:#?}", self.cluster.logs.lock().unwrap()));
        parts.push(format!("--- the loop\n{}", self.console.as_ref().map(Group::written).unwrap_or_default()));
        parts.join("\n")
    }
}

/// The newest pod whose name begins so.
fn newest(state: &State, job: &str) -> Option<Value> {
    let text = |pod: &Value, field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
    let ours = state.all("pods").into_iter().filter(|pod| text(pod, "name").starts_with(job));
    // Of several of one Job none can be told by its name.
    ours.max_by_key(|pod| (text(pod, "creationTimestamp"), text(pod, "name")))
}

//! A stand-in for the controllers of a cluster and for its kubelet: a Job that may run gets a pod, a pod its node, and its
//! container is a process of this host that runs what the pod says. On a real control plane it is a kubelet and no more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kubernetes::api::{State, now};
use crate::kubernetes::real::{NODE, Real, secrets_of};
use crate::support::agent::fast;
use crate::support::process::{Group, write};
use crate::support::python::{clean, program};

/// How many pods have room at once; a test may change it.
#[derive(Debug)]
pub(super) struct Room(pub(super) Mutex<usize>);

/// The running stand-in; dropped, it ends with all its processes.
#[derive(Debug)]
pub(super) struct Cluster {
    over: Arc<AtomicBool>,
    pub(super) room: Arc<Room>,
    pub(super) logs: Arc<Mutex<BTreeMap<String, String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Kubelet {
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    room: Arc<Room>,
    logs: Arc<Mutex<BTreeMap<String, String>>>,
    /// By pod.
    running: BTreeMap<String, Group>,
    steps: u32,
    /// The room that its real node was last given.
    given: Option<usize>,
}

/// A real API server is asked less often than ours, and told this often, in steps, that its node is alive.
const BEAT: u32 = 20;

impl Cluster {
    #[expect(clippy::disallowed_methods, reason = "it lives as long as its test")]
    pub(super) fn start(state: Arc<Mutex<State>>, folder: PathBuf) -> Self {
        let (over, room) = (Arc::new(AtomicBool::new(false)), Arc::new(Room(Mutex::new(usize::MAX))));
        let logs: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let mut kubelet = Kubelet {
            state,
            folder,
            room: room.clone(),
            logs: logs.clone(),
            running: BTreeMap::new(),
            steps: 0,
            given: None,
        };
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let is_real = kubelet.step();
                std::thread::sleep(Duration::from_millis(if is_real { 250 } else { 50 }));
            }
        });
        Self { over, room, logs, thread: Some(thread) }
    }
}

impl Kubelet {
    /// Whether it is a real API server that it works with.
    fn step(&mut self) -> bool {
        let real = self.state.lock().unwrap().real.clone();
        if let Some(real) = real {
            self.keep(&real);
            let pods = real.all("pods");
            self.end(&real, &pods);
            for pod in pods.iter().filter(|pod| pod["spec"]["nodeName"] == NODE) {
                self.run(pod, true);
            }
            return true;
        }
        let (jobs, pods) = {
            let state = self.state.lock().unwrap();
            (state.all("jobs"), state.all("pods"))
        };
        // Who was deleted ends.
        let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
        self.running.retain(|name, _| names.contains(&name.as_str()));
        for job in &jobs {
            self.control(job, &pods);
        }
        for pod in &pods {
            self.run(pod, false);
        }
        false
    }

    /// Its node is alive, and has the room that the test gives.
    fn keep(&mut self, real: &Real) {
        let room = *self.room.0.lock().unwrap();
        if self.steps.is_multiple_of(BEAT) {
            real.beat(room);
        }
        self.steps += 1;
        if self.given.replace(room).is_some_and(|given| given != room) {
            real.room(room);
        }
    }

    /// Who is deleted ends, and is gone then; of pods that no process runs nobody here knows.
    fn end(&mut self, real: &Real, pods: &[Value]) {
        self.running.retain(|name, _| {
            let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name.as_str());
            let ends = pod.is_some_and(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
            if ends {
                real.remove("pods", name);
            }
            pod.is_some() && !ends
        });
    }

    /// What the Job controller does.
    fn control(&self, job: &Value, pods: &[Value]) {
        let name = job["metadata"]["name"].as_str().unwrap();
        let is_over = job["status"]["conditions"].as_array().is_some_and(|all| !all.is_empty());
        if job["spec"]["suspend"] == true || job["spec"]["parallelism"] == 0 || is_over {
            return;
        }
        let own = pods.iter().find(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]);
        let mut state = self.state.lock().unwrap();
        let Some(mut job) = state.get("jobs", name) else { return };
        let had_one = !job["status"]["startTime"].is_null();
        let end = |kind: &str, reason: &str, message: &str| {
            json!([{ "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": now() }])
        };
        match own {
            None if had_one => {
                job["status"]["conditions"] =
                    end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
            }
            None if state.is_at_quota() => {
                let told = state
                    .all("events")
                    .iter()
                    .any(|event| event["involvedObject"]["name"] == name && event["reason"] == "FailedCreate");
                if !told {
                    let message = "Error creating: pods \"x\" is forbidden: exceeded quota: gpu-quota, requested: pods=1, \
                                   used: pods=1, limited: pods=1";
                    state.event("Job", name, "FailedCreate", message, "job-controller");
                }
                return;
            }
            None => {
                job["status"]["startTime"] = json!(now());
                let template = &job["spec"]["template"];
                let mut labels = template["metadata"]["labels"].clone();
                for label in ["batch.kubernetes.io/job-name", "job-name"] {
                    labels[label] = json!(name);
                }
                state.put(
                    "pods",
                    json!({ "apiVersion": "v1", "kind": "Pod",
                        "metadata": { "name": format!("{name}-x"), "labels": labels,
                            "annotations": template["metadata"]["annotations"],
                            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": name,
                                "uid": job["metadata"]["uid"], "controller": true }] },
                        "spec": template["spec"], "status": { "phase": "Pending" } }),
                );
                state.event("Job", name, "SuccessfulCreate", "Created pod", "job-controller");
            }
            Some(pod) if pod["status"]["phase"] == "Succeeded" => {
                job["status"]["conditions"] = end("Complete", "CompletionsReached", "Reached expected number of pods");
            }
            Some(pod) if pod["status"]["phase"] == "Failed" => {
                let disrupted = pod["status"]["conditions"].to_string().contains("DisruptionTarget");
                job["status"]["conditions"] = if disrupted {
                    end(
                        "Failed",
                        "PodFailurePolicy",
                        "Pod has condition DisruptionTarget matching FailJob rule at index 0",
                    )
                } else {
                    end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
                };
            }
            Some(_) => return,
        }
        state.put("jobs", job);
    }

    /// What the scheduler and the kubelet do.
    fn run(&mut self, pod: &Value, has_scheduler: bool) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        let set = |status: Value| {
            let mut state = self.state.lock().unwrap();
            let Some(mut pod) = state.get("pods", &name) else { return };
            pod["status"] = status;
            pod["spec"]["nodeName"] = json!(NODE);
            state.put("pods", pod);
        };
        if phase == "Pending" && self.running.len() < *self.room.0.lock().unwrap() {
            let Some(group) = self.start(pod) else { return };
            self.running.insert(name.clone(), group);
            set(json!({ "phase": "Running", "startTime": now(), "conditions": [
                { "type": "Ready", "status": "True" }, { "type": "PodScheduled", "status": "True" }] }));
        } else if phase == "Pending" && !has_scheduler {
            let mut state = self.state.lock().unwrap();
            // A test may have changed or removed it meanwhile.
            let Some(mut pod) = state.get("pods", &name) else { return };
            if pod["status"]["phase"] != "Pending" || !pod["status"]["conditions"].is_null() {
                return;
            }
            let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available";
            pod["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": message }]);
            state.put("pods", pod);
        } else if phase == "Running"
            && let Some(group) = self.running.get_mut(&name)
        {
            self.logs.lock().unwrap().insert(name.clone(), group.written());
            let Some(status) = group.ended() else { return };
            self.running.remove(&name);
            let code = status.code().unwrap_or(137);
            let began = pod["status"]["startTime"].clone();
            set(json!({ "phase": if code == 0 { "Succeeded" } else { "Failed" }, "startTime": began,
                "conditions": pod["status"]["conditions"],
                "containerStatuses": [{ "name": "task", "state": { "terminated": {
                    "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
                    "finishedAt": now() } } }] }));
        }
    }

    /// The container as a process of this host: its Secret in a folder, its environment as it says. Without its Secret, which may
    /// have been deleted meanwhile, none begins.
    fn start(&self, pod: &Value) -> Option<Group> {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let root = self.folder.join(name);
        std::fs::create_dir_all(root.join("tmp")).unwrap();
        let secret_of = |secret: &str, key: &str| {
            let secret = self.state.lock().unwrap().get("secrets", secret)?;
            Some(secrets_of(&secret)[key].clone())
        };
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let secret = volumes.iter().find_map(|one| one["secret"]["secretName"].as_str());
        write(&root.join("clearml.conf"), &format!("{}\n{}", secret_of(secret.unwrap(), "clearml.conf")?, CONF));
        let container = &pod["spec"]["containers"][0];
        let words = |key: &str| container[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
        let line: Vec<String> = words("command").chain(words("args")).collect();
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(&root);
        clean(&mut command, &root);
        fast(&mut command);
        command.env("TMPDIR", root.join("tmp")).env("NVIDIA_VISIBLE_DEVICES", "none");
        for one in container["env"].as_array().unwrap() {
            let (plain, key) = (&one["value"], &one["valueFrom"]["secretKeyRef"]);
            // A real server leaves out what is empty.
            let value = match (plain.as_str(), key["name"].as_str()) {
                (Some(plain), _) => plain.replace("/tidegate", &root.display().to_string()),
                (None, Some(secret)) => secret_of(secret, key["key"].as_str().unwrap())?,
                (None, None) => String::new(),
            };
            command.env(one["name"].as_str().unwrap(), value);
        }
        let _ = program("python");
        Some(Group::start("pod", command, &root.join("pod.log")))
    }
}

/// What keeps an agent's task short here.
const CONF: &str = "agent {\n vcs_cache.enabled: false\n venvs_cache.free_space_threshold_gb: -1\n package_manager.type: pip\n}\n\
                    sdk.development.default_output_uri: \"\"\n";

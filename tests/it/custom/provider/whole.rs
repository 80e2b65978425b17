//! Everything real at once, on a program's machines: the program, the official SDK, the boot script with its guard and gate, and
//! real agents. Only ClearML's server is simulated.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::model::ids::TaskId;
use tidegate::world::sim::clearml::Status;

use super::local;
use crate::custom::write;
use crate::support::conf::clearml_conf;
use crate::support::face::Served;
use crate::support::jobs;
use crate::support::process::Group;
use crate::support::python::program;

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
max_vcpu = 4

[[budget]]
name = "day's money"
per = "day"
limit = "$100"

[account.here]
program = "PROGRAM"

[queue.gpu]
pools = ["cores"]
on_lost = "requeue:1"

[pool.cores]
provider = "exec"
account = "here"
types = ["process"]
price = "$0.10/h"
machine_vcpu = 2
keep_alive = "3s"
cpu_only = true
"#;

struct Rig {
    served: Served,
    console: Option<Group>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let (served, folder) = (Served::start(&["gpu"]), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("person")).unwrap();
        std::fs::create_dir(folder.path().join("machines")).unwrap();
        let settings = SETTINGS.replace("API_SERVER", &served.url).replace("PROGRAM", &local().display().to_string());
        write(&folder.path().join("tidegate.toml"), &settings);
        Self { served, console: None, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.folder.path()).env("USER", "ann").env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_CONFIG", self.path("tidegate.toml")).env("TIDEGATE_STATE_DIR", self.path("state"));
        command.env("CONSOLE", "CONSOLE-KEY:console-secret").env("AGENTS", "AGENTS-KEY:agents-secret");
        command.env("TIDEGATE_LEADER_TIMES", "200,2000");
        command.env("LOCAL_MACHINES", self.path("machines")).env("LOCAL_PYTHON", program("python"));
        command.env(
            "LOCAL_VARIABLES",
            "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL=1 CLEARML_AGENT_QUEUE_POLL_FREQ_SEC=0.5 TIDEGATE_TICK=1 TIDEGATE_READ_EVERY=1",
        );
        command
    }

    fn tidegate(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + text(&output.stderr).as_str())
    }

    fn start_loop(&mut self) {
        let command = self.command(&["run", "--headless"]);
        self.console = Some(Group::start("tidegate", command, &self.path("loop.log")));
        self.wait("the loop listens", |rig| UnixStream::connect(rig.path("state/tidegate.sock")).is_ok());
    }

    #[track_caller]
    fn wait(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_400 {
            if ready(self) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{what}: it did not happen\n{}", self.report());
    }

    /// The machines by what the example program has written of them.
    fn machines(&self) -> BTreeMap<String, Value> {
        let entries = std::fs::read_dir(self.path("machines")).unwrap().flatten();
        let facts = entries.filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("machine.json")).ok()?;
            Some((entry.file_name().into_string().ok()?, serde_json::from_str(&text).ok()?))
        });
        facts.collect()
    }

    fn up(&self) -> usize {
        self.machines().values().filter(|machine| machine["state"] == "running").count()
    }

    fn runs(&self) -> BTreeMap<String, (u32, u32)> {
        jobs::runs(&self.path("runs"))
    }

    fn report(&self) -> String {
        let mut parts = Vec::new();
        for what in ["status", "queues", "instances", "plan", "journal"] {
            parts.push(format!("--- {what}\n{}", self.tidegate(&[what]).1));
        }
        for name in self.machines().keys() {
            let console = std::fs::read_to_string(self.path("machines").join(name).join("console")).unwrap_or_default();
            parts.push(format!("--- {name}\n{console}"));
        }
        parts.push(format!("--- machines\n{:#?}\n--- runs\n{:?}", self.machines(), self.runs()));
        parts.push(format!("--- the loop\n{}", self.console.as_ref().map(Group::written).unwrap_or_default()));
        parts.join("\n")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.console.take());
        let names: Vec<String> = self.machines().into_keys().collect();
        let mut child =
            Command::new(local()).env("LOCAL_MACHINES", self.path("machines")).stdin(Stdio::piped()).spawn().unwrap();
        let line = serde_json::json!({ "id": 1, "call": "terminate", "region": "local", "machines": names });
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        let _ = child.wait();
    }
}

#[test]
fn tasks_run_on_a_program_s_machines_and_none_is_lost_when_the_loop_is_killed() {
    let mut rig = Rig::new();
    let conf = clearml_conf(&rig.path("person"), &rig.served.url, "CONSOLE-KEY", "console-secret");
    let jobs = [("gpu", "job-a", 4), ("gpu", "job-b", 4), ("gpu", "job-c", 4), ("gpu", "job-d", 4)];
    let tasks: Vec<TaskId> = jobs::enqueue(&conf, &rig.path("runs"), &jobs);
    rig.start_loop();
    rig.wait("it plans in its dry run", |rig| rig.tidegate(&["plan"]).1.contains("launch"));
    assert_eq!(rig.machines().len(), 0, "a dry run");
    rig.wait("it leads", |rig| rig.tidegate(&["arm", "--yes"]).0 == Some(0));
    let mut peak = 0;
    rig.wait("a job runs", |rig| {
        peak = peak.max(rig.up());
        !rig.runs().is_empty()
    });
    // As `kill -9` does; the machines live on, and the next loop knows them.
    drop(rig.console.take());
    let before: Vec<String> = rig.machines().into_keys().collect();
    rig.start_loop();
    rig.wait("all are done", |rig| {
        peak = peak.max(rig.up());
        tasks.iter().all(|task| rig.served.status(task) == Status::Completed)
    });
    assert_eq!(peak, 2, "limits.max_vcpu holds\n{}", rig.report());
    rig.wait("no machine is up", |rig| rig.up() == 0);
    let runs: Vec<(u32, u32)> = rig.runs().into_values().collect();
    assert_eq!(runs, [(1, 1); 4], "each once\n{}", rig.report());
    let after: Vec<String> = rig.machines().into_keys().collect();
    assert!(before.iter().all(|name| after.contains(name)) && after.len() <= 4, "{before:?} {after:?}");
    let (_, journal) = rig.tidegate(&["journal", "--limit", "1000"]);
    for words in ["registered", "is drained: it has no task"] {
        assert!(journal.contains(words), "{words}\n{}", rig.report());
    }
}

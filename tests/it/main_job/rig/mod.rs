//! Everything real at once: the program, the official SDK, the agents, and EC2 as moto plays it. The machines are
//! processes that run the very user data that EC2 received; only the ClearML server is simulated.

mod hypervisor;
mod judge;

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::model::ids::TaskId;
use tidegate::model::record::Memory;
use tidegate::store::Store;
use tidegate::store::sqlite::SqliteStore;
use tidegate::world::clock::Clock;

use crate::support::conf::clearml_conf;
use crate::support::ec2::Ec2Console;
use crate::support::face::Served;
use crate::support::jobs;
use crate::support::moto::{self, Moto};
use crate::support::process::{Group, write};
use crate::support::told::told;

use hypervisor::Hypervisor;

/// Two queues that share two kinds of machines. The server's address comes in for `API_SERVER`.
pub(super) const SETTINGS: &str = r#"# What these tests run on: nothing in it is paid for.
[clearml]
api_server = "API_SERVER" # a loopback port
credentials = "env:CONSOLE"

[clearml.agents] # a user of their own
credentials = "env:AGENTS"

[loop]
fleet = "e2e"
poll = "1s"   # as quick as a test wants it

# Half of what will be asked for.
[limits]
max = 3

[[budget]]
name = "day's money" # never reached here
per = "day"
limit = "$100"

[queue.gpu]
pools = ["g5", "t3"]   # the dear ones first
max = 3 # trailing words, "in quotes", and a second #

[queue.cpu]
pools = ["t3", "g5"]

[pool.g5]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
keep_alive = "3s"
ami = "ami-12345678"
cpu_only = true

[pool.t3]
provider = "aws"
region = "us-east-1"
types = ["t3.medium"]
keep_alive = "3s"
ami = "ami-12345678"
cpu_only = true
# The last line of the file is a comment, too.
"#;

/// What a command wrote and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) struct Rig {
    pub(super) served: Served,
    pub(super) ec2: Ec2Console,
    console: Option<Group>,
    hypervisor: Hypervisor,
    /// Where the program finds EC2.
    endpoint: String,
    folder: tempfile::TempDir,
    _moto: Moto,
}

impl Rig {
    /// Starts servers and hypervisor; the program is not started yet.
    pub(super) fn new(queues: &[&str], settings: &str) -> Self {
        Self::with_endpoint(queues, settings, |_| None)
    }

    /// The same, with something between the program and EC2; `between` makes it of EC2's address.
    pub(super) fn with_endpoint(queues: &[&str], settings: &str, between: impl FnOnce(&str) -> Option<String>) -> Self {
        Self::on(moto::start(), queues, settings, between, &[])
    }

    /// The same on an EC2 that runs already, with more variables of each machine's boot script.
    pub(super) fn on(
        moto: Moto,
        queues: &[&str],
        settings: &str,
        between: impl FnOnce(&str) -> Option<String>,
        machines: &[(&str, &str)],
    ) -> Self {
        let (served, folder) = (Served::start(queues), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("person")).unwrap();
        let rig = Self {
            ec2: Ec2Console::new(&moto.url),
            console: None,
            hypervisor: Hypervisor::start(&moto.url, machines),
            endpoint: between(&moto.url).unwrap_or_else(|| moto.url.clone()),
            served,
            folder,
            _moto: moto,
        };
        rig.write_settings(settings);
        rig
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write_settings(&self, settings: &str) {
        // At once, as an editor does: half a file would be a problem of its own.
        write(&self.path("new.toml"), &settings.replace("API_SERVER", &self.served.url));
        std::fs::rename(self.path("new.toml"), self.path("tidegate.toml")).unwrap();
    }

    pub(super) fn settings_text(&self) -> String {
        std::fs::read_to_string(self.path("tidegate.toml")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.folder.path()).env("USER", "ann").env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_CONFIG", self.path("tidegate.toml")).env("TIDEGATE_STATE_DIR", self.path("state"));
        command.env("CONSOLE", "CONSOLE-KEY:console-secret").env("AGENTS", "AGENTS-KEY:agents-secret");
        command
            .env("AWS_ENDPOINT_URL_EC2", &self.endpoint)
            .env("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command
    }

    /// Runs a subcommand to its end.
    pub(super) fn tidegate(&self, arguments: &[&str]) -> Said {
        self.tidegate_with(arguments, &[])
    }

    /// The same with more variables.
    pub(super) fn tidegate_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = self.command(arguments).envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs a subcommand that must succeed; what it wrote.
    pub(super) fn done(&self, arguments: &[&str]) -> String {
        let said = self.tidegate(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}\n{}", self.report());
        said.out
    }

    /// What a reading subcommand says to programs.
    pub(super) fn ask(&self, what: &str) -> Value {
        let said = self.done(&[what, "--json"]);
        told(what, said)[what].take()
    }

    /// Starts the loop as a service and waits until it can be asked.
    pub(super) fn start_loop(&mut self, variables: &[(&str, &str)]) {
        self.spawn_loop(variables);
        // A dead loop leaves its socket behind, and nobody there.
        self.wait("the loop listens", |rig| UnixStream::connect(rig.path("state/tidegate.sock")).is_ok());
    }

    /// Starts the loop as a service.
    pub(super) fn spawn_loop(&mut self, variables: &[(&str, &str)]) {
        let mut command = self.command(&["run", "--headless"]);
        command.envs(variables.iter().copied());
        self.console = Some(Group::start("tidegate", command, &self.path("loop.log")));
    }

    /// Starts the loop and lets it act.
    pub(super) fn start_armed(&mut self) {
        self.start_loop(&[]);
        self.done(&["arm", "--yes"]);
    }

    /// Waits until the loop has died by itself.
    pub(super) fn wait_for_crash(&mut self) {
        self.wait("the loop dies where it shall", |rig| rig.console.as_mut().unwrap().ended().is_some());
    }

    /// Lets the loop act until it has died by itself. It may die before it answers, and a busy host may lose an order.
    pub(super) fn arm_until_crash(&mut self) {
        self.wait("the loop dies where it shall", |rig| {
            let has_died = rig.console.as_mut().unwrap().ended().is_some();
            if !has_died {
                rig.tidegate(&["arm", "--yes"]);
            }
            has_died
        });
    }

    /// What a loop that has died left in its store.
    pub(super) fn kept(&self) -> Memory {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut store = SqliteStore::open(&self.path("state"), Clock::Wall.now()).await.unwrap();
            let kept = store.load().await.unwrap();
            store.close().await.unwrap();
            kept
        })
    }

    /// As `kill -9` does.
    pub(super) fn kill_loop(&mut self) {
        drop(self.console.take());
    }

    /// Ends the loop as a service manager does; its exit code.
    pub(super) fn end_loop(&mut self) -> Option<i32> {
        self.console.as_ref().unwrap().signal_leader("TERM");
        let mut code = None;
        self.wait("the loop ends", |rig| {
            let status = rig.console.as_mut().unwrap().ended();
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }

    /// Whether the loop runs.
    pub(super) fn loop_lives(&mut self) -> bool {
        self.console.as_mut().is_some_and(|console| console.ended().is_none())
    }

    /// Waits, at most three minutes, until `ready`.
    #[track_caller]
    pub(super) fn wait(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> bool) {
        for _ in 0..1_800 {
            if ready(self) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{what}: it did not happen\n{}", self.report());
    }

    /// The clearml.conf of an agent that was started by hand.
    pub(super) fn agents_conf(&self) -> PathBuf {
        std::fs::create_dir(self.path("agent")).unwrap();
        clearml_conf(&self.path("agent"), &self.served.url, "AGENTS-KEY", "agents-secret")
    }

    /// Enqueues such jobs with the real SDK: queue, name and seconds of each.
    pub(super) fn enqueue(&self, jobs: &[(&str, &str, u32)]) -> Vec<TaskId> {
        let conf = clearml_conf(&self.path("person"), &self.served.url, "CONSOLE-KEY", "console-secret");
        jobs::enqueue(&conf, &self.path("runs"), jobs)
    }

    /// Enqueues such jobs, queue and name of each, that run until `end_jobs`.
    pub(super) fn enqueue_endless(&self, jobs: &[(&str, &str)]) -> Vec<TaskId> {
        let (runs, end) = (self.path("runs"), self.path("end"));
        let (runs, end) = (runs.display(), end.display());
        let script = |name| {
            format!("echo start {name} >>{runs}\nuntil [ -e {end} ]; do sleep 0.2; done\necho end {name} >>{runs}\n")
        };
        jobs.iter().map(|(queue, name)| self.served.enqueue_shell(queue, &script(name))).collect()
    }

    /// Lets the jobs end that run until then.
    pub(super) fn end_jobs(&self) {
        write(&self.path("end"), "");
    }

    /// How often each job began and ended, by its own trace.
    pub(super) fn runs(&self) -> BTreeMap<String, (u32, u32)> {
        jobs::runs(&self.path("runs"))
    }

    /// The journal, newest first.
    pub(super) fn journal(&self) -> String {
        self.tidegate(&["journal", "--limit", "1000"]).out
    }

    /// Everything that helps to understand a failure.
    pub(super) fn report(&self) -> String {
        let mut parts = Vec::new();
        for what in ["status", "queues", "instances", "plan", "journal"] {
            let Said { out, err, .. } = self.tidegate(&[what]);
            parts.push(format!("--- {what}\n{out}{err}"));
        }
        parts.push(format!("--- EC2\n{:#?}", self.ec2.machines()));
        parts.push(format!("--- runs\n{:?}", self.runs()));
        let loop_said = self.console.as_ref().map(Group::written).unwrap_or_default();
        parts.push(format!("--- the loop\n{loop_said}\n{}", self.log()));
        parts.push(self.hypervisor.written());
        parts.join("\n")
    }

    /// The program's own log.
    fn log(&self) -> String {
        let files = std::fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        let logs = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ext| ext == "log"));
        logs.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
    }
}

//! The loop as a service: told to a service manager, measured, probed, followed, told of to people, and watched by
//! screens from outside.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use portable_pty::CommandBuilder;
use serde_json::Value;

use crate::console::terminal::Terminal;
use crate::support::face::Served;
use crate::support::process::{Group, eventually, free_port, write};
use crate::support::told::told;

pub(super) const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"
[clearml.agents]
credentials = "env:AGENTS"
[loop]
fleet = "lab"
poll = "1s"
metrics = "127.0.0.1:PORT"
[notify.team]
on = ["settings", "alarm"]
command = ["tee", "-a", "HEARD"]
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
max = 4
"#;

/// A loop without a screen, its ClearML server, and no cloud that answers.
pub(super) struct Service {
    pub(super) served: Served,
    folder: tempfile::TempDir,
    port: u16,
    /// Where EC2 is.
    ec2: String,
    pub(super) group: Option<Group>,
}

impl Service {
    fn new() -> Self {
        Self::on(SETTINGS, "http://127.0.0.1:9")
    }

    pub(super) fn on(settings: &str, ec2: &str) -> Self {
        let (served, folder) = (Served::start(&["train"]), tempfile::tempdir().unwrap());
        let service = Self { served, folder, port: free_port(), ec2: ec2.to_owned(), group: None };
        service.set_up(settings);
        service
    }

    fn set_up(&self, settings: &str) {
        let heard = self.path("heard").display().to_string();
        let settings = settings.replace("API_SERVER", &self.served.url).replace("HEARD", &heard);
        // At once, as an editor does: half a file would be a problem of its own.
        write(&self.path("new.toml"), &settings.replace("PORT", &self.port.to_string()));
        std::fs::rename(self.path("new.toml"), self.path("tidegate.toml")).unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let text = |path: PathBuf| path.display().to_string();
        [
            ("HOME", text(self.folder.path().to_owned())),
            ("USER", "ann".to_owned()),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("TIDEGATE_CONFIG", text(self.path("tidegate.toml"))),
            ("TIDEGATE_STATE_DIR", text(self.path("state"))),
            ("CONSOLE", "CONSOLE-KEY:console-secret".to_owned()),
            ("AGENTS", "AGENTS-KEY:agents-secret".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL_EC2", self.ec2.clone()),
            ("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).env_clear().envs(self.environment());
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(super) fn start(mut self) -> Self {
        self.begin(self.command(&["run", "--headless"]));
        self
    }

    fn begin(&mut self, command: Command) {
        let mut group = Group::start("run --headless", command, &self.path("run.log"));
        // `status` would answer without a loop too.
        let socket = self.path("state/tidegate.sock");
        group.wait_for("the loop listens", || UnixStream::connect(&socket).is_ok());
        group.wait_for("an answer", || self.run(&["status", "--json"]).status.success());
        self.group = Some(group);
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        told(arguments[0], output.stdout)
    }

    /// The status and the body of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: tidegate\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn heard(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&std::fs::read(self.path("heard")).unwrap_or_default()).into_owned();
        // Each notice is one JSON text.
        serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap()
    }
}

#[test]
fn a_service_manager_hears_when_it_is_ready_reloads_and_stops() {
    let mut service = Service::new();
    let socket = service.path("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut told = String::new();
    let mut until = |word: &str| {
        while !told.contains(word) {
            let mut bytes = [0; 4096];
            let count = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("no {word} ({error}) in {told}"));
            told.push_str(&String::from_utf8_lossy(&bytes[..count]));
            told.push('\n');
        }
        std::mem::take(&mut told)
    };
    let mut command = service.command(&["run", "--headless"]);
    command.env("NOTIFY_SOCKET", &socket);
    service.begin(command);
    until("READY=1");
    assert!(until("STATUS=").contains("STATUS=DRY RUN: 0 tasks wait, 0 machines, $0.00/h"));
    service.set_up(&SETTINGS.replace("max = 4", "max = 5"));
    let group = service.group.as_ref().unwrap();
    group.signal_leader("HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    let why = service.run(&["why", "train"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("train"), "{why:?}");
    eventually("the new settings run", 3_600, || {
        let journal = service.json(&["journal", "--json"]).to_string();
        journal.contains("the settings were changed on disk")
    });
    let group = service.group.as_mut().unwrap();
    group.signal_leader("TERM");
    until("STOPPING=1");
    eventually("it ends", 3_600, || group.ended().is_some_and(|status| status.success()));
}

#[test]
fn it_is_measured_and_probed() {
    let service = Service::new().start();
    eventually("it hears ClearML", 3_600, || service.get("/readyz") == (200, "ok\n".to_owned()));
    assert_eq!(service.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/nothing").0, 404);
    service.served.enqueue_shell("train", "true");
    let waiting = "tidegate_queue_tasks_waiting{queue=\"train\"} 1.0";
    eventually("the task is measured", 3_600, || service.get("/metrics").1.contains(waiting));
    let (_, text) = service.get("/metrics");
    assert!(text.contains("tidegate_armed 0.0\n") && text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("tidegate_source_stale{source=\"aws us-east-1\"} 1.0\n"), "no cloud answers: {text}");
    // What the server lost is not read as nothing.
    let stale = |service: &Service| service.get("/readyz");
    let Service { served, folder, port, ec2, group } = service;
    drop(served);
    let rest = Service { served: Served::start(&[]), folder, port, ec2, group };
    eventually("it is not ready", 2_400, || stale(&rest).0 == 503);
    assert!(stale(&rest).1.starts_with("clearml has not answered lately"), "{}", stale(&rest).1);
    assert_eq!(rest.get("/livez").0, 200, "it lives all the same");
}

#[test]
fn the_journal_is_followed_a_line_each() {
    let service = Service::new().start();
    let log = service.path("follow.log");
    let mut follow = Group::start("journal --follow", service.command(&["journal", "--follow", "--json"]), &log);
    follow.wait_for("the first line", || !std::fs::read(&log).unwrap().is_empty());
    assert!(service.run(&["set", "queue.train.max", "3"]).status.success());
    follow.wait_for("the edit", || follow_lines(&log).iter().any(|line| line["line"]["kind"] == "edited"));
    let lines = follow_lines(&log);
    let edit = lines.iter().find(|line| line["line"]["kind"] == "edited").unwrap();
    assert_eq!((&edit["version"], &edit["line"]["by"]), (&Value::from(1), &Value::from("ann")));
    assert!(edit["line"]["text"].as_str().unwrap().contains("queue.train.max = 3"), "{edit}");
    service.group.as_ref().unwrap().signal_leader("TERM");
    let mut code = None;
    eventually("it ends with the loop", 3_600, || {
        code = follow.ended().and_then(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(4), "{}", follow.written());
}

fn follow_lines(log: &std::path::Path) -> Vec<Value> {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    // The last line may not be whole yet.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole.lines().map(|line| told("journal-line", line)).collect()
}

#[test]
fn people_are_told_of_what_happens_once() {
    let service = Service::new().start();
    let tested = service.run(&["notify", "team", "--event", "budget"]);
    assert_eq!(String::from_utf8_lossy(&tested.stdout), "team: told\n", "{tested:?}");
    assert_eq!(service.heard()[0]["event"], "budget");
    let unknown = service.run(&["notify", "taem"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `team`?"), "{unknown:?}");
    let broken = SETTINGS.replace("max = 4", "max = \"four\"");
    service.set_up(&broken);
    let of = |event: &str| service.heard().iter().filter(|notice| notice["event"] == event).count();
    eventually("the broken settings are told", 3_600, || of("settings") == 1);
    let notice = service.heard().into_iter().find(|notice| notice["event"] == "settings").unwrap();
    assert_eq!((&notice["version"], &notice["fleet"]), (&Value::from(1), &Value::from("lab")));
    assert!(notice["text"].as_str().unwrap().contains("four"), "{notice}");
    service.set_up(SETTINGS);
    eventually("they are mended", 3_600, || {
        service.json(&["status", "--json"])["status"]["settings_problem"].is_null()
    });
    service.set_up(&broken);
    eventually("they are broken again", 3_600, || {
        !service.json(&["status", "--json"])["status"]["settings_problem"].is_null()
    });
    assert_eq!(of("settings"), 1, "it flaps");
    // One who cannot be told is not told, and the journal says so.
    service.set_up(&SETTINGS.replace("\"tee\", \"-a\", \"HEARD\"", "\"/no/such/pager\""));
    let failed = service.run(&["notify"]);
    assert_eq!(failed.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("`/no/such/pager` cannot be run"), "{failed:?}");
}

/// A screen through something that takes a host and a command, as ssh does.
#[test]
fn a_screen_from_afar_sees_the_loop_across_its_restart() {
    let mut service = Service::new().start();
    let ssh = service.path("reach");
    write(&ssh, "#!/bin/sh\n[ \"$1\" = gate.example.com ] || exit 255\nshift\nexec \"$@\"\n");
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tidegate"));
    let program = env!("CARGO_BIN_EXE_tidegate");
    command.args(["attach", "gate.example.com", "--ssh", ssh.to_str().unwrap(), "--remote", program]);
    command.args(["--state-dir", service.path("state").to_str().unwrap()]);
    command.env_clear();
    for (name, value) in service.environment() {
        command.env(name, value);
    }
    command.env("LANG", "C.UTF-8");
    command.env("TERM", "xterm-256color");
    let mut screen = Terminal::start(command, "train");
    screen.until("where the loop is", |text| text.contains("ATTACHED: gate.example.com"));
    service.group = None;
    screen.until("that it went away", |text| text.contains("NO LOOP") && text.contains("connecting anew"));
    service = service.start();
    screen.until("the loop again", |text| text.contains("DRY RUN") && text.contains("train"));
    screen.press(":");
    for key in "set queue.train.max 2\r".chars() {
        screen.press(&key.to_string());
    }
    eventually("the edit", 3_600, || service.json(&["journal", "--json"]).to_string().contains("queue.train.max = 2"));
    let journal = service.json(&["journal", "--json"]).to_string();
    assert!(journal.contains("\"by\":\"ann@"), "{journal}");
    screen.press("q");
    screen.ended();
    assert!(service.run(&["status"]).status.success(), "the loop goes on");
}

//! A team that stores and shows no names: a loop with pseudonyms, whose store, log, journal, spend, metrics, events and
//! notices are searched for the names that ClearML has; and what a user's budget does where the key comes, or is another.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tidegate::engine::command::Command as Asked;
use tidegate::engine::event::Answer;
use tidegate::engine::socket::Client;
use tidegate::model::ids::{TaskId, WorkerId};
use tidegate::model::tasks::{NamedTask, TaskDeed};
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::{ClearmlServer, NewTask, Report, Said, UserId};

use crate::custom::write;
use crate::support::face::Served;
use crate::support::process::{Group, clear_of_midnight, eventually, free_port};
use crate::support::told::told;

const SETTINGS: &str = r#"[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"
[clearml.agents]
credentials = "env:AGENTS"
[loop]
fleet = "lab"
poll = "1s"
metrics = "127.0.0.1:PORT"
KEYS
[notify.team]
on = ["budget", "alarm"]
command = ["tee", "-a", "HEARD"]
[account.here]
program = "PROGRAM"
[[budget]]
name = "grant"
scope = "user:Liddell"
per = "month"
limit = "$5"
at = { "50%" = "warn" }
[queue.train]
pools = ["cores"]
[pool.cores]
provider = "exec"
account = "here"
types = ["process"]
price = "$3600/h"
machine_vcpu = 2
cpu_only = true
max = 4
"#;

/// Machines that are lines of a file.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import json, os, sys, time
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "machines.json")
def known():
    return json.load(open(FILE)) if os.path.exists(FILE) else {}
def keep(machines):
    with open(FILE + ".new", "w") as file:
        json.dump(machines, file)
    os.replace(FILE + ".new", FILE)
for line in sys.stdin:
    asked, machines = json.loads(line), known()
    ok = {}
    if asked["call"] == "hello":
        ok = {"version": 1, "name": "lines", "calls": ["list", "launch", "terminate"]}
    elif asked["call"] == "list":
        ok = {"machines": list(machines.values())}
    elif asked["call"] == "launch":
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for one in asked["machines"]:
            facts = dict(id=one["id"], type=asked["type"], state="running", launched=now, tags=one["tags"])
            machines.setdefault(one["id"], facts)
        keep(machines)
        ok = {"machines": [{"id": one["id"], "launched": machines[one["id"]]["launched"]} for one in asked["machines"]]}
    print(json.dumps({"id": asked["id"], "ok": ok}), flush=True)
"#;

const ALICE: &str = "Liddell";
const BOB: &str = "Hatter";
const KEY: &str = "a key that nobody guesses";
const OTHER_KEY: &str = "another one of next year";

/// A loop on machines that are lines, and its ClearML server, where Liddell and Hatter have tasks.
struct Team {
    served: Served,
    folder: tempfile::TempDir,
    port: u16,
    running: Option<Group>,
    /// The agents of machines, and what each reports.
    agents: RefCell<Vec<(WorkerId, Report)>>,
}

impl Team {
    fn new() -> Self {
        clear_of_midnight();
        let team = Self {
            served: Served::start(&["train"]),
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            running: None,
            agents: RefCell::default(),
        };
        write(&team.path("draft"), PROGRAM);
        // By another process: a file that this one wrote may be busy.
        let copied =
            Command::new("install").args(["-m", "700"]).args([team.path("draft"), team.path("lines.py")]).status();
        assert!(copied.unwrap().success());
        for user in [ALICE, BOB] {
            team.served.server().add_user(Clock::Wall.now(), user);
        }
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the settings with these lines in [loop], and what the file of each key holds.
    fn set_up(&self, keys: &str) {
        write(&self.path("key"), KEY);
        write(&self.path("other"), OTHER_KEY);
        let shown = |name: &str| self.path(name).display().to_string();
        let keys = keys.replace("OTHER", &shown("other")).replace("KEY", &shown("key"));
        let text = SETTINGS.replace("API_SERVER", &self.served.url).replace("PORT", &self.port.to_string());
        let text = text.replace("PROGRAM", &shown("lines.py")).replace("HEARD", &shown("heard")).replace("KEYS", &keys);
        write(&self.path("tidegate.toml"), &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .env("USER", "ann");
        command.env("TIDEGATE_CONFIG", self.path("tidegate.toml")).env("TIDEGATE_STATE_DIR", self.path("state"));
        command.env("CONSOLE", "CONSOLE-KEY:console-secret").env("AGENTS", "AGENTS-KEY:agents-secret");
        command
    }

    /// The agents go on: who is silent for long is lost, however slow the host is.
    fn report(&self) {
        for (worker, report) in self.agents.borrow().iter() {
            let (now, agents) = (Clock::Wall.now(), ClearmlServer::agents());
            self.served.server().status_report(now, &agents, worker, report.clone()).unwrap();
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.report();
        self.command(arguments).output().unwrap()
    }

    /// What a subcommand says, whole.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }

    fn json(&self, arguments: &[&str]) -> Value {
        told(arguments[0], self.text(arguments))
    }

    fn start(&mut self) {
        let mut group = Group::start("run --headless", self.command(&["run", "--headless"]), &self.path("run.log"));
        group.wait_for("an answer", || self.run(&["status", "--json"]).status.success());
        group.wait_for("the lead", || self.run(&["arm", "--yes"]).status.success());
        self.running = Some(group);
    }

    fn stop(&mut self) {
        let mut group = self.running.take().unwrap();
        group.signal_leader("TERM");
        eventually("the loop ends", 3_600, || group.ended().is_some());
    }

    /// A task of a user's, at the end of the queue.
    fn task(&self, user: &str, name: &str) -> TaskId {
        let (queue, now) = (self.served.queue("train"), Clock::Wall.now());
        let mut server = self.served.server();
        let user = UserId::new(format!("__{user}__"));
        let task = server.create_task(now, NewTask::new(name, user)).unwrap();
        server.enqueue(now, &ClearmlServer::console(), &task, &queue, Said::default(), false).unwrap();
        task
    }

    fn machines(&self) -> Vec<String> {
        let Ok(text) = std::fs::read_to_string(self.path("machines.json")) else { return Vec::new() };
        let known: Value = serde_json::from_str(&text).unwrap();
        known.as_object().unwrap().keys().cloned().collect()
    }

    /// Waits until there are so many machines.
    fn until_machines(&self, count: usize) -> Vec<String> {
        eventually("the machines", 3_600, || {
            self.report();
            self.machines().len() >= count
        });
        self.machines()
    }

    /// The agent of a machine takes the first task of the queue.
    fn takes(&self, machine: &str) -> TaskId {
        let (queue, now, agents) = (self.served.queue("train"), Clock::Wall.now(), ClearmlServer::agents());
        let worker = WorkerId::new(format!("lab:cores:process:{machine}"));
        let mut server = self.served.server();
        server.register_worker(now, &agents, &worker, vec![queue.clone()], None).unwrap();
        let task = server.next_task(now, &queue, None).unwrap().unwrap().task;
        server.started(now, &agents, &task, Said::default(), false).unwrap();
        let report = Report { task: Some(task.clone()), queue: Some(queue), ..Report::default() };
        server.status_report(now, &agents, &worker, report.clone()).unwrap();
        self.agents.borrow_mut().push((worker, report));
        task
    }

    /// What the budget has spent, in micro-dollars.
    fn spent(&self) -> i64 {
        self.json(&["status", "--json"])["status"]["budgets"][0]["spent_microusd"].as_i64().unwrap()
    }

    fn until_spent(&self) {
        eventually("the budget is spent", 3_600, || self.spent() >= 5_000_000);
    }

    /// Her waiting task has no machine started for it, and his has.
    fn only_bob_gets_a_machine(&self) {
        let before = self.machines().len();
        self.task(ALICE, "second looking-glass");
        eventually("her budget is what keeps her task waiting", 3_600, || {
            self.text(&["why", "train"]).contains("grant")
        });
        assert_eq!(self.machines().len(), before);
        self.task(BOB, "tea party");
        assert_eq!(self.until_machines(before + 1).len(), before + 1);
    }

    fn pseudonym(&self, arguments: &[&str]) -> String {
        self.text(&[&["pseudonym"], arguments].concat()).trim_end().to_owned()
    }

    fn metrics(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: tidegate\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// A person moves the first task that waits to the front, as the screen has it done.
    fn moves_a_task(&self) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::connect(&self.path("state")).await.unwrap();
            let Answer::Tasks(tasks) = client.ask("ann".into(), Asked::Tasks("train".into())).await.unwrap() else {
                panic!("no tasks");
            };
            let view = client.view().await.unwrap();
            let said = format!("{tasks:?} {}", serde_json::to_string(&*view).unwrap());
            let first = tasks.into_iter().find(tidegate::model::tasks::QueuedTask::is_waiting).unwrap();
            let tasks = vec![NamedTask { id: first.id, name: first.name }];
            let deed = Asked::TaskDeed { queue: "train".into(), tasks, deed: TaskDeed::ToFront };
            client.ask("ann".into(), deed).await.unwrap();
            said
        })
    }
}

/// Every file below a folder, with what it holds.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

const NAMES: [&str; 5] = [ALICE, BOB, "rabbit", "looking-glass", "tea party"];

#[test]
fn no_name_is_stored_shown_or_told_and_the_budget_of_a_user_binds() {
    let mut team = Team::new();
    team.set_up("pseudonyms = \"file:KEY\"");
    assert!(team.text(&["pseudonym", ALICE, BOB]).lines().all(|line| line.starts_with("user-")));
    team.start();
    team.task(ALICE, "white rabbit");
    let first = team.until_machines(1);
    team.takes(&first[0]);
    team.until_spent();
    team.only_bob_gets_a_machine();
    let task = team.pseudonym(&["--task", "second looking-glass"]);
    let shown = team.moves_a_task();
    assert!(shown.contains(&task), "{shown}");
    // What is written in the settings as a name is told as a pseudonym, in the journal too.
    let edited = team.text(&["set", "budget.\"grant\".scope", &format!("user:{BOB}")]);
    assert!(std::fs::read_to_string(team.path("tidegate.toml")).unwrap().contains(&format!("\"user:{BOB}\"")));
    eventually("people hear of the budget", 3_600, || team.path("heard").exists());
    let live: Vec<String> = [
        vec!["status", "--json"],
        vec!["queues", "--json"],
        vec!["instances", "--json"],
        vec!["plan", "--json"],
        vec!["why", "train"],
        vec!["spend", "--json"],
        vec!["journal", "--json", "--limit", "500"],
    ]
    .iter()
    .map(|arguments| team.text(arguments))
    .chain([team.metrics(), shown, edited])
    .collect();
    team.stop();
    let mut searched = files(&team.path("state"));
    assert!(!searched.iter().any(|(path, _)| path.ends_with("tidegate.sqlite-wal")), "its end closes the store");
    let alone = [team.text(&["spend", "--json"]), team.text(&["journal", "--json"])];
    let (user, journal) = (team.pseudonym(&[ALICE]), &alone[1]);
    assert!(alone[0].contains(&user), "she is charged: {}", alone[0]);
    assert!(journal.contains(&task), "what was done with her task is told: {journal}");
    searched.extend(files(&team.path("state")));
    assert!(searched.iter().any(|(path, bytes)| path.ends_with("tidegate.sqlite") && holds(bytes, &user)));
    searched.extend(["heard", "run.log"].map(|name| (team.path(name), std::fs::read(team.path(name)).unwrap())));
    searched.extend(live.into_iter().chain(alone).map(|text| (PathBuf::from("said"), text.into_bytes())));
    for (path, bytes) in &searched {
        for name in NAMES {
            assert!(!holds(bytes, name), "{name} is in {}: {}", path.display(), String::from_utf8_lossy(bytes));
        }
        assert!(!holds(bytes, KEY), "the key is in {}", path.display());
    }
}

#[test]
fn a_budget_counts_on_where_pseudonyms_begin_and_where_the_key_is_another() {
    let mut team = Team::new();
    team.set_up("");
    team.start();
    team.task(ALICE, "white rabbit");
    let first = team.until_machines(1);
    team.takes(&first[0]);
    team.until_spent();
    assert!(team.text(&["spend", "--json"]).contains(ALICE));
    team.stop();
    assert!(files(&team.path("state")).iter().any(|(_, bytes)| holds(bytes, ALICE)), "the search finds what is there");
    // In mid-period: what is stored under her name counts, and is shown under her pseudonym.
    team.set_up("pseudonyms = \"file:KEY\"");
    team.start();
    let user = team.pseudonym(&[ALICE]);
    assert!(team.spent() >= 5_000_000);
    let shown = team.text(&["spend", "--json"]);
    assert!(shown.contains(&user) && !shown.contains(ALICE), "{shown}");
    // Whoever cannot read the key reads no name either.
    std::fs::remove_file(team.path("key")).unwrap();
    let shown = team.text(&["spend", "--json"]);
    assert!(shown.contains("user-unknown") && !shown.contains(ALICE), "{shown}");
    write(&team.path("key"), KEY);
    let known = team.machines();
    team.only_bob_gets_a_machine();
    // What the new machine takes is hers all the same, which is the first thing that is stored under her pseudonym.
    let machine = team.machines().into_iter().find(|machine| !known.contains(machine)).unwrap();
    team.takes(&machine);
    let before = team.spent();
    eventually("its first minute is charged", 3_600, || team.spent() >= before + 30_000_000);
    let spent = team.spent();
    team.stop();
    // With another key her money is nobody's, which is an alarm; with the one before beside it nothing is lost.
    team.set_up("pseudonyms = \"file:OTHER\"");
    team.start();
    let alarmed = || team.text(&["journal", "--json", "--limit", "100"]).contains("under pseudonyms of another key");
    eventually("the alarm", 3_600, alarmed);
    assert!(team.text(&["status", "--json"]).contains("another key"), "it stands");
    team.stop();
    team.set_up("pseudonyms = \"file:OTHER\"\npseudonyms_before = \"file:KEY\"");
    team.start();
    assert!(team.spent() >= spent, "{} of {spent}", team.spent());
    assert!(!team.text(&["status", "--json"]).contains("another key"));
    assert_ne!(team.pseudonym(&[ALICE]), user);
    team.stop();
}

#[test]
fn a_key_that_is_none_is_told_with_its_place() {
    let team = Team::new();
    team.set_up("pseudonyms = \"file:KEY\"");
    let check = |team: &Team| {
        let output = team.run(&["check"]);
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check(&team);
    assert!(code == Some(0) && said.contains("users and tasks have pseudonyms"), "{said}");
    for (held, why) in [("", "0 letters"), ("hush hush", "9 letters")] {
        write(&team.path("key"), held);
        let (code, said) = check(&team);
        let place = format!("{}:10:14: loop.pseudonyms: the key has {why}", team.path("tidegate.toml").display());
        assert!(code == Some(3) && said.contains(&place) && !said.contains("hush"), "{said}");
    }
    std::fs::remove_file(team.path("key")).unwrap();
    let (code, said) = check(&team);
    assert!(code == Some(3) && said.contains("loop.pseudonyms: ") && said.contains("cannot be read"), "{said}");
    team.set_up("");
    let (code, said) = check(&team);
    assert!(code == Some(0) && said.contains("users and tasks have their names"), "{said}");
    let output = team.run(&["pseudonym", ALICE]);
    assert_eq!(output.status.code(), Some(2));
}

//! A team's consoles on one database: what the one that watches is asked is done by the one that leads, once, under the
//! name of who asked.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::leaders::{Process, Rig, SETTINGS};
use crate::support::postgres::Postgres;
use crate::support::process::{A_MINUTE, Group, eventually};

/// Orders during each of which the leader is killed.
const KILLED: u64 = 8;

/// Milliseconds between signs of life, and of silence after which another takes over: not within a test.
const PATIENT: &str = "150,600000";
/// The same where the next one comes soon, and before an order lapses; a loaded machine gives the leader its turn within
/// them, and nobody takes over by chance.
const QUICK: &str = "300,6000";
/// The same where one take-over comes at the end, and none before.
const SELDOM: &str = "300,10000";

struct Team {
    rig: Rig,
    _postgres: Postgres,
}

impl Team {
    fn new() -> Self {
        let postgres = Postgres::start();
        let store = format!("fleet = \"lab\"\nstore = \"{}\"", postgres.address());
        let settings = SETTINGS.replace("fleet = \"lab\"", &store);
        Self { rig: Rig::with(&settings, "http://127.0.0.1:9"), _postgres: postgres }
    }

    fn leads(&self, console: &Process) {
        eventually("it leads", A_MINUTE, || self.rig.status(console)["term"].is_number());
    }

    fn watches(&self, console: &Process, who: &str) {
        eventually("it watches, and says who leads", A_MINUTE, || {
            self.rig.status(console)["led_by"].as_str().is_some_and(|led_by| led_by.starts_with(who))
        });
    }

    fn run(&self, console: &Process, arguments: &[&str]) -> Output {
        self.rig.command(console.name, arguments).output().unwrap()
    }

    /// Who is in the journal with this text.
    fn whose(&self, console: &Process, text: &str) -> Vec<String> {
        let output = self.run(console, &["journal", "--json", "--limit", "5000"]);
        let journal: Value = serde_json::from_slice(&output.stdout).unwrap();
        let lines = journal["journal"].as_array().unwrap().iter().filter(|line| line["text"] == text);
        lines.map(|line| line["by"].as_str().unwrap().to_owned()).collect()
    }
}

fn code(output: &Output) -> (Option<i32>, String) {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn host() -> String {
    String::from_utf8(Command::new("uname").arg("-n").output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn who_leads_does_what_a_watcher_is_asked_and_answers() {
    let team = Team::new();
    let ann = team.rig.start_with("ann", PATIENT);
    team.leads(&ann);
    let bo = team.rig.start_with("bo", PATIENT);
    team.watches(&bo, "ann");
    assert_eq!(code(&team.run(&bo, &["arm", "--yes"])), (Some(0), "armed: the loop acts\n".to_owned()));
    assert_eq!(team.rig.status(&ann)["armed"], Value::Bool(true));
    let (refused, said) = code(&team.run(&bo, &["drain", "i-none"]));
    assert_eq!(refused, Some(2), "{said}");
    let (done, said) = code(&team.run(&bo, &["set", "limits.max", "3"]));
    assert_eq!((done, said.contains("limits.max = 3")), (Some(0), true), "{said}");
    for console in [&ann, &bo] {
        let by = format!("bo@{}", host());
        assert_eq!(team.whose(console, "armed: the loop acts"), [by.as_str()]);
        assert_eq!(team.whose(console, "limits.max = 3"), [by]);
    }
}

#[test]
fn who_watches_hears_each_line_of_the_shared_journal_once() {
    let team = Team::new();
    let ann = team.rig.start_with("ann", SELDOM);
    team.leads(&ann);
    let bo = team.rig.start_with("bo", SELDOM);
    team.watches(&bo, "ann");
    let folder = tempfile::tempdir().unwrap();
    let follow = team.rig.command("bo", &["journal", "--follow"]);
    let follow = Group::start("follow", follow, &folder.path().join("heard"));
    let until = |text: &str, times: usize| {
        let count = || follow.written().lines().filter(|line| line.contains(text)).count();
        eventually(text, A_MINUTE, || count() >= times);
        assert_eq!(count(), times, "{text}: {}", follow.written());
    };
    until("this console leads, in term 1", 1);
    for (times, asked) in [(1, &ann), (2, &bo), (3, &ann)] {
        assert_eq!(team.run(asked, &["pause"]).status.code(), Some(0));
        until("paused: only what people ask for is done", times);
        assert_eq!(team.run(asked, &["resume"]).status.code(), Some(0));
        until("resumed", times);
    }
    drop(ann);
    until("this console takes over", 1);
    assert_eq!(team.run(&bo, &["pause"]).status.code(), Some(0));
    until("paused: only what people ask for is done", 4);
    until("resumed", 3);
}

#[test]
fn an_order_that_nobody_takes_lapses_and_is_never_done() {
    let team = Team::new();
    let ann = team.rig.start_with("ann", PATIENT);
    team.leads(&ann);
    let bo = team.rig.start_with("bo", PATIENT);
    team.watches(&bo, "ann");
    drop(ann);
    let (refused, said) = code(&team.run(&bo, &["pause"]));
    assert_eq!(refused, Some(5), "{said}");
    assert!(said.contains("the order lapsed: nobody who leads took it in 30 s"), "{said}");
    let ann = team.rig.start_with("ann", PATIENT);
    team.leads(&ann);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(team.rig.status(&ann)["paused"], Value::Bool(false));
}

/// Before it is posted, before it is taken, while it is done, or after.
#[test]
fn a_leader_that_is_killed_over_an_order_leaves_it_done_once_or_not_at_all() {
    let team = Team::new();
    let mut leader = team.rig.start_with("ann", QUICK);
    team.leads(&leader);
    let mut other = team.rig.start_with("bo", QUICK);
    let mut told = Vec::new();
    for round in 1..=KILLED {
        team.watches(&other, leader.name);
        let value = (100 + round).to_string();
        let mut set = team.rig.command(other.name, &["set", "limits.max", &value]);
        let asked = set.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(173 * round % 1_400));
        let killed = leader.name;
        drop(leader);
        told.push(code(&asked.wait_with_output().unwrap()));
        team.leads(&other);
        leader = std::mem::replace(&mut other, team.rig.start_with(killed, QUICK));
    }
    std::thread::sleep(Duration::from_secs(2));
    for (round, (code, said)) in (1..=KILLED).zip(&told) {
        let done = team.whose(&leader, &format!("limits.max = {}", 100 + round)).len();
        println!("order {round}: {code:?}, {} in the journal: {}", done, said.trim());
        if *code == Some(0) {
            assert_eq!(done, 1, "{said}");
        } else {
            assert_eq!(*code, Some(5), "{said}");
            assert!(done <= 1, "{said}");
            assert!(said.contains("it is not done again") || done == 0, "{said}");
        }
    }
    assert!(told.iter().any(|(code, _)| *code == Some(0)), "{told:?}");
}

//! Scripts are scored by the replay like any policy.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::custom::{example, program, write};

const EXAMPLES: [&str; 5] =
    ["night.rhai", "fair_shares.rhai", "projects_first.rhai", "spot_until.rhai", "gpu_quota.rhai"];

/// Where the scores of a week stand, between two lines.
const PAGE: &str = "assets/POLICIES.md";
const MARK: &str = "<!-- the week -->\n";

/// A synthetic week: each working day Ann's sweep of forty, Bob's single jobs, what production needs, and long ones for the
/// night; short ones of Eve's on another queue, and little at the weekend.
fn week() -> String {
    let (mut jobs, hour) = (Vec::new(), 3_600);
    let mut add = |at: i64, minutes: i64, queue: &str, user: &str, project: &str| {
        // No two alike: up to seven minutes more, and up to a quarter longer.
        let luck = (at / 7 + minutes * 13).rem_euclid(421);
        jobs.push((
            at + luck,
            minutes * 60 + minutes * 15 * luck / 421,
            queue.to_owned(),
            user.to_owned(),
            project.to_owned(),
        ));
    };
    for day in 0..7 {
        // The simulated time begins on a Thursday.
        let (noon, works) = (day * 24 * hour + 12 * hour, day != 2 && day != 3);
        for job in 0..if works { 40 } else { 4 } {
            add(noon - 2 * hour + job * 9, 45, "train", "ann", "vision");
        }
        for job in 0..if works { 8 } else { 2 } {
            add(noon - 3 * hour + job * hour, 50, "train", "bob", "speech");
        }
        for job in 0..if works { 5 } else { 0 } {
            add(noon - 90 * 60 + job * 70 * 60, 30, "train", "cyd", "production");
        }
        for job in 0..if works { 6 } else { 3 } {
            add(noon + 9 * hour + job * 300, 150, "train", "dan", "paper-deadline");
        }
        for job in 0..if works { 12 } else { 3 } {
            add(noon - 3 * hour + job * 40 * 60, 8, "eval", "eve", "vision");
        }
    }
    jobs.sort();
    let rows =
        jobs.iter().map(|(at, takes, queue, user, project)| format!("{at},{takes},1,{queue},{user},{project}\n"));
    format!("submit_s,duration_s,gpus,queue,user,project\n{}", rows.collect::<String>())
}

/// A morning's sweep, a job a minute after it.
fn morning() -> String {
    let sweep = (0..20).map(|job| format!("{},{},1,train,ann\n", job * 7, 300 + job * 20));
    let later = (1..30).map(|job| format!("{},600,1,train,bob\n", 3_600 + job * 60));
    format!("submit_s,duration_s,gpus,queue,user\n{}", sweep.chain(later).collect::<String>())
}

fn replay(policies: &[String]) -> (Option<i32>, String, String) {
    replay_of(&morning(), &["--json"], policies)
}

fn replay_of(trace: &str, more: &[&str], policies: &[String]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.csv");
    write(&file, trace);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["replay", "--seeds", "1"]).args(more).arg(file);
    for policy in policies {
        command.args(["--policy", policy]);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn script(path: &Path) -> String {
    format!("script:{}", path.display())
}

#[test]
fn examples_are_scored_and_what_they_hold_back_shows() {
    let policies: Vec<String> =
        ["tidegate".to_owned()].into_iter().chain(EXAMPLES.map(|name| script(&example(name)))).collect();
    let (code, json, err) = replay(&policies);
    assert_eq!(code, Some(0), "{err}");
    let line: serde_json::Value = serde_json::from_str(&json).unwrap();
    let scores = line["traces"][0]["policies"].as_array().unwrap();
    assert_eq!(scores.len(), policies.len());
    for score in scores {
        assert_eq!((&score["violations"], &score["busy_kills"]), (&0.into(), &0.into()), "{score}");
    }
    let wait = |place: usize| scores[place]["wait_mean_s"].as_f64().unwrap();
    // The trace begins at midnight: 20 at a time is enough.
    assert!(wait(1) < wait(0) * 1.5 + 60.0, "{json}");
}

#[test]
fn a_script_that_fails_is_no_score() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.rhai");
    write(&file, "let a = 1;\na + missing");
    let (code, _, err) = replay(&[script(&file)]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("own.rhai:2:5: Undefined variable: missing"), "{err}");
    let (code, _, err) = replay(&["script:".to_owned()]);
    assert_eq!(code, Some(2), "{err}");
}

/// The five of them on a week of which half the machines may be spot machines: what each does to cost, waiting and fairness.
#[test]
fn what_each_example_does_to_a_week_stands_on_the_page() {
    let policies: Vec<String> =
        ["tidegate".to_owned()].into_iter().chain(EXAMPLES.map(|name| script(&example(name)))).collect();
    let (code, json, err) = replay_of(&week(), &["--json", "--spot", "--mixed"], &policies);
    assert_eq!(code, Some(0), "{err}");
    let line: Value = serde_json::from_str(&json).unwrap();
    let scores = line["traces"][0]["policies"].as_array().unwrap();
    let of = |name: &str, figure: &str| {
        let place = EXAMPLES.iter().position(|example| *example == name).map_or(0, |place| place + 1);
        scores[place][figure].as_f64().unwrap()
    };
    let mut table = String::from(
        "| policy | total | mean wait | 95 of 100 wait at most | fairness | the worst user's mean wait |\n|---|---|---|---|---|---|\n",
    );
    for name in ["the loop's own"].into_iter().chain(EXAMPLES) {
        let _ = writeln!(
            table,
            "| {name} | ${:.2} | {:.0} s | {:.0} s | {:.3} | {:.0} s |",
            of(name, "total_usd"),
            of(name, "wait_mean_s"),
            of(name, "wait_p95_s"),
            of(name, "fairness"),
            of(name, "worst_user_wait_s")
        );
    }
    println!("{table}");
    for score in scores {
        let held = ["violations", "busy_kills", "unfinished"].map(|figure| score[figure].as_u64().unwrap());
        assert_eq!(held, [0, 0, 0], "{score}");
    }
    // Each does what it is for.
    assert!(of("night.rhai", "wait_mean_s") > 2.0 * of("", "wait_mean_s"), "two by day is little");
    assert!(of("fair_shares.rhai", "wait_mean_s") > of("", "wait_mean_s"), "a sweep waits for its share");
    assert!(of("projects_first.rhai", "total_usd") > of("", "total_usd"), "while production waits, on demand for all");
    assert!(of("spot_until.rhai", "total_usd") < of("", "total_usd"), "spot machines while nothing waits long");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = std::fs::read_to_string(&page).unwrap();
    let parts: Vec<&str> = text.split(MARK).collect();
    let [before, recorded, after] = parts[..] else { panic!("{PAGE} has no place for the week") };
    if std::env::var_os("TIDEGATE_REGENERATE").is_some() {
        write(&page, &[before, table.as_str(), after].join(MARK));
    } else {
        assert_eq!(recorded, table, "TIDEGATE_REGENERATE=1 writes it");
    }
}

#[test]
fn the_table_for_people_has_cost_waiting_and_fairness() {
    let policies = ["tidegate".to_owned(), script(&example("fair_shares.rhai"))];
    let (code, text, err) = replay_of(&morning(), &[], &policies);
    assert_eq!(code, Some(0), "{err}");
    println!("{text}");
    let head: Vec<&str> =
        text.lines().nth(1).unwrap().split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(["TOTAL $", "WAIT MEAN", "FAIR", "WORST USER"].iter().all(|name| head.contains(name)), "{head:?}");
    let (code, _, err) = replay_of(&morning(), &["--mixed"], &policies);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn a_program_is_scored_like_a_script() {
    let folder = tempfile::tempdir().unwrap();
    let file = program(folder.path(), "while True: say(ask(), None)");
    let (code, json, err) = replay(&["tidegate".to_owned(), format!("exec:{}", file.display())]);
    assert_eq!(code, Some(0), "{err}");
    let line: Value = serde_json::from_str(&json).unwrap();
    let [own, same] = &line["traces"][0]["policies"].as_array().unwrap()[..] else { panic!("{json}") };
    for figure in ["total_usd", "wait_mean_s", "fairness", "worst_user_wait_s", "launches"] {
        assert_eq!(own[figure], same[figure], "it leaves all to the loop");
    }
    program(folder.path(), "ask()\nsys.exit('out of coffee')");
    let (code, _, err) = replay(&[format!("exec:{}", file.display())]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("it ended (exit status: 1): out of coffee"), "{err}");
}

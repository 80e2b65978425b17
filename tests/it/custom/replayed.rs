//! Scripts are scored by the replay like any policy.

use std::process::Command;

use crate::custom::{example, write};

/// A morning's sweep, a job a minute after it.
fn morning() -> String {
    let sweep = (0..20).map(|job| format!("{},{},1,train,ann\n", job * 7, 300 + job * 20));
    let later = (1..30).map(|job| format!("{},600,1,train,bob\n", 3_600 + job * 60));
    format!("submit_s,duration_s,gpus,queue,user\n{}", sweep.chain(later).collect::<String>())
}

fn replay(policies: &[String]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("morning.csv");
    write(&file, &morning());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["replay", "--json", "--seeds", "1"]).arg(file);
    for policy in policies {
        command.args(["--policy", policy]);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn script(path: &std::path::Path) -> String {
    format!("script:{}", path.display())
}

#[test]
fn examples_are_scored_and_what_they_hold_back_shows() {
    let names = ["night.rhai", "fair_shares.rhai", "projects_first.rhai", "spot_until.rhai", "gpu_quota.rhai"];
    let policies: Vec<String> =
        ["tidegate".to_owned()].into_iter().chain(names.map(|name| script(&example(name)))).collect();
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

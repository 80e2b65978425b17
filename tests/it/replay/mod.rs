//! The replay as its users start it.

mod history;

use std::path::Path;
use std::process::Command;

/// A morning of one queue: a sweep of short jobs, then a long one.
fn morning() -> String {
    let sweep = (0..30).map(|job| format!("{},{},1,train,ann\n", job * 7, 300 + job * 20));
    let rows: String = sweep.chain(["7200,3600,4,large,bob\n".to_owned()]).collect();
    format!("submit_s,duration_s,gpus,queue,user\n{rows}")
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn replay(directory: &Path, trace: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = directory.join("morning.csv");
    std::fs::write(&file, trace).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("replay").args(arguments).arg(file).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", directory.display()), ""),
    )
}

#[test]
fn two_policies_are_scored_on_one_trace_for_people_and_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let policies = ["--policy", "tidegate:keep_alive=1m", "--policy", "clearml:poll=30s,idle=60s", "--seeds", "3"];
    let (code, text, err) = replay(directory.path(), &morning(), &policies);
    assert_eq!(code, Some(0), "{err}");
    assert!(text.contains("tidegate:keep_alive=1m") && text.contains("clearml:poll=30s,idle=60s"), "{text}");
    let (_, json, _) = replay(directory.path(), &morning(), &[&policies[..], &["--json"]].concat());
    let line: serde_json::Value = serde_json::from_str(&json).unwrap();
    let policies = line["traces"][0]["policies"].as_array().unwrap();
    for policy in policies {
        assert_eq!(
            (&policy["unfinished"], &policy["violations"], &policy["busy_kills"]),
            (&0.into(), &0.into(), &0.into())
        );
        assert!(
            policy["overhead_usd"].as_f64() > Some(0.0) && policy["clearml_calls"].as_f64() > Some(100.0),
            "{policy}"
        );
    }
    assert!(policies[0]["wait_mean_s"].as_f64() < policies[1]["wait_mean_s"].as_f64(), "{json}");
}

#[test]
fn what_cannot_be_replayed_is_said_with_its_line_and_nothing_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    for (trace, arguments, code, said) in [
        (morning() + "5,-1,1,train,ann\n", &[][..], 1, "morning.csv:33: duration_s is -1"),
        ("submit_s,gpus,queue,user\n".to_owned(), &[], 1, "morning.csv: there is no column duration_s"),
        (morning(), &["--policy", "clearmll"], 2, "there is no policy `clearmll`"),
        (morning(), &["--policy", "tidegate:keep_aliv=1m"], 2, "keep_alive"),
        (morning(), &["--policy", "tidegate:keep_alive=ten"], 2, "`ten` is not a duration"),
        (morning(), &["--seeds", "0"], 2, "0 is not in 1..=1000"),
    ] {
        let (exit, out, err) = replay(directory.path(), &trace, arguments);
        assert_eq!((exit, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

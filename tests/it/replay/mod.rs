//! The replay as its users start it.

mod history;
mod peer;
mod world;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::support::process::eventually;
use crate::support::told::told;

/// A morning of one queue: a sweep of short jobs, then a long one.
fn morning() -> String {
    let sweep = (0..30).map(|job| format!("{},{},1,train,ann\n", job * 7, 300 + job * 20));
    let rows: String = sweep.chain(["7200,3600,4,large,bob\n".to_owned()]).collect();
    format!("submit_s,duration_s,gpus,queue,user\n{rows}")
}

fn replay(directory: &Path, trace: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let file = directory.join("morning.csv");
    write(&file, trace);
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
    let line = told("replay", &json);
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

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[test]
fn another_cloud_is_a_file_and_its_mistakes_are_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cloud.toml");
    let with = |text: &str| {
        write(&file, text);
        replay(directory.path(), &morning(), &["--scenario", file.to_str().unwrap(), "--seeds", "1", "--json"])
    };
    let total = |json: &str| {
        let line: serde_json::Value = serde_json::from_str(json).unwrap();
        line["traces"][0]["policies"][0]["total_usd"].as_f64().unwrap()
    };
    let (_, standard, err) = with("");
    let (_, baked, _) = with("[boot]\ninstall = { median_s = 20, sigma = 0.1 }\n");
    assert!(total(&baked) < total(&standard), "{err}");
    for (text, said) in [
        ("poll_s = -1\n", "cloud.toml: poll_s is -1"),
        ("polls = 1\n", "unknown field `polls`"),
        ("\n[[class]]\ntype = \"x\"\ngpus = 1\nvcpu = 1\nprice = \"$0/h\"\ncap = 1\n", "the price of x is $0"),
    ] {
        let (code, out, err) = with(text);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{text}");
        assert!(err.contains(said), "{text}: {err}");
    }
}

#[test]
fn the_gates_are_one_table_and_a_failed_one_is_exit_1() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("traces");
    std::fs::create_dir(&folder).unwrap();
    let judged = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = command.args(["replay", "--seeds", "1", "--gates"]).arg(&folder).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = judged(&[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("there is no trace in it"), "{err}");
    write(&folder.join("morning.csv"), &morning());
    let (_, text, err) = judged(&[]);
    for gate in ["G1", "G2", "G3", "G4", "G5", "always", "honest", "calls", "p99 wait with idle-kill", "BEST KNOWN"] {
        assert!(text.contains(gate), "{gate}: {text}{err}");
    }
    let (code, json, err) = judged(&["--json"]);
    let line = told("gates", &json);
    let gates = line["gates"].as_array().unwrap();
    let failed = gates.iter().filter(|gate| gate["verdict"] == "fail").count();
    assert_eq!(code, Some(i32::from(failed > 0)), "{json}");
    assert_eq!(err.contains("gates fail"), failed > 0, "{err}");
    let always = gates.iter().filter(|gate| gate["gate"] == "always");
    assert_eq!(always.filter(|gate| gate["verdict"] == "pass").count(), 4, "{json}");
}

/// A policy that fails ends the replay at once, and a signal ends the policy with it.
#[test]
fn a_policy_s_program_ends_with_its_replay() {
    let directory = tempfile::tempdir().unwrap();
    let (file, said) = (directory.path().join("policy.sh"), directory.path().join("pid"));
    write(&file, "#!/bin/sh\necho $$ > pid.new\nmv pid.new pid\nexec sleep 600\n");
    std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    write(&directory.path().join("morning.csv"), &morning());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["replay", "--seeds", "1", "--policy", &format!("exec:{}", file.display())]);
    let mut replay = command.arg(directory.path().join("morning.csv")).spawn().unwrap();
    eventually("the policy runs", 3_600, || said.exists());
    let policy = std::fs::read_to_string(&said).unwrap();
    assert!(Command::new("kill").arg(replay.id().to_string()).status().unwrap().success());
    assert_eq!(replay.wait().unwrap().signal(), Some(15));
    // Of what ended and is not yet buried nothing is left but its number.
    let gone = || std::fs::read(format!("/proc/{}/cmdline", policy.trim())).map_or(true, |line| line.is_empty());
    eventually("the policy is ended, too", 3_600, gone);
}

#[test]
fn what_cannot_be_replayed_is_said_with_its_line_and_nothing_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    for (trace, arguments, code, said) in [
        (morning() + "5,-1,1,train,ann\n", &[][..], 1, "morning.csv:33: duration_s is -1"),
        ("submit_s,gpus,queue,user\n".to_owned(), &[], 1, "morning.csv: there is no column duration_s"),
        (morning(), &["--policy", "clearmll"], 2, "there is no policy `clearmll`"),
        (morning(), &["--policy", "tidegate:keep_aliv=1m"], 2, "keep_alive"),
        (morning(), &["--policy", "tidegate:keep_alive=ten"], 2, "`ten` is not `learned` or a duration"),
        (morning(), &["--seeds", "0"], 2, "0 is not in 1..=1000"),
        (morning(), &["--spot", "-1"], 2, "-1"),
        (morning(), &["--fault", "flood"], 2, "flood"),
    ] {
        let (exit, out, err) = replay(directory.path(), &trace, arguments);
        assert_eq!((exit, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

//! The program as people and scripts start it: its exit codes and what it writes where.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn tidegate(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(arguments)
        .env("TIDEGATE_STATE_DIR", state)
        .env("HOME", state)
        .env_remove("XDG_CONFIG_HOME")
        .stdin(Stdio::null());
    command
}

fn run(state: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = tidegate(state, arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn without_a_running_loop_orders_exit_with_4_and_say_what_to_run() {
    let state = tempfile::tempdir().unwrap();
    for arguments in [
        &["drain", "i-1"][..],
        &["stop", "i-1"],
        &["stop", "--all", "--yes"],
        &["hold", "i-1"],
        &["launch", "p4d"],
        &["pause"],
        &["resume"],
        &["arm", "--yes"],
        &["disarm"],
    ] {
        let (code, out, err) = run(state.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(4), ""), "{arguments:?}: {err}");
        assert!(err.contains("tidegate run --headless"), "{arguments:?}: {err}");
    }
}

#[test]
fn without_settings_it_says_where_it_looked_and_exits_with_3() {
    let state = tempfile::tempdir().unwrap();
    for arguments in
        [&[][..], &["status"], &["queues"], &["why"], &["check"], &["run", "--headless"], &["set", "limits.max", "3"]]
    {
        let (code, out, err) = run(state.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{arguments:?}: {err}");
        assert!(err.contains("tidegate.toml"), "{arguments:?}: {err}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    let state = tempfile::tempdir().unwrap();
    for arguments in [
        &["stop"][..],
        &["stop", "--all", "i-1"],
        &["hold", "i-1", "--for", "soon"],
        &["drain"],
        &["frobnicate"],
        &["set", "queue.train.max"],
        &["journal", "--since", "yesterday"],
        &["completions", "tcsh"],
    ] {
        let (code, out, err) = run(state.path(), arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
    }
}

#[test]
fn the_journal_is_read_from_the_store_without_a_loop() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(run(state.path(), &["journal"]).0, Some(4));
    std::fs::OpenOptions::new().create(true).append(true).open(state.path().join("tidegate.sqlite")).unwrap();
    let (code, out, err) = run(state.path(), &["journal", "--json"]);
    assert_eq!((code, out.as_str()), (Some(0), "{\"version\":1,\"journal\":[]}\n"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let state = tempfile::tempdir().unwrap();
    let mut child =
        tidegate(state.path(), &["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let state = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["stop", "--help"], &["man"]] {
        let (code, out, err) = run(state.path(), arguments);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(out.contains("tidegate"), "{arguments:?}: {out}");
        assert!(!out.contains('\u{1b}'), "no colour in a pipe");
    }
}

/// The old file's secrets do not leave it, what is written is what `check` takes, and no file is overwritten.
#[test]
fn an_autoscaler_s_file_is_brought_over_once() {
    let state = tempfile::tempdir().unwrap();
    let (old, new) = (state.path().join("aws_autoscaler.yaml"), state.path().join("new.toml"));
    crate::support::process::write(&old, include_str!("../../../src/cli/import/example.yaml"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let (code, out, err) = run(state.path(), &["import", old, "--output", new]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("AWS_SECRET_ACCESS_KEY") && !err.contains("hush"), "{err}");
    let (code, _, err) = run(state.path(), &["import", old, "--output", new]);
    assert_eq!(code, Some(1), "{err}");
    // There is no ClearML here; the settings themselves are right.
    let (_, out, err) = run(state.path(), &["check", "--config", new]);
    assert!(out.contains("is valid: fleet dynamic_worker-tidegate, 2 queues, 3 pools"), "{out}{err}");
    let (code, out, _) = run(state.path(), &["import", old]);
    assert_eq!((code, out), (Some(0), std::fs::read_to_string(new).unwrap()));
}

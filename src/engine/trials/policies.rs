//! A policy of the user's in the running loop: followed, read anew when it is edited, and done without when it fails.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Disk, SETTINGS, Trial};
use crate::model::advice::Advised;
use crate::model::journal::EntryKind;
use crate::model::record::Record;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A loop with three tasks, whose policy is this; the file, and the folder that it is in.
async fn with(script: &str) -> (Trial, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.rhai");
    write(&file, script);
    (asked(&file.display().to_string()).await, file, folder)
}

/// The same, whose policy is a program of these lines of Python.
async fn with_program(lines: &str) -> (Trial, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (draft, file) = (folder.path().join("draft"), folder.path().join("rules.py"));
    write(
        &draft,
        &format!(
            "#!/usr/bin/env python3\nimport json, sys, time\nfor line in sys.stdin:\n    asked = json.loads(line)\n{lines}\n"
        ),
    );
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o700)).unwrap();
    // A file that this process wrote may be busy: another forked meanwhile.
    assert!(std::process::Command::new("cp").arg("-p").args([&draft, &file]).status().unwrap().success());
    (asked(&format!("exec:{}", file.display())).await, folder)
}

async fn asked(policy: &str) -> Trial {
    let text = SETTINGS.replace("time_zone", &format!("policy = \"{policy}\"\ntime_zone"));
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let world = super::Scripted::new(clock, 3);
    let mut trial = Trial::start(world, disk, clock, SettingsFile::in_memory(&text).unwrap());
    trial.pass(30).await;
    trial
}

fn machines(trial: &Trial) -> usize {
    let snapshot = &trial.view().snapshot;
    snapshot.instances.len() + snapshot.intents.len()
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_followed_and_an_edit_counts_at_the_next_pass() {
    let (mut trial, file, _folder) = with("#{ veto: true, reason: \"not before nine\" }").await;
    assert_eq!(machines(&trial), 0);
    let refused = trial.view().plan.refusals.iter().map(|refusal| refusal.reason.to_string()).collect::<Vec<_>>();
    assert!(refused.iter().any(|said| said.ends_with("3 wait on: not before nine")), "{refused:?}");
    write(&file, "#{ capacity: 2, reason: \"two is enough\" }");
    trial.pass(60).await;
    assert_eq!(machines(&trial), 2);
    assert!(trial.journal.iter().any(|entry| entry.reason.contains("two is enough")));
    write(&file, "#{ capacity: 1_000_000, reason: \"more\" }");
    trial.pass(60).await;
    assert_eq!(machines(&trial), 4, "limits.max holds");
    assert!(trial.lines(EntryKind::Alarm).is_empty(), "{:?}", trial.journal);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_done_without_and_that_is_said() {
    for (script, said) in [
        ("let x = 1;\nx + nothing", "own.rhai:2:5: Undefined variable: nothing"),
        ("loop { }", "own.rhai:1:"),
        ("42", "for queue train: it answered a whole number"),
    ] {
        let (mut trial, file, _folder) = with(script).await;
        assert_eq!(machines(&trial), 3, "{script}: as without a policy");
        let failed: Vec<_> = trial.view().snapshot.advice.values().filter_map(Advised::failure).collect();
        assert!(failed.len() == 1 && failed[0].contains(said), "{failed:?}");
        write(&file, "()");
        trial.pass(60).await;
        assert!(trial.view().snapshot.advice.is_empty(), "mended, it says nothing");
    }
    let (mut trial, file, _folder) = with("()").await;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    trial.pass(60).await;
    let failed = trial.view().snapshot.advice.values().find_map(Advised::failure).unwrap();
    assert!(failed.contains("can be written by others (mode 666)"), "{failed}");
    std::fs::remove_file(&file).unwrap();
    trial.pass(60).await;
    let failed = trial.view().snapshot.advice.values().find_map(Advised::failure).unwrap();
    assert!(failed.contains("own.rhai: it cannot be read: No such file"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_program_is_followed_and_passes_no_limit() {
    let say = |answer: &str| {
        format!("    print(json.dumps({{'id': asked['id'], 'answers': {{'train': {answer}}}}}), flush=True)")
    };
    let (trial, _folder) = with_program(&say("{'veto': True, 'reason': 'not before nine'}")).await;
    assert_eq!(machines(&trial), 0);
    let (mut trial, _folder) = with_program(&say("{'capacity': 1000000, 'reason': 'more'}")).await;
    trial.pass(60).await;
    trial.pass(60).await;
    assert_eq!(machines(&trial), 4, "limits.max holds");
    assert!(trial.lines(EntryKind::Alarm).is_empty(), "{:?}", trial.journal);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_fails_is_done_without_and_that_is_said() {
    for (lines, said) in [
        ("    while True: pass", "it did not answer within 5 s; it was ended"),
        ("    print('twelve machines, please', flush=True)", "its line is no answer"),
        ("    sys.exit('out of coffee')", "it ended (exit status: 1): out of coffee"),
        ("    time.sleep(60)", "it did not answer within 5 s"),
    ] {
        let (mut trial, _folder) = with_program(lines).await;
        assert_eq!(machines(&trial), 3, "{lines}: as without a policy");
        for _ in 0..3 {
            trial.pass(60).await;
        }
        assert_eq!(machines(&trial), 3, "{lines}");
        let failed: Vec<_> = trial.view().snapshot.advice.values().filter_map(Advised::failure).collect();
        assert!(failed.len() == 1 && failed[0].contains(said), "{failed:?}");
    }
}

//! Guardrails hold for the loop and for people alike.

use super::world::Scripted;
use super::{Disk, SETTINGS, Trial};
use crate::engine::command::{Command, Edit};
use crate::engine::event::Answer;
use crate::model::journal::EntryKind;
use crate::model::record::Record;
use crate::model::snapshot::Ask;
use crate::store::Store;
use crate::store::settings::{SettingsFile, create, guardrail_places};
use crate::world::clock::Clock;

impl Trial {
    async fn guarded(waiting: usize, guardrails: &str) -> Self {
        let disk = Disk::default();
        disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
        let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
        let settings = SettingsFile::guarded_in_memory(SETTINGS, guardrails).unwrap();
        Self::start(Scripted::new(clock, waiting), disk, clock, settings)
    }
}

#[tokio::test(start_paused = true)]
async fn neither_the_loop_nor_a_person_passes_a_guardrail() {
    let mut trial = Trial::guarded(5, "[limits]\nmax = 2\n").await;
    trial.pass(30).await;
    assert_eq!(trial.world.facts().machines.len(), 2);
    let edit = Edit { key: "limits.max".to_owned(), value: Some("30".to_owned()) };
    let Ok(Answer::Said(said)) = trial.ask(Command::Set { edits: vec![edit], seen: None }).await else { panic!() };
    assert_eq!(said, "limits.max = 30, limits.max is 30; guardrail: 2, from guardrails.toml");
    let launch = Ask::Launch { queue: "train".into(), pool: "gpu".into() };
    assert!(trial.order(launch).await.unwrap_err().starts_with("limits.max is 2"));
    trial.pass(60).await;
    assert_eq!(trial.world.facts().machines.len(), 2);
    assert!(trial.view().warnings.contains(&"limits.max is 30; guardrail: 2, from guardrails.toml".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_console_that_is_read_only_changes_nothing() {
    let mut trial = Trial::guarded(5, "read_only = true\n").await;
    trial.pass(60).await;
    let refused = trial.ask(Command::Pause).await.unwrap_err();
    assert!(refused.contains("read only, by the guardrails of guardrails.toml"), "{refused}");
    trial.ask(Command::Quit { on_exit: Some(crate::model::settings::OnExit::StopAll) }).await.unwrap();
    trial.pass(60).await;
    let world = &trial.world;
    assert_eq!(["launch", "terminate", "renew_lease", "order_drain"].map(|call| world.calls(call)), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn guardrails_that_come_while_the_loop_runs_hold_it_and_people() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rails) = (folder.path().join("tidegate.toml"), folder.path().join("guardrails.toml"));
    create(&path, SETTINGS).unwrap();
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let settings = SettingsFile::open_guarded(&path, guardrail_places(&path, None)).unwrap();
    let world = Scripted::new(clock, 0);
    let mut trial = Trial::start(world.clone(), disk, clock, settings);
    trial.pass(30).await;
    create(&rails, "read_only = true\n").unwrap();
    trial.pass(60).await;
    world.facts().waiting.push("t9".into());
    trial.pass(120).await;
    assert_eq!((world.calls("launch"), trial.view().read_only()), (0, rails.to_str()));
    let edit = Edit { key: "limits.max".to_owned(), value: Some("3".to_owned()) };
    let refused = trial.ask(Command::Set { edits: vec![edit], seen: None }).await.unwrap_err();
    assert!(refused.starts_with("read only, by the guardrails of "), "{refused}");
    let why = |trial: &Trial, kind| trial.journal.iter().rev().find(|entry| entry.kind == kind).unwrap().reason.clone();
    let come = why(&trial, EntryKind::Edited);
    assert!(come.contains("guardrails.toml hold now") && come.contains("nothing is done from here"), "{come}");
    std::fs::remove_file(&rails).unwrap();
    trial.pass(120).await;
    assert!(why(&trial, EntryKind::Edited).ends_with("guardrails.toml are gone"));
    assert_eq!(world.facts().machines.len(), 1, "what waits is served again");
    // One that is wrong forbids everything until it is mended.
    create(&rails, "max = many\n").unwrap();
    trial.pass(60).await;
    let refused = trial.ask(Command::Pause).await.unwrap_err();
    assert!(refused.starts_with("read only, by the guardrails of "), "{refused}");
    assert!(why(&trial, EntryKind::Alarm).contains("guardrails.toml:1:7:"));
}

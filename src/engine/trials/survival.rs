//! What goes wrong is survived: panics, a full disk, a restart at a bad moment, silence, settings that change.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;

use super::world::Fate;
use super::{SETTINGS, Trial};
use crate::engine::command::Command;
use crate::engine::event::Answer;
use crate::model::instance::{Fault, Phase};
use crate::model::journal::EntryKind;
use crate::model::observed::{CloudState, TaskRecord, TaskStatus};
use crate::model::snapshot::{Ask, Source};
use crate::store::settings::SettingsFile;

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_deed_leaves_it_unknown_and_it_is_done_again() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.next("terminate", &[Fate::Panics]);
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    assert!(trial.view().acts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_launch_gives_its_place_back() {
    let mut trial = Trial::armed(1).await;
    trial.world.next("launch", &[Fate::Panics]);
    trial.pass(20 * 60).await;
    assert!(trial.world.calls("launch") >= 2);
    assert_eq!(trial.view().snapshot.intents, []);
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_answer_is_lost_is_found_by_its_tag_and_not_made_again() {
    let mut trial = Trial::armed(1).await;
    trial.world.next("launch", &[Fate::Lost]);
    // Longer than an intent is waited for, shorter than a boot may take.
    trial.pass(9 * 60).await;
    assert_eq!(trial.world.calls("launch"), 1);
    let view = trial.view();
    assert_eq!((view.snapshot.intents.len(), view.snapshot.instances.len()), (0, 1));
    let bill = view.spend.rate.cost_between(view.snapshot.instances[0].launched, view.at);
    assert_eq!(view.spend.total, bill);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_look_is_not_the_last_look() {
    let mut trial = Trial::armed(1).await;
    trial.world.next("list", &[Fate::Panics]);
    trial.pass(60).await;
    assert_eq!(trial.world.state("i-0"), Some(CloudState::Pending));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_at_every_look_blinds_no_other_source() {
    for call in ["list", "glance"] {
        let (mut trial, _) = Trial::idle().await;
        trial.world.always(call, Some(Fate::Panics));
        trial.pass(10 * 60).await;
        let view = trial.view();
        let of = |is_clearml: bool| {
            let found = view.snapshot.sources.iter().find(|source| (source.name == Source::CLEARML) == is_clearml);
            found.unwrap().clone()
        };
        let (broken, other) = if call == "list" { (of(false), of(true)) } else { (of(true), of(false)) };
        let why = format!("its client failed: a test wants {call} to panic; the log says where");
        assert_eq!((broken.is_stale(view.at), broken.error), (true, Some(why)));
        assert_eq!((other.is_stale(view.at), other.error), (false, None), "{call}");
        assert_eq!(trial.world.calls("forget") > 0, call == "list", "a client that panicked is not asked again");
        trial.world.always(call, None);
        trial.pass(60).await;
        assert!(trial.view().snapshot.sources.iter().all(|source| !source.is_stale(trial.view().at)), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_on_credentials_that_does_not_come_holds_no_look_for_long() {
    for fate in [Fate::Hangs, Fate::Panics] {
        let mut trial = Trial::armed(0).await;
        trial.world.always("credentials_end", Some(fate));
        trial.pass(60).await;
        let view = trial.view();
        assert!(view.snapshot.sources.iter().all(|source| !source.is_stale(view.at)), "{fate:?}");
        assert!(trial.world.calls("glance") >= 3, "{fate:?}: {}", trial.world.calls("glance"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_hangs_is_begun_with_a_new_client() {
    let (mut trial, _) = Trial::idle().await;
    trial.world.always("list", Some(Fate::Hangs));
    trial.pass(120).await;
    assert!(trial.world.calls("forget") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_everything_says_so_and_is_over_when_it_is_over() {
    let mut trial = Trial::armed(1).await;
    trial.disk.full.store(true, Ordering::Relaxed);
    trial.pass(120).await;
    assert_eq!(trial.world.calls("launch"), 0);
    assert!(trial.view().warnings.iter().any(|text| text.contains("no space left")), "{:?}", trial.view().warnings);
    let launch = Ask::Launch { pool: "gpu".into(), queue: "train".into() };
    let told = trial.order(launch).await;
    assert!(told.as_ref().is_err_and(|text| text.contains("no space left")), "{told:?}");
    trial.disk.full.store(false, Ordering::Relaxed);
    trial.world.takes_all_tasks();
    trial.pass(90).await;
    assert_eq!(trial.view().warnings, Vec::<String>::new());
    trial.world.facts().waiting = vec!["t1".into()];
    trial.pass(90).await;
    assert_eq!(trial.world.calls("launch"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_written_and_not_sent_is_sent_by_the_next_loop() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.next("terminate", &[Fate::Hangs]);
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(5).await;
    let mut trial = trial.restart().await;
    trial.pass(30).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_refuses_fills_no_journal() {
    let mut trial = Trial::armed(3).await;
    trial.world.always("launch", Some(Fate::Refused));
    trial.pass(2 * 3600).await;
    assert!(trial.world.calls("launch") < 20, "{}", trial.world.calls("launch"));
    assert!(trial.journal.len() < 80, "{} lines: {:?}", trial.journal.len(), trial.journal.last());
}

#[tokio::test(start_paused = true)]
async fn a_requeue_that_is_refused_stays_to_be_done() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    let record = TaskRecord {
        id: "t0".into(),
        name: "train".to_owned(),
        status: TaskStatus::InProgress,
        status_reason: String::new(),
        status_changed: None,
        started: None,
        last_worker: Some(format!("lab:gpu:g5.xlarge:{machine}").into()),
        queue: Some("q-train".into()),
    };
    trial.world.facts().tasks.push(record);
    trial.world.always("requeue_lost", Some(Fate::Refused));
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(30 * 60).await;
    assert!(trial.world.calls("requeue_lost") < 12, "{}", trial.world.calls("requeue_lost"));
    let failed = trial.lines(EntryKind::Failed);
    assert_eq!(failed, ["could not enqueue task t0 again"]);
    let mut trial = trial.restart().await;
    trial.world.always("requeue_lost", None);
    trial.pass(30).await;
    assert_eq!(trial.world.facts().waiting.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn machines_are_not_called_lost_for_a_server_that_does_not_answer() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.always("glance", Some(Fate::Refused));
    trial.pass(20 * 60).await;
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert_eq!((seen.fault, seen.phase), (None, Phase::Idle));
    assert_eq!(trial.world.calls("terminate"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_not_listed_and_works_is_not_gone() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.pass(10 * 60).await;
    trial.world.facts().listed = false;
    trial.pass(10 * 60).await;
    assert!(trial.view().snapshot.instance(&machine.as_str().into()).is_some());
    trial.world.facts().workers.clear();
    trial.pass(10 * 60).await;
    assert!(trial.view().snapshot.instance(&machine.as_str().into()).is_none());
    // It comes back: it is taken in again, and billed on without a gap and not twice.
    trial.world.facts().listed = true;
    trial.pass(120).await;
    let launched = trial.world.facts().machines.get(machine.as_str()).unwrap().launched;
    assert!(trial.view().snapshot.instance(&machine.as_str().into()).is_some());
    let spend = trial.view().spend.total;
    let bill = trial.view().spend.rate.cost_between(launched, trial.view().at);
    assert!((spend - bill).micros().abs() <= 1, "{spend} {bill}");
}

#[tokio::test(start_paused = true)]
async fn asking_for_looks_proves_nothing() {
    let (mut trial, machine) = Trial::idle().await;
    trial.pass(10 * 60).await;
    trial.world.facts().listed = false;
    trial.world.facts().workers.clear();
    for _ in 0..8 {
        trial.ask(Command::Refresh).await.unwrap();
        trial.pass(1).await;
    }
    assert!(trial.view().snapshot.instance(&machine.as_str().into()).is_some());
}

#[tokio::test(start_paused = true)]
async fn another_fleets_name_counts_after_a_restart_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    write(&path, SETTINGS);
    let (trial, machine) = Trial::idle().await;
    let Trial { world, disk, clock, .. } = trial;
    let mut trial = Trial::start(world, disk, clock, SettingsFile::open(&path).unwrap());
    trial.pass(15).await;
    write(&path, &SETTINGS.replace("\"lab\"", "\"other\""));
    trial.pass(90).await;
    assert_eq!(trial.view().fleet.as_str(), "lab");
    assert!(trial.view().warnings.iter().any(|text| text.contains("after a restart")), "{:?}", trial.view().warnings);
    assert!(trial.view().snapshot.instance(&machine.as_str().into()).is_some_and(|one| one.registered));
}

#[tokio::test(start_paused = true)]
async fn a_ghost_is_unregistered_once() {
    let (mut trial, machine) = Trial::idle().await;
    let worker = trial.world.facts().workers.get(machine.as_str()).cloned().unwrap();
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(1).await;
    // The row stays, whatever the server said.
    trial.world.facts().workers.insert(machine.as_str().into(), worker);
    trial.world.always("unregister", Some(Fate::Slow(0)));
    for _ in 0..10 {
        trial.pass(30).await;
        let row = trial.world.facts().workers.get(machine.as_str()).cloned();
        if row.is_none() {
            let worker = crate::model::observed::ObservedWorker {
                id: format!("lab:gpu:g5.xlarge:{machine}").into(),
                queues: Vec::new(),
                task: None,
                registered: trial.clock.now(),
                last_report: None,
            };
            trial.world.facts().workers.insert(machine.as_str().into(), worker);
        }
    }
    assert_eq!(trial.world.calls("unregister"), 1);
}

#[expect(clippy::disallowed_methods, reason = "a test's own file in a folder of its own")]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_charts_show_outlives_the_loop() {
    let (mut trial, _) = Trial::idle().await;
    trial.pass(600).await;
    let mut trial = trial.restart().await;
    trial.pass(600).await;
    let Ok(Answer::History(glances)) = trial.ask(Command::History).await else { panic!("no history") };
    let first = glances.first().unwrap();
    let span = glances.last().unwrap().at.duration_since(first.at).as_secs();
    assert!((1_100..=1_300).contains(&span), "{span} s of two lives: {glances:?}");
    assert!((12..=24).contains(&glances.len()), "one a minute: {}", glances.len());
    assert!(glances.iter().any(|glance| glance.states.idle == 1), "{glances:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_cost_and_what_its_end_saves_is_in_the_journal() {
    let (mut trial, machine) = Trial::idle().await;
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(120).await;
    let ended = trial.journal.iter().find(|entry| entry.text == format!("{machine} has ended")).unwrap();
    let (cost, saved) = ended.reason.split_once(", and ").unwrap();
    assert!(cost.starts_with("it cost $0.0") && saved == "$1.00/h is not spent any more", "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_makes_no_worker_lost_and_is_told_of() {
    for (seconds, way) in [(-600, "10m00 ahead of"), (600, "10m00 behind")] {
        let (mut trial, machine) = Trial::idle().await;
        trial.world.facts().ahead = SignedDuration::from_secs(seconds);
        trial.pass(4 * 60).await;
        let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
        assert_eq!((seen.fault, seen.silent_since), (None, None), "{way}");
        let age = trial.view().at.duration_since(seen.last_report.unwrap());
        assert!((0..=4 * 60).contains(&age.as_secs()), "{way}: {age}");
        let is_told = |text: &str| text.contains(&format!("this host's clock is {way} the ClearML server's"));
        assert!(trial.view().warnings.iter().any(|text| is_told(text)), "{:?}", trial.view().warnings);
        assert_eq!(trial.lines(EntryKind::Alarm).into_iter().filter(|text| is_told(text)).count(), 1, "{way}");
        // It is still heard when one is silent.
        let worker = trial.world.facts().workers.remove(machine.as_str()).unwrap();
        trial.pass(60).await;
        let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned();
        assert_eq!(seen.unwrap().fault, Some(Fault::Lost), "{way}");
        trial.world.facts().workers.insert(machine.as_str().into(), worker);
        trial.world.facts().ahead = SignedDuration::ZERO;
        trial.pass(60).await;
        assert_eq!(trial.view().warnings, Vec::<String>::new());
    }
}

//! Why tasks wait, as ClearML is told: where it is asked for, by the leader only, when it changes, and to few.

use jiff::SignedDuration;

use super::world::{Fate, Scripted};
use super::{Disk, SETTINGS, Trial};
use crate::model::record::Record;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

/// A loop whose limit keeps so many tasks waiting.
async fn waiting(tasks: usize, line: &str, armed: bool) -> Trial {
    let text = SETTINGS.replace("time_zone", &format!("{line}\ntime_zone")).replace("max = 4", "max = 0");
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(armed)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let world = Scripted::new(clock, tasks);
    world.facts().waited = SignedDuration::from_mins(5);
    Trial::start(world, disk, clock, SettingsFile::in_memory(&text).unwrap())
}

const ON: &str = "tell_waiting = true";

#[tokio::test(start_paused = true)]
async fn it_is_told_once_and_again_when_it_changes() {
    let mut trial = waiting(30, ON, true).await;
    trial.pass(120).await;
    trial.pass(600).await;
    let told = trial.world.facts().told_waiting.clone();
    let (queue, text, _) = &told[0];
    assert!(text.starts_with("Tidegate, fleet lab: limits.max is 0"), "{queue}: {text}");
    let tasks: usize = told.iter().map(|(.., tasks)| tasks).sum();
    assert_eq!(tasks, 20, "the first of them, once each: {told:?}");
    assert!(told.len() <= 2, "{told:?}");
    trial.world.facts().waiting.clear();
    trial.pass(120).await;
    trial.pass(600).await;
    let told = trial.world.facts().told_waiting.clone();
    assert_eq!(told.last().unwrap().1, "", "nothing waits any more");
    let calls = told.len();
    trial.pass(3_600).await;
    assert_eq!(trial.world.facts().told_waiting.len(), calls, "steady, nothing is told");
}

#[tokio::test(start_paused = true)]
async fn it_is_not_told_unasked_nor_in_a_dry_run() {
    for (line, armed) in [("", true), ("tell_waiting = false", true), (ON, false)] {
        let mut trial = waiting(3, line, armed).await;
        trial.pass(600).await;
        assert_eq!(trial.world.calls("tell_waiting"), 0, "{line} {armed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_told_again() {
    let mut trial = waiting(3, ON, true).await;
    trial.world.next("tell_waiting", &[Fate::Refused]);
    trial.pass(120).await;
    for _ in 0..4 {
        trial.pass(600).await;
    }
    assert!(
        trial.world.facts().told_waiting.iter().any(|(_, text, _)| text.contains("lab")),
        "{:?}",
        trial.world.facts().told_waiting
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_came_a_moment_ago_is_left_alone() {
    let mut trial = waiting(3, ON, true).await;
    trial.world.facts().waited = SignedDuration::ZERO;
    trial.pass(120).await;
    trial.pass(600).await;
    let told = trial.world.facts().told_waiting.clone();
    assert!(!told.is_empty() && told.iter().all(|(.., tasks)| *tasks == 0), "{told:?}");
}

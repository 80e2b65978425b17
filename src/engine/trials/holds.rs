//! Drains by a hold task: what it proves, how long, and what happens when that is over before the machine is.

use jiff::SignedDuration;

use super::world::{Fate, Scripted};
use super::{Disk, SETTINGS, Trial};
use crate::model::instance::Phase;
use crate::model::observed::{CloudState, TaskStatus};
use crate::model::record::Record;
use crate::model::snapshot::Ask;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

fn settings() -> SettingsFile {
    SettingsFile::in_memory(&SETTINGS.replace("keep_alive", "guard = \"hold\"\nkeep_alive")).unwrap()
}

/// One machine that is up, idle and without a gate, and its id.
async fn idle() -> (Trial, String) {
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let world = Scripted::new(clock, 1);
    world.facts().gate = false;
    let mut trial = Trial::start(world, disk, clock, settings());
    trial.pass(15).await;
    let machine = trial.world.registers();
    trial.world.takes_all_tasks();
    trial.pass(30).await;
    (trial, machine)
}

/// The loop is dead for so long; another goes on with its store.
async fn away(trial: Trial, seconds: i64, meanwhile: impl FnOnce(&Scripted)) -> Trial {
    let Trial { world, disk, clock, mut running, .. } = trial;
    running.shutdown().await;
    clock.sleep(SignedDuration::from_secs(seconds)).await;
    meanwhile(&world);
    Trial::start(world, disk, clock, settings())
}

/// The machine takes the hold task that waits.
fn takes_hold(world: &Scripted, machine: &str, clock: Clock) {
    let worker = format!("lab:gpu:g5.xlarge:{machine}");
    let mut facts = world.facts();
    let waiting = facts.holds.iter_mut().find(|task| task.status == TaskStatus::Queued).unwrap();
    (waiting.status, waiting.started, waiting.last_worker) =
        (TaskStatus::InProgress, Some(clock.now()), Some(worker.into()));
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_without_a_gate_is_held_and_stopped() {
    let (mut trial, machine) = idle().await;
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    assert_eq!(trial.world.calls("place_hold"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_machine_is_held_after_its_task_and_not_stopped_before() {
    let (mut trial, machine) = idle().await;
    trial.world.runs(&machine, "t0");
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(3_600).await;
    assert_eq!((trial.world.calls("terminate"), trial.world.calls("place_hold")), (0, 1));
    trial.world.ends_task(&machine);
    takes_hold(&trial.world, &machine, trial.clock);
    trial.pass(30).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_written_and_not_given_holds_the_machine_after_a_restart() {
    let (mut trial, machine) = idle().await;
    trial.world.next("place_hold", &[Fate::Hangs]);
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(5).await;
    let mut trial = away(trial, 5, |_| ()).await;
    trial.pass(60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

/// The stop was decided and the cloud would not have it; then nobody was there, and the hold task slept out.
#[tokio::test(start_paused = true)]
async fn a_stop_is_not_asked_for_again_while_the_machine_may_have_a_task() {
    let (mut trial, machine) = idle().await;
    trial.world.always("terminate", Some(Fate::Refused));
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(60).await;
    assert!(trial.world.calls("terminate") > 0);
    let mut trial = away(trial, 1_200, |world| {
        world.always("terminate", None);
        world.facts().answers = false;
        world.facts().holds.clear();
        world.runs(&machine, "t9");
    })
    .await;
    trial.pass(1_800).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Running), "it has a task");
    assert_eq!(trial.world.facts().holds.len(), 1, "another waits behind the task");
    trial.world.ends_task(&machine);
    takes_hold(&trial.world, &machine, trial.clock);
    trial.pass(600).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

/// A cloud that refuses for an hour: the machine is held all the while, one hold task after the other.
#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_stopped_yet_stays_held() {
    let (mut trial, machine) = idle().await;
    trial.world.always("terminate", Some(Fate::Refused));
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(3_600).await;
    let placed = trial.world.calls("place_hold");
    assert!((5..=8).contains(&placed), "{placed}");
    trial.world.always("terminate", None);
    trial.pass(700).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_hold_tasks_until_none_is_left() {
    let (mut trial, machine) = idle().await;
    trial.world.runs(&machine, "t0");
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(30).await;
    let task = trial.world.facts().holds[0].clone();
    trial.order(Ask::CancelDrain(machine.as_str().into())).await.unwrap();
    trial.pass(20).await;
    assert_eq!(trial.world.facts().holds.len(), 0);
    // The agent had it in its hands already.
    trial.world.facts().holds.push(task);
    trial.pass(30).await;
    assert!(trial.world.calls("end_holds") > 1 && trial.world.facts().holds.is_empty());
    trial.pass(120).await;
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert_eq!((seen.drain, seen.phase), (None, Phase::Busy));
    assert_eq!(trial.world.calls("terminate"), 0);
}

/// The gate does not answer, and its agent asks its own queue: as one of another version that runs without its gate.
#[tokio::test(start_paused = true)]
async fn a_machine_whose_gate_is_silent_is_held_after_a_minute() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().answers = false;
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(55).await;
    assert_eq!(trial.world.calls("place_hold"), 0);
    trial.pass(45).await;
    assert_eq!(trial.world.calls("place_hold"), 1);
    takes_hold(&trial.world, &machine, trial.clock);
    trial.pass(30).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

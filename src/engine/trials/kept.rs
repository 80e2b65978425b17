//! Machines that are switched off and kept, and started again.

use super::world::Fate;
use super::{SETTINGS, Trial};
use crate::model::instance::Phase;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudState;
use crate::store::settings::SettingsFile;

pub(super) fn keeping() -> SettingsFile {
    SettingsFile::in_memory(&SETTINGS.replace("ami = ", "on_idle = \"stop\"\nmax_stopped = 3\nami = ")).unwrap()
}

/// One machine that is off, and its id.
async fn off() -> (Trial, String) {
    let (trial, machine) = Trial::idle().await;
    let Trial { world, disk, clock, mut running, .. } = trial;
    running.shutdown().await;
    let settings = SETTINGS.replace("ami = ", "on_idle = \"stop\"\nami = ");
    let mut trial = Trial::start(world, disk, clock, SettingsFile::in_memory(&settings).unwrap());
    trial.pass(12 * 60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Stopped));
    (trial, machine)
}

fn phase(trial: &Trial, machine: &str) -> Option<Phase> {
    trial.view().snapshot.instance(&machine.into()).map(|one| one.phase)
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_is_switched_off_billed_until_then_and_started_for_the_next_task() {
    let (mut trial, machine) = off().await;
    trial.pass(60).await;
    assert_eq!(phase(&trial, &machine), Some(Phase::Stopped));
    assert_eq!((trial.world.calls("terminate"), trial.world.want(&machine)), (0, None), "its old order is gone");
    let (first, ended) = {
        let facts = trial.world.facts();
        let shown = facts.machines[machine.as_str()].clone();
        (shown.launched, shown.ended.unwrap())
    };
    let rate: crate::model::money::Rate = "$1/h".parse().unwrap();
    assert_eq!(trial.view().spend.total, rate.cost_between(first, ended));
    assert_eq!(trial.lines(EntryKind::Alarm), Vec::<&str>::new());
    trial.world.facts().waiting = vec!["t1".into()];
    trial.pass(90).await;
    assert_eq!((trial.world.calls("start"), trial.world.calls("launch")), (1, 1));
    let started = trial.world.facts().machines[machine.as_str()].launched;
    assert!(started > ended);
    trial.world.registers();
    trial.world.takes_all_tasks();
    trial.pass(30).await;
    assert_eq!(phase(&trial, &machine), Some(Phase::Idle));
    let view = trial.view();
    assert_eq!(view.snapshot.intents, []);
    assert_eq!(view.spend.total, rate.cost_between(first, ended) + rate.cost_between(started, view.at));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_falls_back_to_a_launch_and_one_that_is_lost_does_not() {
    for (fate, launches) in [(Fate::Refused, 2), (Fate::Lost, 1)] {
        let (mut trial, machine) = off().await;
        trial.world.next("start", &[fate]);
        trial.world.facts().waiting = vec!["t1".into()];
        trial.pass(3 * 60).await;
        assert_eq!((trial.world.calls("start"), trial.world.calls("launch")), (1, launches), "{fate:?}");
        let expected = if fate == Fate::Lost { CloudState::Pending } else { CloudState::Stopped };
        assert_eq!(trial.world.state(&machine), Some(expected));
        assert_eq!(trial.view().snapshot.intents, []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_off_for_long_is_ended() {
    let (mut trial, machine) = off().await;
    trial.pass(23 * 3600).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Stopped));
    trial.pass(2 * 3600).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    assert_eq!(phase(&trial, &machine), None, "and gone");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_someone_else_starts_is_billed_again_with_an_alarm() {
    let (mut trial, machine) = off().await;
    trial.pass(60).await;
    let before = trial.view().spend.total;
    let now = trial.clock.now();
    {
        let mut facts = trial.world.facts();
        let shown = facts.machines.get_mut(machine.as_str()).unwrap();
        (shown.state, shown.launched, shown.ended) = (CloudState::Running, now, None);
    }
    trial.pass(120).await;
    assert!(trial.view().spend.total > before);
    assert_eq!(trial.lines(EntryKind::Alarm).len(), 1, "{:?}", trial.lines(EntryKind::Alarm));
    assert_eq!(phase(&trial, &machine), Some(Phase::Booting));
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_switched_off_and_kept_are_no_failed_boots() {
    let Trial { world, disk, clock, mut running, .. } = Trial::armed(3).await;
    running.shutdown().await;
    let mut trial = Trial::start(world, disk, clock, keeping());
    trial.pass(30).await;
    for _ in 0..3 {
        trial.world.registers();
    }
    trial.world.takes_all_tasks();
    trial.pass(60 * 60).await;
    let off = trial.world.facts().machines.values().filter(|one| one.state == CloudState::Stopped).count();
    assert_eq!((off, trial.world.facts().workers.len()), (3, 0));
    assert_eq!((&trial.view().snapshot.boots_failed, trial.view().snapshot.breakers.len()), (&[].into(), 0));
    trial.world.facts().waiting = ["t1", "t2", "t3", "t4"].map(Into::into).into();
    trial.pass(60).await;
    assert_eq!((trial.world.calls("start"), trial.world.calls("launch")), (3, 2));
    // They boot again, and now somebody waits for them.
    trial.pass(15 * 60).await;
    assert_eq!(trial.view().snapshot.boots_failed.values().sum::<u32>(), 4);
}

/// With its old order in its mailbox it would switch itself off a minute after its boot.
#[tokio::test(start_paused = true)]
async fn a_machine_whose_old_mailbox_cannot_be_removed_is_not_started() {
    let (mut trial, machine) = off().await;
    let old = [("want".to_owned(), "drain:n".to_owned())].into();
    trial.world.always("delete_mailbox", Some(Fate::Refused));
    trial.world.facts().mailboxes.insert(machine.as_str().into(), old);
    trial.world.facts().waiting = vec!["t1".into()];
    trial.pass(60).await;
    assert_eq!((trial.world.calls("start"), trial.world.calls("launch")), (0, 2), "another is launched");
    assert_eq!(trial.view().snapshot.intents, []);
    let failed = format!("{machine} was not started again");
    assert!(trial.lines(EntryKind::Failed).contains(&failed.as_str()), "{:?}", trial.lines(EntryKind::Failed));
    // The other one never boots.
    trial.world.always("delete_mailbox", None);
    trial.pass(12 * 60).await;
    assert_eq!((trial.world.calls("start"), trial.world.want(&machine)), (1, None), "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn the_mailbox_of_a_machine_that_somebody_started_stays_while_the_cloud_is_silent() {
    let (mut trial, machine) = off().await;
    trial.pass(60).await;
    assert_eq!(trial.world.facts().mailboxes.len(), 0);
    trial.world.always("list", Some(Fate::Refused));
    let now = trial.clock.now();
    {
        let mut facts = trial.world.facts();
        let shown = facts.machines.get_mut(machine.as_str()).unwrap();
        (shown.state, shown.launched, shown.ended) = (CloudState::Running, now, None);
        facts.mailboxes.insert(machine.as_str().into(), [("state".to_owned(), "up".to_owned())].into());
    }
    trial.world.registers();
    trial.pass(120).await;
    let there = |trial: &Trial| {
        let facts = trial.world.facts();
        (facts.mailboxes.len(), facts.workers.len())
    };
    assert_eq!(there(&trial), (1, 1));
    trial.world.always("list", None);
    trial.pass(60).await;
    assert_eq!((there(&trial), phase(&trial, &machine)), ((1, 1), Some(Phase::Idle)));
}

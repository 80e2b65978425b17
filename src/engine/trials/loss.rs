//! Machines that are taken away, fall silent or are ended by others: their tasks go on, once, and nothing else is hurt.

use super::Trial;
use crate::engine::command::Command;
use crate::model::instance::{Fault, Phase};
use crate::model::journal::EntryKind;
use crate::model::observed::{CloudState, TaskRecord, TaskStatus};

/// The cloud takes a machine back while its guard, which has stopped the task, does not come to enqueue it.
async fn taken_back_half_done(paused: bool) -> Trial {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.pass(70).await;
    if paused {
        trial.ask(Command::Pause).await.unwrap();
    }
    give_up_half_done(&trial, &machine);
    trial.pass(3 * 60).await;
    trial
}

fn give_up_half_done(trial: &Trial, machine: &str) {
    let mut facts = trial.world.facts();
    let words = [("requeue", "t0:q-train"), ("gone", "spot")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    facts.mailboxes.entry(machine.into()).or_default().extend(words);
    let shown = facts.machines.get_mut(machine).unwrap();
    (shown.state, shown.ended) = (CloudState::Terminated, Some(trial.clock.now()));
    shown.state_reason = Some("Client.InstanceInitiatedShutdown: Instance initiated shutdown".to_owned());
    facts.workers.clear();
}

/// FAILURES.md row 11.
#[tokio::test(start_paused = true)]
async fn a_task_that_an_interrupted_machine_stopped_is_enqueued_once_and_its_mailbox_kept_until_then() {
    let trial = taken_back_half_done(false).await;
    assert_eq!(trial.world.calls("requeue_lost"), 1);
    assert_eq!(trial.world.calls("delete_mailbox"), 1);
    assert_eq!(trial.world.facts().waiting, ["t0".into()]);
    let view = trial.view();
    assert!(view.snapshot.interrupted_once.contains("t0"), "{:?}", view.snapshot.interrupted_once);

    let mut trial = taken_back_half_done(true).await;
    assert_eq!((trial.world.calls("requeue_lost"), trial.world.calls("delete_mailbox")), (0, 0), "paused");
    let mut trial = {
        trial.pass(60).await;
        trial.restart().await
    };
    trial.ask(Command::Resume).await.unwrap();
    trial.pass(3 * 60).await;
    assert_eq!((trial.world.calls("requeue_lost"), trial.world.calls("delete_mailbox")), (1, 1));
}

/// Another console with an older view may be at it: whatever became of it is not known yet.
#[tokio::test(start_paused = true)]
async fn a_lost_task_that_another_has_claimed_is_asked_about_again_until_it_is_back() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().claimed.push("t0".into());
    trial.world.runs(&machine, "t0");
    trial.pass(70).await;
    give_up_half_done(&trial, &machine);
    trial.pass(5 * 60).await;
    let asked = trial.world.calls("requeue_lost");
    assert!((3..=6).contains(&asked), "{asked}");
    assert_eq!(trial.world.calls("delete_mailbox"), 0, "its last words are needed");
    assert!(!trial.lines(EntryKind::Seen).iter().any(|line| line.contains("t0")), "{:?}", trial.journal);
    trial.world.facts().claimed.clear();
    trial.pass(2 * 60).await;
    assert_eq!((trial.world.calls("requeue_lost"), trial.world.calls("delete_mailbox")), (asked + 1, 1));
    assert_eq!(trial.world.facts().waiting, ["t0".into()]);
    let decided = trial.lines(EntryKind::Decided);
    assert_eq!(decided.iter().filter(|line| line.contains("enqueue task t0 again")).count(), 1, "{decided:?}");
}

/// What its agent reports last, and its machine's end, come between two whole looks.
#[tokio::test(start_paused = true)]
async fn a_task_that_ended_just_before_its_machine_is_not_lost() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.world.facts().tasks.push(in_progress("t0", &machine));
    trial.pass(4 * 60).await;
    {
        let mut facts = trial.world.facts();
        facts.tasks.clear();
        facts.workers.clear();
        let shown = facts.machines.get_mut(machine.as_str()).unwrap();
        (shown.state, shown.ended) = (CloudState::Terminated, Some(trial.clock.now()));
    }
    trial.pass(5 * 60).await;
    assert_eq!(trial.world.calls("requeue_lost"), 0);
    assert!(!trial.journal.iter().any(|line| line.text.contains("enqueue task")), "{:?}", trial.journal);
}

pub(super) fn in_progress(task: &str, machine: &str) -> TaskRecord {
    TaskRecord {
        id: task.into(),
        name: "train".to_owned(),
        status: TaskStatus::InProgress,
        status_reason: String::new(),
        status_changed: None,
        started: None,
        last_worker: Some(format!("lab:gpu:g5.xlarge:{machine}").into()),
        queue: Some("q-train".into()),
    }
}

/// FAILURES.md row 14.
#[tokio::test(start_paused = true)]
async fn a_silent_machine_is_stopped_when_it_surely_has_no_task_and_never_while_it_may() {
    for (has_task, ended) in [(false, true), (true, false)] {
        let (mut trial, machine) = Trial::idle().await;
        if has_task {
            trial.world.facts().tasks.push(in_progress("t0", &machine));
        }
        trial.world.facts().workers.clear();
        trial.pass(28 * 60).await;
        let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
        assert_eq!((seen.fault, seen.task.is_some()), (Some(Fault::Lost), has_task));
        assert!(seen.fault_why.is_some_and(|why| why.starts_with("silent for 2")));
        assert_eq!(trial.world.want(&machine), None);
        trial.pass(5 * 60).await;
        assert_eq!(trial.world.want(&machine).is_some(), ended, "it is drained first");
        assert_eq!(trial.world.state(&machine), Some(CloudState::Running));
        trial.pass(3 * 3600).await;
        assert_eq!(trial.world.calls("terminate"), usize::from(ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_machine_that_speaks_again_is_left_alone() {
    let (mut trial, machine) = Trial::idle().await;
    let workers = std::mem::take(&mut trial.world.facts().workers);
    trial.pass(31 * 60).await;
    assert!(trial.world.want(&machine).is_some());
    trial.world.facts().workers = workers;
    trial.world.runs(&machine, "t0");
    trial.pass(60 * 60).await;
    assert_eq!((trial.world.calls("terminate"), trial.world.state(&machine)), (0, Some(CloudState::Running)));
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert_eq!((seen.fault, seen.phase), (None, Phase::Draining));
}

/// On a cloud that keeps what was switched off from within.
#[tokio::test(start_paused = true)]
async fn a_machine_that_is_off_and_not_by_us_is_ended_at_once_or_after_a_moment_and_its_task_goes_on() {
    for (words, told) in [(Some("the agent died"), "by itself or its cloud"), (None, "and not by us")] {
        let (mut trial, machine) = Trial::idle().await;
        trial.world.runs(&machine, "t0");
        trial.pass(70).await;
        {
            let mut facts = trial.world.facts();
            facts.tasks.push(in_progress("t0", &machine));
            facts.workers.clear();
            let shown = facts.machines.get_mut(machine.as_str()).unwrap();
            (shown.state, shown.ended) = (CloudState::Stopped, Some(trial.clock.now()));
            if let Some(words) = words {
                facts.mailboxes.entry(machine.as_str().into()).or_default().insert("gone".to_owned(), words.to_owned());
            }
        }
        trial.pass(90).await;
        assert_eq!(trial.world.calls("terminate"), usize::from(words.is_some()), "{told}");
        trial.pass(4 * 60).await;
        assert_eq!((trial.world.calls("terminate"), trial.world.calls("requeue_lost")), (1, 1), "{told}");
        assert_eq!(trial.world.facts().waiting, ["t0".into()]);
        let decided = trial.lines(EntryKind::Decided);
        assert!(decided.iter().any(|line| line.contains("stop") && line.contains(&machine)), "{decided:?}");
    }
}

//! Machines that are taken away, fall silent or are ended by others: their tasks go on, once, and nothing else is hurt.

use super::Trial;
use crate::engine::command::Command;
use crate::model::observed::CloudState;

/// The cloud takes a machine back while its guard, which has stopped the task, does not come to enqueue it.
async fn taken_back_half_done(paused: bool) -> Trial {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.pass(70).await;
    if paused {
        trial.ask(Command::Pause).await.unwrap();
    }
    let mut facts = trial.world.facts();
    let words = [("requeue", "t0:q-train"), ("gone", "spot")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    facts.mailboxes.entry(machine.as_str().into()).or_default().extend(words);
    let shown = facts.machines.get_mut(machine.as_str()).unwrap();
    (shown.state, shown.ended) = (CloudState::Terminated, Some(trial.clock.now()));
    shown.state_reason = Some("Client.InstanceInitiatedShutdown: Instance initiated shutdown".to_owned());
    facts.workers.clear();
    drop(facts);
    trial.pass(3 * 60).await;
    trial
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

//! What the loop asks of ClearML, and how often.

use super::Trial;
use crate::model::instance::Phase;

#[tokio::test(start_paused = true)]
async fn a_look_is_one_call_and_the_rest_is_asked_every_three_minutes() {
    let (mut trial, _) = Trial::idle().await;
    trial.pass(60).await;
    let count = |trial: &Trial| ["glance", "workers", "tasks"].map(|call| trial.world.calls(call));
    let before = count(&trial);
    trial.pass(30 * 60).await;
    let after = count(&trial);
    let [glances, workers, tasks] = [0, 1, 2].map(|place| after[place] - before[place]);
    assert!((72..=180).contains(&glances), "{glances}");
    assert!((9..=11).contains(&workers) && tasks == workers, "{workers} {tasks}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_away_for_a_look_is_listed_again_at_once() {
    let (mut trial, machine) = Trial::idle().await;
    trial.pass(30).await;
    let worker = trial.world.facts().workers.remove(machine.as_str()).unwrap();
    trial.pass(30).await;
    trial.world.facts().workers.insert(machine.as_str().into(), worker);
    trial.pass(30).await;
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert!(seen.worker.is_some() && seen.fault.is_none(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_new_is_listed_at_once() {
    let mut trial = Trial::armed(1).await;
    trial.pass(60).await;
    let before = trial.world.calls("workers");
    let machine = trial.world.registers();
    trial.pass(30).await;
    assert_eq!(trial.world.calls("workers"), before + 1);
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert!(seen.registered && matches!(seen.phase, Phase::Idle | Phase::Busy), "{seen:?}");
}

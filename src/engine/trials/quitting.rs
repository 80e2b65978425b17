//! The end: machines as `on_exit` says, and not longer than it takes.

use super::Trial;
use super::world::Fate;
use crate::engine::command::Command;
use crate::model::observed::CloudState;
use crate::model::settings::OnExit;

async fn quit(trial: &mut Trial, on_exit: OnExit) {
    trial.ask(Command::Quit { on_exit: Some(on_exit) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn leaving_leaves_everything_and_waits_for_a_launch_under_way() {
    let mut trial = Trial::armed(1).await;
    trial.world.next("launch", &[Fate::Slow(40)]);
    trial.pass(5).await;
    quit(&mut trial, OnExit::Leave).await;
    trial.pass(10).await;
    assert!(!trial.has_ended());
    trial.pass(40).await;
    assert!(trial.has_ended());
    assert_eq!(trial.world.state("i-0"), Some(CloudState::Pending));
}

#[tokio::test(start_paused = true)]
async fn a_loop_with_nothing_up_ends_at_once() {
    for on_exit in [OnExit::Leave, OnExit::StopIdle, OnExit::StopAll] {
        let mut trial = Trial::armed(0).await;
        trial.pass(15).await;
        quit(&mut trial, on_exit).await;
        trial.pass(1).await;
        assert!(trial.has_ended(), "{on_exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn stop_idle_drains_and_stops_the_idle_and_leaves_the_busy() {
    for (busy, ended) in [(false, CloudState::Terminated), (true, CloudState::Running)] {
        let (mut trial, machine) = Trial::idle().await;
        trial.ask(Command::Pause).await.unwrap();
        if busy {
            trial.world.runs(&machine, "t0");
            trial.pass(60).await;
        }
        quit(&mut trial, OnExit::StopIdle).await;
        trial.pass(60).await;
        assert!(trial.has_ended(), "busy {busy}");
        assert_eq!(trial.world.state(&machine), Some(ended), "busy {busy}");
    }
}

#[tokio::test(start_paused = true)]
async fn stop_all_takes_the_busy_and_what_was_on_its_way_too() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.world.facts().waiting = vec!["t1".into()];
    trial.world.next("launch", &[Fate::Slow(15)]);
    trial.pass(65).await;
    quit(&mut trial, OnExit::StopAll).await;
    trial.pass(60).await;
    assert!(trial.has_ended());
    for machine in ["i-0", "i-1"] {
        assert_eq!(trial.world.state(machine), Some(CloudState::Terminated), "{machine}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_ends_at_once_and_stops_nothing() {
    let (mut trial, machine) = Trial::idle().await;
    trial.ask(Command::Disarm).await.unwrap();
    quit(&mut trial, OnExit::StopAll).await;
    trial.pass(1).await;
    assert!(trial.has_ended());
    assert_eq!(trial.world.state(&machine), Some(CloudState::Running));
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_hangs_or_refuses_delays_the_end_for_minutes_only() {
    for fate in [Fate::Hangs, Fate::Refused] {
        let (mut trial, _) = Trial::idle().await;
        trial.world.always("terminate", Some(fate));
        trial.world.always("list", Some(fate));
        quit(&mut trial, OnExit::StopAll).await;
        trial.pass(120).await;
        assert!(!trial.has_ended(), "{fate:?}");
        assert!(trial.world.calls("terminate") >= 2, "{fate:?}");
        trial.pass(5 * 60).await;
        assert!(trial.has_ended(), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_want_to_wait_asks_again() {
    let (mut trial, _) = Trial::idle().await;
    trial.world.always("terminate", Some(Fate::Refused));
    quit(&mut trial, OnExit::StopAll).await;
    trial.pass(30).await;
    assert!(!trial.has_ended());
    quit(&mut trial, OnExit::Leave).await;
    trial.pass(1).await;
    assert!(trial.has_ended());
}

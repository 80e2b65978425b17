//! A budget's kill: the task is asked to write what it has, once, and the machine ends when it answers or its time is over.

use super::{SETTINGS, Trial};
use crate::model::instance::Phase;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudState;
use crate::store::settings::SettingsFile;

const BUDGET: &str = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$0.1\"\nhard = false\nat = { \"100%\" = \"kill after 10m\" }\n";

fn settings() -> SettingsFile {
    SettingsFile::in_memory(&format!("{SETTINGS}{BUDGET}")).unwrap()
}

async fn restart(trial: Trial) -> Trial {
    let Trial { world, disk, clock, mut running, .. } = trial;
    running.shutdown().await;
    Trial::start(world, disk, clock, settings())
}

/// A machine whose task was asked to end just now, by a budget whose grace is over.
async fn asked() -> (Trial, String) {
    let (trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t1");
    let mut trial = restart(trial).await;
    trial.pass(60).await;
    while trial.world.calls("ask_end") == 0 {
        trial.pass(10).await;
        assert!(trial.view().spend.total < "$0.4".parse().unwrap(), "it is never asked");
    }
    let since = trial.view().snapshot.instances[0].drain.clone().unwrap().ordered;
    let grace = trial.clock.now().duration_since(since).as_secs();
    assert!((600..700).contains(&grace), "{grace}");
    (trial, machine)
}

fn end(trial: &Trial, machine: &str) -> Option<String> {
    trial.world.facts().mailboxes[machine].get("end").cloned()
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_answers_is_stopped_and_not_killed() {
    let (mut trial, machine) = asked().await;
    let nonce = trial.view().snapshot.instances[0].drain.as_ref().map(|drain| drain.nonce.clone());
    assert_eq!(
        (end(&trial, &machine), trial.world.want(&machine)),
        (nonce.clone(), nonce.map(|n| format!("drain:{n}")))
    );
    trial.pass(60).await;
    assert_eq!(trial.view().snapshot.instances[0].phase, Phase::Draining);
    assert_eq!(trial.world.calls("terminate"), 0);
    // Its task ends, and its gate answers.
    trial.world.ends_task(&machine);
    let answer = trial.world.want(&machine).unwrap().replace("drain:", "drained:");
    trial.world.facts().mailboxes.get_mut(machine.as_str()).unwrap().insert("state".to_owned(), answer);
    trial.pass(60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    let decided = trial.lines(EntryKind::Decided);
    assert!(decided.contains(&format!("have {machine} checkpoint its task and end it").as_str()), "{decided:?}");
    assert!(decided.contains(&format!("stop {machine}").as_str()), "{decided:?}");
    assert!(!decided.contains(&format!("kill {machine}").as_str()), "{decided:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_killed_when_its_time_is_over_and_asked_once_across_restarts() {
    let (mut trial, machine) = asked().await;
    let nonce = end(&trial, &machine);
    for _ in 0..4 {
        trial = restart(trial).await;
        trial.pass(60).await;
        assert_eq!((trial.world.calls("ask_end"), trial.world.calls("terminate")), (1, 0), "not again, and not early");
        let refusals: Vec<String> =
            trial.view().plan.refusals.iter().map(|refusal| refusal.reason.to_string()).collect();
        assert!(refusals.iter().any(|reason| reason.contains("asked to checkpoint at 08:")), "{refusals:?}");
    }
    assert_eq!(end(&trial, &machine), nonce);
    trial.pass(120).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    let killed = trial.journal.iter().find(|entry| entry.text == format!("kill {machine}")).unwrap();
    assert!(killed.reason.contains("says kill after 10m00: asked to checkpoint at 08:"), "{}", killed.reason);
    assert_eq!(trial.world.calls("ask_end"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_to_end_that_was_lost_is_written_again() {
    let (mut trial, machine) = asked().await;
    let nonce = end(&trial, &machine);
    trial.world.facts().mailboxes.get_mut(machine.as_str()).unwrap().remove("end");
    trial.pass(90).await;
    assert_eq!((end(&trial, &machine), trial.world.calls("terminate")), (nonce, 0));
}

//! The lead across hosts, where it is lost without being noticed, or nobody can say who has it.

use super::world::{Fate, Scripted};
use super::{Disk, SETTINGS, Trial};
use crate::engine::command::Command;
use crate::engine::event::Leader;
use crate::engine::lead::{Candidate, Times};
use crate::model::claim::ClaimNote;
use crate::model::ids::Term;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudState;
use crate::model::record::Record;
use crate::model::snapshot::Ask;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

fn note(console: &str) -> ClaimNote {
    ClaimNote { console: console.to_owned(), holder: console.to_owned(), ..ClaimNote::default() }
}

impl Trial {
    /// An armed loop that may lead, and after a moment does.
    async fn leading(waiting: usize) -> Self {
        Self::leading_with(SettingsFile::in_memory(SETTINGS).unwrap(), waiting, &[]).await
    }

    /// The first questions who leads meet these fates.
    async fn leading_with(settings: SettingsFile, waiting: usize, fates: &[Fate]) -> Self {
        let disk = Disk::default();
        disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
        let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
        let world = Scripted::new(clock, waiting);
        world.next("claims", fates);
        let mut setup = Self::setup(&world, &disk, clock, settings);
        setup.leader = Leader::Other("nobody yet".to_owned());
        setup.candidate = Some(Candidate { console: "a".to_owned(), holder: "a".to_owned(), times: Times::default() });
        let mut trial = Self::start_with(setup, world, disk, clock);
        trial.pass(if fates.is_empty() { 2 } else { 30 }).await;
        assert_eq!(trial.view().leader, Leader::Us(Term(1)));
        trial
    }
}

#[tokio::test(start_paused = true)]
async fn before_every_act_the_server_is_asked_who_leads() {
    let mut trial = Trial::leading(0).await;
    trial.pass(5).await;
    // Nothing has told this loop yet that another leads.
    trial.world.facts().claims.insert(Term(2), note("b"));
    trial.world.facts().waiting = vec!["t".into()];
    trial.ask(Command::Refresh).await.unwrap();
    trial.pass(1).await;
    assert_eq!((trial.world.calls("launch"), trial.world.facts().machines.len()), (0, 0));
    assert_eq!(trial.lines(EntryKind::Failed), ["did not launch 1 x g5.xlarge in gpu"]);
    assert!(matches!(&trial.view().leader, Leader::Other(who) if who == "b (term 2)"), "{:?}", trial.view().leader);
    assert_eq!(trial.view().snapshot.intents.len(), 0, "it holds no place for a machine that will not come");
    trial.pass(600).await;
    assert_eq!(trial.world.calls("launch"), 1, "b has shown no sign of life for a minute");
    assert_eq!(trial.view().leader, Leader::Us(Term(3)));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_kept_back_holds_no_place() {
    let mut trial = Trial::leading_with(super::kept::keeping(), 1, &[]).await;
    trial.pass(15).await;
    trial.world.registers();
    trial.world.takes_all_tasks();
    trial.pass(20 * 60).await;
    assert_eq!(trial.world.state("i-0"), Some(CloudState::Stopped));
    // Nothing has told this loop yet that another leads.
    trial.world.facts().claims.insert(Term(2), note("b"));
    trial.world.facts().waiting = vec!["t".into()];
    trial.ask(Command::Refresh).await.unwrap();
    trial.pass(1).await;
    assert_eq!((trial.world.calls("start"), trial.lines(EntryKind::Failed)), (0, vec!["did not start i-0 again"]));
    assert_eq!(trial.view().snapshot.intents, []);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_question_who_leads_or_in_a_sign_of_life_is_not_the_last_one() {
    let mut trial = Trial::leading_with(SettingsFile::in_memory(SETTINGS).unwrap(), 0, &[Fate::Panics]).await;
    trial.world.next("write_claim", &[Fate::Panics]);
    trial.pass(60).await;
    let before = trial.world.calls("write_claim");
    trial.pass(120).await;
    assert!(trial.world.calls("write_claim") > before);
    assert_eq!(trial.view().leader, Leader::Us(Term(1)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whom_the_looks_confirm_asks_seldom_and_writes_two_signs_of_life_a_minute() {
    let mut trial = Trial::leading(0).await;
    let count = |trial: &Trial| ["claims", "write_claim"].map(|call| trial.world.calls(call));
    let before = count(&trial);
    trial.pass(3_600).await;
    let [asked, written] = [0, 1].map(|call| count(&trial)[call] - before[call]);
    assert!((100..=125).contains(&written), "{written}");
    assert!(asked <= 60, "{asked}");
    assert_eq!(trial.view().leader, Leader::Us(Term(1)));
    // Looks that fail confirm nothing: it asks.
    trial.world.always("glance", Some(Fate::Refused));
    let before = count(&trial);
    trial.pass(600).await;
    assert!(count(&trial)[0] - before[0] >= 15);
    assert!(!trial.view().warnings.iter().any(|warning| warning.contains("does not confirm")));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_shows_another_s_claim_ends_the_lead() {
    let mut trial = Trial::leading(0).await;
    trial.pass(30).await;
    trial.world.facts().claims.insert(Term(2), note("b"));
    trial.ask(Command::Refresh).await.unwrap();
    trial.pass(1).await;
    assert!(matches!(&trial.view().leader, Leader::Other(who) if who == "b (term 2)"), "{:?}", trial.view().leader);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_claim_is_gone_claims_anew() {
    let mut trial = Trial::leading(0).await;
    trial.pass(30).await;
    trial.world.facts().claims.clear();
    trial.pass(40).await;
    assert_eq!(trial.view().leader, Leader::Us(Term(2)));
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_the_same_term_on_another_queue_is_another_s() {
    let mut trial = Trial::leading(0).await;
    trial.pass(30).await;
    {
        let mut facts = trial.world.facts();
        facts.restored = 1;
        facts.claims.clear();
        facts.claims.insert(Term(1), note("b"));
        facts.waiting = vec!["t".into()];
    }
    trial.pass(40).await;
    assert!(matches!(&trial.view().leader, Leader::Other(who) if who == "b (term 1)"), "{:?}", trial.view().leader);
    assert_eq!(trial.world.calls("launch"), 0);
    trial.pass(60).await;
    assert_eq!(trial.view().leader, Leader::Us(Term(2)), "b has shown no sign of life for a minute");
}

#[tokio::test(start_paused = true)]
async fn while_nobody_can_say_who_leads_only_a_person_s_stop_is_done() {
    let mut trial = Trial::leading(1).await;
    trial.pass(15).await;
    let machine = trial.world.registers();
    trial.world.always("claims", Some(Fate::Hangs));
    trial.world.always("glance", Some(Fate::Hangs));
    trial.pass(60).await;
    trial.world.facts().waiting = vec!["t1".into(), "t2".into()];
    trial.pass(60).await;
    assert_eq!(trial.world.calls("launch"), 1);
    assert!(trial.view().warnings.iter().any(|warning| warning.contains("does not confirm")));
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(30).await;
    assert_eq!(trial.world.calls("terminate"), 1);
    trial.world.always("claims", None);
    trial.world.always("glance", None);
    trial.pass(60).await;
    assert_eq!((trial.view().leader.clone(), trial.world.calls("launch")), (Leader::Us(Term(1)), 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_ordered_before_another_led_is_not_carried_through() {
    let mut trial = Trial::leading(1).await;
    trial.pass(15).await;
    let machine = trial.world.registers();
    trial.pass(15).await;
    trial.world.runs(&machine, "t0");
    trial.world.takes_all_tasks();
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(15).await;
    assert!(trial.world.want(&machine).unwrap().starts_with("drain:"));
    // Another leads for a while, cancels the drain, and ends.
    trial.world.facts().claims.insert(Term(2), note("b"));
    trial.pass(15).await;
    trial.world.facts().mailboxes.get_mut(machine.as_str()).unwrap().insert("want".to_owned(), "run".to_owned());
    trial.world.facts().claims.insert(Term(2), ClaimNote { armed: Some(true), ..note("b") }.released());
    trial.pass(120).await;
    assert_eq!(trial.view().leader, Leader::Us(Term(3)));
    assert_eq!(trial.world.want(&machine).as_deref(), Some("run"));
    assert_eq!(trial.world.calls("terminate"), 0);
}

//! What people ask for is done, or they are told why not.

use super::Trial;
use super::world::Fate;
use crate::engine::command::Command;
use crate::engine::event::Answer;
use crate::model::instance::Phase;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudState;
use crate::model::snapshot::Ask;

#[tokio::test(start_paused = true)]
async fn a_drain_by_hand_is_carried_through_while_the_loop_is_paused() {
    let (mut trial, machine) = Trial::idle().await;
    trial.ask(Command::Pause).await.unwrap();
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_the_loop_from_stopping_what_it_drained_itself() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().answers = false;
    trial.pass(11 * 60).await;
    assert!(trial.world.want(&machine).is_some_and(|want| want.starts_with("drain:")));
    trial.ask(Command::Pause).await.unwrap();
    let nonce = trial.world.want(&machine).unwrap().replace("drain:", "drained:");
    trial.world.facts().mailboxes.get_mut(machine.as_str()).unwrap().insert("state".to_owned(), nonce);
    trial.pass(120).await;
    assert_eq!(trial.world.calls("terminate"), 0);
    trial.ask(Command::Resume).await.unwrap();
    trial.pass(30).await;
    assert_eq!(trial.world.calls("terminate"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_shows_at_once() {
    let (mut trial, machine) = Trial::idle().await;
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    let phase = |trial: &Trial| trial.view().snapshot.instance(&machine.as_str().into()).map(|one| one.phase);
    assert_eq!(phase(&trial), Some(Phase::Draining));
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_the_cloud_refuses_is_tried_until_it_is_done_and_told_once() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.runs(&machine, "t0");
    trial.world.next("terminate", &[Fate::Refused; 4]);
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(10 * 60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    assert_eq!(trial.world.calls("terminate"), 5);
    assert_eq!(trial.lines(EntryKind::Failed), ["could not stop i-0"]);
    let kills = trial.lines(EntryKind::Decided).into_iter().filter(|text| text.starts_with("kill")).count();
    assert_eq!(kills, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_accepted_and_not_carried_out_is_sent_again_with_an_alarm() {
    let (mut trial, machine) = Trial::idle().await;
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(1).await;
    trial.world.facts().machines.get_mut(machine.as_str()).unwrap().state = CloudState::Running;
    trial.pass(240).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
    assert_eq!(trial.lines(EntryKind::Alarm).len(), 1, "{:?}", trial.lines(EntryKind::Alarm));
}

#[tokio::test(start_paused = true)]
async fn a_stop_of_a_machine_without_a_worker_ends_no_task_that_it_took_meanwhile() {
    let mut trial = Trial::armed(1).await;
    trial.pass(120).await;
    let machine = trial.world.facts().machines.keys().next().unwrap().to_string();
    trial.world.always("terminate", Some(Fate::Refused));
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: false }).await.unwrap();
    trial.pass(20).await;
    assert_eq!(trial.world.registers(), machine);
    trial.world.takes_all_tasks();
    trial.world.runs(&machine, "t0");
    trial.pass(60).await;
    trial.world.always("terminate", None);
    trial.pass(20 * 60).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Running));
    let alarms = trial.lines(EntryKind::Alarm);
    let told =
        format!("{machine} registered after its stop was decided: it may take tasks, and is not stopped; drain it");
    assert_eq!(alarms, [told]);
    let seen = trial.view().snapshot.instance(&machine.as_str().into()).cloned().unwrap();
    assert_eq!(seen.phase, Phase::Busy);
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(30).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_waits_for_the_order_that_is_on_its_way() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().answers = false;
    trial.world.next("order_drain", &[Fate::Slow(20)]);
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(5).await;
    trial.order(Ask::CancelDrain(machine.as_str().into())).await.unwrap();
    trial.pass(60).await;
    assert_eq!(trial.world.want(&machine).as_deref(), Some("run"));
    trial.pass(120).await;
    let view = trial.view();
    assert_eq!(view.snapshot.instance(&machine.as_str().into()).and_then(|one| one.drain.clone()), None);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_the_server_refuses_for_minutes_arrives_all_the_same() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().answers = false;
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(5).await;
    trial.world.always("cancel_drain", Some(Fate::Refused));
    trial.order(Ask::CancelDrain(machine.as_str().into())).await.unwrap();
    trial.pass(2 * 60).await;
    trial.world.always("cancel_drain", None);
    trial.pass(3 * 60).await;
    assert_eq!(trial.world.want(&machine).as_deref(), Some("run"));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_removed_from_its_mailbox_is_given_again() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.facts().answers = false;
    trial.order(Ask::Drain(machine.as_str().into())).await.unwrap();
    trial.pass(15).await;
    trial.world.facts().mailboxes.clear();
    trial.pass(30).await;
    assert!(trial.world.want(&machine).is_some_and(|want| want.starts_with("drain:")));
    let calls = trial.world.calls("order_drain");
    trial.pass(300).await;
    assert_eq!(trial.world.calls("order_drain"), calls);
}

#[tokio::test(start_paused = true)]
async fn an_emergency_stop_takes_the_machine_that_was_on_its_way_too() {
    let mut trial = Trial::armed(1).await;
    trial.world.next("launch", &[Fate::Slow(20)]);
    trial.pass(5).await;
    trial.order(Ask::StopAll).await.unwrap();
    let launch = Ask::Launch { pool: "gpu".into(), queue: "train".into() };
    assert!(trial.order(launch).await.is_err());
    trial.pass(120).await;
    assert_eq!(trial.world.state("i-0"), Some(CloudState::Terminated));
    trial.pass(600).await;
    trial.ask(Command::Resume).await.unwrap();
    trial.pass(60).await;
    assert_eq!(trial.world.state("i-1"), Some(CloudState::Pending));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_nobody_knew_can_be_killed_in_the_pass_that_adopts_it() {
    let (trial, machine) = Trial::idle().await;
    let mut trial = Trial { disk: super::Disk::default(), ..trial }.restart().await;
    trial.world.always("list", Some(Fate::Slow(5)));
    trial.ask(Command::Arm).await.unwrap();
    trial.pass(6).await;
    trial.order(Ask::Stop { instance: machine.as_str().into(), kill: true }).await.unwrap();
    trial.pass(20).await;
    assert_eq!(trial.world.state(&machine), Some(CloudState::Terminated));
}

#[tokio::test(start_paused = true)]
async fn two_people_who_read_one_console_both_get_their_answer() {
    let (mut trial, machine) = Trial::idle().await;
    trial.world.next("console", &[Fate::Slow(10)]);
    let first = super::Request { id: 900, by: "bo".into(), command: Command::BootLog(machine.as_str().into()) };
    trial.requests.send(first).await.unwrap();
    let answer = trial.ask(Command::BootLog(machine.as_str().into())).await;
    assert_eq!(answer, Ok(Answer::BootLog("booted".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_persons_deed_on_tasks_is_written_down_done_and_told() {
    use crate::model::journal::{EntryKind, JournalFilter};
    use crate::model::tasks::{NamedTask, TaskDeed};
    let (mut trial, _) = Trial::idle().await;
    trial.ask(Command::Arm).await.unwrap();
    let Ok(Answer::Tasks(tasks)) = trial.ask(Command::Tasks("train".into())).await else { panic!("no tasks") };
    let named = |id: &str| NamedTask { id: id.into(), name: format!("task {id}") };
    let deed = |ids: &[&str]| Command::TaskDeed {
        queue: "train".into(),
        tasks: ids.iter().map(|id| named(id)).collect(),
        deed: TaskDeed::TakeOut,
    };
    // Whatever waits, this one does not.
    let refused = trial.ask(deed(&["t-nowhere"])).await.unwrap_err();
    assert!(refused.contains("it does not wait there any more"), "{refused}");
    assert!(trial.ask(Command::Tasks("none".into())).await.unwrap_err().contains("no queue"), "{tasks:?}");
    let log = trial.ask(Command::TaskLog("t-1".into())).await;
    assert_eq!(log, Ok(Answer::TaskLog("t-1 says hello".to_owned())));
    let filter = JournalFilter { since: None, text: None, limit: 50 };
    let Ok(Answer::Journal(lines)) = trial.ask(Command::Journal(filter)).await else { panic!("no journal") };
    let told: Vec<_> = lines.iter().filter(|line| line.text.contains("t-nowhere")).map(|line| line.kind).collect();
    assert_eq!(told, [EntryKind::Failed, EntryKind::Decided], "the newest first");
    trial.ask(Command::Disarm).await.unwrap();
    assert!(trial.ask(deed(&["t-1"])).await.unwrap_err().contains("dry run"));
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_edited_as_a_whole_are_lived_by_with_who_did_it() {
    let mut trial = Trial::armed(0).await;
    let Ok(Answer::Text(was)) = trial.ask(Command::SettingsText).await else { panic!() };
    assert_eq!(was, super::SETTINGS);
    let bad = format!("{was}\n[limits\n");
    let refused = trial.ask(Command::Write { text: bad, was: was.clone() }).await.unwrap_err();
    assert!(refused.contains("this is not TOML"), "{refused}");
    let text = was.replace("[limits]\n", "[limits]\nmax_vcpu = 7000\n");
    let overtaken = trial.ask(Command::Write { text: text.clone(), was: "other".to_owned() }).await;
    assert_eq!(overtaken, Ok(Answer::Overtaken(was.clone())));
    assert!(matches!(trial.ask(Command::Write { text, was }).await, Ok(Answer::Said(_))));
    assert_eq!(trial.view().settings.limits.max_vcpu, Some(7000));
    let told = trial.journal.iter().find(|entry| entry.text.contains("edited as a whole")).unwrap();
    assert!(told.kind == EntryKind::Edited && told.by.as_str() != "loop", "{told:?}");
    assert_eq!(told.reason, "limits.max_vcpu = 7000, was not limited");
}

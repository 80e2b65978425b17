//! What became of a deed, as records. Pure but for the back-off, which is memory of the process only.

use jiff::Timestamp;

use crate::engine::act::breakers::Breakers;
use crate::engine::act::deed::{Deed, Done, Failed, LaunchDeed, Outcome};
use crate::engine::seen::notice::opened;
use crate::engine::words::line;
use crate::model::ids::{IntentId, TaskId};
use crate::model::journal::{EntryKind, Subject};
use crate::model::observed::LostTask;
use crate::model::plan::Action;
use crate::model::record::{Intent, IntentEnd, Memory, Record};
use crate::model::settings::GuardKind;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::Launched;
use crate::world::tracker::Requeue;

/// What follows from an outcome.
#[derive(Debug, Default)]
pub(in crate::engine) struct Consequence {
    pub records: Vec<Record>,
    pub deeds: Vec<Deed>,
}

/// Settles a deed of the loop. `first`: it has not failed like this before; only then is the failure told.
#[must_use]
pub(in crate::engine) fn settle(
    outcome: &Outcome,
    memory: &Memory,
    breakers: &mut Breakers,
    first: bool,
    now: Timestamp,
) -> Consequence {
    let Outcome { deed, result } = outcome;
    match (deed, result) {
        (Deed::Launch(order), Ok(Done::Launched(launched))) => made(order, launched, memory, breakers, now),
        (Deed::Launch(order), Err(failed)) => not_made(order, failed, memory, breakers, now),
        (Deed::Requeue { lost, attempt }, Ok(Done::Requeue(requeue))) => {
            Consequence { records: requeued(lost, *attempt, *requeue, now), ..Consequence::default() }
        }
        (Deed::Enqueue { task, .. }, Ok(Done::Requeue(Requeue::Enqueued))) => {
            let line = line(now, EntryKind::Done, format!("task {task} waits in its queue again"));
            Consequence { records: vec![line.about(of_task(task)).record()], ..Consequence::default() }
        }
        (_, Err(failed)) if first && !matches!(deed, Deed::BootLog { .. }) => {
            Consequence { records: vec![told(deed, failed, now)], ..Consequence::default() }
        }
        _ => Consequence::default(),
    }
}

fn told(deed: &Deed, failed: &Failed, now: Timestamp) -> Record {
    let doubt = if failed.may_have_acted { "it is not known whether it was done" } else { "it was not done" };
    let subject = Subject { instance: deed.instance().cloned(), ..Subject::default() };
    let reason = format!("{}: {} ({doubt})", failed.class.word(), failed.message);
    line(now, EntryKind::Failed, format!("could not {deed}")).about(subject).because(&reason).record()
}

fn of_task(task: &TaskId) -> Subject {
    Subject { task: Some(task.clone()), ..Subject::default() }
}

fn requeued(lost: &LostTask, attempt: u32, requeue: Requeue, now: Timestamp) -> Vec<Record> {
    let closed = Record::RequeueClosed(lost.task.clone());
    let subject = Subject { instance: Some(lost.instance.clone()), ..of_task(&lost.task) };
    match requeue {
        Requeue::Enqueued => {
            let line =
                line(now, EntryKind::Done, format!("task {} waits in its queue again", lost.task)).about(subject);
            vec![Record::Requeued { task: lost.task.clone(), count: attempt }, closed, line.record()]
        }
        Requeue::NotNeeded => {
            let line = line(now, EntryKind::Seen, format!("task {} went on without us", lost.task)).about(subject);
            vec![closed, line.record()]
        }
    }
}

fn intents<'a>(order: &LaunchDeed, memory: &'a Memory) -> impl Iterator<Item = &'a Intent> {
    let batch = order.batch.clone();
    memory.intents.values().filter(move |intent| intent.batch == batch)
}

fn close(intent: &IntentId, end: IntentEnd) -> Record {
    Record::IntentClosed { id: intent.clone(), end }
}

/// Intents that a listing has settled meanwhile are not in the memory any more.
fn made(
    order: &LaunchDeed,
    launched: &[Launched],
    memory: &Memory,
    breakers: &mut Breakers,
    now: Timestamp,
) -> Consequence {
    let mut consequence = Consequence::default();
    let mut short = 0;
    for intent in intents(order, memory) {
        let Some(machine) = launched.iter().find(|machine| machine.intent == intent.id) else {
            short += 1;
            consequence.records.push(close(&intent.id, IntentEnd::Refused));
            continue;
        };
        let opened = opened(intent, machine.id.clone(), machine.launched, machine.zone.clone());
        let text = format!("{} was launched", machine.id);
        let line = line(now, EntryKind::Done, text).about_machine(&opened.known).intent(Some(&intent.id));
        consequence.records.extend([
            Record::Opened(Box::new(opened)),
            close(&intent.id, IntentEnd::Made),
            line.record(),
        ]);
    }
    if order.pool.guard == GuardKind::Gate {
        consequence.deeds =
            launched.iter().map(|machine| Deed::CreateMailbox { instance: machine.id.clone() }).collect();
    }
    let kind = (order.launch.pool.clone(), order.launch.machine_type.clone());
    if short == 0 {
        breakers.reset(&kind);
    } else {
        let message = format!("the cloud started {} of {}", launched.len(), order.launch.count);
        breakers.strike(kind, ErrorClass::Capacity, &message, now);
        let line = line(now, EntryKind::Failed, format!("{short} x {} were not started", order.launch.machine_type));
        let subject = Action::Launch(order.launch.clone()).subject();
        consequence.records.push(line.about(subject).because(&message).intent(Some(&order.batch)).record());
    }
    consequence
}

fn not_made(
    order: &LaunchDeed,
    failed: &Failed,
    memory: &Memory,
    breakers: &mut Breakers,
    now: Timestamp,
) -> Consequence {
    let kind = (order.launch.pool.clone(), order.launch.machine_type.clone());
    breakers.strike(kind, failed.class, &failed.message, now);
    let mut records: Vec<Record> = intents(order, memory)
        .map(|intent| {
            if failed.may_have_acted {
                Record::IntentUnknown(intent.id.clone())
            } else {
                close(&intent.id, IntentEnd::Refused)
            }
        })
        .collect();
    let doubt = if failed.may_have_acted {
        "the machines may exist: they count until the cloud shows otherwise"
    } else {
        "nothing was started"
    };
    let launch = &order.launch;
    let text = format!("launch of {} x {} in {} failed", launch.count, launch.machine_type, launch.pool);
    let subject = Action::Launch(launch.clone()).subject();
    let reason = format!("{}: {}; {doubt}", failed.class.word(), failed.message);
    records
        .push(line(now, EntryKind::Failed, text).about(subject).because(&reason).intent(Some(&order.batch)).record());
    Consequence { records, ..Consequence::default() }
}

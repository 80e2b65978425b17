//! What became of a deed, as records. Pure but for the back-off, which is memory of the process only.

use jiff::Timestamp;

use crate::engine::act::breakers::Breakers;
use crate::engine::act::deed::{Deed, Done, Failed, LaunchDeed, Outcome};
use crate::engine::act::pods::{put_back, tried_all};
use crate::engine::seen::notice::opened;
use crate::engine::words::line;
use crate::model::catalogue::Catalogue;
use crate::model::ids::{InstanceId, IntentId, TaskId, Zone};
use crate::model::journal::{EntryKind, Subject};
use crate::model::observed::LostTask;
use crate::model::plan::Action;
use crate::model::record::{Intent, IntentEnd, Memory, Record};
use crate::model::settings::GuardKind;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Launched, Leftover};
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
    catalogue: &Catalogue,
    now: Timestamp,
) -> Consequence {
    let Outcome { deed, result } = outcome;
    match (deed, result) {
        (Deed::Launch(order), Ok(Done::Tried(tried))) => tried_all(order, tried, memory, breakers, now),
        (Deed::PutBack { of, count, give_up, .. }, Ok(Done::Requeue(requeue))) => Consequence {
            records: put_back(&of.attempt, *count, give_up.as_deref(), *requeue, now),
            ..Consequence::default()
        },
        (Deed::Launch(order), Ok(Done::Launched(launched))) => made(order, launched, memory, breakers, catalogue, now),
        (Deed::Launch(order), Err(failed)) => not_made(order, failed, memory, breakers, now),
        (Deed::Requeue { lost, attempt }, Ok(Done::Requeue(requeue))) => {
            // What the machine's mailbox had to say is heard, once no other task of its is on the way.
            let of_mailbox = |other: &LostTask| other.worker.is_none() && other.instance == lost.instance;
            let more = memory.requeueing.values().any(|other| of_mailbox(other) && other.task != lost.task);
            let heard = of_mailbox(lost) && !more;
            let heard = heard.then(|| Deed::DeleteMailbox { instance: lost.instance.clone() });
            Consequence { records: requeued(lost, *attempt, *requeue, now), deeds: heard.into_iter().collect() }
        }
        (Deed::Start { instance, intent, .. }, Err(failed)) => {
            Consequence { records: not_started(instance, intent, failed, now), ..Consequence::default() }
        }
        (Deed::Enqueue { task, .. }, Ok(Done::Requeue(Requeue::Enqueued))) => {
            let line = line(now, EntryKind::Done, format!("task {task} waits in its queue again"));
            Consequence { records: vec![line.about(of_task(task)).record()], ..Consequence::default() }
        }
        (Deed::Sweep { sweep, .. }, Ok(Done::Swept(leftovers))) => Consequence {
            records: leftovers.iter().map(|leftover| left_behind(leftover, &sweep.region, now)).collect(),
            ..Consequence::default()
        },
        (_, Err(failed)) if first && !matches!(deed, Deed::BootLog { .. }) => {
            Consequence { records: vec![told(deed, failed, now)], ..Consequence::default() }
        }
        _ => Consequence::default(),
    }
}

fn left_behind(leftover: &Leftover, region: &str, now: Timestamp) -> Record {
    let (kind, text) = match leftover {
        Leftover::Disk { id, gigabytes, deleted_at } => {
            let until = deleted_at.strftime("%H:%M:%SZ");
            let what = format!("the disk {id} in {region}, {gigabytes} GiB, has no machine");
            (EntryKind::Alarm, format!("{what}: it is deleted after {until}; take its tag or label off to keep it"))
        }
        Leftover::DiskDeleted { id, gigabytes } => {
            (EntryKind::Done, format!("the disk {id} in {region}, {gigabytes} GiB, was deleted: it had no machine"))
        }
        Leftover::TemplateDeleted { name } => {
            (EntryKind::Done, format!("the launch template {name} in {region} was deleted: its launch was cut short"))
        }
        Leftover::RequestCancelled { id } => {
            let why = "it was still open, and would have been a machine that nobody decided";
            (EntryKind::Alarm, format!("the spot request {id} in {region} was cancelled: {why}"))
        }
    };
    line(now, kind, text).record()
}

fn told(deed: &Deed, failed: &Failed, now: Timestamp) -> Record {
    let doubt = if failed.may_have_acted { "it is not known whether it was done" } else { "it was not done" };
    let subject = Subject { instance: deed.instance().cloned(), ..Subject::default() };
    let reason = format!("{}: {} ({doubt})", failed.class.word(), failed.message);
    line(now, EntryKind::Failed, format!("could not {deed}")).about(subject).because(&reason).record()
}

/// Its intent stands while it may have been started all the same; refused for certain, another is launched.
fn not_started(instance: &InstanceId, intent: &IntentId, failed: &Failed, now: Timestamp) -> Vec<Record> {
    let (record, doubt) = if failed.may_have_acted {
        (Record::IntentUnknown(intent.clone()), "it may run: it counts until the cloud shows otherwise")
    } else {
        (close(intent, IntentEnd::Refused), "it stays off, and another is launched")
    };
    let subject = Subject { instance: Some(instance.clone()), ..Subject::default() };
    let reason = format!("{}: {}; {doubt}", failed.class.word(), failed.message);
    let line = line(now, EntryKind::Failed, format!("{instance} was not started again"));
    vec![record, line.about(subject).because(&reason).intent(Some(intent)).record()]
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

pub(super) fn close(intent: &IntentId, end: IntentEnd) -> Record {
    Record::IntentClosed { id: intent.clone(), end }
}

/// Intents that a listing has settled meanwhile are not in the memory any more.
fn made(
    order: &LaunchDeed,
    launched: &[Launched],
    memory: &Memory,
    breakers: &mut Breakers,
    catalogue: &Catalogue,
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
        let Launched { id, machine_type, zone, .. } = machine;
        let image = machine.image.as_ref().map(|image| format!(" of {image}")).unwrap_or_default();
        let line = line(now, EntryKind::Done, format!("{id} was launched{image}")).intent(Some(&intent.id));
        let line = line.because(&order.chosen(machine_type).unwrap_or_default());
        let Some(launched) = machine.launched else {
            // It is in the ledger as soon as the cloud says since when it is there.
            let subject = Subject { instance: Some(id.clone()), ..Action::Launch(order.launch.clone()).subject() };
            consequence.records.extend([Record::IntentUnknown(intent.id.clone()), line.about(subject).record()]);
            continue;
        };
        let opened = opened(intent, id.clone(), machine_type, launched, zone.clone());
        let opened = opened.with_extras(Some(&order.pool), catalogue);
        let line = line.about_machine(&opened.known);
        consequence.records.extend([
            Record::Opened(Box::new(opened)),
            close(&intent.id, IntentEnd::Made),
            line.record(),
        ]);
    }
    if order.pool.guard != GuardKind::Off {
        consequence.deeds =
            launched.iter().map(|machine| Deed::CreateMailbox { instance: machine.id.clone() }).collect();
    }
    let first = launched.first();
    let zone = first.and_then(|machine| machine.zone.as_ref());
    let no_capacity = |message: &str| Failed {
        class: ErrorClass::Capacity,
        message: message.to_owned(),
        may_have_acted: false,
        quota: None,
        passed_over: Vec::new(),
    };
    breakers.passed_over(order, first.map(|machine| machine.passed_over.as_slice()).unwrap_or_default(), now);
    if short == 0 {
        let machine_type = first.map_or(&order.launch.machine_type, |machine| &machine.machine_type);
        breakers.succeeded(&order.come_to(machine_type), zone, now);
    } else {
        let message = format!("the cloud started {} of {}", launched.len(), order.launch.count);
        // Where the pool leaves the zone to the cloud, it has looked in all of them.
        let without: Vec<Zone> = zone.filter(|_| !order.pool.launch.zones.is_empty()).cloned().into_iter().collect();
        breakers.refused(order, &no_capacity(&message), &without, now);
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
    breakers.failed(order, failed, now);
    // Of pods nothing was asked for yet: their tasks wait where they did.
    let settled = order.tries.iter().filter(|_| !failed.may_have_acted);
    let settled = settled.map(|one| Record::AttemptSettled(one.attempt.instance.clone()));
    let mut records: Vec<Record> = intents(order, memory)
        .map(|intent| {
            if failed.may_have_acted {
                Record::IntentUnknown(intent.id.clone())
            } else {
                close(&intent.id, IntentEnd::Refused)
            }
        })
        .chain(settled)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::act::decide::Decision;
    use crate::engine::act::decide::tests::{chosen, decided, launch};
    use crate::engine::seen::example::Fleet;
    use crate::model::record::IntentOutcome;
    use crate::model::settings::Market;
    use crate::world::cloud::PassedOver;
    use crate::world::cloud::Sweep;

    /// A launch of two that was written down, and its deed.
    fn launching() -> (Fleet, Deed) {
        let mut fleet = Fleet::new();
        fleet.look();
        let Decision { records, deed } = decided(&fleet, launch(2)).unwrap();
        for record in &records {
            fleet.memory.apply(record);
        }
        (fleet, deed.unwrap())
    }

    fn failed(may_have_acted: bool) -> Failed {
        Failed {
            class: ErrorClass::Unknown,
            message: "no".to_owned(),
            may_have_acted,
            quota: None,
            passed_over: Vec::new(),
        }
    }

    /// The records without journal lines, the journal's texts, and the deeds that follow.
    fn settled(
        fleet: &Fleet,
        breakers: &mut Breakers,
        first: bool,
        deed: Deed,
        result: Result<Done, Failed>,
    ) -> (Vec<Record>, Vec<String>, usize) {
        let outcome = Outcome { deed, result };
        let Consequence { records, deeds } =
            settle(&outcome, &fleet.memory, breakers, first, &fleet.catalogue, fleet.now);
        let text = |record: &Record| match record {
            Record::Journal(entry) => Some(entry.text.clone()),
            _ => None,
        };
        let told = records.iter().filter_map(text).collect();
        let changes = records.into_iter().filter(|record| !matches!(record, Record::Journal(_))).collect();
        (changes, told, deeds.len())
    }

    fn made(fleet: &Fleet, count: usize) -> Vec<Launched> {
        let intents = fleet.memory.intents.keys().take(count).enumerate();
        let machine = |(place, intent): (usize, &IntentId)| Launched {
            image: Some("ami-1".to_owned()),
            id: format!("i-{place}").into(),
            intent: intent.clone(),
            machine_type: "g5.xlarge".into(),
            launched: Some(fleet.now),
            zone: None,
            passed_over: Vec::new(),
        };
        intents.map(machine).collect()
    }

    fn ends(records: &[Record]) -> Vec<IntentEnd> {
        let end = |record: &Record| match record {
            Record::IntentClosed { end, .. } => Some(*end),
            _ => None,
        };
        records.iter().filter_map(end).collect()
    }

    #[test]
    fn a_launch_is_billed_for_what_it_made_and_backs_off_for_what_it_did_not() {
        for (count, expected, waiting) in [
            (2, vec![IntentEnd::Made, IntentEnd::Made], 0),
            (1, vec![IntentEnd::Made, IntentEnd::Refused], 1),
            (0, vec![IntentEnd::Refused, IntentEnd::Refused], 1),
        ] {
            let (mut fleet, deed) = launching();
            let mut breakers = Breakers::default();
            let launched = made(&fleet, count);
            let (records, _, deeds) = settled(&fleet, &mut breakers, true, deed, Ok(Done::Launched(launched)));
            assert_eq!(ends(&records), expected);
            assert_eq!((deeds, breakers.waiting(fleet.now).len()), (count, waiting));
            for record in &records {
                fleet.memory.apply(record);
            }
            assert_eq!((fleet.memory.intents.len(), fleet.memory.ledger.open().len()), (0, count));
        }
    }

    /// A launch for which the cloud chose the second type.
    fn come_to(launched: Option<Timestamp>, now: Timestamp, intent: &IntentId) -> Launched {
        Launched {
            id: "i-7".into(),
            intent: intent.clone(),
            machine_type: "g5.2xlarge".into(),
            launched: launched.map(|_| now),
            zone: Some("a".into()),
            image: None,
            passed_over: vec![PassedOver {
                machine_type: "g5.xlarge".into(),
                zone: Some("a".into()),
                class: ErrorClass::Capacity,
                message: "none".to_owned(),
            }],
        }
    }

    #[test]
    fn a_machine_is_of_the_type_and_at_the_price_that_the_cloud_chose() {
        for listed in [true, false] {
            let (mut fleet, action) = chosen();
            let Decision { records, deed } = decided(&fleet, action).unwrap();
            for record in &records {
                fleet.memory.apply(record);
            }
            let intent = fleet.memory.intents.values().next().unwrap().clone();
            assert_eq!(intent.choice().as_deref(), Some("EC2 chooses among 3 types"));
            let machine = come_to(listed.then_some(fleet.now), fleet.now, &intent.id);
            let mut breakers = Breakers::default();
            let outcome = Outcome { deed: deed.unwrap(), result: Ok(Done::Launched(vec![machine])) };
            let Consequence { records, .. } =
                settle(&outcome, &fleet.memory, &mut breakers, true, &fleet.catalogue, fleet.now);
            let why = records.iter().find_map(|record| match record {
                Record::Journal(entry) => Some(entry.reason.as_str()),
                _ => None,
            });
            assert_eq!(why, Some("EC2 chose g5.2xlarge among 3 types and 2 zones"));
            let waiting = breakers.waiting(fleet.now);
            assert_eq!(waiting[0].on.to_string(), "aws us-east-1 g5.xlarge spot in a");
            for record in &records {
                fleet.memory.apply(record);
            }
            if !listed {
                assert_eq!(fleet.memory.intents[&intent.id].outcome, IntentOutcome::Unknown, "the list will tell");
                let of_list = Fleet::listed("i-7", "g5.2xlarge", &intent.id, fleet.now);
                fleet.machines.push(of_list);
                fleet.live(0);
            }
            let known = &fleet.memory.known["i-7"];
            assert_eq!((known.machine_type.as_str(), known.vcpu, known.market), ("g5.2xlarge", 8, Market::Spot));
            let interval = &fleet.memory.ledger.open()["i-7"];
            assert_eq!((interval.rate, interval.reservation), (intent.choices[1].rate, intent.choices[1].reservation));
            assert!(fleet.memory.intents.is_empty());
        }
    }

    #[test]
    fn a_launch_that_failed_frees_its_place_only_when_that_is_certain() {
        for (may_have_acted, left) in [(false, 0), (true, 2)] {
            let (mut fleet, deed) = launching();
            let mut breakers = Breakers::default();
            let (records, told, _) = settled(&fleet, &mut breakers, true, deed, Err(failed(may_have_acted)));
            for record in &records {
                fleet.memory.apply(record);
            }
            assert_eq!((fleet.memory.intents.len(), told.len()), (left, 1));
            assert_eq!(breakers.waiting(fleet.now).len(), 1);
        }
    }

    #[test]
    fn a_machine_that_the_list_showed_before_the_answer_came_is_not_taken_in_twice() {
        let (mut fleet, deed) = launching();
        let launched = made(&fleet, 2);
        let intents: Vec<IntentId> = fleet.memory.intents.keys().cloned().collect();
        for id in intents {
            fleet.memory.apply(&close(&id, IntentEnd::Made));
        }
        let (records, ..) = settled(&fleet, &mut Breakers::default(), true, deed, Ok(Done::Launched(launched)));
        assert_eq!(records, []);
    }

    #[test]
    fn a_requeue_ends_with_an_answer_and_not_with_a_failure() {
        let lost = LostTask {
            task: "t".into(),
            queue: "q-train".into(),
            worker: Some("lab:gpu:g5.xlarge:i-1".into()),
            instance: "i-1".into(),
            started: None,
        };
        let closed = Record::RequeueClosed("t".into());
        let counted = Record::Requeued { task: "t".into(), count: 2 };
        for (result, first, records, told) in [
            (Ok(Done::Requeue(Requeue::Enqueued)), true, vec![counted, closed.clone()], 1),
            (Ok(Done::Requeue(Requeue::NotNeeded)), true, vec![closed], 1),
            (Err(failed(false)), true, vec![], 1),
            (Err(failed(true)), false, vec![], 0),
        ] {
            let deed = Deed::Requeue { lost: lost.clone(), attempt: 2 };
            let (done, lines, deeds) = settled(&Fleet::new(), &mut Breakers::default(), first, deed, result);
            assert_eq!((done, lines.len(), deeds), (records, told, 0));
        }
        // Its mailbox told of it, and is not needed any more.
        let deed = Deed::Requeue { lost: LostTask { worker: None, ..lost }, attempt: 1 };
        let requeued = Ok(Done::Requeue(Requeue::Enqueued));
        assert_eq!(settled(&Fleet::new(), &mut Breakers::default(), true, deed, requeued).2, 1);
    }

    #[test]
    fn a_failure_is_told_once_and_changes_nothing() {
        let instance: InstanceId = "i-1".into();
        for deed in [
            Deed::Drain { instance: instance.clone(), nonce: "n".to_owned(), hold: false },
            Deed::CancelDrain { instance: instance.clone(), nonce: "n".to_owned(), hold: false },
            Deed::Stop { provider: crate::model::settings::Provider::Aws, region: "r".to_owned(), instance },
            Deed::Unregister { worker: "w".into() },
        ] {
            for (first, told) in [(true, 1), (false, 0)] {
                let fleet = Fleet::new();
                let (records, lines, _) =
                    settled(&fleet, &mut Breakers::default(), first, deed.clone(), Err(failed(true)));
                assert_eq!((records, lines.len()), (vec![], told), "{deed}");
            }
        }
    }

    #[test]
    fn what_was_left_behind_is_told_as_it_is_seen_and_as_it_is_cleared_away() {
        let fleet = Fleet::new();
        let sweep = Sweep {
            fleet: "lab".into(),
            region: "us-east-1".to_owned(),
            now: fleet.now,
            spot_requests: true,
            templates: true,
        };
        let deed = Deed::Sweep { provider: crate::model::settings::Provider::Aws, sweep };
        let id = || "vol-1".to_owned();
        let result = Ok(Done::Swept(vec![
            Leftover::Disk { id: id(), gigabytes: 100, deleted_at: Timestamp::UNIX_EPOCH },
            Leftover::DiskDeleted { id: id(), gigabytes: 100 },
            Leftover::TemplateDeleted { name: "tidegate-b".to_owned() },
            Leftover::RequestCancelled { id: "sir-1".to_owned() },
        ]));
        let (changes, told, deeds) = settled(&fleet, &mut Breakers::default(), true, deed, result);
        assert_eq!((changes.len(), deeds), (0, 0));
        assert_eq!(
            told,
            [
                "the disk vol-1 in us-east-1, 100 GiB, has no machine: it is deleted after 00:00:00Z; take its tag or label off to keep it",
                "the disk vol-1 in us-east-1, 100 GiB, was deleted: it had no machine",
                "the launch template tidegate-b in us-east-1 was deleted: its launch was cut short",
                "the spot request sir-1 in us-east-1 was cancelled: it was still open, and would have been a machine that nobody decided",
            ]
        );
    }
}

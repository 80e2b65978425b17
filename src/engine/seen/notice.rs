//! What a look at the world changes in the memory: machines that appear, register, take and end tasks, answer a drain,
//! end, and are gone. Pure: facts in, records out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::adopt::adopted;
use crate::engine::seen::agents::{Row, Rows};
use crate::engine::seen::bill::{absent_from, bill_ends, disks_billed, disks_end};
use crate::engine::seen::facts::{Facts, Fresh, Region};
use crate::engine::seen::join;
use crate::engine::seen::pods;
use crate::engine::seen::sight::{ABSENT_PROOFS, SeenTask, Sights, restarted};
use crate::engine::words::line;
use crate::model::attempt::PodState;
use crate::model::catalogue::Catalogue;
use crate::model::ids::{InstanceId, IntentId, MachineType, PoolName, TaskId, Zone};
use crate::model::instance::{Origin, Power};
use crate::model::journal::EntryKind;
use crate::model::ledger::{Interval, Share};
use crate::model::money::{Money, Rate};
use crate::model::observed::{CloudInstance, CloudState, Mailbox};
use crate::model::plan::Choice;
use crate::model::reason::counted;
use crate::model::record::{Intent, IntentEnd, KnownInstance, Memory, Opened, Record};
use crate::model::settings::{Provider, Settings};
use crate::model::span::Short;
use crate::model::waste::Standing;

/// What is known beside the facts.
#[derive(Debug)]
pub(in crate::engine) struct Known<'a> {
    pub facts: &'a Facts,
    pub sights: &'a Sights,
    pub memory: &'a Memory,
    pub settings: &'a Settings,
    pub catalogue: &'a Catalogue,
    /// Intents whose call is under way: their machines may come by its answer.
    pub calling: &'a BTreeSet<IntentId>,
    pub now: Timestamp,
}

/// The records of one look.
#[must_use]
pub(in crate::engine) fn notice(known: &Known<'_>, fresh: &Fresh) -> Vec<Record> {
    let mut records = Vec::new();
    if known.memory.ledger.whole_since.is_none() {
        records.push(Record::LedgerWholeSince(known.now));
    }
    records.extend(pods::set_back(known));
    records.extend(known.memory.intents.values().flat_map(|intent| known.of_intent(intent, fresh)));
    // How many boots in a row have failed, with those of this look.
    let boots = known.memory.boots_failed.iter();
    let mut boots_failed: BTreeMap<&PoolName, usize> = boots.map(|(pool, failed)| (pool, failed.len())).collect();
    let rows = Rows::new(known.facts, &known.settings.the_loop.fleet);
    for machine in known.memory.known.values() {
        if fresh.clearml
            && machine.provider != Provider::Kubernetes
            && let rows = rows.of(&machine.id)
            && !rows.is_empty()
        {
            let told = known.of_workers(machine, rows);
            if told.iter().any(|record| matches!(record, Record::BootsForgiven(_))) {
                boots_failed.remove(&machine.pool);
            }
            records.extend(told);
        }
        if fresh.clearml {
            records.extend(known.of_drain(machine, rows.of(&machine.id)));
        }
        if fresh.saw(&Region { provider: machine.provider, name: machine.region.clone() }) {
            records.extend(known.of_machine(machine));
        }
        if machine.provider == Provider::Kubernetes {
            records.extend(pods::charged(known, machine));
        } else if fresh.clearml && rows.of(&machine.id).is_empty() {
            records.extend(known.of_boot(machine, boots_failed.entry(&machine.pool).or_default()));
        }
    }
    records.extend(pods::found(known));
    records.extend(pods::stranded(known, fresh));
    records.extend(known.ended_unknown().flat_map(|machine| known.of_ended_unknown(machine)));
    records
}

/// The machine that an intent made, and the beginning of its bill.
#[must_use]
pub(in crate::engine) fn opened(
    intent: &Intent,
    instance: InstanceId,
    machine_type: &MachineType,
    launched: Timestamp,
    zone: Option<Zone>,
) -> Opened {
    let Choice { machine_type, vcpu, gpu, rate, reservation } = intent.come_to(machine_type);
    Opened {
        interval: Interval {
            instance: instance.clone(),
            pool: intent.pool.clone(),
            home: intent.queue.clone(),
            rate,
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation,
            start: launched,
            end: None,
            shares: vec![match intent.provider {
                Provider::Kubernetes => Share::waits(launched, intent.queue.clone()),
                _ => Share::boot(launched, intent.queue.clone()),
            }],
        },
        known: KnownInstance {
            id: instance,
            provider: intent.provider,
            region: intent.region.clone(),
            pool: intent.pool.clone(),
            home: intent.queue.clone(),
            machine_type,
            zone,
            market: intent.market,
            vcpu,
            gpu,
            intent: Some(intent.id.clone()),
            origin: Origin::Launched,
            launched,
            // A pod has its task from the beginning.
            registered: intent.provider == Provider::Kubernetes,
            drain: None,
            hold: None,
            stop_sent: None,
            power: Power::On,
            replace: None,
            started_again: false,
            max_life: intent.max_life,
        },
    }
}

impl Known<'_> {
    fn of_intent(&self, intent: &Intent, fresh: &Fresh) -> Vec<Record> {
        let started = intent.starts.as_ref().and_then(|id| self.memory.known.get(id));
        if let Some((known, shown)) = started.and_then(|known| Some((known, restarted(known, self.facts)?))) {
            let bill = Interval { reservation: intent.reservation, ..self.bill(known, shown) };
            let home = intent.queue.clone();
            let restarted = begun_anew(KnownInstance { home, ..known.clone() }, shown, bill);
            let text = format!("{} runs again", known.id);
            let line = line(self.now, EntryKind::Done, text).about_machine(known).intent(Some(&intent.id));
            let closed = Record::IntentClosed { id: intent.id.clone(), end: IntentEnd::Made };
            return vec![restarted, closed, line.record()];
        }
        let made = self.facts.machines.values().find(|machine| machine.tags.intent.as_ref() == Some(&intent.id));
        if let Some(machine) = made {
            let CloudInstance { id, machine_type, launched, zone, .. } = machine;
            let opened = opened(intent, id.clone(), machine_type, *launched, zone.clone());
            let opened = opened.with_extras(self.settings.pool(&intent.pool), self.catalogue);
            let text = format!("{} is the machine of its launch", machine.id);
            let mut line = line(self.now, EntryKind::Seen, text).about_machine(&opened.known).intent(Some(&intent.id));
            if !intent.choices.is_empty() {
                let types = counted(u64::try_from(intent.choices.len()).unwrap_or(u64::MAX), "type");
                line = line.because(&format!("{} chose {machine_type} among {types}", intent.provider.name()));
            }
            let closed = Record::IntentClosed { id: intent.id.clone(), end: IntentEnd::Made };
            return vec![Record::Opened(Box::new(opened)), closed, line.record()];
        }
        let asked = fresh.saw(&Region { provider: intent.provider, name: intent.region.clone() });
        let absent = self.sights.absences(&intent.id) >= ABSENT_PROOFS;
        if asked && absent && !self.calling.contains(&intent.id) {
            let text = format!("no machine of launch {} appeared: it is given up", intent.id);
            let after = Short(self.now.duration_since(intent.opened).max(SignedDuration::ZERO));
            let why = match intent.provider {
                Provider::Kubernetes => format!("there is no Job of it, {after} after the call"),
                _ => format!("absent from {ABSENT_PROOFS} listings, {after} after the call"),
            };
            let line = line(self.now, EntryKind::Seen, text).intent(Some(&intent.id)).because(&why);
            return vec![Record::IntentClosed { id: intent.id.clone(), end: IntentEnd::NeverAppeared }, line.record()];
        }
        Vec::new()
    }

    fn of_workers(&self, machine: &KnownInstance, rows: &[Row<'_>]) -> Vec<Record> {
        if machine.power.is_off() {
            // A row that its worker left behind.
            return Vec::new();
        }
        let mut records = Vec::new();
        if !machine.registered {
            let first = rows.iter().map(|row| row.worker.registered).min().unwrap_or(self.now);
            let boot = first.duration_since(machine.launched).max(SignedDuration::ZERO);
            records.push(Record::Registered(machine.id.clone()));
            if machine.origin == Origin::Launched {
                let (pool, duration) = (machine.pool.clone(), boot);
                records.push(if machine.started_again {
                    Record::StartTook { pool, duration }
                } else {
                    Record::BootTook { pool, duration }
                });
                if self.memory.boots_failed.contains_key(&machine.pool) {
                    records.push(Record::BootsForgiven(machine.pool.clone()));
                }
            }
            let text = format!("{} registered {} after its launch", machine.id, Short(boot));
            records.push(line(self.now, EntryKind::Seen, text).about_machine(machine).record());
        }
        records.extend(self.of_tasks(machine, rows));
        records
    }

    /// Whose money the machine's time is, and how long tasks take. Of several tasks at once it is the one's that began
    /// first, until that ends.
    fn of_tasks(&self, machine: &KnownInstance, rows: &[Row<'_>]) -> Vec<Record> {
        let Some(interval) = self.memory.ledger.open().get(&machine.id) else { return Vec::new() };
        let Some(charged) = interval.shares.last() else { return Vec::new() };
        let sight = self.sights.of(&machine.id);
        let several = rows.iter().any(|row| row.agent.is_some());
        let mut records = Vec::new();
        if several {
            records.extend(sight.ended.iter().map(|ended| self.took(machine, ended)));
        }
        let tasks = || rows.iter().filter_map(|row| row.worker.task.as_ref());
        let goes_on = tasks().find(|task| Some(&task.id) == charged.task.as_ref());
        let running = goes_on.or_else(|| tasks().min_by_key(|task| sight.since(&task.id)));
        let running_id: Option<&TaskId> = running.map(|task| &task.id);
        let owner = running_id.and_then(|task| self.facts.owners.get(task)).cloned();
        let standing = standing(machine, charged);
        let stands = running.is_some() || charged.standing == standing;
        if running_id == charged.task.as_ref() && stands && owner.as_ref().is_none_or(|owner| *owner == charged.owner) {
            return records;
        }
        let queue = running
            .and_then(|task| task.queue.as_ref())
            .and_then(|id| self.facts.queues.by_id(id))
            .map_or_else(|| machine.home.clone(), |queue| queue.name.clone());
        if charged.task.is_some() && running_id != charged.task.as_ref() && !several {
            let began = interval.shares.iter().rev().take_while(|share| share.task == charged.task).last();
            let began = began.map_or(charged.from, |share| share.from);
            let duration = self.now.duration_since(began).max(SignedDuration::ZERO);
            records.push(Record::TaskTook { queue: charged.queue.clone(), duration });
        }
        let queue = if running.is_some() { queue } else { machine.home.clone() };
        // In order of time, whatever the clock was set to.
        let from = self.now.max(interval.start).max(charged.from);
        let share = Share { from, queue, task: running_id.cloned(), owner: owner.unwrap_or_default(), standing };
        records.push(Record::Charged { instance: machine.id.clone(), share });
        records
    }

    /// How long a task took, of several at once on its machine.
    fn took(&self, machine: &KnownInstance, ended: &SeenTask) -> Record {
        let queue = ended.queue.as_ref().and_then(|id| self.facts.queues.by_id(id)).map(|queue| queue.name.clone());
        let duration = self.now.duration_since(ended.since).max(SignedDuration::ZERO);
        Record::TaskTook { queue: queue.unwrap_or_else(|| machine.home.clone()), duration }
    }

    fn of_machine(&self, machine: &KnownInstance) -> Vec<Record> {
        let mut records = Vec::new();
        let shown = self.facts.machines.get(&machine.id);
        let interval = self.memory.ledger.open().get(&machine.id);
        let off = self.memory.ledger.off().get(&machine.id);
        let sight = self.sights.of(&machine.id);
        match (shown, interval) {
            (Some(shown), Some(interval)) => {
                let begins = pods::begins(shown, interval);
                if begins {
                    records.extend(pods::billed(self, machine, shown, interval));
                }
                if let Some(end) = bill_ends(shown, self.now) {
                    let start = if begins { shown.launched } else { interval.start };
                    let end = end.max(start);
                    records.push(Record::Closed { instance: machine.id.clone(), end });
                    records.push(self.ended(machine, shown, &Interval { start, end: Some(end), ..interval.clone() }));
                    records.extend(self.interrupted(shown, interval));
                    records.extend(disks_billed(interval, shown, end));
                }
            }
            (Some(shown), None) if join::is_ended(shown) && restarted(machine, self.facts).is_none() => {
                records.extend(off.and_then(|off| disks_end(off, shown, self.now)));
            }
            // Of one that was switched off when its disks were in no ledger yet.
            (Some(shown), None) if shown.state == CloudState::Stopped && off.is_none() => {
                let from = shown.ended.unwrap_or(self.now);
                records.extend(disks_billed(&self.bill(machine, shown), shown, from));
            }
            (_, None) if machine.power.is_off() => records.extend(self.started_by_others(machine)),
            // One that seems to run again since its old launch is a list that is behind.
            (Some(shown), None)
                if matches!(shown.state, CloudState::Pending | CloudState::Running)
                    && shown.launched > machine.launched =>
            {
                records.push(self.reopened(machine, shown));
                let text = format!("{} was started again by someone else: its bill goes on", machine.id);
                records.push(line(self.now, EntryKind::Alarm, text).about_machine(machine).record());
            }
            _ => {}
        }
        let is_off = shown.is_some_and(|shown| shown.state == CloudState::Stopped);
        if is_off && matches!(machine.power, Power::SwitchingOff { .. }) {
            let (instance, power) = (machine.id.clone(), Power::Off { since: self.now });
            records.push(Record::PowerSet { instance, power });
            let text = format!("{} is switched off, and kept", machine.id);
            records.push(line(self.now, EntryKind::Done, text).about_machine(machine).record());
        }
        if sight.is_gone() {
            // Should an absent machine come back, its bill goes on where it was ended.
            let at = match (sight.absent_since.filter(|_| shown.is_none()), interval) {
                (Some(since), Some(bill)) => absent_from(bill, machine.max_life, sight.listed, since),
                (since, _) => since.unwrap_or(self.now),
            };
            if let Some(interval) = interval.or(off).filter(|_| shown.is_none()) {
                records.push(Record::Closed { instance: machine.id.clone(), end: at.max(interval.start) });
            }
            records.push(Record::Gone { instance: machine.id.clone(), at });
            let text = format!("{} is gone, after {}", machine.id, Short(self.now.duration_since(machine.launched)));
            records.push(line(self.now, EntryKind::Seen, text).about_machine(machine).record());
        }
        records
    }

    /// Machines that end or have ended and are in no ledger: the store that knew them is lost.
    fn ended_unknown(&self) -> impl Iterator<Item = &CloudInstance> {
        self.facts.machines.values().filter(|machine| {
            let intended = machine.tags.intent.as_ref().is_some_and(|intent| self.memory.intents.contains_key(intent));
            let known = self.memory.known.contains_key(&machine.id) || self.memory.gone.contains_key(&machine.id);
            join::ends(machine) && !intended && !known
        })
    }

    fn of_ended_unknown(&self, machine: &CloudInstance) -> Vec<Record> {
        let orphan = join::orphan(machine, self.settings, self.catalogue, self.now);
        let opened = adopted(&orphan, false, machine.launched, self.settings, self.catalogue, self.now);
        let text = format!("{} ends and is in no ledger: it is billed from its launch", machine.id);
        let line = line(self.now, EntryKind::Seen, text).about_machine(&opened.known);
        let closed = bill_ends(machine, self.now)
            .map(|end| Record::Closed { instance: machine.id.clone(), end: end.max(machine.launched) });
        let disks = bill_ends(machine, self.now).and_then(|end| disks_billed(&opened.interval, machine, end));
        let opened = Record::Opened(Box::new(opened));
        std::iter::once(opened).chain(closed).chain(disks).chain([line.record()]).collect()
    }

    /// The tasks that the cloud cut off by taking the machine back: those that it said itself, else those that were seen.
    fn interrupted(&self, shown: &CloudInstance, interval: &Interval) -> Vec<Record> {
        let mailbox = self.facts.mailboxes.get(&shown.id);
        if !shown.is_interrupted() && !mailbox.is_some_and(Mailbox::is_interrupted) {
            return Vec::new();
        }
        let mut tasks: Vec<TaskId> = mailbox.into_iter().flat_map(Mailbox::requeues).map(|(task, _)| task).collect();
        if tasks.is_empty() {
            let seen = self.sights.of(&shown.id).tasks;
            let beside = seen.into_iter().filter(|(agent, _)| agent.is_some()).map(|(_, task)| task.id);
            tasks.extend(interval.shares.last().and_then(|share| share.task.clone()).into_iter().chain(beside));
        }
        tasks.sort_unstable();
        tasks.dedup();
        tasks.into_iter().map(|task| Record::Interrupted { task, at: self.now }).collect()
    }

    /// That a machine ended, and by whom.
    fn ended(&self, machine: &KnownInstance, shown: &CloudInstance, bill: &Interval) -> Record {
        let mailbox = self.facts.mailboxes.get(&machine.id);
        let own_words = mailbox.and_then(Mailbox::gone).map(|words| match mailbox.and_then(Mailbox::log) {
            Some(log) => format!("{words}: {log}"),
            None => words.to_owned(),
        });
        let switched_off = machine.power != Power::On && shown.state != CloudState::Terminated;
        // A pod ends with its task.
        let done = shown.pod.as_ref().is_some_and(|pod| pod.state == PodState::Succeeded);
        let why = match (machine.stop_sent, own_words, &shown.state_reason) {
            (Some(_), ..) => None,
            _ if switched_off || done => None,
            (None, Some(words), _) => Some(format!("it switched itself off: {words}")),
            (None, None, reason) => Some(reason.clone().unwrap_or_else(|| "nobody here asked for it".to_owned())),
        };
        let (kind, text) = match why {
            None if switched_off && bill.disks > Rate::ZERO => {
                (EntryKind::Done, format!("{} goes off: its disks alone are billed, {}", machine.id, bill.disks))
            }
            None if switched_off => (EntryKind::Done, format!("{} goes off: its bill has ended", machine.id)),
            None => (EntryKind::Done, format!("{} has ended", machine.id)),
            Some(_) => (EntryKind::Alarm, format!("{} ended, and not by us", machine.id)),
        };
        // Who ended it wants to know what that saves.
        let came_to = bill.rate.map(|rate| {
            let lasted = Short(bill.end.unwrap_or(self.now).duration_since(bill.start));
            format!("it cost {} in {lasted}, and {rate} is not spent any more", bill.cost(self.now))
        });
        let why = why.or(came_to).unwrap_or_default();
        line(self.now, kind, text).about_machine(machine).because(&why).record()
    }

    fn reopened(&self, machine: &KnownInstance, shown: &CloudInstance) -> Record {
        Record::Opened(Box::new(Opened { known: machine.clone(), interval: self.bill(machine, shown) }))
    }

    /// Nobody here asked for it: its bill goes on.
    fn started_by_others(&self, machine: &KnownInstance) -> Vec<Record> {
        let intended = self.memory.intents.values().any(|intent| intent.starts.as_ref() == Some(&machine.id));
        let Some(shown) = restarted(machine, self.facts).filter(|_| !intended) else { return Vec::new() };
        let begun = begun_anew(machine.clone(), shown, self.bill(machine, shown));
        let text = format!("{} was started again by someone else: its bill goes on", machine.id);
        vec![begun, line(self.now, EntryKind::Alarm, text).about_machine(machine).record()]
    }

    /// The bill of a machine that runs again.
    fn bill(&self, machine: &KnownInstance, shown: &CloudInstance) -> Interval {
        let rate = join::rate(shown, &machine.pool, self.settings, self.catalogue, self.now);
        let bill = Interval {
            instance: machine.id.clone(),
            pool: machine.pool.clone(),
            home: machine.home.clone(),
            rate,
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: Money::ZERO,
            start: shown.launched,
            end: None,
            shares: vec![Share::boot(shown.launched, machine.home.clone())],
        };
        bill.with_extras(self.settings.pool(&machine.pool), self.catalogue)
    }
}

/// What a machine whose worker is seen does while it runs no task. Once it is drained it stays so until it takes tasks
/// again, whatever becomes of the order.
fn standing(machine: &KnownInstance, charged: &Share) -> Standing {
    let ordered = machine.drain.as_ref();
    let is_drained = ordered.is_some_and(|drain| drain.acknowledged.is_some() || drained(charged));
    if is_drained { Standing::Drained } else { Standing::Idle }
}

pub(super) fn drained(share: &Share) -> bool {
    share.task.is_none() && share.standing == Standing::Drained
}

/// A machine that was off runs again.
fn begun_anew(machine: KnownInstance, shown: &CloudInstance, interval: Interval) -> Record {
    let share = Share::boot(shown.launched, machine.home.clone());
    let interval = Interval { home: machine.home.clone(), shares: vec![share], ..interval };
    let (launched, power) = (shown.launched, Power::On);
    let known = KnownInstance {
        launched,
        power,
        registered: false,
        drain: None,
        stop_sent: None,
        replace: None,
        started_again: true,
        ..machine
    };
    Record::Restarted(Box::new(Opened { known, interval }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::{Fleet, intent};
    use crate::model::account::Owner;

    fn closed(records: &[Record]) -> Vec<Timestamp> {
        let ends = records.iter().filter_map(|record| match record {
            Record::Closed { end, .. } => Some(*end),
            _ => None,
        });
        ends.collect()
    }

    #[test]
    fn a_worker_that_appears_registers_once_and_teaches_how_long_a_boot_takes() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 5).known().worker(None);
        let boot = SignedDuration::from_mins(4);
        assert_eq!(fleet.standing(), Standing::Boot);
        let share = Share::idle(fleet.now, "train".into());
        let expected = vec![
            Record::Registered("i-1".into()),
            Record::BootTook { pool: "gpu".into(), duration: boot },
            Record::Charged { instance: "i-1".into(), share },
        ];
        assert_eq!(fleet.live(0), expected);
        assert_eq!(fleet.live(10), []);
    }

    #[test]
    fn a_task_is_charged_to_its_queue_and_teaches_how_long_it_took() {
        let mut fleet = Fleet::idle();
        fleet.workers[0].task =
            Some(crate::model::observed::ObservedTask { id: "t".into(), name: String::new(), queue: None });
        let took = fleet.live(10);
        assert!(
            matches!(took.as_slice(), [Record::Charged { share, .. }]
                if share.task == Some("t".into()) && share.owner == Owner::default()),
            "{took:?}"
        );
        // Whose it is becomes known a little later.
        let ann = Owner { project: None, user: Some("ann".into()) };
        fleet.owners.insert("t".into(), ann.clone());
        let told = fleet.live(10);
        assert!(matches!(told.as_slice(), [Record::Charged { share, .. }] if share.owner == ann), "{told:?}");
        assert_eq!(fleet.live(90), []);
        fleet.workers[0].task = None;
        let ended = fleet.live(20);
        let duration = SignedDuration::from_secs(120);
        assert!(
            matches!(ended.as_slice(), [Record::TaskTook { duration: took, .. }, Record::Charged { share, .. }]
                if *took == duration && share.task.is_none()),
            "{ended:?}"
        );
        // The clock is set back: shares stay in order of time.
        fleet.workers[0].task =
            Some(crate::model::observed::ObservedTask { id: "u".into(), name: String::new(), queue: None });
        fleet.live(-60);
        let shares = &fleet.memory.ledger.open().values().next().unwrap().shares;
        assert!(shares.is_sorted_by_key(|share| share.from), "{shares:?}");
    }

    #[test]
    fn a_bill_ends_once_exactly_when_the_cloud_says() {
        for (state, ended) in [
            (CloudState::ShuttingDown, true),
            (CloudState::Terminated, true),
            (CloudState::Stopped, true),
            (CloudState::ShuttingDown, false),
        ] {
            let mut fleet = Fleet::idle();
            let end = fleet.now + SignedDuration::from_millis(1_234);
            fleet.last().state = state;
            fleet.last().ended = ended.then_some(end);
            let first = fleet.live(10);
            assert_eq!(closed(&first), if ended { vec![end] } else { vec![] }, "{state:?}");
            assert_eq!(closed(&fleet.live(10)), []);
        }
    }

    #[test]
    fn a_machine_that_was_started_again_and_broke_down_before_the_next_look_is_billed() {
        let mut fleet = Fleet::idle();
        let (id, off) = (InstanceId::from("i-1"), fleet.now);
        fleet.memory.apply(&Record::Closed { instance: id.clone(), end: off });
        fleet.memory.apply(&Record::PowerSet { instance: id.clone(), power: Power::Off { since: off } });
        let before = fleet.memory.ledger.total(fleet.now);
        fleet.memory.apply(&Record::IntentOpened(Intent { starts: Some(id), ..intent("b2.0", fleet.now) }));
        fleet.last().launched = off + SignedDuration::from_secs(1);
        fleet.last().state = CloudState::ShuttingDown;
        fleet.last().ended = Some(off + SignedDuration::from_secs(5));
        fleet.live(10);
        fleet.live(10);
        assert!(fleet.memory.intents.is_empty() && fleet.memory.ledger.open().is_empty());
        // A minute is the least.
        assert_eq!((fleet.memory.ledger.total(fleet.now) - before).micros(), 1_000_000 / 60);
    }

    #[test]
    fn terminated_twice_is_gone_and_once_is_not() {
        let mut fleet = Fleet::idle();
        fleet.last().state = CloudState::Terminated;
        let gone = |records: &[Record]| records.iter().any(|record| matches!(record, Record::Gone { .. }));
        assert!(!gone(&fleet.live(10)));
        assert!(gone(&fleet.live(10)));
        assert!(fleet.memory.known.is_empty());
    }

    #[test]
    fn absent_three_times_after_its_fifth_minute_is_gone_and_its_bill_ended_with_the_first() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 4).known();
        fleet.live(0);
        fleet.machines.clear();
        let absent_since = fleet.now + SignedDuration::from_secs(30);
        let gone = |records: &[Record]| records.iter().any(|record| matches!(record, Record::Gone { .. }));
        assert!(!gone(&fleet.live(30)), "before its fifth minute");
        assert!(!gone(&fleet.live(31)));
        assert!(!gone(&fleet.live(2)), "too soon to count");
        assert!(!gone(&fleet.live(10)));
        let third = fleet.live(10);
        assert!(gone(&third));
        assert_eq!(closed(&third), [absent_since]);
    }

    #[test]
    fn what_ended_by_its_own_clock_while_nobody_looked_cost_nothing_since() {
        let ended_after = |listed: i64, max_life: Option<SignedDuration>| {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 4 * 60).known();
            fleet.memory.known.values_mut().for_each(|known| known.max_life = max_life);
            let launched = fleet.machines[0].launched;
            fleet.live(0);
            fleet.live(listed * 3_600);
            fleet.machines.clear();
            let looks = [fleet.live(8 * 3_600), fleet.live(10), fleet.live(10)].concat();
            closed(&looks).iter().map(|end| end.duration_since(launched).as_secs() / 60).collect::<Vec<_>>()
        };
        assert_eq!(ended_after(0, Some(SignedDuration::from_hours(5))), [5 * 60 + 15]);
        assert_eq!(ended_after(3, Some(SignedDuration::from_hours(5))), [7 * 60], "it was listed later than that");
        assert_eq!(ended_after(0, Some(SignedDuration::from_hours(24))), [12 * 60]);
        assert_eq!(ended_after(0, None), [12 * 60], "nothing on it ends it");
    }

    /// By the cloud's clock a new machine may seem to be old: ours is ahead.
    #[test]
    fn a_machine_that_was_never_listed_is_given_five_minutes_of_our_own_clock() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 480).known();
        let machines = std::mem::take(&mut fleet.machines);
        let gone = |records: &[Record]| records.iter().any(|record| matches!(record, Record::Gone { .. }));
        for _ in 0..10 {
            assert!(!gone(&fleet.live(30)));
        }
        let late: Vec<Record> = (0..8).flat_map(|_| fleet.live(10)).collect();
        assert!(gone(&late));
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 480).known();
        fleet.machines.clear();
        fleet.live(0);
        fleet.machines = machines;
        fleet.live(30);
        fleet.machines.clear();
        let looks = [fleet.live(10), fleet.live(10), fleet.live(10)].concat();
        assert!(gone(&looks), "it was listed, and is absent three times");
    }

    #[test]
    fn a_source_that_fails_proves_nothing() {
        let mut fleet = Fleet::idle();
        fleet.machines.clear();
        fleet.workers.clear();
        (fleet.cloud_down, fleet.clearml_down) = (true, true);
        for _ in 0..50 {
            assert_eq!(fleet.live(60), []);
        }
    }

    #[test]
    fn the_task_of_a_machine_that_the_cloud_takes_back_is_remembered_while_it_waits() {
        let running =
            |id: &str| crate::model::observed::ObservedTask { id: id.into(), name: String::new(), queue: None };
        for (reason, gone, requeue, task) in [
            ("Server.SpotInstanceTermination: Spot instance termination", "", "", Some("t")),
            ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", "spot", "", Some("t")),
            ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", "spot notice", "u:q-train", Some("u")),
            ("Client.InstanceInitiatedShutdown: Instance initiated shutdown", "end of life", "", None),
            ("Client.UserInitiatedShutdown: User initiated shutdown", "", "", None),
        ] {
            let mut fleet = Fleet::idle();
            fleet.workers[0].task = Some(running("t"));
            fleet.live(10);
            let words = [("gone", gone), ("requeue", requeue)].map(|(key, value)| (key.to_owned(), value.to_owned()));
            let (created, metadata) = (fleet.now, words.into());
            fleet.mailboxes = vec![Mailbox { queue: "m".into(), instance: "i-1".into(), created, metadata }];
            fleet.last().state = CloudState::Terminated;
            fleet.last().state_reason = Some(reason.to_owned());
            fleet.workers.clear();
            fleet.live(10);
            fleet.live(10);
            let expected: Vec<TaskId> = task.into_iter().map(TaskId::from).collect();
            assert_eq!(fleet.memory.interrupted.keys().cloned().collect::<Vec<_>>(), expected, "{reason} {gone}");
            assert!(fleet.snapshot().interrupted_once.is_empty());
            fleet.waiting = vec!["t", "u"];
            fleet.live(10);
            assert_eq!(fleet.snapshot().interrupted_once.into_iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_machine_of_a_lost_store_that_ends_already_is_billed_once_from_its_launch() {
        for (state, ended) in
            [(CloudState::ShuttingDown, false), (CloudState::ShuttingDown, true), (CloudState::Terminated, true)]
        {
            let mut fleet = Fleet::new().machine("i-1", state, 30);
            let (launched, end) = (fleet.last().launched, fleet.now);
            fleet.last().ended = ended.then_some(end);
            let first = fleet.live(10);
            let bills = first.iter().filter_map(|record| match record {
                Record::Opened(opened) => Some(opened.interval.start),
                _ => None,
            });
            assert_eq!(bills.collect::<Vec<_>>(), [launched], "{state:?}");
            assert_eq!(closed(&first), if ended { vec![end] } else { vec![] }, "{state:?}");
            fleet.last().state = CloudState::Terminated;
            fleet.last().ended = Some(end);
            for _ in 0..3 {
                fleet.live(10);
            }
            let rate = crate::model::money::Rate::from_micros_per_hour(1_000_000);
            assert_eq!(fleet.memory.ledger.total(fleet.now), rate.cost_between(launched, end), "{state:?}");
            assert!(fleet.memory.gone.contains_key(&InstanceId::new("i-1")));
        }
    }

    #[test]
    fn a_list_that_is_behind_starts_no_second_bill_and_a_restart_does() {
        let mut fleet = Fleet::idle();
        let (end, before) = (fleet.now, fleet.last().clone());
        fleet.last().state = CloudState::Stopped;
        fleet.last().ended = Some(end);
        fleet.live(10);
        *fleet.last() = before;
        assert_eq!(fleet.live(10), []);
        fleet.last().launched = fleet.now;
        let again = fleet.live(10);
        assert!(matches!(again.as_slice(), [Record::Opened(_)]), "{again:?}");
        let rate = crate::model::money::Rate::from_micros_per_hour(1_000_000);
        let first = rate.cost_between(end - SignedDuration::from_mins(30), end);
        assert_eq!(fleet.memory.ledger.total(fleet.now), first + rate.cost(crate::model::ledger::MINIMUM_BILLED));
    }

    #[test]
    fn an_intent_is_made_by_its_tag_or_given_up_when_its_machine_does_not_appear() {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Pending, 0);
        let now = fleet.now;
        fleet.last().tags.intent = Some("b.1".into());
        for id in ["b.0", "b.1"] {
            fleet.memory.apply(&Record::IntentOpened(intent(id, now)));
        }
        let ends = |records: &[Record]| {
            let end = |record: &Record| match record {
                Record::IntentClosed { id, end } => Some((id.to_string(), *end)),
                _ => None,
            };
            records.iter().filter_map(end).collect::<Vec<_>>()
        };
        assert_eq!(ends(&fleet.live(10)), [("b.1".to_owned(), IntentEnd::Made)]);
        assert_eq!(ends(&fleet.live(300)), []);
        assert_eq!(ends(&fleet.live(10)), []);
        assert_eq!(ends(&fleet.live(10)), [("b.0".to_owned(), IntentEnd::NeverAppeared)]);
        // The clock is set back by hours: its launch is not waited for until it comes there again.
        fleet.memory.apply(&Record::IntentOpened(intent("b.2", fleet.now)));
        fleet.sights = Sights::default();
        assert_eq!(ends(&fleet.live(-4 * 3_600)), []);
        assert_eq!(ends(&fleet.live(300)), []);
        assert_eq!(ends(&[fleet.live(10), fleet.live(10)].concat()), []);
        assert_eq!(ends(&fleet.live(10)), [("b.2".to_owned(), IntentEnd::NeverAppeared)]);
    }
}

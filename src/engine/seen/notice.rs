//! What a look at the world changes in the memory: machines that appear, register, take and end tasks, answer a drain,
//! end, and are gone. Pure: facts in, records out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::{Facts, Fresh, Region};
use crate::engine::seen::join;
use crate::engine::seen::sight::{ABSENT_PROOFS, Sights, our_workers};
use crate::engine::words::line;
use crate::model::catalogue::Catalogue;
use crate::model::ids::{InstanceId, IntentId, TaskId, Zone};
use crate::model::instance::{Drain, Origin};
use crate::model::journal::EntryKind;
use crate::model::ledger::{Interval, Share};
use crate::model::money::Money;
use crate::model::observed::{CloudInstance, CloudState, ObservedWorker};
use crate::model::record::{Intent, IntentEnd, KnownInstance, Memory, Opened, Record};
use crate::model::settings::Settings;
use crate::model::span::Short;

/// A cancelled drain that the machine never answered is over after this: its gate reads every 15 s.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(60);

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
    records.extend(known.memory.intents.values().flat_map(|intent| known.of_intent(intent, fresh)));
    let workers: BTreeMap<InstanceId, &ObservedWorker> = our_workers(known.facts, &known.settings.the_loop.fleet)
        .map(|(name, worker)| (name.instance, worker))
        .collect();
    for machine in known.memory.known.values() {
        if fresh.clearml
            && let Some(worker) = workers.get(&machine.id)
        {
            records.extend(known.of_worker(machine, worker));
        }
        if fresh.mailboxes {
            records.extend(known.of_drain(machine));
        }
        if fresh.saw(&Region { provider: machine.provider, name: machine.region.clone() }) {
            records.extend(known.of_machine(machine));
        }
    }
    records
}

/// The machine that an intent made, and the beginning of its bill.
#[must_use]
pub(in crate::engine) fn opened(
    intent: &Intent,
    instance: InstanceId,
    launched: Timestamp,
    zone: Option<Zone>,
) -> Opened {
    Opened {
        interval: Interval {
            instance: instance.clone(),
            pool: intent.pool.clone(),
            home: intent.queue.clone(),
            rate: intent.rate,
            reservation: intent.reservation,
            start: launched,
            end: None,
            shares: vec![Share { from: launched, queue: intent.queue.clone(), task: None }],
        },
        known: KnownInstance {
            id: instance,
            provider: intent.provider,
            region: intent.region.clone(),
            pool: intent.pool.clone(),
            home: intent.queue.clone(),
            machine_type: intent.machine_type.clone(),
            zone,
            market: intent.market,
            vcpu: intent.vcpu,
            gpu: intent.gpu,
            intent: Some(intent.id.clone()),
            origin: Origin::Launched,
            launched,
            registered: false,
            drain: None,
            hold: None,
            stop_sent: None,
        },
    }
}

impl Known<'_> {
    fn of_intent(&self, intent: &Intent, fresh: &Fresh) -> Vec<Record> {
        let made = self.facts.machines.values().find(|machine| machine.tags.intent.as_ref() == Some(&intent.id));
        if let Some(machine) = made {
            let opened = opened(intent, machine.id.clone(), machine.launched, machine.zone.clone());
            let text = format!("{} is the machine of its launch", machine.id);
            let line = line(self.now, EntryKind::Seen, text).about_machine(&opened.known).intent(Some(&intent.id));
            let closed = Record::IntentClosed { id: intent.id.clone(), end: IntentEnd::Made };
            return vec![Record::Opened(Box::new(opened)), closed, line.record()];
        }
        let asked = fresh.saw(&Region { provider: intent.provider, name: intent.region.clone() });
        let absent = self.sights.absences(&intent.id) >= ABSENT_PROOFS;
        if asked && absent && !self.calling.contains(&intent.id) {
            let text = format!("no machine of launch {} appeared: it is given up", intent.id);
            let line = line(self.now, EntryKind::Seen, text).intent(Some(&intent.id)).because(&format!(
                "absent from {ABSENT_PROOFS} listings, {} after the call",
                Short(self.now.duration_since(intent.opened))
            ));
            return vec![Record::IntentClosed { id: intent.id.clone(), end: IntentEnd::NeverAppeared }, line.record()];
        }
        Vec::new()
    }

    fn of_worker(&self, machine: &KnownInstance, worker: &ObservedWorker) -> Vec<Record> {
        let mut records = Vec::new();
        if !machine.registered {
            let boot = worker.registered.duration_since(machine.launched).max(SignedDuration::ZERO);
            records.push(Record::Registered(machine.id.clone()));
            if machine.origin == Origin::Launched {
                records.push(Record::BootTook { pool: machine.pool.clone(), duration: boot });
            }
            let text = format!("{} registered {} after its launch", machine.id, Short(boot));
            records.push(line(self.now, EntryKind::Seen, text).about_machine(machine).record());
        }
        records.extend(self.of_task(machine, worker));
        records
    }

    /// Whose money the machine's time is, and how long tasks take.
    fn of_task(&self, machine: &KnownInstance, worker: &ObservedWorker) -> Vec<Record> {
        let Some(interval) = self.memory.ledger.open().get(&machine.id) else { return Vec::new() };
        let Some(charged) = interval.shares.last() else { return Vec::new() };
        let running = worker.task.as_ref();
        let running_id: Option<&TaskId> = running.map(|task| &task.id);
        if running_id == charged.task.as_ref() {
            return Vec::new();
        }
        let queue = running
            .and_then(|task| task.queue.as_ref())
            .and_then(|id| self.facts.queue(id))
            .map_or_else(|| machine.home.clone(), |queue| queue.name.clone());
        let mut records = Vec::new();
        if charged.task.is_some() {
            let duration = self.now.duration_since(charged.from).max(SignedDuration::ZERO);
            records.push(Record::TaskTook { queue: charged.queue.clone(), duration });
        }
        let queue = if running.is_some() { queue } else { machine.home.clone() };
        // In order of time, whatever the clock was set to.
        let from = self.now.max(interval.start).max(charged.from);
        let share = Share { from, queue, task: running_id.cloned() };
        records.push(Record::Charged { instance: machine.id.clone(), share });
        records
    }

    fn of_drain(&self, machine: &KnownInstance) -> Vec<Record> {
        let Some(drain) = &machine.drain else { return Vec::new() };
        let mailbox = self.facts.mailboxes.get(&machine.id);
        let drained = mailbox.and_then(|mailbox| mailbox.drained()) == Some(drain.nonce.as_str());
        let set = |drain| Record::DrainSet { instance: machine.id.clone(), drain };
        if drain.cancelled {
            let back = mailbox.and_then(|mailbox| mailbox.running_again()) == Some(drain.nonce.as_str());
            let since = self.sights.of(&machine.id).cancelled_since;
            let never = !drained && since.is_some_and(|since| self.now.duration_since(since) > UNANSWERED);
            if back || never {
                let text = format!("{} takes tasks again", machine.id);
                return vec![set(None), line(self.now, EntryKind::Done, text).about_machine(machine).record()];
            }
            return Vec::new();
        }
        if drained && drain.acknowledged.is_none() {
            let after = Short(self.now.duration_since(drain.ordered));
            let text = format!("{} is drained: it has no task and takes none ({after} after the order)", machine.id);
            let acknowledged = Drain { acknowledged: Some(self.now), ..drain.clone() };
            return vec![
                set(Some(acknowledged)),
                line(self.now, EntryKind::Done, text).about_machine(machine).by(&drain.by).record(),
            ];
        }
        Vec::new()
    }

    fn of_machine(&self, machine: &KnownInstance) -> Vec<Record> {
        let mut records = Vec::new();
        let shown = self.facts.machines.get(&machine.id);
        let interval = self.memory.ledger.open().get(&machine.id);
        let sight = self.sights.of(&machine.id);
        match (shown, interval) {
            (Some(shown), Some(interval)) => {
                if let Some(end) = bill_ends(shown, self.now) {
                    records.push(Record::Closed { instance: machine.id.clone(), end: end.max(interval.start) });
                    records.push(self.ended(machine, shown));
                }
            }
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
        if sight.is_gone() {
            // Should an absent machine come back, its bill goes on where it was ended.
            let at = if shown.is_some() { self.now } else { sight.absent_since.unwrap_or(self.now) };
            if let Some(interval) = interval.filter(|_| shown.is_none()) {
                records.push(Record::Closed { instance: machine.id.clone(), end: at.max(interval.start) });
            }
            records.push(Record::Gone { instance: machine.id.clone(), at });
            let text = format!("{} is gone, after {}", machine.id, Short(self.now.duration_since(machine.launched)));
            records.push(line(self.now, EntryKind::Seen, text).about_machine(machine).record());
        }
        records
    }

    /// That a machine ended, and by whom.
    fn ended(&self, machine: &KnownInstance, shown: &CloudInstance) -> Record {
        let own_words = self.facts.mailboxes.get(&machine.id).and_then(|mailbox| mailbox.gone());
        let why = match (machine.stop_sent, own_words, &shown.state_reason) {
            (Some(_), ..) => None,
            (None, Some(words), _) => Some(format!("it switched itself off: {words}")),
            (None, None, reason) => Some(reason.clone().unwrap_or_else(|| "nobody here asked for it".to_owned())),
        };
        let (kind, text) = match why {
            None => (EntryKind::Done, format!("{} has ended", machine.id)),
            Some(_) => (EntryKind::Alarm, format!("{} ended, and not by us", machine.id)),
        };
        line(self.now, kind, text).about_machine(machine).because(&why.unwrap_or_default()).record()
    }

    fn reopened(&self, machine: &KnownInstance, shown: &CloudInstance) -> Record {
        let rate = join::rate(shown, &machine.pool, self.settings, self.catalogue);
        Record::Opened(Box::new(Opened {
            known: machine.clone(),
            interval: Interval {
                instance: machine.id.clone(),
                pool: machine.pool.clone(),
                home: machine.home.clone(),
                rate,
                reservation: Money::ZERO,
                start: shown.launched,
                end: None,
                shares: vec![Share { from: shown.launched, queue: machine.home.clone(), task: None }],
            },
        }))
    }
}

/// When a machine's bill ended, if the cloud shows that it did.
fn bill_ends(shown: &CloudInstance, now: Timestamp) -> Option<Timestamp> {
    match shown.state {
        CloudState::Pending | CloudState::Running => None,
        CloudState::ShuttingDown | CloudState::Stopping => shown.ended,
        CloudState::Stopped | CloudState::Terminated => Some(shown.ended.unwrap_or(now)),
    }
}

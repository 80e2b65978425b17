//! What is remembered between passes and across restarts, and the records that change it. The
//! store keeps the records; applying them in order gives the memory back.

pub use crate::model::intent::{Intent, IntentEnd, IntentOutcome};

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::attempt::Attempt;
use crate::model::catalogue::Catalogue;
use crate::model::course::{Lesson, Rise};
use crate::model::glance::Glance;
use crate::model::ids::{Actor, InstanceId, IntentId, MachineType, PoolName, QueueName, TaskId, Zone};
use crate::model::instance::{Drain, Hold, Origin, Power};
use crate::model::journal::Entry;
use crate::model::ledger::{Interval, Ledger, Share};
use crate::model::money::Rate;
use crate::model::observed::LostTask;
use crate::model::settings::{Market, PoolSettings, Provider};

/// A machine that the ledger bills: what does not change about it, and the orders that stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownInstance {
    pub id: InstanceId,
    pub provider: Provider,
    pub region: String,
    pub pool: PoolName,
    pub home: QueueName,
    pub machine_type: MachineType,
    pub zone: Option<Zone>,
    pub market: Market,
    pub vcpu: u32,
    pub gpu: u32,
    pub intent: Option<IntentId>,
    pub origin: Origin,
    pub launched: Timestamp,
    pub registered: bool,
    pub drain: Option<Drain>,
    pub hold: Option<Hold>,
    /// When it was decided to end it; never taken back.
    pub stop_sent: Option<Timestamp>,
    #[serde(default)]
    pub power: Power,
    /// Who wants it replaced once it is idle.
    #[serde(default)]
    pub replace: Option<Actor>,
    /// It was switched off before, and is not a new one.
    #[serde(default)]
    pub started_again: bool,
    /// For how long it lives at most after each start, by its own clock; `None`: nothing on it ends it, as far as is known.
    #[serde(default)]
    pub max_life: Option<SignedDuration>,
}

/// Samples of a duration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<SignedDuration>", into = "Vec<SignedDuration>")]
pub struct Samples {
    newest_last: Vec<SignedDuration>,
    /// The same, the shortest first: every pass asks for a quantile of many of these.
    sorted: Vec<SignedDuration>,
}

impl Samples {
    /// Newer samples push out older ones.
    pub const KEPT: usize = 200;
    const ENOUGH: usize = 30;
    const FEW: usize = 3;

    pub fn push(&mut self, sample: SignedDuration) {
        if self.newest_last.len() == Self::KEPT {
            let oldest = self.newest_last.remove(0);
            if let Ok(place) = self.sorted.binary_search(&oldest) {
                self.sorted.remove(place);
            }
        }
        self.newest_last.push(sample);
        self.sorted.insert(self.sorted.partition_point(|other| *other < sample), sample);
    }

    /// Newest last.
    #[must_use]
    pub fn as_slice(&self) -> &[SignedDuration] {
        &self.newest_last
    }

    /// The shortest first.
    #[must_use]
    pub fn sorted(&self) -> &[SignedDuration] {
        &self.sorted
    }

    /// Whether there are enough of them to be relied on.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.sorted.len() >= Self::ENOUGH
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> Option<SignedDuration> {
        self.sorted.get(self.sorted.len() / 2).copied()
    }

    /// Of those that are longer than `over`, the share that is not longer than `to`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share of two hundred at most")]
    pub fn share_over(&self, over: SignedDuration, to: SignedDuration) -> f64 {
        let up_to = |end: SignedDuration| self.sorted.partition_point(|sample| *sample <= end);
        let (over, to, all) = (up_to(over), up_to(to), self.sorted.len());
        if over == all { 0.0 } else { to.saturating_sub(over) as f64 / (all - over) as f64 }
    }

    /// How much longer half of those took that took longer than `spent`, and how many these are; `None`: too few.
    #[must_use]
    pub fn left_after(&self, spent: SignedDuration) -> Option<(SignedDuration, usize)> {
        let longer = self.sorted.get(self.sorted.partition_point(|sample| *sample <= spent)..)?;
        let half = longer.get(longer.len() / 2).filter(|_| longer.len() >= Self::FEW)?;
        Some((half.saturating_sub(spent), longer.len()))
    }

    /// The duration that nine of ten stay under, once there are enough samples.
    #[must_use]
    pub fn p90(&self) -> Option<SignedDuration> {
        let place = self.sorted.len() * 9 / 10;
        self.sorted.get(place).filter(|_| self.sorted.len() >= Self::ENOUGH).copied()
    }
}

impl From<Vec<SignedDuration>> for Samples {
    fn from(newest_last: Vec<SignedDuration>) -> Self {
        let mut samples = Self::default();
        for sample in newest_last {
            samples.push(sample);
        }
        samples
    }
}

impl From<Samples> for Vec<SignedDuration> {
    fn from(samples: Samples) -> Self {
        samples.newest_last
    }
}

/// What experience teaches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// How long tasks ran, by queue.
    pub tasks: BTreeMap<QueueName, Samples>,
    /// From launch to registered worker, by pool.
    pub boots: BTreeMap<PoolName, Samples>,
    /// The same of machines that were switched off and kept.
    pub starts: BTreeMap<PoolName, Samples>,
    /// How long machines of a pool that were not needed any more stayed so.
    pub gaps: BTreeMap<PoolName, Samples>,
    /// How long after one was needed it was again.
    pub intervals: BTreeMap<PoolName, Samples>,
    /// How the need for a pool's machines rose, the newest last.
    pub rises: BTreeMap<PoolName, Vec<Rise>>,
}

impl Learned {
    /// Learns what a pass has to teach.
    pub fn take(&mut self, lesson: &Lesson) {
        match lesson {
            Lesson::Gap { pool, lasted } => self.gaps.entry(pool.clone()).or_default().push(*lasted),
            Lesson::Interval { pool, lasted } => self.intervals.entry(pool.clone()).or_default().push(*lasted),
            Lesson::Rise { pool, rise } => {
                let rises = self.rises.entry(pool.clone()).or_default();
                if rises.len() >= Rise::KEPT {
                    rises.remove(0);
                }
                rises.push(*rise);
            }
        }
    }
}

/// A machine that enters the ledger: who it is, and its bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub known: KnownInstance,
    pub interval: Interval,
}

impl Opened {
    /// With what its pool's settings say of its disks and its address.
    #[must_use]
    pub fn with_extras(mut self, pool: Option<&PoolSettings>, catalogue: &Catalogue) -> Self {
        self.interval = self.interval.with_extras(pool, catalogue);
        self
    }
}

/// One change of the memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Armed(bool),
    Paused(bool),
    IntentOpened(Intent),
    IntentUnknown(IntentId),
    IntentClosed {
        id: IntentId,
        end: IntentEnd,
    },
    /// A machine enters the ledger.
    Opened(Box<Opened>),
    Registered(InstanceId),
    /// A machine is to be switched off and kept, or is off: then its orders are done, and its worker is gone.
    PowerSet {
        instance: InstanceId,
        power: Power,
    },
    /// A machine that was off runs again: it begins anew, and so does its bill.
    Restarted(Box<Opened>),
    /// A machine is off and goes on costing its disks: their bill begins.
    DisksBilled(Box<Interval>),
    Charged {
        instance: InstanceId,
        share: Share,
    },
    /// A machine is to be ended: the call is made until the cloud carries it out.
    StopSent {
        instance: InstanceId,
        at: Timestamp,
    },
    /// A machine's bill ends at `end`; it counts against limits until it is gone.
    Closed {
        instance: InstanceId,
        end: Timestamp,
    },
    /// A machine is proved gone (DESIGN: terminated twice, or absent three times after its fifth minute). `at`: when
    /// that was proved; of one that is only absent, since when.
    Gone {
        instance: InstanceId,
        at: Timestamp,
    },
    DrainSet {
        instance: InstanceId,
        drain: Option<Drain>,
    },
    /// Another console led since: what was ordered before is not to be carried through any more.
    Withdrawn(InstanceId),
    HoldSet {
        instance: InstanceId,
        hold: Option<Hold>,
    },
    /// A machine is to be replaced once it is idle, by the wish of this person; `None`: not any more.
    ReplaceSet {
        instance: InstanceId,
        by: Option<Actor>,
    },
    /// A lost machine's task is about to be enqueued again: taken up after a crash, for it may stand half done.
    RequeueOpened(LostTask),
    /// It is done, or was not needed.
    RequeueClosed(TaskId),
    /// The cloud took a machine back while it ran this task.
    Interrupted {
        task: TaskId,
        at: Timestamp,
    },
    /// A lost machine's task goes back to its queue, for the `count`-th time: on disk before that is asked for, so that it
    /// counts whatever comes of the call.
    Requeued {
        task: TaskId,
        count: u32,
        at: Timestamp,
    },
    TaskTook {
        queue: QueueName,
        duration: SignedDuration,
    },
    BootTook {
        pool: PoolName,
        duration: SignedDuration,
    },
    /// From the start of a machine that was kept to its registered worker.
    StartTook {
        pool: PoolName,
        duration: SignedDuration,
    },
    /// What a pass learned of the need for machines.
    Learned(Lesson),
    /// A machine never registered.
    BootFailed {
        pool: PoolName,
        instance: InstanceId,
    },
    /// A machine of the pool registered, or a person wants it tried as if none had failed.
    BootsForgiven(PoolName),
    LedgerWholeSince(Timestamp),
    /// A task is tried on a cluster: on disk before anything is asked of anybody.
    AttemptOpened(Box<Attempt>),
    /// It is known what became of the task.
    AttemptSettled(InstanceId),
    /// What a pod of a pool costs, by a node that may take it. `of`: the pool, and what of it decides that.
    PodPriced {
        of: String,
        rate: Rate,
    },
    /// What a look came to, for charts.
    Glanced(Box<Glance>),
    Journal(Entry),
}

/// How often a task went back to its queue, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requeues {
    pub count: u32,
    pub last: Timestamp,
}

impl Requeues {
    /// They count for so long after what is told of them is forgotten: a task that is run again much later begins anew.
    const OUTLIVE: SignedDuration = SignedDuration::from_hours(7 * 24);

    /// From when on they count, where lines are kept from `lines` on.
    #[must_use]
    pub fn kept_from(lines: Timestamp) -> Timestamp {
        lines.saturating_sub(Self::OUTLIVE).unwrap_or(lines)
    }
}

/// Everything that outlives a pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// Acts on the world; `false`: a dry run. The first start of a fleet is one (invariant 14).
    pub armed: bool,
    pub paused: bool,
    pub intents: BTreeMap<IntentId, Intent>,
    pub known: BTreeMap<InstanceId, KnownInstance>,
    pub ledger: Ledger,
    pub requeueing: BTreeMap<TaskId, LostTask>,
    pub requeues: BTreeMap<TaskId, Requeues>,
    /// Tries at tasks on a cluster, by their Jobs.
    pub attempts: BTreeMap<InstanceId, Attempt>,
    /// What pods last cost, for when there is no node to tell it.
    pub pod_prices: BTreeMap<String, Rate>,
    /// Tasks whose machine the cloud took back, and when last.
    pub interrupted: BTreeMap<TaskId, Timestamp>,
    pub learned: Learned,
    /// Machines of each pool that never registered, since the last one that did.
    pub boots_failed: BTreeMap<PoolName, BTreeSet<InstanceId>>,
    /// Machines proved gone, and when: clouds list them for an hour more, and they are not adopted again.
    pub gone: BTreeMap<InstanceId, Timestamp>,
}

impl Memory {
    /// Forgets machines that were proved gone, and interruptions, before `instant`, and how often tasks went back to their
    /// queues some time before that.
    pub fn forget_before(&mut self, instant: Timestamp) {
        self.gone.retain(|_, at| *at >= instant);
        self.interrupted.retain(|_, at| *at >= instant);
        self.requeues.retain(|_, requeues| requeues.last >= Requeues::kept_from(instant));
    }

    /// How often a task went back to its queue.
    #[must_use]
    pub fn requeues_of(&self, task: &TaskId) -> u32 {
        self.requeues.get(task).map_or(0, |requeues| requeues.count)
    }

    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Armed(armed) => self.armed = *armed,
            Record::Paused(paused) => self.paused = *paused,
            Record::IntentOpened(intent) => {
                self.intents.insert(intent.id.clone(), intent.clone());
            }
            Record::IntentUnknown(id) => {
                if let Some(intent) = self.intents.get_mut(id) {
                    intent.outcome = IntentOutcome::Unknown;
                }
            }
            Record::IntentClosed { id, .. } => {
                self.intents.remove(id);
            }
            Record::Opened(opened) => {
                let Opened { known, interval } = opened.as_ref();
                self.gone.remove(&known.id);
                self.known.entry(known.id.clone()).or_insert_with(|| known.clone());
                self.ledger.open_interval(interval.clone());
            }
            Record::Registered(instance) => self.with_known(instance, |known| known.registered = true),
            Record::PowerSet { instance, power } => self.with_known(instance, |known| {
                known.power = *power;
                if power.is_off() {
                    (known.drain, known.registered) = (None, false);
                }
            }),
            Record::Restarted(opened) => {
                let Opened { known, interval } = opened.as_ref();
                self.known.insert(known.id.clone(), known.clone());
                self.ledger.open_interval(interval.clone());
            }
            Record::DisksBilled(interval) => self.ledger.open_interval(interval.as_ref().clone()),
            Record::Charged { instance, share } => self.ledger.charge(instance, share.clone()),
            Record::StopSent { instance, at } => self.with_known(instance, |known| known.stop_sent = Some(*at)),
            Record::Closed { instance, end } => self.ledger.close(instance, *end),
            Record::Gone { instance, at } => {
                self.known.remove(instance);
                self.gone.insert(instance.clone(), *at);
            }
            Record::DrainSet { instance, drain } => self.with_known(instance, |known| known.drain.clone_from(drain)),
            Record::Withdrawn(instance) => {
                self.with_known(instance, |known| (known.drain, known.stop_sent) = (None, None));
            }
            Record::HoldSet { instance, hold } => self.with_known(instance, |known| known.hold.clone_from(hold)),
            Record::ReplaceSet { instance, by } => self.with_known(instance, |known| known.replace.clone_from(by)),
            Record::RequeueOpened(lost) => {
                self.requeueing.insert(lost.task.clone(), lost.clone());
            }
            Record::RequeueClosed(task) => {
                self.requeueing.remove(task);
            }
            Record::Interrupted { task, at } => {
                self.interrupted.insert(task.clone(), *at);
            }
            Record::Requeued { task, count, at } => {
                self.requeues.insert(task.clone(), Requeues { count: *count, last: *at });
            }
            Record::TaskTook { queue, duration } => {
                self.learned.tasks.entry(queue.clone()).or_default().push(*duration);
            }
            Record::BootTook { pool, duration } => self.learned.boots.entry(pool.clone()).or_default().push(*duration),
            Record::StartTook { pool, duration } => {
                self.learned.starts.entry(pool.clone()).or_default().push(*duration);
            }
            Record::Learned(lesson) => self.learned.take(lesson),
            Record::BootFailed { pool, instance } => {
                self.boots_failed.entry(pool.clone()).or_default().insert(instance.clone());
            }
            Record::BootsForgiven(pool) => {
                self.boots_failed.remove(pool);
            }
            Record::AttemptOpened(attempt) => {
                self.attempts.insert(attempt.instance.clone(), attempt.as_ref().clone());
            }
            Record::AttemptSettled(instance) => {
                self.attempts.remove(instance);
            }
            Record::PodPriced { of, rate } => {
                self.pod_prices.insert(of.clone(), *rate);
            }
            Record::LedgerWholeSince(since) => self.ledger.whole_since = Some(*since),
            Record::Glanced(_) | Record::Journal(_) => {}
        }
    }

    fn with_known(&mut self, instance: &InstanceId, change: impl FnOnce(&mut KnownInstance)) {
        if let Some(known) = self.known.get_mut(instance) {
            change(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_run_again_much_later_has_its_requeues_again() {
        let lines: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let mut memory = Memory::default();
        for (task, days) in [("young", 6), ("old", 8)] {
            let at = lines - SignedDuration::from_hours(24 * days);
            memory.apply(&Record::Requeued { task: task.into(), count: 2, at });
        }
        memory.forget_before(lines);
        assert_eq!((memory.requeues_of(&"young".into()), memory.requeues_of(&"old".into())), (2, 0));
        assert_eq!(memory.requeues.len(), 1);
    }

    #[test]
    fn the_p90_is_of_the_newest_two_hundred() {
        let mut samples = Samples::default();
        for sample in 1..=29 {
            samples.push(SignedDuration::from_secs(sample));
        }
        assert_eq!(samples.p90(), None, "too few");
        samples.push(SignedDuration::from_secs(30));
        assert_eq!(samples.p90(), Some(SignedDuration::from_secs(28)));
        for sample in (0..1_000).map(|sample| sample * 7_919 % 1_009) {
            samples.push(SignedDuration::from_secs(sample));
        }
        let mut kept = samples.as_slice().to_vec();
        assert_eq!(kept.len(), Samples::KEPT);
        kept.sort_unstable();
        assert_eq!(samples.p90(), Some(kept[180]));
        let text = serde_json::to_string(&samples).unwrap();
        assert_eq!(serde_json::from_str::<Samples>(&text).unwrap(), samples);
    }
}

//! The world as one pass of the loop sees it: the only input of `plan` besides settings, ledger and time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::account::Owner;
use crate::model::advice::Advised;
use crate::model::breaker::Breaker;
use crate::model::catalogue::Catalogue;
use crate::model::cluster::Cluster;
use crate::model::course::Courses;
use crate::model::ids::{Actor, InstanceId, PoolName, QueueId, QueueName, TaskId, WorkerId};
use crate::model::instance::{Hold, Instance};
use crate::model::observed::{QueueEntry, TaskStatus};
use crate::model::record::{Intent, Learned};
use crate::model::settings::Provider;

/// The world, joined.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The queues of the settings, in their order.
    pub queues: Vec<QueueState>,
    /// Every machine of the fleet that is not long gone, by id.
    pub instances: Vec<Instance>,
    /// Launches whose machines are not known yet.
    pub intents: Vec<Intent>,
    pub foreign: Vec<ForeignWorker>,
    pub ghosts: Vec<Ghost>,
    /// Tasks that need our care.
    pub strays: Vec<Stray>,
    /// Tasks that wait and whose machine the cloud took back while it ran them: a retry is worth a machine that stays.
    pub interrupted_once: BTreeSet<TaskId>,
    /// Whose the waiting and running tasks are, as far as ClearML was asked.
    #[serde(default)]
    pub owners: Arc<BTreeMap<TaskId, Owner>>,
    /// The tags of those of them that have any.
    #[serde(default)]
    pub tags: Arc<BTreeMap<TaskId, Vec<String>>>,
    /// What backs off now.
    pub breakers: Vec<Breaker>,
    /// How many of each pool's machines in a row never registered, up to now.
    pub boots_failed: BTreeMap<PoolName, u32>,
    /// For each pool, since when at least 1, 2, 3, ... machines have been more than its queues need.
    pub surplus: Surplus,
    /// How the need for each pool's machines went lately.
    #[serde(default)]
    pub courses: Courses,
    pub learned: Arc<Learned>,
    pub catalogue: Arc<Catalogue>,
    /// What the queues' policies want, by the queues that have one.
    #[serde(default)]
    pub advice: BTreeMap<QueueName, Advised>,
    /// What the clusters say of themselves, by site.
    #[serde(default)]
    pub clusters: Arc<BTreeMap<String, Cluster>>,
    /// What people ask for, entering the plan like anything else.
    pub orders: Vec<Order>,
    pub sources: Vec<Source>,
}

/// See [`Snapshot::surplus`].
pub type Surplus = BTreeMap<PoolName, Vec<Timestamp>>;

impl Snapshot {
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.id == *id)
    }

    #[must_use]
    pub fn queue(&self, name: &QueueName) -> Option<&QueueState> {
        self.queues.iter().find(|queue| queue.name == *name)
    }

    /// A source by its name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Whether ClearML has ever answered: before that nothing is known of its queues.
    #[must_use]
    pub fn knows_clearml(&self) -> bool {
        self.source(Source::CLEARML).is_some_and(|source| source.last_good.is_some())
    }

    /// The first source that is too old to act on, if any.
    #[must_use]
    pub fn stale(&self, now: Timestamp) -> Option<&Source> {
        self.sources.iter().find(|source| source.is_stale(now))
    }
}

/// A queue of the settings, as the server has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    pub name: QueueName,
    /// `None`: the server has no such queue. It is never created by us.
    pub id: Option<QueueId>,
    /// The server's queue whose name is nearest, where this one is missing.
    pub nearest: Option<QueueName>,
    pub waiting: Vec<QueueEntry>,
    /// Entries that no task waits behind: nothing is launched for them.
    #[serde(default)]
    pub phantoms: Vec<Phantom>,
    /// How many of the waiting tasks were lost with a machine before.
    pub retried: u32,
}

impl QueueState {
    /// What is wrong with the queue's entries, in one sentence, where some are no waiting tasks.
    #[must_use]
    pub fn phantoms_told(&self) -> Option<String> {
        if self.phantoms.is_empty() {
            return None;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for phantom in &self.phantoms {
            *counts.entry(phantom.word()).or_default() += 1;
        }
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let (phantoms, entries) = (self.phantoms.len(), self.phantoms.len() + self.waiting.len());
        Some(format!("{phantoms} of {entries} entries are no waiting tasks: {}", counts.join(", ")))
    }
}

/// An entry of a queue whose task does not wait: ClearML lists it, and whoever pulls it has nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phantom {
    pub entry: QueueEntry,
    /// `None`: there is no such task any more.
    pub status: Option<TaskStatus>,
}

impl Phantom {
    /// What its task is instead of waiting.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.status.map_or("gone", TaskStatus::word)
    }
}

/// A worker that is not of our fleet: shown, counted as capacity while idle and fresh, never acted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignWorker {
    pub id: WorkerId,
    /// Those of our queues that it serves.
    pub queues: Vec<QueueName>,
    pub task: Option<TaskId>,
    pub last_report: Option<Timestamp>,
    pub fresh: bool,
}

/// Our worker, its machine confirmed gone: the server still lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ghost {
    pub worker: WorkerId,
    pub instance: InstanceId,
    pub task: Option<TaskId>,
    pub last_report: Option<Timestamp>,
}

/// A task that nobody works on and nobody will, unless we act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stray {
    /// Running by its status, on a machine that is confirmed gone (GUARD.md section 5).
    OfGoneMachine {
        task: TaskId,
        name: String,
        queue: QueueName,
        worker: WorkerId,
        instance: InstanceId,
        started: Option<Timestamp>,
        /// How often it was enqueued again before.
        requeues: u32,
    },
    /// Stopped by its own machine for want of time, which is confirmed gone and did not come to enqueue it again
    /// (GUARD.md section 6).
    StoppedByMachine { task: TaskId, queue: QueueName, instance: InstanceId, requeues: u32 },
    /// Queued by its status, in no queue, seen twice and for more than 90 s (GUARD.md section 4).
    QueuedNowhere { task: TaskId, name: String, queue: QueueName, since: Timestamp },
}

/// What a cloud's quota allows, and how much of that is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    pub limit: u32,
    pub in_use: u32,
    /// What is counted, such as `vCPU`.
    pub unit: String,
}

/// As people read it: `12 of 32 vCPU`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.in_use, self.limit, self.unit)
    }
}

/// Why launches fail; each class has its back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    Capacity,
    Quota,
    Throttle,
    Credentials,
    BadRequest,
    /// Machines are made, and never register.
    Boot,
    Unknown,
}

impl ErrorClass {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::Throttle => "throttle",
            Self::Credentials => "credentials",
            Self::BadRequest => "bad request",
            Self::Boot => "boot",
            Self::Unknown => "unknown",
        }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub by: Actor,
    pub what: Ask,
}

/// The deeds that a person can ask of the loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Drain(InstanceId),
    CancelDrain(InstanceId),
    /// Ends the machine. `kill`: even with a task on it; the task is then enqueued again by `on_lost`.
    Stop {
        instance: InstanceId,
        kill: bool,
    },
    /// Every machine of the fleet, tasks or not.
    StopAll,
    Hold {
        instance: InstanceId,
        hold: Hold,
    },
    Release(InstanceId),
    /// Drains the machine once it is idle and no task needs it.
    Replace(InstanceId),
    /// Takes that back.
    LetBe(InstanceId),
    /// One machine more, whatever waits.
    Launch {
        pool: PoolName,
        queue: QueueName,
    },
}

/// One source of facts, and how old its last good answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `clearml`, or `aws us-east-1`.
    pub name: String,
    pub last_good: Option<Timestamp>,
    /// Older than this, nothing is launched, drained or stopped on its word.
    pub stale_after: SignedDuration,
    /// What went wrong at the last try.
    pub error: Option<String>,
    /// When the credentials end that were used last; `None`: never, or nobody knows.
    #[serde(default)]
    pub credentials_end: Option<Timestamp>,
}

/// Credentials are renewed earlier than this before they end: those that end sooner could not be.
const RENEWED_BY: SignedDuration = SignedDuration::from_mins(4);

impl Source {
    /// The name of the ClearML server as a source.
    pub const CLEARML: &str = "clearml";

    /// The name of a cloud's region as a source.
    #[must_use]
    pub fn region(provider: Provider, region: &str) -> String {
        format!("{} {region}", provider.word())
    }

    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.last_good.map(|at| now.duration_since(at))
    }

    /// What a person must know of credentials that end and were not renewed.
    #[must_use]
    pub fn credentials_warning(&self, now: Timestamp) -> Option<String> {
        let end = self.credentials_end?;
        let left = end.duration_since(now);
        let time = end.strftime("%H:%M:%SZ");
        if left <= SignedDuration::ZERO {
            Some(format!("{}: the credentials ended at {time}: renew them", self.name))
        } else if left < RENEWED_BY {
            Some(format!("{}: the credentials end at {time} and were not renewed", self.name))
        } else {
            None
        }
    }

    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.age(now).is_none_or(|age| age > self.stale_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_are_no_waiting_tasks_are_counted_by_what_they_are() {
        let entry = |task: &str| QueueEntry { task: task.into(), added: Timestamp::UNIX_EPOCH };
        let phantom = |task, status| Phantom { entry: entry(task), status };
        let mut queue = QueueState {
            name: "train".into(),
            id: Some("q".into()),
            nearest: None,
            waiting: vec![entry("a"), entry("b")],
            phantoms: Vec::new(),
            retried: 0,
        };
        assert_eq!(queue.phantoms_told(), None);
        queue.phantoms = vec![phantom("c", None), phantom("d", Some(TaskStatus::InProgress)), phantom("e", None)];
        let told = "3 of 5 entries are no waiting tasks: 2 gone, 1 running";
        assert_eq!(queue.phantoms_told().as_deref(), Some(told));
    }

    #[test]
    fn credentials_that_were_not_renewed_are_told_before_they_end() {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let source = |end| Source {
            name: "aws us-east-1".to_owned(),
            last_good: None,
            stale_after: SignedDuration::ZERO,
            error: None,
            credentials_end: end,
        };
        for (end, said) in [
            (None, None),
            (Some(at(3_600)), None),
            (Some(at(240)), None),
            (Some(at(200)), Some("aws us-east-1: the credentials end at 00:03:20Z and were not renewed")),
            (Some(at(-60)), Some("aws us-east-1: the credentials ended at 23:59:00Z: renew them")),
        ] {
            assert_eq!(source(end).credentials_warning(at(0)).as_deref(), said);
        }
    }
}

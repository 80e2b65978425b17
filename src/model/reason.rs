//! Why: for every action and every refusal, in numbers that a person can check.

mod limit;
mod policy;
mod remedy;

pub use limit::{LimitKind, LimitScope};
pub use policy::{Kept, Wanted};

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::breaker::Breaker;
use crate::model::course::{Foreseen, Weighed};
use crate::model::drift::{self, Drift};
use crate::model::ids::{Actor, BudgetName, InstanceId, PoolName, QueueName, TaskId};
use crate::model::instance::Fault;
use crate::model::money::Money;
use crate::model::settings::ladder::Step;
use crate::model::span::Short;

/// Why something was done or not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    // Why an action.
    /// A policy of the user's wants it so.
    Advised(Wanted),
    /// `waiting` tasks, less what is there for them, need room for `need`; a machine has room for `each`.
    Waiting {
        waiting: u32,
        idle: u32,
        starting: u32,
        foreign: u32,
        need: u32,
        #[serde(default = "one")]
        each: u32,
    },
    /// No spot machine was to be had for `lasted`; `pool.X.spot_rollback` is `rollback`.
    Rollback {
        pool: PoolName,
        need: u32,
        lasted: SignedDuration,
        rollback: SignedDuration,
    },
    /// `retried` of the waiting tasks were lost with a machine before.
    Retry {
        retried: u32,
        need: u32,
    },
    /// `pool.X.min` is `min` and only `up` are up.
    Warm {
        pool: PoolName,
        min: u32,
        up: u32,
    },
    /// For `lasted` at least `level` machines were more than needed; the keep-alive is `keep_alive`.
    Surplus {
        level: u32,
        lasted: SignedDuration,
        keep_alive: SignedDuration,
        /// How the keep-alive was learned, if it was.
        #[serde(default)]
        learned: Option<Weighed>,
    },
    /// More machines are likely to be asked for soon.
    Foreseen {
        pool: PoolName,
        foreseen: Foreseen,
    },
    /// The machine answered that it has no task and takes none.
    Drained {
        after: SignedDuration,
    },
    /// No worker registered in `age`; the limit is `max_boot`.
    NeverRegistered {
        age: SignedDuration,
        max_boot: SignedDuration,
    },
    /// Its worker said nothing for `silent`; the limit is `max_silence`, and no task in progress names it.
    Silent {
        silent: SignedDuration,
        max_silence: SignedDuration,
    },
    /// The same of `missing` of its agents; the others have read its drain.
    PartlySilent {
        missing: u32,
        all: u32,
        silent: SignedDuration,
        max_silence: SignedDuration,
    },
    /// Switched off for `off`; `pool.X.stopped_for` is `stopped_for`.
    KeptLong {
        off: SignedDuration,
        stopped_for: SignedDuration,
    },
    /// More are switched off than the pool keeps.
    KeptTooMany {
        pool: PoolName,
        kept: u32,
        max_stopped: u32,
    },
    /// Switched off for `off`, and nobody here did that.
    OffOutside {
        off: SignedDuration,
        for_good: bool,
    },
    /// The cloud shows a machine of our fleet that the store does not know.
    Unknown {
        age: SignedDuration,
    },
    /// The task's machine is confirmed gone.
    MachineGone {
        instance: InstanceId,
        attempt: u32,
        allowed: u32,
    },
    /// The task is queued by its status, in no queue.
    QueuedNowhere {
        since: SignedDuration,
    },
    /// The machine of this worker is confirmed gone; the server would list it for up to ten minutes.
    GhostWorker {
        instance: InstanceId,
    },
    /// It was made otherwise than one would be made now.
    Drifted {
        drift: Vec<Drift>,
    },
    /// A person asked.
    Asked {
        by: Actor,
    },

    // Why not.
    /// A limit is reached.
    Limit {
        scope: LimitScope,
        limit: LimitKind,
        used: u64,
        each: u64,
        max: u64,
    },
    /// A hard budget leaves too little.
    Budget {
        name: BudgetName,
        limit: Money,
        spent: Money,
        committed: Money,
        reservation: Money,
    },
    /// A budget has come to a step of its own.
    Step {
        name: BudgetName,
        limit: Money,
        spent: Money,
        percent: u32,
        step: Step,
    },
    /// A budget's `kill` step is due: the machine's tasks have until then to write what they have.
    Checkpoint {
        name: BudgetName,
        after: SignedDuration,
        asked: Timestamp,
        by: Timestamp,
    },
    /// No budget's step wants it any more.
    StepOver,
    /// A hard budget of a project or a user is spent: their waiting tasks are not counted.
    OwnerSpent {
        name: BudgetName,
        limit: Money,
        spent: Money,
        /// So many of them wait in the queue.
        tasks: u32,
    },
    /// A budget that is hard or acts by steps covers it, and nobody knows what it costs.
    NoPrice {
        pool: PoolName,
        machine_type: String,
        budget: BudgetName,
    },
    /// A limit covers it, and nobody knows how much of that one machine takes.
    Unmeasured {
        pool: PoolName,
        machine_type: String,
        scope: LimitScope,
        limit: LimitKind,
    },
    /// Launches failed: for now none is tried again, or a few at once.
    BackOff {
        pool: PoolName,
        breaker: Box<Breaker>,
    },
    /// The pool's last machines never registered: one at a time is tried.
    Canary {
        pool: PoolName,
        failed: u32,
        starting: u32,
    },
    /// What is known is too old to act on.
    Stale {
        source: String,
        age: Option<SignedDuration>,
        limit: SignedDuration,
        error: Option<String>,
    },
    /// Surplus, but not for long enough yet.
    Cooling {
        surplus: u32,
        lasted: SignedDuration,
        keep_alive: SignedDuration,
        #[serde(default)]
        learned: Option<Weighed>,
    },
    /// Another machine of the pool is being replaced, or is on its way.
    OneAtATime {
        pool: PoolName,
        /// A machine, or the intent of one.
        other: String,
    },
    /// It would fall below `pool.X.min`.
    KeptWarm {
        pool: PoolName,
        min: u32,
        up: u32,
    },
    /// A person asked that it be left alone.
    Held {
        until: Timestamp,
        by: Actor,
        why: String,
    },
    /// It has, or may have, a task.
    Busy {
        instance: InstanceId,
        task: Option<TaskId>,
    },
    /// The machine has a fault, and may have a task: a person decides.
    Faulty {
        instance: InstanceId,
        fault: Fault,
    },
    /// The pool's machines do not answer a drain (`guard = "off"`).
    NoGuard {
        pool: PoolName,
    },
    /// A pod is made for a task that waits, and is gone with it: nothing else makes one, and none is drained.
    PodsForTasks {
        pool: PoolName,
    },
    /// Another autoscaler made the machine: nothing on it answers a drain.
    BroughtOver {
        instance: InstanceId,
    },
    /// A policy of the user's lets no machine be launched for tasks that wait.
    HeldBack(Kept),
    /// A policy of the user's could not be asked: the loop decides without it.
    PolicyFailed {
        policy: String,
        error: String,
    },
    /// Entries of the queue whose tasks do not wait.
    Phantoms {
        phantoms: u32,
        entries: u32,
    },
    /// So many tasks wait for machines that are likely to be free before one that is started for them is worth its money.
    SoonFree {
        tasks: u32,
        free: u32,
        horizon: SignedDuration,
        boot: SignedDuration,
    },
    /// Enough is up or on its way.
    Served {
        waiting: u32,
        idle: u32,
        starting: u32,
        foreign: u32,
    },
    /// The task was enqueued again as often as allowed, or `on_lost` is `never`.
    RequeuesUsed {
        task: TaskId,
        attempts: u32,
        allowed: u32,
    },
    /// The server has no such queue.
    NoSuchQueue {
        queue: QueueName,
        nearest: Option<QueueName>,
    },
    NoSuchPool {
        pool: PoolName,
    },
    NoSuchInstance {
        instance: InstanceId,
    },
    /// The queue's settings do not name the pool.
    NotOffered {
        queue: QueueName,
        pool: PoolName,
    },
    /// Nothing to do: it is so already.
    Already {
        what: String,
    },
}

/// What another version does not say.
fn one() -> u32 {
    1
}

/// `1 instance`, `2 instances`.
#[must_use]
pub fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

impl fmt::Display for Reason {
    #[expect(clippy::too_many_lines, reason = "a sentence for each reason")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { waiting, idle, starting, foreign, need, each } => {
                let each = if *each > 1 { format!(", {each} on a machine") } else { String::new() };
                write!(
                    f,
                    "{waiting} waiting - {idle} idle - {starting} starting - {foreign} foreign idle = {need} needed{each}"
                )
            }
            Self::Rollback { pool, need, lasted, rollback } => write!(
                f,
                "{need} needed, no spot machine for {}, pool.{pool}.spot_rollback is {}: on-demand",
                Short(*lasted),
                Short(*rollback)
            ),
            Self::Retry { retried, need } => {
                let retried = counted((*retried).into(), "waiting task");
                write!(f, "{need} needed for {retried}, lost with a machine before: on-demand")
            }
            Self::Warm { pool, min, up } => write!(f, "pool.{pool}.min is {min}, {up} up"),
            Self::Surplus { level, lasted, keep_alive, learned } => {
                write!(f, "{level} more than needed for {}, keep-alive is {}", Short(*lasted), Short(*keep_alive))?;
                learned.as_ref().map_or(Ok(()), |learned| write!(f, " ({learned})"))
            }
            Self::Foreseen { foreseen, .. } => write!(f, "{foreseen}"),
            Self::Drained { after } => {
                write!(f, "drained: it answered {} after the order, and has no task", Short(*after))
            }
            Self::NeverRegistered { age, max_boot } => {
                write!(f, "no worker {} after its launch, max_boot is {}", Short(*age), Short(*max_boot))
            }
            Self::Silent { silent, max_silence } => write!(
                f,
                "silent for {}, max_silence is {}; no task in progress names it",
                Short(*silent),
                Short(*max_silence)
            ),
            Self::PartlySilent { missing, all, silent, max_silence } => write!(
                f,
                "{missing} of {all} agents silent for {}, max_silence is {}; no task in progress names them",
                Short(*silent),
                Short(*max_silence)
            ),
            Self::KeptLong { off, stopped_for } => {
                write!(f, "switched off for {}, stopped_for is {}", Short(*off), Short(*stopped_for))
            }
            Self::KeptTooMany { pool, kept, max_stopped } => {
                write!(f, "{kept} are switched off, pool.{pool} keeps {max_stopped}")
            }
            Self::OffOutside { off, for_good } => {
                let by = if *for_good { "by itself or its cloud" } else { "and not by us" };
                write!(f, "switched off for {}, {by}", Short(*off))
            }
            Self::Unknown { age } => write!(f, "our fleet's tag, {} old, not in the store: adopted", Short(*age)),
            Self::MachineGone { instance, attempt, allowed } => {
                write!(f, "its machine {instance} is gone: attempt {attempt} of {allowed}")
            }
            Self::QueuedNowhere { since } => write!(f, "queued for {} and in no queue", Short(*since)),
            Self::GhostWorker { instance } => write!(f, "its machine {instance} does not run"),
            Self::Drifted { drift } => write!(f, "drifted: {}", drift::told(drift).unwrap_or_default()),
            Self::OneAtATime { pool, other } => {
                write!(f, "{other} of pool {pool} is replaced or starts: one at a time")
            }
            Self::Asked { by } => write!(f, "{by} asked"),
            Self::Limit { scope, limit, used, each, max } => write!(
                f,
                "{} is {}: {} used, one more needs {}",
                scope.key(*limit),
                limit.value(*max),
                limit.amount(*used),
                limit.amount(*each)
            ),
            Self::Budget { name, limit, spent, committed, reservation } => write!(
                f,
                "budget \"{name}\" is {limit}: {spent} spent, {committed} committed, {} free, one more reserves {reservation}",
                (*limit - *spent - *committed).max(Money::ZERO)
            ),
            Self::Step { name, limit, spent, percent, step } => {
                write!(f, "budget \"{name}\" is {limit}: {spent} spent, and from {percent}% on it says {step}")
            }
            Self::Checkpoint { name, after, asked, by } => {
                let (asked, by) = (asked.strftime("%H:%MZ"), by.strftime("%H:%MZ"));
                write!(
                    f,
                    "budget \"{name}\" says kill after {}: asked to checkpoint at {asked}, ends by {by}",
                    Short(*after)
                )
            }
            Self::StepOver => f.write_str("no budget's step wants it drained any more"),
            Self::OwnerSpent { name, limit, spent, tasks } => write!(
                f,
                "budget \"{name}\" is {limit}: {spent} spent; {} of theirs here do not count",
                counted(u64::from(*tasks), "waiting task")
            ),
            Self::NoPrice { pool, machine_type, budget } => {
                write!(f, "no price is known for {machine_type} of pool {pool}, and budget \"{budget}\" covers it")
            }
            Self::Unmeasured { pool, machine_type, scope, limit } => write!(
                f,
                "nobody knows {} of {machine_type} of pool {pool}, and {} is set",
                match limit {
                    LimitKind::Hourly => "the price",
                    LimitKind::Gpu | LimitKind::Vcpu | LimitKind::Instances => "the size",
                },
                scope.key(*limit)
            ),
            Self::BackOff { breaker, .. } => f.write_str(&breaker.refusal()),
            Self::Canary { pool, failed, starting } => write!(
                f,
                "the last {failed} machines of pool {pool} never registered: one at a time until one does, {starting} starting"
            ),
            Self::Stale { source, age, limit, error } => {
                match age {
                    Some(age) => {
                        write!(f, "{source} has not answered for {}, more than {}", Short(*age), Short(*limit))?;
                    }
                    None => write!(f, "{source} has not answered yet")?,
                }
                error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
            }
            Self::Cooling { surplus, lasted, keep_alive, learned } => {
                write!(
                    f,
                    "{surplus} more than needed for {}; one is drained at {}",
                    Short(*lasted),
                    Short(*keep_alive)
                )?;
                learned.as_ref().map_or(Ok(()), |learned| write!(f, " ({learned})"))
            }
            Self::KeptWarm { pool, min, up } => write!(f, "{up} up, pool.{pool}.min is {min}"),
            Self::Held { until, by, why } => {
                write!(f, "held by {by} until {}: {why}", until.strftime("%Y-%m-%d %H:%MZ"))
            }
            Self::Busy { instance, task: Some(task) } => write!(f, "{instance} runs task {task}"),
            Self::Busy { instance, task: None } => write!(f, "{instance} may have a task"),
            Self::Faulty { instance, fault } => {
                write!(f, "{instance} is {} and may have a task: a person decides", fault.word())
            }
            Self::NoGuard { pool } => write!(f, "machines of pool {pool} run without a guard and cannot be drained"),
            Self::PodsForTasks { pool } => {
                write!(f, "pool {pool} makes a pod for each waiting task, which ends with it")
            }
            Self::BroughtOver { instance } => {
                write!(f, "{instance} is another autoscaler's machine: it has no guard and cannot be drained")
            }
            Self::SoonFree { tasks, free, horizon, boot } => write!(
                f,
                "{tasks} wait for {free} machines that are likely to be free within {}: a start takes {}",
                Short(*horizon),
                Short(*boot)
            ),
            Self::Served { waiting, idle, starting, foreign } => {
                write!(f, "{waiting} waiting, {idle} idle, {starting} starting, {foreign} foreign idle: enough")
            }
            Self::Advised(wanted) => write!(f, "{wanted}"),
            Self::HeldBack(kept) => write!(f, "{kept}"),
            Self::PolicyFailed { policy, error } => write!(f, "{policy} is not followed: {error}"),
            Self::Phantoms { phantoms, entries } => {
                write!(f, "{phantoms} of {entries} entries are no waiting tasks: nothing is launched for them")
            }
            Self::RequeuesUsed { task, attempts, allowed } => {
                let attempts = counted((*attempts).into(), "time");
                write!(f, "task {task} was enqueued again {attempts}, on_lost allows {allowed}")
            }
            Self::NoSuchQueue { queue, .. } => write!(f, "the server has no queue `{queue}`; it is not created"),
            Self::NoSuchPool { pool } => write!(f, "there is no pool `{pool}`"),
            Self::NoSuchInstance { instance } => write!(f, "there is no machine `{instance}` in this fleet"),
            Self::NotOffered { queue, pool } => write!(f, "queue.{queue}.pools does not name {pool}"),
            Self::Already { what } => write!(f, "{what}"),
        }
    }
}

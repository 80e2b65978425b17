//! One machine of the fleet, as the loop and the screen see it: cloud, ClearML and memory joined.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::attempt::Pod;
use crate::model::drift::{self, Drift};
use crate::model::ids::{Actor, InstanceId, IntentId, MachineType, PoolName, QueueName, TaskId, WorkerId, Zone};
use crate::model::money::{Money, Rate};
use crate::model::settings::{Market, Provider};
use crate::model::span;

/// Where in its life a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The cloud accepted it; it does not run yet.
    Pending,
    /// It runs; its agent has not registered.
    Booting,
    Idle,
    Busy,
    /// Takes no more tasks; finishes the present one.
    Draining,
    /// Told to end or to switch off; not yet proved.
    Stopping,
    /// Switched off and kept: it can be started again.
    Stopped,
    Gone,
}

impl Phase {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Booting,
        Self::Idle,
        Self::Busy,
        Self::Draining,
        Self::Stopping,
        Self::Stopped,
        Self::Gone,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Booting => "booting",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }
}

/// Whether a machine that we may switch off and keep is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    #[default]
    On,
    /// Decided then: the call is made until the cloud carries it out.
    SwitchingOff { at: Timestamp },
    /// The cloud says so, since then.
    Off { since: Timestamp },
}

impl Power {
    #[must_use]
    pub fn is_off(self) -> bool {
        matches!(self, Self::Off { .. })
    }
}

/// What is wrong with a machine. A machine with a fault is not capacity, but for [`Fault::AgentsMissing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No worker in time.
    Stuck,
    /// The worker is silent.
    Lost,
    /// Idle for three polls while its queue waits, or without the mailbox that it must read first.
    NotPulling,
    /// The cloud has announced that it takes the machine away.
    Interrupted,
    /// Ended by someone else.
    StoppedOutside,
    /// Half of its agents do not report, or more; the others take tasks.
    AgentsMissing,
    /// Two live workers call themselves the same agent of it: nobody knows whose word its drain would be.
    ClaimedTwice,
}

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::Stuck,
        Self::Lost,
        Self::NotPulling,
        Self::Interrupted,
        Self::StoppedOutside,
        Self::AgentsMissing,
        Self::ClaimedTwice,
    ];

    /// Whether a machine with it is no capacity.
    #[must_use]
    pub fn disables(self) -> bool {
        self != Self::AgentsMissing
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Lost => "lost",
            Self::NotPulling => "not pulling",
            Self::Interrupted => "interrupted",
            Self::StoppedOutside => "stopped outside",
            Self::AgentsMissing => "agents missing",
            Self::ClaimedTwice => "claimed twice",
        }
    }
}

/// How we came by a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Launched,
    /// Of our fleet by its tag, but unknown to our store until now: adopted, never stopped for that.
    Orphan,
    /// Another autoscaler's, which a person gave our fleet's tag (`import --adopt`). No guard of ours runs on it.
    BroughtOver,
}

/// A machine is switched off, as its cloud shows it, and nobody here did that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffOutside {
    pub since: Timestamp,
    /// It said that it switches itself off, or its cloud took it: nobody has plans for it.
    pub for_good: bool,
}

/// One machine, known by the cloud's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    pub provider: Provider,
    pub region: String,
    pub pool: PoolName,
    /// The queue it was launched for; it counts in that queue's limits.
    pub home: QueueName,
    pub machine_type: MachineType,
    pub zone: Option<Zone>,
    pub market: Market,
    pub vcpu: u32,
    pub gpu: u32,
    /// `None`: no price is known, its cost counts as zero and the screen says so.
    pub rate: Option<Rate>,
    /// What was set aside at its launch.
    pub reservation: Money,
    pub intent: Option<IntentId>,
    pub origin: Origin,
    pub launched: Timestamp,
    /// When the cloud says it ended.
    pub ended: Option<Timestamp>,
    /// When its own clock ends it, whatever runs there, or that of its Job; `None`: nothing on it does, as far as is known.
    #[serde(default)]
    pub ends_by: Option<Timestamp>,
    pub phase: Phase,
    pub phase_since: Timestamp,
    /// How far the boot has come, in the machine's own words, until its worker is seen.
    #[serde(default)]
    pub boot: Option<String>,
    pub fault: Option<Fault>,
    /// What the cloud, the machine itself or the looks say about its fault.
    pub fault_why: Option<String>,
    /// Its worker was there and has not reported since.
    pub silent_since: Option<Timestamp>,
    /// Of several agents the first.
    pub worker: Option<WorkerId>,
    /// Of several agents the newest.
    pub last_report: Option<Timestamp>,
    #[serde(default)]
    pub agents: Agents,
    /// Of several tasks the one that began first.
    pub task: Option<RunningTask>,
    /// The others, where it has several agents; none while there is no [`Self::task`].
    #[serde(default)]
    pub more_tasks: Vec<RunningTask>,
    /// A worker of it was seen at least once.
    pub registered: bool,
    pub drain: Option<Drain>,
    pub hold: Option<Hold>,
    pub power: Power,
    /// `None` where it is not off, or we did it.
    #[serde(default)]
    pub off_outside: Option<OffOutside>,
    /// In what it differs from a machine that would be made now.
    #[serde(default)]
    pub drift: Vec<Drift>,
    /// Who wants it replaced once it is idle.
    #[serde(default)]
    pub replace: Option<Actor>,
    /// The cloud would not start it again a moment ago.
    pub no_start_until: Option<Timestamp>,
    /// What it is where it is no machine but a pod.
    #[serde(default)]
    pub pod: Option<Pod>,
}

/// The agents of a machine: each runs one task at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// So many it runs when all is well.
    pub all: u32,
    /// So many take tasks: all, until they have had the time to register; then those that report.
    pub present: u32,
    /// Since when not all report that should.
    pub missing_since: Option<Timestamp>,
}

impl Agents {
    /// So many, and all is well.
    #[must_use]
    pub fn whole(all: u32) -> Self {
        Self { all, present: all, missing_since: None }
    }
}

impl Default for Agents {
    fn default() -> Self {
        Self::whole(1)
    }
}

impl Instance {
    /// Every task that it runs, the one that began first before the others.
    pub fn tasks(&self) -> impl Iterator<Item = &RunningTask> {
        self.task.iter().chain(&self.more_tasks)
    }

    /// Of a machine with several agents, how many of them have a task: `2/4 tasks`.
    #[must_use]
    pub fn load_told(&self) -> Option<String> {
        (self.agents.all > 1).then(|| format!("{}/{} tasks", self.tasks().count(), self.agents.all))
    }

    /// That some of its agents do not report, unless that is its fault.
    #[must_use]
    pub fn agents_told(&self) -> Option<String> {
        let Agents { all, present, .. } = self.agents;
        (all > 1 && present < all && self.fault.is_none()).then(|| format!("{present} of {all} agents report"))
    }

    /// Counts against limits: everything that is not proved gone, or off.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.is_there() && !self.power.is_off()
    }

    /// Not proved gone.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.phase != Phase::Gone
    }

    /// Whether a task runs here or may: only a worker that answered a drain, or that never was, has surely none.
    /// An answer is worth nothing once the order is taken back: the machine pulls again as soon as it reads that.
    #[must_use]
    pub fn may_have_task(&self) -> bool {
        if self.task.is_some() {
            return true;
        }
        let acknowledged = self.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_some() && !drain.cancelled);
        self.registered && !acknowledged
    }

    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.until > now)
    }

    /// What it goes on costing while it is switched off and kept.
    #[must_use]
    pub fn kept_told(&self) -> Option<String> {
        self.power.is_off().then(|| match self.rate {
            Some(Rate::ZERO) | None => "kept; what its disks cost is not known: no disk_gb is set".to_owned(),
            Some(disks) => format!("kept; its disks cost {disks}"),
        })
    }

    /// Whether it costs what nobody knows. What is being stopped is charged no more, so that it has no price.
    #[must_use]
    pub fn lacks_price(&self) -> bool {
        self.rate.is_none() && !self.power.is_off() && !matches!(self.phase, Phase::Stopping | Phase::Gone)
    }

    /// In what it differs from a machine that would be made now, and who wants it replaced: a note each.
    #[must_use]
    pub fn replaced_told(&self) -> Vec<String> {
        let drift = drift::told(&self.drift).map(|told| format!("drifted: {told}"));
        let by = self.replace.as_ref().map(|by| format!("replaced when idle, by {by}"));
        drift.into_iter().chain(by).collect()
    }

    #[must_use]
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.launched)
    }
}

/// The task that a worker runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    pub id: TaskId,
    pub name: String,
    /// The queue that it came from, when known.
    pub queue: Option<QueueName>,
    /// When we first saw it here.
    pub since: Timestamp,
}

/// An order to take no more tasks, persisted until the machine is gone or the order is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// New and random for each order; the machine's answer repeats it.
    pub nonce: String,
    pub cause: DrainCause,
    pub by: Actor,
    pub ordered: Timestamp,
    /// When the machine's own agent answered: it has no task and takes none.
    pub acknowledged: Option<Timestamp>,
    /// A person or a rule took the order back; it stands until the machine answers `run`.
    pub cancelled: bool,
    /// The answer is not the gate's: a hold task runs there, or did. It counts only for as long as one does.
    #[serde(default)]
    pub held: bool,
    /// When the machine was asked to have its tasks write what they have and go back to their queues.
    #[serde(default)]
    pub end_asked: Option<Timestamp>,
}

/// Why a machine is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainCause {
    /// Surplus for the keep-alive; an idle stop is a drain of a machine without a task.
    Surplus,
    /// No worker in time: the order keeps the machine from taking a task just before it is stopped.
    Stuck,
    /// Silent for too long, without a task: the order keeps the machine from taking one when it comes back.
    Silent,
    /// It is to be replaced by one that is made as it would be now.
    Replaced,
    /// A step of a budget; where it says so, the machine is ended once the grace after the order is over.
    Budget,
    /// A person asked.
    Person,
    /// The console was left with `on_exit = "stop-idle"`.
    Exit,
}

/// The loop leaves the machine alone until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub until: Timestamp,
    pub by: Actor,
    pub why: String,
}

impl Hold {
    /// A person may hold a machine for so long.
    pub const LASTS: RangeInclusive<SignedDuration> =
        SignedDuration::from_mins(1)..=SignedDuration::from_hours(30 * 24);

    /// How long a machine is to be held, as a person writes it; `Err`: why it cannot be.
    pub fn read_span(text: &str) -> Result<SignedDuration, String> {
        let (least, most) = (span::Exact(*Self::LASTS.start()), span::Exact(*Self::LASTS.end()));
        let lasts = span::parse(text).map_err(|error| error.to_string())?;
        if Self::LASTS.contains(&lasts) { Ok(lasts) } else { Err(format!("`{text}` is not in {least}..{most}")) }
    }
}

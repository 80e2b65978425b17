//! What happens in a simulated world: demand, cloud, agents, faults, and what the judge judges by.

mod demand;
mod fault;

pub use demand::{PlannedTask, QueueDemand, Sweeps};
pub use fault::{Call, Fault, Pick, TimedFault};

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

const DEMO: &str = include_str!("../../../../assets/demo/scenario.toml");

/// A whole scenario. Every part has a default; the defaults of the cloud are REPLAY.md section 1's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The date at which its clock starts.
    pub start: Timestamp,
    /// The queues that the server has, and the tasks that come to each.
    #[serde(rename = "queue")]
    pub queues: Vec<QueueDemand>,
    /// Tasks one by one.
    #[serde(rename = "task")]
    pub tasks: Vec<PlannedTask>,
    /// What the cloud rents out.
    #[serde(rename = "machine")]
    pub machines: Vec<MachineOffer>,
    /// Workers that are not of our fleet.
    #[serde(rename = "foreign")]
    pub foreign: Vec<ForeignAgent>,
    pub boot: Boot,
    pub cloud: CloudManners,
    pub tracker: TrackerManners,
    pub agent: AgentManners,
    pub hazard: Hazards,
    #[serde(rename = "drought")]
    pub droughts: Vec<Drought>,
    #[serde(rename = "fault")]
    pub faults: Vec<TimedFault>,
    pub limits: JudgedLimits,
    /// Tasks save their progress this often; a task that is run again goes on from there. `None`: from the start.
    pub checkpoint: Option<SignedDuration>,
    /// A task that nobody runs and no queue holds is lost after this long.
    pub lost_after: SignedDuration,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            start: Timestamp::UNIX_EPOCH,
            queues: Vec::new(),
            tasks: Vec::new(),
            machines: Vec::new(),
            foreign: Vec::new(),
            boot: Boot::default(),
            cloud: CloudManners::default(),
            tracker: TrackerManners::default(),
            agent: AgentManners::default(),
            hazard: Hazards::default(),
            droughts: Vec::new(),
            faults: Vec::new(),
            limits: JudgedLimits::default(),
            checkpoint: None,
            lost_after: SignedDuration::from_mins(15),
        }
    }
}

/// Why a scenario cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario cannot be used: {0}")]
pub struct ScenarioError(String);

impl Scenario {
    /// Reads a scenario from TOML.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The same with so many times the tasks and the limits: a larger group's day.
    #[must_use]
    pub fn times(mut self, scale: u32) -> Self {
        for queue in &mut self.queues {
            queue.per_hour *= f64::from(scale);
            if let Some(sweeps) = &mut queue.sweeps {
                sweeps.per_day *= f64::from(scale);
            }
        }
        let limits = &mut self.limits;
        let every = limits.total.iter_mut().chain(limits.queue.values_mut()).chain(limits.pool.values_mut());
        every.for_each(|limit| *limit = limit.saturating_mul(scale));
        self
    }

    /// The demo's: a busy Monday.
    pub fn demo() -> Result<Self, ScenarioError> {
        Self::parse(DEMO)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let known = |name: &str| self.queues.iter().any(|queue| queue.name == name);
        let named = self.tasks.iter().map(|task| &task.queue).chain(self.foreign.iter().flat_map(|one| &one.queues));
        match named.into_iter().find(|name| !known(name)) {
            Some(name) => Err(ScenarioError(format!("there is no [[queue]] of the name `{name}`"))),
            None => Ok(()),
        }
    }

    pub(super) fn offer(&self, machine_type: &str) -> Option<&MachineOffer> {
        self.machines.iter().find(|offer| offer.name == machine_type)
    }
}

/// A lognormal length of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub median: SignedDuration,
    pub sigma: f64,
    /// Nothing longer is drawn.
    #[serde(default)]
    pub most: Option<SignedDuration>,
}

impl Spread {
    #[must_use]
    pub const fn new(median_millis: i64, sigma: f64) -> Self {
        Self { median: SignedDuration::from_millis(median_millis), sigma, most: None }
    }
}

/// A machine type with the simulated cloud's own prices, in whole micro-dollars for an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineOffer {
    pub name: String,
    pub vcpu: u32,
    pub on_demand: i64,
    /// Without one the machine costs the same on the spot market.
    #[serde(default)]
    pub spot: Option<i64>,
}

/// From the launch call to the registered agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boot {
    /// Accepted, not yet running.
    pub pending: Spread,
    pub os: Spread,
    /// Installing and starting the agent.
    pub agent: Spread,
}

impl Default for Boot {
    fn default() -> Self {
        Self { pending: Spread::new(12_000, 0.40), os: Spread::new(78_000, 0.35), agent: Spread::new(180_000, 0.30) }
    }
}

/// How the cloud behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudManners {
    /// Zones where a pool names none.
    pub zones: Vec<String>,
    /// How long a launch call takes.
    pub launch_takes: Spread,
    /// How long any other call takes.
    pub call_takes: Spread,
    /// A new machine is not in the list before this.
    pub listed_after: Spread,
    /// From the terminate call to `terminated`.
    pub ends_in: Spread,
    /// A terminated machine stays in the list for this long.
    pub listed_for: SignedDuration,
    /// vCPUs that may run at once, for each market; a launch that would pass it is refused whole.
    pub quota_vcpu: Option<u32>,
    /// How likely a call is throttled; half of the throttled launches act all the same.
    pub throttled: f64,
    /// How likely a call is answered with HTTP 500.
    pub broken: f64,
    /// How likely a call gets no answer at all; half of those act all the same.
    pub silent: f64,
    /// A spot machine that the cloud takes back within its first hour costs nothing.
    pub first_spot_hour_free: bool,
}

impl Default for CloudManners {
    fn default() -> Self {
        Self {
            zones: ["us-east-1a", "us-east-1b", "us-east-1c"].map(str::to_owned).to_vec(),
            launch_takes: Spread::new(1_500, 0.20),
            call_takes: Spread::new(350, 0.40),
            listed_after: Spread {
                median: SignedDuration::from_secs(2),
                sigma: 0.8,
                most: Some(SignedDuration::from_secs(30)),
            },
            ends_in: Spread::new(25_000, 0.50),
            listed_for: SignedDuration::from_hours(1),
            quota_vcpu: None,
            throttled: 0.0,
            broken: 0.0,
            silent: 0.0,
            first_spot_hour_free: false,
        }
    }
}

/// How the ClearML server behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackerManners {
    pub call_takes: Spread,
    /// How likely a call is not answered.
    pub silent: f64,
}

impl Default for TrackerManners {
    fn default() -> Self {
        Self { call_takes: Spread::new(60, 0.50), silent: 0.0 }
    }
}

/// How clearml-agent, its gate and its guard behave (GUARD.md; `assets/guard`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentManners {
    /// From registering, or the end of a task, to the next poll.
    pub first_poll: SignedDuration,
    pub poll_every: SignedDuration,
    /// The gate reads its mailbox at the first poll after this.
    pub read_every: SignedDuration,
    pub report_every: SignedDuration,
    /// From taking a task off its queue to `started`.
    pub start_takes: Spread,
    /// Drained, and the console does not end the machine: it ends itself.
    pub drain_grace: SignedDuration,
    /// No new lease for so long ...
    pub lease_life: SignedDuration,
    /// ... and no task for so long: the machine ends itself.
    pub idle_life: SignedDuration,
    /// An agent that cannot start is given up after this.
    pub gives_up_after: SignedDuration,
}

impl Default for AgentManners {
    fn default() -> Self {
        Self {
            first_poll: SignedDuration::from_secs(1),
            poll_every: SignedDuration::from_secs(5),
            read_every: SignedDuration::from_secs(15),
            report_every: SignedDuration::from_secs(30),
            start_takes: Spread {
                median: SignedDuration::from_millis(400),
                sigma: 0.5,
                most: Some(SignedDuration::from_secs(5)),
            },
            drain_grace: SignedDuration::from_secs(60),
            lease_life: SignedDuration::from_mins(30),
            idle_life: SignedDuration::from_mins(15),
            gives_up_after: SignedDuration::from_mins(9),
        }
    }
}

/// What befalls machines by chance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hazards {
    /// The cloud takes a spot machine back, in cases an hour.
    pub spot_per_hour: f64,
    /// A machine breaks down, in cases an hour.
    pub machine_per_hour: f64,
    /// An agent falls silent while its machine lives, in cases an hour.
    pub agent_per_hour: f64,
    /// How likely a machine never registers.
    pub never_registers: f64,
}

/// A zone of the cloud has no machines of a type, now and then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drought {
    pub machine_type: String,
    /// `None`: each zone on its own, all alike.
    #[serde(default)]
    pub zone: Option<String>,
    /// Mean time from one to the next, in hours.
    pub every_hours: f64,
    /// Mean length, in hours.
    pub lasts_hours: f64,
}

/// A worker that is not of our fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignAgent {
    pub worker: String,
    pub queues: Vec<String>,
    /// From the start of the scenario.
    #[serde(default)]
    pub comes: SignedDuration,
}

/// How many machines may exist at once, in the judge's own words. What is not named is not limited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgedLimits {
    pub total: Option<u32>,
    /// By the queue that a machine was launched for.
    pub queue: BTreeMap<String, u32>,
    pub pool: BTreeMap<String, u32>,
}

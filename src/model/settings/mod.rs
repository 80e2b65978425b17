//! The settings as the program uses them. How they are written and checked is the field table's
//! matter ([`fields`]), how they are addressed [`key`]'s; where they are kept is the store's.

mod account;
mod agent;
pub mod autoscaler;
pub mod change;
pub mod check;
pub mod discount;
mod exec;
pub mod fields;
mod gce;
pub mod guardrails;
mod idle;
pub mod key;
pub mod keys;
pub mod kubernetes;
pub mod ladder;
mod launch;
pub mod notify;
pub mod people;
mod provider;
pub mod reference;
pub mod run_instances;
pub mod schedule;
mod secret_text;
mod secret_variables;
mod spot;
pub mod spot_cap;
mod the_loop;
pub mod volume;

pub use account::AccountSettings;
pub use agent::{AgentSettings, MOST_AGENTS};
pub use discount::Discount;
pub use exec::ExecSettings;
pub use gce::{DiskKind, GceSettings, Provisioning, size_of};
pub use idle::{KeepAlive, OnIdle};
pub use kubernetes::KubernetesSettings;
pub use ladder::Ladder;
pub use launch::{Image, LaunchSettings, SpotStrategy};
pub use notify::NotifySettings;
pub use schedule::Schedule;
pub use secret_text::SecretText;
pub use spot::SpotSettings;
pub use the_loop::{LoopSettings, OnExit, Poll};

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::{
    AccountName, BudgetName, MachineType, NotifyName, PoolName, ProjectName, QueueName, Revision, UserName,
};
use crate::model::keys::Keys;
use crate::model::money::{Money, Rate};
use crate::model::{site, span};

/// Everything a person can decide, in one validated value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub revision: Revision,
    pub clearml: ClearmlSettings,
    #[serde(rename = "loop")]
    pub the_loop: LoopSettings,
    /// Limits over everything.
    pub limits: Limits,
    pub budgets: Vec<Budget>,
    /// In file order: a later one wins.
    pub schedules: Vec<Schedule>,
    pub accounts: Vec<AccountSettings>,
    /// Who is told of what happens.
    #[serde(default)]
    pub notify: Vec<NotifySettings>,
    /// In file order, which breaks ties of priority.
    pub queues: Vec<QueueSettings>,
    pub pools: Vec<PoolSettings>,
    /// Keys of the screen's commands, by their names, where they are not their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Keys>,
}

impl Settings {
    #[must_use]
    pub fn queue(&self, name: &QueueName) -> Option<&QueueSettings> {
        self.queues.iter().find(|queue| queue.name == *name)
    }

    /// The script or program that is asked about a queue of these settings, if any.
    #[must_use]
    pub fn policy_of<'a>(&'a self, queue: &'a QueueSettings) -> Option<&'a str> {
        queue.policy.as_deref().or(self.the_loop.policy.as_deref())
    }

    #[must_use]
    pub fn account(&self, name: &AccountName) -> Option<&AccountSettings> {
        self.accounts.iter().find(|account| account.name == *name)
    }

    #[must_use]
    pub fn notified(&self, name: &NotifyName) -> Option<&NotifySettings> {
        self.notify.iter().find(|told| told.name == *name)
    }

    #[must_use]
    pub fn pool(&self, name: &PoolName) -> Option<&PoolSettings> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// The pool as its machines are made: on Google's also with the metadata of all of them, beneath its own.
    #[must_use]
    pub fn as_made(&self, pool: &PoolSettings) -> PoolSettings {
        let mut made = pool.clone();
        if pool.provider == Provider::Gce {
            let own = std::mem::take(&mut made.launch.gce.metadata);
            made.launch.gce.metadata = self.the_loop.gce_metadata.clone();
            made.launch.gce.metadata.extend(own);
        }
        made
    }

    /// What a pool of pods need not say: where they run, what kind of machine they are, and that nothing there answers a
    /// drain; and what a pool of a program's need not: that it has one place.
    pub(crate) fn complete(&mut self) {
        for pool in self.pools.iter_mut().filter(|pool| pool.provider == Provider::Exec && pool.region.is_empty()) {
            exec::PLACE.clone_into(&mut pool.region);
        }
        for pool in self.pools.iter_mut().filter(|pool| pool.provider == Provider::Kubernetes) {
            pool.region = pool.launch.kubernetes.site();
            pool.types = vec![MachineType::new(kubernetes::POD)];
            pool.guard = GuardKind::Off;
        }
    }

    /// The queues that a pool may serve, by priority (highest first), then in file order.
    pub fn queues_of<'a>(&'a self, pool: &'a PoolName) -> impl Iterator<Item = &'a QueueSettings> {
        let mut queues: Vec<_> = self.queues.iter().filter(|queue| queue.pools.contains(pool)).collect();
        queues.sort_by_key(|queue| std::cmp::Reverse(queue.priority));
        queues.into_iter()
    }
}

/// One change of the settings, as people write it: `queue.gpu.max` = `8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub key: String,
    /// `None`: back to the default, the line is removed.
    pub value: Option<String>,
}

/// Where ClearML is and who we are there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClearmlSettings {
    /// `None`: from `CLEARML_API_HOST` or clearml.conf.
    pub api_server: Option<String>,
    /// The console's own user; `None`: from `CLEARML_API_ACCESS_KEY` or clearml.conf.
    pub credentials: Option<SecretRef>,
    /// The user of the machines' agents; `None`: the console's own, with a warning.
    pub agents_credentials: Option<SecretRef>,
}

/// Where a secret lives. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretRef {
    /// `env:NAME`: `NAME_ACCESS_KEY` and `NAME_SECRET_KEY`, or `NAME` holding `key:secret`.
    Env(String),
    /// `file:PATH`: a clearml.conf, or one line `key:secret`.
    File(std::path::PathBuf),
}

/// Counts that may not be passed. `None`: not limited; `Some(0)`: none allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Instances.
    pub max: Option<u32>,
    pub max_gpu: Option<u32>,
    pub max_vcpu: Option<u32>,
    pub max_hourly: Option<Rate>,
}

/// Money for a period over a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub name: BudgetName,
    pub scope: BudgetScope,
    pub per: Per,
    pub limit: Money,
    /// A hard budget governs launches (invariant 2); a soft one is only shown.
    pub hard: bool,
    /// Of the period in which the ledger begins: what was spent before that.
    pub already_spent: Money,
    /// What is done at parts of the limit.
    pub at: Ladder,
}

impl Budget {
    /// Whether it ever keeps a launch back: what has no price would never bring it there.
    #[must_use]
    pub fn governs(&self) -> bool {
        self.hard || self.has_steps()
    }

    /// Whether it acts by steps.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        self.at.rungs().iter().any(|rung| rung.step > ladder::Step::Warn)
    }

    /// What was spent in the period that began at `start` before the ledger held every machine, as the settings say.
    /// `whole_since`: since when it does.
    #[must_use]
    pub fn spent_before_ledger(&self, start: Timestamp, whole_since: Option<Timestamp>) -> Money {
        if whole_since.is_none_or(|since| since > start) { self.already_spent } else { Money::ZERO }
    }
}

/// What a budget covers. What is a task's of a project or user is known only while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetScope {
    All,
    Provider(Provider),
    Pool(PoolName),
    Queue(QueueName),
    Project(ProjectName),
    User(UserName),
}

impl BudgetScope {
    /// `everything`, `queue train`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::All => "everything".to_owned(),
            scope => scope.to_string().replacen(':', " ", 1),
        }
    }
}

impl fmt::Display for BudgetScope {
    /// As the settings write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Provider(provider) => write!(f, "provider:{}", provider.word()),
            Self::Pool(name) => write!(f, "pool:{name}"),
            Self::Queue(name) => write!(f, "queue:{name}"),
            Self::Project(name) => write!(f, "project:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// The time that a budget's money is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Per {
    Calendar(Period),
    /// The last so long, at any instant; it begins with a whole quarter of an hour, so that it is never too short.
    Rolling(SignedDuration),
}

impl Per {
    /// Its place in [`Period::ALL`]; past its end for a rolling one.
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Calendar(period) => period as usize,
            Self::Rolling(_) => Period::ALL.len(),
        }
    }
}

impl fmt::Display for Per {
    /// `a day`, `rolling 24h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(period) => f.write_str(period.words()),
            Self::Rolling(span) => write!(f, "rolling {}", span::Exact(*span)),
        }
    }
}

/// A calendar period in the loop's time zone. A week begins on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
}

impl Period {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// `a day`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Hour => "an hour",
            Self::Day => "a day",
            Self::Week => "a week",
            Self::Month => "a month",
        }
    }
}

/// A ClearML queue that we serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    pub name: QueueName,
    /// In order of preference.
    pub pools: Vec<PoolName>,
    pub priority: i32,
    pub limits: Limits,
    pub on_lost: OnLost,
    /// How long a task takes, until there is enough history; part of a launch's reservation.
    pub expected_task: SignedDuration,
    /// The script that is asked what the queue is to have.
    #[serde(default)]
    pub policy: Option<String>,
}

/// What happens to the task of a machine that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLost {
    Never,
    /// Enqueued again, at most this often for one task.
    Requeue(u32),
}

/// A kind of machine that we may rent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSettings {
    pub name: PoolName,
    pub provider: Provider,
    /// `None`: the account that every tool of the cloud's would use.
    pub account: Option<AccountName>,
    pub region: String,
    /// In order of preference.
    pub types: Vec<MachineType>,
    pub market: Market,
    pub limits: Limits,
    /// Instances kept up whatever waits.
    pub min: u32,
    /// How long a surplus machine stays idle before it is drained.
    pub keep_alive: KeepAlive,
    /// What becomes of an idle machine once it is drained.
    pub on_idle: OnIdle,
    /// What becomes of machines that were made otherwise than one would be made now.
    pub replace_drifted: ReplaceDrifted,
    /// So many are kept switched off at most; the others are ended.
    pub max_stopped: u32,
    /// A machine that was off for this long is ended.
    pub stopped_for: SignedDuration,
    /// A machine without a worker for this long after its launch is stuck.
    pub max_boot: SignedDuration,
    /// A machine without a task whose worker is silent for this long is drained, and stopped once it surely has none.
    pub max_silence: SignedDuration,
    /// The machine ends itself after this, whatever happens to us.
    pub max_life: SignedDuration,
    /// Of the machine itself; wins over the cloud's own price and the price table.
    pub price: Option<Rate>,
    /// Off the list price.
    pub discount: Option<Discount>,
    /// Its machines have a public IPv4 address, which costs.
    pub public_address: bool,
    pub guard: GuardKind,
    pub spot: SpotSettings,
    pub launch: LaunchSettings,
    pub agent: AgentSettings,
}

impl PoolSettings {
    /// Where its machines are rented.
    #[must_use]
    pub fn site(&self) -> String {
        site::site(self.account.as_ref(), &self.region)
    }

    /// Whether the cloud chooses the type of the pool's machines on this market, among those of the pool.
    #[must_use]
    pub fn cloud_chooses(&self, market: Market) -> bool {
        market == Market::Spot
            && self.market == Market::Spot
            && self.launch.spot_strategy == SpotStrategy::PriceCapacityOptimized
    }
}

/// Who rents out the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    Aws,
    Gce,
    Kubernetes,
    /// A program of the user's.
    Exec,
}

impl Provider {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gce => "gce",
            Self::Kubernetes => "kubernetes",
            Self::Exec => "exec",
        }
    }

    /// What its machines are rented from, as people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "EC2",
            Self::Gce => "Compute Engine",
            Self::Kubernetes => "Kubernetes",
            Self::Exec => "the program",
        }
    }
}

/// How a machine is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    OnDemand,
    Spot,
}

impl Market {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Spot => "spot",
        }
    }
}

/// What becomes of a machine that was made otherwise than one would be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplaceDrifted {
    /// It says so, and stays.
    Never,
    /// It is drained once it is idle and no task needs it, one of the pool at a time.
    WhenIdle,
}

/// How a machine learns that it shall take no more tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardKind {
    /// The gate in front of the agent answers the mailbox.
    Gate,
    /// A hidden task in a queue that only this machine asks, and asks first: while it runs nothing else does.
    Hold,
    /// Nothing on the machine answers: idle machines are stopped only by hand.
    Off,
}

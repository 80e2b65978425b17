//! What the engine tells: the whole view after each pass, journal lines as they are written, and an
//! answer to each command.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::account::Account;
use crate::model::bound::Bound;
use crate::model::forecast::{Course, Forecast};
use crate::model::glance::{Glance, States};
use crate::model::ids::{BudgetName, FleetId, InstanceId, PoolName, QueueName, Term};
use crate::model::instance::Instance;
use crate::model::journal::Entry;
use crate::model::likely::Likely;
use crate::model::money::{Money, Rate};
use crate::model::plan::Plan;
use crate::model::prices::PriceSource;
use crate::model::progress::{Deadline, Kill, Progress};
use crate::model::reason::Reason;
use crate::model::settings::guardrails::GUARDRAIL;
use crate::model::settings::ladder::{Rung, Step};
use crate::model::settings::{BudgetScope, Ladder, Per, Settings};
use crate::model::snapshot::Snapshot;
use crate::model::tasks::QueuedTask;
use crate::model::waste::Waste;

/// What the engine tells its listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Everything a screen shows, after each pass and each change of state.
    View(Arc<View>),
    Journal(Entry),
    Answer {
        id: u64,
        result: Result<Answer, String>,
    },
    /// The loop cannot be heard, and is tried again: told by what stands between it and a screen elsewhere.
    Lost,
    /// The loop has ended; nothing follows.
    Ended,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    /// What was done, in one sentence.
    Said(String),
    Preview(Box<Foresight>),
    BootLog(String),
    Tasks(Vec<QueuedTask>),
    TaskLog(String),
    Journal(Vec<Entry>),
    History(Vec<Glance>),
    /// The settings as they are written.
    Text(String),
    /// Nothing was written: another hand has changed the file, which holds this now.
    Overtaken(String),
}

/// Everything that a screen shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub at: Timestamp,
    pub fleet: FleetId,
    pub mode: Mode,
    pub leader: Leader,
    /// Where another leads: what is asked here reaches it, and is done there.
    #[serde(default)]
    pub reaches_leader: bool,
    /// Since when this loop leads; `None` where it does not, or where nobody else could.
    pub leads_since: Option<Timestamp>,
    /// Other autoscalers that act on our queues, each with the queues: `dynamic_worker on train`.
    pub rivals: Vec<String>,
    pub snapshot: Arc<Snapshot>,
    pub plan: Arc<Plan>,
    pub settings: Arc<Settings>,
    /// Why the file on disk is not what runs; the last good settings stay live.
    pub settings_problem: Option<String>,
    pub settings_path: Option<String>,
    pub spend: Spend,
    /// What the clouds told of their prices.
    #[serde(default)]
    pub prices: Vec<PriceSource>,
    /// Calls under way.
    pub acts: Vec<ActUnderWay>,
    /// When the loop looks again.
    pub next_pass: Timestamp,
    /// Things a person should know, such as one ClearML user for console and agents.
    pub warnings: Vec<String>,
}

/// Whether the loop acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    pub armed: bool,
    pub paused: bool,
}

impl Mode {
    #[must_use]
    pub fn word(self) -> &'static str {
        match (self.armed, self.paused) {
            (false, _) => "DRY RUN",
            (true, true) => "PAUSED",
            (true, false) => "ARMED",
        }
    }

    /// Why nothing of a plan is done, if so.
    #[must_use]
    pub fn holds_back(self) -> Option<&'static str> {
        match (self.armed, self.paused) {
            (false, _) => Some("Dry run: nothing of it is done until the loop is armed."),
            (true, true) => Some("Paused: nothing of it is done until the loop is resumed, but what people ask for."),
            (true, false) => None,
        }
    }
}

/// Who acts on the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leader {
    /// This loop.
    Us(Term),
    /// Another; this one only watches.
    Other(String),
}

/// A call to the world under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActUnderWay {
    pub what: String,
    pub instance: Option<InstanceId>,
    pub pool: Option<PoolName>,
    pub since: Timestamp,
    pub deadline: SignedDuration,
}

/// Money at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spend {
    /// What everything that is up costs now.
    pub rate: Rate,
    pub total: Money,
    pub today: Money,
    pub month: Money,
    pub budgets: Vec<BudgetState>,
    pub today_by_account: Vec<(Account, Money)>,
    /// Spent in each hour of today so far, the first hour first.
    pub today_by_hour: Vec<Money>,
    /// Since when the ledger holds every machine.
    pub whole_since: Option<Timestamp>,
    /// Machines without a known price; their cost counts as zero.
    pub unpriced: Vec<InstanceId>,
    pub queue_today: Vec<(QueueName, Money)>,
    /// Spent today on machines that ran no task.
    #[serde(default)]
    pub waste_today: Waste,
}

/// What other settings would do at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foresight {
    pub plan: Plan,
    /// As they would stand.
    pub budgets: Vec<BudgetState>,
}

/// A warning of a loop that leads as far as it knows: ClearML does not answer who does.
pub const UNSURE: &str = "ClearML does not confirm that this console leads: only stops by hand are done";
/// How the warning of a loop begins that may change nothing; after it stands the file that says so.
pub const READ_ONLY: &str = "read only, by the guardrails of ";

impl View {
    /// The file by which nothing may be changed from here.
    #[must_use]
    pub fn read_only(&self) -> Option<&str> {
        self.warnings.iter().find_map(|warning| warning.strip_prefix(READ_ONLY))
    }

    /// What would turn a refusal round. Where a guardrail has lowered the setting that decides, no value of it would.
    #[must_use]
    pub fn remedy(&self, reason: &Reason) -> Option<String> {
        let guarded = reason.key().and_then(|key| {
            let lowered = |line: &&String| {
                let rest = line.strip_prefix(key.as_str());
                rest.is_some_and(|rest| rest.starts_with(" is ") && rest.contains(GUARDRAIL))
            };
            self.warnings.iter().find(lowered).cloned()
        });
        guarded.or_else(|| reason.remedy())
    }

    /// Whether the loop launches nothing until ClearML confirms that it leads.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.warnings.iter().any(|warning| warning == UNSURE)
    }

    /// What charts keep of it.
    #[must_use]
    pub fn glance(&self) -> Glance {
        let outlooks = &self.plan.outlooks;
        let oldest = outlooks.iter().filter_map(|outlook| outlook.oldest).min();
        Glance {
            at: self.at,
            states: States::of(&self.snapshot.instances, self.snapshot.intents.len()),
            waiting: outlooks.iter().map(|outlook| outlook.waiting).sum(),
            oldest: oldest.map_or(0, |oldest| self.at.duration_since(oldest).as_secs().max(0)),
            spent: self.spend.budgets.iter().map(|budget| (budget.name.clone(), budget.spent)).collect(),
        }
    }

    /// How far the drain of a machine has come; `None`: it is not drained.
    #[must_use]
    pub fn progress(&self, instance: &Instance, now: Timestamp) -> Option<Progress> {
        let covers =
            |budget: &&BudgetState| budget.scope.among(&self.settings.pools).of_launch(&instance.pool, &instance.home);
        let steps = self.spend.budgets.iter().filter(covers).filter_map(|budget| Some((budget, budget.step()?.step)));
        // As the plan chooses among several.
        let furthest = steps.max_by_key(|(_, step)| *step);
        let kill = furthest.and_then(|(budget, step)| match step {
            Step::Kill { after } => Some(Kill { budget: &budget.name, after }),
            _ => None,
        });
        Progress::of(instance, &self.snapshot.learned, &self.settings, kill.as_ref(), now)
    }

    /// By when a machine ends, whatever runs there; `None`: as far as is known nothing ends it.
    #[must_use]
    pub fn deadline(&self, instance: &Instance, now: Timestamp) -> Option<Deadline> {
        self.progress(instance, now).map_or_else(|| Deadline::of_life(instance), |drain| drain.deadline)
    }
}

impl Spend {
    /// The budget with the least left of it.
    #[must_use]
    pub fn tightest(&self) -> Option<&BudgetState> {
        let part = |budget: &&BudgetState| {
            let used = i128::from((budget.spent + budget.committed).micros());
            used * 1_000_000 / i128::from(budget.limit.micros().max(1))
        };
        self.budgets.iter().max_by_key(part)
    }
}

/// A budget and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    pub name: BudgetName,
    pub scope: BudgetScope,
    pub per: Per,
    pub limit: Money,
    pub hard: bool,
    pub period_start: Timestamp,
    pub period_end: Timestamp,
    pub spent: Money,
    /// Set aside by running machines and by intents.
    pub committed: Money,
    /// What the machines cost that are up now, by whose task runs on them.
    pub rate: Rate,
    /// What is done at parts of the limit.
    pub at: Ladder,
    /// The most that the period can come to with what is up or on its way; `None`: nothing bounds it.
    pub bound: Option<Bound>,
    /// What the period comes to in 8 of 10 cases, by the past; `None`: nobody has looked yet.
    #[serde(default)]
    pub likely: Option<Likely>,
}

impl BudgetState {
    /// The step that holds.
    #[must_use]
    pub fn step(&self) -> Option<Rung> {
        self.at.reached(self.spent, self.limit)
    }

    /// The step that comes next.
    #[must_use]
    pub fn next_step(&self) -> Option<Rung> {
        self.at.next(self.spent, self.limit)
    }

    /// Where it comes to if nothing changes.
    #[must_use]
    pub fn forecast(&self, now: Timestamp) -> Forecast {
        let Self { spent, rate, limit, period_end, .. } = *self;
        Course { spent, rate, limit, now, period_end }.forecast()
    }
}

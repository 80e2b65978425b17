//! A machine that was decided and written down, until it is known to exist or not to.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::ids::{InstanceId, IntentId, MachineType, PoolName, QueueName, Revision};
use crate::model::money::{Money, Rate};
use crate::model::plan::Choice;
use crate::model::reason::counted;
use crate::model::settings::{Market, Provider};

/// A machine that was decided and written down, not yet known to exist. One intent makes at most one
/// machine. The intents of one call share its `batch`, which is the idempotency token of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `<batch>.<place in the batch>`.
    pub id: IntentId,
    pub batch: IntentId,
    pub pool: PoolName,
    pub queue: QueueName,
    pub provider: Provider,
    pub region: String,
    pub machine_type: MachineType,
    pub market: Market,
    pub vcpu: u32,
    pub gpu: u32,
    pub rate: Option<Rate>,
    pub reservation: Money,
    pub opened: Timestamp,
    pub revision: Revision,
    /// How often its machine was absent from a complete listing since the outcome became unknown.
    pub outcome: IntentOutcome,
    /// It starts this machine again, which is off, rather than making one.
    #[serde(default)]
    pub starts: Option<InstanceId>,
    /// For how long its machine lives at most, by its own clock.
    #[serde(default)]
    pub max_life: Option<SignedDuration>,
    /// What the cloud chooses the machine's type among; until it is known the intent holds the most of any choice. Empty:
    /// it has no choice.
    #[serde(default)]
    pub choices: Vec<Choice>,
}

impl Intent {
    /// What the cloud chooses among, where it does: `EC2 chooses among 3 types`.
    #[must_use]
    pub fn choice(&self) -> Option<String> {
        let types = u64::try_from(self.choices.len()).unwrap_or(u64::MAX);
        (types > 1).then(|| format!("{} chooses among {}", self.provider.name(), counted(types, "type")))
    }

    /// Whether its machine may be of this type.
    #[must_use]
    pub fn may_be(&self, machine_type: &MachineType) -> bool {
        self.machine_type == *machine_type || self.choices.iter().any(|choice| choice.machine_type == *machine_type)
    }

    /// What a machine of this type is that came of it. One that the cloud was not given to choose has the figures that
    /// were held to limits and budgets.
    #[must_use]
    pub fn come_to(&self, machine_type: &MachineType) -> Choice {
        let chosen = self.choices.iter().find(|choice| choice.machine_type == *machine_type);
        chosen.cloned().unwrap_or_else(|| Choice {
            machine_type: machine_type.clone(),
            vcpu: self.vcpu,
            gpu: self.gpu,
            rate: self.rate,
            reservation: self.reservation,
        })
    }
}

/// What is known of the call that an intent announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentOutcome {
    /// Written down; the call may be under way.
    Open,
    /// The call's answer was lost: the machine may exist.
    Unknown,
}

/// How an intent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentEnd {
    /// Its machine is in the ledger.
    Made,
    /// The cloud said no.
    Refused,
    /// The cloud has not shown it for long enough.
    NeverAppeared,
}

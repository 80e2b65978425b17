//! What a limit counts, and what it is set on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counted;
use crate::model::ids::{PoolName, QueueName};
use crate::model::money::Rate;

/// What a limit is set on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LimitScope {
    All,
    Queue(QueueName),
    Pool(PoolName),
}

impl LimitScope {
    /// The settings key of this scope's limit: `limits.max`, `queue.gpu.max`.
    #[must_use]
    pub fn key(&self, limit: LimitKind) -> String {
        let field = limit.field();
        match self {
            Self::All => format!("limits.{field}"),
            Self::Queue(queue) => format!("queue.{queue}.{field}"),
            Self::Pool(pool) => format!("pool.{pool}.{field}"),
        }
    }
}

/// What a limit counts. `Hourly` is in micro-dollars per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LimitKind {
    Instances,
    Gpu,
    Vcpu,
    Hourly,
}

impl LimitKind {
    pub const ALL: [Self; 4] = [Self::Instances, Self::Gpu, Self::Vcpu, Self::Hourly];

    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Instances => "max",
            Self::Gpu => "max_gpu",
            Self::Vcpu => "max_vcpu",
            Self::Hourly => "max_hourly",
        }
    }

    /// With its unit.
    pub(super) fn amount(self, value: u64) -> String {
        match self {
            Self::Instances => counted(value, "instance"),
            Self::Gpu => format!("{value} GPU"),
            Self::Vcpu => format!("{value} vCPU"),
            Self::Hourly => Rate::from_micros_per_hour(i64::try_from(value).unwrap_or(i64::MAX)).to_string(),
        }
    }

    /// As the settings write it.
    pub(super) fn value(self, value: u64) -> String {
        match self {
            Self::Hourly => self.amount(value),
            _ => value.to_string(),
        }
    }
}

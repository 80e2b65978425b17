//! What a policy of the user's wants of a queue, as data: `plan` takes it in, and holds it to every rule that there is.

use serde::{Deserialize, Serialize};

use crate::model::ids::PoolName;

/// A policy may keep machines for so many tasks at most that are not there yet, whatever the limits allow.
pub const MOST_AHEAD: u32 = 100;

/// What came of asking a queue's policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advised {
    /// It answered.
    Wants(Advice),
    /// It could not be asked, or said what cannot be: the loop decides as it would without it.
    Failed {
        /// As the settings name it.
        policy: String,
        /// What is wrong, and where.
        error: String,
    },
}

/// What a policy wants of a queue. What it leaves open the loop decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Advice {
    /// As the settings name it.
    pub policy: String,
    /// So many tasks may run or have a machine on its way, at a time. Beyond those that are there, machines are kept for more.
    pub capacity: Option<u32>,
    /// Those of the queue's pools in which machines may be launched, in order.
    pub pools: Option<Vec<PoolName>>,
    /// Nothing is launched.
    pub veto: bool,
    /// Why, in its own words.
    pub said: String,
}

impl Advice {
    /// For this reason; what is wanted is set in the other fields.
    #[must_use]
    pub fn because(said: impl Into<String>) -> Self {
        Self { said: said.into(), ..Self::default() }
    }
}

impl Advised {
    /// What it wants, if it answered.
    #[must_use]
    pub fn wants(&self) -> Option<&Advice> {
        match self {
            Self::Wants(advice) => Some(advice),
            Self::Failed { .. } => None,
        }
    }

    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Wants(_) => None,
            Self::Failed { error, .. } => Some(error.clone()),
        }
    }
}

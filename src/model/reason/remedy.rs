//! What would turn a refusal round.

use super::{LimitKind, Reason};
use crate::model::money::Money;
use crate::model::settings::kubernetes::POD;

impl Reason {
    /// The setting whose value decides, as settings are called: `queue.train.max`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Limit { scope, limit, .. } => Some(scope.key(*limit)),
            Self::Budget { name, .. } | Self::Step { name, .. } | Self::OwnerSpent { name, .. } => {
                Some(format!("budget.\"{name}\".limit"))
            }
            _ => None,
        }
    }

    /// The change that would turn a refusal round, where one number decides.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Limit { scope, limit, used, each, .. } => {
                Some(format!("it would with {} = {}", scope.key(*limit), limit.value(used + each)))
            }
            Self::Budget { name, spent, committed, reservation, .. } => Some(format!(
                "it would with budget.\"{name}\".limit = {}",
                round_up_to_cent(*spent + *committed + *reservation)
            )),
            Self::Step { name, spent, percent, .. } => {
                let above = i128::from(spent.micros()) * 100 / i128::from((*percent).max(1)) + 1;
                let above = Money::from_micros(i64::try_from(above).unwrap_or(i64::MAX));
                Some(format!("it would not with budget.\"{name}\".limit = {}", round_up_to_cent(above)))
            }
            Self::OwnerSpent { name, spent, .. } => {
                Some(format!("they would with budget.\"{name}\".limit over {spent}"))
            }
            Self::NoPrice { pool, .. } | Self::Unmeasured { pool, limit: LimitKind::Hourly, .. } => {
                Some(format!("set pool.{pool}.price"))
            }
            Self::Unmeasured { pool, machine_type, limit, .. } if machine_type == POD => Some(match limit {
                LimitKind::Gpu => format!("set pool.{pool}.pod_gpus, or pod_cpu where its pods have no GPU"),
                _ => format!("set pool.{pool}.pod_cpu"),
            }),
            Self::NotOffered { queue, pool } => Some(format!("it would with {pool} in queue.{queue}.pools")),
            Self::NoSuchQueue { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::BackOff { pool, .. } => Some(format!("`tidegate reset {pool}` has it tried at once")),
            Self::Canary { pool, .. } => Some(format!("`tidegate reset {pool}` forgives it the failed boots")),
            Self::NoGuard { pool } => {
                Some(format!("set pool.{pool}.guard = \"gate\" or \"hold\" for machines to come, or stop it by hand"))
            }
            Self::BroughtOver { .. } => Some("stop it by hand once it is idle".to_owned()),
            _ => None,
        }
    }
}

fn round_up_to_cent(money: Money) -> Money {
    const CENT: i64 = 10_000;
    Money::from_micros((money.micros() + CENT - 1).div_euclid(CENT) * CENT)
}

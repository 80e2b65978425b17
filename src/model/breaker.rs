//! Back-off: launches that failed are not tried again for a while, as far as the failure reaches.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::cluster::Cluster;
use crate::model::ids::{MachineType, PoolName, Zone};
use crate::model::instance::Instance;
use crate::model::reason::counted;
use crate::model::settings::{Market, PoolSettings, Provider};
use crate::model::snapshot::{ErrorClass, Quota, Snapshot};
use crate::model::span::Short;

/// After this many machines in a row that never registered, a pool starts one at a time until one does.
pub const CANARY_AFTER: u32 = 2;

/// After this many the pool starts none at all for a while.
pub const BOOTS_FAILED: u32 = 3;

/// What backs off. An absent part stands for all there are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Offering {
    /// Whose capacity, quota and credentials it is; see [`PoolSettings::account`].
    pub account: String,
    /// Where the pool's own settings are in doubt.
    pub pool: Option<PoolName>,
    pub machine_type: Option<MachineType>,
    pub zone: Option<Zone>,
    pub market: Option<Market>,
}

impl Offering {
    /// Everything that an account offers.
    #[must_use]
    pub fn of_account(account: impl Into<String>) -> Self {
        Self { account: account.into(), pool: None, machine_type: None, zone: None, market: None }
    }

    /// Whether a launch in this pool, of this type and on this market, is a part of it, whatever its zone.
    #[must_use]
    pub fn covers(&self, pool: &PoolSettings, machine_type: &MachineType, market: Market) -> bool {
        self.touches(pool)
            && self.machine_type.as_ref().is_none_or(|own| own == machine_type)
            && self.market.is_none_or(|own| own == market)
    }

    /// Whether some launch in this pool may be a part of it.
    #[must_use]
    pub fn touches(&self, pool: &PoolSettings) -> bool {
        self.account == pool.account()
            && self.pool.as_ref().is_none_or(|own| *own == pool.name)
            && self.machine_type.as_ref().is_none_or(|own| pool.types.contains(own))
    }
}

/// As people read it: `pool a10g`, `aws us-east-1 g5.xlarge spot in us-east-1a`.
impl fmt::Display for Offering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pool {
            Some(pool) => write!(f, "pool {pool}")?,
            None => write!(f, "{}", self.account)?,
        }
        if let Some(machine_type) = &self.machine_type {
            write!(f, " {machine_type}")?;
        }
        if let Some(market) = self.market {
            write!(f, " {}", market.word())?;
        }
        self.zone.as_ref().map_or(Ok(()), |zone| write!(f, " in {zone}"))
    }
}

/// Launches of an offering fail for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    pub on: Offering,
    /// The first failure in the row.
    pub since: Timestamp,
    pub until: Timestamp,
    pub class: ErrorClass,
    pub strikes: u32,
    /// So many machines at once may be asked for before `until`: what the quota is known to hold, or half of what was
    /// too many.
    pub at_most: u32,
    pub quota: Option<Quota>,
    /// The cloud's own words.
    pub message: String,
}

impl Breaker {
    /// How often and for what it failed: `quota: 12 of 32 vCPU, 2 in a row`.
    #[must_use]
    pub fn row(&self) -> String {
        let quota = self.quota.as_ref().map(|quota| format!(": {quota}")).unwrap_or_default();
        format!("{}{quota}, {} in a row", self.class.word(), self.strikes)
    }

    /// Why nothing, or not all, is launched.
    #[must_use]
    pub fn refusal(&self) -> String {
        let Self { on, until, message, .. } = self;
        let (row, until) = (self.row(), until.strftime("%H:%M:%SZ"));
        match self.at_most {
            0 => format!("{on} backs off until {until} ({row}): {message}"),
            some => format!("{on} is asked for at most {some} at once until {until} ({row}): {message}"),
        }
    }

    /// In one sentence.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> String {
        let left = Short(self.until.duration_since(now));
        let what = match self.at_most {
            0 => format!("backs off for {left} more"),
            some => format!("is asked for at most {some} at once for {left} more"),
        };
        format!("{} {what} ({}): {}", self.on, self.row(), self.message)
    }
}

impl Snapshot {
    /// What keeps machines of a pool from being launched as they are wanted, a sentence each.
    #[must_use]
    pub fn cautions(&self, pool: &PoolSettings, now: Timestamp) -> Vec<String> {
        let breakers = self.breakers.iter().filter(|breaker| breaker.on.touches(pool));
        let mut told: Vec<String> = breakers.map(|breaker| breaker.told(now)).collect();
        let failed = self.boots_failed.get(&pool.name).copied().unwrap_or_default();
        if failed >= CANARY_AFTER {
            let pool = &pool.name;
            told.push(format!(
                "the last {failed} machines of pool {pool} never registered: one at a time until one does"
            ));
        }
        if pool.provider == Provider::Kubernetes {
            told.extend(self.clusters.get(&pool.site()).into_iter().flat_map(Cluster::cautions));
        }
        told
    }

    /// What the pods of these instances wait for, each reason once, with how many wait for it: `2 pods: nothing will come:
    /// 1 Insufficient nvidia.com/gpu`.
    #[must_use]
    pub fn pods_told(&self, of: impl Fn(&Instance) -> bool) -> Vec<String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let waiting = self.instances.iter().filter(|instance| instance.is_there() && of(instance));
        for pod in waiting.filter_map(|instance| instance.pod.as_ref()).filter(|pod| pod.state.waits()) {
            *counts.entry(pod.told()).or_default() += 1;
        }
        counts.into_iter().map(|(told, count)| format!("{}: {told}", counted(count, "pod"))).collect()
    }
}

/// The back-offs that a person ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    All,
    /// Those that keep machines of this pool from being launched; its failed boots are forgiven.
    Pool(PoolName),
    One(Offering),
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "everything"),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::One(on) => write!(f, "{on}"),
        }
    }
}

impl PoolSettings {
    /// Whose capacity and quota the pool's machines take: `aws us-east-1`.
    #[must_use]
    pub fn account(&self) -> String {
        account(self.provider, &self.site())
    }
}

/// See [`PoolSettings::account`].
#[must_use]
pub fn account(provider: Provider, region: &str) -> String {
    format!("{} {region}", provider.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offering_covers_what_its_parts_say() {
        let pool = PoolSettings {
            region: "us-east-1".to_owned(),
            types: vec!["g5.xlarge".into(), "g6.xlarge".into()],
            ..PoolSettings::with_defaults("gpu")
        };
        let all = Offering::of_account("aws us-east-1");
        let typed = Offering { machine_type: Some("g5.xlarge".into()), ..all.clone() };
        let spot = Offering { market: Some(Market::Spot), ..typed.clone() };
        for (on, g5, g5_spot, g6, words) in [
            (all.clone(), true, true, true, "aws us-east-1"),
            (Offering::of_account("aws eu-west-1"), false, false, false, "aws eu-west-1"),
            (typed, true, true, false, "aws us-east-1 g5.xlarge"),
            (spot.clone(), false, true, false, "aws us-east-1 g5.xlarge spot"),
            (
                Offering { zone: Some("us-east-1a".into()), ..spot },
                false,
                true,
                false,
                "aws us-east-1 g5.xlarge spot in us-east-1a",
            ),
            (Offering { pool: Some("gpu".into()), ..all.clone() }, true, true, true, "pool gpu"),
            (Offering { pool: Some("cpu".into()), ..all }, false, false, false, "pool cpu"),
        ] {
            let covered = (
                on.covers(&pool, &"g5.xlarge".into(), Market::OnDemand),
                on.covers(&pool, &"g5.xlarge".into(), Market::Spot),
                on.covers(&pool, &"g6.xlarge".into(), Market::Spot),
            );
            assert_eq!((covered, on.to_string().as_str()), ((g5, g5_spot, g6), words));
        }
    }
}

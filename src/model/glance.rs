//! One look at everything in a few numbers, for charts. The store keeps one a minute, so that a chart goes on where the loop
//! was started anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::ids::BudgetName;
use crate::model::instance::{Instance, Phase};
use crate::model::money::Money;

/// How many machines are in which state, those with a fault apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct States {
    pub busy: u32,
    pub idle: u32,
    /// Asked for, pending or booting.
    pub starting: u32,
    /// Draining or stopping.
    pub leaving: u32,
    pub faulty: u32,
}

impl States {
    /// Of the machines that count against limits, and so many launches whose machines are not known yet.
    #[must_use]
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a Instance>, intents: usize) -> Self {
        let mut states = Self { starting: u32::try_from(intents).unwrap_or(u32::MAX), ..Self::default() };
        for instance in instances.into_iter().filter(|instance| instance.counts()) {
            let place = match instance.phase {
                _ if instance.fault.is_some() => &mut states.faulty,
                Phase::Busy => &mut states.busy,
                Phase::Idle => &mut states.idle,
                Phase::Pending | Phase::Booting => &mut states.starting,
                Phase::Draining | Phase::Stopping => &mut states.leaving,
                Phase::Stopped | Phase::Gone => continue,
            };
            *place = place.saturating_add(1);
        }
        states
    }
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    pub at: Timestamp,
    pub states: States,
    /// Tasks that wait, of all queues.
    pub waiting: u32,
    /// Seconds that the oldest waiting task has waited.
    pub oldest: i64,
    /// Spent of each budget's present period.
    pub spent: Vec<(BudgetName, Money)>,
}

/// The newest of each stretch of time that is `every` long, the oldest first.
#[must_use]
pub fn thinned<'a>(glances: impl IntoIterator<Item = &'a Glance>, every: SignedDuration) -> Vec<Glance> {
    let every = every.as_nanos().max(1);
    let mut newest: BTreeMap<i128, &Glance> = BTreeMap::new();
    for glance in glances {
        let kept = newest.entry(glance.at.as_nanosecond() / every).or_insert(glance);
        // Of two of the same instant the one that was told last.
        if kept.at <= glance.at {
            *kept = glance;
        }
    }
    newest.into_values().cloned().collect()
}

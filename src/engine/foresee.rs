//! What budgets are likely to come to: looked at once a quarter of an hour, or when a budget is another. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::BudgetState;
use crate::model::ids::BudgetName;
use crate::model::ledger::{Ledger, SLOT};
use crate::model::likely::{Likely, PAST, Past};
use crate::model::money::Money;
use crate::model::settings::{BudgetScope, Per, Settings};

/// What was foreseen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Foreseen {
    known: BTreeMap<BudgetName, (Basis, Likely)>,
}

/// What a forecast was made of: with another it is made anew.
#[derive(Debug, Clone, PartialEq)]
struct Basis {
    slot: i64,
    limit: Money,
    per: Per,
    scope: BudgetScope,
    crossed: bool,
}

impl Foreseen {
    /// Says of each budget what it is likely to come to.
    pub(super) fn tell(&mut self, budgets: &mut [BudgetState], ledger: &Ledger, settings: &Settings, now: Timestamp) {
        self.known.retain(|name, _| budgets.iter().any(|budget| budget.name == *name));
        for budget in budgets {
            let basis = Basis {
                slot: slot(now),
                limit: budget.limit,
                per: budget.per,
                scope: budget.scope.clone(),
                crossed: budget.spent >= budget.limit,
            };
            // What is made of the present rate alone is as old as that rate.
            let known = self.known.get(&budget.name).filter(|(of, likely)| *of == basis && likely.hours > 0);
            let known = known.map(|(_, likely)| *likely);
            let likely = known.unwrap_or_else(|| likely(budget, ledger, settings, now));
            budget.likely = Some(likely);
            self.known.insert(budget.name.clone(), (basis, likely));
        }
    }
}

fn slot(instant: Timestamp) -> i64 {
    instant.as_second().div_euclid(SLOT.as_secs())
}

/// Of one budget, from the ledger's hours.
pub(super) fn likely(budget: &BudgetState, ledger: &Ledger, settings: &Settings, now: Timestamp) -> Likely {
    let scope = budget.scope.among(&settings.pools);
    let whole = Timestamp::from_second(slot(now) * SLOT.as_secs()).unwrap_or(now);
    let hours = SignedDuration::from_hours(i64::try_from(PAST).unwrap_or(0));
    let from = whole.saturating_sub(hours).unwrap_or(Timestamp::MIN);
    let mut by_hour = ledger.spent_by_hour(&scope, from, now);
    // The quarter of an hour that has begun is no hour.
    by_hour.truncate(PAST);
    let leaving = match budget.per {
        Per::Calendar(_) => Vec::new(),
        Per::Rolling(_) => ledger.spent_by_hour(&scope, budget.period_start, now),
    };
    let BudgetState { spent, rate, limit, period_end, .. } = *budget;
    Past { by_hour: &by_hour, leaving: &leaving, spent, rate, limit, now, period_end }.likely()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::model::money::Rate;

    #[test]
    fn until_a_day_is_known_it_follows_the_present_rate_from_look_to_look() {
        let view = example::view();
        let (mut foreseen, mut budgets) = (Foreseen::default(), view.spend.budgets.clone());
        let now = budgets[0].period_start;
        let mut most = |micros| {
            budgets[0].rate = Rate::from_micros_per_hour(micros);
            foreseen.tell(&mut budgets, &Ledger::default(), &view.settings, now);
            budgets[0].likely.unwrap().most - budgets[0].spent
        };
        assert_eq!(most(0), Money::ZERO);
        assert!(most(1_000_000) > Money::ZERO);
        assert_eq!(most(0), Money::ZERO);
    }
}

//! What a budget's step forbids a launch.

use super::index::Queue;
use super::machine::Machine;
use super::pass::Pass;
use crate::model::money::Rate;
use crate::model::reason::Reason;
use crate::model::settings::ladder::Step;
use crate::model::settings::{Budget, Market};

impl Pass<'_> {
    /// Why nothing is launched in a pool for a queue, if a budget's step says so.
    pub(super) fn forbidden_by_step(&self, queue: usize, pool: usize, on_demand: bool) -> Option<Reason> {
        let (step, purse) = self.budgets().furthest(Some(queue), Some(pool))?;
        let forbidden = match step {
            Step::Warn => false,
            Step::CheapestOnly => {
                let is_spot = self.is_spot(pool);
                let cheapest = self.index.queues.get(queue).and_then(|queue| self.cheapest(queue));
                if cheapest.is_none() { !is_spot || on_demand } else { cheapest != Some(pool) }
            }
            _ => true,
        };
        if forbidden { purse.step_reason() } else { None }
    }

    /// The furthest step of the budgets over a machine.
    pub(super) fn step_over(&self, machine: &Machine<'_>) -> Option<Step> {
        if !self.index.settings.budgets.iter().any(Budget::has_steps) {
            return None;
        }
        self.budgets().furthest(machine.home, machine.pool).map(|(step, _)| step)
    }

    /// The pool with the least price of a queue that has no spot pool; of equal ones the first. One whose price nobody
    /// knows comes last.
    fn cheapest(&self, queue: &Queue<'_>) -> Option<usize> {
        if queue.pools.iter().any(|pool| self.is_spot(*pool)) {
            return None;
        }
        let least = |pool: &usize| -> Option<Rate> {
            let kinds = &self.index.pools.get(*pool)?.kinds;
            kinds.iter().filter_map(|kind| kind.offer.rate).min()
        };
        queue.pools.iter().copied().min_by_key(|pool| least(pool).map_or((true, Rate::ZERO), |rate| (false, rate)))
    }

    pub(super) fn is_spot(&self, pool: usize) -> bool {
        self.index.pools.get(pool).is_some_and(|pool| pool.settings.market == Market::Spot)
    }
}

//! Money at a glance, from the ledger. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::event::{BudgetState, Spend};
use crate::model::calendar::bounds;
use crate::model::ledger::Account;
use crate::model::money::{Money, Rate};
use crate::model::record::{Intent, Memory};
use crate::model::settings::{Budget, BudgetScope, Period, Settings};

/// What has been spent, what is committed, and what it costs now.
#[must_use]
pub(super) fn spend(memory: &Memory, settings: &Settings, now: Timestamp) -> Spend {
    let ledger = &memory.ledger;
    let zone = &settings.the_loop.time_zone;
    let today = bounds(Period::Day, zone, now).start;
    let month = bounds(Period::Month, zone, now).start;
    let by_account = ledger.spent_by_account(today, now);
    let mut by_queue: BTreeMap<_, Money> = BTreeMap::new();
    for (account, money) in &by_account {
        *by_queue.entry(account.queue.clone()).or_default() += *money;
    }
    Spend {
        rate: ledger.open().values().filter_map(|interval| interval.rate).sum::<Rate>(),
        total: ledger.total(now),
        today: by_account.values().copied().sum(),
        month: ledger.spent(&BudgetScope::All, month, now),
        budgets: settings.budgets.iter().map(|budget| budget_state(budget, memory, settings, now)).collect(),
        today_by_account: by_account.into_iter().collect::<Vec<(Account, Money)>>(),
        today_by_hour: by_hour(memory, today, now),
        whole_since: ledger.whole_since,
        unpriced: ledger
            .open()
            .values()
            .filter(|interval| interval.rate.is_none())
            .map(|interval| interval.instance.clone())
            .collect(),
        queue_today: by_queue.into_iter().collect(),
    }
}

fn budget_state(budget: &Budget, memory: &Memory, settings: &Settings, now: Timestamp) -> BudgetState {
    let span = bounds(budget.per, &settings.the_loop.time_zone, now);
    let intended = |intent: &&Intent| budget.scope.covers(&intent.queue);
    let intents: Money = memory.intents.values().filter(intended).map(|intent| intent.reservation).sum();
    BudgetState {
        name: budget.name.clone(),
        limit: budget.limit,
        hard: budget.hard,
        period_start: span.start,
        period_end: span.end,
        spent: memory.ledger.spent(&budget.scope, span.start, now),
        committed: memory.ledger.committed(&budget.scope, now) + intents,
    }
}

/// Spent in each hour of the day so far: differences of what was spent since each hour's beginning.
fn by_hour(memory: &Memory, today: Timestamp, now: Timestamp) -> Vec<Money> {
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    let mut starts = Vec::new();
    let mut start = today;
    while start < now {
        starts.push(start);
        start = start.saturating_add(HOUR).unwrap_or(now);
    }
    let since: Vec<Money> = starts.iter().map(|start| memory.ledger.spent(&BudgetScope::All, *start, now)).collect();
    let after = since.iter().skip(1).copied().chain([Money::ZERO]);
    since.iter().zip(after).map(|(from, next)| *from - next).collect()
}

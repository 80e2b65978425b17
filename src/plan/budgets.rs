//! Hard budgets: what is spent, what is committed and the new reservation are together at most the limit.

use jiff::Timestamp;

use super::index::Index;
use crate::model::calendar;
use crate::model::ids::QueueName;
use crate::model::instance::{Instance, Origin, Phase};
use crate::model::ledger::{Interval, Share};
use crate::model::money::Money;
use crate::model::reason::Reason;
use crate::model::settings::{Budget, BudgetScope, Period};

/// A hard budget, and how much of it is gone.
pub(super) struct Purse<'a> {
    budget: &'a Budget,
    spent: Money,
    committed: Money,
}

impl Purse<'_> {
    fn room(&self, reservation: Money) -> u32 {
        let free = self.budget.limit - self.spent - self.committed;
        let room = match reservation.micros() {
            _ if free < Money::ZERO => 0,
            ..=0 => i64::MAX,
            each => free.micros() / each,
        };
        u32::try_from(room).unwrap_or(u32::MAX)
    }

    /// Why no more are launched.
    pub(super) fn reason(&self, reservation: Money) -> Reason {
        Reason::Budget {
            name: self.budget.name.clone(),
            limit: self.budget.limit,
            spent: self.spent,
            committed: self.committed,
            reservation,
        }
    }

    /// Why a machine without a price is not launched.
    pub(super) fn no_price(&self, pool: &crate::model::ids::PoolName, machine_type: &str) -> Reason {
        Reason::NoPrice { pool: pool.clone(), machine_type: machine_type.to_owned(), budget: self.budget.name.clone() }
    }
}

/// Every hard budget, by what it covers.
pub(super) struct Budgets<'a> {
    purses: Vec<Purse<'a>>,
    /// Those over everything.
    over_all: Vec<usize>,
    /// Those of each queue.
    of_queue: Vec<Vec<usize>>,
}

impl<'a> Budgets<'a> {
    pub(super) fn new(index: &Index<'a>) -> Self {
        let mut budgets =
            Self { purses: Vec::new(), over_all: Vec::new(), of_queue: vec![Vec::new(); index.queues.len()] };
        let hard: Vec<_> = index.settings.budgets.iter().filter(|budget| budget.hard).collect();
        if hard.is_empty() {
            return budgets;
        }
        let committed = committed(index);
        for period in [Period::Day, Period::Month] {
            if !hard.iter().any(|budget| budget.per == period) {
                continue;
            }
            let spent = spent(index, period);
            for budget in hard.iter().filter(|budget| budget.per == period) {
                let place = budgets.purses.len();
                match &budget.scope {
                    BudgetScope::All => budgets.over_all.push(place),
                    BudgetScope::Queue(queue) => {
                        let queue = index.queue_place(queue).and_then(|queue| budgets.of_queue.get_mut(queue));
                        if let Some(places) = queue {
                            places.push(place);
                        }
                    }
                }
                let (spent, committed) = (spent.of(&budget.scope), committed.of(&budget.scope));
                budgets.purses.push(Purse { budget, spent, committed });
            }
        }
        budgets
    }

    fn places(&self, queue: usize) -> impl Iterator<Item = usize> {
        self.over_all.iter().chain(self.of_queue.get(queue).into_iter().flatten()).copied()
    }

    /// The budget that leaves room for the fewest launches of a queue, and for how many.
    pub(super) fn tightest(&self, queue: usize, reservation: Money) -> Option<(u32, &Purse<'a>)> {
        let covering = self.places(queue).filter_map(|place| self.purses.get(place));
        covering.map(|purse| (purse.room(reservation), purse)).min_by_key(|(room, _)| *room)
    }

    /// Commits the reservation of a launch that was just decided.
    pub(super) fn book(&mut self, queue: usize, reservation: Money, count: u32) {
        let money = Money::from_micros(reservation.micros().saturating_mul(i64::from(count)));
        let places: Vec<_> = self.places(queue).collect();
        for place in places {
            if let Some(purse) = self.purses.get_mut(place) {
                purse.committed += money;
            }
        }
    }
}

/// Money by queue.
#[derive(Default)]
struct ByQueue<'a>(std::collections::HashMap<&'a QueueName, Money>);

impl<'a> ByQueue<'a> {
    fn add(&mut self, queue: &'a QueueName, money: Money) {
        *self.0.entry(queue).or_default() += money;
    }

    fn of(&self, scope: &BudgetScope) -> Money {
        match scope {
            BudgetScope::All => self.0.values().copied().sum(),
            BudgetScope::Queue(queue) => self.0.get(queue).copied().unwrap_or_default(),
        }
    }
}

fn spent<'a>(index: &Index<'a>, period: Period) -> ByQueue<'a> {
    let start = calendar::bounds(period, &index.settings.the_loop.time_zone, index.now).start;
    let mut spent = ByQueue(index.ledger.spent_by_queue(start, index.now));
    for (instance, interval) in not_booked(index) {
        spent.add(&instance.home, interval.cost_within(&BudgetScope::All, start, Timestamp::MAX, index.now));
    }
    spent
}

/// What running machines and intents will cost that nothing can avoid any more, by home queue.
fn committed<'a>(index: &Index<'a>) -> ByQueue<'a> {
    let mut committed = ByQueue(index.ledger.committed_by_queue(index.now));
    for intent in &index.snapshot.intents {
        committed.add(&intent.queue, intent.reservation);
    }
    for (instance, interval) in not_booked(index) {
        committed.add(&instance.home, interval.committed(index.now));
    }
    committed
}

/// Machines that this very plan takes into the ledger count as if they were in it.
fn not_booked<'a>(index: &Index<'a>) -> impl Iterator<Item = (&'a Instance, Interval)> {
    let ledger = index.ledger;
    index.snapshot.instances.iter().filter(move |instance| is_unknown(instance, ledger)).map(|instance| {
        let interval = Interval {
            instance: instance.id.clone(),
            pool: instance.pool.clone(),
            home: instance.home.clone(),
            rate: instance.rate,
            reservation: instance.reservation,
            start: instance.launched,
            end: None,
            shares: vec![Share { from: instance.launched, queue: instance.home.clone(), task: None }],
        };
        (instance, interval)
    })
}

/// A machine of our fleet that runs up a bill and is not in the ledger. One that is being ended is not: its bill
/// was closed, or is closed by whoever records its end.
pub(super) fn is_unknown(instance: &Instance, ledger: &crate::model::ledger::Ledger) -> bool {
    instance.origin == Origin::Orphan
        && !matches!(instance.phase, Phase::Stopping | Phase::Gone)
        && !ledger.open().contains_key(&instance.id)
}

//! Hard budgets: what is spent, what is committed and the new reservation are together at most the limit.

use jiff::Timestamp;

use super::index::Index;
use crate::model::calendar;
use crate::model::ids::PoolName;
use crate::model::instance::{Instance, Origin, Phase};
use crate::model::ledger::{Interval, Ledger, MoneyByQueue, QueueMoney, Share};
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
    pub(super) fn no_price(&self, pool: &PoolName, machine_type: &str) -> Reason {
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
    pub(super) fn new(index: &Index<'a>, unknown: &[&'a Instance]) -> Self {
        let mut budgets =
            Self { purses: Vec::new(), over_all: Vec::new(), of_queue: vec![Vec::new(); index.queues.len()] };
        let hard: Vec<_> = index.settings.budgets.iter().filter(|budget| budget.hard).collect();
        if hard.is_empty() {
            return budgets;
        }
        let money = Books::new(index, unknown);
        for budget in hard {
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
            let QueueMoney { spent, committed } = money.of(&budget.scope);
            let start = budget.per.of(money.since);
            let spent = budget.per.of(spent) + budget.spent_before_ledger(start, index.ledger.whole_since);
            budgets.purses.push(Purse { budget, spent, committed });
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

/// Everybody's money: the ledger's, and what it does not know yet.
struct Books<'a> {
    /// Where each period began.
    since: [Timestamp; 4],
    by_queue: MoneyByQueue<'a>,
    all: QueueMoney,
}

impl<'a> Books<'a> {
    fn new(index: &Index<'a>, unknown: &[&'a Instance]) -> Self {
        let zone = &index.settings.the_loop.time_zone;
        let since = Period::ALL.map(|period| calendar::bounds(period, zone, index.now).start);
        let mut by_queue = index.ledger.by_queue(since, index.now);
        for intent in &index.snapshot.intents {
            by_queue.entry(&intent.queue).or_default().committed += intent.reservation;
        }
        // Machines that this very plan takes into the ledger count as if they were in it.
        for instance in unknown {
            let (money, interval) = (by_queue.entry(&instance.home).or_default(), interval(instance));
            money.committed += interval.committed(index.now);
            for (spent, since) in money.spent.iter_mut().zip(since) {
                *spent += interval.cost_within(&BudgetScope::All, since, Timestamp::MAX, index.now);
            }
        }
        let mut all = QueueMoney::default();
        for money in by_queue.values() {
            all.committed += money.committed;
            for (all, spent) in all.spent.iter_mut().zip(money.spent) {
                *all += spent;
            }
        }
        Self { since, by_queue, all }
    }

    fn of(&self, scope: &BudgetScope) -> QueueMoney {
        match scope {
            BudgetScope::All => self.all,
            BudgetScope::Queue(queue) => self.by_queue.get(queue).copied().unwrap_or_default(),
        }
    }
}

/// The bill that a machine's adoption opens.
fn interval(instance: &Instance) -> Interval {
    Interval {
        instance: instance.id.clone(),
        pool: instance.pool.clone(),
        home: instance.home.clone(),
        rate: instance.rate,
        reservation: instance.reservation,
        start: instance.launched,
        end: None,
        shares: vec![Share { from: instance.launched, queue: instance.home.clone(), task: None }],
    }
}

/// A machine of our fleet that runs up a bill and is not in the ledger. One that is being ended is not: its bill
/// was closed, or is closed by whoever records its end.
pub(super) fn is_unknown(instance: &Instance, ledger: &Ledger) -> bool {
    instance.origin != Origin::Launched
        && !matches!(instance.phase, Phase::Stopping | Phase::Gone)
        && !ledger.open().contains_key(&instance.id)
}

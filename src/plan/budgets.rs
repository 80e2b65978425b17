//! Budgets: what of each is spent and committed. A hard one governs launches: what is spent, what is committed and the
//! new reservation are together at most the limit. Under one that is hard or acts by steps nothing is launched that nobody
//! knows the cost of.

use jiff::Timestamp;

use super::index::{Index, Map};
use crate::model::account::{AccountOf, NOBODY};
use crate::model::calendar::Windows;
use crate::model::ids::{PoolName, QueueName};
use crate::model::instance::{Instance, Origin, Phase};
use crate::model::ledger::{AccountMoney, Interval, Ledger, MoneyByAccount, Share};
use crate::model::money::{Money, Rate};
use crate::model::reason::Reason;
use crate::model::settings::ladder::{Rung, Step};
use crate::model::settings::{Budget, BudgetScope};

/// A budget, and how much of it is gone.
pub(super) struct Purse<'a> {
    pub(super) budget: &'a Budget,
    pub(super) spent: Money,
    committed: Money,
}

impl Purse<'_> {
    fn room(&self, reservation: Money) -> u32 {
        if !self.budget.hard {
            return u32::MAX;
        }
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

    /// How far it has come.
    pub(super) fn step(&self) -> Option<Step> {
        Some(self.budget.at.reached(self.spent, self.budget.limit)?.step)
    }

    /// Why its step is taken.
    pub(super) fn step_reason(&self) -> Option<Reason> {
        let Budget { name, limit, at, .. } = self.budget;
        let Rung { percent, step } = at.reached(self.spent, *limit)?;
        Some(Reason::Step { name: name.clone(), limit: *limit, spent: self.spent, percent, step })
    }

    /// Why so many waiting tasks do not count.
    pub(super) fn owner_spent(&self, tasks: u32) -> Reason {
        let Self { budget, spent, .. } = self;
        Reason::OwnerSpent { name: budget.name.clone(), limit: budget.limit, spent: *spent, tasks }
    }

    /// Why a machine without a price is not launched.
    pub(super) fn no_price(&self, pool: &PoolName, machine_type: &str) -> Reason {
        Reason::NoPrice { pool: pool.clone(), machine_type: machine_type.to_owned(), budget: self.budget.name.clone() }
    }
}

/// Every budget that decides anything, by what it covers.
pub(super) struct Budgets<'a> {
    purses: Vec<Purse<'a>>,
    /// Those over everything.
    over_all: Vec<usize>,
    of_pool: Vec<Vec<usize>>,
    of_queue: Vec<Vec<usize>>,
    /// Those of projects and users.
    of_owners: Vec<usize>,
}

impl<'a> Budgets<'a> {
    pub(super) fn new(index: &Index<'a>, unknown: &[&'a Instance]) -> Self {
        let mut budgets = Self {
            purses: Vec::new(),
            over_all: Vec::new(),
            of_pool: vec![Vec::new(); index.pools.len()],
            of_queue: vec![Vec::new(); index.queues.len()],
            of_owners: Vec::new(),
        };
        let governs = |budget: &&Budget| budget.governs();
        let governing: Vec<_> = index.settings.budgets.iter().filter(governs).collect();
        if governing.is_empty() {
            return budgets;
        }
        let windows = Windows::new(governing.iter().copied(), &index.settings.the_loop.time_zone, index.now);
        let books = Books::new(index, unknown, windows.starts());
        for (place, (budget, bounds)) in governing.into_iter().zip(windows.bounds()).enumerate() {
            let coverage = budget.scope.among(&index.settings.pools);
            let (mut spent, mut committed) = (Money::ZERO, Money::ZERO);
            books.each(&budget.scope, |account, money| {
                if coverage.covers(account) {
                    spent += windows.spent(*bounds, money);
                    committed += money.committed;
                }
            });
            spent += budget.spent_before_ledger(bounds.start, index.ledger.whole_since);
            budgets.reach(index, place, &budget.scope);
            budgets.purses.push(Purse { budget, spent, committed });
        }
        budgets
    }

    /// Notes what the budget at a place covers.
    fn reach(&mut self, index: &Index<'a>, place: usize, scope: &BudgetScope) {
        match scope {
            BudgetScope::All => self.over_all.push(place),
            BudgetScope::Queue(queue) => {
                if let Some(places) = index.queue_place(queue).and_then(|queue| self.of_queue.get_mut(queue)) {
                    places.push(place);
                }
            }
            BudgetScope::Pool(pool) => {
                if let Some(places) = index.pool_place(pool).and_then(|pool| self.of_pool.get_mut(pool)) {
                    places.push(place);
                }
            }
            BudgetScope::Provider(provider) => {
                let pools = self.of_pool.iter_mut().zip(&index.pools);
                let covered = pools.filter(|(_, pool)| pool.settings.provider == *provider);
                covered.for_each(|(places, _)| places.push(place));
            }
            BudgetScope::Project(_) | BudgetScope::User(_) => self.of_owners.push(place),
        }
    }

    fn places(&self, queue: usize, pool: usize) -> impl Iterator<Item = usize> {
        let own = self.of_queue.get(queue).into_iter().chain(self.of_pool.get(pool)).flatten();
        self.over_all.iter().chain(own).copied()
    }

    fn covering(&self, queue: usize, pool: usize) -> impl Iterator<Item = &Purse<'a>> {
        self.places(queue, pool).filter_map(|place| self.purses.get(place))
    }

    /// The budget that leaves room for the fewest launches in a pool for a queue, and for how many.
    pub(super) fn tightest(&self, queue: usize, pool: usize, reservation: Money) -> Option<(u32, &Purse<'a>)> {
        let hard = self.covering(queue, pool).filter(|purse| purse.budget.hard);
        hard.map(|purse| (purse.room(reservation), purse)).min_by_key(|(room, _)| *room)
    }

    /// A budget over launches in a pool for a queue that decides anything: what nobody knows the cost of would never bring
    /// it to its limit, or to a step.
    pub(super) fn governing(&self, queue: usize, pool: usize, reservation: Money) -> Option<&Purse<'a>> {
        let tightest = self.tightest(queue, pool, reservation).map(|(_, purse)| purse);
        tightest.or_else(|| self.covering(queue, pool).next())
    }

    /// The budget with the furthest step among those over a pool's machines for a queue. A machine of another pool or
    /// queue than the settings name is in those over everything alone.
    pub(super) fn furthest(&self, queue: Option<usize>, pool: Option<usize>) -> Option<(Step, &Purse<'a>)> {
        let purses = self.covering(queue.unwrap_or(usize::MAX), pool.unwrap_or(usize::MAX));
        purses.filter_map(|purse| Some((purse.step()?, purse))).max_by_key(|(step, _)| *step)
    }

    /// Budgets of projects and users that are spent.
    pub(super) fn spent_by_owners(&self) -> impl Iterator<Item = &Purse<'a>> {
        let purses = self.of_owners.iter().filter_map(|place| self.purses.get(*place));
        let spent = |purse: &&Purse<'_>| purse.budget.hard && purse.spent >= purse.budget.limit;
        purses.filter(move |purse| spent(purse) || purse.step() >= Some(Step::StopLaunching))
    }

    /// Commits the reservation of a launch that was just decided.
    pub(super) fn book(&mut self, queue: usize, pool: usize, reservation: Money, count: u32) {
        let money = Money::from_micros(reservation.micros().saturating_mul(i64::from(count)));
        let places: Vec<_> = self.places(queue, pool).collect();
        for place in places {
            if let Some(purse) = self.purses.get_mut(place) {
                purse.committed += money;
            }
        }
    }
}

/// Everybody's money: the ledger's, and what it does not know yet.
struct Books<'a> {
    accounts: Vec<(AccountOf<'a>, AccountMoney)>,
    /// Places of a queue's accounts.
    of_queue: Map<&'a QueueName, Vec<usize>>,
}

impl<'a> Books<'a> {
    fn new(index: &Index<'a>, unknown: &[&'a Instance], since: &[Timestamp]) -> Self {
        let mut by_account: MoneyByAccount<'a> = index.ledger.by_account(since, index.now);
        let none = || AccountMoney { spent: vec![Money::ZERO; since.len()], committed: Money::ZERO };
        for intent in &index.snapshot.intents {
            let home = AccountOf { pool: &intent.pool, queue: &intent.queue, owner: &NOBODY };
            by_account.entry(home).or_insert_with(none).committed += intent.reservation;
        }
        // Machines that this very plan takes into the ledger count as if they were in it.
        for instance in unknown {
            let home = AccountOf { pool: &instance.pool, queue: &instance.home, owner: &NOBODY };
            let (money, interval) = (by_account.entry(home).or_insert_with(none), interval(instance));
            money.committed += interval.committed(index.now);
            for (spent, since) in money.spent.iter_mut().zip(since) {
                let all = BudgetScope::All;
                *spent += interval.cost_within(&all.among(&[]), *since, Timestamp::MAX, index.now);
            }
        }
        let accounts: Vec<_> = by_account.into_iter().collect();
        let mut of_queue: Map<_, Vec<usize>> = Map::default();
        for (place, (account, _)) in accounts.iter().enumerate() {
            of_queue.entry(account.queue).or_default().push(place);
        }
        Self { accounts, of_queue }
    }

    /// Every account that a budget of this scope may cover.
    fn each(&self, scope: &BudgetScope, mut see: impl FnMut(AccountOf<'a>, &AccountMoney)) {
        match scope {
            BudgetScope::Queue(queue) => {
                let places = self.of_queue.get(queue).into_iter().flatten();
                let accounts = places.filter_map(|place| self.accounts.get(*place));
                accounts.for_each(|(account, money)| see(*account, money));
            }
            _ => self.accounts.iter().for_each(|(account, money)| see(*account, money)),
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
        extras: Rate::ZERO,
        disks: Rate::ZERO,
        off: false,
        reservation: instance.reservation,
        start: instance.launched,
        end: None,
        shares: vec![Share::idle(instance.launched, instance.home.clone())],
    }
}

/// A machine of our fleet that runs up a bill and is not in the ledger. One that is being ended is not: its bill
/// was closed, or is closed by whoever records its end.
pub(super) fn is_unknown(instance: &Instance, ledger: &Ledger) -> bool {
    instance.origin != Origin::Launched
        && !matches!(instance.phase, Phase::Stopping | Phase::Gone)
        && ledger.of(&instance.id).is_none()
}

//! Every instance-second and its price. Budgets read it; its rounding is final: an interval costs
//! `floor(micro-dollars/h x whole milliseconds / 3,600,000)` from start to end, closed once, and what
//! its shares cost always adds up to exactly that.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::ids::{InstanceId, PoolName, QueueName, TaskId};
use crate::model::money::{Money, Rate};
use crate::model::settings::BudgetScope;

/// Clouds bill at least this long for each start (AWS and Google, per second, Linux).
pub const MINIMUM_BILLED: SignedDuration = SignedDuration::from_secs(60);

/// Closed money is kept in memory by this grain; every time zone's midnight falls on one.
const SLOT_SECONDS: i64 = 900;

/// In seconds.
const HOUR: i64 = 3_600;

/// One machine's billed time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    pub instance: InstanceId,
    pub pool: PoolName,
    /// Boot and idle time is charged here.
    pub home: QueueName,
    pub rate: Option<Rate>,
    /// What was set aside at its launch; committed until it is spent or the interval is closed.
    pub reservation: Money,
    pub start: Timestamp,
    pub end: Option<Timestamp>,
    /// Who is charged from when on, in order of time; the first begins at `start`.
    pub shares: Vec<Share>,
}

/// From `from` on the machine's time is charged to this queue and task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub from: Timestamp,
    pub queue: QueueName,
    pub task: Option<TaskId>,
}

impl Interval {
    /// What has been billed up to `now`, the minimum included.
    #[must_use]
    pub fn cost(&self, now: Timestamp) -> Money {
        self.cost_until(self.billed_end(now))
    }

    /// When the bill ends, or has come to by `now`.
    fn billed_end(&self, now: Timestamp) -> Timestamp {
        let least = self.start.saturating_add(MINIMUM_BILLED).unwrap_or(self.start);
        self.end.unwrap_or(now).max(least)
    }

    /// What has been billed up to an instant, whenever the bill ends.
    #[must_use]
    pub fn cost_until(&self, instant: Timestamp) -> Money {
        self.rate.unwrap_or_default().cost_between(self.start, instant)
    }

    /// The pieces of the bill up to `now`: who is charged, from when to when.
    pub fn pieces(&self, now: Timestamp) -> impl Iterator<Item = (&Share, Timestamp, Timestamp)> {
        let end = self.billed_end(now);
        self.shares.iter().enumerate().filter_map(move |(index, share)| {
            let from = if index == 0 { self.start } else { share.from.clamp(self.start, end) };
            let to = self.shares.get(index + 1).map_or(end, |next| next.from.clamp(self.start, end));
            (to > from).then_some((share, from, to))
        })
    }

    /// What the machine cost between two instants for a scope; exact: neighbouring windows add up.
    #[must_use]
    pub fn cost_within(&self, scope: &BudgetScope, from: Timestamp, to: Timestamp, now: Timestamp) -> Money {
        self.pieces(now)
            .filter(|(share, ..)| scope.covers(&share.queue))
            .map(|(_, start, end)| {
                let (start, end) = (start.max(from), end.min(to));
                if end > start { self.cost_until(end) - self.cost_until(start) } else { Money::ZERO }
            })
            .sum()
    }

    /// What is still set aside: the reservation less what has been billed.
    #[must_use]
    pub fn committed(&self, now: Timestamp) -> Money {
        if self.end.is_some() {
            return Money::ZERO;
        }
        (self.reservation - self.cost(now)).max(Money::ZERO)
    }
}

/// Whose money a closed piece was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    pub pool: PoolName,
    pub queue: QueueName,
}

impl Account {
    /// Who pays for a share of an interval.
    #[must_use]
    pub fn of(interval: &Interval, share: &Share) -> Self {
        Self { pool: interval.pool.clone(), queue: share.queue.clone() }
    }
}

/// What a queue's machines cost; see [`Ledger::by_queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueMoney {
    /// Since each of the instants asked for.
    pub spent: [Money; 4],
    /// Set aside at launch for machines of this home queue, less what has been billed.
    pub committed: Money,
}

/// See [`Ledger::by_queue`].
pub type MoneyByQueue<'l> = HashMap<&'l QueueName, QueueMoney, foldhash::fast::FixedState>;

/// Open intervals whole, closed ones summed by quarter of an hour and account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    open: BTreeMap<InstanceId, Interval>,
    closed: BTreeMap<i64, BTreeMap<Account, Money>>,
    closed_total: Money,
    /// Since when it holds every machine; before that, money may be missing (the store was lost).
    pub whole_since: Option<Timestamp>,
}

impl Ledger {
    #[must_use]
    pub fn open(&self) -> &BTreeMap<InstanceId, Interval> {
        &self.open
    }

    /// Begins a machine's bill; a second opening of the same machine changes nothing.
    pub fn open_interval(&mut self, interval: Interval) {
        self.open.entry(interval.instance.clone()).or_insert(interval);
    }

    /// Charges an open machine's time to someone else from `share.from` on.
    pub fn charge(&mut self, instance: &InstanceId, share: Share) {
        if let Some(interval) = self.open.get_mut(instance) {
            interval.shares.push(share);
        }
    }

    /// Ends a machine's bill; closing twice changes nothing.
    pub fn close(&mut self, instance: &InstanceId, end: Timestamp) {
        if let Some(mut interval) = self.open.remove(instance) {
            interval.end = Some(end);
            self.add_closed(&interval);
        }
    }

    /// Adds an interval that is closed already: at load.
    pub fn add_closed(&mut self, interval: &Interval) {
        let Some(end) = interval.end else { return };
        self.closed_total += interval.cost(end);
        for (share, from, to) in interval.pieces(end) {
            let account = Account { pool: interval.pool.clone(), queue: share.queue.clone() };
            let mut at = from;
            while at < to {
                let slot = at.as_second().div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
                let next = Timestamp::from_second(slot + SLOT_SECONDS).unwrap_or(to).min(to);
                let cost = interval.cost_until(next) - interval.cost_until(at);
                *self.closed.entry(slot).or_default().entry(account.clone()).or_default() += cost;
                at = next;
            }
        }
    }

    /// Adds what intervals cost that closed too long ago to be kept by account: at load.
    pub fn add_closed_total(&mut self, cost: Money) {
        self.closed_total += cost;
    }

    /// Forgets closed money before `instant`, which no budget's period reaches any more.
    pub fn forget_before(&mut self, instant: Timestamp) {
        self.closed = self.closed.split_off(&instant.as_second());
    }

    /// What the machines that are up cost, for a scope: each is charged to the queue of its newest share.
    #[must_use]
    pub fn rate(&self, scope: &BudgetScope) -> Rate {
        let charged = |interval: &&Interval| {
            let queue = interval.shares.last().map_or(&interval.home, |share| &share.queue);
            scope.covers(queue)
        };
        self.open.values().filter(charged).filter_map(|interval| interval.rate).sum()
    }

    /// Everything ever billed, up to `now`.
    #[must_use]
    pub fn total(&self, now: Timestamp) -> Money {
        self.closed_total + self.open.values().map(|interval| interval.cost(now)).sum()
    }

    /// Spent on a scope from `from` up to `now`. `from` is a midnight or an hour: a multiple of 15 minutes.
    #[must_use]
    pub fn spent(&self, scope: &BudgetScope, from: Timestamp, now: Timestamp) -> Money {
        let closed: Money = self
            .closed
            .range(from.as_second()..)
            .flat_map(|(_, accounts)| accounts)
            .filter(|(account, _)| scope.covers(&account.queue))
            .map(|(_, money)| *money)
            .sum();
        closed + self.open.values().map(|interval| interval.cost_within(scope, from, Timestamp::MAX, now)).sum()
    }

    /// Spent from `from` up to `now`, by account.
    #[must_use]
    pub fn spent_by_account(&self, from: Timestamp, now: Timestamp) -> BTreeMap<Account, Money> {
        let mut by_account: BTreeMap<Account, Money> = BTreeMap::new();
        for (account, money) in self.closed.range(from.as_second()..).flat_map(|(_, accounts)| accounts) {
            *by_account.entry(account.clone()).or_default() += *money;
        }
        for interval in self.open.values() {
            for (share, start, end) in interval.pieces(now) {
                let start = start.max(from);
                if end > start {
                    let account = Account { pool: interval.pool.clone(), queue: share.queue.clone() };
                    *by_account.entry(account).or_default() += interval.cost_until(end) - interval.cost_until(start);
                }
            }
        }
        by_account
    }

    /// Spent in each hour from `from` (a multiple of 15 minutes) up to `now`, the first first. What a minimum bills beyond
    /// `now` belongs to the last.
    #[must_use]
    pub fn spent_by_hour(&self, from: Timestamp, now: Timestamp) -> Vec<Money> {
        let passed = (now.as_second() - from.as_second()).max(0);
        let hours = passed.div_euclid(HOUR) + i64::from(passed.rem_euclid(HOUR) > 0);
        let mut by_hour = vec![Money::ZERO; usize::try_from(hours).unwrap_or_default()];
        let last = hours - 1;
        let hour = |second: i64| (second - from.as_second()).div_euclid(HOUR).min(last);
        let mut add = |hour: i64, money: Money| {
            if let Some(sum) = usize::try_from(hour).ok().and_then(|hour| by_hour.get_mut(hour)) {
                *sum += money;
            }
        };
        for (slot, accounts) in self.closed.range(from.as_second()..) {
            add(hour(*slot), accounts.values().copied().sum());
        }
        for interval in self.open.values() {
            let end = interval.billed_end(now);
            let mut at = interval.start.max(from);
            let mut billed = interval.cost_until(at);
            while at < end {
                let place = hour(at.as_second());
                let next = Timestamp::from_second(from.as_second() + (place + 1) * HOUR).unwrap_or(end);
                let next = if place >= last { end } else { next.min(end) };
                let until = interval.cost_until(next);
                add(place, until - billed);
                (at, billed) = (next, until);
            }
        }
        by_hour
    }

    /// The money of every queue, in one pass over the ledger for any number of budgets: what was spent since each of
    /// four instants (multiples of 15 minutes), and what is set aside and not yet spent.
    #[must_use]
    pub fn by_queue(&self, since: [Timestamp; 4], now: Timestamp) -> MoneyByQueue<'_> {
        let mut by_queue = MoneyByQueue::default();
        let seconds = since.map(Timestamp::as_second);
        let first = seconds.into_iter().min().unwrap_or_default();
        for (slot, accounts) in self.closed.range(first..) {
            for (account, money) in accounts {
                let queue = by_queue.entry(&account.queue).or_default();
                for (spent, since) in queue.spent.iter_mut().zip(seconds) {
                    *spent += if *slot >= since { *money } else { Money::ZERO };
                }
            }
        }
        for interval in self.open.values() {
            let mut at_home = QueueMoney { committed: interval.committed(now), ..QueueMoney::default() };
            for (share, start, end) in interval.pieces(now) {
                let until = interval.cost_until(end);
                let elsewhere = (share.queue != interval.home).then_some(&share.queue);
                let money = elsewhere.map_or(&mut at_home, |queue| by_queue.entry(queue).or_default());
                for (spent, since) in money.spent.iter_mut().zip(since) {
                    if end > since {
                        *spent += until - interval.cost_until(start.max(since));
                    }
                }
            }
            let home = by_queue.entry(&interval.home).or_default();
            home.committed += at_home.committed;
            for (spent, more) in home.spent.iter_mut().zip(at_home.spent) {
                *spent += more;
            }
        }
        by_queue
    }

    /// Set aside by running machines for a scope and not yet spent; it belongs to the home queue.
    #[must_use]
    pub fn committed(&self, scope: &BudgetScope, now: Timestamp) -> Money {
        self.open.values().filter(|interval| scope.covers(&interval.home)).map(|interval| interval.committed(now)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_793_232_000_000 + millis).unwrap()
    }

    fn interval(millis: i64) -> Interval {
        Interval {
            instance: "i-1".into(),
            pool: "gpu".into(),
            home: "train".into(),
            rate: Some(Rate::from_micros_per_hour(1_006_001)),
            reservation: "$2".parse().unwrap(),
            start: at(7),
            end: Some(at(7 + millis)),
            shares: vec![
                Share { from: at(7), queue: "train".into(), task: None },
                Share { from: at(100_003), queue: "eval".into(), task: Some("t".into()) },
                Share { from: at(1_900_001), queue: "train".into(), task: None },
            ],
        }
    }

    #[test]
    fn shares_and_slots_add_up_to_the_interval() {
        let interval = interval(5_400_001);
        let end = at(99_999_999);
        let whole = Rate::from_micros_per_hour(1_006_001).cost(SignedDuration::from_millis(5_400_001));
        assert_eq!(interval.cost(end), whole);
        let mut ledger = Ledger::default();
        let mut open = interval.clone();
        open.end = None;
        ledger.open_interval(open);
        ledger.close(&interval.instance, at(5_400_008));
        ledger.close(&interval.instance, at(9_400_008));
        assert_eq!(ledger.total(end), whole);
        let from = Timestamp::from_second(0).unwrap();
        assert_eq!(ledger.spent(&BudgetScope::All, from, end), whole);
        let by_queue: Money =
            ["train", "eval"].iter().map(|queue| ledger.spent(&BudgetScope::Queue((*queue).into()), from, end)).sum();
        assert_eq!(by_queue, whole);
        assert_eq!(ledger.spent_by_account(from, end).into_values().sum::<Money>(), whole);
        let late = Timestamp::from_second(at(0).as_second() + 2_700).unwrap();
        for (queue, money) in ledger.by_queue([late, from, late, from], end) {
            let spent = |since| ledger.spent(&BudgetScope::Queue(queue.clone()), since, end);
            assert_eq!(
                money,
                QueueMoney { spent: [spent(late), spent(from), spent(late), spent(from)], committed: Money::ZERO },
                "{queue}"
            );
        }
    }

    #[test]
    fn a_short_life_costs_the_minimum() {
        let interval = interval(1_000);
        assert_eq!(interval.cost(at(1_007)), Rate::from_micros_per_hour(1_006_001).cost(MINIMUM_BILLED));
    }

    #[test]
    fn an_open_machine_commits_what_is_left_of_its_reservation() {
        let mut interval = interval(0);
        interval.end = None;
        let now = at(3_600_007);
        assert_eq!(interval.committed(now), interval.reservation - interval.cost(now));
        assert_eq!(interval.committed(at(360_000_000)), Money::ZERO);
        let mut ledger = Ledger::default();
        ledger.open_interval(interval.clone());
        let (before, since) = (at(-900_000), at(900_000));
        let money = ledger.by_queue([since, before, since, before], now);
        assert_eq!(money.values().map(|money| money.committed).sum::<Money>(), interval.committed(now));
        let spent = |place: usize| money.values().map(|money| money.spent[place]).sum::<Money>();
        assert_eq!(spent(0), ledger.spent(&BudgetScope::All, since, now));
        assert_eq!(spent(1), interval.cost(now));
        assert!(spent(0) < spent(1), "what was spent before the period is not in it");
    }
}

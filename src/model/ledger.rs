//! Every instance-second and its price. Budgets read it; its rounding is final: an interval costs
//! `floor(micro-dollars/h x whole milliseconds / 3,600,000)` from start to end, closed once, and what
//! its shares cost always adds up to exactly that.

mod users;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::account::{Account, AccountOf, Coverage, NOBODY, Owner};
use crate::model::attempt::Attempt;
use crate::model::catalogue::Catalogue;
use crate::model::extras::Extras;
use crate::model::ids::{InstanceId, PoolName, QueueName, TaskId};
use crate::model::money::{Money, Rate};
use crate::model::settings::PoolSettings;
use crate::model::waste::{Standing, Use, Waste};

/// Clouds bill at least this long for each start (AWS and Google, per second, Linux).
pub const MINIMUM_BILLED: SignedDuration = SignedDuration::from_secs(60);

/// Closed money is kept in memory by this grain; every time zone's midnight falls on one.
pub const SLOT: SignedDuration = SignedDuration::from_mins(15);

const SLOT_SECONDS: i64 = SLOT.as_secs();

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
    /// The part of `rate` that is not the machine itself: its disks and its address.
    #[serde(default)]
    pub extras: Rate,
    /// What its disks go on costing when it is switched off and kept.
    #[serde(default)]
    pub disks: Rate,
    /// It is switched off, and billed for its disks alone, without a minimum.
    #[serde(default)]
    pub off: bool,
    /// What was set aside at its launch; committed until it is spent or the interval is closed.
    pub reservation: Money,
    pub start: Timestamp,
    pub end: Option<Timestamp>,
    /// Who is charged from when on, in order of time; the first begins at `start`.
    pub shares: Vec<Share>,
}

/// From `from` on the machine's time is charged to this queue, this task and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub from: Timestamp,
    pub queue: QueueName,
    pub task: Option<TaskId>,
    #[serde(default)]
    pub owner: Owner,
    #[serde(default)]
    pub standing: Standing,
}

impl Share {
    /// Idle time: nobody's.
    #[must_use]
    pub fn idle(from: Timestamp, home: QueueName) -> Self {
        Self { from, queue: home, task: None, owner: Owner::default(), standing: Standing::Idle }
    }

    /// The time from a launch until it registers: nobody's.
    #[must_use]
    pub fn boot(from: Timestamp, home: QueueName) -> Self {
        Self { standing: Standing::Boot, ..Self::idle(from, home) }
    }

    /// Until a pod has its node: nobody's, and nothing.
    #[must_use]
    pub fn waits(from: Timestamp, home: QueueName) -> Self {
        Self { standing: Standing::Waits, ..Self::idle(from, home) }
    }

    /// While it is switched off: nobody's.
    #[must_use]
    pub fn off(from: Timestamp, home: QueueName) -> Self {
        Self { standing: Standing::Off, ..Self::idle(from, home) }
    }
}

impl Interval {
    /// With what its pool's settings say of its disks and its address; of a machine without a price these are no part of it.
    #[must_use]
    pub fn with_extras(self, pool: Option<&PoolSettings>, catalogue: &Catalogue) -> Self {
        let extras = pool.map(|pool| Extras::within(pool, catalogue, self.rate)).unwrap_or_default();
        Self { extras, disks: pool.map(|pool| Extras::of(pool, catalogue).disks).unwrap_or_default(), ..self }
    }

    /// The bill that follows this one where the machine is switched off and kept.
    #[must_use]
    pub fn switched_off(&self, from: Timestamp) -> Self {
        Self {
            rate: Some(self.disks),
            extras: self.disks,
            off: true,
            reservation: Money::ZERO,
            start: from,
            end: None,
            shares: vec![Share::off(from, self.home.clone())],
            ..self.clone()
        }
    }

    /// What has been billed up to `now`, the minimum included.
    #[must_use]
    pub fn cost(&self, now: Timestamp) -> Money {
        self.cost_until(self.billed_end(now))
    }

    /// The same bill for the machine itself, without its disks and its address.
    #[must_use]
    pub fn without_extras(&self) -> Self {
        let machine = |rate: Rate| Rate::from_micros_per_hour(rate.micros_per_hour() - self.extras.micros_per_hour());
        Self { rate: self.rate.map(machine), extras: Rate::ZERO, ..self.clone() }
    }

    /// Whether it is of a pod that waits for its node: nothing is billed of it, and all that was set aside still is.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.shares.as_slice(), [share] if share.standing == Standing::Waits)
    }

    /// When the bill ends, or has come to by `now`.
    fn billed_end(&self, now: Timestamp) -> Timestamp {
        if self.waits() {
            return self.start;
        }
        // What is off costs its disks, and a pod its part of a node, for as long as they do.
        let no_minimum = self.off || Attempt::is_job(&self.instance);
        let least = if no_minimum { SignedDuration::ZERO } else { MINIMUM_BILLED };
        let least = self.start.saturating_add(least).unwrap_or(self.start);
        self.end.unwrap_or(now).max(least)
    }

    /// What has been billed up to an instant, whenever the bill ends.
    #[must_use]
    pub fn cost_until(&self, instant: Timestamp) -> Money {
        if self.waits() {
            return Money::ZERO;
        }
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

    /// Who is charged for a share.
    #[must_use]
    pub fn account<'i>(&'i self, share: &'i Share) -> AccountOf<'i> {
        AccountOf { pool: &self.pool, queue: &share.queue, owner: &share.owner }
    }

    /// Who is charged for boot and idle time, and for what is set aside.
    fn home(&self) -> AccountOf<'_> {
        AccountOf { pool: &self.pool, queue: &self.home, owner: &NOBODY }
    }

    /// Who is charged now.
    #[must_use]
    pub fn charged(&self) -> AccountOf<'_> {
        self.shares.last().map_or_else(|| self.home(), |share| self.account(share))
    }

    /// What the machine cost between two instants for a scope; exact: neighbouring windows add up.
    #[must_use]
    pub fn cost_within(&self, scope: &Coverage<'_>, from: Timestamp, to: Timestamp, now: Timestamp) -> Money {
        self.pieces(now)
            .filter(|(share, ..)| scope.covers(self.account(share)))
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

/// What an account's machines cost; see [`Ledger::by_account`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountMoney {
    /// Since each of the instants asked for.
    pub spent: Vec<Money>,
    /// Set aside at launch for machines of this pool and home queue, less what has been billed. Nobody's.
    pub committed: Money,
}

/// See [`Ledger::by_account`].
pub type MoneyByAccount<'l> = HashMap<AccountOf<'l>, AccountMoney, foldhash::fast::FixedState>;

/// Open intervals whole, closed ones summed by quarter of an hour and account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    open: BTreeMap<InstanceId, Interval>,
    /// Of machines that are switched off and kept.
    #[serde(default)]
    off: BTreeMap<InstanceId, Interval>,
    closed: BTreeMap<i64, BTreeMap<Arc<Account>, Money>>,
    closed_waste: BTreeMap<i64, Waste>,
    closed_total: Money,
    /// Since when it holds every machine; before that, money may be missing (the store was lost).
    pub whole_since: Option<Timestamp>,
}

impl Ledger {
    /// The bills of machines that are on.
    #[must_use]
    pub fn open(&self) -> &BTreeMap<InstanceId, Interval> {
        &self.open
    }

    /// The bills of machines that are switched off and kept: their disks.
    #[must_use]
    pub fn off(&self) -> &BTreeMap<InstanceId, Interval> {
        &self.off
    }

    /// Every bill that runs.
    pub fn running(&self) -> impl Iterator<Item = &Interval> {
        self.open.values().chain(self.off.values())
    }

    /// A machine's bill that runs.
    #[must_use]
    pub fn of(&self, instance: &InstanceId) -> Option<&Interval> {
        self.open.get(instance).or_else(|| self.off.get(instance))
    }

    /// Begins a machine's bill; a second opening of the same machine changes nothing. That of one that is on again ends
    /// that of its disks.
    pub fn open_interval(&mut self, interval: Interval) {
        if self.open.contains_key(&interval.instance) {
            return;
        }
        if interval.off {
            self.off.entry(interval.instance.clone()).or_insert(interval);
            return;
        }
        self.close(&interval.instance, interval.start);
        self.open.insert(interval.instance.clone(), interval);
    }

    /// Charges an open machine's time to someone else from `share.from` on.
    pub fn charge(&mut self, instance: &InstanceId, share: Share) {
        if let Some(interval) = self.open.get_mut(instance) {
            interval.shares.push(share);
        }
    }

    /// Ends a machine's bill; closing twice changes nothing.
    pub fn close(&mut self, instance: &InstanceId, end: Timestamp) {
        if let Some(mut interval) = self.open.remove(instance).or_else(|| self.off.remove(instance)) {
            interval.end = Some(end);
            self.add_closed(&interval);
        }
    }

    /// Adds an interval that is closed already: at load.
    pub fn add_closed(&mut self, interval: &Interval) {
        let Some(end) = interval.end else { return };
        self.closed_total += interval.cost(end);
        for (share, from, to) in interval.pieces(end) {
            let account = Arc::new(interval.account(share).cloned());
            let used = Use::of(interval, share);
            let mut at = from;
            while at < to {
                let slot = at.as_second().div_euclid(SLOT_SECONDS) * SLOT_SECONDS;
                let next = Timestamp::from_second(slot + SLOT_SECONDS).unwrap_or(to).min(to);
                let cost = interval.cost_until(next) - interval.cost_until(at);
                *self.closed.entry(slot).or_default().entry(account.clone()).or_default() += cost;
                if used != Use::Work {
                    *self.closed_waste.entry(slot).or_default() += Waste::of(used, cost);
                }
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
        self.closed_waste = self.closed_waste.split_off(&instant.as_second());
    }

    /// What the machines that are there cost, for a scope: each is charged to its newest share.
    #[must_use]
    pub fn rate(&self, scope: &Coverage<'_>) -> Rate {
        let charged = self.running().filter(|interval| scope.covers(interval.charged()));
        charged.filter_map(|interval| interval.rate).sum()
    }

    /// Everything ever billed, up to `now`.
    #[must_use]
    pub fn total(&self, now: Timestamp) -> Money {
        self.closed_total + self.running().map(|interval| interval.cost(now)).sum()
    }

    /// Spent on a scope from `from` up to `now`. `from` is a midnight or an hour: a multiple of 15 minutes.
    #[must_use]
    pub fn spent(&self, scope: &Coverage<'_>, from: Timestamp, now: Timestamp) -> Money {
        let closed: Money = self
            .closed
            .range(from.as_second()..)
            .flat_map(|(_, accounts)| accounts)
            .filter(|(account, _)| scope.covers(account.borrowed()))
            .map(|(_, money)| *money)
            .sum();
        closed + self.running().map(|interval| interval.cost_within(scope, from, Timestamp::MAX, now)).sum()
    }

    /// Spent from `from` up to `now`, by account.
    #[must_use]
    pub fn spent_by_account(&self, from: Timestamp, now: Timestamp) -> BTreeMap<Account, Money> {
        let mut by_account: BTreeMap<Account, Money> = BTreeMap::new();
        for (account, money) in self.closed.range(from.as_second()..).flat_map(|(_, accounts)| accounts) {
            *by_account.entry(Account::clone(account)).or_default() += *money;
        }
        for interval in self.running() {
            for (share, start, end) in interval.pieces(now) {
                let start = start.max(from);
                if end > start {
                    let account = interval.account(share).cloned();
                    *by_account.entry(account).or_default() += interval.cost_until(end) - interval.cost_until(start);
                }
            }
        }
        by_account
    }

    /// Spent from `from` (a multiple of 15 minutes) up to `now` on machines that ran no task.
    #[must_use]
    pub fn waste(&self, from: Timestamp, now: Timestamp) -> Waste {
        let mut waste = Waste::default();
        for (_, closed) in self.closed_waste.range(from.as_second()..) {
            waste += *closed;
        }
        for interval in self.running() {
            for (share, start, end) in interval.pieces(now) {
                let start = start.max(from);
                if end > start {
                    let money = interval.cost_until(end) - interval.cost_until(start);
                    waste += Waste::of(Use::of(interval, share), money);
                }
            }
        }
        waste
    }

    /// Spent on a scope in each hour from `from` (a multiple of 15 minutes) up to `now`, the first first. What a minimum bills beyond
    /// `now` belongs to the last.
    #[must_use]
    pub fn spent_by_hour(&self, scope: &Coverage<'_>, from: Timestamp, now: Timestamp) -> Vec<Money> {
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
            let covered = accounts.iter().filter(|(account, _)| scope.covers(account.borrowed()));
            add(hour(*slot), covered.map(|(_, money)| *money).sum());
        }
        for interval in self.running() {
            for (_, start, end) in interval.pieces(now).filter(|(share, ..)| scope.covers(interval.account(share))) {
                let mut at = start.max(from);
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
        }
        by_hour
    }

    /// The money of every account, in one pass over the ledger for any number of budgets: what was spent since each of
    /// the instants (multiples of 15 minutes), and what is set aside and not yet spent.
    #[must_use]
    pub fn by_account(&self, since: &[Timestamp], now: Timestamp) -> MoneyByAccount<'_> {
        let mut by_account = MoneyByAccount::default();
        let none = || AccountMoney { spent: vec![Money::ZERO; since.len()], committed: Money::ZERO };
        let seconds: Vec<i64> = since.iter().map(|instant| instant.as_second()).collect();
        if let Some(first) = seconds.iter().min() {
            for (slot, accounts) in self.closed.range(first..) {
                for (account, money) in accounts {
                    let sums = by_account.entry(account.borrowed()).or_insert_with(none);
                    for (spent, since) in sums.spent.iter_mut().zip(&seconds) {
                        *spent += if slot >= since { *money } else { Money::ZERO };
                    }
                }
            }
        }
        for interval in self.running() {
            by_account.entry(interval.home()).or_insert_with(none).committed += interval.committed(now);
            for (share, start, end) in interval.pieces(now) {
                let until = interval.cost_until(end);
                let sums = by_account.entry(interval.account(share)).or_insert_with(none);
                for (spent, since) in sums.spent.iter_mut().zip(since) {
                    if end > *since {
                        *spent += until - interval.cost_until(start.max(*since));
                    }
                }
            }
        }
        by_account
    }

    /// Set aside by running machines for a scope and not yet spent; it belongs to the home queue, and to no task's owner.
    #[must_use]
    pub fn committed(&self, scope: &Coverage<'_>, now: Timestamp) -> Money {
        let covered = self.running().filter(|interval| scope.covers(interval.home()));
        covered.map(|interval| interval.committed(now)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::BudgetScope;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_793_232_000_000 + millis).unwrap()
    }

    fn interval(millis: i64) -> Interval {
        let owner = Owner { project: Some("vision".into()), user: Some("ann".into()) };
        Interval {
            instance: "i-1".into(),
            pool: "gpu".into(),
            home: "train".into(),
            rate: Some(Rate::from_micros_per_hour(1_006_001)),
            extras: Rate::ZERO,
            disks: Rate::from_micros_per_hour(21_917),
            off: false,
            reservation: "$2".parse().unwrap(),
            start: at(7),
            end: Some(at(7 + millis)),
            shares: vec![
                Share::idle(at(7), "train".into()),
                Share { task: Some("t".into()), owner, ..Share::idle(at(100_003), "eval".into()) },
                Share::idle(at(1_900_001), "train".into()),
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
        let spent = |scope: &BudgetScope, since| ledger.spent(&scope.among(&[]), since, end);
        assert_eq!(spent(&BudgetScope::All, from), whole);
        let by_queue = ["train", "eval"].map(|queue| spent(&BudgetScope::Queue(queue.into()), from));
        assert_eq!(by_queue.into_iter().sum::<Money>(), whole);
        assert_eq!(spent(&BudgetScope::User("ann".into()), from), by_queue[1], "her task ran for eval alone");
        assert_eq!(ledger.spent_by_account(from, end).into_values().sum::<Money>(), whole);
        let late = Timestamp::from_second(at(0).as_second() + 2_700).unwrap();
        for (account, money) in ledger.by_account(&[from, late], end) {
            let queue = BudgetScope::Queue(account.queue.clone());
            let spent = vec![spent(&queue, from), spent(&queue, late)];
            assert_eq!(money, AccountMoney { spent, committed: Money::ZERO }, "{account:?}");
        }
    }

    #[test]
    fn what_is_switched_off_costs_its_disks_in_every_sum() {
        let mut up = interval(0);
        up.end = None;
        let (off, now) = (at(3_600_000), at(7_200_500));
        let disks = up.disks;
        let mut ledger = Ledger::default();
        ledger.open_interval(up.clone());
        ledger.open_interval(up.switched_off(at(9)));
        assert!(ledger.off().is_empty(), "its own bill has not ended");
        ledger.close(&up.instance, off);
        let before = ledger.total(now);
        ledger.open_interval(up.switched_off(off));
        let cost = disks.cost_between(off, now);
        let from = Timestamp::from_second(0).unwrap();
        let all = BudgetScope::All;
        assert_eq!((ledger.total(now) - before, ledger.rate(&all.among(&[]))), (cost, disks));
        assert_eq!(ledger.total(off + SignedDuration::from_secs(1)), before + disks.cost(SignedDuration::from_secs(1)));
        assert_eq!(ledger.spent(&BudgetScope::Pool("gpu".into()).among(&[]), from, now), before + cost);
        assert_eq!(ledger.spent(&BudgetScope::Queue("train".into()).among(&[]), off, now), cost, "its home's");
        assert_eq!(ledger.waste(from, now).switched_off, cost);
        assert_eq!(ledger.committed(&all.among(&[]), now), Money::ZERO, "it can be ended at any time");
        // Who works for a task now is charged for that, not for its disks before.
        ledger.charge(&up.instance, Share::idle(off, "eval".into()));
        assert_eq!(ledger.waste(from, now).switched_off, cost);
        let again = Interval { start: now, shares: vec![Share::boot(now, "train".into())], ..up.clone() };
        ledger.open_interval(again.clone());
        let later = at(10_800_007);
        assert_eq!(ledger.total(later), before + cost + again.cost(later));
        assert_eq!((ledger.waste(from, later).switched_off, ledger.off().len()), (cost, 0));
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
        let money = ledger.by_account(&[since, before], now);
        assert_eq!(money.values().map(|money| money.committed).sum::<Money>(), interval.committed(now));
        let spent = |place: usize| money.values().map(|money| money.spent[place]).sum::<Money>();
        assert_eq!(spent(0), ledger.spent(&BudgetScope::All.among(&[]), since, now));
        assert_eq!(spent(1), interval.cost(now));
        assert!(spent(0) < spent(1), "what was spent before the period is not in it");
    }
}

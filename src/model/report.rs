//! What a stretch of time cost: day by day, by whom, and for what. Read from the ledger's intervals one after the other;
//! its pieces add up to the ledger's total to the micro-dollar. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::account::Account;
use crate::model::calendar::{self, Bounds};
use crate::model::ids::InstanceId;
use crate::model::ledger::{Interval, Share};
use crate::model::money::Money;
use crate::model::settings::Period;
use crate::model::waste::{Use, Waste};

type Fixed = foldhash::fast::FixedState;

/// Days that a report may have: a century and more would be a slip of the keyboard.
const MOST_DAYS: usize = 40_000;

/// Whose money it was, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Post {
    pub account: Account,
    pub used: Use,
}

/// What money is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Pool,
    Queue,
    Project,
    User,
    Use,
}

/// Who has no name: a task without a project or user, and the time in which none ran.
pub const NOBODY: &str = "(nobody)";

impl By {
    pub const ALL: [Self; 5] = [Self::Pool, Self::Queue, Self::Project, Self::User, Self::Use];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Queue => "queue",
            Self::Project => "project",
            Self::User => "user",
            Self::Use => "use",
        }
    }

    /// Its name in a post.
    #[must_use]
    pub fn name(self, post: &Post) -> &str {
        let Post { account, used } = post;
        match self {
            Self::Pool => account.pool.as_str(),
            Self::Queue => account.queue.as_str(),
            Self::Project => account.owner.project.as_ref().map_or(NOBODY, AsRef::as_ref),
            Self::User => account.owner.user.as_ref().map_or(NOBODY, AsRef::as_ref),
            Self::Use => used.words(),
        }
    }
}

/// One day of a report, or a part of one at its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    pub bounds: Bounds,
    /// By the place of a post.
    money: Vec<Money>,
}

impl Day {
    #[must_use]
    pub fn total(&self) -> Money {
        self.money.iter().copied().sum()
    }
}

/// The money of a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub span: Bounds,
    /// What has been billed up to here is in it.
    pub now: Timestamp,
    posts: Vec<Post>,
    places: HashMap<Post, usize, Fixed>,
    days: Vec<Day>,
    machines: HashSet<InstanceId, Fixed>,
    /// Machines without a price: they count as nothing.
    unpriced: HashSet<InstanceId, Fixed>,
}

impl Report {
    /// An empty one. `None`: it would have too many days.
    #[must_use]
    pub fn new(span: Bounds, zone: &TimeZone, now: Timestamp) -> Option<Self> {
        let mut days = Vec::new();
        let mut at = span.start;
        while at < span.end {
            let end = calendar::bounds(Period::Day, zone, at).end.min(span.end);
            if end <= at || days.len() == MOST_DAYS {
                return None;
            }
            days.push(Day { bounds: Bounds { start: at, end }, money: Vec::new() });
            at = end;
        }
        Some(Self {
            span,
            now,
            posts: Vec::new(),
            places: HashMap::default(),
            days,
            machines: HashSet::default(),
            unpriced: HashSet::default(),
        })
    }

    /// Adds what an interval cost within the report's time.
    pub fn add(&mut self, interval: &Interval) {
        // What a minimum bills beyond the present belongs to the present.
        let to = if self.span.end >= self.now { Timestamp::MAX } else { self.span.end };
        let mut ran = false;
        for (share, start, end) in interval.pieces(self.now) {
            let (start, end) = (start.max(self.span.start), end.min(to));
            if end <= start || start >= self.span.end {
                continue;
            }
            ran = true;
            let place = self.place(interval, share);
            self.add_piece(interval, place, start, end);
        }
        if ran {
            if interval.rate.is_none() {
                self.unpriced.insert(interval.instance.clone());
            }
            if !self.machines.contains(&interval.instance) {
                self.machines.insert(interval.instance.clone());
            }
        }
    }

    fn place(&mut self, interval: &Interval, share: &Share) -> usize {
        let post = Post { account: interval.account(share).cloned(), used: Use::of(interval, share) };
        if let Some(place) = self.places.get(&post) {
            return *place;
        }
        let place = self.posts.len();
        self.posts.push(post.clone());
        self.places.insert(post, place);
        place
    }

    fn add_piece(&mut self, interval: &Interval, place: usize, start: Timestamp, end: Timestamp) {
        let first = self.days.partition_point(|day| day.bounds.end <= start);
        let last = self.days.len().saturating_sub(1);
        let mut billed = interval.cost_until(start);
        for (index, day) in self.days.iter_mut().enumerate().skip(first) {
            let next = if index == last { end } else { day.bounds.end.min(end) };
            let until = interval.cost_until(next);
            if day.money.len() <= place {
                day.money.resize(place + 1, Money::ZERO);
            }
            if let Some(money) = day.money.get_mut(place) {
                *money += until - billed;
            }
            billed = until;
            if next >= end {
                break;
            }
        }
    }

    #[must_use]
    pub fn total(&self) -> Money {
        self.days.iter().map(Day::total).sum()
    }

    #[must_use]
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    /// Machines that ran.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// Machines that ran without a known price.
    #[must_use]
    pub fn unpriced(&self) -> usize {
        self.unpriced.len()
    }

    /// No machine ran.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// What a day's money was for, and how much.
    pub fn posts<'a>(&'a self, day: &'a Day) -> impl Iterator<Item = (&'a Post, Money)> {
        self.posts.iter().zip(day.money.iter().copied()).filter(|(_, money)| *money != Money::ZERO)
    }

    /// What ran no task.
    #[must_use]
    pub fn waste(&self) -> Waste {
        let mut waste = Waste::default();
        for (post, money) in self.days.iter().flat_map(|day| self.posts(day)) {
            waste += Waste::of(post.used, money);
        }
        waste
    }

    /// A day's money by name.
    #[must_use]
    pub fn of_day(&self, day: &Day, by: By) -> BTreeMap<&str, Money> {
        let mut sums: BTreeMap<&str, Money> = BTreeMap::new();
        for (post, money) in self.posts.iter().zip(&day.money) {
            *sums.entry(by.name(post)).or_default() += *money;
        }
        sums
    }

    /// The whole stretch's money by name, the most first.
    #[must_use]
    pub fn by(&self, by: By) -> Vec<(&str, Money)> {
        let mut sums: BTreeMap<&str, Money> = BTreeMap::new();
        for day in &self.days {
            for (post, money) in self.posts.iter().zip(&day.money) {
                *sums.entry(by.name(post)).or_default() += *money;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        // Stable: equals stay in the order of their names.
        sums.sort_by_key(|(_, money)| std::cmp::Reverse(*money));
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::Owner;
    use crate::model::ledger::Ledger;
    use crate::model::money::Rate;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-11-02T08:00:13.217Z".parse().unwrap()
    }

    fn interval(place: usize, ago: i64, lasts: i64, rate: i64, tasks: &[(i64, u8)]) -> Interval {
        let start = now() - SignedDuration::from_millis(ago);
        let end = start + SignedDuration::from_millis(lasts);
        let name = |place: u8| format!("q{place}").into();
        let mut shares = vec![Share::boot(start, name(0))];
        let mut from = start;
        for (after, queue) in tasks {
            from += SignedDuration::from_millis(*after);
            let user = (*queue == 1).then(|| "ann".into());
            let owner = Owner { project: None, user };
            let task = (*queue != 2).then(|| "t".into());
            shares.push(Share { task, owner, ..Share::idle(from, name(*queue)) });
        }
        Interval {
            instance: format!("i-{place}").into(),
            pool: format!("p{}", place % 3).into(),
            home: name(0),
            rate: Some(Rate::from_micros_per_hour(rate)),
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: Money::ZERO,
            start,
            end: (end < now()).then_some(end),
            shares,
        }
    }

    proptest! {
        /// However a stretch of time is cut, and by whatever it is asked for, the pieces are the ledger's total.
        #[test]
        fn days_and_names_add_up_to_the_ledger_to_the_micro_dollar(
            machines in prop::collection::vec(
                (0_i64..900_000_000, 0_i64..600_000_000, 0_i64..50_000_000, prop::collection::vec((0_i64..90_000_000, 0_u8..4), 0..5)),
                0..12,
            ),
            cut in 0_i64..1_100_000_000,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let intervals: Vec<_> = machines
                .iter()
                .enumerate()
                .map(|(place, (ago, lasts, rate, tasks))| interval(place, *ago, *lasts, *rate, tasks))
                .collect();
            let mut ledger = Ledger::default();
            for interval in &intervals {
                if interval.end.is_some() { ledger.add_closed(interval) } else { ledger.open_interval(interval.clone()) }
            }
            let report = |start, end| {
                let mut report = Report::new(Bounds { start, end }, &zone, now()).unwrap();
                for interval in &intervals {
                    report.add(interval);
                }
                report
            };
            let (first, last) = (now() - SignedDuration::from_hours(400), now() + SignedDuration::from_hours(99));
            let cut = first + SignedDuration::from_millis(cut);
            let whole = report(first, last);
            prop_assert_eq!(whole.total(), ledger.total(now()));
            prop_assert_eq!(whole.machines(), intervals.len());
            let since = Timestamp::from_second(first.as_second() / 900 * 900).unwrap();
            prop_assert_eq!(whole.waste(), ledger.waste(since, now()));
            prop_assert_eq!(whole.waste().total() + whole.by(By::Use).iter().filter(|(used, _)| *used == "tasks").map(|(_, money)| *money).sum(), whole.total());
            prop_assert_eq!(report(first, cut).total() + report(cut, last).total(), whole.total());
            for by in By::ALL {
                prop_assert_eq!(whole.by(by).iter().map(|(_, money)| *money).sum::<Money>(), whole.total());
                for day in whole.days() {
                    prop_assert_eq!(whole.of_day(day, by).into_values().sum::<Money>(), day.total());
                    prop_assert_eq!(whole.posts(day).map(|(_, money)| money).sum::<Money>(), day.total());
                }
            }
            for queue in ["q0", "q1", "q2", "q3"] {
                let scope = crate::model::settings::BudgetScope::Queue(queue.into());
                let told = whole.by(By::Queue).into_iter().find(|(name, _)| *name == queue).map(|(_, money)| money);
                prop_assert_eq!(told.unwrap_or_default(), ledger.spent(&scope.among(&[]), Timestamp::UNIX_EPOCH, now()));
            }
        }
    }

    #[test]
    fn what_a_minimum_bills_beyond_the_present_belongs_to_the_present() {
        let mut report =
            Report::new(Bounds { start: now() - SignedDuration::from_hours(1), end: now() }, &TimeZone::UTC, now())
                .unwrap();
        report.add(&interval(0, 1_000, 500_000, 3_600_000, &[]));
        assert_eq!(report.total().micros(), 60_000);
    }

    #[test]
    fn too_many_days_are_refused() {
        let bounds = Bounds { start: "0001-01-01T00:00:00Z".parse().unwrap(), end: now() };
        assert_eq!(Report::new(bounds, &TimeZone::UTC, now()), None);
    }
}

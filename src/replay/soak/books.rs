//! The judge's own books: what every machine cost whom, computed a second time from the records alone, in whole
//! micro-dollars, by arithmetic of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::account::{AccountOf, Coverage, NOBODY, Owner};
use crate::model::ids::{InstanceId, IntentId, PoolName, QueueName};
use crate::model::ledger::Interval;
use crate::model::record::Record;

/// Clouds bill at least so long, in milliseconds.
const LEAST: i64 = 60_000;

/// One run of a machine.
#[derive(Debug)]
pub(super) struct Run {
    pub intent: Option<IntentId>,
    pub pool: PoolName,
    pub home: QueueName,
    pub start: i64,
    pub end: Option<i64>,
    /// In micro-dollars an hour.
    pub rate: i64,
    pub reserved: i64,
    /// It is off: its disks are billed alone, and no least time.
    off: bool,
    /// Who is charged, from when on.
    shares: Vec<(i64, QueueName, Owner)>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    runs: Vec<Run>,
    open: BTreeMap<InstanceId, usize>,
}

fn price(rate: i64, from: i64, to: i64) -> i64 {
    let micros = i128::from(rate) * i128::from((to - from).max(0)) / 3_600_000;
    i64::try_from(micros).unwrap_or(i64::MAX)
}

impl Run {
    fn billed_until(&self, now: i64) -> i64 {
        self.end.unwrap_or(now).max(self.start + if self.off { 0 } else { LEAST })
    }

    pub(super) fn cost(&self, now: i64) -> i64 {
        price(self.rate, self.start, self.billed_until(now))
    }

    fn within(&self, scope: &Coverage<'_>, from: i64, to: i64, now: i64) -> i64 {
        let until = self.billed_until(now);
        let mut sum = 0;
        for (place, (begun, queue, owner)) in self.shares.iter().enumerate() {
            let begun = if place == 0 { self.start } else { (*begun).clamp(self.start, until) };
            let over = self.shares.get(place + 1).map_or(until, |next| next.0.clamp(self.start, until));
            let (begun, over) = (begun.max(from), over.min(to));
            let account = AccountOf { pool: &self.pool, queue, owner };
            if over > begun && scope.covers(account) {
                sum += price(self.rate, self.start, over) - price(self.rate, self.start, begun);
            }
        }
        sum
    }
}

fn millis(instant: Timestamp) -> i64 {
    instant.as_millisecond()
}

impl Books {
    /// Enters what was written down.
    pub(super) fn enter(&mut self, record: &Record) {
        match record {
            Record::Opened(opened) | Record::Restarted(opened) => {
                self.begin(&opened.interval, opened.known.intent.clone());
            }
            Record::DisksBilled(interval) => self.begin(interval, None),
            Record::Charged { instance, share } => {
                let run = self.open.get(instance).and_then(|place| self.runs.get_mut(*place));
                if let Some(run) = run.filter(|run| !run.off) {
                    run.shares.push((millis(share.from), share.queue.clone(), share.owner.clone()));
                }
            }
            Record::Closed { instance, end } => {
                if let Some(run) = self.open.remove(instance).and_then(|place| self.runs.get_mut(place)) {
                    run.end = Some(millis(*end));
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, interval: &Interval, intent: Option<IntentId>) {
        if let Some(place) = self.open.get(&interval.instance) {
            // One that is on again ends the bill of its disks.
            let off = self.runs.get_mut(*place).filter(|run| run.off && !interval.off);
            let Some(off) = off else { return };
            off.end = Some(millis(interval.start));
        }
        self.open.insert(interval.instance.clone(), self.runs.len());
        self.runs.push(Run {
            intent,
            pool: interval.pool.clone(),
            home: interval.home.clone(),
            start: millis(interval.start),
            end: None,
            rate: interval.rate.map_or(0, crate::model::money::Rate::micros_per_hour),
            reserved: interval.reservation.micros(),
            off: interval.off,
            shares: vec![(millis(interval.start), interval.home.clone(), NOBODY)],
        });
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.values().filter_map(|place| self.runs.get(*place))
    }

    pub(super) fn of(&self, instance: &InstanceId) -> Option<&Run> {
        self.runs.get(*self.open.get(instance)?)
    }

    pub(super) fn total(&self, now: i64) -> i64 {
        self.runs.iter().map(|run| run.cost(now)).sum()
    }

    /// Spent on a scope from one instant to another, as it is known at `now`.
    pub(super) fn spent(&self, scope: &Coverage<'_>, from: i64, to: i64, now: i64) -> i64 {
        self.runs.iter().map(|run| run.within(scope, from, to, now)).sum()
    }

    /// Set aside by machines that are up and not yet spent.
    pub(super) fn committed(&self, scope: &Coverage<'_>, now: i64) -> i64 {
        let covered = self.open().filter(|run| scope.of_launch(&run.pool, &run.home));
        covered.map(|run| (run.reserved - run.cost(now)).max(0)).sum()
    }

    /// Machines that came into the books after `since` and are of none of these intents.
    pub(super) fn has_newcomer(&self, since: usize, intents: &[IntentId]) -> bool {
        let new = self.runs.get(since..).unwrap_or_default();
        new.iter().any(|run| !run.off && run.intent.as_ref().is_none_or(|intent| !intents.contains(intent)))
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }
}

//! Whether a machine that is let go at once is started again in time for the task that is likely to come: where tasks come
//! at about the same intervals that costs less than to keep it idle meanwhile, and less than to let them wait. After the
//! pre-warming window of Shahrad et al., "Serverless in the Wild" (ATC 2020), here weighed in money.

use jiff::SignedDuration;

use super::Terms;
use super::keep::{ASSUMED, LONGEST, STEP};
use crate::model::course::Again;
use crate::model::money::Money;
use crate::model::record::Samples;

/// When to start a machine again, and what that costs for each interval; `None`: nothing comes at intervals, or to keep
/// machines, which costs `kept` in all, costs no more.
pub(in crate::plan) fn choose(intervals: &Samples, terms: &Terms, kept: Money) -> Option<(Again, Money)> {
    if !intervals.is_enough() {
        return None;
    }
    let window = Intervals::new(intervals.sorted(), terms);
    let (total, after, until) = window.cheapest()?;
    if total >= kept.micros() {
        return None;
    }
    let all = intervals.sorted().len();
    let (lasted, ended) = (all - window.ended(after), window.ended(until) - window.ended(after));
    let sum: i64 = intervals.sorted().iter().map(|interval| window.cost(interval.as_secs(), after, until)).sum();
    let each = sum.checked_div(i64::try_from(all).unwrap_or(i64::MAX)).unwrap_or_default();
    let [after, until] = [after, until].map(SignedDuration::from_secs);
    Some((Again { after, until, lasted, ended }, Money::from_micros(each)))
}

/// As far as is looked ahead.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
const STEPS: usize = (LONGEST.as_secs() / STEP) as usize;

fn seconds(step: usize) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(STEP)
}

/// What comes after a step at which a machine is there, and whether it is let go then.
struct Held {
    cost: i64,
    ends: bool,
}

/// The intervals that were seen, and what it costs to be ready for them; times are in seconds, money in micro-dollars.
struct Intervals<'a> {
    sorted: &'a [SignedDuration],
    /// The first 0, 1, 2, ... of them together.
    sums: Vec<i64>,
    terms: &'a Terms,
    boot: i64,
    billed_boot: i64,
    miss: i64,
}

impl<'a> Intervals<'a> {
    fn new(sorted: &'a [SignedDuration], terms: &'a Terms) -> Self {
        let running = sorted.iter().scan(0, |sum, interval| {
            *sum += interval.as_secs();
            Some(*sum)
        });
        let (billed_boot, miss) = (terms.billed_boot().micros(), terms.miss().micros());
        let sums = std::iter::once(0).chain(running).collect();
        Self { sorted, sums, terms, boot: terms.boot.as_secs().max(0), billed_boot, miss }
    }

    /// What the cheapest window costs over all intervals, those counted that are assumed to be longer; when a machine is
    /// started in it, and until when it is kept.
    fn cheapest(&self) -> Option<(i64, i64, i64)> {
        let held = self.held();
        let mut gone = self.lasted(seconds(STEPS)) * self.miss;
        let mut start = None;
        for step in (0..STEPS).rev() {
            gone += self.between(seconds(step), seconds(step + 1)).0 * self.miss;
            if let Some(started) = self.started(step, &held).filter(|started| *started < gone) {
                (gone, start) = (started, Some(step));
            }
        }
        let start = start?;
        let ready = held.get(start + self.boot_steps()..)?;
        let until = ready.iter().position(|held| held.ends).map(|steps| start + self.boot_steps() + steps)?;
        Some((gone, seconds(start), seconds(until)))
    }

    /// What comes after each step at which a machine is there.
    fn held(&self) -> Vec<Held> {
        let gone = |step| self.lasted(seconds(step)) * self.miss;
        let mut costs = vec![Held { cost: gone(STEPS), ends: true }];
        for step in (0..STEPS).rev() {
            let (from, to) = (seconds(step), seconds(step + 1));
            let (ended, early) = self.between(from, to);
            let idle = self.money((ended + self.lasted(to)) * STEP - early);
            let kept = idle + costs.last().map_or(0, |next| next.cost);
            costs.push(Held { cost: gone(step).min(kept), ends: gone(step) <= kept });
        }
        costs.reverse();
        costs
    }

    /// What comes after a step at which one is started.
    fn started(&self, step: usize, held: &[Held]) -> Option<i64> {
        let (from, ready) = (seconds(step), seconds(step) + self.boot);
        let next = step + self.boot_steps();
        let idle = seconds(next) - ready;
        let (_, waits) = self.between(from, ready);
        let (met, early) = self.between(ready, seconds(next));
        let idle = self.money((met + self.lasted(seconds(next))) * idle - early);
        Some(self.lasted(from) * self.billed_boot + self.waiting(waits) + idle + held.get(next)?.cost)
    }

    /// A boot, in whole steps.
    fn boot_steps(&self) -> usize {
        usize::try_from((self.boot + STEP - 1) / STEP).unwrap_or(usize::MAX)
    }

    /// How many lasted longer, those counted that are assumed.
    fn lasted(&self, at: i64) -> i64 {
        i64::try_from(self.sorted.len() - self.ended(at)).unwrap_or(i64::MAX) + ASSUMED
    }

    /// What one interval costs.
    fn cost(&self, interval: i64, after: i64, until: i64) -> i64 {
        let ready = after + self.boot;
        match interval {
            interval if interval <= after => self.miss,
            interval if interval <= ready => self.billed_boot + self.waiting(ready - interval),
            interval if interval <= until => self.billed_boot + self.money(interval - ready),
            _ => self.billed_boot + self.money(until - ready) + self.miss,
        }
    }

    /// How many ended by then.
    fn ended(&self, at: i64) -> usize {
        self.sorted.partition_point(|interval| interval.as_secs() <= at)
    }

    /// How many ended between the two, and how many seconds before the second, all together.
    fn between(&self, from: i64, to: i64) -> (i64, i64) {
        let (first, last) = (self.ended(from), self.ended(to));
        let sum = |place: usize| self.sums.get(place).copied().unwrap_or_default();
        let count = i64::try_from(last - first).unwrap_or(i64::MAX);
        (count, count * to - (sum(last) - sum(first)))
    }

    fn money(&self, seconds: i64) -> i64 {
        self.terms.rate.cost(SignedDuration::from_secs(seconds)).micros()
    }

    fn waiting(&self, seconds: i64) -> i64 {
        self.terms.waiting.cost(SignedDuration::from_secs(seconds)).micros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::money::Rate;
    use proptest::prelude::*;

    fn terms(rate: i64, boot: i64, waiting: i64) -> Terms {
        Terms {
            rate: Rate::from_micros_per_hour(rate),
            boot: SignedDuration::from_secs(boot),
            waiting: Rate::from_micros_per_hour(waiting),
        }
    }

    fn samples(all: &[i64]) -> Samples {
        Samples::from(all.iter().map(|sample| SignedDuration::from_secs(*sample)).collect::<Vec<_>>())
    }

    #[test]
    fn where_tasks_come_at_intervals_a_machine_is_started_for_them() {
        // A second of the machine is $0.001, of a task $0.002; a boot is 100 s: $0.10 and $0.20 for the waiting.
        let terms = terms(3_600_000, 100, 7_200_000);
        let chosen = |all: &[i64], kept: i64| choose(&samples(all), &terms, Money::from_micros(kept));
        let intervals: Vec<i64> = [590].repeat(90).into_iter().chain([9_999].repeat(10)).collect();
        let (again, each) = chosen(&intervals, 30_000_000).unwrap();
        let secs = SignedDuration::from_secs;
        assert_eq!((again.after, again.until, again.lasted, again.ended), (secs(480), secs(600), 100, 90));
        // 90 x ($0.10 + 10 s idle) + 10 x ($0.10 + 20 s idle + $0.30) = $14.10 for 100; with ten more assumed $18.30.
        assert_eq!(each, Money::from_micros(141_000));
        assert_eq!(chosen(&intervals, 18_300_000), None, "no cheaper than what is kept");
        assert!(chosen(&intervals, 18_300_001).is_some());
        assert_eq!(chosen(&intervals[..29], 30_000_000), None, "too few");
        assert_eq!(chosen(&[9_999; 200], 63_000_000), None, "longer than is looked ahead");
        let early: Vec<i64> = [100].repeat(5).into_iter().chain(intervals).collect();
        let (again, _) = chosen(&early, 60_000_000).unwrap();
        assert_eq!((again.after, again.until, again.lasted, again.ended), (secs(480), secs(600), 100, 90));
    }

    #[test]
    fn a_boot_takes_whole_steps() {
        let steps = |boot| Intervals::new(&[], &terms(1, boot, 1)).boot_steps();
        assert_eq!([0, 1, 60, 61, 119, 120].map(steps), [0, 1, 1, 2, 2, 2]);
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_the_intervals(
            all in proptest::collection::vec(1_i64..4_000, 30..200),
            rate in 0_i64..40_000_000,
            boot in 0_i64..900,
            waiting in 0_i64..20_000_000,
        ) {
            let (terms, samples) = (terms(rate, boot, waiting), samples(&all));
            let window = Intervals::new(samples.sorted(), &terms);
            let one_by_one = |after, until| {
                let assumed = ASSUMED * window.cost(i64::MAX, after, until);
                all.iter().map(|interval| window.cost(*interval, after, until)).sum::<i64>() + assumed
            };
            let windows = (0..45).flat_map(|after| (after + 1..=45).map(move |until| (after * 60, until * 60)));
            let windows = windows.filter(|(after, until)| after + boot <= *until);
            let best = windows.map(|(after, until)| one_by_one(after, until)).min();
            let never = window.lasted(0) * window.miss;
            let cheapest = window.cheapest();
            if cheapest.is_none() {
                prop_assert!(best.is_none_or(|best| best + 250 >= never));
            }
            if let Some((total, after, until)) = cheapest {
                prop_assert!(total < never);
                // Money is rounded once there, and each time here.
                prop_assert!((total - one_by_one(after, until)).abs() <= 250);
                prop_assert!(best.is_none_or(|best| total <= best + 250));
                prop_assert!(after < until && until <= LONGEST.as_secs());
            }
        }
    }
}

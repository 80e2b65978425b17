//! When a budget is likely to be crossed, and with what its period is likely to end, by futures that are made of the past.
//! A future takes pieces of six hours from the scope's own last weeks, each from the hour of the day that it stands
//! for, every other one from the same day of the week too, the first from an hour in which as much was spent as now.
//! Of the futures a fortieth is left out at each end; as the past is short and the next week is another, 8 of 10 real ones
//! lie within (a test holds it to that). Where less than a day is known it is between half and twice the present rate.
//! Pure, and the same for the same past.

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::money::{Money, Rate};

/// So far back the past is asked, in hours.
pub const PAST: usize = 28 * 24;

/// Less says nothing about a day.
const LEAST_PAST: usize = 24;

const FUTURES: usize = 240;

/// Of the futures this part is left out at each end.
const LEFT_OUT: usize = FUTURES / 40;

/// In hours.
const PIECE: usize = 6;
const DAY: usize = 24;
const WEEK: usize = 7 * DAY;

/// The first piece comes from one of so many hours that are most like the present one.
const LIKE_NOW: usize = 12;

/// 8 of 10 real weeks lie within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likely {
    /// The first crossing; `None`: the limit is not reached in the period.
    pub earliest: Option<Timestamp>,
    /// The last one; `None`: it may not be reached in the period.
    pub latest: Option<Timestamp>,
    /// Spent at the period's end, least and most.
    pub least: Money,
    pub most: Money,
    /// So many hours of the past it is made of; 0: of the present rate alone.
    pub hours: usize,
}

/// What the futures start from.
#[derive(Debug, Clone)]
pub struct Past<'p> {
    /// Spent in each whole hour up to `now`, the newest last.
    pub by_hour: &'p [Money],
    /// What a rolling period loses in each hour to come; empty for one of the calendar.
    pub leaving: &'p [Money],
    /// In the period, up to `now`.
    pub spent: Money,
    /// Of what is up now.
    pub rate: Rate,
    pub limit: Money,
    pub now: Timestamp,
    pub period_end: Timestamp,
}

impl Past<'_> {
    #[must_use]
    pub fn likely(&self) -> Likely {
        let past: Vec<i64> = self.by_hour.iter().rev().take(PAST).rev().map(|money| money.micros()).collect();
        // What was before the first machine says nothing.
        let first = past.iter().position(|spent| *spent > 0).unwrap_or(past.len());
        let past = past.get(first..).unwrap_or_default();
        if past.len() < LEAST_PAST {
            return self.by_rate();
        }
        let mut dice = ChaCha8Rng::seed_from_u64(0);
        let mut ends: Vec<End> = (0..FUTURES).map(|_| self.end(Future::new(past, self.rate, &mut dice))).collect();
        ends.sort_unstable_by_key(|end| end.crosses.unwrap_or(Timestamp::MAX));
        let crosses = |place: usize| ends.get(place).and_then(|end| end.crosses);
        let (earliest, latest) = (crosses(LEFT_OUT), crosses(FUTURES - 1 - LEFT_OUT));
        ends.sort_unstable_by_key(|end| end.spent);
        let spent = |place: usize| ends.get(place).map_or(self.spent, |end| end.spent);
        Likely { earliest, latest, least: spent(LEFT_OUT), most: spent(FUTURES - 1 - LEFT_OUT), hours: past.len() }
    }

    fn by_rate(&self) -> Likely {
        let rate = self.rate.micros_per_hour();
        let (slow, fast) = (self.end(std::iter::repeat(rate / 2)), self.end(std::iter::repeat(rate.saturating_mul(2))));
        Likely { earliest: fast.crosses, latest: slow.crosses, least: slow.spent, most: fast.spent, hours: 0 }
    }

    /// Where a future leads that spends so much in each hour.
    fn end(&self, mut hours: impl Iterator<Item = i64>) -> End {
        let mut leaving = self.leaving.iter().map(|money| money.micros());
        let (limit, mut spent, mut at) = (self.limit.micros(), self.spent.micros(), self.now);
        let mut crosses = (spent >= limit).then_some(self.now);
        while at < self.period_end {
            let next = at.saturating_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX).min(self.period_end);
            let part = next.duration_since(at).as_millis();
            let whole = hours.next().unwrap_or(0) - leaving.next().unwrap_or(0);
            let more = i64::try_from(i128::from(whole) * part / 3_600_000).unwrap_or(i64::MAX);
            let left = limit.saturating_sub(spent);
            if crosses.is_none() && more >= left && more > 0 {
                let millis = i128::from(left) * part / i128::from(more);
                let into = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(0));
                crosses = at.saturating_add(into).ok();
            }
            (spent, at) = (spent.saturating_add(more), next);
        }
        End { crosses, spent: Money::from_micros(spent) }
    }
}

struct End {
    crosses: Option<Timestamp>,
    spent: Money,
}

/// Hours to come, piece by piece from the past.
struct Future<'p, 'd> {
    past: &'p [i64],
    dice: &'d mut ChaCha8Rng,
    made: usize,
    /// The place in the past that is copied.
    at: usize,
}

impl<'p, 'd> Future<'p, 'd> {
    fn new(past: &'p [i64], rate: Rate, dice: &'d mut ChaCha8Rng) -> Self {
        let mut like_now: Vec<usize> = (1..past.len()).collect();
        let unlike = |place: &usize| {
            let before = place.checked_sub(1).and_then(|before| past.get(before));
            before.map_or(i64::MAX, |spent| spent.saturating_sub(rate.micros_per_hour()).saturating_abs())
        };
        like_now.sort_by_key(unlike);
        let place = dice.random_range(0..LIKE_NOW.min(like_now.len()).max(1));
        let at = like_now.get(place).copied().unwrap_or_default();
        Self { past, dice, made: 0, at }
    }

    /// A place in the past like the hour that is made next: of the same hour of the day, or of the week.
    fn alike(&mut self) -> usize {
        let cycle = if self.past.len() > WEEK && self.dice.random::<bool>() { WEEK } else { DAY };
        let hour = (self.past.len() + self.made) % cycle;
        let cycles = (self.past.len() - hour).div_ceil(cycle);
        hour + cycle * self.dice.random_range(0..cycles.max(1))
    }
}

impl Iterator for Future<'_, '_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        if (self.made > 0 && self.made.is_multiple_of(PIECE)) || self.at >= self.past.len() {
            self.at = self.alike();
        }
        let spent = self.past.get(self.at).copied();
        (self.made, self.at) = (self.made + 1, self.at + 1);
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_793_577_600).unwrap()
    }

    fn dollars(amount: i64) -> Money {
        Money::from_micros(amount * 1_000_000)
    }

    fn past(by_hour: &[Money]) -> Past<'_> {
        Past {
            by_hour,
            leaving: &[],
            spent: dollars(10),
            rate: Rate::from_micros_per_hour(2_000_000),
            limit: dollars(30),
            now: now(),
            period_end: now() + SignedDuration::from_hours(48),
        }
    }

    fn hours(timestamp: Option<Timestamp>) -> Option<i64> {
        timestamp.map(|at| at.duration_since(now()).as_hours())
    }

    #[test]
    fn an_even_past_has_one_future() {
        let even = vec![dollars(2); 100];
        let likely = past(&even).likely();
        assert_eq!((hours(likely.earliest), hours(likely.latest)), (Some(10), Some(10)));
        assert_eq!((likely.least, likely.most, likely.hours), (dollars(106), dollars(106), 100));
    }

    #[test]
    fn days_and_nights_go_on() {
        // $4/h in the first twelve hours of each day, nothing in the others; now a day begins.
        let days: Vec<Money> = (0..240).map(|hour| dollars(if hour % 24 < 12 { 4 } else { 0 })).collect();
        let likely = Past { limit: dollars(80), rate: Rate::ZERO, ..past(&days) }.likely();
        let (earliest, latest) = (hours(likely.earliest).unwrap(), hours(likely.latest).unwrap());
        assert!((24..=36).contains(&earliest) && (24..=36).contains(&latest), "{likely:?}");
    }

    #[test]
    fn with_a_short_past_it_is_between_half_and_twice_the_rate() {
        let likely = past(&[dollars(9); 23]).likely();
        assert_eq!((hours(likely.earliest), hours(likely.latest), likely.hours), (Some(5), Some(20), 0));
        assert_eq!((likely.least, likely.most), (dollars(58), dollars(202)));
        let idle = Past { rate: Rate::ZERO, ..past(&[]) }.likely();
        assert_eq!((idle.earliest, idle.latest, idle.most), (None, None, dollars(10)));
    }

    #[test]
    fn what_leaves_a_rolling_period_makes_room() {
        let even = vec![dollars(2); 100];
        let leaving = vec![dollars(2); 48];
        let likely = Past { leaving: &leaving, ..past(&even) }.likely();
        assert_eq!((likely.earliest, likely.latest, likely.most), (None, None, dollars(10)));
    }

    proptest! {
        #[test]
        fn the_ends_are_in_order_and_the_same_again(
            by_hour in prop::collection::vec(0_i64..50_000_000, 0..400),
            spent in 0_i64..2_000_000_000, limit in 0_i64..2_000_000_000, rate in 0_i64..50_000_000,
            hours in 0_i64..800,
        ) {
            let by_hour: Vec<Money> = by_hour.into_iter().map(Money::from_micros).collect();
            let rate = Rate::from_micros_per_hour(rate);
            let (spent, limit) = (Money::from_micros(spent), Money::from_micros(limit));
            let past = Past { spent, limit, rate, period_end: now() + SignedDuration::from_hours(hours), ..past(&by_hour) };
            let likely = past.likely();
            prop_assert_eq!(likely, past.likely());
            prop_assert!(likely.least <= likely.most && likely.least >= spent);
            prop_assert!(likely.earliest.unwrap_or(Timestamp::MAX) <= likely.latest.unwrap_or(Timestamp::MAX));
            prop_assert!(likely.earliest.is_none_or(|at| at >= past.now && at <= past.period_end));
            prop_assert!(likely.latest.is_none() || likely.most >= limit, "nearly all cross, and nothing is given back");
        }
    }
}

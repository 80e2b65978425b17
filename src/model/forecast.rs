//! Where a budget comes to if nothing changes: the machines that are up now stay up, and no other starts. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::model::money::{Money, Rate};

/// What becomes of a budget's period at the present rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Spent at the period's end.
    pub projected: Money,
    /// When the limit is reached, where that is within the period; the present where it is reached already.
    pub crosses: Option<Timestamp>,
}

/// What a forecast starts from.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// In the period, up to `now`.
    pub spent: Money,
    /// Of what is up now.
    pub rate: Rate,
    pub limit: Money,
    pub now: Timestamp,
    pub period_end: Timestamp,
}

impl Course {
    /// Goes on as it is.
    #[must_use]
    pub fn forecast(&self) -> Forecast {
        let projected = self.spent + self.rate.cost_between(self.now, self.period_end.max(self.now));
        let crosses = self.reaches_limit().filter(|at| *at == self.now || *at < self.period_end);
        Forecast { projected, crosses }
    }

    /// To the whole millisecond at which the limit is reached or passed.
    fn reaches_limit(&self) -> Option<Timestamp> {
        let left = i128::from((self.limit - self.spent).micros());
        if left <= 0 {
            return Some(self.now);
        }
        let rate = i128::from(self.rate.micros_per_hour());
        if rate <= 0 {
            return None;
        }
        let millis = (left * 3_600_000 + rate - 1) / rate;
        self.now.checked_add(SignedDuration::from_millis(i64::try_from(millis).ok()?)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_793_577_600 + second).unwrap()
    }

    fn course(spent: &str, micros_per_hour: i64, limit: &str) -> Course {
        let rate = Rate::from_micros_per_hour(micros_per_hour);
        let (spent, limit) = (spent.parse().unwrap(), limit.parse().unwrap());
        Course { spent, rate, limit, now: at(0), period_end: at(36_000) }
    }

    #[test]
    fn a_limit_is_crossed_where_the_present_rate_reaches_it_within_the_period() {
        for (course, projected, crosses) in [
            (course("$4", 1_000_000, "$10"), "$14", Some(at(6 * 3_600))),
            (course("$4", 1_000_000, "$20"), "$14", None),
            (course("$4", 1_000_000, "$14"), "$14", None),
            (course("$4", 0, "$10"), "$4", None),
            (course("$10", 0, "$10"), "$10", Some(at(0))),
            (course("$12", 1_000_000, "$10"), "$22", Some(at(0))),
            (course("$0", 0, "$0"), "$0", Some(at(0))),
        ] {
            let wanted = Forecast { projected: projected.parse().unwrap(), crosses };
            assert_eq!(course.forecast(), wanted, "{course:?}");
        }
    }

    proptest! {
        /// At the crossing the limit is reached, and a moment before it is not.
        #[test]
        fn the_crossing_is_the_first_moment_at_the_limit(
            spent in 0_i64..5_000_000_000, rate in 0_i64..100_000_000_000, limit in 0_i64..5_000_000_000,
        ) {
            let (spent, limit) = (Money::from_micros(spent), Money::from_micros(limit));
            let rate = Rate::from_micros_per_hour(rate);
            let course = Course { spent, rate, limit, now: at(0), period_end: at(86_400) };
            let forecast = course.forecast();
            prop_assert!(forecast.projected >= spent);
            match forecast.crosses {
                None => prop_assert!(forecast.projected <= limit),
                Some(crosses) => {
                    prop_assert!(spent + rate.cost_between(course.now, crosses) >= limit);
                    let before = crosses - SignedDuration::from_millis(1);
                    prop_assert!(crosses == course.now || spent + rate.cost_between(course.now, before) < limit);
                }
            }
        }
    }
}

//! The periods of budgets: a day or a month from midnight to midnight in a time zone, whatever the clocks do there, or
//! the last so long.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::model::ledger::{AccountMoney, SLOT};
use crate::model::money::Money;
use crate::model::settings::{Budget, Per, Period};

/// A period as two instants: it holds `start`, and ends just before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// The period of a budget at `now`. A rolling one goes from `now` as far ahead as it reaches back.
#[must_use]
pub fn bounds_of(per: Per, zone: &TimeZone, now: Timestamp) -> Bounds {
    match per {
        Per::Calendar(period) => bounds(period, zone, now),
        Per::Rolling(span) => {
            let start = now.saturating_sub(span).unwrap_or(Timestamp::MIN).as_second();
            let slot = SLOT.as_secs();
            let start = Timestamp::from_second(start.div_euclid(slot) * slot).unwrap_or(Timestamp::MIN);
            Bounds { start, end: now.saturating_add(span).unwrap_or(Timestamp::MAX) }
        }
    }
}

/// The periods of several budgets at one instant.
#[derive(Debug, Clone)]
pub struct Windows {
    bounds: Vec<Bounds>,
    starts: Vec<Timestamp>,
}

impl Windows {
    #[must_use]
    pub fn new<'b>(budgets: impl IntoIterator<Item = &'b Budget>, zone: &TimeZone, now: Timestamp) -> Self {
        let mut calendar = Period::ALL.map(|_| None);
        let mut of = |per: Per| match (per, calendar.get_mut(per.place())) {
            (Per::Calendar(_), Some(known)) => *known.get_or_insert_with(|| bounds_of(per, zone, now)),
            _ => bounds_of(per, zone, now),
        };
        let bounds: Vec<Bounds> = budgets.into_iter().map(|budget| of(budget.per)).collect();
        let mut starts: Vec<Timestamp> = bounds.iter().map(|bounds| bounds.start).collect();
        starts.sort_unstable();
        starts.dedup();
        Self { bounds, starts }
    }

    /// Where each begins, each instant once.
    #[must_use]
    pub fn starts(&self) -> &[Timestamp] {
        &self.starts
    }

    /// Those of the budgets, in their order.
    #[must_use]
    pub fn bounds(&self) -> &[Bounds] {
        &self.bounds
    }

    /// Spent in a period, of what was spent since each of [`Self::starts`].
    #[must_use]
    pub fn spent(&self, bounds: Bounds, money: &AccountMoney) -> Money {
        let place = self.starts.binary_search(&bounds.start).ok();
        place.and_then(|place| money.spent.get(place)).copied().unwrap_or_default()
    }
}

/// The period that holds `now`. Where the clocks skip midnight, the day begins with its first instant.
#[must_use]
pub fn bounds(period: Period, zone: &TimeZone, now: Timestamp) -> Bounds {
    let here = now.to_zoned(zone.clone());
    // Only within a month of the first and last instant that can be written is there no period: nothing is in it.
    read(period, &here).unwrap_or(Bounds { start: now, end: now })
}

fn read(period: Period, here: &Zoned) -> Option<Bounds> {
    let (first, next) = match period {
        Period::Hour => {
            // Whole hours of the clock on the wall; where clocks go by halves, some hours are cut.
            let within = SignedDuration::from_mins(here.minute().into()) + seconds_of(here);
            let start = here.timestamp().checked_sub(within).ok()?;
            return Some(Bounds { start, end: start.checked_add(1.hour()).ok()? });
        }
        Period::Day => (here.clone(), here.checked_add(1.day())),
        Period::Week => {
            let monday = here.checked_sub(i64::from(here.weekday().to_monday_zero_offset()).days());
            (monday.clone().ok()?, monday.and_then(|monday| monday.checked_add(1.week())))
        }
        Period::Month => {
            (here.first_of_month().ok()?, here.first_of_month().and_then(|first| first.checked_add(1.month())))
        }
    };
    let (start, end) = (first.start_of_day().ok()?, next.ok()?.start_of_day().ok()?);
    Some(Bounds { start: start.timestamp(), end: end.timestamp() })
}

fn seconds_of(here: &Zoned) -> SignedDuration {
    SignedDuration::new(here.second().into(), here.subsec_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_and_months_begin_at_the_zone_s_midnight() {
        for (zone, now, period, start, end) in [
            ("UTC", "2026-11-02T08:00:00Z", Period::Day, "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"),
            ("UTC", "2026-11-02T00:00:00Z", Period::Day, "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"),
            ("UTC", "2026-11-01T23:59:59.999Z", Period::Day, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            ("UTC", "2028-02-29T12:00:00Z", Period::Month, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("UTC", "2026-12-31T23:00:00Z", Period::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            // Spring: 23 hours.
            ("Europe/Berlin", "2026-03-29T10:00:00Z", Period::Day, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            // Autumn: 25 hours, and the hour that comes twice is in the same day both times.
            ("Europe/Berlin", "2026-10-25T00:30:00Z", Period::Day, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("Europe/Berlin", "2026-10-25T01:30:00Z", Period::Day, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("Europe/Berlin", "2026-03-31T22:30:00Z", Period::Month, "2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"),
            // The clocks go from 23:59:59 to 01:00: the day begins at one.
            ("Africa/Cairo", "2026-04-24T10:00:00Z", Period::Day, "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
            ("UTC", "2026-11-01T23:59:59.999Z", Period::Hour, "2026-11-01T23:00:00Z", "2026-11-02T00:00:00Z"),
            ("Asia/Kathmandu", "2026-11-02T08:20:00Z", Period::Hour, "2026-11-02T08:15:00Z", "2026-11-02T09:15:00Z"),
            // The hour that comes twice is two hours.
            ("Europe/Berlin", "2026-10-25T00:30:00Z", Period::Hour, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T01:30:00Z", Period::Hour, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
            // A Monday, the Sunday before it, and a week with a day of 25 hours.
            ("UTC", "2026-11-02T00:00:00Z", Period::Week, "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"),
            ("UTC", "2026-11-01T23:59:59Z", Period::Week, "2026-10-26T00:00:00Z", "2026-11-02T00:00:00Z"),
            ("Europe/Berlin", "2026-10-24T10:00:00Z", Period::Week, "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("Asia/Kathmandu", "2026-11-02T18:14:59Z", Period::Day, "2026-11-01T18:15:00Z", "2026-11-02T18:15:00Z"),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let found = bounds(period, &zone, now.parse().unwrap());
            assert_eq!((found.start.to_string().as_str(), found.end.to_string().as_str()), (start, end), "{now}");
        }
    }

    #[test]
    fn a_rolling_period_is_never_too_short_and_at_most_a_quarter_of_an_hour_too_long() {
        let (span, zone) = (SignedDuration::from_hours(24), TimeZone::get("Asia/Kathmandu").unwrap());
        for (now, start) in [
            ("2026-11-02T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-02T08:14:59.9Z", "2026-11-01T08:00:00Z"),
            ("2026-11-02T08:15:00Z", "2026-11-01T08:15:00Z"),
        ] {
            let found = bounds_of(Per::Rolling(span), &zone, now.parse().unwrap());
            assert_eq!(
                (found.start.to_string(), found.end.duration_since(now.parse().unwrap())),
                (start.to_owned(), span)
            );
        }
    }

    #[test]
    fn at_the_ends_of_time_there_is_no_period() {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            for period in Period::ALL {
                let found = bounds(period, &TimeZone::UTC, now);
                assert!(found.start <= now && now <= found.end);
            }
        }
    }

    proptest! {
        #[test]
        fn periods_hold_their_instants_and_follow_each_other(
            second in 0_i64..4_102_444_800,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
            period in prop::sample::select(Period::ALL.to_vec()),
        ) {
            let now = Timestamp::from_second(second).unwrap();
            let zone = TimeZone::get(zone).unwrap();
            let found = bounds(period, &zone, now);
            prop_assert!(found.start <= now && now < found.end);
            prop_assert_eq!(found.start.as_second() % SLOT.as_secs(), 0, "the ledger's slots");
            prop_assert_eq!(bounds(period, &zone, found.end).start, found.end);
            prop_assert_eq!(bounds(period, &zone, found.start), found);
        }
    }
}

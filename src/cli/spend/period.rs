//! The time that a report is of.

use std::str::FromStr;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::cli::failure::Failure;
use crate::model::calendar::{self, Bounds};
use crate::model::settings::Period;
use crate::model::span;

/// A period, or from one time to another; by default this month.
#[derive(Debug, Args)]
pub(super) struct Window {
    /// The present `hour`, `day`, `week` or `month`, or another: a month as `2026-10`, a day as `2026-11-02`
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["since", "until"])]
    period: Option<Named>,
    /// From this time on: `2026-11-01` (midnight in the loop's time zone), `2026-11-01T08:00:00Z`, or `7d` ago
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Up to this time, written in the same ways
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// A calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Present(Period),
    Month(Date),
    Day(Date),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const PRESENT: [(&str, Period); 4] =
            [("hour", Period::Hour), ("day", Period::Day), ("week", Period::Week), ("month", Period::Month)];
        if let Some((_, period)) = PRESENT.into_iter().find(|(word, _)| *word == text) {
            return Ok(Self::Present(period));
        }
        let month = || format!("{text}-01").parse().ok().filter(|_| text.len() == "2026-10".len()).map(Self::Month);
        let wrong = || "write `hour`, `day`, `week`, `month`, a month as `2026-10` or a day as `2026-11-02`".to_owned();
        text.parse().ok().map(Self::Day).or_else(month).ok_or_else(wrong)
    }
}

/// An instant, as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    At(Timestamp),
    Midnight(Date),
    Ago(SignedDuration),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it as `2026-11-01`, `2026-11-01T08:00:00Z`, or `7d` for so long ago".to_owned();
        let instant = || text.parse().ok().map(Self::At);
        let date = || text.parse().ok().map(Self::Midnight);
        instant().or_else(date).or_else(|| span::parse(text).ok().map(Self::Ago)).ok_or_else(wrong)
    }
}

impl Moment {
    fn instant(self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Midnight(date) => midnight(date, zone),
            Self::Ago(ago) => now.checked_sub(ago).ok(),
        }
    }
}

fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let noon = date.at(12, 0, 0, 0).to_zoned(zone.clone()).ok()?;
    Some(noon.start_of_day().ok()?.timestamp())
}

impl Window {
    /// Whether any was asked for.
    pub(super) fn is_named(&self) -> bool {
        self.period.is_some() || self.since.is_some() || self.until.is_some()
    }

    /// Its two instants. Without `--until` it goes on to the present.
    pub(super) fn bounds(&self, zone: &TimeZone, now: Timestamp) -> Result<Bounds, Failure> {
        let far = || Failure::Usage("that time is too far away".to_owned());
        let found = match self.period {
            Some(Named::Present(period)) => calendar::bounds(period, zone, now),
            Some(Named::Day(date)) => Bounds {
                start: midnight(date, zone).ok_or_else(far)?,
                end: date.checked_add(1.day()).ok().and_then(|next| midnight(next, zone)).ok_or_else(far)?,
            },
            Some(Named::Month(date)) => Bounds {
                start: midnight(date, zone).ok_or_else(far)?,
                end: date.checked_add(1.month()).ok().and_then(|next| midnight(next, zone)).ok_or_else(far)?,
            },
            None if !self.is_named() => calendar::bounds(Period::Month, zone, now),
            None => {
                let at = |moment: Moment| moment.instant(zone, now).ok_or_else(far);
                let end = self.until.map_or(Ok(now), at)?;
                let month = || calendar::bounds(Period::Month, zone, end).start;
                Bounds { start: self.since.map_or_else(|| Ok(month()), at)?, end }
            }
        };
        if found.start < found.end {
            Ok(found)
        } else {
            Err(Failure::Usage(format!("nothing lies between {} and {}", found.start, found.end)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_of_the_time_zone() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now = "2026-11-02T08:00:00Z".parse().unwrap();
        let window = |period: &str, since: &str, until: &str| Window {
            period: Some(period).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()),
            since: Some(since).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()),
            until: Some(until).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()),
        };
        for (period, since, until, start, end) in [
            ("", "", "", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
            ("month", "", "", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
            ("hour", "", "", "2026-11-02T08:00:00Z", "2026-11-02T09:00:00Z"),
            ("2026-10", "", "", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
            ("2026-10-25", "", "", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ("", "2d", "", "2026-10-31T08:00:00Z", "2026-11-02T08:00:00Z"),
            ("", "2026-10-01", "2026-10-08T00:00:00Z", "2026-09-30T22:00:00Z", "2026-10-08T00:00:00Z"),
            ("", "", "2026-10-08", "2026-09-30T22:00:00Z", "2026-10-07T22:00:00Z"),
        ] {
            let found = window(period, since, until).bounds(&zone, now).unwrap();
            let found = (found.start.to_string(), found.end.to_string());
            assert_eq!(found, (start.to_owned(), end.to_owned()), "{period} {since} {until}");
        }
        let backwards = window("", "2026-10-08", "2026-10-01").bounds(&zone, now).unwrap_err();
        assert_eq!(backwards.code(), 2, "{backwards}");
        for text in ["", "year", "2026", "2026-13", "2026-10-32", "10-2026"] {
            assert!(text.parse::<Named>().is_err(), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "7"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}

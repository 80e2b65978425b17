//! Settings that are others at times: `[schedule.night]` with its hours, its days and what it sets. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use crate::model::ids::ScheduleName;
use crate::model::settings::Settings;
use crate::model::settings::fields;
use crate::model::settings::key::{Key, Part};

/// At these times these settings hold in place of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub name: ScheduleName,
    pub days: Days,
    pub from: Time,
    /// Not after `from`: on the next day.
    pub to: Time,
    /// Keys and values, as people write them.
    pub set: BTreeMap<String, String>,
}

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days([bool; 7]);

const WORDS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What days may be, for messages.
pub(super) const GRAMMAR: &str = "days such as `mon-fri`, `sat, sun` or `mon-sun`";

impl Days {
    pub const ALL: Self = Self([true; 7]);

    fn has(self, day: Weekday) -> bool {
        let place = usize::try_from(day.to_monday_zero_offset()).unwrap_or_default();
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// A text that names no days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDays;

impl FromStr for Days {
    type Err = NoDays;

    fn from_str(text: &str) -> Result<Self, NoDays> {
        let place = |word: &str| WORDS.iter().position(|known| *known == word.trim()).ok_or(NoDays);
        let mut days = [false; 7];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (place(first)?, place(last)?);
            // `sat-mon` goes over the end of the week.
            let count = (last + WORDS.len() - first) % WORDS.len();
            for (place, day) in days.iter_mut().enumerate() {
                *day |= (place + WORDS.len() - first) % WORDS.len() <= count;
            }
        }
        Ok(Self(days))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut place = 0;
        while place < WORDS.len() {
            let run = self.0.iter().skip(place).take_while(|day| **day).count();
            let word = |place: usize| WORDS.get(place).copied().unwrap_or_default();
            match run {
                0 => {}
                1 => parts.push(word(place).to_owned()),
                run => parts.push(format!("{}-{}", word(place), word(place + run - 1))),
            }
            place += run.max(1);
        }
        f.write_str(&parts.join(", "))
    }
}

/// Reads `22:00`.
pub(super) fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let whole = hour.len() == 2 && minute.len() == 2;
    let digits = text.bytes().all(|byte| byte == b':' || byte.is_ascii_digit());
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok().filter(|_| whole && digits)
}

impl Schedule {
    /// When it ends, where it holds now.
    #[must_use]
    pub fn until(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let here = now.to_zoned(zone.clone());
        // It began today, or, where it goes over midnight, yesterday.
        let yesterday = here.checked_sub(1.day()).ok();
        [Some(here), yesterday].into_iter().flatten().filter_map(|day| self.of_day(&day)).find_map(|(begins, ends)| {
            let (begins, ends) = (begins.timestamp(), ends.timestamp());
            (begins <= now && now < ends).then_some(ends)
        })
    }

    /// From when to when it holds that begins on a day. Where the clocks skip an hour it begins or ends as much later.
    fn of_day(&self, day: &Zoned) -> Option<(Zoned, Zoned)> {
        if !self.days.has(day.weekday()) {
            return None;
        }
        let zone = day.time_zone();
        let last = if self.to > self.from { day.date() } else { day.date().tomorrow().ok()? };
        let begins = day.date().to_datetime(self.from).to_zoned(zone.clone()).ok()?;
        Some((begins, last.to_datetime(self.to).to_zoned(zone.clone()).ok()?))
    }
}

/// Whether a schedule may set a key: what a launch or a stop is decided by, and at once.
#[must_use]
pub fn may_set(key: &Key) -> bool {
    match key.section.part() {
        Part::Limits | Part::Queue => ["max", "max_gpu", "max_vcpu", "max_hourly"].contains(&key.field.name),
        Part::Pool => ["max", "max_gpu", "max_vcpu", "max_hourly", "min", "keep_alive"].contains(&key.field.name),
        Part::Budget => key.field.name == "limit",
        _ => false,
    }
}

impl Settings {
    /// The schedules that hold now, in the order of the file, and when each ends.
    pub fn schedules_at(&self, now: Timestamp) -> impl Iterator<Item = (&Schedule, Timestamp)> {
        let zone = &self.the_loop.time_zone;
        self.schedules.iter().filter_map(move |schedule| Some((schedule, schedule.until(zone, now)?)))
    }

    /// The settings as they hold now: each schedule sets its keys, a later one over an earlier one.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let mut settings = self.clone();
        for (schedule, _) in self.schedules_at(now) {
            for (key, value) in &schedule.set {
                // Whether it can be set was asked when the settings were read.
                if let Ok(key) = Key::parse(key) {
                    let _ = fields::put(&mut settings, &key, &key.field.kind.written(value));
                }
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(days: &str, from: &str, to: &str) -> Schedule {
        let (days, from, to) = (days.parse().unwrap(), time(from).unwrap(), time(to).unwrap());
        Schedule { name: "night".into(), days, from, to, set: BTreeMap::new() }
    }

    fn until(schedule: &Schedule, zone: &str, now: &str) -> Option<String> {
        schedule.until(&TimeZone::get(zone).unwrap(), now.parse().unwrap()).map(|end| end.to_string())
    }

    #[test]
    fn a_night_goes_over_midnight_and_belongs_to_the_day_on_which_it_begins() {
        let night = schedule("fri", "22:00", "06:00");
        for (now, end) in [
            ("2026-11-06T21:59:59Z", None),
            ("2026-11-06T22:00:00Z", Some("2026-11-07T06:00:00Z")),
            ("2026-11-07T05:59:59Z", Some("2026-11-07T06:00:00Z")),
            ("2026-11-07T06:00:00Z", None),
            ("2026-11-07T22:00:00Z", None),
        ] {
            assert_eq!(until(&night, "UTC", now).as_deref(), end, "{now}");
        }
        let day = schedule("mon-fri", "08:00", "20:00");
        assert_eq!(until(&day, "Europe/Berlin", "2026-11-06T07:00:00Z").as_deref(), Some("2026-11-06T19:00:00Z"));
        let whole = schedule("sat", "00:00", "00:00");
        assert_eq!(until(&whole, "UTC", "2026-11-07T12:00:00Z").as_deref(), Some("2026-11-08T00:00:00Z"));
    }

    #[test]
    fn it_follows_the_clock_on_the_wall_when_the_clocks_change() {
        let night = schedule("mon-sun", "22:00", "06:00");
        // In spring the night has 7 hours, in autumn 9.
        let spring = until(&night, "Europe/Berlin", "2026-03-28T21:00:00Z");
        assert_eq!(spring.as_deref(), Some("2026-03-29T04:00:00Z"));
        let autumn = until(&night, "Europe/Berlin", "2026-10-24T20:00:00Z");
        assert_eq!(autumn.as_deref(), Some("2026-10-25T05:00:00Z"));
        // 02:30 is not there in spring: it begins an hour later, at what would be 02:30.
        let skipped = schedule("mon-sun", "02:30", "04:00");
        assert_eq!(until(&skipped, "Europe/Berlin", "2026-03-29T01:29:59Z"), None);
        let begun = until(&skipped, "Europe/Berlin", "2026-03-29T01:30:00Z");
        assert_eq!(begun.as_deref(), Some("2026-03-29T02:00:00Z"));
    }

    #[test]
    fn days_are_read_and_written() {
        for (text, written) in [
            ("mon-fri", "mon-fri"),
            ("sat,sun", "sat-sun"),
            ("sat-mon", "mon, sat-sun"),
            ("wed", "wed"),
            ("mon-sun", "mon-sun"),
        ] {
            assert_eq!(text.parse::<Days>().unwrap().to_string(), written);
        }
        for bad in ["", "monday", "mon-", "mon,,tue", "-"] {
            assert_eq!(bad.parse::<Days>(), Err(NoDays), "{bad}");
        }
        for bad in ["", "24:00", "7:00", "07:60", "07:00:00", "+7:00", "ab:cd"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_days_or_not(text in ".*") {
            if let Ok(days) = text.parse::<Days>() {
                prop_assert_eq!(days.to_string().parse::<Days>(), Ok(days));
            }
            let _ = time(&text);
        }

        /// It ends after now, and a moment before its end it still holds.
        #[test]
        fn its_end_is_where_it_ends(
            second in 0_i64..4_102_444_800, from in 0_i8..24, to in 0_i8..24,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Africa/Cairo"]),
        ) {
            let (zone, now) = (TimeZone::get(zone).unwrap(), Timestamp::from_second(second).unwrap());
            let (from, to) = (Time::constant(from, 0, 0, 0), Time::constant(to, 30, 0, 0));
            let schedule = Schedule { name: "s".into(), days: Days::ALL, from, to, set: BTreeMap::new() };
            if let Some(end) = schedule.until(&zone, now) {
                prop_assert!(end > now);
                let before = Timestamp::from_second(end.as_second() - 1).unwrap();
                prop_assert!(schedule.until(&zone, before.max(now)).is_some());
            }
        }
    }
}

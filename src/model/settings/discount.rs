//! What a private agreement takes off the list price, and until when: `30%`, `32.5% until 2027-01-01`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::money::Rate;

/// What a discount's text must be.
pub const GRAMMAR: &str =
    "a share of the list price in 0.1%..99.9%, such as `30%`, or one until a day, such as `30% until 2027-01-01`";

const WHOLE: u32 = 1_000;

/// A private discount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// Tenths of a per cent that are taken off.
    pub permille: u32,
    /// It is over when this day begins (UTC).
    pub until: Option<Date>,
}

impl Discount {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now.to_zoned(TimeZone::UTC).date() >= until)
    }

    /// What of a list price is paid; a part of a micro-dollar is not.
    #[must_use]
    pub fn of(self, list: Rate, now: Timestamp) -> Rate {
        if self.is_over(now) {
            return list;
        }
        let paid = i128::from(list.micros_per_hour()) * i128::from(WHOLE - self.permille) / i128::from(WHOLE);
        Rate::from_micros_per_hour(i64::try_from(paid).unwrap_or(i64::MAX))
    }
}

/// The text is no discount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {GRAMMAR}")]
pub struct DiscountError {
    text: String,
}

impl FromStr for Discount {
    type Err = DiscountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (share, until) = match text.split_once(" until ") {
                Some((share, until)) => (share, Some(until.parse().ok()?)),
                None => (text, None),
            };
            let (whole, tenth) = share.strip_suffix('%').map(|share| share.split_once('.').unwrap_or((share, "0")))?;
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if !digits(whole) || !digits(tenth) || tenth.len() != 1 || whole.len() > 2 {
                return None;
            }
            let permille = whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?;
            (1..WHOLE).contains(&permille).then_some(Self { permille, until })
        };
        read().ok_or_else(|| DiscountError { text: text.to_owned() })
    }
}

/// As the file has it.
impl fmt::Display for Discount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.permille / 10, self.permille % 10);
        let tenth = if tenth == 0 { String::new() } else { format!(".{tenth}") };
        write!(f, "{whole}{tenth}%")?;
        self.until.map_or(Ok(()), |until| write!(f, " until {until}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discount_is_taken_off_until_its_day() {
        let list = Rate::from_micros_per_hour(1_006_001);
        for (text, now, paid) in [
            ("30%", "2026-11-02T08:00:00Z", 704_200),
            ("32.5%", "2026-11-02T08:00:00Z", 679_050),
            ("30% until 2027-01-01", "2026-12-31T23:59:59Z", 704_200),
            ("30% until 2027-01-01", "2027-01-01T00:00:00Z", 1_006_001),
        ] {
            let discount: Discount = text.parse().unwrap();
            assert_eq!(discount.of(list, now.parse().unwrap()).micros_per_hour(), paid, "{text} {now}");
            assert_eq!(discount.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "30", "0%", "0.0%", "100%", "-5%", "3.25%", "30%until 2027-01-01", "30% until soon", ".5%", "5.%"]
        {
            assert!(text.parse::<Discount>().is_err(), "{text}");
        }
    }
}

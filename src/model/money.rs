//! Money: integer micro-dollars, and the one formula that turns time into cost.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const MICROS_PER_DOLLAR: i64 = 1_000_000;
const MILLIS_PER_HOUR: i64 = 3_600_000;

/// An amount of money in micro-dollars (1/1,000,000 of a US dollar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Money(i64);

impl Money {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Dollars as a float: for charts and statistics only.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "charts only")]
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / MICROS_PER_DOLLAR as f64
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

/// As people read it: `$18.80`; amounts under a cent keep the digits that matter (`$0.000125`).
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = dollars_text(self.0);
        f.pad(&text)
    }
}

fn dollars_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let per_cent = MICROS_PER_DOLLAR.unsigned_abs() / 100;
    if micros != 0 && micros < per_cent {
        let digits = format!("{micros:06}");
        return format!("{sign}$0.{}", digits.trim_end_matches('0'));
    }
    let cents = (micros + per_cent / 2) / per_cent;
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}

/// Shows an amount to the last micro-dollar, as the settings write it: `$2500`, `$12.50`, `$0.000125`.
#[derive(Debug, Clone, Copy)]
pub struct Exact(pub Money);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&exact_text(self.0.0))
    }
}

/// Shows a price to the last micro-dollar, as the settings write it: `$21.95/h`.
#[derive(Debug, Clone, Copy)]
pub struct ExactRate(pub Rate);

impl fmt::Display for ExactRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/h", exact_text(self.0.0)))
    }
}

fn exact_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (dollars, micros) = (
        micros.unsigned_abs() / MICROS_PER_DOLLAR.unsigned_abs(),
        micros.unsigned_abs() % MICROS_PER_DOLLAR.unsigned_abs(),
    );
    let decimals = format!("{micros:06}");
    match decimals.trim_end_matches('0') {
        "" => format!("{sign}${dollars}"),
        one if one.len() == 1 => format!("{sign}${dollars}.{one}0"),
        some => format!("{sign}${dollars}.{some}"),
    }
}

/// Why a text is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an amount of money: write it as `$12.50`")]
pub struct MoneyError {
    text: String,
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads `$2500`, `$2,500.25` or `12.5` (at most six decimals).
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_micros(text.trim()).map(Self).ok_or_else(|| MoneyError { text: text.to_owned() })
    }
}

fn parse_micros(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = digits.strip_prefix('$').unwrap_or(digits);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.replace(',', "");
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 6 || !all_digits(&whole) || !all_digits(fraction) {
        return None;
    }
    let dollars: i64 = whole.parse().ok()?;
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let total = dollars.checked_mul(MICROS_PER_DOLLAR)?.checked_add(micros)?;
    Some(if negative { -total } else { total })
}

/// A price: micro-dollars for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(i64);

impl Rate {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_micros_per_hour(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn micros_per_hour(self) -> i64 {
        self.0
    }

    /// What `elapsed` costs at this rate: `floor(micro-dollars/h x whole milliseconds / 3,600,000)`;
    /// a negative time costs nothing.
    #[must_use]
    pub fn cost(self, elapsed: SignedDuration) -> Money {
        let millis = elapsed.as_millis().max(0);
        // Division is several times faster on 64 bits, and almost everything fits.
        let narrow = i64::try_from(millis).ok().and_then(|millis| self.0.checked_mul(millis));
        narrow.map_or_else(
            || Money(i64::try_from(i128::from(self.0) * millis / i128::from(MILLIS_PER_HOUR)).unwrap_or(i64::MAX)),
            |product| Money(product / MILLIS_PER_HOUR),
        )
    }

    /// What the time between two instants costs at this rate.
    #[must_use]
    pub fn cost_between(self, start: Timestamp, end: Timestamp) -> Money {
        self.cost(end.duration_since(start))
    }
}

impl Add for Rate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Rate {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl std::ops::Mul<u32> for Rate {
    type Output = Self;
    fn mul(self, count: u32) -> Self {
        Self(self.0.saturating_mul(i64::from(count)))
    }
}

/// As people read it: `$21.95/h`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}/h", dollars_text(self.0));
        f.pad(&text)
    }
}

/// Why a text is not a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a price: write it as `$21.95/h`")]
pub struct RateError {
    text: String,
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads `$21.95/h`; the `/h` is required, so that an amount is never taken for a price.
    fn from_str(text: &str) -> Result<Self, RateError> {
        text.trim()
            .strip_suffix("/h")
            .and_then(|amount| parse_micros(amount.trim_end()))
            .filter(|micros| *micros >= 0)
            .map(Self)
            .ok_or_else(|| RateError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_money_as_people_write_it() {
        for (text, micros, shown) in [
            ("$2500", 2_500_000_000, "$2500.00"),
            ("$2,500.25", 2_500_250_000, "$2500.25"),
            ("0.000125", 125, "$0.000125"),
            ("-$3", -3_000_000, "-$3.00"),
            ("$0", 0, "$0.00"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!(money.micros(), micros, "{text}");
            assert_eq!(money.to_string(), shown, "{text}");
        }
        for text in ["ten dollars", "", "$", "$1.2345678", "$1.2.3", "$-5", "99999999999999999999"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_exact_amount_is_read_back() {
        for (micros, shown) in [
            (0, "$0"),
            (2_500_000_000, "$2500"),
            (12_500_000, "$12.50"),
            (1_234_567, "$1.234567"),
            (-125, "-$0.000125"),
        ] {
            assert_eq!(Exact(Money(micros)).to_string(), shown);
            assert_eq!(shown.parse(), Ok(Money(micros)));
        }
        assert_eq!(ExactRate(Rate(1_006_000)).to_string(), "$1.006/h");
    }

    #[test]
    fn a_rate_needs_its_hour() {
        assert_eq!("$21.95/h".parse::<Rate>().unwrap().to_string(), "$21.95/h");
        for text in ["$21.95", "$21.95/d", "-$1/h", "/h"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn cost_is_floored_to_the_micro_dollar_over_whole_milliseconds() {
        let rate = Rate::from_micros_per_hour(1_006_000);
        assert_eq!(rate.cost(SignedDuration::from_millis(3_600_000)).micros(), 1_006_000);
        assert_eq!(rate.cost(SignedDuration::from_millis(1)).micros(), 0);
        assert_eq!(rate.cost(SignedDuration::from_micros(4_999)).micros(), 1);
        assert_eq!(rate.cost(SignedDuration::from_secs(-5)).micros(), 0);
        // A product that does not fit 64 bits, and an amount that does not.
        let dear = Rate::from_micros_per_hour(9_000_000_000_001);
        assert_eq!(dear.cost(SignedDuration::from_hours(1_000)).micros(), 9_000_000_000_001_000);
        assert_eq!(dear.cost(SignedDuration::from_hours(2_000_000)), Money::MAX);
    }
}

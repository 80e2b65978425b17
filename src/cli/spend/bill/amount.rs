//! Amounts as bills write them: decimals with more places than a micro-dollar has, some with an exponent.

use crate::model::money::Money;

/// Bills have ten places and more; their sums are kept to twelve and rounded once.
const PLACES: i32 = 12;
const PICOS_PER_MICRO: i128 = 1_000_000;

/// Ten to the twelfth of a currency's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Picos(i128);

impl Picos {
    pub(super) const ONE: Self = Self(1_000_000_000_000);

    /// Reads `0.0104000000`, `-1.5E-4`; further places are cut off. `None`: it is no number, or none of this world.
    pub(super) fn read(text: &str) -> Option<Self> {
        const MOST: u32 = 24;
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = match digits.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i16>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let shift = PLACES + i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
        if shift < 0 {
            let kept = all.len().saturating_sub(usize::try_from(shift.unsigned_abs()).ok()?);
            all.truncate(kept);
        }
        let all = all.trim_start_matches('0');
        let value: i128 = if all.is_empty() { 0 } else { all.parse().ok()? };
        let shift = if value == 0 { 0 } else { u32::try_from(shift.max(0)).ok().filter(|shift| *shift <= MOST)? };
        let value = value.checked_mul(10_i128.checked_pow(shift)?)?;
        // Nobody owes more than a 64-bit number of micro-dollars.
        let fits = value / PICOS_PER_MICRO <= i128::from(i64::MAX);
        fits.then_some(Self(if negative { -value } else { value }))
    }

    pub(super) fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(super) fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// This amount of a currency of which `per_dollar` make a dollar, in dollars.
    pub(super) fn in_dollars(self, per_dollar: Self) -> Option<Self> {
        Some(Self(self.0.checked_mul(Self::ONE.0)? / per_dollar.0))
    }

    /// To the nearest micro-dollar.
    pub(super) fn money(self) -> Money {
        let half = PICOS_PER_MICRO / 2;
        let micros = (self.0 + if self.0 < 0 { -half } else { half }) / PICOS_PER_MICRO;
        Money::from_micros(i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl std::ops::AddAssign for Picos {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, micros) in [
            ("1.0060000000", 1_006_000),
            ("0.0000005", 1),
            ("0.0000004999", 0),
            ("-0.25", -250_000),
            ("1.5E-4", 150),
            ("2e3", 2_000_000_000),
            ("0E-10", 0),
            ("0e300", 0),
            ("0.00000000000000000012345", 0),
            ("1e-30000", 0),
            (".5", 500_000),
            ("7.", 7_000_000),
        ] {
            assert_eq!(Picos::read(text).map(|picos| picos.money().micros()), Some(micros), "{text}");
        }
        for text in ["", "-", ".", "1,5", "$1", "1.2.3", "--1", "1e", "1e300", "nan", "1 000", "9999999999999999999"] {
            assert_eq!(Picos::read(text), None, "{text}");
        }
    }

    #[test]
    fn another_currency_is_turned_into_dollars() {
        let euros = Picos::read("92").unwrap();
        assert_eq!(euros.in_dollars(Picos::read("0.92").unwrap()).unwrap().money().micros(), 100_000_000);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9.eE]{0,30}|.*") {
            let _ = Picos::read(&text);
        }

        #[test]
        fn what_is_written_with_twelve_places_is_read_back(value in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
            let text = format!("{sign}{}.{:012}", size / 1_000_000_000_000, size % 1_000_000_000_000);
            prop_assert_eq!(Picos::read(&text), Some(Picos(i128::from(value))));
        }
    }
}

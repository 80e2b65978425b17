//! The most that a spot machine may cost: a share of the on-demand price, or a price.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::money::{self, Rate};

/// What a cap's text must be.
pub const GRAMMAR: &str =
    "a share of the on-demand price in 1%..100%, such as `70%`, or a price above $0/h, such as `$0.50/h`";

/// The most that a spot machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotCap {
    /// Per cent of the on-demand price of the same type.
    Share(u32),
    Price(Rate),
}

impl SpotCap {
    /// The cap in money; `None`: it is a share of a price that is not known.
    #[must_use]
    pub fn rate(self, on_demand: Option<Rate>) -> Option<Rate> {
        match self {
            Self::Price(rate) => Some(rate),
            Self::Share(percent) => {
                let whole = i128::from(on_demand?.micros_per_hour());
                i64::try_from(whole * i128::from(percent) / 100).ok().map(Rate::from_micros_per_hour)
            }
        }
    }
}

/// The text is no cap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {GRAMMAR}")]
pub struct CapError {
    text: String,
}

impl FromStr for SpotCap {
    type Err = CapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = |percent: &str| percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Share);
        let price = || text.parse().ok().filter(|rate| *rate > Rate::ZERO).map(Self::Price);
        let cap = match text.strip_suffix('%') {
            Some(percent) => share(percent),
            None => price(),
        };
        cap.ok_or_else(|| CapError { text: text.to_owned() })
    }
}

/// As the file has it.
impl fmt::Display for SpotCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Price(rate) => write!(f, "{}", money::ExactRate(*rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_a_share_or_a_price() {
        let on_demand = Some(Rate::from_micros_per_hour(1_006_000));
        for (text, rate) in [("70%", 704_200), ("100%", 1_006_000), ("1%", 10_060), ("$0.50/h", 500_000)] {
            let cap: SpotCap = text.parse().unwrap();
            assert_eq!(cap.rate(on_demand), Some(Rate::from_micros_per_hour(rate)), "{text}");
            assert_eq!(cap.to_string().parse::<SpotCap>().unwrap(), cap);
        }
        assert_eq!(SpotCap::Share(70).rate(None), None);
        assert!(SpotCap::Price(Rate::from_micros_per_hour(1)).rate(None).is_some());
        for text in ["", "0%", "101%", "70 %", "$0/h", "-$1/h", "0.5", "half"] {
            assert!(text.parse::<SpotCap>().is_err(), "{text}");
        }
    }
}

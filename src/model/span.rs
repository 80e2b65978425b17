//! Durations as people write and read them: `90s`, `10m`, `1h30m`, `3d`.

use std::fmt::{self, Write};

use jiff::SignedDuration;

const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: write it as `90s`, `10m`, `1h30m` or `3d`")]
pub struct SpanError {
    text: String,
}

/// Reads `90s`, `10m`, `1h30m`, `3d`: whole numbers, each with its unit, the largest first.
///
/// # Errors
/// The text is none of these.
pub fn parse(text: &str) -> Result<SignedDuration, SpanError> {
    read(text.trim()).ok_or_else(|| SpanError { text: text.to_owned() })
}

fn read(mut text: &str) -> Option<SignedDuration> {
    let mut seconds: i64 = 0;
    let mut units = UNITS.iter();
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
        let number: i64 = text.get(..digits)?.parse().ok()?;
        let letter = text.get(digits..)?.chars().next()?;
        let (_, factor) = units.find(|(unit, _)| *unit == letter)?;
        seconds = seconds.checked_add(number.checked_mul(*factor)?)?;
        text = text.get(digits + letter.len_utf8()..)?;
    }
    Some(SignedDuration::from_secs(seconds))
}

/// Shows a duration by its two largest units (`12m03`, `3h10`, `41s`, `2d04h`); parts of a second are dropped.
#[derive(Debug, Clone, Copy)]
pub struct Short(pub SignedDuration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs().max(0);
        let text = match seconds {
            0..60 => format!("{seconds}s"),
            60..3_600 => format!("{}m{:02}", seconds / 60, seconds % 60),
            3_600..86_400 => format!("{}h{:02}", seconds / 3_600, seconds % 3_600 / 60),
            _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
        };
        f.pad(&text)
    }
}

/// Shows a duration exactly, as the settings write it: `1h30m`; `0s` for none.
#[derive(Debug, Clone, Copy)]
pub struct Exact(pub SignedDuration);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs().max(0);
        if rest == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        for (letter, factor) in UNITS {
            if rest >= factor {
                write!(text, "{}{letter}", rest / factor)?;
                rest %= factor;
            }
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("3d", 259_200), ("0s", 0), ("1d2h3m4s", 93_784)]
        {
            assert_eq!(parse(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "10", "m", "1m1h", "1x", "1.5h", "-1h", "99999999999999999999d", "1h 30m", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_the_two_largest_units() {
        for (seconds, shown) in [(41, "41s"), (723, "12m03"), (11_400, "3h10"), (187_200, "2d04h"), (-5, "0s")] {
            assert_eq!(Short(SignedDuration::from_secs(seconds)).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn exact_is_read_back(seconds in 0_i64..10_000_000) {
            let span = SignedDuration::from_secs(seconds);
            prop_assert_eq!(parse(&Exact(span).to_string()).unwrap(), span);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text);
        }
    }
}

//! What a budget does at parts of its limit: `at = { "80%" = "warn", "100%" = "stop-launching" }`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::money::Money;
use crate::model::span;

/// What a step may be, for messages.
pub(super) const GRAMMAR: &str = "`warn`, `cheapest-only`, `stop-launching`, `stop-idle`, `drain`, or `kill after` and a duration, such as `kill after 30m`";

/// The longest grace.
const MOST_GRACE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is done, from the mildest on; each but `cheapest-only` holds what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It is said.
    Warn,
    /// Machines are launched in spot pools only, or in the cheapest pool of a queue that has none.
    CheapestOnly,
    /// No machine is launched.
    StopLaunching,
    /// Machines that no task needs are drained at once, whatever their pool's keep-alive and minimum.
    StopIdle,
    /// Every machine finishes its task and takes no more.
    Drain,
    /// So long after their drain was ordered, the tasks that still run write what they have and go back to their queues;
    /// a machine where that takes over [`CHECKPOINT_TAKES`] is ended with its task.
    Kill { after: SignedDuration },
}

/// How long a machine has, once a `kill` step's grace is over, to have its tasks write what they have: its guard hears of
/// it within a minute, and an abort callback has two.
pub const CHECKPOINT_TAKES: SignedDuration = SignedDuration::from_mins(5);

impl fmt::Display for Step {
    /// As the settings write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warn => f.write_str("warn"),
            Self::CheapestOnly => f.write_str("cheapest-only"),
            Self::StopLaunching => f.write_str("stop-launching"),
            Self::StopIdle => f.write_str("stop-idle"),
            Self::Drain => f.write_str("drain"),
            Self::Kill { after } => write!(f, "kill after {}", span::Exact(*after)),
        }
    }
}

/// A text that is no step, or no part of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRung;

impl FromStr for Step {
    type Err = NoRung;

    fn from_str(text: &str) -> Result<Self, NoRung> {
        Ok(match text {
            "warn" => Self::Warn,
            "cheapest-only" => Self::CheapestOnly,
            "stop-launching" => Self::StopLaunching,
            "stop-idle" => Self::StopIdle,
            "drain" => Self::Drain,
            text => {
                let span = text.strip_prefix("kill after ").ok_or(NoRung)?;
                let after = span::parse(span).map_err(|_| NoRung)?;
                if after > MOST_GRACE {
                    return Err(NoRung);
                }
                Self::Kill { after }
            }
        })
    }
}

/// Where a step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Of the limit, spent; 1 to 1000.
    pub percent: u32,
    pub step: Step,
}

impl Rung {
    /// What is spent there.
    #[must_use]
    pub fn amount(&self, limit: Money) -> Money {
        let amount = i128::from(limit.micros()) * i128::from(self.percent) / 100;
        Money::from_micros(i64::try_from(amount).unwrap_or(i64::MAX))
    }
}

/// A budget's steps, the first at the smallest part of its limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ladder(Vec<Rung>);

impl Ladder {
    /// From what the settings say; `None`: a part or a step is none.
    #[must_use]
    pub fn read(entries: &BTreeMap<String, String>) -> Option<Self> {
        let rung = |(part, step): (&String, &String)| Some(Rung { percent: percent(part)?, step: step.parse().ok()? });
        let mut rungs = entries.iter().map(rung).collect::<Option<Vec<_>>>()?;
        rungs.sort_unstable_by_key(|rung| rung.percent);
        let once = rungs.windows(2).all(|pair| matches!(pair, [a, b] if a.percent < b.percent));
        once.then_some(Self(rungs))
    }

    /// As the settings say it.
    #[must_use]
    pub fn write(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|rung| (format!("{}%", rung.percent), rung.step.to_string())).collect()
    }

    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        &self.0
    }

    /// The furthest step that a sum has reached, and where it stands.
    #[must_use]
    pub fn reached(&self, spent: Money, limit: Money) -> Option<Rung> {
        let reached = self.0.iter().filter(|rung| spent >= rung.amount(limit));
        reached.copied().max_by_key(|rung| rung.step)
    }

    /// The next step that it has not reached, and where.
    #[must_use]
    pub fn next(&self, spent: Money, limit: Money) -> Option<Rung> {
        self.0.iter().copied().find(|rung| spent < rung.amount(limit))
    }
}

/// Reads `80%`.
pub(super) fn percent(text: &str) -> Option<u32> {
    let percent = text.strip_suffix('%').filter(|digits| !digits.starts_with(['0', '+']))?.parse().ok()?;
    (1..=1_000).contains(&percent).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ladder(rungs: &[(&str, &str)]) -> Option<Ladder> {
        Ladder::read(&rungs.iter().map(|(part, step)| ((*part).to_owned(), (*step).to_owned())).collect())
    }

    #[test]
    fn the_furthest_step_reached_holds() {
        let ladder = ladder(&[
            ("100%", "stop-launching"),
            ("80%", "warn"),
            ("90%", "cheapest-only"),
            ("120%", "kill after 30m"),
        ]);
        let ladder = ladder.unwrap();
        for (spent, reached, next) in [
            ("$7.99", None, Some(Step::Warn)),
            ("$8", Some(Step::Warn), Some(Step::CheapestOnly)),
            ("$9.50", Some(Step::CheapestOnly), Some(Step::StopLaunching)),
            ("$11", Some(Step::StopLaunching), Some(Step::Kill { after: SignedDuration::from_mins(30) })),
            ("$12", Some(Step::Kill { after: SignedDuration::from_mins(30) }), None),
        ] {
            let (spent, limit): (Money, Money) = (spent.parse().unwrap(), "$10".parse().unwrap());
            let step = |rung: Option<Rung>| rung.map(|rung| rung.step);
            assert_eq!(
                (step(ladder.reached(spent, limit)), step(ladder.next(spent, limit))),
                (reached, next),
                "{spent}"
            );
        }
    }

    #[test]
    fn what_is_no_step_or_no_part_is_refused() {
        for bad in [
            ("80", "warn"),
            ("0%", "warn"),
            ("080%", "warn"),
            ("+8%", "warn"),
            ("1001%", "warn"),
            ("80%", "stop"),
            ("80%", "kill"),
            ("80%", "kill after soon"),
            ("80%", "kill after 8d"),
            ("", ""),
        ] {
            assert_eq!(ladder(&[bad]), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_written_again(part in ".*", step in ".*") {
            if let Some(read) = ladder(&[(&part, &step)]) {
                prop_assert_eq!(Ladder::read(&read.write()), Some(read));
            }
        }
    }
}

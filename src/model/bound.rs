//! How far a budget can be passed by what runs already (invariant 2): nobody knows how long a task takes, so each
//! machine counts at its rate to the last instant at which something ends it. Pure.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::money::{Money, Rate};
use crate::model::settings::ladder::CHECKPOINT_TAKES;

/// A machine's own clock begins with its boot, minutes after its launch, and its bill ends a little after it does.
const AFTER_LIFE: SignedDuration = SignedDuration::from_mins(15);

/// From a step's threshold to its order two looks may pass, and from the end of the grace to the end of the bill.
const AFTER_GRACE: SignedDuration = SignedDuration::from_mins(5);

/// A bill is rounded down once, and so is each part of it here.
const ROUNDING: Money = Money::from_micros(1);

/// What ends a budget's spending at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// Each machine's `max_life`.
    MaxLife,
    /// The budget's own `kill` step.
    Kill,
    /// The period.
    Period,
}

impl Ends {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::MaxLife => "the machines' max_life",
            Self::Kill => "its kill step",
            Self::Period => "the end of its period",
        }
    }
}

/// The most that a period can come to with what is up or on its way now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub most: Money,
    pub by: Ends,
}

/// A machine that may be charged to the budget, or the intent of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runner {
    pub rate: Rate,
    /// When it may have begun to live, at the latest.
    pub launched: Timestamp,
    /// From when on it is not in what is spent; of an intent since it was opened: its machine may run unseen.
    pub unbilled: Timestamp,
    /// `None`: nothing on it ends it.
    pub max_life: Option<SignedDuration>,
    /// Whether a drain reaches it, and so a `kill` step.
    pub obeys: bool,
}

/// What a bound is made of.
#[derive(Debug, Clone)]
pub struct Exposure<'r> {
    /// In the period, up to `now`.
    pub spent: Money,
    pub runners: &'r [Runner],
    /// What is spent where the `kill` step stands, and its grace.
    pub kill: Option<(Money, SignedDuration)>,
    /// `None`: the period has no end.
    pub period_end: Option<Timestamp>,
    pub now: Timestamp,
}

impl Exposure<'_> {
    /// `None`: nothing bounds it.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        let by_kill = self.by_kill().map(|most| Bound { most, by: Ends::Kill });
        [self.by_ends(), by_kill].into_iter().flatten().min_by_key(|bound| bound.most)
    }

    /// Each runner to its own end or the period's, whichever is first.
    fn by_ends(&self) -> Option<Bound> {
        let (mut most, mut by) = (self.spent, if self.runners.is_empty() { Ends::MaxLife } else { Ends::Period });
        for runner in self.runners {
            let life = ends(runner);
            let end = [life, self.period_end].into_iter().flatten().min()?;
            if life == Some(end) {
                by = Ends::MaxLife;
            }
            most += runner.rate.cost_between(runner.unbilled.min(self.now), end.max(self.now)) + ROUNDING;
        }
        Some(Bound { most, by })
    }

    fn by_kill(&self) -> Option<Money> {
        let (at, grace) = self.kill.filter(|_| self.runners.iter().all(|runner| runner.obeys))?;
        let rate: Rate = self.runners.iter().map(|runner| runner.rate).sum();
        let unseen = |runner: &Runner| runner.rate.cost_between(runner.unbilled.min(self.now), self.now) + ROUNDING;
        let unseen: Money = self.runners.iter().map(unseen).sum();
        let ends = grace.saturating_add(CHECKPOINT_TAKES).saturating_add(AFTER_GRACE);
        Some(self.spent.max(at) + unseen + rate.cost(ends))
    }
}

fn ends(runner: &Runner) -> Option<Timestamp> {
    runner.max_life.map(|max_life| billed_until(runner.launched, max_life))
}

/// When the bill of a machine ends at the latest that was launched then and that its own clock ends.
#[must_use]
pub fn billed_until(launched: Timestamp, max_life: SignedDuration) -> Timestamp {
    launched.saturating_add(max_life.saturating_add(AFTER_LIFE)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_793_577_600 + hour * 3_600).unwrap()
    }

    fn runner(hours: Option<i64>) -> Runner {
        let max_life = hours.map(|hours| SignedDuration::from_hours(hours) - AFTER_LIFE);
        Runner { rate: Rate::from_micros_per_hour(2_000_000), launched: at(-1), unbilled: at(0), max_life, obeys: true }
    }

    fn bound(runners: &[Runner], kill: Option<(&str, i64)>, period_hours: Option<i64>) -> Option<(String, Ends)> {
        let kill = kill.map(|(at, hours)| {
            (at.parse().unwrap(), SignedDuration::from_hours(hours) - CHECKPOINT_TAKES - AFTER_GRACE)
        });
        let spent = "$10".parse().unwrap();
        let exposure = Exposure { spent, runners, kill, period_end: period_hours.map(at), now: at(0) };
        exposure.bound().map(|bound| (bound.most.to_string(), bound.by))
    }

    #[test]
    fn what_ends_first_bounds() {
        let told = |most: &str, by| Some((most.to_owned(), by));
        let (short, long, endless) = (runner(Some(3)), runner(Some(11)), runner(None));
        assert_eq!(bound(&[], None, None), told("$10.00", Ends::MaxLife), "nothing runs");
        assert_eq!(bound(&[short, long], None, None), told("$34.00", Ends::MaxLife), "2 h and 10 h at $2/h");
        assert_eq!(bound(&[short, long], None, Some(5)), told("$24.00", Ends::MaxLife), "2 h and the period's 5 h");
        assert_eq!(bound(&[long, long], None, Some(5)), told("$30.00", Ends::Period));
        assert_eq!(bound(&[short, endless], None, Some(5)), told("$24.00", Ends::MaxLife));
        assert_eq!(bound(&[short, endless], None, None), None, "nothing bounds it");
        assert_eq!(
            bound(&[short, endless], Some(("$12", 1)), None),
            told("$16.00", Ends::Kill),
            "$12, and an hour at $4/h"
        );
        assert_eq!(bound(&[short, endless], Some(("$8", 1)), None), told("$14.00", Ends::Kill), "it is past its step");
        let unseen = Runner { unbilled: at(-2), ..short };
        assert_eq!(
            bound(&[unseen], None, None),
            told("$18.00", Ends::MaxLife),
            "2 h, and 2 h in which it may have run unseen"
        );
        let deaf = Runner { obeys: false, ..endless };
        assert_eq!(bound(&[short, deaf], Some(("$12", 1)), None), None, "no drain reaches it");
    }
}

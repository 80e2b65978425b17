//! What it costs to work off a queue: its waiting tasks, each as long as past ones were. Pure.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::model::money::{Money, Rate};

/// Fewer past durations say nothing.
const FEW: usize = 3;

/// Eight of ten values of a normal distribution lie within so many standard deviations.
const EIGHT_OF_TEN: f64 = 1.2816;

/// The money that a queue's waiting tasks will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToClear {
    /// With `high`, 8 of 10 outcomes, if the tasks are like the past ones.
    pub low: Money,
    pub likely: Money,
    pub high: Money,
    /// So many past durations it is made of; 0: of `expected_task` alone, between half and twice of it.
    pub samples: usize,
}

/// What is to be worked off, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Backlog<'s> {
    pub tasks: u32,
    /// Machines that have yet to boot for them.
    pub boots: u32,
    pub boot: SignedDuration,
    /// Of one machine.
    pub rate: Rate,
    /// Tasks that it runs at a time.
    pub each: u32,
    /// How long past tasks took.
    pub past: &'s [SignedDuration],
    /// How long one takes, where too few are known.
    pub expected: SignedDuration,
}

impl Backlog<'_> {
    /// The sum of so many durations has their mean and spreads with the root of their number (central limit theorem).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub fn to_clear(&self) -> ToClear {
        let known = self.past.len() >= FEW;
        let tasks = f64::from(self.tasks);
        let (low, likely, high) = if known {
            let count = self.past.len() as f64;
            let mean = self.past.iter().map(SignedDuration::as_secs_f64).sum::<f64>() / count;
            let square = |duration: &SignedDuration| (duration.as_secs_f64() - mean).powi(2);
            let deviation = (self.past.iter().map(square).sum::<f64>() / count).sqrt();
            let shortest = self.past.iter().map(SignedDuration::as_secs_f64).fold(f64::INFINITY, f64::min);
            let spread = EIGHT_OF_TEN * deviation * tasks.sqrt();
            let likely = mean * tasks;
            ((likely - spread).max(shortest * tasks), likely, likely + spread)
        } else {
            let likely = self.expected.as_secs_f64() * tasks;
            (likely / 2.0, likely, likely * 2.0)
        };
        let boots = self.rate.cost(self.boot.saturating_mul(i32::try_from(self.boots).unwrap_or(i32::MAX)));
        let cost = |seconds: f64| {
            let machine_time = SignedDuration::try_from_secs_f64(seconds / f64::from(self.each.max(1)));
            self.rate.cost(machine_time.unwrap_or(SignedDuration::MAX)) + boots
        };
        let samples = if known { self.past.len() } else { 0 };
        ToClear { low: cost(low), likely: cost(likely), high: cost(high), samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(past: &[SignedDuration]) -> Backlog<'_> {
        Backlog {
            tasks: 4,
            boots: 2,
            boot: SignedDuration::from_mins(6),
            rate: Rate::from_micros_per_hour(10_000_000),
            each: 1,
            past,
            expected: SignedDuration::from_hours(1),
        }
    }

    fn told(backlog: Backlog<'_>) -> [String; 3] {
        let ToClear { low, likely, high, .. } = backlog.to_clear();
        [low, likely, high].map(|money| money.to_string())
    }

    #[test]
    fn tasks_are_as_long_as_past_ones_and_machines_boot_for_them() {
        let even = [SignedDuration::from_mins(30); 3];
        assert_eq!(told(backlog(&even)), ["$22.00", "$22.00", "$22.00"], "2 h of tasks and 12 minutes of boots");
        assert_eq!(
            told(backlog(&[])),
            ["$22.00", "$42.00", "$82.00"],
            "between half and twice of the hour that is expected"
        );
        let uneven = [10, 20, 30, 60].map(SignedDuration::from_mins);
        // Mean 30 minutes, deviation 18.7: four of them spread by 48 minutes, less two seconds.
        assert_eq!(told(backlog(&uneven)), ["$14.01", "$22.00", "$29.99"]);
        assert_eq!(told(Backlog { each: 2, ..backlog(&even) }), ["$12.00", "$12.00", "$12.00"], "two at a time");
        assert_eq!(backlog(&even[..2]).to_clear().samples, 0);
    }
}

//! Weeks that nobody lived through: for tests, for trying things out, and to see whether what was learned from real ones
//! holds where rates and lengths are others.

use super::trace::{Job, Millis, Trace, TraceQueue};
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::Spread;

const HOUR: Millis = 3_600_000;
const WEEK: Millis = 168 * HOUR;

/// How the jobs of one queue come and how long they take.
#[derive(Debug, Clone, PartialEq)]
pub struct Habit {
    pub gpus: u32,
    /// Single jobs in an hour of the day; at night a third of them.
    pub per_hour: f64,
    /// Sweeps in an hour: many jobs within minutes.
    pub sweeps_per_hour: f64,
    pub sweep: (u32, u32),
    pub takes: Spread,
}

/// The kinds of week, by name.
#[must_use]
pub fn kinds() -> Vec<(&'static str, Vec<Habit>)> {
    let habit = |gpus, per_hour, sweeps_per_hour, sweep, minutes: i64, sigma| Habit {
        gpus,
        per_hour,
        sweeps_per_hour,
        sweep,
        takes: Spread::new(minutes * 60_000, sigma),
    };
    vec![
        ("even", vec![habit(1, 12.0, 0.0, (0, 0), 6, 1.2), habit(4, 2.0, 0.0, (0, 0), 25, 1.0)]),
        ("sweeps", vec![habit(1, 1.0, 0.25, (15, 60), 12, 1.0), habit(4, 0.3, 0.02, (4, 12), 40, 0.8)]),
        ("rare", vec![habit(1, 0.3, 0.0, (0, 0), 90, 1.5), habit(8, 0.15, 0.0, (0, 0), 120, 1.0)]),
        ("short", vec![habit(1, 30.0, 0.1, (5, 20), 1, 0.8), habit(4, 6.0, 0.0, (0, 0), 3, 1.0)]),
    ]
}

/// The week of a seed in which jobs come by these habits.
#[must_use]
pub fn week(name: &str, habits: &[Habit], seed: u64) -> Trace {
    let mut jobs = Vec::new();
    let mut queues = Vec::new();
    for (queue, habit) in habits.iter().enumerate() {
        queues.push(TraceQueue { name: format!("{name}-g{}", habit.gpus), gpus: habit.gpus });
        let mut dice = Dice::new(seed, &format!("{name} {queue}"), 0);
        let mut submit = |submitted: Millis, dice: &mut Dice| {
            let duration = dice.spread(&habit.takes).clamp(1_000, 48 * HOUR);
            jobs.push(Job { submitted, duration, queue, user: 0, project: None });
        };
        let mut at = 0;
        while let Some(gap) = dice.hazard(habit.per_hour) {
            at += gap;
            if at >= WEEK {
                break;
            }
            if is_day(at) || dice.chance(1.0 / 3.0) {
                submit(at, &mut dice);
            }
        }
        let mut at = 0;
        while let Some(gap) = dice.hazard(habit.sweeps_per_hour) {
            at += gap;
            if at >= WEEK {
                break;
            }
            let mut next = at;
            for _ in 0..dice.between(habit.sweep.0, habit.sweep.1) {
                submit(next, &mut dice);
                next += Millis::from(dice.between(500, 8_000));
            }
        }
    }
    jobs.sort_by_key(|job| (job.submitted, job.queue));
    Trace { name: name.to_owned(), queues, users: vec![String::new()], projects: Vec::new(), jobs }
}

fn is_day(at: Millis) -> bool {
    (8..20).contains(&(at / HOUR % 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_week_and_another_is_another() {
        for (name, habits) in kinds() {
            let first = week(name, &habits, 1);
            assert_eq!(first, week(name, &habits, 1));
            assert_ne!(first, week(name, &habits, 2));
            assert!(first.jobs.len() > 30 && first.jobs.is_sorted_by_key(|job| job.submitted), "{name}");
            assert!(first.jobs.iter().all(|job| job.duration > 0 && job.queue < first.queues.len()), "{name}");
        }
    }
}

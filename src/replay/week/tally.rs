//! What a played trace cost, and how long its jobs waited.

use super::super::model::CloudModel;
use super::super::trace::{Job, Millis, Trace};
use super::Machine;
use crate::model::money::{Money, Rate};

const MILLIS_AN_HOUR: f64 = 3_600_000.0;

/// Money of machines by what they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machines {
    pub total: Money,
    /// From running to the registered agent.
    pub boot: Money,
    /// Work that was cut off and done again.
    pub lost: Money,
}

/// Counted while a trace is played.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    pub money: Machines,
    /// What the jobs themselves cost, however they are scheduled.
    pub compute: Money,
    /// How long each job was in its queue.
    pub waits: Vec<Millis>,
    /// How each user fared, by the place in the trace.
    pub users: Vec<Fared>,
    pub launches: u32,
    /// The most machines at once.
    pub peak: u32,
    /// Machines that the cloud took back.
    pub interrupted: u32,
    /// Launches over a queue's cap.
    pub violations: u32,
    /// Jobs whose machine was terminated under them.
    pub busy_kills: u32,
    pub unfinished: usize,
    /// From the trace's beginning to the end of the last machine.
    pub lasted: Millis,
    pub clearml_calls: u64,
    pub cloud_calls: u64,
}

/// How a user's jobs fared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fared {
    pub jobs: u32,
    pub waited: Millis,
    /// Of all jobs together: how many times longer each took than it ran.
    pub slowed: f64,
}

/// A shorter job is not slowed down more by the same wait than one of this length.
const SHORT: Millis = 60_000;

impl Fared {
    /// The mean wait, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn mean_wait(&self) -> f64 {
        self.waited as f64 / 1_000.0 / f64::from(self.jobs.max(1))
    }
}

impl Tally {
    /// A job was done, or is given up, that waited for so long.
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub(super) fn done(&mut self, job: Option<&Job>, waited: Millis) {
        self.waits.push(waited);
        let Some(job) = job else { return };
        if self.users.len() <= job.user {
            self.users.resize(job.user + 1, Fared::default());
        }
        if let Some(user) = self.users.get_mut(job.user) {
            let runs = job.duration.max(SHORT);
            user.jobs += 1;
            user.waited += waited;
            user.slowed += (waited + runs) as f64 / runs as f64;
        }
    }

    /// How evenly waiting fell on the users, by Jain's index of how much each one's jobs were slowed down: 1 is all alike,
    /// one over the number of users is all of it on one.
    #[must_use]
    pub fn fairness(&self) -> f64 {
        let means: Vec<f64> =
            self.users.iter().filter(|user| user.jobs > 0).map(|user| user.slowed / f64::from(user.jobs)).collect();
        let (sum, squares) = means.iter().fold((0.0, 0.0), |(sum, squares), mean| (sum + mean, squares + mean * mean));
        let users = f64::from(u32::try_from(means.len()).unwrap_or(u32::MAX));
        if squares > 0.0 { sum * sum / (users * squares) } else { 1.0 }
    }

    /// The mean wait of the user who waited longest, in seconds.
    #[must_use]
    pub fn worst_user_wait(&self) -> f64 {
        self.users.iter().map(Fared::mean_wait).fold(0.0, f64::max)
    }

    pub(super) fn bill(&mut self, machine: &Machine, ended: Millis, rate: Rate, least: Millis) {
        if ended <= machine.runs {
            return;
        }
        let until = ended.max(machine.runs + least);
        self.money.total += cost(rate, until - machine.runs);
        self.money.boot += cost(rate, machine.registers.min(until) - machine.runs);
    }

    /// A machine was switched off for so long.
    pub(super) fn bill_off(&mut self, rate: Rate, millis: Millis) {
        self.money.total += cost(rate, millis);
    }

    /// So much work on a machine was for nothing.
    pub(super) fn lose(&mut self, rate: Rate, millis: Millis) {
        self.money.lost += cost(rate, millis);
    }

    /// `worked`: how much of each job is done.
    pub(super) fn finish(&mut self, trace: &Trace, cloud: &CloudModel, worked: &[Millis]) {
        self.waits.sort_unstable();
        self.compute = trace
            .jobs
            .iter()
            .zip(worked)
            .filter_map(|(job, worked)| {
                let class = cloud.classes.get(cloud.class_of(trace.queues.get(job.queue)?))?;
                Some(cost(cloud.rate(class), *worked))
            })
            .sum();
    }

    /// What was paid for more than the jobs.
    #[must_use]
    pub fn overhead(&self) -> Money {
        self.money.total - self.compute
    }

    /// The mean wait, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn mean_wait(&self) -> f64 {
        self.total_wait_hours() * 3_600.0 / self.waits.len().max(1) as f64
    }

    /// All waits together, in hours.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn total_wait_hours(&self) -> f64 {
        self.waits.iter().sum::<Millis>() as f64 / MILLIS_AN_HOUR
    }

    /// The wait that this share of the jobs stays within, in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn wait_quantile(&self, per_cent: usize) -> f64 {
        let place = (self.waits.len() * per_cent / 100).min(self.waits.len().saturating_sub(1));
        self.waits.get(place).copied().unwrap_or_default() as f64 / 1_000.0
    }
}

fn cost(rate: Rate, millis: Millis) -> Money {
    rate.cost(super::super::model::span(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_when_all_fare_alike_and_less_the_more_falls_on_one() {
        let job = |user, duration| Job { submitted: 0, duration, queue: 0, user, project: None };
        let tally = |waits: &[(usize, Millis)]| {
            let mut tally = Tally::default();
            for (user, waited) in waits {
                tally.done(Some(&job(*user, 600_000)), *waited);
            }
            tally
        };
        assert_eq!(Tally::default().fairness().to_bits(), 1.0_f64.to_bits());
        let alike = tally(&[(0, 60_000), (0, 120_000), (2, 90_000)]);
        assert!((alike.fairness() - 1.0).abs() < 1e-9, "the second has no jobs");
        // Slowed down 1 and 11 times: 144 / (2 * 122).
        let other = tally(&[(0, 0), (1, 6_000_000)]);
        assert!((other.fairness() - 144.0 / 244.0).abs() < 1e-9, "{}", other.fairness());
        assert!((other.worst_user_wait() - 6_000.0).abs() < 1e-9);
        let mut short = Tally::default();
        short.done(Some(&job(0, 1_000)), 60_000);
        assert!((short.users[0].slowed - 2.0).abs() < 1e-9, "as of a job of a minute");
    }
}

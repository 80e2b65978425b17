//! What a played trace cost, and how long its jobs waited.

use super::super::model::CloudModel;
use super::super::trace::{Millis, Trace};
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

impl Tally {
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

    pub(super) fn finish(&mut self, trace: &Trace, cloud: &CloudModel) {
        self.waits.sort_unstable();
        self.compute = trace
            .jobs
            .iter()
            .filter_map(|job| {
                let class = cloud.classes.get(cloud.class_of(trace.queues.get(job.queue)?))?;
                Some(cost(cloud.rate(class), job.duration))
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

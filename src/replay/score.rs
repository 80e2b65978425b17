//! How good a policy was on a trace: money over the least that it could cost, and waiting at its price.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use schemars::JsonSchema;
use serde::Serialize;

use super::model::CloudModel;
use super::trace::{Millis, Trace};
use super::week::Tally;
use crate::model::money::{Money, Rate};

/// Hours that jobs would wait if machines were there at once, first come first served under the queue's cap.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
pub fn least_wait_hours(trace: &Trace, cloud: &CloudModel) -> f64 {
    let mut free: Vec<BinaryHeap<Reverse<Millis>>> = trace
        .queues
        .iter()
        .map(|queue| {
            let cap = cloud.classes.get(cloud.class_of(queue)).map_or(0, |class| class.cap);
            (0..cap).map(|_| Reverse(0)).collect()
        })
        .collect();
    let mut waited: Millis = 0;
    for job in &trace.jobs {
        let Some(servers) = free.get_mut(job.queue) else { continue };
        let Some(Reverse(at)) = servers.pop() else { continue };
        let starts = at.max(job.submitted);
        waited += starts - job.submitted;
        servers.push(Reverse(starts + job.duration));
    }
    waited as f64 / 3_600_000.0
}

/// Means over the seeds of one policy on one trace.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Score {
    pub policy: String,
    pub seeds: usize,
    pub total_usd: f64,
    pub overhead_usd: f64,
    pub boot_usd: f64,
    pub idle_usd: f64,
    /// Work that was cut off and done again.
    pub lost_usd: f64,
    pub wait_mean_s: f64,
    pub wait_p50_s: f64,
    pub wait_p95_s: f64,
    pub wait_p99_s: f64,
    /// How evenly waiting fell on the users: 1 is all alike, one over the number of users is all of it on one.
    pub fairness: f64,
    /// Of the user who waited longest.
    pub worst_user_wait_s: f64,
    /// Overhead and waiting over the least, the latter at its price; null where a job is unfinished.
    pub score_usd: Option<f64>,
    pub peak_instances: f64,
    pub launches: f64,
    pub clearml_calls: f64,
    pub cloud_calls: f64,
    pub violations: u32,
    pub busy_kills: u32,
    pub unfinished: usize,
    /// How long the replay of one seed took.
    pub wall_s: f64,
    /// How far the mean waits of the seeds are from each other: their standard deviation.
    #[serde(skip)]
    pub wait_spread_s: f64,
    /// How long what was replayed took.
    #[serde(skip)]
    pub lasted_s: f64,
}

impl Score {
    /// `waiting`: what an hour of one job's waiting is worth.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "statistics")]
    pub fn new(policy: String, tallies: &[Tally], least_wait_hours: f64, waiting: Rate, wall_s: f64) -> Self {
        let mean = |of: &dyn Fn(&Tally) -> f64| tallies.iter().map(of).sum::<f64>() / tallies.len().max(1) as f64;
        let price = waiting.micros_per_hour() as f64 / 1e6;
        let unfinished = tallies.iter().map(|tally| tally.unfinished).sum();
        let score = mean(&|tally| dollars(tally.overhead()) + price * (tally.total_wait_hours() - least_wait_hours));
        Self {
            policy,
            seeds: tallies.len(),
            total_usd: mean(&|tally| dollars(tally.money.total)),
            overhead_usd: mean(&|tally| dollars(tally.overhead())),
            boot_usd: mean(&|tally| dollars(tally.money.boot)),
            idle_usd: mean(&|tally| dollars(tally.overhead() - tally.money.boot - tally.money.lost)),
            lost_usd: mean(&|tally| dollars(tally.money.lost)),
            wait_mean_s: mean(&Tally::mean_wait),
            wait_p50_s: mean(&|tally| tally.wait_quantile(50)),
            wait_p95_s: mean(&|tally| tally.wait_quantile(95)),
            wait_p99_s: mean(&|tally| tally.wait_quantile(99)),
            fairness: mean(&Tally::fairness),
            worst_user_wait_s: mean(&Tally::worst_user_wait),
            // Nothing is cheaper than to leave jobs undone.
            score_usd: (unfinished == 0).then_some(score),
            peak_instances: mean(&|tally| f64::from(tally.peak)),
            launches: mean(&|tally| f64::from(tally.launches)),
            clearml_calls: mean(&|tally| tally.clearml_calls as f64),
            cloud_calls: mean(&|tally| tally.cloud_calls as f64),
            violations: tallies.iter().map(|tally| tally.violations).sum(),
            busy_kills: tallies.iter().map(|tally| tally.busy_kills).sum(),
            unfinished,
            wall_s,
            wait_spread_s: spread(tallies),
            lasted_s: mean(&|tally| tally.lasted as f64 / 1_000.0),
        }
    }
}

impl Score {
    /// To be reckoned with: no number where there is no score, so that no gate holds with it.
    pub(super) fn score(&self) -> f64 {
        self.score_usd.unwrap_or(f64::NAN)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn spread(tallies: &[Tally]) -> f64 {
    let waits: Vec<f64> = tallies.iter().map(Tally::mean_wait).collect();
    let mean = waits.iter().sum::<f64>() / waits.len().max(1) as f64;
    let squares = waits.iter().map(|wait| (wait - mean).powi(2)).sum::<f64>();
    (squares / waits.len().saturating_sub(1).max(1) as f64).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn dollars(money: Money) -> f64 {
    money.micros() as f64 / 1e6
}

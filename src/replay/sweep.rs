//! A trace under many settings: what each would have cost, and how long jobs would have waited.

use schemars::JsonSchema;
use serde::Serialize;

use super::contest::{PolicySpec, Terms, Watch, contest};
use super::model::{Class, CloudModel};
use super::score::Score;
use super::trace::Trace;
use crate::model::catalogue::Catalogue;
use crate::model::ids::QueueName;
use crate::model::settings::{PoolSettings, QueueSettings, Settings};
use jiff::Timestamp;

/// How long a machine too many is kept, from not at all to long.
const KEPT: [&str; 9] = ["learned", "0s", "1m", "3m", "5m", "10m", "20m", "40m", "90m"];

/// The peer as it comes, and as it can be tuned.
const PEERS: [&str; 2] = ["clearml", "clearml:poll=30s,idle=60s"];

/// So many settings are played beside the present one.
pub const PLAYED: usize = KEPT.len() + PEERS.len();

/// A queue without a limit may have so many machines.
const NO_LIMIT: u32 = 64;

/// One setting, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    #[serde(flatten)]
    pub score: Score,
    /// It is what the settings say now.
    pub present: bool,
    /// Nothing else of ours costs less and lets wait less.
    pub best: bool,
}

/// The pool that a queue asks first.
fn first_pool<'s>(settings: &'s Settings, queue: &QueueName) -> Option<(&'s QueueSettings, &'s PoolSettings)> {
    let queue = settings.queue(queue)?;
    Some((queue, settings.pool(queue.pools.first()?)?))
}

/// What a machine of a queue has; a queue that the settings do not know has machines of one GPU.
#[must_use]
pub fn gpus(settings: &Settings, catalogue: &Catalogue, queue: &QueueName) -> u32 {
    let pool = first_pool(settings, queue).map(|(_, pool)| pool);
    let size = pool.and_then(|pool| catalogue.size(pool.provider, pool.types.first()?));
    size.map_or(1, |(_, gpu)| gpu)
}

/// The kinds of machines that the settings give to the queues: type, size and price of each queue's first pool, and the
/// least of the limits. Queues that they do not know keep the usual kinds.
#[must_use]
pub fn cloud(
    mut cloud: CloudModel,
    settings: &Settings,
    catalogue: &Catalogue,
    trace: &Trace,
    now: Timestamp,
) -> CloudModel {
    for queue in &trace.queues {
        let Some((asked, pool)) = first_pool(settings, &QueueName::new(queue.name.as_str())) else { continue };
        let Some(machine_type) = pool.types.first() else { continue };
        let offer = catalogue.offer(pool, machine_type, pool.market, now);
        let Some(rate) = offer.rate else { continue };
        let limits = [asked.limits.max, pool.limits.max, settings.limits.max];
        let class = Class {
            machine_type: machine_type.to_string(),
            gpus: offer.gpu,
            vcpu: offer.vcpu,
            rate,
            cap: limits.into_iter().flatten().min().unwrap_or(NO_LIMIT).max(1),
        };
        cloud.served.insert(queue.name.clone(), cloud.classes.len());
        cloud.classes.push(class);
    }
    cloud
}

/// What the settings say now of how long a machine too many is kept, where all the trace's queues agree; else of the queue
/// with the most jobs.
#[must_use]
pub fn present(settings: &Settings, trace: &Trace) -> Option<PolicySpec> {
    let mut jobs = vec![0_usize; trace.queues.len()];
    for job in &trace.jobs {
        if let Some(count) = jobs.get_mut(job.queue) {
            *count += 1;
        }
    }
    let known = trace.queues.iter().zip(jobs).filter_map(|(queue, jobs)| {
        let (_, pool) = first_pool(settings, &QueueName::new(queue.name.as_str()))?;
        Some((jobs, pool))
    });
    let (_, pool) = known.max_by_key(|(jobs, _)| *jobs)?;
    format!("tidegate:keep_alive={}", pool.keep_alive).parse().ok()
}

/// Plays the trace under every setting of the sweep, the present one and the peers, cheapest first; those that leave jobs
/// unfinished last.
///
/// # Errors
/// A setting does not fit: a bug of the sweep's.
pub fn sweep(
    trace: &Trace,
    present: Option<&PolicySpec>,
    terms: Terms<'_>,
    watch: &Watch<'_>,
) -> Result<Vec<Point>, String> {
    let mut policies = Vec::new();
    for kept in KEPT {
        policies.push(format!("tidegate:keep_alive={kept}").parse::<PolicySpec>()?);
    }
    if let Some(present) = present.filter(|present| !policies.contains(present)) {
        policies.push(present.clone());
    }
    for peer in PEERS {
        policies.push(peer.parse()?);
    }
    let scores = contest(trace, &policies, terms, watch)?.policies;
    // Nothing is cheaper than to leave jobs undone.
    let ours = |score: &Score| score.policy.starts_with("tidegate") && score.unfinished == 0;
    let beaten = |score: &Score| {
        scores.iter().filter(|other| ours(other)).any(|other| {
            let no_worse = other.total_usd <= score.total_usd && other.wait_mean_s <= score.wait_mean_s;
            no_worse && (other.total_usd < score.total_usd || other.wait_mean_s < score.wait_mean_s)
        })
    };
    let mut points: Vec<Point> = scores
        .iter()
        .map(|score| Point {
            present: present.is_some_and(|present| present.as_str() == score.policy),
            best: ours(score) && !beaten(score),
            score: score.clone(),
        })
        .collect();
    let left = |point: &Point| point.score.unfinished > 0;
    points.sort_by(|a, b| left(a).cmp(&left(b)).then(a.score.total_usd.total_cmp(&b.score.total_usd)));
    Ok(points)
}

//! `queues`: demand and supply of each queue, and what happens next.

use clap::Args;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, or_dash, short, tell, view};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::table::{Side, table};
use crate::engine::event::View;
use crate::model::ids::{PoolName, QueueName};
use crate::model::money::Money;

/// Show each queue: what waits, what serves it, and what happens next
#[derive(Debug, Args)]
pub(in crate::cli) struct Queues {
    #[command(flatten)]
    form: Form,
}

impl Queues {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let view = view(place).await?;
        let rows = rows(&view);
        tell(&self.form, &view, "queues", &rows, &text(&rows, view.snapshot.knows_clearml()))
    }
}

/// A line of `queues --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Row {
    queue: QueueName,
    pools: Vec<PoolName>,
    priority: i32,
    waiting: u32,
    /// Entries whose tasks do not wait: nothing is launched for them.
    phantoms: usize,
    /// When the task that has waited longest was enqueued.
    oldest: Option<Timestamp>,
    oldest_seconds: Option<i64>,
    running: u32,
    idle: u32,
    /// Booting, pending and intended.
    starting: u32,
    draining: u32,
    faults: u32,
    /// Machines more that the waiting tasks need.
    need: u32,
    /// `queue.X.max`; absent: not limited here.
    max: Option<u32>,
    today_microusd: i64,
    /// Why the next thing happens, or does not.
    next: Option<String>,
    /// What its waiting tasks will cost.
    to_clear: Option<Cost>,
}

/// 8 of 10 outcomes lie within, if the tasks are like the past ones.
#[derive(Debug, Serialize, JsonSchema)]
struct Cost {
    low_microusd: i64,
    likely_microusd: i64,
    high_microusd: i64,
    /// Past durations that it is made of; 0: of `expected_task` alone.
    samples: usize,
}

pub(super) fn rows(view: &View) -> Vec<Row> {
    let row = |outlook: &crate::model::plan::Outlook| {
        let settings = view.settings.queue(&outlook.queue);
        let today = view.spend.queue_today.iter().find(|(queue, _)| *queue == outlook.queue);
        Row {
            queue: outlook.queue.clone(),
            pools: settings.map(|queue| queue.pools.clone()).unwrap_or_default(),
            priority: settings.map_or(0, |queue| queue.priority),
            waiting: outlook.waiting,
            phantoms: view.snapshot.queue(&outlook.queue).map_or(0, |queue| queue.phantoms.len()),
            oldest: outlook.oldest,
            oldest_seconds: outlook.oldest.map(|oldest| view.at.duration_since(oldest).as_secs()),
            running: outlook.running,
            idle: outlook.idle,
            starting: outlook.starting,
            draining: outlook.draining,
            faults: outlook.faults,
            need: outlook.need,
            max: settings.and_then(|queue| queue.limits.max),
            today_microusd: today.map_or(0, |(_, money)| money.micros()),
            next: outlook.next.as_ref().map(ToString::to_string),
            to_clear: outlook.to_clear.map(|cost| Cost {
                low_microusd: cost.low.micros(),
                likely_microusd: cost.likely.micros(),
                high_microusd: cost.high.micros(),
                samples: cost.samples,
            }),
        }
    };
    view.plan.outlooks.iter().map(row).collect()
}

/// Who was never answered by ClearML does not know what waits.
pub(super) fn text(rows: &[Row], knows_clearml: bool) -> String {
    let head = [
        ("QUEUE", Side::Left),
        ("WAITING", Side::Right),
        ("OLDEST", Side::Right),
        ("RUNNING", Side::Right),
        ("IDLE", Side::Right),
        ("STARTING", Side::Right),
        ("DRAINING", Side::Right),
        ("FAULTS", Side::Right),
        ("MAX", Side::Right),
        ("TO CLEAR", Side::Right),
        ("NEXT", Side::Left),
    ];
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.queue.to_string(),
                or_dash(knows_clearml.then_some(row.waiting)),
                or_dash(row.oldest_seconds.map(|seconds| short(jiff::SignedDuration::from_secs(seconds)))),
                row.running.to_string(),
                row.idle.to_string(),
                row.starting.to_string(),
                row.draining.to_string(),
                row.faults.to_string(),
                or_dash(row.max),
                or_dash(row.to_clear.as_ref().map(|cost| Money::from_micros(cost.likely_microusd))),
                row.next.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(head, &rows)
}

//! `replay`: what a week of jobs would have cost, and how long they would have waited, under other decisions.

mod history;
mod plot;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Place;
use super::failure::Failure;
use super::say::{VERSION, say};
use super::table::{Side, table};
use crate::model::money::Rate;
use crate::replay::contest::{Contest, PolicySpec, contest};
use crate::replay::model::CloudModel;
use crate::replay::trace::{Millis, Trace};
use crate::world::clock::Clock;

/// What a trace of jobs would have cost and waited: our own decisions and ClearML's autoscaler on a simulated cloud
///
/// A trace is a CSV file with the columns `submit_s,duration_s,gpus,queue,user`.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Traces
    #[arg(required_unless_present = "from_clearml", value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Who decides: `tidegate`, `tidegate:keep_alive=1m`, `clearml`, `clearml:poll=30s,idle=60s`; many times
    #[arg(long = "policy", value_name = "POLICY", default_values = ["tidegate", "clearml"])]
    policies: Vec<PolicySpec>,
    /// So many runs of each, with other boot times; means are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// What an hour of one job's waiting is worth
    #[arg(long, value_name = "PRICE", default_value = "$2/h")]
    waiting: Rate,
    /// What goes wrong: workers of ended machines stay listed for ten minutes
    #[arg(long, value_name = "FAULT")]
    fault: Option<Fault>,
    #[command(flatten)]
    sweep: history::Sweep,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A fault of the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Fault {
    Zombie,
}

/// How long a worker of an ended machine stays listed (ClearML issue 1201).
const ZOMBIE: Millis = 600_000;

impl Replay {
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let traces = self.traces.iter().map(|file| Trace::open(file)).collect::<Result<Vec<_>, _>>();
        let traces = traces.map_err(|error| failed(&error))?;
        let mut cloud = CloudModel::default();
        if let Some(Fault::Zombie) = self.fault {
            cloud.lingers = ZOMBIE;
        }
        if self.sweep.is_wanted() {
            let terms = history::Terms { cloud: &cloud, seeds: self.seeds, waiting: self.waiting, json: self.json };
            return self.sweep.run(place, &self.traces, &terms);
        }
        let clock = || Clock::Wall.now();
        let contests = traces.iter().map(|trace| {
            let contest = contest(trace, &cloud, &self.policies, self.seeds, self.waiting, &clock);
            contest.map_err(Failure::Usage)
        });
        let contests = contests.collect::<Result<Vec<_>, _>>()?;
        if self.json {
            return say(&format!("{}\n", json!({ "version": VERSION, "traces": contests })));
        }
        contests.iter().try_for_each(|contest| say(&text(contest)))
    }
}

fn text(contest: &Contest) -> String {
    let head = [
        ("POLICY", Side::Left),
        ("TOTAL $", Side::Right),
        ("OVERHEAD $", Side::Right),
        ("WAIT MEAN", Side::Right),
        ("P50", Side::Right),
        ("P95", Side::Right),
        ("P99", Side::Right),
        ("SCORE $", Side::Right),
        ("LAUNCHES", Side::Right),
        ("CALLS", Side::Right),
        ("KILLS", Side::Right),
        ("UNFINISHED", Side::Right),
    ];
    let rows: Vec<_> = contest
        .policies
        .iter()
        .map(|score| {
            let seconds = |value: f64| format!("{value:.0}s");
            [
                score.policy.clone(),
                format!("{:.2}", score.total_usd),
                format!("{:.2}", score.overhead_usd),
                seconds(score.wait_mean_s),
                seconds(score.wait_p50_s),
                seconds(score.wait_p95_s),
                seconds(score.wait_p99_s),
                format!("{:.2}", score.score_usd),
                format!("{:.0}", score.launches),
                format!("{:.0}", score.clearml_calls),
                score.busy_kills.to_string(),
                score.unfinished.to_string(),
            ]
        })
        .collect();
    format!("{}\n{}", contest.trace, table(head, &rows))
}

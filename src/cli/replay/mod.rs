//! `replay`: what a week of jobs would have cost, and how long they would have waited, under other decisions.

pub(super) mod gates;
pub(super) mod history;
mod plot;
mod progress;
mod world;

use std::path::PathBuf;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::Place;
use super::failure::Failure;
use super::say::{Version, say, say_json};
use super::table::{Side, table};
use crate::model::money::Rate;
use crate::replay::contest::{Contest, PolicySpec, Terms, contest};
use crate::replay::trace::Trace;
use crate::world::program;
use progress::Progress;
use world::WorldArgs;

/// What a trace of jobs would have cost and waited: our own decisions and ClearML's autoscaler on a simulated cloud
///
/// A trace is a CSV file with the columns `submit_s,duration_s,gpus,queue,user`, and `project` where policies are to know it.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Traces
    #[arg(required_unless_present_any = ["gates", "from_clearml"], conflicts_with = "from_clearml", value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Who decides: `tidegate`, `tidegate:keep_alive=1m`, `clearml`, `clearml:poll=30s,idle=60s`, `script:FILE`, `exec:FILE`; many times
    #[arg(long = "policy", value_name = "POLICY", default_values = ["tidegate", "clearml"])]
    policies: Vec<PolicySpec>,
    /// So many runs of each, with other boot times; means are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// What an hour of one job's waiting is worth
    #[arg(long, value_name = "PRICE", default_value = "$2/h")]
    waiting: Rate,
    #[command(flatten)]
    world: WorldArgs,
    /// Judge the decisions on every trace of a folder by fixed gates; exit 1 when one fails that is no open question
    #[arg(long, value_name = "DIR", conflicts_with_all = ["traces", "policies", "scenario", "fault", "spot"])]
    gates: Option<PathBuf>,
    #[command(flatten)]
    sweep: history::Sweep,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What `replay --json` says of policies.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    version: Version,
    traces: Vec<Contest>,
}

impl Replay {
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        end_programs_with_us()?;
        if let Some(folder) = &self.gates {
            return self.judge(folder);
        }
        let cloud = self.world.cloud()?;
        if self.sweep.is_wanted() {
            let terms = history::Terms { cloud: &cloud, seeds: self.seeds, waiting: self.waiting, json: self.json };
            return self.sweep.run(place, &self.traces, &terms);
        }
        let traces = open(&self.traces)?;
        let terms = Terms { cloud: &cloud, seeds: self.seeds, waiting: self.waiting };
        let runs = traces.len() * self.policies.len();
        let progress = Progress::new(u64::try_from(runs).unwrap_or(u64::MAX).saturating_mul(self.seeds));
        let contests = traces.iter().map(|trace| {
            let contest = contest(trace, &self.policies, terms, &progress.watch());
            contest.map_err(Failure::Usage)
        });
        let contests = contests.collect::<Result<Vec<_>, _>>()?;
        progress.done();
        if self.json {
            return say_json(&Told { version: Version, traces: contests });
        }
        contests.iter().try_for_each(|contest| say(&text(contest)))
    }
}

/// A signal that ends this program ends those that it started, which have groups of their own.
#[expect(clippy::disallowed_methods, reason = "it waits for a signal, and ends with the program")]
fn end_programs_with_us() -> Result<(), Failure> {
    let runtime = crate::cli::runtime()?;
    let both = {
        let _inside = runtime.enter();
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
    };
    let (mut terminate, mut interrupt) = both.map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    std::thread::spawn(move || {
        let heard = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => signal_hook::consts::SIGTERM,
                _ = interrupt.recv() => signal_hook::consts::SIGINT,
            }
        });
        program::end_all(|| {
            // It does not return: whoever waits for this program sees by which signal it ended.
            let _ = signal_hook::low_level::emulate_default_handler(heard);
        });
    });
    Ok(())
}

fn open(files: &[PathBuf]) -> Result<Vec<Trace>, Failure> {
    let traces = files.iter().map(|file| Trace::open(file)).collect::<Result<Vec<_>, _>>();
    traces.map_err(|error| Failure::Failed(error.to_string()))
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
        ("FAIR", Side::Right),
        ("WORST USER", Side::Right),
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
                format!("{:.3}", score.fairness),
                seconds(score.worst_user_wait_s),
                score.score_usd.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}")),
                format!("{:.0}", score.launches),
                format!("{:.0}", score.clearml_calls),
                score.busy_kills.to_string(),
                score.unfinished.to_string(),
            ]
        })
        .collect();
    format!("{}\n{}", contest.trace, table(head, &rows))
}

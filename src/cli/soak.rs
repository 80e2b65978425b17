//! `soak`: the loop's own parts on millions of simulated ticks in worlds where everything goes wrong.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::failure::Failure;
use super::say::{Version, complain, say, say_json};
use super::table::{Side, table};
use crate::replay::soak::{Failure as Failed, Soaked, TICKS_A_WORLD, soak, trace};
use crate::world::clock::Clock;

/// For developers: the loop's own parts on millions of simulated ticks, every invariant judged at every step
///
/// A world has 2,500 ticks and a seed. One that fails is told with its seed, and is played again by `--seed SEED --ticks 1`.
#[derive(Debug, Args)]
pub(super) struct Soak {
    /// The seed of the first world; each further one has the next
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// At least so many ticks in all
    #[arg(long, default_value_t = 10_000_000)]
    ticks: u64,
    /// So many ticks a world, before it is left in peace
    #[arg(long, value_name = "TICKS", default_value_t = TICKS_A_WORLD)]
    world: u32,
    /// So many worlds at once [default: one for each core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Play the first world only, and tell everything that happens in it
    #[arg(long)]
    trace: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Progress is told so often.
const TOLD_EVERY: u64 = 1_000_000;

impl Soak {
    pub(super) fn run(&self) -> Result<(), Failure> {
        if self.trace {
            let (lines, failure) = trace(self.seed, self.world).map_err(Failure::Failed)?;
            say(&(lines.join("\n") + "\n"))?;
            let told = |failure: Failed| Failure::Failed(format!("tick {}: {}", failure.tick, failure.what));
            return failure.map_or(Ok(()), |failure| Err(told(failure)));
        }
        let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.threads.map_or_else(cores, NonZeroUsize::get);
        let began = Clock::Wall.now();
        let told = AtomicU64::new(TOLD_EVERY);
        let progress = |ticks: u64| {
            let next = told.load(Ordering::Relaxed);
            if ticks >= next {
                told.store(ticks - ticks % TOLD_EVERY + TOLD_EVERY, Ordering::Relaxed);
                complain(&format!("{ticks} ticks"));
            }
        };
        let asked =
            crate::replay::soak::Soak { seed: self.seed, ticks: self.ticks, world_ticks: Some(self.world), threads };
        let soaked = soak(asked, &progress).map_err(Failure::Failed)?;
        let took = Clock::Wall.now().duration_since(began).as_secs_f64();
        if self.json {
            say_json(&Told::of(&soaked, took))?;
        } else {
            say(&as_text(&soaked, took))?;
        }
        let Some(failure) = soaked.failure else { return Ok(()) };
        Err(Failure::Failed(format!(
            "{} of {} worlds broke an invariant; the first at tick {} of seed {}: {}\n\
             see it again: tidegate soak --seed {} --world {} --trace",
            soaked.failed, soaked.worlds, failure.tick, failure.seed, failure.what, failure.seed, self.world
        )))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn as_text(soaked: &Soaked, took: f64) -> String {
    let head = [("FAULT", Side::Left), ("INJECTED", Side::Right)];
    let rows: Vec<_> = soaked.faults.iter().map(|(kind, count)| [kind.word().to_owned(), count.to_string()]).collect();
    let faults = soaked.faults.total();
    let mut text = table(head, &rows);
    let ticks = soaked.ticks;
    let _ = write!(
        text,
        "\n{ticks} ticks in {} worlds, {faults} faults of {} kinds, in {took:.0} s: {:.0} ticks a second\n",
        soaked.worlds,
        soaked.faults.kinds(),
        ticks as f64 / took.max(0.001)
    );
    let _ = writeln!(
        text,
        "{} launches; {} times held to a hard budget, none of which a launch crossed",
        soaked.launches, soaked.governed
    );
    if let Some(slack) = soaked.median_slack() {
        let _ = writeln!(
            text,
            "{} budgets were overrun by what ran on, none by more than its bound; median slack {:.0} % of the bound",
            soaked.overruns.len(),
            slack * 100.0
        );
    }
    text
}

/// What `soak --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Told {
    version: Version,
    worlds: u64,
    ticks: u64,
    /// So many faults were injected, of so many kinds.
    faults: u64,
    kinds: usize,
    by_kind: BTreeMap<String, u64>,
    launches: u64,
    /// How often a hard budget kept a launch back.
    held_to_a_budget: u64,
    /// By what ran on.
    budgets_overrun: usize,
    /// Of the overruns, as a part of the bound that was told.
    median_slack: Option<f64>,
    failed_worlds: u64,
    first_failure: Option<Broken>,
    wall_s: f64,
}

/// The invariant that broke first.
#[derive(Debug, Serialize, JsonSchema)]
struct Broken {
    seed: u64,
    tick: u32,
    what: String,
}

impl Told {
    fn of(soaked: &Soaked, wall_s: f64) -> Self {
        let broken = |failure: &Failed| Broken { seed: failure.seed, tick: failure.tick, what: failure.what.clone() };
        Self {
            version: Version,
            worlds: soaked.worlds,
            ticks: soaked.ticks,
            faults: soaked.faults.total(),
            kinds: soaked.faults.kinds(),
            by_kind: soaked.faults.iter().map(|(kind, count)| (format!("{kind:?}"), count)).collect(),
            launches: soaked.launches,
            held_to_a_budget: soaked.governed,
            budgets_overrun: soaked.overruns.len(),
            median_slack: soaked.median_slack(),
            failed_worlds: soaked.failed,
            first_failure: soaked.failure.as_ref().map(broken),
            wall_s,
        }
    }
}

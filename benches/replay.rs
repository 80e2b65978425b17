//! How long a simulated week takes, a seed: the goal is under a second for 4,000 jobs. `cargo bench --bench replay` prints
//! it.

use divan::Bencher;
use tidegate::model::money::Rate;
use tidegate::replay::contest::{PolicySpec, Terms, played};
use tidegate::replay::generate::{Habit, week};
use tidegate::replay::model::CloudModel;
use tidegate::replay::trace::Trace;
use tidegate::world::sim::scenario::Spread;

fn main() {
    divan::main();
}

/// About 4,000 jobs, most of them in sweeps.
fn busy() -> Trace {
    let habit = |gpus, per_hour, sweeps_per_hour, minutes: i64| Habit {
        gpus,
        per_hour,
        sweeps_per_hour,
        sweep: (20, 90),
        takes: Spread::new(minutes * 60_000, 1.0),
    };
    week("busy", &[habit(1, 8.0, 0.33, 18), habit(4, 1.0, 0.0, 30), habit(8, 0.3, 0.0, 60)], 1)
}

#[divan::bench(args = ["tidegate", "clearml", "clearml:poll=30s,idle=60s"], max_time = 20)]
fn a_week(bencher: Bencher<'_, '_>, policy: &str) {
    let (trace, cloud) = (busy(), CloudModel::default());
    let Ok(policy) = policy.parse::<PolicySpec>() else { return };
    let terms = Terms { cloud: &cloud, seeds: 1, waiting: Rate::from_micros_per_hour(2_000_000) };
    bencher.bench_local(|| played(&trace, &policy, 0, terms).map(|week| week.into_tally().launches));
}

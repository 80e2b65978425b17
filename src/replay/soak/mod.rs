//! THE SOAK: the loop's own parts (`engine::step`) on millions of simulated ticks in worlds where everything goes
//! wrong, each step judged by the invariants of `lib.rs`.
//!
//! A tick is one pass: the world moves on, a look is taken, noticed and joined, the plan is made, checked and carried out. Inside
//! are facts, sights, notices, join, the whole plan, the check, decisions and outcomes, back-off, retries and tending,
//! settings as the TOML file that is edited live, memory and ledger. Not inside are the asynchronous runtime and its deadlines,
//! sockets and HTTP, the SQL store (a crash keeps what was committed), the election of the leader (another console is simulated
//! by its term), schedules, live prices and the screen: the integration tests carry those.
//!
//! | invariant | judged |
//! |---|---|
//! | 1, 2 | at each intent: everything known and every intent against every limit; spent, committed and reserved by books of the judge's own against every hard budget, at the loop's clock |
//! | 3 | at each stop, switching off and requeue: what the machine truly runs |
//! | 4 | machines of each intent, and calls of each token |
//! | 5 | each machine that a look shows is in the ledger after that step; none is forgotten while it runs |
//! | 6 | the check's and the judge's own times of the last good answers |
//! | 7 | the plan made again at once, every 16 steps; and rest at the end of each world |
//! | 8 | revision of each intent, a reason for each action, a journal line with each decision |
//! | 9 | edits that are not valid change nothing, those that are run |
//! | 10, 14 | nothing is done without the lead, or in a dry run |
//! | 13 | each bill's beginning and end against the world's; the ledger against the judge's books, every 32 steps |
//! | 11, 12 | not here |
//!
//! What is kept out of the worlds, since the loop is known not to survive it, or not to try: a person's plain stop of a machine that
//! has not registered (it is asked for at once, and may meet a task that was taken meanwhile); a clock that is more than a minute off
//! while the cloud takes its signatures (workers that report seem to be silent by the loop's own clock); a gate that dies after it
//! has read an order. That a budget's `kill` step bounds what is spent is not judged: here the loop is often kept from acting.

mod books;
mod deeds;
mod episode;
mod house;
mod judge;
mod kinds;
mod looks;
mod people;
mod trouble;
mod world;

pub use episode::Failure;
pub use kinds::{Counts, Kind};

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use episode::{Came, Episode};

/// Ticks of one world, before it is left in peace.
pub const TICKS_A_WORLD: u32 = 2_500;

/// What is soaked, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// Of the first world; each further one has the next.
    pub seed: u64,
    /// At least so many in all.
    pub ticks: u64,
    /// Of one world; `None`: [`TICKS_A_WORLD`].
    pub world_ticks: Option<u32>,
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Soaked {
    pub worlds: u64,
    pub ticks: u64,
    pub faults: Counts,
    pub launches: u64,
    /// How often a launch was held to a hard budget.
    pub governed: u64,
    /// Of budgets that were crossed: how far at most, as it stood then, and how far they were, in micro-dollars.
    pub overruns: Vec<(i64, i64)>,
    /// Of the worlds that failed, the one with the lowest seed.
    pub failure: Option<Failure>,
    pub failed: u64,
}

impl Soaked {
    fn add(&mut self, came: Came) {
        self.worlds += 1;
        self.ticks += came.ticks;
        self.faults.merge(&came.counts);
        self.launches += came.launches;
        self.governed += came.governed;
        self.overruns.extend(came.overruns);
        if let Some(failure) = came.failure {
            self.failed += 1;
            if self.failure.as_ref().is_none_or(|first| failure.seed < first.seed) {
                self.failure = Some(failure);
            }
        }
    }

    /// The median of how much of the bound was not needed, as a share of it; `None`: no budget was crossed.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn median_slack(&self) -> Option<f64> {
        let bound = self.overruns.iter().filter(|(bound, _)| *bound > 0);
        let mut slack: Vec<f64> = bound.map(|(bound, actual)| (bound - actual) as f64 / *bound as f64).collect();
        slack.sort_by(f64::total_cmp);
        slack.get(slack.len() / 2).copied()
    }
}

/// Plays one world and tells everything that happened in it, line by line.
///
/// # Errors
/// Its settings are not valid: a bug of the soak's.
pub fn trace(seed: u64, world_ticks: u32) -> Result<(Vec<String>, Option<Failure>), String> {
    let came = Episode::traced(seed)?.play(world_ticks);
    Ok((came.trace, came.failure))
}

/// Soaks. `progress` hears how many ticks are done.
///
/// # Errors
/// The settings of a world are not valid: a bug of the soak's.
pub fn soak(soak: Soak, progress: &(dyn Fn(u64) + Sync)) -> Result<Soaked, String> {
    let next = AtomicU64::new(soak.seed);
    let soaked = Mutex::new(Ok(Soaked::default()));
    let ticks = soak.world_ticks.unwrap_or(TICKS_A_WORLD);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let came = Episode::new(seed).map(|episode| episode.play(ticks));
            let Ok(mut soaked) = soaked.lock() else { return };
            let Ok(sum) = &mut *soaked else { return };
            match came {
                Ok(came) => sum.add(came),
                Err(error) => {
                    *soaked = Err(format!("world {seed}: {error}"));
                    return;
                }
            }
            progress(sum.ticks);
            if sum.ticks >= soak.ticks {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..soak.threads.max(1) {
            scope.spawn(work);
        }
    });
    soaked.into_inner().map_err(|_| "a world panicked".to_owned())?
}

//! Luck, by name and number: what draw `k` of a stream gives depends on (seed, stream, k) and on nothing
//! else, so that two policies that meet the same world meet the same luck.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use sha2::{Digest, Sha256};

use crate::world::sim::events::Millis;
use crate::world::sim::scenario::Spread;

/// One stream's dice.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, stream: &str, k: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(k.to_le_bytes());
        hash.update(stream.as_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// A whole number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// One of the list, each as likely.
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let highest = u32::try_from(list.len().checked_sub(1)?).unwrap_or(u32::MAX);
        let index = usize::try_from(self.between(0, highest)).unwrap_or_default();
        list.get(index)
    }

    /// A lognormal length of time.
    pub(crate) fn spread(&mut self, spread: &Spread) -> Millis {
        let normal: f64 = StandardNormal.sample(&mut self.0);
        let drawn = to_millis(spread.median.as_secs_f64() * 1000.0 * (spread.sigma * normal).exp());
        spread.most.map_or(drawn, |most| drawn.min(crate::world::sim::events::millis(most)))
    }

    /// An exponential length of time with this mean.
    pub(super) fn gap(&mut self, mean_hours: f64) -> Millis {
        let unit: f64 = Exp1.sample(&mut self.0);
        to_millis(unit * mean_hours * 3_600_000.0).max(1)
    }

    /// The time to an event that comes `per_hour` times an hour; 0: it never comes.
    pub(crate) fn hazard(&mut self, per_hour: f64) -> Option<Millis> {
        let hours = if per_hour > 0.0 { 1.0 / per_hour } else { 1.0 };
        let gap = self.gap(hours);
        (per_hour > 0.0).then_some(gap)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "saturates: no simulation lasts 300 million years")]
fn to_millis(millis: f64) -> Millis {
    millis.round() as Millis
}

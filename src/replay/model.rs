//! What the replay assumes of the cloud, every figure of it in one place. An assumption, not a measurement.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::trace::{Millis, TraceQueue};
use crate::model::money::Rate;
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::Spread;

/// A kind of machine that serves queues of some size of job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub machine_type: String,
    /// Jobs of up to so many GPUs run on it.
    pub gpus: u32,
    pub vcpu: u32,
    pub rate: Rate,
    /// Machines that one queue may have.
    pub cap: u32,
}

/// How the cloud and the agents behave.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudModel {
    /// The smallest first.
    pub classes: Vec<Class>,
    /// The kind of machine that serves a queue, by its name; one that is not named is served by the size of its jobs.
    pub served: BTreeMap<String, usize>,
    /// How long a launch call takes.
    pub call: Millis,
    /// From the call's end to the running machine.
    pub pending: Spread,
    /// From there to the started system.
    pub system: Spread,
    /// From there to the registered agent.
    pub install: Spread,
    /// Agents look for a task so often.
    pub poll: Millis,
    /// And so long after they have registered or ended a task.
    pub settle: Millis,
    /// Workers report so often.
    pub report: Millis,
    /// The server lists a worker for so long after its machine was terminated.
    pub lingers: Millis,
    /// The least time that a machine is billed for.
    pub least_billed: Millis,
}

impl Default for CloudModel {
    fn default() -> Self {
        let class = |machine_type: &str, gpus, vcpu, rate, cap| Class {
            machine_type: String::from(machine_type),
            gpus,
            vcpu,
            rate: Rate::from_micros_per_hour(rate),
            cap,
        };
        Self {
            classes: vec![
                class("g5.xlarge", 1, 4, 1_006_000, 64),
                class("g5.12xlarge", 4, 48, 5_672_000, 16),
                class("g5.48xlarge", 8, 192, 16_288_000, 12),
            ],
            served: BTreeMap::new(),
            call: 1_500,
            pending: Spread::new(12_000, 0.40),
            system: Spread::new(78_000, 0.35),
            install: Spread::new(180_000, 0.30),
            poll: 5_000,
            settle: 1_000,
            report: 30_000,
            lingers: 5_000,
            least_billed: 60_000,
        }
    }
}

/// When a machine that is being launched will be what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) pending: Millis,
    /// From running to registered.
    pub(super) starting: Millis,
}

impl CloudModel {
    /// The kind of machine that serves a queue: the smallest that holds its largest job.
    pub(super) fn class_of(&self, queue: &TraceQueue) -> usize {
        if let Some(place) = self.served.get(&queue.name) {
            return *place;
        }
        let fits = self.classes.iter().position(|class| queue.gpus <= class.gpus);
        fits.unwrap_or_else(|| self.classes.len().saturating_sub(1))
    }

    /// Boot `k` of a queue: the same for every policy that meets the same seed.
    pub(super) fn boot(&self, seed: u64, queue: &str, k: u64) -> Boot {
        let mut dice = Dice::new(seed, queue, k);
        let pending = dice.spread(&self.pending);
        Boot { pending, starting: dice.spread(&self.system) + dice.spread(&self.install) }
    }
}

/// As a span of time.
pub(super) fn span(millis: Millis) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

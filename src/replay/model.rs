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
    /// A machine that was switched off and is started again: from running to the started system.
    pub system_again: Spread,
    /// From there to the agent.
    pub agent_again: Spread,
    /// What a machine that is switched off costs.
    pub off_rate: Rate,
    /// So many are kept in each pool, by a policy that keeps any.
    pub stopped: u32,
    /// How machines are bought, if the cloud may take them back.
    pub spot: Option<Spot>,
    /// A job that is cut off goes on from the last multiple of this.
    pub checkpoint: Millis,
    pub fault: Option<Fault>,
}

/// Machines that the cloud may take back at any time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Of the price on demand, in percent.
    pub price_percent: u32,
    /// Interruptions of a machine in an hour.
    pub hazard: f64,
    /// Half of each queue's machines, a pool of their own, are on demand.
    pub mixed: bool,
}

/// What goes wrong in the world, besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Workers of ended machines stay listed for ten minutes (ClearML issue 1201).
    Zombie,
    /// Every twentieth job that finds an idle machine: the cloud takes that machine before its agent looks.
    IdleKill,
    /// Every twentieth machine never registers.
    NoRegister,
    /// For twenty minutes, from the first launch after the middle of the trace, the cloud has no capacity.
    Capacity,
    /// Each queue has two kinds of machine; of the first it may have two.
    TwoPools,
    /// In the middle of the trace the controller is started anew, with its store.
    Restart,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::Zombie, Self::IdleKill, Self::NoRegister, Self::Capacity, Self::TwoPools, Self::Restart];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Zombie => "zombie",
            Self::IdleKill => "idle-kill",
            Self::NoRegister => "no-register",
            Self::Capacity => "capacity",
            Self::TwoPools => "two-pools",
            Self::Restart => "restart",
        }
    }
}

/// How long a worker of an ended machine stays listed with [`Fault::Zombie`].
const ZOMBIE: Millis = 600_000;

/// How long the cloud has none with [`Fault::Capacity`].
pub(super) const DROUGHT: Millis = 20 * 60_000;

/// [`Fault::IdleKill`] and [`Fault::NoRegister`] happen once in so many times.
pub(super) const ONE_IN: u64 = 20;

/// Of the first pool of each queue with [`Fault::TwoPools`].
const NEARLY_FULL: u32 = 2;

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
            system_again: Spread::new(35_000, 0.30),
            agent_again: Spread::new(8_000, 0.30),
            off_rate: Rate::from_micros_per_hour(11_000),
            stopped: 0,
            spot: None,
            checkpoint: 1_800_000,
            fault: None,
        }
    }
}

/// When a machine that is being launched will be what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    pub pending: Millis,
    /// From running to registered.
    pub starting: Millis,
}

impl CloudModel {
    /// How long a worker of an ended machine stays listed.
    pub(super) fn lists_the_dead_for(&self) -> Millis {
        if self.fault == Some(Fault::Zombie) { ZOMBIE } else { self.lingers }
    }

    /// Whether the machines of a queue's pool, by its place, are spot machines.
    pub(super) fn is_spot(&self, pool: usize) -> bool {
        self.spot.is_some_and(|spot| !spot.mixed || pool == 0)
    }

    /// What a machine of a class costs in an hour in a pool, by its place.
    pub(super) fn rate_in(&self, class: &Class, pool: usize) -> Rate {
        if self.is_spot(pool) { self.rate(class) } else { class.rate }
    }

    /// What the cheapest machine of a class costs in an hour.
    pub(super) fn rate(&self, class: &Class) -> Rate {
        let percent = self.spot.map_or(100, |spot| spot.price_percent);
        Rate::from_micros_per_hour(class.rate.micros_per_hour() * i64::from(percent) / 100)
    }

    /// How many machines each pool of a queue may have.
    pub(super) fn caps(&self, class: usize) -> Vec<u32> {
        let cap = self.classes.get(class).map_or(0, |class| class.cap);
        let mixed = self.spot.is_some_and(|spot| spot.mixed);
        match self.fault {
            _ if mixed => vec![cap - cap / 2, cap / 2],
            Some(Fault::TwoPools) => vec![NEARLY_FULL.min(cap), cap.saturating_sub(NEARLY_FULL)],
            _ => vec![cap],
        }
    }

    /// A machine of the queue that was off starts for the `k`-th time.
    pub(super) fn start_again(&self, seed: u64, queue: &str, k: u64) -> Boot {
        let mut dice = Dice::new(seed, &format!("{queue} again"), k);
        let pending = dice.spread(&self.pending);
        Boot { pending, starting: dice.spread(&self.system_again) + 5_000 + dice.spread(&self.agent_again) }
    }

    /// After how long the cloud takes machine `k` of a queue back, which is of the pool at this place.
    pub(super) fn interruption(&self, seed: u64, queue: &str, pool: usize, k: u64) -> Option<Millis> {
        let spot = self.spot.filter(|_| self.is_spot(pool))?;
        Dice::new(seed, &format!("{queue} interrupted"), k).hazard(spot.hazard)
    }

    /// The kind of machine that serves a queue: the smallest that holds its largest job.
    pub(super) fn class_of(&self, queue: &TraceQueue) -> usize {
        if let Some(place) = self.served.get(&queue.name) {
            return *place;
        }
        let fits = self.classes.iter().position(|class| queue.gpus <= class.gpus);
        fits.unwrap_or_else(|| self.classes.len().saturating_sub(1))
    }

    /// Boot `k` of a queue: the same for every policy that meets the same seed.
    #[must_use]
    pub fn boot(&self, seed: u64, queue: &str, k: u64) -> Boot {
        let mut dice = Dice::new(seed, queue, k);
        let pending = dice.spread(&self.pending);
        Boot { pending, starting: dice.spread(&self.system) + dice.spread(&self.install) }
    }
}

/// As a span of time.
pub(super) fn span(millis: Millis) -> SignedDuration {
    SignedDuration::from_millis(millis)
}

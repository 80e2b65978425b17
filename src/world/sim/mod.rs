//! The simulated world: what is out there, without being out there. One program on one line of events; one
//! seed is one run, byte for byte. The demo, the tests and the replay live in it.

pub mod clearml;
pub mod scenario;

mod agent;
mod calls;
mod cloud;
mod demand;
mod events;
mod fault;
mod judge;
mod random;
mod state;
mod tracker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::settings::Provider;
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::sim::scenario::{Fault, JudgedLimits, Scenario};
use crate::world::sim::state::State;

pub use judge::Judgement;

/// A simulated world. Clones are the same world.
#[derive(Debug, Clone)]
pub struct Sim(Arc<Shared>);

/// What both faces of the world share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    clock: Clock,
}

impl Shared {
    /// The state, with everything done that was to happen until now.
    fn present(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(self.clock.now());
        state
    }
}

impl Sim {
    /// A world that begins now. Times of the scenario count from here, whatever its `start` says: that is the
    /// date at which the clock should have been started.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64, clock: Clock) -> Self {
        let state = Mutex::new(State::new(scenario, seed, clock.now()));
        Self(Arc::new(Shared { state, clock }))
    }

    /// What the console sees of it.
    #[must_use]
    pub fn world(&self) -> World {
        World { tracker: self.0.clone(), clouds: [(Provider::Aws, self.0.clone() as _)].into() }
    }

    /// The verdict up to now.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        self.0.present().judge()
    }

    /// Lets something go wrong now. False: there was nothing that it could befall.
    pub fn fault(&self, fault: &Fault) -> bool {
        self.0.present().fault(fault)
    }

    /// From now on launches are judged by these limits: somebody has edited the real ones.
    pub fn set_limits(&self, limits: JudgedLimits) {
        self.0.present().limits = limits;
    }
}

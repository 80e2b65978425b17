//! The simulated world: what is out there, without being out there. One program on one line of events; one
//! seed is one run, byte for byte. The demo, the tests and the replay live in it.

pub mod clearml;
pub mod scenario;

mod agent;
mod calls;
mod cloud;
mod demand;
mod desk;
mod events;
mod fault;
mod hold;
mod judge;
pub(crate) mod random;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Revision, Term};
    use crate::model::money::Money;
    use crate::model::plan::Launch;
    use crate::model::settings::{Market, PoolSettings};
    use crate::world::cloud::{AgentAccess, LaunchOrder};
    use crate::world::sim::scenario::{MachineOffer, PlannedTask};
    use crate::world::tracker::Tracker;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn order(token: crate::world::secret::Secret) -> LaunchOrder {
        let pool = PoolSettings {
            region: "us-east-1".to_owned(),
            types: vec!["g5.xlarge".into()],
            max_boot: SignedDuration::from_mins(10),
            ..PoolSettings::with_defaults("a10g")
        };
        LaunchOrder {
            fleet: "demo".into(),
            batch: "b1".into(),
            launch: Launch {
                pool: "a10g".into(),
                queue: "train".into(),
                machine_type: "g5.xlarge".into(),
                market: Market::OnDemand,
                count: 3,
                vcpu: 4,
                gpu: 1,
                rate: None,
                reservation: Money::ZERO,
                choices: Vec::new(),
            },
            pool,
            revision: Revision::new("abc"),
            term: Term(1),
            queues: vec!["train".into()],
            agents: AgentAccess { api_server: String::new(), token },
            bids: Vec::new(),
        }
    }

    fn scenario(tasks: &[(i64, i64)]) -> Scenario {
        let task = |(at, duration): &(i64, i64)| PlannedTask {
            at: SignedDuration::from_millis(*at),
            queue: "train".to_owned(),
            name: "task".to_owned(),
            duration: SignedDuration::from_millis(*duration),
            user: String::new(),
            project: String::new(),
        };
        let machine = MachineOffer { name: "g5.xlarge".to_owned(), vcpu: 4, on_demand: 1_006_000, spot: None };
        let queue = toml::from_str("name = 'train'").unwrap();
        let tasks = tasks.iter().map(task).collect();
        Scenario { queues: vec![queue], machines: vec![machine], tasks, ..Scenario::default() }
    }

    /// Three machines, tasks, drains and their cancelling; where `dense`, every poll of every agent is made.
    async fn story(tasks: &[(i64, i64)], orders: &[(i64, usize, bool)], dense: bool) -> String {
        let clock = Clock::simulated(jiff::Timestamp::UNIX_EPOCH, 1);
        let sim = Sim::new(scenario(tasks), 1, clock);
        let world = sim.world();
        let token = world.tracker.mint_agent_token(SignedDuration::from_hours(1)).await.unwrap();
        let made = world.cloud(Provider::Aws).unwrap().launch(&order(token)).await.unwrap();
        let (mut orders, mut told) = (orders.to_vec(), Vec::new());
        orders.sort_unstable();
        for second in 0..1_800 {
            while let Some((_, machine, drain)) = orders.first().copied().filter(|(at, ..)| *at <= second) {
                orders.remove(0);
                let id = &made[machine].id;
                let tracker: &dyn Tracker = &*world.tracker;
                if drain { tracker.order_drain(id, "n").await } else { tracker.cancel_drain(id).await }.unwrap();
            }
            if dense {
                let mut state = sim.0.present();
                for agent in 0..state.agents.len() {
                    state.poll_soon(agent);
                }
            }
            clock.sleep(SignedDuration::from_secs(1)).await;
            let state = sim.0.present();
            let said = state.server.queues(true).filter_map(|queue| queue.metadata.get("state"));
            told.push(said.map(|state| state.value.clone()).collect::<Vec<_>>());
        }
        let state = sim.0.present();
        let tasks: Vec<_> =
            state.server.tasks().map(|task| (&task.id, task.status, task.started, &task.last_worker)).collect();
        format!("{told:?} {tasks:?} {:?}", state.judge())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Leaving out the polls that find nothing changes nothing.
        #[test]
        fn an_agent_that_skips_its_idle_polls_lives_like_one_that_does_not(
            tasks in prop::collection::vec((0_i64..1_600_000, prop_oneof![500_i64..20_000, 500_i64..300_000]), 0..60),
            orders in prop::collection::vec((250_i64..1_700, 0_usize..3, any::<bool>()), 0..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let (lazy, dense) = runtime.block_on(async {
                (story(&tasks, &orders, false).await, story(&tasks, &orders, true).await)
            });
            prop_assert_eq!(lazy, dense);
        }
    }
}

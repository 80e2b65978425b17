//! Everything there is in the simulated world, and what happens in it by itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::ids::{FleetId, InstanceId, IntentId, PoolName, TaskId};
use crate::world::sim::agent::Agent;
use crate::world::sim::calls::Calls;
use crate::world::sim::clearml::ClearmlServer;
use crate::world::sim::cloud::{Batch, Machine, Stock};
use crate::world::sim::demand::{Flow, Truth};
use crate::world::sim::events::{Event, Events, Index, Millis, SECOND, millis, timestamp};
use crate::world::sim::judge::Counts;
use crate::world::sim::scenario::{JudgedLimits, Scenario};

/// The server looks for tasks without a sign of life this often.
const WATCHDOG_EVERY: Millis = 900 * SECOND;

/// The world between two calls.
#[derive(Debug)]
pub(super) struct State {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) start: Millis,
    pub(super) now: Millis,
    pub(super) events: Events,
    pub(super) server: ClearmlServer,
    pub(super) flows: Vec<Flow>,
    pub(super) tasks: BTreeMap<TaskId, Truth>,
    pub(super) machines: Vec<Machine>,
    pub(super) machine_of: BTreeMap<InstanceId, Index>,
    /// Those that the cloud lists, or will.
    pub(super) listed: BTreeSet<Index>,
    pub(super) batches: BTreeMap<IntentId, Batch>,
    /// How many machines each pool has had: the number of the next one's boot.
    pub(super) boots: BTreeMap<PoolName, u64>,
    pub(super) stock: Stock,
    /// How often somebody has made new images.
    pub(super) images_made: u32,
    /// So many of the next machines never register.
    pub(super) never_register: u32,
    pub(super) agents: Vec<Agent>,
    pub(super) living: BTreeSet<Index>,
    pub(super) calls: Calls,
    /// The value of each fleet's lease, and since when.
    pub(super) leases: BTreeMap<FleetId, (String, Millis)>,
    /// The agents' tokens and when they expire.
    pub(super) tokens: BTreeMap<String, Millis>,
    pub(super) minted: u64,
    pub(super) limits: JudgedLimits,
    pub(super) counts: Counts,
}

impl State {
    pub(super) fn new(scenario: Scenario, seed: u64, now: Timestamp) -> Self {
        let now = now.as_millisecond();
        let mut state = Self {
            seed,
            start: now,
            now,
            events: Events::default(),
            server: ClearmlServer::new(timestamp(now)),
            flows: Vec::new(),
            tasks: BTreeMap::new(),
            machines: Vec::new(),
            machine_of: BTreeMap::new(),
            listed: BTreeSet::new(),
            batches: BTreeMap::new(),
            boots: BTreeMap::new(),
            stock: Stock::new(&scenario, seed, now),
            images_made: 0,
            never_register: 0,
            agents: Vec::new(),
            living: BTreeSet::new(),
            calls: Calls::new(&scenario, seed, now),
            leases: BTreeMap::new(),
            tokens: BTreeMap::new(),
            minted: 0,
            limits: scenario.limits.clone(),
            counts: Counts::default(),
            scenario,
        };
        state.begin();
        state
    }

    fn begin(&mut self) {
        self.begin_demand();
        self.events.at(self.start + WATCHDOG_EVERY, Event::Watchdog);
        for (index, fault) in self.scenario.faults.iter().enumerate() {
            self.events.at(self.start.saturating_add(millis(fault.at)), Event::Fault(index));
        }
        for (index, foreign) in self.scenario.foreign.iter().enumerate() {
            self.events.at(self.start.saturating_add(millis(foreign.comes)), Event::ForeignComes(index));
        }
    }

    /// Lets happen what was to happen until `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let now = now.as_millisecond().max(self.now);
        while let Some((at, event)) = self.events.pop_due(now) {
            self.now = at;
            self.happen(event);
        }
        self.now = now;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(queue) => self.task_arrives(queue),
            Event::Sweep(queue) => self.sweep_begins(queue),
            Event::SweepTask { queue, sweep } => self.sweep_task(queue, sweep),
            Event::Planned(task) => self.planned_task(task),
            Event::Boots(machine) => self.agent_starts(machine),
            Event::ForeignComes(foreign) => self.foreign_comes(foreign),
            Event::Polls(agent) => self.poll(agent),
            Event::Starts { agent, run } => self.task_starts(agent, run),
            Event::Finishes { agent, run } => self.task_finishes(agent, run),
            Event::Aborts { agent, run } => self.run_aborted(agent, run),
            Event::DrainGrace(agent) => self.drain_grace(agent),
            Event::EndAsked(machine) => self.end_asked(machine),
            Event::LeaseCheck(machine) => self.lease_check(machine),
            Event::GivesUp { machine, why } => self.gives_up(machine, why),
            Event::EndOfLife(machine) => self.end_of_life(machine),
            Event::AgentDies(machine) => self.agent_dies(machine),
            Event::MachineDies(machine) => self.machine_dies(machine),
            Event::SpotNotice(machine) => self.spot_notice(machine),
            Event::SpotEnd(machine) => self.spot_end(machine),
            Event::Fault(index) => {
                if let Some(timed) = self.scenario.faults.get(index).cloned() {
                    self.fault(&timed.fault);
                }
            }
            Event::TrackerUp => self.tracker_up(),
            Event::Watchdog => self.watchdog(),
        }
    }

    fn watchdog(&mut self) {
        if !self.calls.tracker_is_down(self.now) {
            self.report_all();
            self.server.stop_unresponsive(self.time());
        }
        self.events.at(self.now + WATCHDOG_EVERY, Event::Watchdog);
    }

    /// The present moment, as the server and the cloud write it.
    pub(super) fn time(&self) -> Timestamp {
        timestamp(self.now)
    }
}

//! Faults happen.

use crate::model::settings::Market;
use crate::world::sim::agent::{Agent, Doing};
use crate::world::sim::calls::Answer;
use crate::world::sim::clearml::ClearmlServer;
use crate::world::sim::cloud::Cause;
use crate::world::sim::events::{Event, Index, Millis, millis};
use crate::world::sim::scenario::{Fault, Pick};
use crate::world::sim::state::State;

impl State {
    /// Whether there was something that it could befall.
    pub(super) fn fault(&mut self, fault: &Fault) -> bool {
        let now = self.now;
        let until = |lasts| now.saturating_add(millis(lasts));
        match fault {
            Fault::TrackerDown { lasts } => self.tracker_goes_down(until(*lasts)),
            Fault::CloudDown { lasts } => self.calls.cloud_down(until(*lasts)),
            Fault::Silence { call, times, acted } => self.calls.plan(*call, *times, Answer::Silent, *acted),
            Fault::Throttle { call, times, acted } => self.calls.plan(*call, *times, Answer::Throttled, *acted),
            Fault::NoCapacity { machine_type, zone, lasts, left } => {
                self.stock.shorten(machine_type, zone.as_deref(), until(*lasts), *left);
            }
            Fault::ImagesMade => self.images_made += 1,
            Fault::NeverRegister { machines } => self.never_register += machines,
            Fault::PhantomEntries { queue, entries } => return self.phantoms(queue, *entries),
            Fault::QueueDeleted { queue } => return self.queue_deleted(queue),
            Fault::StoppedOutside { machine } => {
                return self.befall(machine, |s, it| s.end_machine(it, Cause::Outside));
            }
            Fault::MachineDies { machine } => return self.befall(machine, Self::machine_dies),
            Fault::AgentDies { machine } => return self.befall(machine, Self::agent_dies),
            Fault::SpotNotice { machine } => return self.befall(machine, Self::spot_notice),
            Fault::Unlisted { machine, lasts } => {
                let until = until(*lasts);
                return self.befall(machine, |state, index| {
                    if let Some(machine) = state.machines.get_mut(index) {
                        machine.unlisted_until = machine.unlisted_until.max(until);
                    }
                });
            }
        }
        true
    }

    fn befall(&mut self, pick: &Pick, what: impl FnOnce(&mut Self, Index)) -> bool {
        let Some(index) = self.pick(pick) else { return false };
        what(self, index);
        true
    }

    fn pick(&self, pick: &Pick) -> Option<Index> {
        let doing = |index: Index, wanted: &dyn Fn(&Agent) -> bool| {
            let agents = self.machines.get(index).into_iter().flat_map(|machine| &machine.agents);
            let agents = agents.filter_map(|agent| self.agents.get(*agent)).filter(|agent| agent.alive);
            let doing: Vec<bool> = agents.map(wanted).collect();
            (doing.iter().filter(|wanted| **wanted).count(), doing.len())
        };
        self.listed.iter().copied().find(|index| {
            let Some(machine) = self.machines.get(*index).filter(|machine| machine.lives()) else { return false };
            match pick {
                Pick::Id(id) => machine.id.as_str() == id,
                Pick::Busy => doing(*index, &|agent| matches!(agent.doing, Doing::Running { .. })).0 > 0,
                Pick::Idle => {
                    let (idle, all) = doing(*index, &|agent| agent.doing == Doing::Idle);
                    all > 0 && idle == all
                }
                Pick::Spot => machine.market == Market::Spot,
                Pick::Pool(pool) => machine.pool.as_str() == pool,
            }
        })
    }

    fn tracker_goes_down(&mut self, until: Millis) {
        self.report_all();
        self.calls.tracker_down(until);
        self.events.at(until, Event::TrackerUp);
    }

    fn queue_deleted(&mut self, name: &str) -> bool {
        let Some(queue) = self.server.queue_by_name(name).map(|queue| queue.id.clone()) else { return false };
        let deleted = self.server.delete_queue(self.time(), &ClearmlServer::console(), &queue, true).is_ok();
        for agent in self.agents.iter_mut().filter(|agent| agent.queues.contains(&queue)) {
            agent.deaf = true;
        }
        deleted
    }
}

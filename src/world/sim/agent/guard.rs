//! The guard of a machine and the gate of its agent (GUARD.md; `assets/guard`), as they behave.

use crate::model::ids::{InstanceId, QueueId, QueueName, mailbox_queue};
use crate::world::sim::agent::{Agent, Doing, Gate};
use crate::world::sim::clearml::{ClearmlServer, HIDING_TAG};
use crate::world::sim::cloud::Cause;
use crate::world::sim::events::{Event, Index, Millis, SECOND, millis, timestamp};
use crate::world::sim::state::State;

/// The guard looks around this often, and proves idleness by one poll more.
const TICK: Millis = 5 * SECOND;

/// A guard that cannot make its mailbox gives up after this.
const MAILBOX_TRIES: Millis = 10 * TICK;

/// It looks for the console's lease this often.
const LEASE_TICK: Millis = 60 * SECOND;

impl State {
    /// The agent of a machine starts: with a mailbox first, behind a gate.
    pub(in crate::world::sim) fn agent_starts(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on() && machine.agent.is_none())
        else {
            return;
        };
        // Switched off and on again meanwhile: a later event is the one.
        if now < machine.agent_from() {
            return;
        }
        let (gated, names, worker) = (machine.gate, machine.queues.clone(), machine.worker());
        let mailbox = mailbox_queue(&machine.id);
        let authorized = self.tokens.get(&machine.token).is_some_and(|expires| now < *expires);
        if !authorized || self.calls.tracker_up_at() > now + MAILBOX_TRIES {
            return self.give_up(index, gated.then_some(MAILBOX_TRIES));
        }
        if self.calls.tracker_is_down(now) {
            return self.events.at(self.calls.tracker_up_at(), Event::Boots(index));
        }
        if gated {
            self.hidden_queue(&mailbox);
        }
        let queues = names.iter().map(|name| self.server.queue_by_name(name.as_str()).map(|queue| queue.id.clone()));
        let Some(queues) = queues.collect::<Option<Vec<QueueId>>>() else { return self.give_up(index, None) };
        let user = ClearmlServer::agents();
        // All queues are known, and nothing else is refused.
        let _ = self.server.register_worker(timestamp(now), &user, &worker, queues.clone(), None);
        let mut agent = Agent::new(worker, user, queues, now);
        agent.machine = Some(index);
        agent.gate = gated.then_some(Gate { mailbox, read: None, open: false, drained_since: None });
        self.say(index, format!("tidegate guard: worker {}", agent.worker));
        let agent = self.employ(agent);
        let Some(machine) = self.machines.get_mut(index) else { return };
        machine.agent = Some(agent);
        if let Some(after) = machine.boot.agent_dies {
            self.events.at(now.saturating_add(after), Event::AgentDies(index));
        }
        if gated {
            self.events.at(now + LEASE_TICK, Event::LeaseCheck(index));
        }
    }

    /// The agent cannot start: without a mailbox soon, else after some tries.
    fn give_up(&mut self, machine: Index, after: Option<Millis>) {
        let why = if after.is_some() { "no mailbox could be made" } else { "the agent does not live" };
        let after = after.unwrap_or_else(|| millis(self.scenario.agent.gives_up_after));
        self.events.at(self.now + after, Event::GivesUp { machine, why });
    }

    pub(in crate::world::sim) fn gives_up(&mut self, machine: Index, why: &str) {
        if self.machines.get(machine).is_some_and(|machine| machine.agent.is_none()) {
            self.power_off(machine, why);
        }
    }

    /// The hidden queue of that name, made if there is none.
    pub(in crate::world::sim) fn hidden_queue(&mut self, name: &QueueName) -> Option<QueueId> {
        if let Some(queue) = self.server.queue_by_name(name.as_str()) {
            return Some(queue.id.clone());
        }
        self.server.create_queue(timestamp(self.now), name.as_str(), &[HIDING_TAG]).ok()
    }

    fn say(&mut self, machine: Index, line: String) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(machine) {
            machine.said.push((now, line));
        }
    }

    /// Somebody wrote into a machine's mailbox, made it or removed it.
    pub(in crate::world::sim) fn mailbox_changed(&mut self, instance: &InstanceId) {
        if let Some(agent) = self.machine(instance).and_then(|(_, machine)| machine.agent) {
            self.read_soon(agent);
        }
    }

    /// The gate reads, answers, and only then opens or closes.
    pub(super) fn read_mailbox(&mut self, index: Index) {
        let now = self.now;
        let time = timestamp(now);
        let Some((agent, gate)) =
            self.agents.get_mut(index).and_then(|agent| Some((agent.machine, agent.gate.as_mut()?)))
        else {
            return;
        };
        let Some(mailbox) = self.server.queue_by_name(gate.mailbox.as_str()).map(|queue| queue.id.clone()) else {
            (gate.read, gate.open) = (None, false);
            return;
        };
        gate.read = Some(now);
        let value = |key| self.server.metadata(&mailbox, key).unwrap_or_default().to_owned();
        let (want, state) = (value("want"), value("state"));
        let was_open = gate.open;
        let answer = if let Some(nonce) = want.strip_prefix("drain:") {
            gate.open = false;
            if gate.drained_since.is_none() {
                gate.drained_since = Some(now);
                let grace = millis(self.scenario.agent.drain_grace);
                self.events.at(now + grace + TICK, Event::DrainGrace(index));
            }
            Some(format!("drained:{nonce}")).filter(|drained| *drained != state)
        } else {
            (gate.open, gate.drained_since) = (true, None);
            state.strip_prefix("drained:").map(|nonce| format!("run:{nonce}"))
        };
        let opened = gate.open && !was_open;
        if let Some(answer) = &answer {
            // The queue was found just now.
            let _ = self.server.set_metadata(time, &mailbox, "state", answer);
        }
        if let Some(machine) = agent.filter(|_| opened || answer.is_some()) {
            let said = answer.filter(|_| !opened).unwrap_or_else(|| "open".to_owned());
            self.say(machine, format!("tidegate gate: {said}"));
        }
    }

    /// A drain was acknowledged and the console did not end the machine: it ends itself.
    pub(in crate::world::sim) fn drain_grace(&mut self, index: Index) {
        let grace = millis(self.scenario.agent.drain_grace) + TICK;
        let Some(agent) = self.agents.get(index).filter(|agent| agent.alive && agent.doing == Doing::Idle) else {
            return;
        };
        let since = agent.gate.as_ref().and_then(|gate| gate.drained_since);
        if let Some(machine) = agent.machine.filter(|_| since.is_some_and(|since| since + grace <= self.now)) {
            self.power_off(machine, "drained");
        }
    }

    /// Ends a machine that hears nothing of the console and has nothing to do.
    pub(in crate::world::sim) fn lease_check(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on()) else { return };
        let Some(agent) = machine.agent.and_then(|agent| self.agents.get(agent)).filter(|agent| agent.alive) else {
            return;
        };
        let heard = self.leases.get(&machine.fleet).map_or(self.start, |(_, since)| *since).max(machine.up_from());
        let lost_at = heard + millis(self.scenario.agent.lease_life);
        let idle_from = if agent.doing == Doing::Idle { agent.idle_since } else { now };
        let idle_at = idle_from + millis(self.scenario.agent.idle_life);
        if lost_at <= now && idle_at <= now {
            self.power_off(index, "console lost, idle");
        } else {
            self.events.at(lost_at.max(idle_at).max(now + LEASE_TICK), Event::LeaseCheck(index));
        }
    }

    /// The machine has lived as long as it may. A run that it has stays in progress, for the console to put back.
    pub(in crate::world::sim) fn end_of_life(&mut self, index: Index) {
        if self.machines.get(index).is_some_and(|machine| machine.end_of_life() <= self.now) {
            self.power_off(index, "end of life");
        }
    }

    fn power_off(&mut self, index: Index, why: &str) {
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on()) else { return };
        let (mailbox, gate, agent) = (mailbox_queue(&machine.id), machine.gate, machine.agent);
        self.say(index, format!("tidegate guard: power-off: {why}"));
        if !self.calls.tracker_is_down(self.now) {
            let mailbox = self.server.queue_by_name(mailbox.as_str()).map(|queue| queue.id.clone());
            if let Some(mailbox) = mailbox.filter(|_| gate) {
                let _ = self.server.set_metadata(timestamp(self.now), &mailbox, "gone", why);
            }
            if let Some(agent) = agent {
                self.say_goodbye(agent);
            }
        }
        self.end_machine(index, Cause::Guard);
    }

    /// An idle agent that is told to end unregisters; one that is killed with its task cannot.
    pub(in crate::world::sim) fn say_goodbye(&mut self, index: Index) {
        let Some(agent) = self.agents.get_mut(index).filter(|agent| agent.alive && agent.doing == Doing::Idle) else {
            return;
        };
        agent.alive = false;
        self.living.remove(&index);
        self.server.unregister_worker(&agent.user, &agent.worker);
    }

    /// The agent falls silent with its task; the machine lives on.
    pub(in crate::world::sim) fn agent_dies(&mut self, machine: Index) {
        if let Some(agent) = self.machines.get(machine).and_then(|machine| machine.agent) {
            self.cut(agent);
        }
    }
}

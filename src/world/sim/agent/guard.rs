//! The guard of a machine and the gate of its agent (GUARD.md; `assets/guard`), as they behave.

use crate::model::ids::{InstanceId, QueueId, QueueName, mailbox_queue};
use crate::model::settings::GuardKind;
use crate::world::sim::agent::{Agent, Doing, Gate, next_on_grid};
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
    /// The agents of a machine start: with a mailbox first, each behind a gate.
    pub(in crate::world::sim) fn agent_starts(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on() && machine.agents.is_empty())
        else {
            return;
        };
        // Switched off and on again meanwhile: a later event is the one.
        if now < machine.agent_from() {
            return;
        }
        let (guard, names, workers) = (machine.guard, machine.queues.clone(), machine.workers());
        let guarded = guard != GuardKind::Off;
        let mailbox = mailbox_queue(&machine.id);
        let authorized = self.tokens.get(&machine.token).is_some_and(|expires| now < *expires);
        if !authorized || self.calls.tracker_up_at() > now + MAILBOX_TRIES {
            return self.give_up(index, guarded.then_some(MAILBOX_TRIES));
        }
        if self.calls.tracker_is_down(now) {
            return self.events.at(self.calls.tracker_up_at(), Event::Boots(index));
        }
        let own = if guarded { self.hidden_queue(&mailbox) } else { None };
        if let Some(own) = own.as_ref().filter(|_| workers.len() > 1) {
            let _ = self.server.set_metadata(timestamp(now), own, "agents", &workers.len().to_string());
        }
        let queues = names.iter().map(|name| self.server.queue_by_name(name.as_str()).map(|queue| queue.id.clone()));
        let Some(mut queues) = queues.collect::<Option<Vec<QueueId>>>() else { return self.give_up(index, None) };
        // An agent that is held by tasks asks its own queue first.
        if let Some(own) = own.filter(|_| guard == GuardKind::Hold) {
            queues.insert(0, own);
        }
        let mut agents = Vec::new();
        for worker in workers {
            let user = ClearmlServer::agents();
            // All queues are known, and nothing else is refused.
            let _ = self.server.register_worker(timestamp(now), &user, &worker, queues.clone(), None);
            let mut agent = Agent::new(worker, user, queues.clone(), now);
            agent.machine = Some(index);
            agent.gate = (guard == GuardKind::Gate).then(|| Gate::new(mailbox.clone()));
            self.say(index, format!("tidegate guard: worker {}", agent.worker));
            agents.push(self.employ(agent));
        }
        let Some(machine) = self.machines.get_mut(index) else { return };
        machine.agents = agents;
        if let Some(after) = machine.boot.agent_dies {
            self.events.at(now.saturating_add(after), Event::AgentDies(index));
        }
        if guarded {
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
        if self.machines.get(machine).is_some_and(|machine| machine.agents.is_empty()) {
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
        for agent in self.machine(instance).map(|(_, machine)| machine.agents.clone()).unwrap_or_default() {
            self.read_soon(agent);
        }
    }

    /// The agents of a machine that live.
    fn crew(&self, machine: Index) -> impl Iterator<Item = &Agent> {
        let agents = self.machines.get(machine).into_iter().flat_map(|machine| &machine.agents);
        agents.filter_map(|agent| self.agents.get(*agent)).filter(|agent| agent.alive)
    }

    /// Whether every agent that its machine started has proved that it has no task since it was told of this drain. One
    /// that hangs never does.
    fn all_proved(&self, machine: Option<Index>, nonce: &str) -> bool {
        let Some(machine) = machine.and_then(|machine| self.machines.get(machine)) else { return true };
        let gates = machine.agents.iter().filter_map(|agent| self.agents.get(*agent)?.gate.as_ref());
        gates.into_iter().all(|gate| gate.proved.as_deref() == Some(nonce))
    }

    /// The gate reads, answers once its machine's others have read the same, and only then opens or closes.
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
            (gate.open, gate.proved) = (false, Some(nonce.to_owned()));
            if gate.drained_since.is_none() {
                gate.drained_since = Some(now);
                let grace = millis(self.scenario.agent.drain_grace);
                self.events.at(now + grace + TICK, Event::DrainGrace(index));
            }
            let proved = self.all_proved(agent, nonce);
            Some(format!("drained:{nonce}")).filter(|drained| proved && *drained != state)
        } else {
            (gate.open, gate.drained_since, gate.proved) = (true, None, None);
            state.strip_prefix("drained:").map(|nonce| format!("run:{nonce}"))
        };
        let opened = !was_open && !want.starts_with("drain:");
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
        let Some(machine) = self.agents.get(index).filter(|agent| agent.alive).and_then(|agent| agent.machine) else {
            return;
        };
        let long = |agent: &Agent| {
            let since = agent.gate.as_ref().and_then(|gate| gate.drained_since);
            agent.doing == Doing::Idle && since.is_some_and(|since| since + grace <= self.now)
        };
        let started = self.machines.get(machine).map_or(0, |machine| machine.agents.len());
        if self.crew(machine).filter(|agent| long(agent)).count() == started {
            self.power_off(machine, "drained");
        }
    }

    /// Somebody wrote into the mailbox of a machine that its tasks are to end: its guard asks once a minute.
    pub(in crate::world::sim) fn end_will_be_heard(&mut self, instance: &InstanceId) {
        let Some((index, machine)) = self.machine(instance).filter(|(_, machine)| machine.guard != GuardKind::Off)
        else {
            return;
        };
        let at = next_on_grid(machine.agent_from(), LEASE_TICK, self.now);
        self.events.at(at, Event::EndAsked(index));
    }

    /// The tasks of a machine that drains write what they have, and wait in their queues again. One that is being set up
    /// does not hear it.
    pub(in crate::world::sim) fn end_asked(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on()) else { return };
        let (mailbox, agents) = (mailbox_queue(&machine.id), machine.agents.clone());
        let mailbox = self.server.queue_by_name(mailbox.as_str()).map(|queue| queue.id.clone());
        let value = |key| Some(self.server.metadata(mailbox.as_ref()?, key).unwrap_or_default().to_owned());
        let (Some(want), Some(end)) = (value("want"), value("end")) else { return };
        if end.is_empty() || want.strip_prefix("drain:") != Some(&end) {
            return;
        }
        if self.calls.tracker_is_down(now) {
            return self.events.at(self.calls.tracker_up_at() + LEASE_TICK, Event::EndAsked(index));
        }
        let mut again = false;
        for agent in agents {
            again |= self.agents.get(agent).is_some_and(|agent| matches!(agent.doing, Doing::Starting { .. }));
            self.checkpoint(agent);
        }
        if again {
            self.events.at(now + LEASE_TICK, Event::EndAsked(index));
        }
    }

    /// Ends a machine that hears nothing of the console and has nothing to do.
    pub(in crate::world::sim) fn lease_check(&mut self, index: Index) {
        let now = self.now;
        let Some(machine) = self.machines.get(index).filter(|machine| machine.is_on()) else { return };
        if self.crew(index).next().is_none() {
            return;
        }
        let heard = self.leases.get(&machine.fleet).map_or(self.start, |(_, since)| *since).max(machine.up_from());
        let lost_at = heard + millis(self.scenario.agent.lease_life);
        let idle_from = |agent: &Agent| if agent.doing == Doing::Idle { agent.idle_since } else { now };
        let idle_from = self.crew(index).map(idle_from).max().unwrap_or(now);
        let idle_at = idle_from + millis(self.scenario.agent.idle_life);
        // Without a gate it holds its agent by a task, too, for which it needs the server.
        let provable = machine.guard == GuardKind::Gate || !self.calls.tracker_is_down(now);
        if lost_at <= now && idle_at <= now && provable {
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
        let (mailbox, agents) = (mailbox_queue(&machine.id), machine.agents.clone());
        let guarded = machine.guard != GuardKind::Off;
        self.say(index, format!("tidegate guard: power-off: {why}"));
        if !self.calls.tracker_is_down(self.now) {
            let mailbox = self.server.queue_by_name(mailbox.as_str()).map(|queue| queue.id.clone());
            if let Some(mailbox) = mailbox.filter(|_| guarded) {
                let _ = self.server.set_metadata(timestamp(self.now), &mailbox, "gone", why);
            }
            for agent in agents {
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

    /// An agent falls silent with its task, the first that lives of several; the machine and the others live on.
    pub(in crate::world::sim) fn agent_dies(&mut self, machine: Index) {
        let agents = self.machines.get(machine).map(|machine| machine.agents.clone()).unwrap_or_default();
        let lives = |agent: &Index| self.agents.get(*agent).is_some_and(|agent| agent.alive);
        if let Some(agent) = agents.into_iter().find(lives) {
            self.cut(agent);
        }
    }
}

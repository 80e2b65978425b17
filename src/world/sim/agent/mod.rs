//! clearml-agent: it polls, takes a task, runs it, reports. Polls that would find nothing are left out; those
//! that remain are at the very moments at which an agent that never sleeps would make them.

mod guard;
mod run;

use crate::model::ids::{QueueId, QueueName, TaskId, WorkerId};
use crate::world::sim::clearml::{Report, UserId};
use crate::world::sim::events::{Event, Index, Millis, SECOND, millis, timestamp};
use crate::world::sim::scenario::AgentManners;
use crate::world::sim::state::State;

/// From registering to the first report.
const FIRST_REPORT: Millis = 3 * SECOND;

/// A row that is brought up to date after a long time gets reports at least this often, so that it lives on.
const REPORT_AT_LEAST: Millis = 540 * SECOND;

/// One worker: of one of our machines, or of somebody else.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) worker: WorkerId,
    pub(super) user: UserId,
    pub(super) machine: Option<Index>,
    /// In the order in which it asks them.
    pub(super) queues: Vec<QueueId>,
    pub(super) alive: bool,
    /// A queue of it was deleted: it fails at every poll for good (CLEARML.md section 2).
    pub(super) deaf: bool,
    pub(super) doing: Doing,
    /// The number of its present or last run.
    run: u64,
    /// The first poll since it last had a task.
    polls_from: Millis,
    idle_since: Millis,
    /// Polls that are on the line of events.
    next: [Option<Millis>; 2],
    gate: Option<Gate>,
    registered: Millis,
    reported: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    Idle,
    /// Taken off its queue, not yet started.
    Starting {
        task: TaskId,
        queue: QueueId,
    },
    Running {
        task: TaskId,
        queue: QueueId,
        since: Millis,
    },
}

impl Doing {
    pub(super) fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Idle => None,
            Self::Starting { task, .. } | Self::Running { task, .. } => Some(task),
        }
    }
}

/// The gate in front of an agent's polls.
#[derive(Debug)]
struct Gate {
    mailbox: QueueName,
    /// The last reading that was made for real; those since then would have found nothing new. `None`: it
    /// failed, so that the next poll reads again.
    read: Option<Millis>,
    open: bool,
    drained_since: Option<Millis>,
    /// The drain of which it knows that its own agent has no task.
    proved: Option<String>,
}

impl Gate {
    fn new(mailbox: QueueName) -> Self {
        Self { mailbox, read: None, open: false, drained_since: None, proved: None }
    }
}

/// The times of polls, and of those polls that read the mailbox.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    poll: Millis,
    read: Millis,
}

impl Rhythm {
    fn new(manners: &AgentManners) -> Self {
        Self { poll: millis(manners.poll_every).max(1), read: millis(manners.read_every).max(1) }
    }

    /// From reading to reading of an idle agent: the gate reads at the first poll at which it is due.
    fn period(self) -> Millis {
        (self.read + self.poll - 1).div_euclid(self.poll) * self.poll
    }

    /// The first reading since `read`, by an agent that polls from `polls_from` on.
    fn first_reading(self, polls_from: Millis, read: Option<Millis>) -> Millis {
        read.map_or(polls_from, |read| next_on_grid(polls_from, self.poll, read + self.read - 1))
    }
}

/// The first moment of a grid after `after`.
fn next_on_grid(from: Millis, every: Millis, after: Millis) -> Millis {
    if after < from { from } else { from + ((after - from).div_euclid(every) + 1) * every }
}

fn is_on_grid(from: Millis, every: Millis, at: Millis) -> bool {
    at >= from && (at - from).rem_euclid(every) == 0
}

impl Agent {
    fn new(worker: WorkerId, user: UserId, queues: Vec<QueueId>, now: Millis) -> Self {
        Self {
            worker,
            user,
            machine: None,
            queues,
            alive: true,
            deaf: false,
            doing: Doing::Idle,
            run: 0,
            polls_from: now,
            idle_since: now,
            next: [None; 2],
            gate: None,
            registered: now,
            reported: now,
        }
    }

    fn waits_for_task(&self) -> bool {
        self.alive && !self.deaf && self.doing == Doing::Idle
    }

    /// From now on it is idle: its polls begin anew.
    fn rest(&mut self, manners: &AgentManners, now: Millis) {
        self.doing = Doing::Idle;
        self.idle_since = now;
        self.polls_from = now + millis(manners.first_poll);
    }

    /// Whether a poll at this moment reads the mailbox.
    fn reads_at(&self, rhythm: Rhythm, now: Millis) -> bool {
        let Some(gate) = &self.gate else { return false };
        gate.read.is_none() || is_on_grid(rhythm.first_reading(self.polls_from, gate.read), rhythm.period(), now)
    }

    /// It takes a task: until it is idle again its gate has read last when it would have.
    fn remember_reading(&mut self, rhythm: Rhythm, now: Millis) {
        let polls_from = self.polls_from;
        if let Some(gate) = &mut self.gate {
            let first = rhythm.first_reading(polls_from, gate.read);
            if gate.read.is_some() && now >= first {
                gate.read = Some(now - (now - first).rem_euclid(rhythm.period()));
            }
        }
    }
}

impl State {
    /// An agent's next poll shall happen: there may be a task.
    pub(super) fn poll_soon(&mut self, index: Index) {
        let rhythm = Rhythm::new(&self.scenario.agent);
        let Some(agent) = self.agents.get(index) else { return };
        let past = if self.events.may_poll_yet(index) { self.now - 1 } else { self.now };
        let at = next_on_grid(agent.polls_from, rhythm.poll, past.max(self.calls.tracker_up_at() - 1));
        self.poll_at(index, 0, at);
    }

    /// The next reading of an agent's mailbox shall happen: there is something new.
    fn read_soon(&mut self, index: Index) {
        let rhythm = Rhythm::new(&self.scenario.agent);
        let Some(agent) = self.agents.get(index) else { return };
        let Some(read) = agent.gate.as_ref().map(|gate| gate.read) else { return };
        if read.is_none() {
            return self.poll_soon(index);
        }
        let at = next_on_grid(rhythm.first_reading(agent.polls_from, read), rhythm.period(), self.now);
        self.poll_at(index, 1, at);
    }

    fn poll_at(&mut self, index: Index, slot: usize, at: Millis) {
        let Some(agent) = self.agents.get_mut(index).filter(|agent| agent.waits_for_task()) else { return };
        let known = agent.next.contains(&Some(at));
        if let Some(next) = agent.next.get_mut(slot) {
            *next = Some(at);
        }
        if !known {
            self.events.at(at, Event::Polls(index));
        }
    }

    /// Something waits in a queue: every idle agent of it that may will poll; the earliest wins.
    pub(super) fn wake_for(&mut self, queue: &QueueId) {
        let may = |agent: &Agent| agent.waits_for_task() && agent.gate.as_ref().is_none_or(|gate| gate.open);
        let listens = |agent: &Agent| agent.queues.contains(queue);
        let living = self.living.iter().copied();
        let woken: Vec<Index> =
            living.filter(|index| self.agents.get(*index).is_some_and(|agent| may(agent) && listens(agent))).collect();
        for index in woken {
            self.poll_soon(index);
        }
    }

    /// The ClearML server answers again: all that waits for it goes on, and gates read first.
    pub(super) fn tracker_up(&mut self) {
        let living: Vec<Index> = self.living.iter().copied().collect();
        for index in living {
            if let Some(gate) = self.agents.get_mut(index).and_then(|agent| agent.gate.as_mut()) {
                gate.read = None;
            }
            self.poll_soon(index);
        }
    }

    pub(super) fn foreign_comes(&mut self, index: Index) {
        let Some(foreign) = self.scenario.foreign.get(index) else { return };
        let queues: Vec<QueueId> = foreign
            .queues
            .iter()
            .filter_map(|name| self.server.queue_by_name(name))
            .map(|queue| queue.id.clone())
            .collect();
        let worker = WorkerId::from(foreign.worker.as_str());
        let user = self.server.add_user(timestamp(self.now), "lab");
        if self.server.register_worker(timestamp(self.now), &user, &worker, queues.clone(), None).is_ok() {
            self.employ(Agent::new(worker, user, queues, self.now));
        }
    }

    /// A registered agent begins to poll.
    fn employ(&mut self, mut agent: Agent) -> Index {
        let index = self.agents.len();
        agent.rest(&self.scenario.agent, self.now);
        self.agents.push(agent);
        self.living.insert(index);
        self.look_out(index);
        index
    }

    /// An agent that became idle polls once, and its gate reads once: what came meanwhile is seen then.
    fn look_out(&mut self, index: Index) {
        self.poll_soon(index);
        self.read_soon(index);
    }

    pub(super) fn poll(&mut self, index: Index) {
        let now = self.now;
        let rhythm = Rhythm::new(&self.scenario.agent);
        let Some(agent) = self.agents.get_mut(index) else { return };
        for next in &mut agent.next {
            *next = next.filter(|at| *at > now);
        }
        if !agent.waits_for_task() || !is_on_grid(agent.polls_from, rhythm.poll, now) {
            return;
        }
        if self.calls.tracker_is_down(now) {
            // Woken again when it is up.
            return;
        }
        if agent.reads_at(rhythm, now) {
            self.read_mailbox(index);
        }
        let Some(agent) = self.agents.get(index) else { return };
        if agent.gate.as_ref().is_some_and(|gate| !gate.open) {
            return;
        }
        for queue in agent.queues.clone() {
            if let Ok(Some(entry)) = self.server.next_task(timestamp(now), &queue, None) {
                return self.take_task(index, entry.task, queue);
            }
        }
    }

    /// Brings the row of an agent up to its last report.
    pub(super) fn report(&mut self, index: Index) {
        let every = millis(self.scenario.agent.report_every).max(1);
        let up_at = self.calls.tracker_up_at();
        let Some(agent) = self.agents.get(index).filter(|agent| agent.alive) else { return };
        let first = agent.registered + FIRST_REPORT;
        let last = next_on_grid(first, every, self.now) - every;
        if last < first || last < up_at {
            return;
        }
        let mut at = agent.reported.max(up_at);
        while last - at > REPORT_AT_LEAST {
            at += REPORT_AT_LEAST;
            self.report_at(index, at);
        }
        if self.agents.get(index).is_some_and(|agent| agent.reported < last) {
            self.report_at(index, last);
        }
    }

    pub(super) fn report_all(&mut self) {
        if self.calls.tracker_is_down(self.now) {
            return;
        }
        let living: Vec<Index> = self.living.iter().copied().collect();
        for index in living {
            self.report(index);
        }
    }

    /// The task in a report is the one since before that time.
    fn report_at(&mut self, index: Index, at: Millis) {
        let Some(agent) = self.agents.get_mut(index) else { return };
        let (task, queue) = match &agent.doing {
            Doing::Running { task, queue, .. } => (Some(task.clone()), Some(queue.clone())),
            _ => (None, None),
        };
        agent.reported = at;
        let report = Report { queues: agent.queues.clone(), task, queue, tags: Vec::new() };
        // Only a task that the server does not know is refused, and there is none.
        let _ = self.server.status_report(timestamp(at), &agent.user, &agent.worker, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_its_moments() {
        for (from, after, next) in [(10, 0, 10), (10, 9, 10), (10, 10, 15), (10, 14, 15), (10, 15, 20)] {
            assert_eq!(next_on_grid(from, 5, after), next, "{from} {after}");
            assert!(is_on_grid(from, 5, next));
        }
        assert!(!is_on_grid(10, 5, 5) && !is_on_grid(10, 5, 12));
    }
}

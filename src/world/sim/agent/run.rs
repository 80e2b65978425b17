//! A task in an agent's hands: taken, started, done; or cut off.

use crate::model::ids::{QueueId, TaskId};
use crate::world::sim::agent::{Agent, Doing, Rhythm};
use crate::world::sim::clearml::{Said, Status};
use crate::world::sim::events::{Event, Index, Millis, SECOND, millis, timestamp};
use crate::world::sim::hold::SLEEPS;
use crate::world::sim::random::Dice;
use crate::world::sim::state::State;

/// A running agent looks this often whether its task was stopped.
const LOOKS_EVERY: Millis = 5 * SECOND;

/// What a task says that its agent is asked to stop.
const STOPPING: &str = "stopping";

impl State {
    pub(super) fn take_task(&mut self, index: Index, task: TaskId, queue: QueueId) {
        let now = self.now;
        let holds = self.is_hold(&task);
        let mut dice = match self.tasks.get_mut(&task) {
            Some(truth) => {
                truth.runs += 1;
                truth.stranded = None;
                Dice::new(self.seed, &format!("start:{}", truth.number), truth.runs)
            }
            None if holds => Dice::new(self.seed, &format!("hold:{task}"), 0),
            // A phantom: there is nothing to run, and the next entry is pulled.
            None => return self.poll_soon(index),
        };
        let starts = now + dice.spread(&self.scenario.agent.start_takes);
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.remember_reading(Rhythm::new(&self.scenario.agent), now);
        agent.run += 1;
        agent.doing = Doing::Starting { task, queue };
        self.events.at(starts, Event::Starts { agent: index, run: agent.run });
    }

    /// The agent of a run that still goes on.
    fn runs(&self, index: Index, run: u64) -> Option<&Agent> {
        self.agents.get(index).filter(|agent| agent.alive && agent.run == run && agent.doing != Doing::Idle)
    }

    pub(in crate::world::sim) fn task_starts(&mut self, index: Index, run: u64) {
        let now = self.now;
        let Some(agent) = self.runs(index, run) else { return };
        let Doing::Starting { task, queue } = agent.doing.clone() else { return };
        if self.calls.tracker_is_down(now) {
            return self.events.at(self.calls.tracker_up_at() + SECOND, Event::Starts { agent: index, run });
        }
        let (time, user) = (timestamp(now), agent.user.clone());
        // What the agent sends, whatever the server thinks of it by now.
        let _ = self.server.started(time, &user, &task, Said::message("pulled by agent"), true);
        let _ = self.server.dequeue(time, &user, &task, Said::message("pulled by agent"), Some(Status::InProgress));
        let left = match self.tasks.get(&task) {
            Some(truth) => (truth.duration - truth.saved).max(1),
            None if self.is_hold(&task) => SLEEPS,
            None => 0,
        };
        self.events.at(now + left, Event::Finishes { agent: index, run });
        if let Some(agent) = self.agents.get_mut(index) {
            agent.doing = Doing::Running { task, queue, since: now };
        }
        self.report_at(index, now);
    }

    pub(in crate::world::sim) fn task_finishes(&mut self, index: Index, run: u64) {
        let Some(agent) = self.runs(index, run) else { return };
        let Some(task) = agent.doing.task().cloned() else { return };
        if self.calls.tracker_is_down(self.now) {
            return self.events.at(self.calls.tracker_up_at() + SECOND, Event::Finishes { agent: index, run });
        }
        if !self.owns(agent, &task) {
            return self.run_aborted(index, run);
        }
        let (time, user) = (timestamp(self.now), agent.user.clone());
        let _ = self.server.completed(time, &user, &task, Said::message("worker execution done"), false);
        if let Some(truth) = self.tasks.get_mut(&task) {
            truth.done = true;
        }
        self.becomes_idle(index);
    }

    /// Whether the server has the task as this agent's run.
    fn owns(&self, agent: &Agent, task: &TaskId) -> bool {
        let known = self.server.task(task).ok();
        known.is_some_and(|known| {
            known.status == Status::InProgress && known.last_worker.as_ref() == Some(&agent.worker)
        })
    }

    /// Somebody changed a task: an agent that still runs it will notice.
    pub(in crate::world::sim) fn task_changed(&mut self, task: &TaskId) {
        let runs_it = |index: &&Index| self.agents.get(**index).is_some_and(|agent| agent.doing.task() == Some(task));
        let running: Vec<Index> = self.living.iter().filter(runs_it).copied().collect();
        for index in running {
            if let Some(agent) = self.agents.get(index) {
                self.events.at(self.now + LOOKS_EVERY, Event::Aborts { agent: index, run: agent.run });
            }
        }
    }

    pub(in crate::world::sim) fn run_aborted(&mut self, index: Index, run: u64) {
        let Some(agent) = self.runs(index, run) else { return };
        let Some(task) = agent.doing.task().cloned() else { return };
        if self.calls.tracker_is_down(self.now) {
            return self.events.at(self.calls.tracker_up_at() + SECOND, Event::Aborts { agent: index, run });
        }
        let asked = self.server.task(&task).is_ok_and(|known| known.status_message == STOPPING);
        if asked && self.is_hold(&task) {
            let (time, user) = (timestamp(self.now), agent.user.clone());
            let _ = self.server.stopped(time, &user, &task, Said::reason("user abort"), false);
            return self.becomes_idle(index);
        }
        // One that is about to start says so to the server, which takes its word.
        if self.owns(agent, &task) || matches!(agent.doing, Doing::Starting { .. }) {
            return;
        }
        self.counts.interrupted_runs += 1;
        self.save_progress(index);
        self.becomes_idle(index);
    }

    /// Its guard stops the agent's task, which writes what it has, and enqueues it again.
    pub(super) fn checkpoint(&mut self, index: Index) {
        let Some(agent) = self.agents.get(index).filter(|agent| agent.alive) else { return };
        let Doing::Running { task, queue, since } = agent.doing.clone() else { return };
        if !self.owns(agent, &task) || self.is_hold(&task) {
            return;
        }
        let (now, time, user) = (self.now, timestamp(self.now), agent.user.clone());
        if let Some(truth) = self.tasks.get_mut(&task) {
            truth.saved += now - since;
        }
        self.counts.interrupted_runs += 1;
        // The status is known, and the queue was there a moment ago.
        let _ = self.server.stopped(time, &user, &task, Said::reason("asked to checkpoint"), true);
        let _ = self.server.enqueue(time, &user, &task, &queue, Said::default(), false);
        self.becomes_idle(index);
        self.wake_for(&queue);
    }

    fn becomes_idle(&mut self, index: Index) {
        let now = self.now;
        if let Some(agent) = self.agents.get_mut(index) {
            agent.rest(&self.scenario.agent, now);
        }
        if !self.calls.tracker_is_down(now) {
            self.report_at(index, now);
        }
        self.look_out(index);
    }

    /// An agent is gone without a word; its row stays until the server forgets it.
    pub(in crate::world::sim) fn cut(&mut self, index: Index) {
        if self.agents.get(index).is_none_or(|agent| !agent.alive) {
            return;
        }
        if !self.calls.tracker_is_down(self.now) {
            self.report(index);
        }
        self.save_progress(index);
        let now = self.now;
        let Some(agent) = self.agents.get_mut(index) else { return };
        agent.alive = false;
        self.living.remove(&index);
        if let Some(truth) = agent.doing.task().and_then(|task| self.tasks.get_mut(task)) {
            truth.stranded = Some(now);
        }
    }

    fn save_progress(&mut self, index: Index) {
        let Some(every) = self.scenario.checkpoint.map(|every| millis(every).max(1)) else { return };
        let Some(Doing::Running { task, since, .. }) = self.agents.get(index).map(|agent| &agent.doing) else { return };
        if let Some(truth) = self.tasks.get_mut(task) {
            truth.saved += (self.now - since).div_euclid(every) * every;
        }
    }
}

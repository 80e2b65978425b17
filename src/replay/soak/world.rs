//! The virtual world: machines that boot, run tasks, answer their drains and end; queues; and time. It knows nothing of
//! the loop, bills by its own events, and remembers the truth for the judge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::kinds::{Counts, Kind};
use crate::model::account::Owner;
use crate::model::ids::{
    InstanceId, IntentId, MachineType, PoolName, QueueId, QueueName, Revision, TaskId, Term, WorkerId,
};
use crate::model::observed::{CloudState, TaskStatus};
use crate::model::settings::Market;
use crate::world::sim::random::Dice;

pub(super) type Millis = i64;

pub(super) const SECOND: Millis = 1_000;
pub(super) const MINUTE: Millis = 60_000;
pub(super) const HOUR: Millis = 3_600_000;

/// How long a cloud lists a machine that has ended.
const LISTED_FOR: Millis = HOUR;

/// How long the server keeps the row of a worker that says nothing (ClearML issue 1201).
const ROW_FOR: Millis = 10 * MINUTE;

/// How long a hold task sleeps.
const HOLD_FOR: Millis = 15 * MINUTE;

/// One machine, as it truly is.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "a cloud's word: its type")]
pub(super) struct Machine {
    pub id: InstanceId,
    pub intent: IntentId,
    pub region: usize,
    pub pool: PoolName,
    pub home: QueueName,
    pub machine_type: MachineType,
    pub market: Market,
    pub term: Term,
    pub revision: Revision,
    /// The places of the queues that its agent asks.
    pub queues: Vec<usize>,
    pub worker: WorkerId,
    pub mailbox_queue: QueueId,
    /// Its gate reads the mailbox.
    pub gated: bool,
    pub state: CloudState,
    pub launched: Millis,
    pub ended: Option<Millis>,
    pub reason: Option<&'static str>,
    pub listed_from: Millis,
    /// Not listed any more, whatever its state.
    pub unlisted: bool,
    pub runs_at: Millis,
    /// `None`: never.
    pub registers_after: Option<Millis>,
    pub max_life: Millis,
    pub taken_back_at: Option<Millis>,
    /// When what it does now is over.
    pub changes_at: Millis,
    pub ignores_stops: bool,
    pub agent: Option<Agent>,
    pub mail: Option<Mail>,
    pub holds: Vec<Hold>,
    /// The row of its last agent stays this long.
    pub row_until: Millis,
    pub row: Option<(Millis, Millis)>,
}

/// The process that takes tasks.
#[derive(Debug)]
pub(super) struct Agent {
    pub registered: Millis,
    pub reported: Millis,
    /// Cut off until then.
    pub silent_until: Millis,
    pub dead: bool,
    pub task: Option<u32>,
    pub ends_at: Millis,
    /// It runs a hold task until then.
    pub held_until: Option<Millis>,
    pub idle_since: Millis,
}

/// The metadata of a machine's mailbox.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub created: Millis,
    pub want: Option<String>,
    pub wanted_at: Millis,
    pub state: Option<String>,
    pub gone: Option<&'static str>,
    /// The nonce of the drain whose tasks are to end, and when that was written.
    pub end: Option<String>,
    pub ended_at: Millis,
    /// The gate has read an order to drain.
    pub drains: bool,
}

/// A task that holds a machine.
#[derive(Debug)]
pub(super) struct Hold {
    pub id: TaskId,
    pub name: String,
    pub queued: Millis,
    pub started: Option<Millis>,
}

/// A task of the users.
#[derive(Debug)]
pub(super) struct Task {
    pub id: TaskId,
    pub queue: usize,
    pub status: TaskStatus,
    pub worker: Option<WorkerId>,
    pub started: Option<Millis>,
    pub changed: Millis,
    pub left: Millis,
    pub owner: Owner,
}

/// A queue of the server's.
#[derive(Debug)]
pub(super) struct Queue {
    pub id: QueueId,
    pub name: QueueName,
    pub entries: Vec<(TaskId, u32, Millis)>,
}

/// Worker of others.
#[derive(Debug)]
pub(super) struct Foreign {
    pub id: WorkerId,
    pub queue: usize,
    pub since: Millis,
    pub busy: bool,
}

/// Times until which something is wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Troubles {
    pub server_down: Millis,
    pub region_down: [Millis; 2],
    pub stale: [Millis; 2],
    pub credentials: Millis,
    pub stock_out: [Millis; 2],
    pub quota: Millis,
}

#[derive(Debug)]
pub(super) struct World {
    pub dice: Dice,
    pub now: Millis,
    pub machines: Vec<Machine>,
    /// Machines whose launch was answered with silence, and when they come.
    pub coming: Vec<Machine>,
    pub tasks: BTreeMap<u32, Task>,
    pub queues: Vec<Queue>,
    pub foreign: Vec<Foreign>,
    /// What each launch call made: a second call of the same token makes nothing.
    pub batches: BTreeMap<IntentId, Vec<InstanceId>>,
    /// How many machines each intent made.
    pub made: BTreeMap<IntentId, u32>,
    /// When a machine began and ended, to the end of the world.
    pub graves: BTreeMap<InstanceId, (Millis, Millis)>,
    pub kills_asked: BTreeSet<InstanceId>,
    pub all_killed_until: Millis,
    pub troubles: Troubles,
    pub counts: Counts,
    pub numbered: u32,
    /// Who leads.
    pub leader: Term,
    /// The loop's clock is so far off that the clouds refuse what it signs.
    pub mistimed: bool,
    /// No luck is bad any more.
    pub calm: bool,
    /// What was done that must never be.
    pub crimes: Vec<String>,
}

pub(super) fn stamp(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

impl World {
    pub(super) fn new(dice: Dice, now: Millis, queues: impl Iterator<Item = String>) -> Self {
        let queue = |name: String| Queue { id: format!("id-{name}").into(), name: name.into(), entries: Vec::new() };
        Self {
            dice,
            now,
            machines: Vec::new(),
            coming: Vec::new(),
            tasks: BTreeMap::new(),
            queues: queues.map(queue).collect(),
            foreign: Vec::new(),
            batches: BTreeMap::new(),
            made: BTreeMap::new(),
            graves: BTreeMap::new(),
            kills_asked: BTreeSet::new(),
            all_killed_until: Millis::MIN,
            troubles: Troubles::default(),
            counts: Counts::default(),
            numbered: 0,
            leader: Term(1),
            mistimed: false,
            calm: false,
            crimes: Vec::new(),
        }
    }

    pub(super) fn span(&mut self, least: Millis, most: Millis) -> Millis {
        let low = u32::try_from(least).unwrap_or_default();
        Millis::from(self.dice.between(low, u32::try_from(most).unwrap_or(u32::MAX)))
    }

    /// Bad luck, while there is any.
    pub(super) fn unlucky(&mut self, probability: f64, kind: Kind) -> bool {
        let hit = !self.calm && self.dice.chance(probability);
        if hit {
            self.counts.add(kind);
        }
        hit
    }

    pub(super) fn machine(&mut self, id: &InstanceId) -> Option<&mut Machine> {
        self.machines.iter_mut().find(|machine| machine.id == *id)
    }

    pub(super) fn add_task(&mut self, queue: usize, left: Millis) {
        self.numbered += 1;
        let (number, now) = (self.numbered, self.now);
        let id = TaskId::new(format!("t{number}"));
        let whose = |name: &str, nth| number.is_multiple_of(nth).then(|| name.to_owned());
        let owner = Owner { project: whose("vision", 3).map(Into::into), user: whose("ann", 2).map(Into::into) };
        let Some(place) = self.queues.get_mut(queue) else { return };
        place.entries.push((id.clone(), number, now));
        let status = TaskStatus::Queued;
        self.tasks.insert(number, Task { id, queue, status, worker: None, started: None, changed: now, left, owner });
    }

    pub(super) fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.entries.len()).sum()
    }

    /// Puts a task into its queue again.
    pub(super) fn enqueue(&mut self, number: u32, queue: usize) {
        let now = self.now;
        let (Some(task), Some(place)) = (self.tasks.get_mut(&number), self.queues.get_mut(queue)) else { return };
        (task.status, task.queue, task.changed) = (TaskStatus::Queued, queue, now);
        place.entries.push((task.id.clone(), number, now));
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, to: Millis) {
        self.now = to;
        for machine in self.coming.extract_if(.., |machine| machine.launched <= to) {
            self.machines.push(machine);
        }
        for place in 0..self.machines.len() {
            self.live(place);
        }
        let graves = &self.graves;
        self.machines.retain(|machine| {
            let over = machine.state == CloudState::Terminated
                && graves.get(&machine.id).is_none_or(|(_, ended)| to - ended > LISTED_FOR)
                && machine.row.is_none();
            !over
        });
    }

    fn live(&mut self, place: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(place) else { return };
        match machine.state {
            CloudState::Pending if now >= machine.runs_at => machine.state = CloudState::Running,
            CloudState::ShuttingDown if now >= machine.changes_at => machine.state = CloudState::Terminated,
            CloudState::Stopping if now >= machine.changes_at => machine.state = CloudState::Stopped,
            _ => {}
        }
        if machine.row.is_some_and(|(_, reported)| now - reported > ROW_FOR) || now > machine.row_until {
            machine.row = None;
        }
        if !matches!(machine.state, CloudState::Pending | CloudState::Running) {
            return;
        }
        if let Some(at) = machine.taken_back_at.filter(|at| now >= *at) {
            machine.ended = Some(at);
            self.end(place, Some("Server.SpotInstanceTermination: Spot instance termination"));
            return;
        }
        if now - machine.launched >= machine.max_life {
            machine.ended = Some(machine.launched + machine.max_life);
            if let Some(mail) = &mut machine.mail {
                mail.gone = Some("max_life");
            }
            self.end(place, Some("Client.InstanceInitiatedShutdown"));
            return;
        }
        let registers = machine.registers_after.is_some_and(|after| now >= machine.runs_at + after);
        if machine.state == CloudState::Running && machine.agent.is_none() && registers {
            let mail = machine.mail.get_or_insert_with(|| Mail { created: now, ..Mail::default() });
            mail.gone = None;
            machine.agent = Some(Agent {
                registered: now,
                reported: now,
                silent_until: now,
                dead: false,
                task: None,
                ends_at: now,
                held_until: None,
                idle_since: now,
            });
        }
        self.work(place);
    }

    /// What the agent of a machine and its gate do.
    fn work(&mut self, place: usize) {
        let now = self.now;
        let race = !self.calm && self.dice.chance(0.15);
        let answer_lost = !self.calm && self.dice.chance(0.03);
        let lag = Millis::from(self.dice.between(0, 20_000));
        let report_lag = Millis::from(self.dice.between(0, 25_000));
        let Some(machine) = self.machines.get_mut(place) else { return };
        let Some(agent) = &mut machine.agent else { return };
        if agent.dead || now < agent.silent_until {
            // Its task goes on.
            if !agent.dead && agent.task.is_some() && agent.ends_at <= now {
                agent.ends_at = now + MINUTE;
            }
            return;
        }
        agent.reported = agent.reported.max(now - report_lag);
        if agent.held_until.is_some_and(|until| until <= now) {
            agent.held_until = None;
            machine.holds.retain(|hold| hold.started.is_none());
        }
        if let Some(number) = agent.task.filter(|_| agent.ends_at <= now) {
            agent.task = None;
            agent.idle_since = now;
            self.tasks.remove(&number);
        }
        let mail = machine.mail.as_ref().filter(|mail| mail.end.is_some() && now - mail.ended_at >= lag + MINUTE);
        let drains = mail.and_then(|mail| mail.want.as_deref()?.strip_prefix("drain:"));
        if let Some(number) = agent.task.filter(|_| mail.is_some_and(|mail| mail.end.as_deref() == drains)) {
            // It writes what it has, and waits again.
            (agent.task, agent.idle_since) = (None, now);
            if let Some(task) = self.tasks.get_mut(&number) {
                let queue = task.queue;
                task.left = (agent.ends_at - now).max(SECOND);
                self.enqueue(number, queue);
            }
        }
        let Some(machine) = self.machines.get_mut(place) else { return };
        let Some(agent) = &mut machine.agent else { return };
        let unread = machine.gated
            && machine.mail.as_ref().is_some_and(|mail| {
                let told = mail.want.as_deref().is_some_and(|want| want.starts_with("drain:"));
                told && !mail.drains
            });
        let fresh = unread && machine.mail.as_ref().is_some_and(|mail| now - mail.wanted_at < 15 * SECOND);
        if race && fresh && agent.task.is_none() && agent.held_until.is_none() && self.pull(place) {
            self.counts.add(Kind::DrainRaced);
        }
        let Some(machine) = self.machines.get_mut(place) else { return };
        let (Some(agent), true) = (&mut machine.agent, machine.gated) else {
            self.take(place);
            return;
        };
        if let Some(mail) = machine.mail.as_mut().filter(|mail| now - mail.wanted_at >= lag) {
            match mail.want.as_deref().map(|want| want.strip_prefix("drain:").ok_or(want)) {
                Some(Ok(nonce)) => {
                    mail.drains = true;
                    let said = format!("drained:{nonce}");
                    if agent.task.is_none() && mail.state.as_ref() != Some(&said) {
                        if answer_lost {
                            self.counts.add(Kind::DrainAnswerLost);
                        } else {
                            mail.state = Some(said);
                        }
                    }
                }
                Some(Err(_)) if mail.drains => {
                    mail.drains = false;
                    mail.state = mail.state.as_ref().map(|state| state.replace("drained:", "run:"));
                }
                _ => {}
            }
        }
        self.take(place);
    }

    /// Takes a task, if the machine may.
    fn take(&mut self, place: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(place) else { return };
        let Some(agent) = &mut machine.agent else { return };
        if agent.task.is_some() || agent.held_until.is_some() || now - agent.idle_since < 5 * SECOND {
            return;
        }
        if let Some(hold) = machine.holds.iter_mut().find(|hold| hold.started.is_none()) {
            hold.started = Some(now);
            agent.held_until = Some(now + HOLD_FOR);
            return;
        }
        let drains = machine.gated && machine.mail.as_ref().is_some_and(|mail| mail.drains);
        // An agent behind a gate whose mailbox is not there asks for nothing.
        let blocked = drains || (machine.gated && machine.mail.is_none());
        if !blocked {
            self.pull(place);
        }
    }

    fn pull(&mut self, place: usize) -> bool {
        let now = self.now;
        let lost = !self.calm && self.dice.chance(0.01);
        let Some(machine) = self.machines.get_mut(place) else { return false };
        let Some(agent) = &mut machine.agent else { return false };
        for queue in &machine.queues {
            let Some(queue) = self.queues.get_mut(*queue) else { continue };
            while !queue.entries.is_empty() {
                let (_, number, _) = queue.entries.remove(0);
                let Some(task) = self.tasks.get_mut(&number) else { continue };
                if lost {
                    // Still queued by its status, and in no queue.
                    self.counts.add(Kind::TaskLostInPull);
                    return false;
                }
                (task.status, task.started, task.changed) = (TaskStatus::InProgress, Some(now), now);
                task.worker = Some(machine.worker.clone());
                (agent.task, agent.ends_at) = (Some(number), now + task.left);
                return true;
            }
        }
        false
    }

    /// A machine ends, whoever ends it. Its task stays in progress by its status.
    pub(super) fn end(&mut self, place: usize, reason: Option<&'static str>) {
        let lingers = !self.calm && self.dice.chance(0.3);
        let takes = self.span(0, MINUTE);
        let now = self.now;
        let Some(machine) = self.machines.get_mut(place) else { return };
        if matches!(machine.state, CloudState::ShuttingDown | CloudState::Terminated) {
            return;
        }
        // Of one that is off the cloud tells from now on when it ended, not when it was switched off.
        if matches!(machine.state, CloudState::Stopping | CloudState::Stopped) {
            machine.ended = None;
        }
        let ended = *machine.ended.get_or_insert(now);
        (machine.state, machine.reason, machine.changes_at) = (CloudState::ShuttingDown, reason, now + takes);
        self.graves.insert(machine.id.clone(), (machine.launched, ended));
        if let Some(agent) = machine.agent.take() {
            machine.row = Some((agent.registered, agent.reported));
            machine.row_until = if lingers { Millis::MAX } else { now + 5 * SECOND };
            if lingers {
                self.counts.add(Kind::RowLingers);
            }
        }
    }
}

impl Machine {
    /// The task that a living agent of the machine runs.
    pub(super) fn runs(&self) -> Option<u32> {
        self.agent.as_ref().filter(|agent| !agent.dead).and_then(|agent| agent.task)
    }
}

//! What goes wrong, drawn by lot: the faults of the world itself, and what people do to it. Those of calls and looks are
//! where the calls and looks are.

use super::kinds::Kind;
use super::world::{Foreign, HOUR, MINUTE, Machine, Mail, Millis, World};
use crate::model::ids::InstanceId;
use crate::model::observed::{CloudState, TaskStatus};
use crate::model::settings::Market;

/// Faults of the world, each as likely.
pub(super) const OF_THE_WORLD: &[Kind] = &[
    Kind::NoCapacity,
    Kind::Quota,
    Kind::CredentialsEnd,
    Kind::ListFails,
    Kind::ListStale,
    Kind::UnlistedAtOnce,
    Kind::StopIgnored,
    Kind::StartedByOthers,
    Kind::StoppedByOthers,
    Kind::SpotNotice,
    Kind::ServerDown,
    Kind::ReportsLate,
    Kind::WorkerDies,
    Kind::GateSilent,
    Kind::MailboxDeleted,
    Kind::TaskMoved,
    Kind::TaskDequeued,
    Kind::TaskAborted,
    Kind::Phantom,
    Kind::Burst,
    Kind::ForeignWorker,
];

impl World {
    /// A machine for which it holds, by lot.
    pub(super) fn any(&mut self, is: impl Fn(&Machine) -> bool) -> Option<&mut Machine> {
        let fitting = self.machines.iter().filter(|machine| is(machine)).count();
        let last = u32::try_from(fitting.checked_sub(1)?).ok()?;
        let place = self.dice.between(0, last) as usize;
        self.machines.iter_mut().filter(|machine| is(machine)).nth(place)
    }

    pub(super) fn any_id(&mut self, is: impl Fn(&Machine) -> bool) -> Option<InstanceId> {
        self.any(is).map(|machine| machine.id.clone())
    }

    /// Injects a fault, where there is something that it can befall.
    pub(super) fn befall(&mut self, kind: Kind) {
        if self.befalls(kind).is_some() {
            self.counts.add(kind);
        }
    }

    fn befalls(&mut self, kind: Kind) -> Option<()> {
        let now = self.now;
        let side = usize::from(self.dice.chance(0.3));
        match kind {
            Kind::NoCapacity => *self.troubles.stock_out.get_mut(side)? = now + self.span(MINUTE, 20 * MINUTE),
            Kind::Quota => self.troubles.quota = now + self.span(MINUTE, 10 * MINUTE),
            Kind::CredentialsEnd => self.troubles.credentials = now + self.span(MINUTE, 10 * MINUTE),
            Kind::ListFails => *self.troubles.region_down.get_mut(side)? = now + self.span(MINUTE, 6 * MINUTE),
            Kind::ListStale => *self.troubles.stale.get_mut(side)? = now + self.span(10_000, 40_000),
            Kind::ServerDown => self.troubles.server_down = now + self.span(MINUTE, 12 * MINUTE),
            Kind::UnlistedAtOnce => {
                let ended = |machine: &Machine| machine.state == CloudState::Terminated && !machine.unlisted;
                self.any(ended)?.unlisted = true;
            }
            Kind::StopIgnored | Kind::SpotNotice | Kind::StartedByOthers | Kind::StoppedByOthers => {
                return self.befalls_a_machine(kind);
            }
            Kind::ReportsLate => {
                let until = now + self.span(MINUTE, 25 * MINUTE);
                self.any(|machine| machine.agent.is_some())?.agent.as_mut()?.silent_until = until;
            }
            Kind::WorkerDies => {
                let lives = |machine: &Machine| machine.agent.as_ref().is_some_and(|agent| !agent.dead);
                let agent = self.any(lives)?.agent.as_mut()?;
                agent.dead = true;
            }
            Kind::GateSilent => {
                // One that has read an order is in the agent's way.
                let reads = |machine: &Machine| machine.mail.as_ref().is_some_and(|mail| mail.drains);
                self.any(|machine| machine.gated && machine.agent.is_some() && !reads(machine))?.gated = false;
            }
            Kind::MailboxDeleted => self.any(|machine| machine.mail.is_some())?.mail = None,
            Kind::TaskMoved | Kind::TaskDequeued => return self.befalls_an_entry(kind),
            Kind::TaskAborted => {
                let busy = |machine: &Machine| machine.agent.as_ref().is_some_and(|agent| agent.task.is_some());
                let agent = self.any(busy)?.agent.as_mut()?;
                let number = agent.task.take()?;
                agent.idle_since = now;
                self.tasks.remove(&number);
            }
            Kind::Phantom => {
                self.numbered += 1;
                let number = self.numbered;
                let entry = (format!("t{number}").into(), number, now);
                self.queues.first_mut().filter(|queue| queue.entries.len() < 20)?.entries.push(entry);
            }
            Kind::Burst => {
                let room = 20_usize.saturating_sub(self.waiting());
                let count = self.dice.between(3, 15).min(u32::try_from(room).ok()?);
                (count > 0).then_some(())?;
                let queue = self.queue_by_lot();
                for _ in 0..count {
                    let left = self.length();
                    self.add_task(queue, left);
                }
            }
            Kind::ForeignWorker => {
                if self.foreign.len() > 2 || (!self.foreign.is_empty() && self.dice.chance(0.5)) {
                    self.foreign.pop();
                } else {
                    let (queue, busy) = (self.queue_by_lot(), self.dice.chance(0.7));
                    self.numbered += 1;
                    let id = format!("desk-{}", self.numbered).into();
                    self.foreign.push(Foreign { id, queue, since: now, busy });
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn befalls_a_machine(&mut self, kind: Kind) -> Option<()> {
        let now = self.now;
        let runs = |machine: &Machine| machine.state == CloudState::Running;
        match kind {
            Kind::StopIgnored => self.any(|machine| runs(machine) && !machine.ignores_stops)?.ignores_stops = true,
            Kind::StartedByOthers => {
                let id = self.any_id(|machine| machine.state == CloudState::Stopped)?;
                self.switch_on(&id);
            }
            Kind::StoppedByOthers => {
                let id = self.any_id(runs)?;
                let place = self.machines.iter().position(|machine| machine.id == id)?;
                self.end(place, Some("Client.UserInitiatedShutdown: User initiated shutdown"));
            }
            // Two minutes before: the guard stops the task and puts it back itself.
            _ => {
                let spot =
                    |machine: &Machine| runs(machine) && machine.market == Market::Spot && machine.agent.is_some();
                let machine = self.any(spot)?;
                machine.taken_back_at = Some(now + 2 * MINUTE);
                let mail = machine.mail.get_or_insert_with(|| Mail { created: now, ..Mail::default() });
                (mail.gone, mail.drains) = (Some("spot"), true);
                let agent = machine.agent.as_mut()?;
                let task = agent.task.take();
                agent.idle_since = now + HOUR;
                if let Some(number) = task {
                    let queue = self.tasks.get(&number)?.queue;
                    self.enqueue(number, queue);
                }
            }
        }
        Some(())
    }

    /// People move tasks that wait.
    fn befalls_an_entry(&mut self, kind: Kind) -> Option<()> {
        let from = self.queue_by_lot();
        let to = self.queue_by_lot();
        let queue = self.queues.get_mut(from).filter(|queue| !queue.entries.is_empty())?;
        let (_, number, _) = queue.entries.remove(0);
        if kind == Kind::TaskMoved {
            self.tasks.get(&number)?;
            self.enqueue(number, to);
        } else if let Some(task) = self.tasks.get_mut(&number) {
            task.status = TaskStatus::Other;
            self.tasks.remove(&number);
        }
        Some(())
    }

    pub(super) fn queue_by_lot(&mut self) -> usize {
        let last = u32::try_from(self.queues.len().saturating_sub(1)).unwrap_or_default();
        self.dice.between(0, last) as usize
    }

    /// How long a task takes: most a few minutes, some hours.
    pub(super) fn length(&mut self) -> Millis {
        let long = self.dice.chance(0.15);
        if long { self.span(20 * MINUTE, 5 * HOUR) } else { self.span(20_000, 20 * MINUTE) }
    }
}

//! What the world makes of the loop's deeds: most it does, some it refuses, of some nobody hears again.

use super::house::{REGIONS, one};
use super::kinds::Kind;
use super::world::{HOUR, Hold, MINUTE, Machine, Mail, Millis, SECOND, World, stamp};
use crate::engine::act::deed::{Deed, Done, Failed, LaunchDeed};
use crate::engine::act::fence::KeptBack;
use crate::model::ids::{InstanceId, WorkerName, Zone, hold_task, mailbox_queue};
use crate::model::observed::{CloudState, TaskStatus};
use crate::model::settings::{GuardKind, Market};
use crate::model::snapshot::{ErrorClass, Quota};
use crate::world::cloud::{Launched, intent_of};
use crate::world::tracker::Requeue;

/// When a launch that got no answer is given up.
const DEADLINE: Millis = 90 * SECOND;

/// An answer, and when it comes.
pub(super) type Reply = (Millis, Result<Done, Failed>);

fn failed(class: ErrorClass, may_have_acted: bool) -> Failed {
    let message = if may_have_acted { "no answer" } else { "no" };
    Failed { class, message: message.to_owned(), may_have_acted, quota: None, passed_over: Vec::new() }
}

fn place_of(region: &str) -> usize {
    REGIONS.iter().position(|name| *name == region).unwrap_or_default()
}

impl World {
    /// Does it, or not.
    pub(super) fn perform(&mut self, deed: &Deed) -> Reply {
        let now = self.now;
        match deed {
            Deed::Launch(order) if order.term < self.leader => {
                (now, Ok(Done::KeptBack(KeptBack::Deposed("another console".to_owned()))))
            }
            Deed::Launch(order) => self.launch(order),
            Deed::Stop { region, instance, .. } => (now, self.stop(region, instance)),
            Deed::SwitchOff { region, instance, .. } => (now, self.switch_off(region, instance)),
            Deed::Start { region, instance, .. } => (now, self.start(region, instance)),
            Deed::Sweep { .. } | Deed::BootLog { .. } => (now, Ok(Done::Nothing)),
            _ => (now, self.tell(deed)),
        }
    }

    fn is_cut_off(&self, region: &str) -> Option<Failed> {
        if self.mistimed || self.now < self.troubles.credentials {
            return Some(failed(ErrorClass::Credentials, false));
        }
        let down = self.troubles.region_down.get(place_of(region)).is_some_and(|until| self.now < *until);
        down.then(|| failed(ErrorClass::Unknown, false))
    }

    fn launch(&mut self, order: &LaunchDeed) -> Reply {
        let now = self.now;
        let region = order.pool.region.as_str();
        if let Some(failed) = self.is_cut_off(region) {
            return (now, Err(failed));
        }
        if self.troubles.stock_out.get(place_of(region)).is_some_and(|until| now < *until) {
            self.counts.add(Kind::NoCapacity);
            return (now, Err(failed(ErrorClass::Capacity, false)));
        }
        if now < self.troubles.quota {
            self.counts.add(Kind::Quota);
            let quota = Quota { limit: 16, in_use: 12, unit: "vCPU".to_owned() };
            return (now, Err(Failed { quota: Some(quota), ..failed(ErrorClass::Quota, false) }));
        }
        if self.unlucky(0.01, Kind::BadRequest) {
            return (now, Err(failed(ErrorClass::BadRequest, false)));
        }
        if self.unlucky(0.02, Kind::Throttled) {
            return (now, Err(failed(ErrorClass::Throttle, false)));
        }
        if self.unlucky(0.03, Kind::LaunchTimesOutAndNeverComes) {
            return (now + DEADLINE, Err(failed(ErrorClass::Unknown, true)));
        }
        let mut count = order.launch.count;
        if count > 1 && self.unlucky(0.1, Kind::PartOfABatch) {
            count = self.dice.between(1, count - 1);
        }
        let late = self.unlucky(0.03, Kind::LaunchTimesOutAndComesLate);
        let delay = if late { self.span(30 * SECOND, 240 * SECOND) } else { 0 };
        let launched = self.make(order, count, delay);
        if late || self.unlucky(0.03, Kind::LaunchTimesOutAndComes) {
            return (now + DEADLINE, Err(failed(ErrorClass::Unknown, true)));
        }
        if self.unlucky(0.02, Kind::ThrottledAndActed) {
            return (now, Err(failed(ErrorClass::Throttle, true)));
        }
        let slow = self.span(0, 20 * SECOND);
        (now + slow, Ok(Done::Launched(launched)))
    }

    /// Makes the machines of a call, the first time that it is made.
    fn make(&mut self, order: &LaunchDeed, count: u32, delay: Millis) -> Vec<Launched> {
        if self.batches.contains_key(&order.batch) {
            // The loop never asks twice by one token.
            self.crimes.push(format!("4: launch {} was asked for twice", order.batch));
            return Vec::new();
        }
        let undated = self.unlucky(0.03, Kind::LaunchUndated);
        let mut ids = Vec::new();
        let mut launched = Vec::new();
        for place in 0..count {
            self.numbered += 1;
            let id = InstanceId::new(format!("i-{:x}", self.numbered));
            let intent = intent_of(&order.batch, place);
            *self.made.entry(intent.clone()).or_default() += 1;
            let machine = self.newborn(order, id.clone(), intent.clone(), delay);
            launched.push(Launched {
                id: id.clone(),
                intent,
                machine_type: machine.machine_type.clone(),
                launched: (!undated).then(|| stamp(machine.launched)),
                zone: Some(Zone::new(format!("{}a", order.pool.region))),
                image: None,
                passed_over: Vec::new(),
            });
            ids.push(id);
            if delay > 0 { self.coming.push(machine) } else { self.machines.push(machine) }
        }
        self.batches.insert(order.batch.clone(), ids);
        launched
    }

    fn newborn(
        &mut self,
        order: &LaunchDeed,
        id: InstanceId,
        intent: crate::model::ids::IntentId,
        delay: Millis,
    ) -> Machine {
        let launched = self.now + delay;
        let never = self.unlucky(0.03, Kind::NeverBoots);
        let slow = self.unlucky(0.05, Kind::BootsSlowly);
        let boots = if slow { self.span(8 * MINUTE, 25 * MINUTE) } else { self.span(40 * SECOND, 6 * MINUTE) };
        let late = self.unlucky(0.06, Kind::ListedLate);
        let listed_from = launched + if late { self.span(MINUTE, 4 * MINUTE) } else { self.span(0, 3 * SECOND) };
        let spot = order.launch.market == Market::Spot;
        let taken_back_at =
            (spot && !self.calm && self.dice.chance(0.2)).then(|| launched + self.span(MINUTE, 20 * HOUR));
        if taken_back_at.is_some() {
            self.counts.add(Kind::SpotNoNotice);
        }
        let pending = self.span(5 * SECOND, 30 * SECOND);
        let launch = &order.launch;
        let chosen = one(&mut self.dice, &launch.choices).map(|choice| choice.machine_type.clone());
        let machine_type = chosen.unwrap_or_else(|| launch.machine_type.clone());
        let queues = &self.queues;
        let named = order.queues.iter().filter_map(|name| queues.iter().position(|queue| queue.name == *name));
        let worker = WorkerName {
            fleet: order.fleet.clone(),
            pool: launch.pool.clone(),
            machine_type: machine_type.clone(),
            instance: id.clone(),
            agent: None,
        };
        Machine {
            intent,
            region: place_of(&order.pool.region),
            pool: launch.pool.clone(),
            home: launch.queue.clone(),
            machine_type,
            market: launch.market,
            term: order.term,
            revision: order.revision.clone(),
            queues: named.collect(),
            worker: worker.worker(),
            mailbox_queue: format!("id-{}", mailbox_queue(&id)).into(),
            gated: order.pool.guard == GuardKind::Gate,
            state: CloudState::Pending,
            launched,
            ended: None,
            reason: None,
            listed_from,
            unlisted: false,
            runs_at: launched + pending,
            registers_after: (!never).then_some(boots),
            max_life: Millis::try_from(order.pool.max_life.as_millis()).unwrap_or(Millis::MAX),
            taken_back_at,
            changes_at: launched,
            ignores_stops: false,
            agent: None,
            mail: None,
            holds: Vec::new(),
            row_until: Millis::MIN,
            row: None,
            id,
        }
    }

    fn stop(&mut self, region: &str, id: &InstanceId) -> Result<Done, Failed> {
        if let Some(failed) = self.is_cut_off(region) {
            return Err(failed);
        }
        if self.unlucky(0.03, Kind::StopFails) {
            return Err(failed(ErrorClass::Throttle, false));
        }
        let lost = self.unlucky(0.03, Kind::StopAnswerLost);
        // It heeds the next one.
        let ignored = self.machine(id).is_some_and(|machine| std::mem::take(&mut machine.ignores_stops));
        let asked = self.kills_asked.contains(id) || self.now < self.all_killed_until;
        if let Some(place) = self.machines.iter().position(|machine| machine.id == *id) {
            let busy = self.machines.get(place).and_then(Machine::runs);
            if let Some(task) = busy.filter(|_| !asked) {
                self.crimes.push(format!("3: {id} is stopped while it runs task t{task}"));
            }
            if !ignored {
                self.end(place, Some("Client.UserInitiatedShutdown: User initiated shutdown"));
            }
        }
        if lost { Err(failed(ErrorClass::Unknown, true)) } else { Ok(Done::Nothing) }
    }

    fn switch_off(&mut self, region: &str, id: &InstanceId) -> Result<Done, Failed> {
        if let Some(failed) = self.is_cut_off(region) {
            return Err(failed);
        }
        let (now, takes) = (self.now, self.span(5 * SECOND, 40 * SECOND));
        let asked = self.kills_asked.contains(id) || self.now < self.all_killed_until;
        let busy = self.machines.iter().find(|machine| machine.id == *id).and_then(Machine::runs);
        if let Some(task) = busy.filter(|_| !asked) {
            self.crimes.push(format!("3: {id} is switched off while it runs task t{task}"));
        }
        let Some(machine) = self.machine(id) else { return Ok(Done::Nothing) };
        if matches!(machine.state, CloudState::Pending | CloudState::Running) {
            (machine.state, machine.ended, machine.changes_at) = (CloudState::Stopping, Some(now), now + takes);
            if let Some(agent) = machine.agent.take() {
                (machine.row, machine.row_until) = (Some((agent.registered, agent.reported)), now + 5 * SECOND);
            }
        }
        Ok(Done::Nothing)
    }

    fn start(&mut self, region: &str, id: &InstanceId) -> Result<Done, Failed> {
        if let Some(failed) = self.is_cut_off(region) {
            return Err(failed);
        }
        if self.unlucky(0.15, Kind::StartRefused) {
            return Err(failed(ErrorClass::Capacity, false));
        }
        self.switch_on(id);
        Ok(Done::Nothing)
    }

    pub(super) fn switch_on(&mut self, id: &InstanceId) {
        let (now, pending) = (self.now, self.span(5 * SECOND, 30 * SECOND));
        let Some(machine) = self.machine(id) else { return };
        if machine.state == CloudState::Stopped {
            (machine.state, machine.launched, machine.ended) = (CloudState::Pending, now, None);
            (machine.runs_at, machine.reason, machine.row) = (now + pending, None, None);
            machine.holds.clear();
        }
    }

    /// What is said to the ClearML server.
    fn tell(&mut self, deed: &Deed) -> Result<Done, Failed> {
        let now = self.now;
        if now < self.troubles.server_down {
            return Err(failed(ErrorClass::Unknown, true));
        }
        match deed {
            Deed::Drain { instance, nonce, hold } => {
                if self.unlucky(0.03, Kind::DrainOrderLost) {
                    return Err(failed(ErrorClass::Unknown, false));
                }
                self.write(instance, format!("drain:{nonce}"));
                if *hold {
                    self.hold(instance, nonce);
                }
                if self.unlucky(0.03, Kind::DrainAnswerUnknown) {
                    return Err(failed(ErrorClass::Unknown, true));
                }
            }
            Deed::PlaceHold { instance, nonce } => self.hold(instance, nonce),
            Deed::AskEnd { instance, nonce } => {
                if let Some(mail) = self.machine(instance).and_then(|machine| machine.mail.as_mut()) {
                    (mail.end, mail.ended_at) = (Some(nonce.clone()), now);
                }
            }
            Deed::CancelDrain { instance, hold, .. } => {
                self.write(instance, "run".to_owned());
                if let Some(machine) = self.machine(instance).filter(|_| *hold) {
                    machine.holds.clear();
                    if let Some(agent) = &mut machine.agent {
                        agent.held_until = None;
                    }
                }
            }
            Deed::Requeue { lost } => {
                let task = self.tasks.values().find(|task| task.id == lost.task);
                let lost_still = task.is_some_and(|task| lost.is_run(task.worker.as_ref(), task.started.map(stamp)));
                let requeue =
                    if lost_still { self.requeue(&lost.task, lost.queue.as_str()) } else { Requeue::NotNeeded };
                return Ok(Done::Requeue(requeue));
            }
            Deed::Enqueue { task, queue } => return Ok(Done::Requeue(self.requeue(task, queue.as_str()))),
            Deed::Unregister { worker } => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.worker == *worker) {
                    machine.row = None;
                }
            }
            Deed::CreateMailbox { instance } => {
                if let Some(machine) = self.machine(instance) {
                    machine.mail.get_or_insert_with(|| Mail { created: now, ..Mail::default() });
                }
            }
            Deed::DeleteMailbox { instance } => {
                if let Some(machine) = self.machine(instance) {
                    machine.mail = None;
                    machine.holds.clear();
                }
            }
            _ => {}
        }
        Ok(Done::Nothing)
    }

    fn write(&mut self, id: &InstanceId, want: String) {
        let now = self.now;
        let Some(machine) = self.machine(id) else { return };
        let mail = machine.mail.get_or_insert_with(|| Mail { created: now, ..Mail::default() });
        if mail.want.as_ref() != Some(&want) {
            if want.starts_with("drain:") {
                // An answer to an order before it is none to this one.
                mail.drains = false;
            }
            (mail.want, mail.wanted_at) = (Some(want), now);
        }
    }

    fn hold(&mut self, id: &InstanceId, nonce: &str) {
        self.numbered += 1;
        let (number, now) = (self.numbered, self.now);
        let Some(machine) = self.machine(id) else { return };
        let name = hold_task(&machine.id, nonce);
        machine.holds.push(Hold { id: format!("h{number}").into(), name, queued: now, started: None });
    }

    /// Puts a task back, unless somebody has it.
    fn requeue(&mut self, id: &crate::model::ids::TaskId, queue: &str) -> Requeue {
        let found = self.tasks.iter().find(|(_, task)| task.id == *id).map(|(number, _)| *number);
        let queue = self.queues.iter().position(|place| place.id.as_str() == queue);
        let (Some(number), Some(queue)) = (found, queue) else { return Requeue::NotNeeded };
        let waits = self.queues.iter().any(|queue| queue.entries.iter().any(|(_, entry, _)| *entry == number));
        let running = self.machines.iter().any(|machine| machine.runs() == Some(number));
        let over = self.tasks.get(&number).is_none_or(|task| task.status == TaskStatus::Other);
        if running {
            self.crimes.push(format!("3: task {id} is put into a queue while a machine runs it"));
        }
        if waits || over {
            return Requeue::NotNeeded;
        }
        self.enqueue(number, queue);
        Requeue::Enqueued
    }
}

//! What the world shows of itself at a look, with what goes wrong with looking.

use std::collections::BTreeMap;

use super::house::{REGIONS, one};
use super::kinds::Kind;
use super::world::{Machine, Millis, World, stamp};
use crate::engine::seen::facts::{ClearmlFacts, Observation, Region, Workers};
use crate::engine::step::Asked;
use crate::model::ids::TaskId;
use crate::model::observed::{
    CloudInstance, CloudState, GlancedWorker, Mailbox, ObservedQueue, ObservedTask, ObservedWorker, QueueEntry, Tags,
    TaskRecord, TaskStatus,
};
use crate::model::settings::Provider;

/// The newest answers, for looks that get an old one.
#[derive(Debug, Default)]
pub(super) struct Older([Vec<CloudInstance>; 2]);

fn region(place: usize) -> Region {
    Region { provider: Provider::Aws, name: REGIONS.get(place).copied().unwrap_or_default().to_owned() }
}

impl World {
    /// A look. `skew`: how far the loop's clock is from the true time.
    pub(super) fn look(&mut self, asked: &Asked, older: &mut Older, regions: &[usize], skew: Millis) -> Observation {
        let clearml = if self.now < self.troubles.server_down {
            Err("the server does not answer".to_owned())
        } else {
            Ok(self.clearml(asked))
        };
        let regions = regions.iter().map(|place| (region(*place), self.listing(*place, older))).collect();
        Observation {
            began: stamp(self.now + skew),
            clearml,
            regions,
            clusters: BTreeMap::new(),
            credentials_end: BTreeMap::new(),
        }
    }

    fn listing(&mut self, place: usize, older: &mut Older) -> Result<Vec<CloudInstance>, String> {
        let now = self.now;
        let until = |times: [Millis; 2]| times.get(place).is_some_and(|until| now < *until);
        if until(self.troubles.region_down) || self.mistimed || now < self.troubles.credentials {
            return Err("the cloud does not answer".to_owned());
        }
        let last = older.0.get_mut(place).map(std::mem::take).unwrap_or_default();
        let mut listed = if until(self.troubles.stale) {
            last
        } else {
            let here = self.machines.iter().filter(|machine| machine.region == place && machine.is_listed(now));
            here.map(Machine::shown).collect()
        };
        if let Some(older) = older.0.get_mut(place) {
            older.clone_from(&listed);
        }
        if !listed.is_empty() {
            if self.unlucky(0.004, Kind::ListMissesOne) {
                let last = u32::try_from(listed.len() - 1).unwrap_or_default();
                listed.swap_remove(self.dice.between(0, last) as usize);
            }
            if listed.len() > 1 && self.unlucky(0.004, Kind::ListShuffled) {
                listed.reverse();
            }
            if self.unlucky(0.004, Kind::ListTwice) {
                listed.extend(one(&mut self.dice, &listed).cloned());
            }
        }
        Ok(listed)
    }

    fn clearml(&mut self, asked: &Asked) -> ClearmlFacts {
        let mut workers = self.workers();
        if !workers.is_empty() && self.unlucky(0.003, Kind::RowMissing) {
            let last = u32::try_from(workers.len() - 1).unwrap_or_default();
            workers.swap_remove(self.dice.between(0, last) as usize);
        }
        if self.unlucky(0.003, Kind::RowTwice)
            && let Some(row) = one(&mut self.dice, &workers)
        {
            let second = ObservedWorker { task: None, ..row.clone() };
            workers.push(second);
        }
        let workers = match &asked.workers {
            Some(known) if Workers::are_known(workers.iter().map(|worker| &worker.id), known) => {
                Workers::Glanced(workers.into_iter().map(glanced).collect())
            }
            _ => Workers::Listed(workers),
        };
        let mailed = self.machines.iter().filter(|machine| machine.mail.is_some());
        let mailboxes = mailed.filter_map(Machine::mailbox).collect();
        let mut holds = BTreeMap::new();
        for machine in self.machines.iter().filter(|machine| machine.mail.is_some()) {
            if asked.held.contains(&machine.id) {
                holds.insert(machine.id.clone(), machine.hold_records());
            }
        }
        let mut statuses: BTreeMap<TaskId, Option<TaskStatus>> = BTreeMap::new();
        for (id, number, _) in self.queues.iter().flat_map(|queue| &queue.entries) {
            if !asked.known.contains(id) {
                statuses.insert(id.clone(), self.tasks.get(number).map(|task| task.status));
            }
        }
        let owned = self.tasks.values().filter(|task| asked.tasks || !asked.known.contains(&task.id));
        let owners = owned.map(|task| (task.id.clone(), task.owner.clone())).collect();
        let open = |status| matches!(status, TaskStatus::Queued | TaskStatus::InProgress);
        let tasks = self.tasks.values().filter(|task| open(task.status)).map(|task| TaskRecord {
            id: task.id.clone(),
            name: String::new(),
            status: task.status,
            status_reason: String::new(),
            status_changed: Some(stamp(task.changed)),
            started: task.started.map(stamp),
            last_worker: task.worker.clone(),
            queue: self.queues.get(task.queue).map(|queue| queue.id.clone()),
        });
        let tasks = asked.tasks.then(|| tasks.collect());
        let entry = |(task, _, added): &(TaskId, u32, Millis)| QueueEntry { task: task.clone(), added: stamp(*added) };
        let queues = self.queues.iter().map(|queue| ObservedQueue {
            id: queue.id.clone(),
            name: queue.name.clone(),
            tags: Vec::new(),
            entries: queue.entries.iter().map(entry).collect(),
        });
        ClearmlFacts {
            waiting: None,
            queues: queues.collect(),
            workers,
            mailboxes,
            claim: None,
            holds,
            attempts: BTreeMap::new(),
            tasks,
            statuses,
            owners,
            tags: BTreeMap::new(),
            ahead: None,
        }
    }

    fn workers(&self) -> Vec<ObservedWorker> {
        let ids = |machine: &Machine| {
            let own = std::iter::once(machine.mailbox_queue.clone());
            let served = machine.queues.iter().filter_map(|place| self.queues.get(*place));
            own.chain(served.map(|queue| queue.id.clone())).collect()
        };
        let mut workers = Vec::with_capacity(self.machines.len() + self.foreign.len());
        for machine in &self.machines {
            let row = machine.agent.as_ref().map(|agent| (agent.registered, agent.reported)).or(machine.row);
            let Some((registered, reported)) = row else { continue };
            if self.now - reported > 10 * super::world::MINUTE {
                // The server has forgotten it.
                continue;
            }
            let task = machine.agent.as_ref().and_then(|agent| {
                let held = agent.held_until.and_then(|_| machine.holds.iter().find(|hold| hold.started.is_some()));
                let held = held.map(|hold| ObservedTask {
                    id: hold.id.clone(),
                    name: hold.name.clone(),
                    queue: Some(machine.mailbox_queue.clone()),
                });
                let task = agent.task.and_then(|number| self.tasks.get(&number)).map(|task| ObservedTask {
                    id: task.id.clone(),
                    name: String::new(),
                    queue: self.queues.get(task.queue).map(|queue| queue.id.clone()),
                });
                task.or(held)
            });
            workers.push(ObservedWorker {
                id: machine.worker.clone(),
                queues: ids(machine),
                task,
                registered: stamp(registered),
                last_report: Some(stamp(reported)),
            });
        }
        workers.extend(self.foreign.iter().map(|foreign| ObservedWorker {
            id: foreign.id.clone(),
            queues: self.queues.get(foreign.queue).map(|queue| queue.id.clone()).into_iter().collect(),
            task: foreign.busy.then(|| ObservedTask { id: "foreign".into(), name: String::new(), queue: None }),
            registered: stamp(foreign.since),
            last_report: Some(stamp(self.now)),
        }));
        workers
    }
}

fn glanced(worker: ObservedWorker) -> GlancedWorker {
    GlancedWorker { id: worker.id, task: worker.task.map(|task| ObservedTask { queue: None, ..task }) }
}

impl Machine {
    pub(super) fn is_listed(&self, now: Millis) -> bool {
        let ended_long_ago =
            self.state == CloudState::Terminated && self.ended.is_some_and(|ended| now - ended > super::world::HOUR);
        now >= self.listed_from && !self.unlisted && !ended_long_ago
    }

    fn shown(&self) -> CloudInstance {
        CloudInstance {
            id: self.id.clone(),
            provider: Provider::Aws,
            pod: None,
            region: REGIONS.get(self.region).copied().unwrap_or_default().to_owned(),
            machine_type: self.machine_type.clone(),
            zone: None,
            market: self.market,
            state: self.state,
            launched: stamp(self.launched),
            ended: self.ended.map(stamp),
            image: None,
            state_reason: self.reason.map(str::to_owned),
            tags: Tags {
                pool: Some(self.pool.clone()),
                queue: Some(self.home.clone()),
                intent: Some(self.intent.clone()),
                revision: Some(self.revision.clone()),
                term: Some(self.term),
                settings: None,
                brought_over: false,
            },
        }
    }

    fn mailbox(&self) -> Option<Mailbox> {
        let mail = self.mail.as_ref()?;
        let mut metadata = BTreeMap::new();
        let said = [("want", mail.want.clone()), ("state", mail.state.clone()), ("gone", mail.gone.map(str::to_owned))];
        for (key, value) in said {
            if let Some(value) = value {
                metadata.insert(key.to_owned(), value);
            }
        }
        let (queue, instance) = (self.mailbox_queue.clone(), self.id.clone());
        Some(Mailbox { queue, instance, created: stamp(mail.created), metadata })
    }

    fn hold_records(&self) -> Vec<TaskRecord> {
        let record = |hold: &super::world::Hold| TaskRecord {
            id: hold.id.clone(),
            name: hold.name.clone(),
            status: if hold.started.is_some() { TaskStatus::InProgress } else { TaskStatus::Queued },
            status_reason: String::new(),
            status_changed: Some(stamp(hold.started.unwrap_or(hold.queued))),
            started: hold.started.map(stamp),
            last_worker: hold.started.map(|_| self.worker.clone()),
            queue: Some(self.mailbox_queue.clone()),
        };
        self.holds.iter().map(record).collect()
    }
}

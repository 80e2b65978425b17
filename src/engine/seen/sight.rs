//! What only a row of looks can tell: since when a machine is as it is, how often it was absent, whether it pulls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::{Facts, Fresh, Region};
use crate::model::ids::{FleetId, InstanceId, IntentId, TaskId, WorkerName};
use crate::model::observed::{CloudState, ObservedWorker, TaskStatus};
use crate::model::record::Memory;
use crate::model::settings::Settings;

/// A machine is proved gone when the cloud says so this often (DESIGN.md section 1).
pub const TERMINATED_PROOFS: u32 = 2;
/// Or when it is absent this often, after [`ABSENT_AFTER`].
pub const ABSENT_PROOFS: u32 = 3;
/// Clouds may not list a new machine at once.
pub const ABSENT_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Idle for so many looks while its queue waits, a worker does not pull.
pub const IDLE_LOOKS: u32 = 3;
/// Looks closer together than this prove nothing about pulling: an agent looks every five seconds.
const LOOKS_APART: SignedDuration = SignedDuration::from_secs(10);
/// A worker that has not reported for so long is silent; it reports every 30 s.
pub const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// What a row of looks told about one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    pub terminated: u32,
    pub absent: u32,
    /// When it was first missing from a complete listing.
    pub absent_since: Option<Timestamp>,
    pub idle_looks: u32,
    pub task: Option<(TaskId, Timestamp)>,
    /// Since when its drain is cancelled and its mailbox was not seen to say otherwise.
    pub cancelled_since: Option<Timestamp>,
}

impl Sight {
    /// Whether the machine is proved gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.terminated >= TERMINATED_PROOFS || self.absent >= ABSENT_PROOFS
    }
}

/// What a row of looks told about everything.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    machines: BTreeMap<InstanceId, Sight>,
    /// How often the machine of an intent was absent.
    intents: BTreeMap<IntentId, u32>,
    /// Tasks that are queued by their status and in no queue, since when, and at how many looks.
    nowhere: BTreeMap<TaskId, (Timestamp, u32)>,
    /// Tasks that waited at the last look that counts.
    waited: BTreeSet<TaskId>,
    counted_at: Option<Timestamp>,
}

impl Sights {
    #[must_use]
    pub fn of(&self, instance: &InstanceId) -> Sight {
        self.machines.get(instance).cloned().unwrap_or_default()
    }

    /// How often an intent's machine was absent from a complete listing, after [`ABSENT_AFTER`].
    #[must_use]
    pub fn absences(&self, intent: &IntentId) -> u32 {
        self.intents.get(intent).copied().unwrap_or_default()
    }

    /// Since when, and at how many looks, a task was seen in no queue.
    #[must_use]
    pub fn nowhere(&self, task: &TaskId) -> Option<(Timestamp, u32)> {
        self.nowhere.get(task).copied()
    }

    /// Takes in what a look renewed.
    pub fn take(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory, settings: &Settings) {
        self.count_absences(fresh, facts, memory, settings);
        if fresh.clearml {
            self.watch_tasks(fresh, facts, settings);
            self.watch_pulling(fresh, facts, settings);
        }
        if fresh.tasks {
            self.watch_strays(fresh, facts);
        }
        self.watch_cancelled(fresh, memory);
        self.forget(memory, facts, settings);
    }

    fn count_absences(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory, settings: &Settings) {
        let known = memory.known.values().map(|known| {
            (known.id.clone(), Region { provider: known.provider, name: known.region.clone() }, known.launched)
        });
        for (id, region, launched) in known.chain(spoken_of(facts, memory, settings)) {
            if !fresh.saw(&region) {
                continue;
            }
            let sight = self.machines.entry(id.clone()).or_default();
            match facts.machines.get(&id) {
                Some(machine) if machine.state == CloudState::Terminated => {
                    sight.terminated += 1;
                    (sight.absent, sight.absent_since) = (0, None);
                }
                Some(_) => (sight.terminated, sight.absent, sight.absent_since) = (0, 0, None),
                None => {
                    sight.absent_since.get_or_insert(fresh.at);
                    if fresh.at.duration_since(launched) > ABSENT_AFTER {
                        sight.absent += 1;
                    }
                }
            }
        }
        let shown: BTreeSet<&IntentId> =
            facts.machines.values().filter_map(|machine| machine.tags.intent.as_ref()).collect();
        for intent in memory.intents.values() {
            let late = fresh.at.duration_since(intent.opened) > ABSENT_AFTER;
            if late
                && fresh.saw(&Region { provider: intent.provider, name: intent.region.clone() })
                && !shown.contains(&intent.id)
            {
                *self.intents.entry(intent.id.clone()).or_default() += 1;
            }
        }
    }

    fn watch_tasks(&mut self, fresh: &Fresh, facts: &Facts, settings: &Settings) {
        for (name, worker) in our_workers(facts, &settings.the_loop.fleet) {
            let sight = self.machines.entry(name.instance).or_default();
            sight.task = match (&worker.task, sight.task.take()) {
                (Some(task), Some((known, since))) if task.id == known => Some((known, since)),
                (Some(task), _) => Some((task.id.clone(), fresh.at)),
                (None, _) => None,
            };
        }
    }

    /// A worker that stays idle while the same task waits on a queue of its own, look after look.
    fn watch_pulling(&mut self, fresh: &Fresh, facts: &Facts, settings: &Settings) {
        if self.counted_at.is_some_and(|last| fresh.at.duration_since(last) < LOOKS_APART) {
            return;
        }
        self.counted_at = Some(fresh.at);
        let served: Vec<_> = facts.queues.iter().filter(|queue| settings.queue(&queue.name).is_some()).collect();
        let stuck: BTreeSet<_> = served
            .iter()
            .filter(|queue| queue.entries.iter().any(|entry| self.waited.contains(&entry.task)))
            .map(|queue| queue.id.clone())
            .collect();
        for (name, worker) in our_workers(facts, &settings.the_loop.fleet) {
            let sight = self.machines.entry(name.instance).or_default();
            let passes_by = worker.task.is_none() && worker.queues.iter().any(|queue| stuck.contains(queue));
            sight.idle_looks = if passes_by { sight.idle_looks + 1 } else { 0 };
        }
        self.waited = served.iter().flat_map(|queue| queue.entries.iter().map(|entry| entry.task.clone())).collect();
    }

    fn watch_strays(&mut self, fresh: &Fresh, facts: &Facts) {
        let in_queues: BTreeSet<&TaskId> =
            facts.queues.iter().flat_map(|queue| queue.entries.iter().map(|entry| &entry.task)).collect();
        let pulled: BTreeSet<&TaskId> =
            facts.workers.iter().filter_map(|worker| worker.task.as_ref()).map(|task| &task.id).collect();
        let strays = facts.tasks.iter().filter(|task| {
            task.status == TaskStatus::Queued && !in_queues.contains(&task.id) && !pulled.contains(&task.id)
        });
        let mut seen = BTreeMap::new();
        for task in strays {
            let (since, looks) = self.nowhere.get(&task.id).copied().unwrap_or((fresh.at, 0));
            seen.insert(task.id.clone(), (since, looks + 1));
        }
        self.nowhere = seen;
    }

    fn watch_cancelled(&mut self, fresh: &Fresh, memory: &Memory) {
        for known in memory.known.values() {
            let cancelled = known.drain.as_ref().is_some_and(|drain| drain.cancelled);
            match self.machines.get_mut(&known.id) {
                Some(sight) if !cancelled => sight.cancelled_since = None,
                Some(sight) => drop(sight.cancelled_since.get_or_insert(fresh.at)),
                None => {}
            }
        }
    }

    fn forget(&mut self, memory: &Memory, facts: &Facts, settings: &Settings) {
        let workers: BTreeSet<InstanceId> =
            our_workers(facts, &settings.the_loop.fleet).map(|(name, _)| name.instance).collect();
        self.machines
            .retain(|id, _| memory.known.contains_key(id) || facts.machines.contains_key(id) || workers.contains(id));
        self.intents.retain(|id, _| memory.intents.contains_key(id));
    }
}

/// The workers of our fleet, by what their names say.
pub fn our_workers<'a>(facts: &'a Facts, fleet: &'a FleetId) -> impl Iterator<Item = (WorkerName, &'a ObservedWorker)> {
    let named = facts.workers.iter().filter_map(|worker| Some((WorkerName::parse(&worker.id)?, worker)));
    named.filter(move |(name, _)| name.fleet == *fleet)
}

/// Machines that only a worker's name speaks of, of an earlier life or from before the store was lost: their region is
/// their pool's.
fn spoken_of(facts: &Facts, memory: &Memory, settings: &Settings) -> Vec<(InstanceId, Region, Timestamp)> {
    our_workers(facts, &settings.the_loop.fleet)
        .filter(|(name, _)| !memory.known.contains_key(&name.instance))
        .filter_map(|(name, worker)| {
            let pool = settings.pool(&name.pool)?;
            let region = Region { provider: pool.provider, name: pool.region.clone() };
            Some((name.instance, region, worker.registered))
        })
        .collect()
}

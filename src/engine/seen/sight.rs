//! What only a row of looks can tell: since when a machine is as it is, how often it was absent, whether it pulls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::agents::{Count, Row, Rows};
use crate::engine::seen::facts::{Facts, Fresh, Region};
use crate::model::ids::{FleetId, InstanceId, IntentId, QueueId, TaskId, WorkerName};
use crate::model::observed::{CloudInstance, CloudState, ObservedWorker, TaskStatus};
use crate::model::record::{KnownInstance, Memory};
use crate::model::settings::{Provider, Settings};

/// A machine is proved gone when the cloud says so this often (DESIGN.md section 1).
pub const TERMINATED_PROOFS: u32 = 2;
/// Or when it is absent this often, after [`ABSENT_AFTER`].
pub const ABSENT_PROOFS: u32 = 3;
/// Clouds may not list a new machine at once.
pub const ABSENT_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// A pod's Job is listed at once, or it is not there: the call that makes it may take a minute and a half.
const POD_ABSENT_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// The call of a loop that is over has come to its end by then. Should its Job come all the same, it is held, and bears the
/// name that the next attempt's would bear: one of the two is made, and no task has two.
const CALL_ENDS_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Idle for so many looks while its queue waits, a worker does not pull.
pub const IDLE_LOOKS: u32 = 3;
/// Looks closer together than this prove nothing more than one: an agent looks every five seconds, a cloud's list takes
/// seconds to change, and a person may ask for looks as often as they like.
const LOOKS_APART: SignedDuration = SignedDuration::from_secs(10);
/// A machine that the cloud would not start is left off for so long; others are launched meanwhile.
const NO_START_FOR: SignedDuration = SignedDuration::from_mins(10);
/// A worker that has not reported for so long is silent; it reports every 30 s.
pub const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(90);

/// What a row of looks told about one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    pub terminated: u32,
    /// When it was first listed so.
    pub terminated_since: Option<Timestamp>,
    pub absent: u32,
    /// When it was first missing from a complete listing.
    pub absent_since: Option<Timestamp>,
    /// When it was last in a listing.
    pub listed: Option<Timestamp>,
    /// When it was first listed since it was last off: by our own clock.
    pub on_since: Option<Timestamp>,
    absent_counted: Option<Timestamp>,
    pub idle_looks: u32,
    /// The first of the looks at which it was idle.
    pub idle_since: Option<Timestamp>,
    /// What each agent runs.
    pub tasks: BTreeMap<Option<u32>, SeenTask>,
    /// What its agents ran at the look before and do not at the last one.
    pub ended: Vec<SeenTask>,
    /// Since when none of its workers shows a task.
    pub free_since: Option<Timestamp>,
    /// Looks in a row, since its drain was cancelled, at which no hold task was left.
    pub released_looks: u32,
    /// Since when its worker, which was there, has said nothing.
    pub silent_since: Option<Timestamp>,
    /// Since when not all of its agents report that should.
    pub missing_since: Option<Timestamp>,
    /// The cloud would not start it again a moment ago.
    pub no_start_until: Option<Timestamp>,
    /// The nonce of its drain that is cancelled, and since when.
    pub cancelled: Option<(String, Timestamp)>,
}

/// A task on a machine, look after look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTask {
    pub id: TaskId,
    pub queue: Option<QueueId>,
    /// The first of the looks.
    pub since: Timestamp,
}

/// A task in no queue, look after look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nowhere {
    /// The first of the looks.
    pub since: Timestamp,
    /// The newest.
    pub last: Timestamp,
    pub looks: u32,
}

impl Sight {
    /// Whether the machine is proved gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.terminated >= TERMINATED_PROOFS || self.absent >= ABSENT_PROOFS
    }

    /// Since when a task is seen on the machine.
    #[must_use]
    pub fn since(&self, task: &TaskId) -> Option<Timestamp> {
        self.tasks.values().find(|seen| seen.id == *task).map(|seen| seen.since)
    }
}

/// What a row of looks told about everything.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    machines: BTreeMap<InstanceId, Sight>,
    /// How often the machine of an intent was absent, and when last.
    intents: BTreeMap<IntentId, (u32, Timestamp)>,
    /// Tasks that are queued by their status and in no queue.
    nowhere: BTreeMap<TaskId, Nowhere>,
    /// The first look: what was intended before was by another loop.
    began: Option<Timestamp>,
    /// The task that was first in each queue at the last look that counts.
    first: BTreeMap<QueueId, TaskId>,
    counted_at: Option<Timestamp>,
}

impl Sights {
    #[must_use]
    pub fn of(&self, instance: &InstanceId) -> Sight {
        self.machines.get(instance).cloned().unwrap_or_default()
    }

    /// When the machine was first seen to be terminated, or missing.
    #[must_use]
    pub fn ended_since(&self, instance: &InstanceId) -> Option<Timestamp> {
        let sight = self.machines.get(instance)?;
        sight.terminated_since.or(sight.absent_since)
    }

    /// How often an intent's machine was absent from a complete listing, after [`ABSENT_AFTER`].
    #[must_use]
    pub fn absences(&self, intent: &IntentId) -> u32 {
        self.intents.get(intent).map_or(0, |(absences, _)| *absences)
    }

    /// The cloud did not start a machine again: it is not asked for a while.
    pub fn refuse_start(&mut self, instance: &InstanceId, now: Timestamp) {
        let until = now.saturating_add(NO_START_FOR).unwrap_or(Timestamp::MAX);
        self.machines.entry(instance.clone()).or_default().no_start_until = Some(until);
    }

    /// At which looks a task was seen in no queue.
    #[must_use]
    pub fn nowhere(&self, task: &TaskId) -> Option<Nowhere> {
        self.nowhere.get(task).copied()
    }

    /// A task was put into a queue, or that was tried: what was seen of it before does not count any more.
    pub fn forget_nowhere(&mut self, task: &TaskId) {
        self.nowhere.remove(task);
    }

    /// Takes in what a look renewed.
    pub fn take(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory, settings: &Settings) {
        self.began.get_or_insert(fresh.at);
        self.count_absences(fresh, facts, memory, settings);
        if fresh.clearml {
            let rows = Rows::new(facts, &settings.the_loop.fleet);
            self.watch_tasks(fresh, &rows);
            self.watch_pulling(fresh, facts, settings, &rows);
            self.watch_silence(fresh, facts, memory, settings, &rows);
        }
        if fresh.tasks {
            self.watch_strays(fresh, facts);
        }
        self.watch_cancelled(fresh, facts, memory);
        self.forget(memory, facts, settings);
    }

    fn count_absences(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory, settings: &Settings) {
        let alive = reporting(facts, settings);
        let known = memory.known.values().map(|known| {
            (known.id.clone(), Region { provider: known.provider, name: known.region.clone() }, known.launched)
        });
        let others = spoken_of(facts, memory, settings).into_iter().chain(ended_unknown(facts, memory));
        let others: BTreeMap<_, _> = others.map(|(id, region, since)| (id, (region, since))).collect();
        let others = others.into_iter().map(|(id, (region, since))| (id, region, since));
        for (id, region, launched) in known.chain(others) {
            if !fresh.saw(&region) {
                continue;
            }
            let after = if self.is_inherited(&id, memory) { CALL_ENDS_AFTER } else { absent_after(region.provider) };
            let sight = self.machines.entry(id.clone()).or_default();
            match facts.machines.get(&id) {
                Some(machine) if machine.state == CloudState::Terminated => {
                    sight.terminated += 1;
                    sight.terminated_since.get_or_insert(fresh.at);
                    (sight.absent, sight.absent_since, sight.listed) = (0, None, Some(fresh.at));
                }
                Some(machine) => {
                    let off = matches!(machine.state, CloudState::Stopping | CloudState::Stopped);
                    sight.on_since = sight.on_since.or(Some(fresh.at)).filter(|_| !off);
                    (sight.terminated, sight.terminated_since) = (0, None);
                    (sight.absent, sight.absent_since) = (0, None);
                    sight.listed = Some(fresh.at);
                }
                // Not listed is not ended: its worker works.
                None if alive.contains(&id) => (sight.absent, sight.absent_since) = (0, None),
                None => {
                    let since = *sight.absent_since.get_or_insert(fresh.at);
                    let counts = sight.absent_counted.is_none_or(|last| are_apart(last, fresh.at));
                    // The launch is by the cloud's clock, which may be another than ours: one that was never listed is
                    // waited for by our own.
                    let is_due = sight.listed.is_some() || fresh.at.duration_since(since) > after;
                    if counts && is_due && fresh.at.duration_since(launched) > after {
                        sight.absent += 1;
                        sight.absent_counted = Some(fresh.at);
                    }
                }
            }
        }
        self.count_intents(fresh, facts, memory);
    }

    /// Whether it is a pod that an earlier loop had made: one that our own listings never had was deleted in between.
    fn is_inherited(&self, instance: &InstanceId, memory: &Memory) -> bool {
        let opened = memory.attempts.get(instance).map(|attempt| attempt.opened);
        opened.zip(self.began).is_some_and(|(opened, began)| opened < began)
    }

    fn count_intents(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory) {
        if memory.intents.is_empty() {
            return;
        }
        let shown: BTreeSet<&IntentId> =
            facts.machines.values().filter_map(|machine| machine.tags.intent.as_ref()).collect();
        for intent in memory.intents.values() {
            // One listing of a cluster proves what three of a cloud do: it has all that there is.
            let inherited = self.began.is_some_and(|began| intent.opened < began);
            let (after, proofs) = match intent.provider {
                Provider::Kubernetes if inherited => (CALL_ENDS_AFTER, ABSENT_PROOFS),
                provider => (absent_after(provider), 1),
            };
            let late = self.age(intent.opened, fresh.at) > after;
            let looked = fresh.saw(&Region { provider: intent.provider, name: intent.region.clone() });
            let starts = |id: &InstanceId| memory.known.get(id).is_some_and(|known| restarted(known, facts).is_some());
            let shown = shown.contains(&intent.id) || intent.starts.as_ref().is_some_and(starts);
            if !late || !looked || shown {
                continue;
            }
            let (absences, last) = self.intents.entry(intent.id.clone()).or_insert((0, Timestamp::MIN));
            if *absences == 0 || are_apart(*last, fresh.at) {
                (*absences, *last) = (absences.saturating_add(proofs), fresh.at);
            }
        }
    }

    /// How long ago something was that is dated later than now where the clock was set back since: then our own looks say
    /// how long at least.
    fn age(&self, dated: Timestamp, now: Timestamp) -> SignedDuration {
        let since = if dated > now { self.began.unwrap_or(now) } else { dated };
        now.duration_since(since)
    }

    fn watch_tasks(&mut self, fresh: &Fresh, rows: &Rows<'_>) {
        for sight in self.machines.values_mut() {
            sight.ended.clear();
        }
        for (instance, rows) in rows.iter() {
            let sight = self.machines.entry(instance.clone()).or_default();
            for (place, row) in rows.iter().enumerate() {
                if place
                    .checked_sub(1)
                    .and_then(|before| rows.get(before))
                    .is_some_and(|other| other.agent == row.agent)
                {
                    // A second row of the same agent: the one with a task came first.
                    continue;
                }
                let before = sight.tasks.remove(&row.agent);
                let same = row.worker.task.as_ref().zip(before.as_ref()).is_some_and(|(now, was)| now.id == was.id);
                let now = row.worker.task.as_ref().map(|task| SeenTask {
                    id: task.id.clone(),
                    queue: task.queue.clone(),
                    since: before.as_ref().filter(|_| same).map_or(fresh.at, |before| before.since),
                });
                sight.ended.extend(before.filter(|_| !same));
                sight.tasks.extend(now.map(|now| (row.agent, now)));
            }
            sight.free_since = sight.tasks.is_empty().then(|| sight.free_since.unwrap_or(fresh.at));
        }
    }

    /// A worker that stays idle while the same task stays first in the queue that it would pull from, look after look; of
    /// several agents any of them.
    fn watch_pulling(&mut self, fresh: &Fresh, facts: &Facts, settings: &Settings, rows: &Rows<'_>) {
        if self.counted_at.is_some_and(|last| !are_apart(last, fresh.at)) {
            return;
        }
        self.counted_at = Some(fresh.at);
        let served = facts.queues.served(settings);
        let first: BTreeMap<QueueId, TaskId> = served
            .into_values()
            .filter_map(|queue| Some((queue.id.clone(), queue.entries.first()?.task.clone())))
            .collect();
        let untouched = |queue: &QueueId| first.get(queue) == self.first.get(queue);
        let leaves_it = |row: &Row<'_>| {
            let pulls_from = row.worker.queues.iter().find(|queue| first.contains_key(*queue));
            row.worker.task.is_none() && pulls_from.is_some_and(untouched)
        };
        for (instance, rows) in rows.iter() {
            let several = rows.len() > 1;
            let sight = self.machines.entry(instance.clone()).or_default();
            // Of several agents a silent one is missing, and not idle.
            if rows.iter().any(|row| leaves_it(row) && (!several || is_fresh(row.worker, facts))) {
                sight.idle_looks += 1;
                sight.idle_since.get_or_insert(fresh.at);
            } else {
                (sight.idle_looks, sight.idle_since) = (0, None);
            }
        }
        self.first = first;
    }

    fn watch_silence(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory, settings: &Settings, rows: &Rows<'_>) {
        let reporting = reporting(facts, settings);
        for known in memory.known.values().filter(|known| known.registered && !known.power.is_off()) {
            let sight = self.machines.entry(known.id.clone()).or_default();
            let rows = rows.of(&known.id);
            let last = rows.iter().filter_map(|row| row.worker.last_report).max().map(|at| facts.by_our_clock(at));
            let short = Count::new(known, rows, facts, settings).is_short();
            sight.missing_since = sight.missing_since.or(Some(fresh.at)).filter(|_| short);
            sight.silent_since = match sight.silent_since {
                _ if reporting.contains(&known.id) => None,
                // A row that is not listed any more says nothing of when it was last heard.
                since => since.or(last).or(Some(fresh.at)),
            };
        }
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
            let before = self.nowhere.get(&task.id);
            let (since, looks) = before.map_or((fresh.at, 0), |before| (before.since, before.looks));
            seen.insert(task.id.clone(), Nowhere { since, last: fresh.at, looks: looks + 1 });
        }
        self.nowhere = seen;
    }

    fn watch_cancelled(&mut self, fresh: &Fresh, facts: &Facts, memory: &Memory) {
        for known in memory.known.values() {
            let Some(sight) = self.machines.get_mut(&known.id) else { continue };
            let nonce = known.drain.as_ref().filter(|drain| drain.cancelled).map(|drain| &drain.nonce);
            sight.cancelled = match (nonce, sight.cancelled.take()) {
                (Some(nonce), Some((known, since))) if known == *nonce => Some((known, since)),
                (Some(nonce), _) => Some((nonce.clone(), fresh.at)),
                (None, _) => None,
            };
            let free = !facts.holding.contains(&known.id) && facts.holds.get(&known.id).is_some_and(Vec::is_empty);
            sight.released_looks = match (&sight.cancelled, fresh.clearml) {
                (Some(_), true) if free => sight.released_looks.saturating_add(1),
                (Some(_), false) => sight.released_looks,
                _ => 0,
            };
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

/// A machine of ours that was off, as the cloud lists it, if it runs again, or did and ended before anyone looked.
pub fn restarted<'a>(known: &KnownInstance, facts: &'a Facts) -> Option<&'a CloudInstance> {
    let shown = facts.machines.get(&known.id).filter(|_| known.power.is_off())?;
    let off = matches!(shown.state, CloudState::Stopping | CloudState::Stopped);
    (!off && shown.launched > known.launched).then_some(shown)
}

/// Whether a machine that we switched off is surely off: the cloud lists it so, in a listing no older than what ClearML said,
/// and nobody starts it. What else is known of it may be of a new boot.
#[must_use]
pub fn is_surely_off(instance: &InstanceId, facts: &Facts, memory: &Memory) -> bool {
    let Some(known) = memory.known.get(instance).filter(|known| known.power.is_off()) else { return false };
    let region = Region { provider: known.provider, name: known.region.clone() };
    let listed = facts.seen_at(&region).zip(facts.asked).is_some_and(|(listed, asked)| listed >= asked);
    let off = facts.machines.get(instance).is_some_and(|shown| shown.state == CloudState::Stopped);
    let starts = memory.intents.values().any(|intent| intent.starts.as_ref() == Some(instance));
    listed && off && !starts
}

/// What is not listed may have been made a moment ago.
fn absent_after(provider: Provider) -> SignedDuration {
    if provider == Provider::Kubernetes { POD_ABSENT_AFTER } else { ABSENT_AFTER }
}

fn are_apart(earlier: Timestamp, later: Timestamp) -> bool {
    later.duration_since(earlier) >= LOOKS_APART
}

/// Whether the worker had reported lately when ClearML last answered.
#[must_use]
pub fn is_fresh(worker: &ObservedWorker, facts: &Facts) -> bool {
    let heard = worker.last_report.unwrap_or(worker.registered);
    facts.workers_asked.is_some_and(|asked| asked.duration_since(heard) <= SILENT_AFTER)
}

/// Machines whose workers report.
fn reporting(facts: &Facts, settings: &Settings) -> BTreeSet<InstanceId> {
    let workers = our_workers(facts, &settings.the_loop.fleet).filter(|(_, worker)| is_fresh(worker, facts));
    workers.map(|(name, _)| name.instance).collect()
}

/// The workers of our fleet, by what their names say, and those of machines that were brought over from another.
pub fn our_workers<'a>(facts: &'a Facts, fleet: &'a FleetId) -> impl Iterator<Item = (WorkerName, &'a ObservedWorker)> {
    let any_brought_over = facts.machines.values().any(|machine| machine.tags.brought_over);
    let by_name = move |worker: &&ObservedWorker| any_brought_over || worker.id.as_str().starts_with(fleet.as_str());
    let ours = facts.workers.iter().filter(by_name);
    let named = ours.filter_map(|worker| Some((WorkerName::parse(&worker.id)?, worker)));
    let brought_over = |id: &InstanceId| facts.machines.get(id).is_some_and(|machine| machine.tags.brought_over);
    named.filter(move |(name, _)| name.fleet == *fleet || brought_over(&name.instance))
}

/// Machines that ended before anyone here knew them: they take no place any more once that is proved.
fn ended_unknown(facts: &Facts, memory: &Memory) -> Vec<(InstanceId, Region, Timestamp)> {
    let ended = facts.machines.values().filter(|machine| {
        machine.state == CloudState::Terminated
            && !memory.known.contains_key(&machine.id)
            && !memory.gone.contains_key(&machine.id)
    });
    ended
        .map(|machine| {
            let region = Region { provider: machine.provider, name: machine.region.clone() };
            (machine.id.clone(), region, machine.launched)
        })
        .collect()
}

/// Machines that only a worker's name speaks of, of an earlier life or from before the store was lost: their region is
/// their pool's.
fn spoken_of(facts: &Facts, memory: &Memory, settings: &Settings) -> Vec<(InstanceId, Region, Timestamp)> {
    our_workers(facts, &settings.the_loop.fleet)
        .filter(|(name, _)| !memory.known.contains_key(&name.instance))
        .filter_map(|(name, worker)| {
            let pool = settings.pool(&name.pool)?;
            let region = Region { provider: pool.provider, name: pool.site() };
            Some((name.instance, region, worker.registered))
        })
        .collect()
}

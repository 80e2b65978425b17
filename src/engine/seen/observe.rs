//! Looking at the world: every source in parallel, each with a deadline. A source that fails, in whatever way, leaves the
//! others as they are.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::{ClearmlFacts, Observation, Region, Workers};
use crate::model::account::Owner;
use crate::model::cluster::Cluster;
use crate::model::ids::{FleetId, InstanceId, QueueId, QueueName, TaskId, WorkerId, WorkerName};
use crate::model::observed::{CloudInstance, Glance, Mailbox, ObservedQueue, TaskRecord, TaskStatus};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::cloud::CloudError;
use crate::world::tracker::{Tracker, TrackerError};

/// A source that has not answered by then says nothing this time.
pub(in crate::engine) const DEADLINE: SignedDuration = SignedDuration::from_secs(45);

/// What a panic says stands on a line of the screen.
const LONGEST_WORDS: usize = 200;

/// The look waits no longer for a word on when credentials end.
const END_DEADLINE: SignedDuration = SignedDuration::from_secs(5);

/// What to look at.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Look {
    pub fleet: FleetId,
    /// The queues of the settings.
    pub queues: Vec<QueueName>,
    pub regions: Vec<Region>,
    /// Workers of which all but what they run is known; `None`: all are to be listed.
    pub workers: Option<BTreeSet<WorkerId>>,
    /// Machines whose hold tasks are asked for.
    pub held: BTreeSet<InstanceId>,
    pub tasks: bool,
    /// Queues in which tasks wait for pods, where those are looked for that nobody remembers.
    pub pending: Vec<QueueName>,
    /// Tasks that are tried on a cluster.
    pub attempts: BTreeSet<TaskId>,
    /// Tasks in queues whose status is known: only the others are asked for it.
    pub known: BTreeSet<TaskId>,
    /// Tasks in queues and on workers of which it is known whose they are.
    pub owned: BTreeSet<TaskId>,
}

/// Looks once.
pub(in crate::engine) async fn observe(world: World, clock: Clock, look: Look) -> Observation {
    let began = clock.now();
    let regions = join_all(
        look.regions
            .iter()
            .map(|region| async { (region.clone(), machines(&world, clock, &look.fleet, region).await) }),
    );
    let clusters = join_all(look.regions.iter().map(|region| cluster(&world, clock, region)));
    let (clearml, regions, clusters) = futures::join!(clearml(&world, clock, &look), regions, clusters);
    // Only who was just asked knows what the newest credentials are.
    let ends = look.regions.iter().map(|region| credentials_end(&world, clock, region, began));
    let credentials_end = join_all(ends).await.into_iter().flatten().collect();
    let clusters = clusters.into_iter().flatten().collect();
    Observation { began, clearml, regions, clusters, credentials_end }
}

/// What a source says. A client's panic is an error of its source: the others, and the next look, know nothing of it.
async fn guarded<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|panic| {
        let words = words(panic.as_ref());
        tracing::error!(%what, %words, "a client panicked");
        format!("its client failed: {words}; the log says where")
    })
}

/// What a panic said, on one line.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("it did not say why");
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_WORDS).collect()
}

/// When the credentials end that the region was asked with, where somebody knows it soon.
async fn credentials_end(
    world: &World,
    clock: Clock,
    region: &Region,
    began: Timestamp,
) -> Option<(Region, Timestamp)> {
    let cloud = world.cloud(region.provider).ok()?;
    let asked = clock.deadline(END_DEADLINE, cloud.credentials_end(&region.name, began));
    let Ok(told) = guarded(&region.name, asked).await else {
        cloud.forget(&region.name);
        return None;
    };
    Some((region.clone(), told??))
}

/// What it says of itself, where it is a cluster that answers.
async fn cluster(world: &World, clock: Clock, region: &Region) -> Option<(Region, Cluster)> {
    let cloud = world.cloud(region.provider).ok()?;
    let told = guarded(&region.name, clock.deadline(DEADLINE, cloud.cluster(&region.name))).await.ok()???;
    Some((region.clone(), told))
}

async fn machines(world: &World, clock: Clock, fleet: &FleetId, region: &Region) -> Result<Vec<CloudInstance>, String> {
    let cloud = world.cloud(region.provider).map_err(|error| error.to_string())?;
    match guarded(&region.name, clock.deadline(DEADLINE, cloud.list(fleet, &region.name))).await {
        Ok(Some(listed)) => listed.map_err(|error| error.to_string()),
        Ok(None) => {
            cloud.forget(&region.name);
            Err(CloudError::deadline("the listing").to_string())
        }
        Err(failed) => {
            cloud.forget(&region.name);
            Err(failed)
        }
    }
}

async fn clearml(world: &World, clock: Clock, look: &Look) -> Result<ClearmlFacts, String> {
    let late = || TrackerError::Deadline { endpoint: "the look at queues and workers".to_owned() };
    let seen = guarded("ClearML", clock.deadline(DEADLINE, ask(world, look))).await?;
    seen.unwrap_or_else(|| Err(late())).map_err(|error| error.to_string())
}

/// One call, and those that are seldom needed. The workers are listed where one is new, or one name has two rows.
async fn ask(world: &World, look: &Look) -> Result<ClearmlFacts, TrackerError> {
    let tracker = &world.tracker;
    let Glance { queues, workers, mailboxes, claim } = tracker.glance(&look.fleet).await?;
    let named = workers.iter().map(|worker| &worker.id);
    let are_known = look.workers.as_ref().is_some_and(|known| Workers::are_known(named, known));
    let workers =
        if are_known { Workers::Glanced(workers) } else { Workers::Listed(tracker.workers(&look.fleet).await?) };
    let holds = holds(tracker.as_ref(), look, &mailboxes).await?;
    let tasks = if look.tasks {
        let ours = ids(&queues, &look.queues);
        Some(tracker.tasks(&ours, &[TaskStatus::InProgress, TaskStatus::Queued]).await?)
    } else {
        None
    };
    let attempts = tried(tracker.as_ref(), look).await?;
    let Told { statuses, owners, tags } =
        told(tracker.as_ref(), look, &queues, &workers, tasks.as_deref().unwrap_or_default()).await?;
    let waiting = if look.pending.is_empty() { None } else { Some(tracker.waiting_for_pods(&look.pending).await?) };
    let ahead = tracker.clock_ahead();
    Ok(ClearmlFacts {
        queues,
        workers,
        mailboxes,
        claim,
        holds,
        tasks,
        attempts,
        waiting,
        statuses,
        owners,
        tags,
        ahead,
    })
}

/// Each of these tasks as it is; `None`: there is no such task.
async fn tried(tracker: &dyn Tracker, look: &Look) -> Result<BTreeMap<TaskId, Option<TaskRecord>>, TrackerError> {
    if look.attempts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked: Vec<TaskId> = look.attempts.iter().cloned().collect();
    let mut found = tracker.tasks_by_id(&asked).await?;
    Ok(asked.into_iter().map(|task| (task.clone(), found.remove(&task))).collect())
}

/// What waits or runs of the machines' own queues: nobody but us puts tasks there.
async fn holds(
    tracker: &dyn Tracker,
    look: &Look,
    mailboxes: &[Mailbox],
) -> Result<BTreeMap<InstanceId, Vec<TaskRecord>>, TrackerError> {
    let asked = mailboxes.iter().filter(|mailbox| look.held.contains(&mailbox.instance));
    let asked: BTreeMap<&QueueId, &InstanceId> = asked.map(|mailbox| (&mailbox.queue, &mailbox.instance)).collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut holds: BTreeMap<InstanceId, Vec<TaskRecord>> =
        asked.values().map(|instance| ((*instance).clone(), Vec::new())).collect();
    let queues: Vec<QueueId> = asked.keys().map(|queue| (*queue).clone()).collect();
    for task in tracker.tasks(&queues, &[TaskStatus::Queued, TaskStatus::InProgress]).await? {
        let instance = task.queue.as_ref().and_then(|queue| asked.get(queue));
        if let Some(of_machine) = instance.and_then(|instance| holds.get_mut(*instance)) {
            of_machine.push(task);
        }
    }
    Ok(holds)
}

/// What was asked of tasks.
#[derive(Default)]
struct Told {
    /// `None`: there is no such task.
    statuses: BTreeMap<TaskId, Option<TaskStatus>>,
    owners: BTreeMap<TaskId, Owner>,
    /// Of those that have any.
    tags: BTreeMap<TaskId, Vec<String>>,
}

/// What the tasks behind our queues' entries do, as far as that is not known yet: by the tasks that were just told, else
/// asked for by their ids. A task is queued by its status before it is an entry. And whose these are and those that the
/// fleet's workers run.
async fn told(
    tracker: &dyn Tracker,
    look: &Look,
    queues: &[ObservedQueue],
    workers: &Workers,
    tasks: &[TaskRecord],
) -> Result<Told, TrackerError> {
    let ours = queues.iter().filter(|queue| look.queues.contains(&queue.name));
    let entries: BTreeSet<&TaskId> = ours.flat_map(|queue| &queue.entries).map(|entry| &entry.task).collect();
    let mut open: BTreeSet<&TaskId> = entries.iter().copied().filter(|task| !look.known.contains(*task)).collect();
    let mut told = Told::default();
    for task in tasks.iter().filter(|task| task.status == TaskStatus::Queued) {
        if open.remove(&task.id) {
            told.statuses.insert(task.id.clone(), Some(task.status));
        }
    }
    let is_ours = |worker: &WorkerId| WorkerName::parse(worker).is_some_and(|name| name.fleet == look.fleet);
    let running = workers.running().filter(|(worker, _)| is_ours(worker)).map(|(_, task)| &task.id);
    let unowned = entries.into_iter().chain(running).filter(|task| !look.owned.contains(*task));
    let asked: BTreeSet<&TaskId> = open.iter().copied().chain(unowned).collect();
    if asked.is_empty() {
        return Ok(told);
    }
    let asked: Vec<TaskId> = asked.into_iter().cloned().collect();
    let mut facts = tracker.task_facts(&asked).await?;
    for task in &asked {
        let facts = facts.remove(task);
        if open.contains(task) {
            told.statuses.insert(task.clone(), facts.as_ref().map(|facts| facts.status));
        }
        let (owner, tags) = facts.map(|facts| (facts.owner, facts.tags)).unwrap_or_default();
        // One that is not there is nobody's, and is not asked for again.
        told.owners.insert(task.clone(), owner);
        if !tags.is_empty() {
            told.tags.insert(task.clone(), tags);
        }
    }
    Ok(told)
}

fn ids(queues: &[ObservedQueue], ours: &[QueueName]) -> Vec<QueueId> {
    queues.iter().filter(|queue| ours.contains(&queue.name)).map(|queue| queue.id.clone()).collect()
}

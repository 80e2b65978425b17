//! What the sources said last, and how old that is. A source that fails keeps its last good answer: old, not empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::account::Owner;
use crate::model::claim::ClaimId;
use crate::model::cluster::Cluster;
use crate::model::ids::{InstanceId, QueueId, QueueName, TaskId, WorkerId, WorkerName, hold_tasks};
use crate::model::observed::{
    CloudInstance, GlancedWorker, Mailbox, ObservedQueue, ObservedTask, ObservedWorker, TaskRecord, TaskStatus,
    one_of_each,
};
use crate::model::settings::{Provider, Settings};
use crate::model::snapshot::Source;

/// Clocks of hosts that a time service sets are never so far apart.
pub const CLOCK_OFF: SignedDuration = SignedDuration::from_secs(30);

/// Where machines of a provider are rented.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    pub provider: Provider,
    pub name: String,
}

impl Region {
    fn holds(&self, machine: &CloudInstance) -> bool {
        (machine.provider, &machine.region) == (self.provider, &self.name)
    }
}

/// One look at everything. Each part is whole or an error: an error means that nothing is known, never "none".
#[derive(Debug, Clone)]
pub struct Observation {
    /// When the looking began: nothing in it is older.
    pub began: Timestamp,
    pub clearml: Result<ClearmlFacts, String>,
    pub regions: Vec<(Region, Result<Vec<CloudInstance>, String>)>,
    /// What those of the regions say of themselves that are clusters.
    pub clusters: BTreeMap<Region, Cluster>,
    /// When the credentials end that a region was asked with, where somebody knows.
    pub credentials_end: BTreeMap<Region, Timestamp>,
}

/// What ClearML said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClearmlFacts {
    pub queues: Vec<ObservedQueue>,
    pub workers: Workers,
    pub mailboxes: Vec<Mailbox>,
    /// The claim on the fleet's lead of the highest term.
    pub claim: Option<ClaimId>,
    /// The hold tasks that wait or run, of each machine of which they were asked.
    pub holds: BTreeMap<InstanceId, Vec<TaskRecord>>,
    /// Tasks of our queues that run or wait by their status; `None`: not asked this time.
    pub tasks: Option<Vec<TaskRecord>>,
    /// Tasks that are tried on a cluster; `None`: there is no such task.
    pub attempts: BTreeMap<TaskId, Option<TaskRecord>>,
    /// Tasks that wait for pods; `None`: not asked this time.
    pub waiting: Option<Vec<TaskRecord>>,
    /// What the tasks behind our queues' entries do that were not known before; `None`: there is no such task.
    pub statuses: BTreeMap<TaskId, Option<TaskStatus>>,
    /// Whose those are that were not known yet.
    pub owners: BTreeMap<TaskId, Owner>,
    /// The tags of those of them that have any.
    pub tags: BTreeMap<TaskId, Vec<String>>,
    /// How far its clock is ahead of ours; `None`: nobody knows.
    pub ahead: Option<SignedDuration>,
}

/// What ClearML said of its workers.
#[derive(Debug, Clone, PartialEq)]
pub enum Workers {
    /// All, with their reports.
    Listed(Vec<ObservedWorker>),
    /// What each runs, of those that were listed before; who is not among them listens to no queue that exists.
    Glanced(Vec<GlancedWorker>),
}

impl Default for Workers {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Workers {
    /// Whether what is glanced at these workers says all: one row for each, and all but what they run is known.
    pub fn are_known<'a>(mut ids: impl Iterator<Item = &'a WorkerId>, known: &BTreeSet<WorkerId>) -> bool {
        let mut told = BTreeSet::new();
        ids.all(|id| known.contains(id) && told.insert(id))
    }

    /// What they run, and who runs it.
    pub fn running(&self) -> impl Iterator<Item = (&WorkerId, &ObservedTask)> {
        let (listed, glanced) = match self {
            Self::Listed(rows) => (rows.as_slice(), [].as_slice()),
            Self::Glanced(rows) => ([].as_slice(), rows.as_slice()),
        };
        let listed = listed.iter().filter_map(|worker| Some((&worker.id, worker.task.as_ref()?)));
        listed.chain(glanced.iter().filter_map(|worker| Some((&worker.id, worker.task.as_ref()?))))
    }
}

/// The visible queues, found by their id or name.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    all: Vec<ObservedQueue>,
    by_id: BTreeMap<QueueId, usize>,
    by_name: BTreeMap<QueueName, usize>,
}

impl Queues {
    pub fn iter(&self) -> impl Iterator<Item = &ObservedQueue> {
        self.all.iter()
    }

    #[must_use]
    pub fn by_id(&self, id: &QueueId) -> Option<&ObservedQueue> {
        self.all.get(*self.by_id.get(id)?)
    }

    #[must_use]
    pub fn named(&self, name: &QueueName) -> Option<&ObservedQueue> {
        self.all.get(*self.by_name.get(name)?)
    }

    /// Those that the settings serve, by their ids.
    pub fn served<'a>(&'a self, settings: &'a Settings) -> BTreeMap<&'a QueueId, &'a ObservedQueue> {
        let served = settings.queues.iter().filter_map(|queue| self.named(&queue.name));
        served.map(|queue| (&queue.id, queue)).collect()
    }
}

impl From<Vec<ObservedQueue>> for Queues {
    fn from(all: Vec<ObservedQueue>) -> Self {
        let by_id = all.iter().enumerate().map(|(place, queue)| (queue.id.clone(), place)).collect();
        let by_name = all.iter().enumerate().map(|(place, queue)| (queue.name.clone(), place)).collect();
        Self { all, by_id, by_name }
    }
}

/// The newest good answers.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub queues: Queues,
    /// One that runs nothing but a hold task has no task.
    pub workers: Vec<ObservedWorker>,
    /// The rows as they are, with hold tasks.
    rows: Vec<ObservedWorker>,
    /// Rows of ids that another row has too; see [`one_of_each`].
    pub doubles: Vec<ObservedWorker>,
    /// Machines whose workers run a hold task.
    pub holding: BTreeSet<InstanceId>,
    pub mailboxes: BTreeMap<InstanceId, Mailbox>,
    /// Hold tasks that wait or run. A machine that is not among these was not asked about.
    pub holds: BTreeMap<InstanceId, Vec<TaskRecord>>,
    /// Mailboxes that were there once, and were not removed by us.
    mailboxes_known: BTreeSet<InstanceId>,
    pub tasks: Vec<TaskRecord>,
    /// Tasks that are tried on a cluster, as they were when ClearML was last asked; `None`: there is no such task.
    pub attempts: BTreeMap<TaskId, Option<TaskRecord>>,
    /// Tasks that waited for pods when they were last asked for, until they are looked through.
    pub waiting: Vec<TaskRecord>,
    /// What the tasks behind the entries of our queues do, as they were last asked; `None`: there is no such task.
    pub statuses: BTreeMap<TaskId, Option<TaskStatus>>,
    /// Whose the tasks are that wait in our queues or run on a worker, as far as ClearML was asked.
    pub owners: Arc<BTreeMap<TaskId, Owner>>,
    /// The tags of those of them that have any, as they were when ClearML was asked.
    pub tags: Arc<BTreeMap<TaskId, Vec<String>>>,
    pub machines: BTreeMap<InstanceId, CloudInstance>,
    /// What clusters last said of themselves, by site.
    pub clusters: Arc<BTreeMap<String, Cluster>>,
    /// When those were last asked for that run or wait by their status.
    pub tasks_asked: Option<Timestamp>,
    /// When ClearML last answered, trusted or not.
    pub asked: Option<Timestamp>,
    /// When the workers' reports were last listed, trusted or not: by ClearML's clock, by which they are dated.
    pub workers_asked: Option<Timestamp>,
    /// How far ClearML's clock is ahead of ours, as far as it was ever told.
    pub ahead: SignedDuration,
    clearml: Health,
    regions: BTreeMap<Region, Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    last_good: Option<Timestamp>,
    error: Option<String>,
    credentials_end: Option<Timestamp>,
}

impl Health {
    fn good(&mut self, at: Timestamp) {
        (self.last_good, self.error) = (Some(at), None);
    }
}

impl Facts {
    /// Takes in a look at the world; says which parts are new.
    pub fn take(&mut self, observation: Observation) -> Fresh {
        let mut fresh = Fresh { at: observation.began, ..Fresh::default() };
        match observation.clearml {
            Ok(ClearmlFacts {
                mut queues,
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
            }) => {
                self.ahead = ahead.unwrap_or(self.ahead);
                fresh.clearml = true;
                fresh.tasks = tasks.is_some();
                fresh.claim = claim;
                self.asked = Some(observation.began);
                let mut workers = match workers {
                    Workers::Listed(rows) => {
                        self.workers_asked = observation.began.checked_add(self.ahead).ok();
                        rows
                    }
                    Workers::Glanced(glanced) => {
                        let visible = queues.iter().map(|queue| &queue.id);
                        let exists = visible.chain(mailboxes.iter().map(|mailbox| &mailbox.queue)).cloned().collect();
                        self.glanced(glanced, &exists)
                    }
                };
                leave_out_begun(&mut queues, &self.rows, &workers);
                self.rows.clone_from(&workers);
                self.queues = queues.into();
                self.statuses.extend(statuses);
                let listed: BTreeSet<&TaskId> =
                    self.queues.iter().flat_map(|queue| &queue.entries).map(|entry| &entry.task).collect();
                self.statuses.retain(|task, _| listed.contains(task));
                let running: BTreeSet<&TaskId> =
                    workers.iter().filter_map(|worker| worker.task.as_ref()).map(|task| &task.id).collect();
                let kept = |task: &TaskId| listed.contains(task) || running.contains(task);
                if !owners.is_empty() || self.owners.keys().any(|task| !kept(task)) {
                    let known = Arc::make_mut(&mut self.owners);
                    known.extend(owners);
                    known.retain(|task, _| kept(task));
                }
                if !tags.is_empty() || self.tags.keys().any(|task| !kept(task)) {
                    let known = Arc::make_mut(&mut self.tags);
                    known.extend(tags);
                    known.retain(|task, _| kept(task));
                }
                self.holding = workers.iter_mut().filter_map(without_hold_task).collect();
                (self.workers, self.doubles) = one_of_each(workers);
                self.mailboxes = mailboxes.into_iter().map(|mail| (mail.instance.clone(), mail)).collect();
                self.mailboxes_known.extend(self.mailboxes.keys().cloned());
                self.holds = holds;
                self.attempts = attempts;
                if let Some(waiting) = waiting {
                    self.waiting = waiting;
                }
                if let Some(tasks) = tasks {
                    self.tasks = tasks;
                    self.tasks_asked = Some(observation.began);
                }
                self.clearml.good(observation.began);
            }
            Err(error) => self.clearml.error = Some(error),
        }
        // Where nothing of ours is any more nobody looks, and what was seen there last is not true for ever.
        let looked: BTreeSet<&Region> = observation.regions.iter().map(|(region, _)| region).collect();
        if self.regions.keys().any(|region| !looked.contains(region)) {
            self.regions.retain(|region, _| looked.contains(region));
            self.machines.retain(|_, machine| looked.iter().any(|region| region.holds(machine)));
        }
        let told = observation.clusters.into_iter().map(|(region, cluster)| (region.name, cluster));
        self.clusters = Arc::new(told.collect());
        for (region, answer) in observation.regions {
            let health = self.regions.entry(region.clone()).or_default();
            health.credentials_end = observation.credentials_end.get(&region).copied();
            match answer {
                Ok(machines) => {
                    health.good(observation.began);
                    self.machines.retain(|_, machine| !region.holds(machine));
                    self.machines.extend(machines.into_iter().map(|machine| (machine.id.clone(), machine)));
                    fresh.regions.push(region);
                }
                Err(error) => health.error = Some(error),
            }
        }
        fresh
    }

    /// The ids of the workers that are known with all but what they run.
    #[must_use]
    pub fn known_workers(&self) -> BTreeSet<WorkerId> {
        self.rows.iter().map(|row| row.id.clone()).collect()
    }

    /// The rows of those that are still there, with what they run now. A task came from the queue that it waited in. A
    /// worker is shown by its queues: of one whose queues exist no more nothing is told. `exists`: of these queues.
    fn glanced(&self, glanced: Vec<GlancedWorker>, exists: &BTreeSet<QueueId>) -> Vec<ObservedWorker> {
        let mut running: BTreeMap<WorkerId, Option<ObservedTask>> =
            glanced.into_iter().map(|worker| (worker.id, worker.task)).collect();
        let waited = |task: &TaskId| {
            let queue = self.queues.iter().find(|queue| queue.entries.iter().any(|entry| entry.task == *task));
            queue.map(|queue| queue.id.clone())
        };
        let now = |row: &ObservedWorker| {
            let Some(task) = running.remove(&row.id) else {
                return (!row.queues.iter().any(|queue| exists.contains(queue))).then(|| row.clone());
            };
            let same = |task: &ObservedTask| row.task.as_ref().filter(|before| before.id == task.id).cloned();
            let task = task.map(|task| same(&task).unwrap_or_else(|| ObservedTask { queue: waited(&task.id), ..task }));
            Some(ObservedWorker { task, ..row.clone() })
        };
        self.rows.iter().filter_map(now).collect()
    }

    /// The clock jumped: nothing that was seen before tells how things are now.
    pub fn distrust(&mut self) {
        for health in self.regions.values_mut().chain([&mut self.clearml]) {
            health.last_good = None;
        }
    }

    /// What ClearML dates, by our own clock.
    #[must_use]
    pub fn by_our_clock(&self, dated: Timestamp) -> Timestamp {
        dated.checked_sub(self.ahead).unwrap_or(dated)
    }

    /// Whether our clock and ClearML's are so far apart that what others date tells nothing by ours.
    #[must_use]
    pub fn is_clock_off(&self) -> bool {
        self.ahead.abs() > CLOCK_OFF
    }

    /// We removed the mailbox of a machine.
    pub fn mailbox_removed(&mut self, instance: &InstanceId) {
        self.mailboxes.remove(instance);
        self.mailboxes_known.remove(instance);
    }

    /// Whether someone else removed the mailbox of a machine.
    #[must_use]
    pub fn lost_mailbox(&self, instance: &InstanceId) -> bool {
        self.mailboxes_known.contains(instance) && !self.mailboxes.contains_key(instance)
    }

    /// Every source with its age.
    #[must_use]
    pub fn sources(&self, stale_after: SignedDuration) -> Vec<Source> {
        let source = |name: String, health: &Health| Source {
            name,
            last_good: health.last_good,
            stale_after,
            error: health.error.clone(),
            credentials_end: health.credentials_end,
        };
        let clearml = source(Source::CLEARML.to_owned(), &self.clearml);
        let regions =
            self.regions.iter().map(|(region, health)| source(Source::region(region.provider, &region.name), health));
        std::iter::once(clearml).chain(regions).collect()
    }

    /// Whether ClearML has ever answered.
    #[must_use]
    pub fn knows_clearml(&self) -> bool {
        self.clearml.last_good.is_some()
    }

    /// When a region last answered.
    #[must_use]
    pub fn seen_at(&self, region: &Region) -> Option<Timestamp> {
        self.regions.get(region)?.last_good
    }
}

/// Leaves out the entries of tasks that were taken while ClearML was asked: they are in the queues' answer and in the
/// workers' too. An entry that stays is told of at the next look.
fn leave_out_begun(queues: &mut [ObservedQueue], before: &[ObservedWorker], now: &[ObservedWorker]) {
    let running = |rows: &[ObservedWorker]| -> BTreeSet<TaskId> {
        rows.iter().filter_map(|worker| worker.task.as_ref()).map(|task| task.id.clone()).collect()
    };
    let before = running(before);
    let begun: BTreeSet<TaskId> = running(now).into_iter().filter(|task| !before.contains(task)).collect();
    if !begun.is_empty() {
        for queue in queues {
            queue.entries.retain(|entry| !begun.contains(&entry.task));
        }
    }
}

/// Takes a hold task out of a worker's row, so that nobody takes it for a task; whose row it was.
fn without_hold_task(worker: &mut ObservedWorker) -> Option<InstanceId> {
    let task = worker.task.as_ref()?;
    let instance = WorkerName::parse(&worker.id)?.instance;
    if !task.name.starts_with(&hold_tasks(&instance)) {
        return None;
    }
    worker.task = None;
    Some(instance)
}

/// Which facts an observation renewed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fresh {
    pub at: Timestamp,
    pub clearml: bool,
    pub tasks: bool,
    pub claim: Option<ClaimId>,
    pub regions: Vec<Region>,
}

impl Fresh {
    /// Whether this look said where machines of that region are.
    #[must_use]
    pub fn saw(&self, region: &Region) -> bool {
        self.regions.contains(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observed::QueueEntry;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn task(id: &str, queue: Option<&str>) -> ObservedTask {
        ObservedTask { id: id.into(), name: String::new(), queue: queue.map(QueueId::new) }
    }

    fn worker(id: &str, running: Option<ObservedTask>) -> ObservedWorker {
        ObservedWorker { id: id.into(), queues: vec!["q".into()], task: running, registered: AT, last_report: Some(AT) }
    }

    fn seen(seconds: i64, waiting: &[&str], workers: Workers) -> Observation {
        let entry = |task: &&str| QueueEntry { task: (*task).into(), added: AT };
        let entries = waiting.iter().map(entry).collect();
        let queues = vec![ObservedQueue { id: "q".into(), name: "train".into(), tags: Vec::new(), entries }];
        Observation {
            began: AT + SignedDuration::from_secs(seconds),
            clearml: Ok(ClearmlFacts { queues, workers, ..ClearmlFacts::default() }),
            regions: Vec::new(),
            clusters: BTreeMap::new(),
            credentials_end: BTreeMap::new(),
        }
    }

    fn glanced(all: &[(&str, Option<&str>)]) -> Workers {
        let glanced = |(id, running): &(&str, Option<&str>)| GlancedWorker {
            id: (*id).into(),
            task: running.map(|running| task(running, None)),
        };
        Workers::Glanced(all.iter().map(glanced).collect())
    }

    fn waiting(facts: &Facts) -> Vec<&str> {
        facts.queues.iter().flat_map(|queue| &queue.entries).map(|entry| entry.task.as_str()).collect()
    }

    #[test]
    fn a_glance_tells_what_listed_workers_run_now_and_nothing_of_their_reports() {
        let mut facts = Facts::default();
        let listed = ["a", "b", "c"].map(|id| worker(id, (id == "a").then(|| task("t1", Some("q")))));
        facts.take(seen(0, &["t2", "t3"], Workers::Listed(listed.to_vec())));
        // t2 was taken while ClearML was asked; `c` listens no more; `d` was never listed.
        facts.take(seen(9, &["t2", "t3"], glanced(&[("a", Some("t1")), ("b", Some("t2")), ("d", Some("t9"))])));
        let mut expected = vec![worker("a", Some(task("t1", Some("q")))), worker("b", Some(task("t2", Some("q"))))];
        assert_eq!(facts.workers, expected);
        assert_eq!((waiting(&facts), facts.workers_asked), (vec!["t3"], Some(AT)));
        assert_eq!(facts.asked, Some(AT + SignedDuration::from_secs(9)));
        // An entry that stays behind its running task is one that stays.
        facts.take(seen(18, &["t2", "t3"], glanced(&[("a", None), ("b", Some("t2"))])));
        expected = vec![worker("a", None), worker("b", Some(task("t2", Some("q"))))];
        assert_eq!((&facts.workers, waiting(&facts)), (&expected, vec!["t2", "t3"]));
    }

    #[test]
    fn a_worker_whose_queues_exist_no_more_is_not_in_a_glance_and_stays_as_it_was() {
        let mut facts = Facts::default();
        let of_deleted = ObservedWorker { queues: vec!["deleted".into()], ..worker("a", Some(task("t1", None))) };
        let without = ObservedWorker { queues: Vec::new(), ..worker("b", None) };
        facts.take(seen(0, &[], Workers::Listed(vec![of_deleted.clone(), without.clone(), worker("c", None)])));
        facts.take(seen(9, &[], glanced(&[("c", None)])));
        assert_eq!(facts.workers, [of_deleted, without, worker("c", None)]);
    }
}

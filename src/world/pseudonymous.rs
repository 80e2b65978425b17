//! A ClearML server whose users and tasks have pseudonyms: whatever it answers names nobody. Ids stay, by which ClearML's own
//! page shows the name to who may see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::model::attempt::waits_for;
use crate::model::claim::{Claim, ClaimNote};
use crate::model::ids::{
    FleetId, InstanceId, QueueId, QueueName, TaskId, Term, UserName, WorkerId, WorkerName, hold_tasks,
};
use crate::model::observed::{
    Glance, HiddenQueue, LostTask, ObservedQueue, ObservedTask, ObservedWorker, TaskFacts, TaskRecord, TaskStatus,
};
use crate::model::pseudonym::{Key, Pseudonyms, TooShort};
use crate::model::settings::{LoopSettings, SecretRef};
use crate::model::tasks::{QueuedTask, TaskDeed};
use crate::world::secret::{self, Secret, SecretError};
use crate::world::tracker::{PodPlace, Requeue, Taken, TaskContainer, Tracker, TrackerError};

/// Why pseudonyms cannot be made: it is told of the setting that names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoKey {
    /// Such as `loop.pseudonyms`.
    pub setting: &'static str,
    #[source]
    pub why: WhyNoKey,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNoKey {
    #[error(transparent)]
    Absent(#[from] SecretError),
    #[error(transparent)]
    Short(#[from] TooShort),
}

/// Reads the keys that the settings name.
///
/// # Errors
/// One is not there, or is none.
pub fn pseudonyms(settings: &LoopSettings) -> Result<Pseudonyms, NoKey> {
    let read = |place: &Option<SecretRef>, setting| {
        let key = place.as_ref().map(|place| Ok(Key::new(secret::read(place)?.expose())?));
        key.transpose().map_err(|why| NoKey { setting, why })
    };
    let now = read(&settings.pseudonyms, "loop.pseudonyms")?;
    Ok(Pseudonyms::new(now, read(&settings.pseudonyms_before, "loop.pseudonyms_before")?))
}

/// A tracker, and what its users and tasks are called.
pub struct Pseudonymous {
    tracker: Arc<dyn Tracker>,
    names: Pseudonyms,
}

impl fmt::Debug for Pseudonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonymous").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Pseudonymous {
    #[must_use]
    pub fn new(tracker: Arc<dyn Tracker>, names: Pseudonyms) -> Self {
        Self { tracker, names }
    }

    /// What a task is called. Those that hold a machine are ours, and known by their names to whoever looks for them.
    fn task(&self, name: &str, worker: Option<&WorkerId>) -> String {
        let holds = |worker: &WorkerId| {
            WorkerName::parse(worker).is_some_and(|worker| name.starts_with(&hold_tasks(&worker.instance)))
        };
        if worker.is_some_and(holds) { name.to_owned() } else { self.names.task(name) }
    }

    fn observed(&self, task: Option<ObservedTask>, worker: &WorkerId) -> Option<ObservedTask> {
        task.map(|task| ObservedTask { name: self.task(&task.name, Some(worker)), ..task })
    }

    fn record(&self, record: TaskRecord) -> TaskRecord {
        let name = self.task(&record.name, record.last_worker.as_ref());
        let status_reason = without(&record.status_reason, &[(&record.name, &name)]);
        TaskRecord { name, status_reason, ..record }
    }

    fn queued(&self, task: QueuedTask) -> QueuedTask {
        let name = self.task(&task.name, task.worker.as_ref());
        let owner = self.names.owner(task.owner.clone());
        let user = |user: &'_ Option<UserName>| user.as_ref().map(UserName::to_string).unwrap_or_default();
        let users = (user(&task.owner.user), user(&owner.user));
        let reason = without(&task.reason, &[(&task.name, &name), (&users.0, &users.1)]);
        QueuedTask { name, owner, reason, ..task }
    }
}

/// A reason without the names that it holds, of which each has a pseudonym. What we wrote ourselves is read again, and has none.
fn without(reason: &str, names: &[(&str, &str)]) -> String {
    let is_lost = reason.strip_prefix("pod ").is_some_and(|rest| rest.ends_with(" lost"));
    if is_lost || waits_for(reason).is_some() {
        return reason.to_owned();
    }
    // The longest first: one name may be a part of another.
    let mut names: Vec<_> = names.iter().filter(|(name, called)| !name.is_empty() && name != called).collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut rest = reason;
    let mut told = String::with_capacity(reason.len());
    while let Some(letter) = rest.chars().next() {
        if let Some((name, called)) = names.iter().find(|(name, _)| rest.starts_with(name)) {
            told.push_str(called);
            rest = rest.get(name.len()..).unwrap_or_default();
        } else {
            told.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    told
}

#[async_trait]
impl Tracker for Pseudonymous {
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError> {
        self.tracker.queues().await
    }

    async fn glance(&self, fleet: &FleetId) -> Result<Glance, TrackerError> {
        let mut glance = self.tracker.glance(fleet).await?;
        for worker in &mut glance.workers {
            worker.task = self.observed(worker.task.take(), &worker.id);
        }
        Ok(glance)
    }

    async fn workers(&self, fleet: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError> {
        let mut workers = self.tracker.workers(fleet).await?;
        for worker in &mut workers {
            worker.task = self.observed(worker.task.take(), &worker.id);
        }
        Ok(workers)
    }

    async fn tasks(&self, queues: &[QueueId], statuses: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError> {
        let records = self.tracker.tasks(queues, statuses).await?;
        Ok(records.into_iter().map(|record| self.record(record)).collect())
    }

    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError> {
        let mut facts = self.tracker.task_facts(tasks).await?;
        for facts in facts.values_mut() {
            facts.owner = self.names.owner(std::mem::take(&mut facts.owner));
        }
        Ok(facts)
    }

    async fn queue_tasks(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        let tasks = self.tracker.queue_tasks(queue).await?;
        Ok(tasks.into_iter().map(|task| self.queued(task)).collect())
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskRecord>, TrackerError> {
        let records = self.tracker.tasks_by_id(tasks).await?;
        Ok(records.into_iter().map(|(task, record)| (task, self.record(record))).collect())
    }

    async fn waiting_for_pods(&self, pending: &[QueueName]) -> Result<Vec<TaskRecord>, TrackerError> {
        let records = self.tracker.waiting_for_pods(pending).await?;
        Ok(records.into_iter().map(|record| self.record(record)).collect())
    }

    /// As the task wrote it: it is shown to who asks for it, and kept nowhere.
    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        self.tracker.task_log(task).await
    }

    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.create_mailbox(instance).await
    }

    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.delete_mailbox(instance).await
    }

    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.order_drain(instance, nonce).await
    }

    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.ask_end(instance, nonce).await
    }

    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.cancel_drain(instance).await
    }

    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.tracker.place_hold(instance, nonce).await
    }

    async fn end_holds(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.tracker.end_holds(instance).await
    }

    async fn renew_lease(&self, fleet: &FleetId, value: &str) -> Result<(), TrackerError> {
        self.tracker.renew_lease(fleet, value).await
    }

    async fn claims(&self, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError> {
        self.tracker.claims(fleet).await
    }

    async fn claim(&self, fleet: &FleetId, term: Term) -> Result<bool, TrackerError> {
        self.tracker.claim(fleet, term).await
    }

    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError> {
        self.tracker.write_claim(claim, note).await
    }

    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError> {
        self.tracker.hidden_queues().await
    }

    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError> {
        self.tracker.delete_hidden(queue).await
    }

    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        self.tracker.requeue_lost(lost).await
    }

    async fn enqueue(&self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
        self.tracker.enqueue(task, queue).await
    }

    async fn task_deed(&self, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError> {
        self.tracker.task_deed(queue, task, deed).await
    }

    async fn container(&self, task: &TaskId) -> Result<TaskContainer, TrackerError> {
        self.tracker.container(task).await
    }

    async fn take(&self, place: &PodPlace) -> Result<Taken, TrackerError> {
        self.tracker.take(place).await
    }

    async fn put_back(
        &self,
        place: &PodPlace,
        started: Option<Timestamp>,
        give_up: Option<&str>,
    ) -> Result<Requeue, TrackerError> {
        self.tracker.put_back(place, started, give_up).await
    }

    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError> {
        self.tracker.tell_waiting(queue, text, tasks).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError> {
        self.tracker.unregister(worker).await
    }

    async fn mint_agent_token(&self, life: SignedDuration) -> Result<Secret, TrackerError> {
        self.tracker.mint_agent_token(life).await
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        self.tracker.clock_ahead()
    }

    fn api_server(&self) -> String {
        self.tracker.api_server()
    }

    async fn check(&self) -> Result<String, TrackerError> {
        self.tracker.check().await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::account::Owner;
    use crate::model::attempt::{lost_reason, waits_reason};
    use crate::model::ids::hold_task;
    use crate::model::tasks::TaskState;
    use crate::world::World;
    use crate::world::clock::Clock;
    use crate::world::sim::Sim;
    use crate::world::sim::scenario::{PlannedTask, Scenario};

    fn names() -> Pseudonyms {
        Pseudonyms::new(Some(Key::new("0123456789abcdef").unwrap()), None)
    }

    /// A server where these users have put these tasks into the queue `train`, each at the second of its place.
    fn world(tasks: &[(String, String)], clock: Clock) -> World {
        let task = |(place, (user, name)): (i64, &(String, String))| PlannedTask {
            at: SignedDuration::from_secs(place),
            queue: "train".to_owned(),
            name: name.clone(),
            duration: SignedDuration::from_mins(1),
            user: user.clone(),
            project: "vision".to_owned(),
        };
        let queue = toml::from_str("name = 'train'").unwrap();
        let tasks = (0..).zip(tasks).map(task).collect();
        Sim::new(Scenario { queues: vec![queue], tasks, ..Scenario::default() }, 1, clock).world()
    }

    /// Everything that a tracker says of tasks, as a text, and how many it said something of.
    async fn told(world: &World) -> (String, usize) {
        let (tracker, fleet) = (&world.tracker, FleetId::new("lab"));
        let queues = tracker.queues().await.unwrap();
        let queue = queues.iter().find(|queue| queue.name.as_str() == "train").unwrap();
        let ids: Vec<TaskId> = queue.entries.iter().map(|entry| entry.task.clone()).collect();
        let facts = tracker.task_facts(&ids).await.unwrap();
        let listed = tracker.queue_tasks(&queue.id).await.unwrap();
        let records = tracker.tasks(std::slice::from_ref(&queue.id), &[TaskStatus::Queued]).await.unwrap();
        let (glance, workers) = (tracker.glance(&fleet).await.unwrap(), tracker.workers(&fleet).await.unwrap());
        let count = facts.len().min(listed.len()).min(records.len());
        (format!("{queues:?} {facts:?} {listed:?} {records:?} {glance:?} {workers:?}"), count)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_name_of_a_user_or_a_task_is_in_an_answer(
            tasks in prop::collection::vec(("[A-Z][a-z]{2,8}[0-9]{2}", "[A-Z][a-z]{2,8}-[0-9]{2}"), 1..12),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let clock = Clock::simulated(Timestamp::UNIX_EPOCH, 1);
                let plain = world(&tasks, clock);
                let called = plain.clone().with_pseudonyms(&names());
                clock.sleep(SignedDuration::from_secs(60)).await;
                let ((open, all), (text, again)) = (told(&plain).await, told(&called).await);
                prop_assert_eq!((all, again), (tasks.len(), tasks.len()));
                for (user, name) in &tasks {
                    prop_assert!(open.contains(user.as_str()) && open.contains(name.as_str()), "the server itself knows them");
                    prop_assert!(!text.contains(user.as_str()) && !text.contains(name.as_str()), "{user}, {name}: {text}");
                    prop_assert!(text.contains(names().user(&UserName::new(user.as_str())).as_str()));
                    prop_assert!(text.contains(&names().task(name)));
                }
                prop_assert!(text.contains("vision"), "projects have their names");
                Ok(())
            })?;
        }

        /// Whatever a name is, and wherever it stands in a reason.
        #[test]
        fn a_reason_is_told_without_names(before in "[a-z ]{0,9}", name in "[A-Zäß]{1,9}", after in "[a-z ]{0,9}") {
            let told = without(&format!("{before}{name}{after}{name}"), &[(&name, "task-1")]);
            prop_assert_eq!(told, format!("{before}task-1{after}task-1"));
        }
    }

    fn plain() -> Pseudonymous {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH, 1);
        Pseudonymous::new(Sim::new(Scenario::default(), 1, clock).world().tracker, names())
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_tasks_are_known_by_their_names() {
        let tracker = plain();
        let worker = WorkerId::new("lab:gpu:g5.xlarge:i-1");
        let hold = hold_task(&"i-1".into(), "n1");
        let observed = |name: &str| ObservedTask { id: "t".into(), name: name.to_owned(), queue: None };
        let of = |name: &str| tracker.observed(Some(observed(name)), &worker).unwrap().name;
        assert_eq!(of(&hold), hold);
        // Another machine's is nothing that this one runs, and such a name may be anyone's.
        for name in ["tidegate:hold:i-2:n1", "tidegate:hold:for alice", "train"] {
            assert_eq!(of(name), names().task(name));
        }
        assert_eq!(of(""), "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_we_wrote_into_a_reason_is_read_again() {
        let tracker = plain();
        let record = |name: &str, reason: String| TaskRecord {
            id: "t1".into(),
            name: name.to_owned(),
            status: TaskStatus::Queued,
            status_reason: reason,
            status_changed: None,
            started: None,
            last_worker: None,
            queue: None,
        };
        let ours = waits_reason(&"i-1".into(), &"lab".into(), &"train".into());
        assert_eq!(tracker.record(record("train", ours.clone())).status_reason, ours);
        let lost = lost_reason(&"pod-1".into());
        assert_eq!(tracker.record(record("pod", lost.clone())).status_reason, lost);
        let told = QueuedTask {
            id: "t1".into(),
            name: "alice's sweep".to_owned(),
            state: TaskState::Failed,
            since: None,
            worker: None,
            owner: Owner { project: None, user: Some("alice".into()) },
            reason: "alice's sweep was aborted by alice".to_owned(),
        };
        let (task, user) = (names().task("alice's sweep"), names().user(&"alice".into()));
        assert_eq!(tracker.queued(told).reason, format!("{task} was aborted by {user}"));
    }

    #[test]
    fn a_key_that_is_not_there_or_too_short_is_told_with_its_setting() {
        let mut settings =
            crate::store::settings::parse("[loop]\nfleet = \"lab\"\n", std::path::Path::new("t")).unwrap().the_loop;
        assert_eq!(pseudonyms(&settings).unwrap().tag(), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        settings.pseudonyms_before = Some(SecretRef::File(path.clone()));
        let error = pseudonyms(&settings).unwrap_err();
        assert_eq!(error.setting, "loop.pseudonyms_before");
        assert!(error.to_string().contains("cannot be read"), "{error}");
        let write = |text: &str| crate::store::whole::write(&path, text).unwrap();
        write("hush hush\n");
        let told = pseudonyms(&settings).unwrap_err().to_string();
        assert!(told.contains("9 letters") && !told.contains("hush"), "{told}");
        write("0123456789abcdef\n");
        assert_eq!(pseudonyms(&settings).unwrap().tag(), None, "a key of before calls nobody");
        (settings.pseudonyms, settings.pseudonyms_before) = (settings.pseudonyms_before.take(), None);
        assert_eq!(pseudonyms(&settings).unwrap().tag(), names().tag());
    }
}

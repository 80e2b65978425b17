//! A simulated ClearML server: the state machine of queues, tasks and workers, as recorded from the real one
//! (CLEARML.md). It does no I/O and reads no clock: every change is told when it happens, so that one order of
//! calls is one state.

pub mod http;

mod queue;
mod refused;
mod status;
mod task;
mod user;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::model::ids::{QueueId, QueueName, TaskId, WorkerId};
use crate::world::secret::Secret;

pub use queue::{Entry, HIDING_TAG, Metadata, Place, Queue};
pub use refused::Refused;
pub use task::{NewTask, Said, Status, Task};
pub use user::{User, UserId};
pub use worker::{Report, WORKER_LIFE, Worker};

/// The one company, as the open-source server names it.
pub const COMPANY: &str = "d1bd92a3b039400cbafc60a7a5b1e52b";

/// The queue that the server makes at its first start.
pub const DEFAULT_QUEUE: &str = "default";

/// A server that several tasks share.
pub type SharedServer = Arc<Mutex<ClearmlServer>>;

/// The server behind the lock. A panic of another holder does not take it away: its state is whole between
/// any two calls.
pub fn lock(server: &SharedServer) -> MutexGuard<'_, ClearmlServer> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ClearML server.
#[derive(Debug)]
pub struct ClearmlServer {
    users: BTreeMap<UserId, User>,
    projects: BTreeMap<String, Project>,
    queues: BTreeMap<QueueId, Queue>,
    queue_names: BTreeMap<QueueName, QueueId>,
    tasks: BTreeMap<TaskId, Task>,
    by_status: BTreeMap<Status, BTreeSet<TaskId>>,
    workers: BTreeMap<(UserId, WorkerId), Worker>,
    made: u64,
}

/// A project: a name that tasks share.
#[derive(Debug, Clone)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub user: UserId,
    pub created: Timestamp,
}

impl ClearmlServer {
    /// A fresh server with the default queue and two users, [`Self::console`] and [`Self::agents`].
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut server = Self {
            users: BTreeMap::new(),
            projects: BTreeMap::new(),
            queues: BTreeMap::new(),
            queue_names: BTreeMap::new(),
            tasks: BTreeMap::new(),
            by_status: BTreeMap::new(),
            workers: BTreeMap::new(),
            made: 0,
        };
        server.add_user(now, "console");
        server.add_user(now, "agents");
        // The name is free on a fresh server.
        let _ = server.create_queue(now, DEFAULT_QUEUE, &["default"]);
        server
    }

    /// Shares it.
    #[must_use]
    pub fn shared(self) -> SharedServer {
        Arc::new(Mutex::new(self))
    }

    /// The console's user.
    #[must_use]
    pub fn console() -> UserId {
        UserId::new("__console__")
    }

    /// The user of the machines.
    #[must_use]
    pub fn agents() -> UserId {
        UserId::new("__agents__")
    }

    /// Adds a user `__<name>__`, whose key is `<NAME>-KEY` and whose secret is `<name>-secret`.
    pub fn add_user(&mut self, now: Timestamp, name: &str) -> UserId {
        let id = UserId::new(format!("__{name}__"));
        let user = User {
            id: id.clone(),
            name: name.to_owned(),
            created: now,
            access_key: format!("{}-KEY", name.to_uppercase()),
            secret_key: Secret::new(format!("{name}-secret")),
        };
        self.users.insert(id.clone(), user);
        id
    }

    /// The user of that id.
    pub fn user(&self, id: &UserId) -> Option<&User> {
        self.users.get(id)
    }

    /// The user of these credentials.
    pub fn user_of_key(&self, access_key: &str, secret_key: &str) -> Option<&User> {
        let mut users = self.users.values();
        users.find(|user| user.access_key == access_key && user.secret_key.expose() == secret_key)
    }

    /// The project of that name, made if there is none.
    pub fn project_of_name(&mut self, now: Timestamp, user: &UserId, name: &str) -> String {
        if let Some(project) = self.projects.values().find(|project| project.name == name) {
            return project.id.clone();
        }
        let id = self.next_id();
        let project = Project { id: id.clone(), name: name.to_owned(), user: user.clone(), created: now };
        self.projects.insert(id.clone(), project);
        id
    }

    /// The project of that id.
    pub fn project(&self, id: &str) -> Option<&Project> {
        self.projects.get(id)
    }

    /// Every project in the order of creation.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// The next id: 32 hexadecimal digits that grow with every one made. The first eight alone tell them apart.
    fn next_id(&mut self) -> String {
        self.made += 1;
        // The rest only looks like the real server's; an odd factor makes no two alike.
        let rest = u128::from(self.made).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) >> 32;
        format!("{:08x}{rest:024x}", self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn subcode<T>(answer: Result<T, Refused>) -> u16 {
        answer.err().map_or(0, |refused| refused.subcode)
    }

    struct Rig {
        server: ClearmlServer,
        queue: QueueId,
        console: UserId,
        agents: UserId,
        worker: WorkerId,
    }

    impl Rig {
        fn new() -> Self {
            let mut server = ClearmlServer::new(at(0));
            let queue = server.create_queue(at(0), "gpu", &[]).unwrap();
            let (console, agents) = (ClearmlServer::console(), ClearmlServer::agents());
            Self { server, queue, console, agents, worker: "f:p:t:i-1".into() }
        }

        fn task(&mut self) -> TaskId {
            self.server.create_task(at(0), NewTask::new("train", self.console.clone())).unwrap()
        }

        fn queued(&mut self) -> TaskId {
            let task = self.task();
            self.enqueue(&task, false).unwrap();
            task
        }

        fn enqueue(&mut self, task: &TaskId, force: bool) -> Result<(), Refused> {
            self.server.enqueue(at(1), &self.console, task, &self.queue, Said::default(), force).map(drop)
        }

        fn pull(&mut self) -> Option<TaskId> {
            self.server.next_task(at(2), &self.queue, None).unwrap().map(|entry| entry.task)
        }

        fn start(&mut self, now: Timestamp, task: &TaskId) {
            self.server.started(now, &self.agents, task, Said::message("pulled by agent"), true).unwrap();
            let report = Report { queues: vec![self.queue.clone()], task: Some(task.clone()), ..Report::default() };
            self.server.status_report(now, &self.agents, &self.worker, report).unwrap();
        }

        fn running(&mut self) -> TaskId {
            let task = self.queued();
            assert_eq!(self.pull().as_ref(), Some(&task));
            self.start(at(3), &task);
            task
        }

        fn status(&self, task: &TaskId) -> Status {
            self.server.task(task).unwrap().status
        }

        fn entries(&self) -> Vec<TaskId> {
            self.server.queue(&self.queue).unwrap().entries.iter().map(|entry| entry.task.clone()).collect()
        }
    }

    #[test]
    fn one_order_of_calls_gives_one_set_of_ids_in_the_order_of_their_making() {
        let made = || {
            let mut rig = Rig::new();
            (0..100).map(|_| rig.task()).collect::<Vec<_>>()
        };
        let ids = made();
        assert_eq!(ids, made());
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1] && pair[0].as_str()[..8] != pair[1].as_str()[..8]));
        assert!(ids.iter().all(|id| id.as_str().len() == 32 && id.as_str().chars().all(|c| c.is_ascii_hexdigit())));
    }

    #[test]
    fn a_pulled_task_is_in_no_queue_and_still_queued_until_it_is_started() {
        let mut rig = Rig::new();
        let (first, second) = (rig.queued(), rig.queued());
        assert_eq!(rig.pull(), Some(first.clone()));
        let task = rig.server.task(&first).unwrap();
        assert_eq!((task.status, task.waits(), task.started), (Status::Queued, false, None));
        assert_eq!(rig.entries(), [second]);
        rig.start(at(3), &first);
        let task = rig.server.task(&first).unwrap();
        assert_eq!(
            (task.status, task.queue.as_ref(), task.started),
            (Status::InProgress, Some(&rig.queue), Some(at(3)))
        );
        assert_eq!((task.last_worker.as_ref(), task.last_worker_report), (Some(&rig.worker), Some(at(3))));
    }

    #[test]
    fn only_the_first_entry_is_pulled_by_its_name() {
        let mut rig = Rig::new();
        let (first, second) = (rig.queued(), rig.queued());
        assert_eq!(rig.server.next_task(at(2), &rig.queue, Some(&second)).unwrap(), None);
        assert_eq!(rig.server.next_task(at(2), &rig.queue, Some(&first)).unwrap().unwrap().task, first);
        assert_eq!(rig.pull(), Some(second));
        assert_eq!(rig.pull(), None);
        assert_eq!(subcode(rig.server.next_task(at(2), &"nope".into(), None)), 701);
    }

    #[test]
    fn an_enqueue_is_refused_by_the_recorded_subcodes() {
        let mut rig = Rig::new();
        let task = rig.queued();
        assert_eq!(subcode(rig.enqueue(&task, false)), 706);
        assert_eq!(rig.server.task(&task).unwrap().status_reason, "failed enqueueing");
        assert_eq!((rig.status(&task), rig.entries().len()), (Status::Queued, 1));
        rig.pull();
        // A stray goes back without more ado, once.
        rig.enqueue(&task, false).unwrap();
        assert_eq!(subcode(rig.enqueue(&task, false)), 706);
        rig.pull();
        rig.start(at(3), &task);
        let refused = rig.enqueue(&task, false).unwrap_err();
        assert_eq!((refused.code, refused.subcode), (400, 110));
        assert!(refused.message.ends_with("current_status=in_progress, new_status=queued"), "{}", refused.message);
        assert_eq!(subcode(rig.enqueue(&"zzz".into(), false)), 101);
        let made = rig.task();
        let unknown = rig.server.enqueue(at(4), &rig.console, &made, &"nope".into(), Said::default(), false).map(drop);
        assert_eq!(subcode(unknown), 701);
        assert_eq!(rig.status(&made), Status::Created);
        // Force takes a running one too: that is how a console with an old view does harm.
        rig.enqueue(&task, true).unwrap();
        assert_eq!((rig.status(&task), rig.entries().len()), (Status::Queued, 1));
    }

    #[test]
    fn a_queued_task_moves_to_another_queue_and_is_then_only_there() {
        let mut rig = Rig::new();
        let task = rig.queued();
        let other = rig.server.create_queue(at(1), "cpu", &[]).unwrap();
        rig.server.enqueue(at(2), &rig.console, &task, &other, Said::default(), false).unwrap();
        assert!(rig.entries().is_empty());
        assert_eq!(rig.server.queue(&other).unwrap().entries.len(), 1);
        assert_eq!(rig.server.task(&task).unwrap().enqueue_status, Some(Status::Created));
    }

    #[test]
    fn a_task_that_is_queued_again_keeps_what_it_was() {
        let mut rig = Rig::new();
        let task = rig.running();
        rig.server.stopped(at(9), &rig.console, &task, Said::reason("vm i-1 lost"), true).unwrap();
        let stopped = rig.server.task(&task).unwrap();
        assert_eq!((stopped.status_reason.as_str(), stopped.completed), ("vm i-1 lost", Some(at(9))));
        rig.enqueue(&task, false).unwrap();
        let again = rig.server.task(&task).unwrap();
        assert_eq!((again.enqueue_status, again.started), (Some(Status::Stopped), Some(at(3))));
        assert_eq!(again.last_worker.as_ref(), Some(&rig.worker));
        rig.pull();
        rig.start(at(20), &task);
        assert_eq!(rig.server.task(&task).unwrap().started, Some(at(3)), "the first start stays");
    }

    #[test]
    fn a_dequeue_gives_back_the_status_from_before_and_its_repeat_changes_nothing() {
        let mut rig = Rig::new();
        let task = rig.queued();
        let dequeue = |rig: &mut Rig, next| {
            rig.server.dequeue(at(4), &rig.console, &task, Said::default(), next).unwrap().map(|task| task.status)
        };
        assert_eq!(dequeue(&mut rig, None), Some(Status::Created));
        assert!(rig.entries().is_empty());
        assert_eq!(dequeue(&mut rig, None), None);
        rig.enqueue(&task, false).unwrap();
        rig.pull();
        rig.start(at(5), &task);
        assert_eq!(dequeue(&mut rig, Some(Status::InProgress)), Some(Status::InProgress), "as the agent does");
    }

    #[test]
    fn a_removed_task_is_a_stray_unless_its_status_goes_with_it() {
        let mut rig = Rig::new();
        let task = rig.queued();
        rig.server.remove_task(at(2), &rig.queue, &task).unwrap();
        assert_eq!((rig.status(&task), rig.server.task(&task).unwrap().waits()), (Status::Queued, false));
        assert_eq!(subcode(rig.server.remove_task(at(2), &rig.queue, &task)), 703);
        rig.server.add_task(at(3), &rig.queue, &task).unwrap();
        rig.server.remove_and_dequeue(at(4), &rig.console, &rig.queue, &task).unwrap();
        let task = rig.server.task(&task).unwrap();
        assert_eq!((task.status, &task.queue), (Status::Created, &None));
    }

    #[test]
    fn a_stop_marks_what_a_live_worker_runs_and_stops_all_else_at_once() {
        let mut rig = Rig::new();
        let task = rig.running();
        let stop = |rig: &mut Rig, task: &TaskId, now| {
            let task = rig.server.stop(now, &rig.console, task, "", false).unwrap();
            (task.status, task.status_message.clone())
        };
        assert_eq!(stop(&mut rig, &task, at(10)), (Status::InProgress, "stopping".to_owned()));
        // The agent's own `started` overwrites the mark.
        rig.start(at(11), &task);
        assert_eq!(rig.server.task(&task).unwrap().status_message, "pulled by agent");
        let by_console = (Status::Stopped, "Stopped by console".to_owned());
        assert_eq!(stop(&mut rig, &task, at(11 + 600)), by_console, "ten minutes without a sign of life");
        let waiting = rig.queued();
        assert_eq!(stop(&mut rig, &waiting, at(12)), by_console);
        assert!(rig.entries().is_empty());
        assert_eq!(rig.server.task(&waiting).unwrap().queue.as_ref(), Some(&rig.queue));
    }

    #[test]
    fn a_task_of_a_dead_worker_is_given_up_after_two_hours() {
        let mut rig = Rig::new();
        let task = rig.running();
        assert!(rig.server.stop_unresponsive(at(3 + 7_200)).is_empty());
        assert_eq!(rig.server.stop_unresponsive(at(4 + 7_200)), std::slice::from_ref(&task));
        assert_eq!(rig.status(&task), Status::Stopped);
    }

    #[test]
    fn a_worker_lives_ten_minutes_from_report_to_report() {
        let mut rig = Rig::new();
        let queues = vec![rig.queue.clone()];
        rig.server.register_worker(at(0), &rig.agents, &rig.worker, queues, None).unwrap();
        let count = |rig: &mut Rig, now, seen: Option<i64>| {
            rig.server.workers(now, seen.map(SignedDuration::from_secs)).count()
        };
        assert_eq!(rig.server.workers(at(1), None).next().unwrap().last_report, None);
        rig.server.status_report(at(100), &rig.agents, &rig.worker, Report::default()).unwrap();
        let row = rig.server.workers(at(100), None).next().unwrap();
        assert_eq!((row.queues.len(), row.registered, row.last_report), (1, at(0), Some(at(100))));
        assert_eq!((count(&mut rig, at(160), Some(60)), count(&mut rig, at(161), Some(60))), (1, 0));
        assert_eq!((count(&mut rig, at(699), None), count(&mut rig, at(700), None)), (1, 0));
        rig.server.status_report(at(800), &rig.agents, &rig.worker, Report::default()).unwrap();
        assert_eq!(rig.server.workers(at(800), None).next().unwrap().registered, at(800), "registered again");
        let bad = vec![QueueId::new("bad-queue-id")];
        assert_eq!(subcode(rig.server.register_worker(at(0), &rig.agents, &rig.worker, bad, None)), 701);
    }

    #[test]
    fn one_worker_id_under_two_users_is_two_rows_and_each_removes_its_own() {
        let mut rig = Rig::new();
        for user in [&rig.console, &rig.agents] {
            rig.server.register_worker(at(0), user, &rig.worker, Vec::new(), None).unwrap();
        }
        assert_eq!(rig.server.workers(at(1), None).count(), 2);
        for left in [1, 1] {
            rig.server.unregister_worker(&rig.console, &rig.worker);
            assert_eq!(rig.server.workers(at(1), None).count(), left);
        }
        assert_eq!(rig.server.workers(at(1), None).next().unwrap().user, rig.agents);
    }

    #[test]
    fn names_are_unique_and_long_enough_and_hidden_queues_are_listed_when_asked_for() {
        let mut rig = Rig::new();
        assert_eq!(subcode(rig.server.create_queue(at(0), "gpu", &[])), 801);
        assert_eq!(subcode(rig.server.create_queue(at(0), "ab", &[])), 800);
        let mailbox = rig.server.create_queue(at(0), "drain:i-1", &[HIDING_TAG]).unwrap();
        assert_eq!((rig.server.queues(false).count(), rig.server.queues(true).count()), (2, 3));
        for (key, value) in [("want", "drain:n1"), ("state", "drained:n1"), ("want", "run")] {
            rig.server.set_metadata(at(1), &mailbox, key, value).unwrap();
        }
        assert_eq!(rig.server.metadata(&mailbox, "want"), Some("run"));
        assert_eq!(rig.server.metadata(&mailbox, "state"), Some("drained:n1"));
        rig.server.delete_queue(at(2), &rig.console, &mailbox, false).unwrap();
        assert!(rig.server.queue_by_name("drain:i-1").is_none());
        assert_eq!(subcode(rig.server.delete_queue(at(2), &rig.console, &mailbox, false)), 701);
        rig.server.create_queue(at(3), "drain:i-1", &[HIDING_TAG]).unwrap();
    }

    #[test]
    fn a_deleted_queue_gives_its_tasks_back() {
        let mut rig = Rig::new();
        let task = rig.queued();
        assert_eq!(subcode(rig.server.delete_queue(at(2), &rig.console, &rig.queue, false)), 702);
        rig.server.delete_queue(at(2), &rig.console, &rig.queue, true).unwrap();
        let task = rig.server.task(&task).unwrap();
        assert_eq!(
            (task.status, task.waits(), task.status_reason.as_str()),
            (Status::Created, false, "Queue was deleted")
        );
    }

    #[test]
    fn an_entry_moves_within_its_queue() {
        let mut rig = Rig::new();
        let [a, b, c] = [rig.queued(), rig.queued(), rig.queued()];
        let steps = [
            (&c, Place::Front, 0, [&c, &a, &b]),
            (&a, Place::Backward(5), 2, [&c, &b, &a]),
            (&b, Place::Forward(1), 0, [&b, &c, &a]),
            (&b, Place::Back, 2, [&c, &a, &b]),
        ];
        for (task, place, position, wanted) in steps {
            assert_eq!(rig.server.move_task(at(2), &rig.queue, task, place).unwrap(), position, "{place:?}");
            assert_eq!(rig.entries().iter().collect::<Vec<_>>(), wanted, "{place:?}");
        }
        assert_eq!(subcode(rig.server.move_task(at(2), &rig.queue, &"x".into(), Place::Front)), 703);
        assert_eq!(rig.pull(), Some(c));
    }

    #[test]
    fn a_deleted_task_leaves_its_queue() {
        let mut rig = Rig::new();
        let task = rig.queued();
        assert_eq!(subcode(rig.server.delete_task(at(2), &task, false)), 123);
        rig.server.delete_task(at(2), &task, true).unwrap();
        assert!(rig.entries().is_empty() && rig.server.tasks_in(&Status::ALL).next().is_none());
        assert_eq!(subcode(rig.server.task(&task)), 101);
    }

    #[test]
    fn a_panic_under_the_lock_does_not_take_the_server_away() {
        let shared = ClearmlServer::new(at(0)).shared();
        let other = shared.clone();
        let panicked = std::panic::catch_unwind(move || {
            let _held = lock(&other);
            panic!("of another");
        });
        assert!(panicked.is_err());
        assert_eq!(lock(&shared).queues(true).count(), 1);
    }

    /// One call of those that change a task, by number.
    fn act(rig: &mut Rig, task: &TaskId, action: u8, now: Timestamp, force: bool) {
        let (server, user, said) = (&mut rig.server, rig.agents.clone(), Said::default());
        let queue = rig.queue.clone();
        match action % 12 {
            0 => drop(server.enqueue(now, &user, task, &queue, said, force).map(drop)),
            1 => drop(server.next_task(now, &queue, None)),
            2 => drop(server.started(now, &user, task, said, force).map(drop)),
            3 => drop(server.completed(now, &user, task, said, force).map(drop)),
            4 => drop(server.stop(now, &user, task, "", force).map(drop)),
            5 => drop(server.stopped(now, &user, task, said, force).map(drop)),
            6 => drop(server.failed(now, &user, task, said, force).map(drop)),
            7 => drop(server.dequeue(now, &user, task, said, None).map(drop)),
            8 => drop(server.reset(now, &user, task, force).map(drop)),
            9 => drop(server.add_task(now, &queue, task)),
            10 => drop(server.remove_task(now, &queue, task)),
            _ => drop(server.remove_and_dequeue(now, &user, &queue, task)),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_called_the_indexes_agree(calls in prop::collection::vec((0_u8..12, 0_usize..4, any::<bool>()), 0..80)) {
            let mut rig = Rig::new();
            let tasks = [rig.task(), rig.task(), rig.task(), rig.task()];
            for (second, (action, task, force)) in calls.into_iter().enumerate() {
                act(&mut rig, &tasks[task], action, at(i64::try_from(second).unwrap()), force);
                let entries = rig.entries();
                for task in &tasks {
                    let found = rig.server.task(task).unwrap();
                    let here = entries.iter().filter(|entry| *entry == task).count();
                    prop_assert!(here <= 1 && found.waits() == (here == 1));
                    let listed: Vec<_> = Status::ALL
                        .into_iter()
                        .filter(|status| rig.server.tasks_in(&[*status]).any(|other| other.id == *task))
                        .collect();
                    prop_assert_eq!(listed, [found.status]);
                }
            }
        }
    }
}

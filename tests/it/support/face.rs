//! The simulated ClearML server with its HTTP face, on a runtime of its own: for tests that run real programs.

use std::sync::MutexGuard;

use jiff::SignedDuration;
use tidegate::model::ids::{QueueId, TaskId};
use tidegate::world::clock::Clock;
use tidegate::world::sim::clearml::http::{Face, Watch};
use tidegate::world::sim::clearml::{ClearmlServer, NewTask, Said, Status, lock};

/// A served face; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) watch: Watch,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    /// Serves a fresh server with these queues, by the wall's clock.
    pub(crate) fn start(queues: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut server = ClearmlServer::new(Clock::Wall.now());
        for queue in queues {
            server.create_queue(Clock::Wall.now(), queue, &[]).unwrap();
        }
        let address = "127.0.0.1:0".parse().unwrap();
        let face = runtime.block_on(Face::bind(server.shared(), Clock::Wall, address)).unwrap();
        let (url, watch) = (face.url(), face.watch());
        runtime.spawn(face.serve());
        Self { url, watch, _runtime: runtime }
    }

    /// The server itself.
    pub(crate) fn server(&self) -> MutexGuard<'_, ClearmlServer> {
        lock(self.watch.server())
    }

    /// The id of a queue of that name.
    pub(crate) fn queue(&self, name: &str) -> QueueId {
        self.server().queue_by_name(name).unwrap_or_else(|| panic!("no queue {name}")).id.clone()
    }

    /// The tasks that wait in a queue.
    pub(crate) fn entries(&self, queue: &str) -> Vec<TaskId> {
        self.server().queue_by_name(queue).unwrap().entries.iter().map(|entry| entry.task.clone()).collect()
    }

    /// The same of a queue that may not be there yet.
    pub(crate) fn entries_of(&self, queue: &str) -> Vec<TaskId> {
        let server = self.server();
        let entries = server.queue_by_name(queue).into_iter().flat_map(|queue| &queue.entries);
        entries.map(|entry| entry.task.clone()).collect()
    }

    /// Takes a task out of its queue, as the console's user.
    pub(crate) fn dequeue(&self, task: &TaskId) {
        self.server().dequeue(Clock::Wall.now(), &ClearmlServer::console(), task, Said::default(), None).unwrap();
    }

    /// Makes a shell task and puts it at the end of a queue, as the console's user.
    pub(crate) fn enqueue_shell(&self, queue: &str, script: &str) -> TaskId {
        let (queue, now, user) = (self.queue(queue), Clock::Wall.now(), ClearmlServer::console());
        let mut server = self.server();
        let task = server.create_task(now, NewTask::shell("shell task", user.clone(), script)).unwrap();
        server.enqueue(now, &user, &task, &queue, Said::default(), false).unwrap();
        task
    }

    pub(crate) fn status(&self, task: &TaskId) -> Status {
        self.server().task(task).unwrap().status
    }

    /// A value of a queue's metadata.
    pub(crate) fn metadata(&self, queue: &str, key: &str) -> Option<String> {
        let server = self.server();
        let queue = server.queue_by_name(queue)?;
        Some(queue.metadata.get(key)?.value.clone())
    }

    /// Writes a value of a queue's metadata, making the queue if need be.
    pub(crate) fn write(&self, queue: &str, key: &str, value: &str) {
        let now = Clock::Wall.now();
        let mut server = self.server();
        let id = server.queue_by_name(queue).map(|queue| queue.id.clone());
        let id = id.unwrap_or_else(|| server.create_queue(now, queue, &["k8s-glue"]).unwrap());
        server.set_metadata(now, &id, key, value).unwrap();
    }

    /// The ids of the workers whose rows live.
    pub(crate) fn workers(&self) -> Vec<String> {
        self.server().workers(Clock::Wall.now(), None).map(|worker| worker.id.to_string()).collect()
    }

    /// A token of the agents' user, for an hour.
    pub(crate) fn agent_token(&self) -> String {
        self.watch.mint(&ClearmlServer::agents(), SignedDuration::from_hours(1)).expose().to_owned()
    }

    /// Fails when someone asked for an endpoint that nobody answers.
    pub(crate) fn all_known(&self) {
        let unknown = self.watch.unknown_endpoints();
        assert!(unknown.is_empty(), "the simulated server does not answer {unknown:?}");
    }
}

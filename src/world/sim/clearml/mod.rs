//! A simulated ClearML server: the state machine of queues, tasks and workers, as recorded from the real one
//! (CLEARML.md). It does no I/O and reads no clock: every change is told when it happens, so that one order of
//! calls is one state.

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

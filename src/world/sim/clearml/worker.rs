//! Workers: rows that live from report to report.

use jiff::{SignedDuration, Timestamp};

use super::user::UserId;
use super::{ClearmlServer, Refused};
use crate::model::ids::{QueueId, TaskId, WorkerId};

/// The server forgets a worker this long after its last word, unless it asked for another time.
pub const WORKER_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A worker. Its key is the pair of user and id: one id under two users is two workers.
#[derive(Debug, Clone)]
pub struct Worker {
    pub id: WorkerId,
    pub user: UserId,
    pub queues: Vec<QueueId>,
    pub registered: Timestamp,
    pub register_timeout: SignedDuration,
    pub last_activity: Timestamp,
    /// Absent between registering and the first report.
    pub last_report: Option<Timestamp>,
    /// What it says that it runs, and from which queue it has that.
    pub task: Option<TaskId>,
    pub queue: Option<QueueId>,
    pub tags: Vec<String>,
}

impl Worker {
    fn expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_activity) >= self.register_timeout
    }

    /// The name of its row in the server's own store.
    #[must_use]
    pub fn key(&self) -> String {
        format!("worker_{}_{}_{}", super::COMPANY, self.user, self.id)
    }
}

/// What a worker says about itself.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Empty: as before.
    pub queues: Vec<QueueId>,
    pub task: Option<TaskId>,
    pub queue: Option<QueueId>,
    /// Empty: those of its registration are gone, as on the real server.
    pub tags: Vec<String>,
}

impl ClearmlServer {
    /// A worker starts. An earlier one of that user and id is replaced. A `life` of `None` is ten minutes.
    pub fn register_worker(
        &mut self,
        now: Timestamp,
        user: &UserId,
        worker: &WorkerId,
        queues: Vec<QueueId>,
        life: Option<SignedDuration>,
    ) -> Result<(), Refused> {
        let unknown: Vec<QueueId> = queues.iter().filter(|queue| !self.queues.contains_key(*queue)).cloned().collect();
        if !unknown.is_empty() {
            return Err(Refused::unknown_queues(&unknown));
        }
        let row = new_row(now, user, worker, queues, life.unwrap_or(WORKER_LIFE));
        self.workers.insert((user.clone(), worker.clone()), row);
        Ok(())
    }

    /// Gives a registered worker tags, until its next report.
    pub(super) fn tag_worker(&mut self, user: &UserId, worker: &WorkerId, tags: Vec<String>) {
        if let Some(row) = self.workers.get_mut(&(user.clone(), worker.clone())) {
            row.tags = tags;
        }
    }

    /// Removes the worker of that user. Another user's of the same id stays, and one that is not there is no error.
    pub fn unregister_worker(&mut self, user: &UserId, worker: &WorkerId) {
        self.workers.remove(&(user.clone(), worker.clone()));
    }

    /// A worker reports; one that the server has forgotten is registered again.
    pub fn status_report(
        &mut self,
        now: Timestamp,
        user: &UserId,
        worker: &WorkerId,
        report: Report,
    ) -> Result<(), Refused> {
        let key = (user.clone(), worker.clone());
        let row = self.workers.entry(key).or_insert_with(|| new_row(now, user, worker, Vec::new(), WORKER_LIFE));
        if row.expired(now) {
            *row = new_row(now, user, worker, Vec::new(), WORKER_LIFE);
        }
        row.last_activity = now;
        row.queue = report.queue;
        row.tags = report.tags;
        if !report.queues.is_empty() {
            row.queues = report.queues;
        }
        if let Some(id) = &report.task {
            let task = self.tasks.get_mut(id).ok_or_else(|| Refused::unknown_task(id))?;
            task.last_worker = Some(worker.clone());
            (task.last_worker_report, task.last_update) = (Some(now), now);
        }
        row.task = report.task;
        row.last_report = Some(now);
        Ok(())
    }

    /// The workers that said something within `last_seen` (`None`: at any time), by user and id. Those whose
    /// life has ended are forgotten here.
    pub fn workers(&mut self, now: Timestamp, last_seen: Option<SignedDuration>) -> impl Iterator<Item = &Worker> {
        self.workers.retain(|_, worker| !worker.expired(now));
        let fresh =
            move |worker: &&Worker| last_seen.is_none_or(|span| now.duration_since(worker.last_activity) <= span);
        self.workers.values().filter(fresh)
    }
}

fn new_row(
    now: Timestamp,
    user: &UserId,
    worker: &WorkerId,
    queues: Vec<QueueId>,
    register_timeout: SignedDuration,
) -> Worker {
    Worker {
        id: worker.clone(),
        user: user.clone(),
        queues,
        registered: now,
        register_timeout,
        last_activity: now,
        last_report: None,
        task: None,
        queue: None,
        tags: Vec::new(),
    }
}

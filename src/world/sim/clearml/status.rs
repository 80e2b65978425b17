//! The changes of a task's status: each is a compare-and-set on the old status, as on the real server.

use jiff::{SignedDuration, Timestamp};

use super::task::{NewTask, Said, Status, Task};
use super::user::UserId;
use super::{ClearmlServer, Refused};
use crate::model::ids::{QueueId, TaskId};

/// A task without any sign of life for this long is stopped at once; a younger one is asked to stop.
const SIGN_OF_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// A running task without any sign of life for this long is stopped by the server itself.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(2);

impl ClearmlServer {
    /// Makes a task.
    pub fn create_task(&mut self, now: Timestamp, new: NewTask) -> Result<TaskId, Refused> {
        let NewTask { name, user, project, kind, tags, system_tags, body } = new;
        if let Some(project) = project.as_ref().filter(|project| !self.projects.contains_key(*project)) {
            return Err(Refused::unknown_project(project));
        }
        if name.chars().count() < 3 {
            return Err(Refused::short_name());
        }
        let id = TaskId::new(self.next_id());
        let task = Task {
            id: id.clone(),
            name,
            kind,
            last_changed_by: user.clone(),
            user,
            project,
            tags,
            system_tags,
            status: Status::Created,
            status_reason: String::new(),
            status_message: String::new(),
            status_changed: None,
            created: now,
            started: None,
            completed: None,
            last_update: now,
            last_change: now,
            last_worker: None,
            last_worker_report: None,
            active: None,
            enqueue_status: None,
            queue: None,
            body,
            waits_in: Vec::new(),
        };
        self.by_status.entry(Status::Created).or_default().insert(id.clone());
        self.tasks.insert(id.clone(), task);
        Ok(id)
    }

    /// Deletes a task, and takes it out of its queue.
    pub fn delete_task(&mut self, now: Timestamp, task: &TaskId, force: bool) -> Result<(), Refused> {
        let found = self.task(task)?;
        let archived = found.system_tags.iter().any(|tag| tag == "archived");
        if found.status != Status::Created && !archived && !force {
            return Err(Refused::not_deletable(task, found.status));
        }
        self.leave_queues(now, task, None);
        if let Some(gone) = self.tasks.remove(task)
            && let Some(ids) = self.by_status.get_mut(&gone.status)
        {
            ids.remove(task);
        }
        Ok(())
    }

    /// The task of that id.
    pub fn task(&self, task: &TaskId) -> Result<&Task, Refused> {
        self.tasks.get(task).ok_or_else(|| Refused::unknown_task(task))
    }

    /// The task of that id, to write what the server does not look into.
    pub(super) fn task_mut(&mut self, task: &TaskId) -> Result<&mut Task, Refused> {
        self.tasks.get_mut(task).ok_or_else(|| Refused::unknown_task(task))
    }

    /// Writes into the status messages of those of these tasks that wait in the queue.
    pub fn say_to_waiting(&mut self, queue: &QueueId, text: &str, tasks: &[TaskId]) {
        for task in tasks {
            let waits = |task: &&mut Task| task.status == Status::Queued && task.queue.as_ref() == Some(queue);
            if let Some(found) = self.tasks.get_mut(task).filter(waits) {
                text.clone_into(&mut found.status_message);
            }
        }
    }

    /// Every task in the order of creation.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// The tasks in one of these statuses, status by status.
    pub fn tasks_in(&self, statuses: &[Status]) -> impl Iterator<Item = &Task> {
        let ids = statuses.iter().filter_map(|status| self.by_status.get(status)).flatten();
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// Puts a task at the end of a queue. One that is queued already may be put where it is not yet.
    /// Force also takes one that runs.
    pub fn enqueue(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        queue: &QueueId,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        let found = self.task(task)?;
        let (status, enqueue_status) = (found.status, found.enqueue_status);
        let before = if status == Status::Queued { enqueue_status.unwrap_or(status) } else { status };
        self.change(now, user, task, Status::Queued, said, force)?;
        if let Err(refused) = self.add_task(now, queue, task) {
            // The losing caller of two leaves these words behind, on the real server too.
            self.change(now, user, task, status, Said::reason("failed enqueueing"), true)?;
            self.task_mut(task)?.enqueue_status = None;
            return Err(refused);
        }
        self.leave_queues(now, task, Some(queue));
        let found = self.task_mut(task)?;
        found.enqueue_status = Some(before);
        found.queue = Some(queue.clone());
        Ok(found)
    }

    /// Takes a task out of its queue and gives it `next`, else the status from before. `None`: it was neither
    /// queued nor running, and nothing was changed.
    pub fn dequeue(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        said: Said<'_>,
        next: Option<Status>,
    ) -> Result<Option<&Task>, Refused> {
        let found = self.task(task)?;
        if !matches!(found.status, Status::Queued | Status::InProgress) {
            return Ok(None);
        }
        let next = next.or(found.enqueue_status).unwrap_or(Status::Created);
        self.leave_own_queue(now, task);
        self.change(now, user, task, next, said, true)?;
        let found = self.task_mut(task)?;
        found.enqueue_status = None;
        Ok(Some(found))
    }

    /// Takes a task out of one queue, with its status and its memory of that queue.
    pub fn remove_and_dequeue(
        &mut self,
        now: Timestamp,
        user: &UserId,
        queue: &QueueId,
        task: &TaskId,
    ) -> Result<(), Refused> {
        self.remove_task(now, queue, task)?;
        self.dequeue(now, user, task, Said::default(), None)?;
        self.task_mut(task)?.queue = None;
        Ok(())
    }

    /// The task runs. A time of start that it has stays.
    pub fn started(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        self.change(now, user, task, Status::InProgress, said, force)?;
        let found = self.task_mut(task)?;
        found.started.get_or_insert(now);
        Ok(found)
    }

    /// The task has ended well.
    pub fn completed(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        self.ended(now, user, task, Status::Completed, said, force)
    }

    /// The task was ended before it was done, by its agent or by someone who knows that its agent is gone.
    pub fn stopped(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        self.ended(now, user, task, Status::Stopped, said, force)
    }

    /// The task has failed.
    pub fn failed(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        self.change(now, user, task, Status::Failed, said, force)
    }

    /// Asks to stop a task. One that a live worker runs is only marked (`status_message` becomes `stopping`,
    /// and its agent stops it at its next look); a queued one, and one without a sign of life, stops at once.
    pub fn stop(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        reason: &str,
        force: bool,
    ) -> Result<&Task, Refused> {
        let found = self.task(task)?;
        let status = found.status;
        let lives = found.last_worker.is_some() && now.duration_since(found.last_update) < SIGN_OF_LIFE;
        let in_development = found.system_tags.iter().any(|tag| tag == "development");
        if status != Status::Queued && !in_development && lives {
            return self.change(now, user, task, status, Said { reason, message: "stopping" }, force);
        }
        if status == Status::Queued {
            self.leave_own_queue(now, task);
        }
        let message = format!("Stopped by {}", self.user(user).map_or(user.as_str(), |user| user.name.as_str()));
        self.change(now, user, task, Status::Stopped, Said { reason, message: &message }, force)
    }

    /// Makes a task as if it had never run.
    pub fn reset(&mut self, now: Timestamp, user: &UserId, task: &TaskId, force: bool) -> Result<&Task, Refused> {
        let found = self.task(task)?;
        if found.status == Status::Published && !force {
            return Err(Refused::task_status(Status::Created, found.status));
        }
        self.leave_queues(now, task, None);
        self.change(now, user, task, Status::Created, Said { reason: "reset", message: "reset" }, force)?;
        let found = self.task_mut(task)?;
        (found.started, found.completed, found.active) = (None, None, None);
        (found.last_worker, found.last_worker_report) = (None, None);
        (found.enqueue_status, found.queue) = (None, None);
        for part in ["last_iteration", "last_metrics", "unique_metrics", "metric_stats", "runtime"] {
            found.body.remove(part);
        }
        Ok(found)
    }

    /// A sign of life of a running task: a ping, an event, a line of its log.
    pub fn touch(&mut self, now: Timestamp, user: &UserId, task: &TaskId) -> Result<(), Refused> {
        let found = self.task_mut(task)?;
        if found.status == Status::InProgress {
            found.active = found.started.map(|started| now.duration_since(started));
        }
        (found.last_update, found.last_change, found.last_changed_by) = (now, now, user.clone());
        Ok(())
    }

    /// Stops the running tasks that have given no sign of life for two hours. The real server looks for them
    /// every quarter of an hour.
    pub fn stop_unresponsive(&mut self, now: Timestamp) -> Vec<TaskId> {
        let silent = |task: &&Task| now.duration_since(task.last_update) > GIVEN_UP;
        let stale: Vec<_> = self.tasks_in(&[Status::InProgress]).filter(silent).cloned().collect();
        let words = "Forced stop (non-responsive)";
        let said = Said { reason: words, message: words };
        let mut stopped = Vec::new();
        for task in stale {
            if self.change(now, &task.user, &task.id, Status::Stopped, said, true).is_ok() {
                stopped.push(task.id);
            }
        }
        stopped
    }

    fn ended(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        next: Status,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        self.change(now, user, task, next, said, force)?;
        let found = self.task_mut(task)?;
        found.completed = Some(now);
        Ok(found)
    }

    /// Gives a task another status: the one place where it changes.
    pub(super) fn change(
        &mut self,
        now: Timestamp,
        user: &UserId,
        task: &TaskId,
        next: Status,
        said: Said<'_>,
        force: bool,
    ) -> Result<&Task, Refused> {
        let found = self.tasks.get_mut(task).ok_or_else(|| Refused::unknown_task(task))?;
        if !force && !found.status.may_become(next) {
            return Err(Refused::status_change(found.status, next));
        }
        if found.status != next {
            if let Some(ids) = self.by_status.get_mut(&found.status) {
                ids.remove(task);
            }
            self.by_status.entry(next).or_default().insert(task.clone());
        }
        if next == Status::Queued {
            found.system_tags.retain(|tag| tag != "development");
        }
        found.status = next;
        said.reason.clone_into(&mut found.status_reason);
        said.message.clone_into(&mut found.status_message);
        found.status_changed = Some(now);
        (found.last_update, found.last_change, found.last_changed_by) = (now, now, user.clone());
        Ok(found)
    }

    /// Out of the queue that the task remembers. One that was pulled is in none: that is no error.
    fn leave_own_queue(&mut self, now: Timestamp, task: &TaskId) {
        if let Some(queue) = self.tasks.get(task).and_then(|task| task.queue.clone()) {
            let _ = self.remove_task(now, &queue, task);
        }
    }

    fn leave_queues(&mut self, now: Timestamp, task: &TaskId, but: Option<&QueueId>) {
        let waits_in = self.tasks.get(task).map(|task| task.waits_in.clone()).unwrap_or_default();
        for queue in waits_in.iter().filter(|queue| Some(*queue) != but) {
            let _ = self.remove_task(now, queue, task);
        }
    }
}

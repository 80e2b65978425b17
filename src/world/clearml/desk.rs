//! Tasks of a queue for people: in their order, and what people do with them.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::Repeat;
use super::wire::{self, Named};
use super::{Clearml, requeue};
use crate::model::account::Owner;
use crate::model::ids::{QueueId, TaskId};
use crate::model::observed::QueueEntry;
use crate::model::tasks::{QueuedTask, TaskDeed, TaskState};
use crate::world::tracker::{Requeue, TrackerError};

/// Names come from `get_all_ex` alone, which joins them.
const FIELDS: &[&str] =
    &["id", "name", "status", "status_reason", "status_changed", "started", "last_worker", "project.name", "user.name"];

/// Tasks that ended badly longer ago are not told.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// So many lines of a task's console are read.
const LINES: usize = 1_000;

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    #[serde(default)]
    name: String,
    status: String,
    #[serde(default)]
    status_reason: String,
    status_changed: Option<Timestamp>,
    started: Option<Timestamp>,
    last_worker: Option<String>,
    project: Option<Named>,
    user: Option<Named>,
}

impl Row {
    fn told(self, state: TaskState, since: Option<Timestamp>) -> QueuedTask {
        let name = |named: Option<Named>| named.and_then(|named| named.name);
        QueuedTask {
            id: self.id.into(),
            name: self.name,
            state,
            since,
            worker: self.last_worker.map(Into::into),
            owner: Owner { project: name(self.project).map(Into::into), user: name(self.user).map(Into::into) },
            reason: self.status_reason,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Found {
    queue: wire::Queue,
}

#[derive(Debug, Deserialize)]
struct Log {
    #[serde(default)]
    events: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    /// In milliseconds.
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    msg: String,
}

impl Clearml {
    async fn rows(&self, filter: Value) -> Result<Vec<Row>, TrackerError> {
        self.console.pages("tasks.get_all_ex", "tasks", FIELDS, filter).await
    }

    pub(super) async fn read_queue(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        let body = json!({ "queue": queue.as_str() });
        let found: Found = self.console.call("queues.get_by_id", body, Repeat::Safe).await?;
        let entries = crate::model::observed::ObservedQueue::from(found.queue).entries;
        let mut waiting = Vec::new();
        // An empty filter would be no filter; a chunk's answer is one page.
        for chunk in entries.chunks(super::PAGE) {
            let ids: Vec<&str> = chunk.iter().map(|entry| entry.task.as_str()).collect();
            waiting.extend(self.rows(json!({ "id": ids, "search_hidden": true })).await?);
        }
        let mut tasks = in_order(&entries, waiting);
        let running = json!({ "status": ["in_progress"], "execution.queue": [queue.as_str()], "search_hidden": true });
        let running = self.rows(running).await?;
        tasks.extend(running.into_iter().map(|row| {
            let started = row.started;
            row.told(TaskState::Running, started)
        }));
        let since = self.clock.now().saturating_sub(LATELY).unwrap_or(Timestamp::MIN);
        let ended = json!({
            "status": ["stopped", "failed"],
            "execution.queue": [queue.as_str()],
            "status_changed": [format!(">={}", since.strftime("%Y-%m-%dT%H:%M:%S"))],
        });
        // A server that does not know the last filter answers older tasks, too.
        let ended = self.rows(ended).await?.into_iter().filter(|row| row.status_changed.is_some_and(|at| at >= since));
        let mut ended: Vec<_> = ended
            .map(|row| {
                let state = if row.status == "failed" { TaskState::Failed } else { TaskState::Stopped };
                let changed = row.status_changed;
                row.told(state, changed)
            })
            .collect();
        ended.sort_by_key(|task| std::cmp::Reverse(task.since));
        tasks.extend(ended);
        Ok(tasks)
    }

    /// Never sent twice: after an unknown outcome a person looks again.
    pub(super) async fn do_with_task(
        &self,
        queue: &QueueId,
        task: &TaskId,
        deed: TaskDeed,
    ) -> Result<Requeue, TrackerError> {
        let (queue, task) = (queue.as_str(), task.as_str());
        let (endpoint, body) = match deed {
            TaskDeed::ToFront => ("queues.move_task_to_front", json!({ "queue": queue, "task": task })),
            TaskDeed::ToBack => ("queues.move_task_to_back", json!({ "queue": queue, "task": task })),
            TaskDeed::Forward => ("queues.move_task_forward", json!({ "queue": queue, "task": task, "count": 1 })),
            TaskDeed::Backward => ("queues.move_task_backward", json!({ "queue": queue, "task": task, "count": 1 })),
            // Out of the queue first: `tasks.dequeue` would take a task away from the agent that has just begun it.
            TaskDeed::TakeOut => {
                ("queues.remove_task", json!({ "queue": queue, "task": task, "update_task_status": true }))
            }
            TaskDeed::PutIn => ("tasks.enqueue", json!({ "queue": queue, "task": task })),
        };
        match self.console.call::<Value>(endpoint, body, Repeat::Never).await {
            Ok(_) => Ok(Requeue::Enqueued),
            Err(error) if requeue::another_was_first(&error) => Ok(Requeue::NotNeeded),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn read_task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        let body = json!({ "task": task.as_str(), "batch_size": LINES, "navigate_earlier": true });
        let Log { mut events } = self.console.call("events.get_task_log", body, Repeat::Safe).await?;
        // The newest come first; lines of one moment stay as they were told.
        events.sort_by_key(|line| line.timestamp);
        let lines: Vec<String> = events.into_iter().map(|line| line.msg.trim_end().to_owned()).collect();
        Ok(lines.join("\n"))
    }
}

/// Those that wait, as the queue has them. An entry without a task is left out; it keeps its place.
fn in_order(entries: &[QueueEntry], mut rows: Vec<Row>) -> Vec<QueuedTask> {
    let told = |(place, entry): (u32, &QueueEntry)| {
        let at = rows.iter().position(|row| row.id == entry.task.as_str())?;
        Some(rows.swap_remove(at).told(TaskState::Waiting(place), Some(entry.added)))
    };
    (1..).zip(entries).filter_map(told).collect()
}

//! Tasks that have ended: what a queue was asked for.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::Clearml;
use super::wire::Named;
use crate::model::account::Owner;
use crate::model::history::FinishedTask;
use crate::world::tracker::TrackerError;

/// The statuses that end a task; it can be published later.
const ENDED: &[&str] = &["completed", "failed", "stopped", "closed", "published"];

/// Names come from `get_all_ex` alone, which joins them.
const FIELDS: &[&str] = &[
    "id",
    "created",
    "started",
    "completed",
    "status_changed",
    "last_worker",
    "execution.queue",
    "project.name",
    "user.name",
];

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    created: Timestamp,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
    status_changed: Option<Timestamp>,
    last_worker: Option<String>,
    #[serde(default)]
    execution: Execution,
    project: Option<Named>,
    user: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
struct Execution {
    queue: Option<Named>,
}

impl From<Row> for FinishedTask {
    fn from(row: Row) -> Self {
        let name = |named: Option<Named>| named.and_then(|named| named.name);
        Self {
            id: row.id.into(),
            queue: name(row.execution.queue).map(Into::into),
            owner: Owner { project: name(row.project).map(Into::into), user: name(row.user).map(Into::into) },
            worker: row.last_worker.map(Into::into),
            created: row.created,
            started: row.started,
            ended: row.completed.or(row.status_changed).unwrap_or(row.created),
        }
    }
}

impl Clearml {
    /// Every task that has ended since an instant, all pages.
    ///
    /// # Errors
    /// The server's no, or its silence.
    pub async fn finished(&self, since: Timestamp) -> Result<Vec<FinishedTask>, TrackerError> {
        // A server that does not know the second filter answers older tasks, too.
        let filter =
            json!({ "status": ENDED, "status_changed": [format!(">={}", since.strftime("%Y-%m-%dT%H:%M:%S"))] });
        let rows: Vec<Row> = self.console.pages("tasks.get_all_ex", "tasks", FIELDS, filter).await?;
        let tasks = rows.into_iter().map(FinishedTask::from);
        Ok(tasks.filter(|task| task.ended >= since).collect())
    }
}

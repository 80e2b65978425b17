//! Why tasks wait, where people look at them: in the queue's metadata and in the tasks' status messages.

use serde_json::{Value, json};

use crate::model::ids::{QueueId, TaskId};
use crate::model::observed::TaskStatus;
use crate::world::clearml::session::Repeat;
use crate::world::clearml::{Clearml, hidden};
use crate::world::tracker::{Tracker as _, TrackerError};

/// The key of the queue's metadata.
const KEY: &str = "tidegate";

/// A task that has begun is left alone: its agent reads in its status message that it is to stop.
pub(super) async fn waiting(
    server: &Clearml,
    queue: &QueueId,
    text: &str,
    tasks: &[TaskId],
) -> Result<(), TrackerError> {
    let is_there = hidden::write_all(&server.console, queue, &[(KEY, text.to_owned())]).await?;
    if !is_there || tasks.is_empty() {
        return Ok(());
    }
    let known = server.tasks_by_id(tasks).await?;
    let waits = |task: &&TaskId| {
        let record = known.get(*task);
        record.is_some_and(|record| record.status == TaskStatus::Queued && record.queue.as_ref() == Some(queue))
    };
    for task in tasks.iter().filter(waits) {
        let body = json!({ "task": task.as_str(), "status_message": text });
        server.console.call::<Value>("tasks.update", body, Repeat::Safe).await?;
    }
    Ok(())
}

//! Hold tasks: hidden tasks that sleep in a machine's own queue, for drains of agents without a gate (GUARD.md
//! section 3). They are known by their names, so that whoever comes after a crash finds them.

use serde_json::{Value, json};

use crate::model::ids::{InstanceId, QueueId, TaskId, hold_task, hold_tasks, mailbox_queue};
use crate::model::observed::{TaskRecord, TaskStatus};
use crate::world::clearml::answer::{subcode, subcode_of};
use crate::world::clearml::requeue::another_was_first;
use crate::world::clearml::session::Repeat;
use crate::world::clearml::{Clearml, hidden, wire};
use crate::world::tracker::TrackerError;

/// The tag that hides a task from people's lists; agents run it all the same.
const HIDING_TAG: &str = "hidden";

/// What it does. Should nobody be left to end it, it ends by itself.
const SCRIPT: &str = "sleep 900";

/// One that waits already, or was made and did not come into the queue, is put there; else a new one is made.
pub(super) async fn place(server: &Clearml, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
    let mailbox = mailbox_queue(instance);
    let queue = hidden::find(&server.console, &mailbox).await?;
    let queue: QueueId = queue.map(|queue| queue.id.into()).ok_or_else(|| TrackerError::Unreadable {
        endpoint: "queues.get_all".to_owned(),
        message: format!("there is no queue `{mailbox}`"),
    })?;
    let name = hold_task(instance, nonce);
    let open = named(server, &format!("^{}$", hidden::escaped(&name)), &["created", "queued"]).await?;
    let task = match open.into_iter().max_by_key(|task| task.status == TaskStatus::Queued) {
        Some(task) => task.id,
        None => create(server, &name).await?,
    };
    let body = json!({ "task": task.as_str(), "queue": queue.as_str() });
    settled(server.console.call::<Value>("tasks.enqueue", body, Repeat::Never).await)
}

async fn create(server: &Clearml, name: &str) -> Result<TaskId, TrackerError> {
    let script = json!({ "binary": "/bin/bash", "repository": "", "entry_point": "hold.sh", "working_dir": ".",
        "diff": SCRIPT, "requirements": {} });
    let body = json!({ "name": name, "type": "training", "system_tags": [HIDING_TAG], "script": script });
    let made: wire::Created = server.console.call("tasks.create", body, Repeat::Never).await?;
    Ok(made.id.into())
}

/// Those that wait leave the queue, those that run are asked to stop.
pub(super) async fn end(server: &Clearml, instance: &InstanceId) -> Result<(), TrackerError> {
    for task in of_machine(server, instance, &["queued", "in_progress"]).await? {
        let endpoint = if task.status == TaskStatus::Queued { "tasks.dequeue" } else { "tasks.stop" };
        let body = json!({ "task": task.id.as_str(), "status_reason": "the drain is cancelled" });
        settled(server.console.call::<Value>(endpoint, body, Repeat::Safe).await)?;
    }
    Ok(())
}

/// Deletes those of a machine that is gone, whatever they do.
pub(super) async fn delete(server: &Clearml, instance: &InstanceId) -> Result<(), TrackerError> {
    for task in of_machine(server, instance, &[]).await? {
        if task.status == TaskStatus::InProgress {
            let body =
                json!({ "task": task.id.as_str(), "force": true, "status_reason": format!("vm {instance} ended") });
            settled(server.console.call::<Value>("tasks.stopped", body, Repeat::Safe).await)?;
        }
        let body = json!({ "task": task.id.as_str(), "force": true });
        settled(server.console.call::<Value>("tasks.delete", body, Repeat::Safe).await)?;
    }
    Ok(())
}

async fn of_machine(
    server: &Clearml,
    instance: &InstanceId,
    statuses: &[&str],
) -> Result<Vec<TaskRecord>, TrackerError> {
    named(server, &format!("^{}", hidden::escaped(&hold_tasks(instance))), statuses).await
}

async fn named(server: &Clearml, name: &str, statuses: &[&str]) -> Result<Vec<TaskRecord>, TrackerError> {
    let mut filter = json!({ "name": name, "system_tags": [HIDING_TAG], "search_hidden": true });
    // An empty filter would be no filter.
    if let Some(filter) = filter.as_object_mut().filter(|_| !statuses.is_empty()) {
        filter.insert("status".to_owned(), json!(statuses));
    }
    server.tasks_where(filter).await
}

/// It is as we want it, or somebody was quicker: the next look tells.
fn settled(answer: Result<Value, TrackerError>) -> Result<(), TrackerError> {
    match answer {
        Err(error) if !another_was_first(&error) && subcode_of(&error) != subcode::NO_SUCH_TASK => Err(error),
        _ => Ok(()),
    }
}

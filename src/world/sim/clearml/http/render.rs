//! Rows as the server answers them: a null field is left out, times are RFC 3339.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::Version;
use crate::model::ids::{QueueId, TaskId, WorkerId};
use crate::world::sim::clearml::{COMPANY, ClearmlServer, Queue, Status, Task, Worker};

/// An older request gets no metadata (GUARD.md section 3).
const METADATA_SINCE: Version = Version(2, 17);

/// A time from the server's database: whole milliseconds.
pub(super) fn stored(time: Timestamp) -> String {
    let whole = Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time);
    exact(whole)
}

/// A time as it is: microseconds.
pub(super) fn exact(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// An object without its null fields.
pub(super) fn compact(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

pub(super) fn queue(queue: &Queue, version: Version, most_entries: Option<usize>) -> Value {
    let entries: Vec<Value> = queue
        .entries
        .iter()
        .take(most_entries.unwrap_or(usize::MAX))
        .map(|entry| json!({ "task": entry.task.as_str(), "added": stored(entry.added) }))
        .collect();
    let metadata = if version < METADATA_SINCE { json!([]) } else { metadata(queue) };
    compact(json!({ "id": queue.id.as_str(), "name": queue.name.as_str(), "display_name": queue.display_name,
        "company": COMPANY, "created": stored(queue.created), "tags": queue.tags, "system_tags": queue.system_tags,
        "entries": entries, "last_update": stored(queue.last_update), "metadata": metadata }))
}

fn metadata(queue: &Queue) -> Value {
    let entries = queue.metadata.iter();
    let entries =
        entries.map(|(key, entry)| (key.clone(), json!({ "key": key, "type": entry.kind, "value": entry.value })));
    Value::Object(entries.collect())
}

/// A task with all its parts.
pub(super) fn task(task: &Task) -> Value {
    let mut row = defaults();
    for (key, value) in &task.body {
        match (row.get_mut(key), value) {
            (Some(Value::Object(part)), Value::Object(written)) => part.extend(written.clone()),
            _ => drop(row.insert(key.clone(), value.clone())),
        }
    }
    if let (Some(Value::Object(execution)), Some(queue)) = (row.get_mut("execution"), &task.queue) {
        execution.insert("queue".to_owned(), json!(queue.as_str()));
    }
    let time = |time: Option<Timestamp>| time.map(stored);
    let typed = json!({ "id": task.id.as_str(), "name": task.name, "type": task.kind, "company": COMPANY,
        "user": task.user.as_str(), "project": task.project, "tags": task.tags, "system_tags": task.system_tags,
        "status": task.status.word(), "status_changed": time(task.status_changed), "created": stored(task.created),
        "status_reason": task.status_changed.map(|_| &task.status_reason),
        "status_message": task.status_changed.map(|_| &task.status_message),
        "started": time(task.started), "completed": time(task.completed), "last_update": stored(task.last_update),
        "last_change": stored(task.last_change), "last_changed_by": task.last_changed_by.as_str(),
        "last_worker": task.last_worker.as_ref().map(WorkerId::as_str),
        "last_worker_report": time(task.last_worker_report),
        "active_duration": task.active.map(|span| span.as_secs()),
        "enqueue_status": task.enqueue_status.map(Status::word) });
    if let Value::Object(typed) = compact(typed) {
        row.extend(typed);
    }
    Value::Object(row)
}

/// What a task has that nobody wrote into.
fn defaults() -> Map<String, Value> {
    let parts = json!({ "report_assets": [], "output": {}, "models": { "input": [], "output": [] }, "container": {},
        "execution": { "test_split": 0, "parameters": {}, "model_desc": {}, "model_labels": {}, "artifacts": [] },
        "script": { "binary": "python", "repository": "", "entry_point": "", "requirements": {} },
        "last_iteration": 0, "last_metrics": {}, "unique_metrics": [], "metric_stats": {}, "hyperparams": {},
        "configuration": {}, "runtime": {} });
    match parts {
        Value::Object(parts) => parts,
        _ => Map::new(),
    }
}

/// A task with the names of what it names, as the `_ex` lists answer it.
pub(super) fn joined(server: &ClearmlServer, found: &Task) -> Value {
    let mut row = task(found);
    let user = server.user(&found.user).map(|user| json!({ "id": user.id.as_str(), "name": user.name }));
    let project = found.project.as_ref().and_then(|id| server.project(id));
    let project = project.map(|project| json!({ "id": project.id, "name": project.name }));
    let queue = found.queue.as_ref().map(|id| named_queue(server, id));
    for (key, value) in [("user", user), ("project", project)] {
        if let (Some(value), Some(row)) = (value, row.as_object_mut()) {
            row.insert(key.to_owned(), value);
        }
    }
    if let (Some(queue), Some(execution)) = (queue, row.get_mut("execution").and_then(Value::as_object_mut)) {
        execution.insert("queue".to_owned(), queue);
    }
    row
}

fn named_queue(server: &ClearmlServer, id: &QueueId) -> Value {
    compact(json!({ "id": id.as_str(), "name": server.queue(id).ok().map(|queue| queue.name.as_str()) }))
}

pub(super) fn named_task(server: &ClearmlServer, id: &TaskId) -> Value {
    compact(json!({ "id": id.as_str(), "name": server.task(id).ok().map(|task| task.name.as_str()) }))
}

/// A worker with what it listens to and what it runs.
pub(super) fn worker(server: &ClearmlServer, worker: &Worker) -> Value {
    let user = server.user(&worker.user).map_or(worker.user.as_str(), |user| user.name.as_str());
    let task = worker.task.as_ref().and_then(|id| server.task(id).ok());
    let project = task.and_then(|task| server.project(task.project.as_ref()?));
    let queues: Vec<Value> = worker.queues.iter().map(|id| watched_queue(server, id)).collect();
    compact(json!({ "id": worker.id.as_str(), "key": worker.key(), "ip": "127.0.0.1",
        "company": { "id": COMPANY, "name": "clearml" }, "user": { "id": worker.user.as_str(), "name": user },
        "queues": queues, "register_time": exact(worker.registered),
        "register_timeout": worker.register_timeout.as_secs(),
        "last_activity_time": exact(worker.last_activity), "last_report_time": worker.last_report.map(exact),
        "tags": worker.tags, "system_tags": [], "task": task.map(running),
        "queue": worker.queue.as_ref().map(|id| watched_queue(server, id)),
        "project": project.map(|project| json!({ "id": project.id, "name": project.name })) }))
}

fn running(task: &Task) -> Value {
    let iteration = task.body.get("last_iteration").cloned().unwrap_or(json!(0));
    let time = task.active.map_or(0, |span| span.as_secs() * 1_000);
    json!({ "id": task.id.as_str(), "name": task.name, "last_iteration": iteration, "running_time": time })
}

/// A deleted queue stays in a worker's row, as its id alone.
fn watched_queue(server: &ClearmlServer, id: &QueueId) -> Value {
    let Ok(queue) = server.queue(id) else { return json!({ "id": id.as_str() }) };
    let next = queue.entries.front().map(|entry| named_task(server, &entry.task));
    compact(
        json!({ "id": id.as_str(), "name": queue.name.as_str(), "num_tasks": queue.entries.len(), "next_task": next }),
    )
}

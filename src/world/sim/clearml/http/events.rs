//! `events.*`: what running tasks and their agents report.

use serde_json::{Value, json};

use super::call::{Call, Done};
use crate::model::ids::TaskId;
use crate::world::sim::clearml::Refused;

/// So many of a task's last log entries are kept.
const KEPT_LINES: usize = 1_000;

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "add" | "add_batch" => Ok(add(call)),
        "get_task_log" => get_task_log(call),
        _ => return None,
    })
}

/// Each event is a sign of life of its task.
fn add(call: &mut Call<'_>) -> Value {
    let events = call.body.lines();
    let added = events.iter().filter(|event| add_one(call, event).is_some()).count();
    json!({ "added": added, "errors": events.len() - added, "errors_info": {} })
}

fn add_one(call: &mut Call<'_>, event: &Value) -> Option<()> {
    let id = TaskId::new(event.get("task")?.as_str()?);
    call.server.touch(call.now, &call.user, &id).ok()?;
    if let Some(iteration) = event.get("iter").and_then(Value::as_i64) {
        let task = call.server.task_mut(&id).ok()?;
        let last = task.body.get("last_iteration").and_then(Value::as_i64).unwrap_or_default();
        task.body.insert("last_iteration".to_owned(), json!(last.max(iteration)));
    }
    if let Some(line) = event.get("msg").and_then(Value::as_str) {
        let lines = call.memory.logs.entry(id).or_default();
        lines.push(line.to_owned());
        let surplus = lines.len().saturating_sub(KEPT_LINES);
        lines.drain(..surplus);
    }
    Some(())
}

fn get_task_log(call: &Call<'_>) -> Result<Value, Refused> {
    let id = call.task()?;
    call.server.task(&id)?;
    let lines = call.memory.logs.get(&id);
    let events: Vec<Value> =
        lines.into_iter().flatten().map(|line| json!({ "type": "log", "task": id.as_str(), "msg": line })).collect();
    Ok(json!({ "returned": events.len(), "total": events.len(), "events": events }))
}

//! `tasks.*`: their status and their lists. What is written into a task is in `task_parts`.

use serde_json::{Map, Value, json};

use super::call::{Call, Done, invalid, missing};
use super::task_parts;
use super::{render, select};
use crate::model::ids::{QueueId, TaskId};
use crate::world::sim::clearml::{Refused, Status, Task};

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "get_all" => get_all(call, |_, task| render::task(task)),
        "get_all_ex" => get_all(call, |call, task| render::joined(call.server, task)),
        "get_by_id" => get_by_id(call),
        "enqueue" => enqueue(call),
        "enqueue_many" => enqueue_many(call),
        "dequeue" => dequeue(call),
        "started" => started(call),
        "stop" => stop(call),
        "stopped" => stopped(call),
        "completed" => completed(call),
        "failed" => failed(call),
        "close" => become_status(call, Status::Closed),
        "publish" => become_status(call, Status::Published),
        "reset" => reset(call),
        "ping" => ping(call),
        "delete" => delete(call),
        "delete_many" => delete_many(call),
        other => return task_parts::answer(call, other),
    })
}

fn get_all(call: &mut Call<'_>, row: impl Fn(&Call<'_>, &Task) -> Value) -> Result<Value, Refused> {
    let name = select::pattern(call, "name")?;
    let among = |key: &str| call.texts(key).filter(|texts| !texts.is_empty());
    let (ids, statuses, queues) = (among("id"), among("status"), among("execution.queue"));
    let (projects, users, kinds) = (among("project"), among("user"), among("type"));
    let (tags, system_tags) = (call.texts("tags"), call.texts("system_tags"));
    let hidden_too = call.flag("search_hidden") || ids.is_some();
    let is = |wanted: &Option<Vec<&str>>, value: Option<&str>| {
        wanted.as_ref().is_none_or(|wanted| value.is_some_and(|value| wanted.contains(&value)))
    };
    let wanted = |task: &&Task| {
        is(&ids, Some(task.id.as_str()))
            && is(&statuses, Some(task.status.word()))
            && is(&queues, task.queue.as_ref().map(QueueId::as_str))
            && is(&projects, task.project.as_deref())
            && is(&users, Some(task.user.as_str()))
            && is(&kinds, Some(task.kind.as_str()))
            && name.as_ref().is_none_or(|name| name.is_match(task.name.as_bytes()))
            && select::tagged(tags.as_ref(), &task.tags)
            && select::tagged(system_tags.as_ref(), &task.system_tags)
            && (hidden_too || !task.system_tags.iter().any(|tag| tag == "hidden"))
    };
    let rows = call.server.tasks().filter(wanted).map(|task| row(call, task)).collect();
    select::list(call, "tasks", rows)
}

fn get_by_id(call: &Call<'_>) -> Result<Value, Refused> {
    let id = call.task()?;
    let task = call.server.task(&id).map_err(|_| Refused::bad(101, format!("Invalid task id: ids=({id})")))?;
    Ok(json!({ "task": render::task(task) }))
}

/// The fields that a change of status changed.
fn changed(task: &Task, more: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    let time = render::exact(task.last_change);
    let fields = json!({ "status": task.status.word(), "status_reason": task.status_reason,
        "status_message": task.status_message, "status_changed": time, "last_update": time, "last_change": time,
        "last_changed_by": task.last_changed_by.as_str() });
    let mut fields = fields.as_object().cloned().unwrap_or_default();
    fields.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    fields
}

/// The queue of the call: by its id, or by its name, which makes it; else the default one.
fn queue(call: &mut Call<'_>) -> Result<QueueId, Refused> {
    match (call.optional("queue"), call.optional("queue_name")) {
        (Some(_), Some(_)) => Err(invalid("Either queue id or queue name should be provided")),
        (Some(id), None) => Ok(id.into()),
        (None, Some(name)) => match call.server.queue_by_name(name).map(|queue| queue.id.clone()) {
            Some(id) => Ok(id),
            None => call.server.create_queue(call.now, name, &[]),
        },
        (None, None) => {
            let default = call.server.queue_by_name(crate::world::sim::clearml::DEFAULT_QUEUE);
            default.map(|queue| queue.id.clone()).ok_or_else(|| missing("queue"))
        }
    }
}

fn enqueue_one(call: &mut Call<'_>, task: &TaskId, queue: &QueueId) -> Result<Map<String, Value>, Refused> {
    let (said, force) = (call.said(), call.flag("force"));
    let task = call.server.enqueue(call.now, &call.user, task, queue, said, force)?;
    let before = json!(task.enqueue_status.map(Status::word));
    Ok(changed(task, [("enqueue_status", before), ("execution.queue", json!(queue.as_str()))]))
}

fn enqueue(call: &mut Call<'_>) -> Result<Value, Refused> {
    let task = call.task()?;
    call.server.task(&task)?;
    let queue = queue(call)?;
    Ok(json!({ "queued": 1, "updated": 1, "fields": enqueue_one(call, &task, &queue)? }))
}

fn enqueue_many(call: &mut Call<'_>) -> Result<Value, Refused> {
    let queue = queue(call)?;
    many(call, |call, task| {
        let fields = enqueue_one(call, task, &queue)?;
        Ok(json!({ "id": task.as_str(), "queued": true, "updated": 1, "fields": fields }))
    })
}

/// Does something to each task of `ids`; one that refuses does not hinder the others.
fn many(
    call: &mut Call<'_>,
    mut each: impl FnMut(&mut Call<'_>, &TaskId) -> Result<Value, Refused>,
) -> Result<Value, Refused> {
    let ids = call.texts("ids").ok_or_else(|| missing("ids"))?;
    let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        match each(call, &id.into()) {
            Ok(row) => succeeded.push(row),
            Err(Refused { code, subcode, message }) => {
                let error = json!({ "codes": [code, subcode], "msg": message, "data": {} });
                failed.push(json!({ "id": id, "error": error }));
            }
        }
    }
    Ok(json!({ "succeeded": succeeded, "failed": failed }))
}

fn dequeue(call: &mut Call<'_>) -> Result<Value, Refused> {
    let word = call.optional("new_status");
    let next = word.map(|word| Status::of_word(word).ok_or_else(|| invalid(&format!("Invalid task status: {word}"))));
    let task = call.server.dequeue(call.now, &call.user, &call.task()?, call.said(), next.transpose()?)?;
    let fields = task.map(|task| changed(task, [("enqueue_status", Value::Null)]));
    Ok(json!({ "dequeued": 1, "updated": u8::from(fields.is_some()), "fields": fields.unwrap_or_default() }))
}

fn started(call: &mut Call<'_>) -> Result<Value, Refused> {
    let id = call.task()?;
    let first = call.server.task(&id)?.started.is_none();
    let task = call.server.started(call.now, &call.user, &id, call.said(), call.flag("force"))?;
    let start = task.started.filter(|_| first).map(|time| ("started", json!(render::exact(time))));
    Ok(json!({ "started": 1, "updated": 1, "fields": changed(task, start) }))
}

fn stop(call: &mut Call<'_>) -> Result<Value, Refused> {
    let task = call.server.stop(call.now, &call.user, &call.task()?, call.said().reason, call.flag("force"))?;
    Ok(json!({ "updated": 1, "fields": changed(task, None) }))
}

fn end(task: &Task) -> Option<(&'static str, Value)> {
    task.completed.map(|time| ("completed", json!(render::exact(time))))
}

fn stopped(call: &mut Call<'_>) -> Result<Value, Refused> {
    let task = call.server.stopped(call.now, &call.user, &call.task()?, call.said(), call.flag("force"))?;
    Ok(json!({ "updated": 1, "fields": changed(task, end(task)) }))
}

fn completed(call: &mut Call<'_>) -> Result<Value, Refused> {
    let id = call.task()?;
    let task = call.server.completed(call.now, &call.user, &id, call.said(), call.flag("force"))?;
    let fields = changed(task, end(task));
    let publish = call.flag("publish");
    if publish {
        call.server.change(call.now, &call.user, &id, Status::Published, call.said(), call.flag("force"))?;
    }
    Ok(json!({ "updated": 1, "published": u8::from(publish), "fields": fields }))
}

fn failed(call: &mut Call<'_>) -> Result<Value, Refused> {
    become_status(call, Status::Failed)
}

fn become_status(call: &mut Call<'_>, next: Status) -> Result<Value, Refused> {
    let task = call.server.change(call.now, &call.user, &call.task()?, next, call.said(), call.flag("force"))?;
    Ok(json!({ "updated": 1, "fields": changed(task, None) }))
}

fn reset(call: &mut Call<'_>) -> Result<Value, Refused> {
    let task = call.server.reset(call.now, &call.user, &call.task()?, call.flag("force"))?;
    let fields = changed(task, None);
    Ok(json!({ "deleted_models": 0, "dequeued": {}, "events": {}, "fields": fields, "updated": 1, "urls": {} }))
}

fn ping(call: &mut Call<'_>) -> Result<Value, Refused> {
    call.server.touch(call.now, &call.user, &call.task()?)?;
    Ok(json!({}))
}

fn delete_one(call: &mut Call<'_>, task: &TaskId) -> Result<(), Refused> {
    call.server.delete_task(call.now, task, call.flag("force"))?;
    call.memory.logs.remove(task);
    Ok(())
}

fn delete(call: &mut Call<'_>) -> Result<Value, Refused> {
    delete_one(call, &call.task()?)?;
    Ok(json!({ "deleted": true, "updated_children": 0, "updated_models": 0, "deleted_models": 0, "events": {} }))
}

fn delete_many(call: &mut Call<'_>) -> Result<Value, Refused> {
    many(call, |call, task| {
        delete_one(call, task)?;
        Ok(json!({ "id": task.as_str(), "deleted": true, "updated_children": 0, "updated_models": 0,
            "deleted_models": 0, "urls": null }))
    })
}

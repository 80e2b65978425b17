//! `queues.*`.

use serde_json::{Map, Value, json};

use super::call::{Call, Done, missing};
use super::{render, select};
use crate::model::ids::{QueueId, TaskId};
use crate::world::sim::clearml::{Place, Queue, Refused, Worker};

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "create" => create(call),
        "get_all" => get_all(call),
        "get_all_ex" => get_all_ex(call),
        "get_by_id" => get_by_id(call),
        "get_default" => get_default(call),
        "get_num_entries" => call.queue().and_then(|id| Ok(json!({ "num": call.server.queue(&id)?.entries.len() }))),
        "peek_task" => peek_task(call),
        "get_next_task" => get_next_task(call),
        "add_task" => add_task(call),
        "remove_task" => remove_task(call),
        "clear_queue" => clear_queue(call),
        "move_task_to_front" => move_task(call, Place::Front),
        "move_task_to_back" => move_task(call, Place::Back),
        "move_task_forward" => move_task(call, Place::Forward(call.count("count").unwrap_or(1))),
        "move_task_backward" => move_task(call, Place::Backward(call.count("count").unwrap_or(1))),
        "update" => update(call),
        "delete" => delete(call),
        "add_or_update_metadata" => write_metadata(call),
        "delete_metadata" => delete_metadata(call),
        _ => return None,
    })
}

fn create(call: &mut Call<'_>) -> Result<Value, Refused> {
    let name = call.required("name")?;
    let id = call.server.create_queue(call.now, name, &call.texts("system_tags").unwrap_or_default())?;
    if let Some(tags) = call.texts("tags") {
        call.server.set_tags(call.now, &id, owned(&tags))?;
    }
    if let Some(name) = call.optional("display_name") {
        call.server.set_display_name(call.now, &id, name)?;
    }
    Ok(json!({ "id": id.as_str() }))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn selected<'a>(call: &'a Call<'_>) -> Result<Vec<&'a Queue>, Refused> {
    let (ids, name) = (call.texts("id"), select::pattern(call, "name")?);
    let (tags, system_tags) = (call.texts("tags"), call.texts("system_tags"));
    let hidden_too = call.flag("search_hidden") || ids.is_some() || name.is_some();
    let wanted = |queue: &&Queue| {
        ids.as_ref().is_none_or(|ids| ids.contains(&queue.id.as_str()))
            && name.as_ref().is_none_or(|name| name.is_match(queue.name.as_str().as_bytes()))
            && select::tagged(tags.as_ref(), &queue.tags)
            && select::tagged(system_tags.as_ref(), &queue.system_tags)
    };
    Ok(call.server.queues(hidden_too).filter(wanted).collect())
}

fn get_all(call: &mut Call<'_>) -> Result<Value, Refused> {
    let most = call.count("max_task_entries");
    let rows = selected(call)?.into_iter().map(|queue| render::queue(queue, call.version, most)).collect();
    select::list(call, "queues", rows)
}

/// With the names of the tasks and the workers of each queue. Projection is not for this one.
fn get_all_ex(call: &mut Call<'_>) -> Result<Value, Refused> {
    let workers: Vec<Worker> = call.server.workers(call.now, None).cloned().collect();
    let most = call.count("max_task_entries");
    let rows = selected(call)?.into_iter().map(|queue| {
        let mut row = render::queue(queue, call.version, most);
        if let Some(row) = row.as_object_mut() {
            extend(call, row, queue, &workers, most);
        }
        row
    });
    let rows = rows.collect();
    select::whole(call, "queues", rows)
}

fn extend(call: &Call<'_>, row: &mut Map<String, Value>, queue: &Queue, workers: &[Worker], most: Option<usize>) {
    let company = json!({ "id": row.get("company") });
    let entries = queue.entries.iter().take(most.unwrap_or(usize::MAX));
    let entries = entries.map(
        |entry| json!({ "task": render::named_task(call.server, &entry.task), "added": render::stored(entry.added) }),
    );
    let listening = workers.iter().filter(|worker| worker.queues.contains(&queue.id)).map(|worker| {
        let task = worker.task.as_ref().map(|task| render::named_task(call.server, task));
        json!({ "name": worker.id.as_str(), "ip": "127.0.0.1", "key": worker.key(), "task": task })
    });
    let (entries, listening): (Vec<_>, Vec<_>) = (entries.collect(), listening.collect());
    row.insert("company".to_owned(), company);
    row.insert("entries".to_owned(), json!(entries));
    row.insert("workers".to_owned(), json!(listening));
}

fn get_by_id(call: &Call<'_>) -> Result<Value, Refused> {
    let queue = call.server.queue(&call.queue()?)?;
    Ok(json!({ "queue": render::queue(queue, call.version, call.count("max_task_entries")) }))
}

fn get_default(call: &Call<'_>) -> Result<Value, Refused> {
    let mut queues = call.server.queues(true);
    let default = queues.find(|queue| queue.system_tags.iter().any(|tag| tag == "default"));
    let default = default.ok_or_else(|| Refused::bad(704, "Default queue not found".to_owned()))?;
    Ok(json!({ "id": default.id.as_str(), "name": default.name.as_str() }))
}

fn peek_task(call: &Call<'_>) -> Result<Value, Refused> {
    let queue = call.server.queue(&call.queue()?)?;
    Ok(json!({ "task": queue.entries.front().map(|entry| entry.task.as_str()) }))
}

fn get_next_task(call: &mut Call<'_>) -> Result<Value, Refused> {
    let only = call.optional("task").map(Into::into);
    let Some(entry) = call.server.next_task(call.now, &call.queue()?, only.as_ref())? else { return Ok(json!({})) };
    let mut answer = Map::new();
    answer.insert("entry".to_owned(), json!({ "task": entry.task.as_str(), "added": render::stored(entry.added) }));
    if let (true, Ok(task)) = (call.flag("get_task_info"), call.server.task(&entry.task)) {
        let info = json!({ "company": crate::world::sim::clearml::COMPANY, "user": task.user.as_str() });
        answer.insert("task_info".to_owned(), info);
    }
    Ok(Value::Object(answer))
}

fn add_task(call: &mut Call<'_>) -> Result<Value, Refused> {
    call.server.add_task(call.now, &call.queue()?, &call.task()?)?;
    Ok(json!({ "added": 1 }))
}

fn remove_task(call: &mut Call<'_>) -> Result<Value, Refused> {
    let (queue, task) = (call.queue()?, call.task()?);
    if call.flag("update_task_status") {
        call.server.remove_and_dequeue(call.now, &call.user, &queue, &task)?;
    } else {
        call.server.remove_task(call.now, &queue, &task)?;
    }
    Ok(json!({ "removed": 1 }))
}

fn clear_queue(call: &mut Call<'_>) -> Result<Value, Refused> {
    let queue = call.queue()?;
    let entries: Vec<_> = call.server.queue(&queue)?.entries.iter().map(|entry| entry.task.clone()).collect();
    for task in &entries {
        call.server.remove_and_dequeue(call.now, &call.user, &queue, task)?;
    }
    let removed: Vec<&str> = entries.iter().map(TaskId::as_str).collect();
    Ok(json!({ "removed_tasks": removed }))
}

fn move_task(call: &mut Call<'_>, place: Place) -> Result<Value, Refused> {
    Ok(json!({ "position": call.server.move_task(call.now, &call.queue()?, &call.task()?, place)? }))
}

fn update(call: &mut Call<'_>) -> Result<Value, Refused> {
    let id = call.queue()?;
    call.server.queue(&id)?;
    let mut fields = Map::new();
    if let Some(tags) = call.texts("tags") {
        call.server.set_tags(call.now, &id, owned(&tags))?;
        fields.insert("tags".to_owned(), json!(call.server.queue(&id)?.tags));
    }
    if let Some(name) = call.optional("display_name") {
        call.server.set_display_name(call.now, &id, name)?;
        fields.insert("display_name".to_owned(), json!(name));
    }
    Ok(json!({ "updated": u8::from(!fields.is_empty()), "fields": fields }))
}

fn delete(call: &mut Call<'_>) -> Result<Value, Refused> {
    call.server.delete_queue(call.now, &call.user, &call.queue()?, call.flag("force"))?;
    Ok(json!({ "deleted": 1 }))
}

fn write_metadata(call: &mut Call<'_>) -> Result<Value, Refused> {
    let queue = call.queue()?;
    if call.field("metadata").is_none() {
        return Err(missing("metadata"));
    }
    call.server.queue(&queue)?;
    for entry in call.objects("metadata") {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let key = text("key").ok_or_else(|| missing("key"))?;
        let (kind, value) = (text("type").unwrap_or("str"), text("value").unwrap_or_default());
        call.server.set_typed_metadata(call.now, &queue, key, kind, value)?;
    }
    Ok(json!({ "updated": 1 }))
}

fn delete_metadata(call: &mut Call<'_>) -> Result<Value, Refused> {
    let queue: QueueId = call.queue()?;
    for key in call.texts("keys").unwrap_or_default() {
        call.server.delete_metadata(call.now, &queue, key)?;
    }
    Ok(json!({ "updated": 1 }))
}

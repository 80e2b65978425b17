//! `tasks.*`: what is written into a task and read back: its script, its parameters, its artifacts.

use serde_json::{Map, Value, json};

use super::call::{Call, Done};
use super::render;
use crate::model::ids::TaskId;
use crate::world::sim::clearml::{NewTask, Refused, Said, Status};

/// The parts that a client may write, beside the ones that the server itself reads.
const PARTS: &[&str] = &[
    "comment",
    "parent",
    "models",
    "container",
    "execution",
    "hyperparams",
    "configuration",
    "script",
    "runtime",
    "output",
];

/// The parts that an edit merges into; the others are replaced.
const MERGED: &[&str] = &["execution", "script", "models", "output"];

/// The parts that a clone takes over.
const CLONED: &[&str] =
    &["comment", "parent", "container", "execution", "hyperparams", "configuration", "script", "output"];

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "create" => create(call),
        "clone" => clone(call),
        "edit" => edit(call),
        "update" => update(call),
        "set_requirements" => set_requirements(call),
        "edit_hyper_params" => edit_hyper_params(call),
        "delete_hyper_params" => delete_hyper_params(call),
        "get_hyper_params" => get_parts(call, "params", "hyperparams", nested_items),
        "edit_configuration" => edit_configuration(call),
        "get_configurations" => get_parts(call, "configurations", "configuration", items),
        "add_or_update_artifacts" => add_or_update_artifacts(call),
        _ => return None,
    })
}

fn create(call: &mut Call<'_>) -> Result<Value, Refused> {
    let mut new = NewTask::new(call.required("name")?, call.user.clone());
    let list = |key: &str| call.texts(key).unwrap_or_default().into_iter().map(str::to_owned).collect();
    (new.tags, new.system_tags) = (list("tags"), list("system_tags"));
    new.project = call.optional("project").map(str::to_owned);
    if let Some(kind) = call.optional("type") {
        kind.clone_into(&mut new.kind);
    }
    write_parts(call, &mut new.body);
    Ok(json!({ "id": call.server.create_task(call.now, new)?.as_str() }))
}

/// A new task like another one, without what came of its runs.
fn clone(call: &mut Call<'_>) -> Result<Value, Refused> {
    let old = call.server.task(&call.task()?)?.clone();
    let list = |key: &str, old: &[String]| match call.texts(key) {
        Some(texts) if !texts.is_empty() => texts.into_iter().map(str::to_owned).collect(),
        _ => old.to_vec(),
    };
    let (tags, mut system_tags) = (list("new_task_tags", &old.tags), list("new_task_system_tags", &old.system_tags));
    system_tags.retain(|tag| tag != "development" && tag != "archived");
    let text = |key: &str| call.optional(key).map(str::to_owned);
    let name = text("new_task_name").unwrap_or(old.name);
    let project = text("new_task_project").or(old.project);
    let mut body: Map<_, _> = old.body.into_iter().filter(|(part, _)| CLONED.contains(&part.as_str())).collect();
    for part in ["comment", "parent", "hyperparams", "configuration", "container"] {
        if let Some(value) = call.field(&format!("new_task_{part}")) {
            body.insert(part.to_owned(), value.clone());
        }
    }
    body.entry("parent").or_insert_with(|| json!(old.id.as_str()));
    within(&mut body, "execution", |execution| {
        let overrides = call.field("execution_overrides").and_then(Value::as_object);
        execution.extend(overrides.cloned().unwrap_or_default());
        if let Some(Value::Array(artifacts)) = execution.get_mut("artifacts") {
            artifacts.retain(|artifact| artifact.get("mode").is_some_and(|mode| mode == "input"));
        }
    });
    let new = NewTask { name, user: call.user.clone(), project, kind: old.kind, tags, system_tags, body };
    Ok(json!({ "id": call.server.create_task(call.now, new)?.as_str() }))
}

/// Writes the parts of the call into a task's body; those that it wrote.
fn write_parts(call: &Call<'_>, body: &mut Map<String, Value>) -> Map<String, Value> {
    let mut written = Map::new();
    for part in PARTS {
        let Some(value) = call.field(part) else { continue };
        let mut value = value.clone();
        if let Some(part) = value.as_object_mut() {
            // Only an enqueue sets the queue.
            part.remove("queue");
        }
        match (body.get_mut(*part), value.as_object()) {
            (Some(Value::Object(old)), Some(new)) if MERGED.contains(part) => old.extend(new.clone()),
            _ => drop(body.insert((*part).to_owned(), value.clone())),
        }
        written.insert((*part).to_owned(), value);
    }
    if let Some(place) = call.field("output_dest") {
        body.insert("output".to_owned(), json!({ "destination": place }));
        written.insert("output.destination".to_owned(), place.clone());
    }
    written
}

/// An edit without force is for a task that nobody has queued yet.
fn edit(call: &mut Call<'_>) -> Result<Value, Refused> {
    let status = call.server.task(&call.task()?)?.status;
    if status != Status::Created && !call.flag("force") {
        return Err(Refused::task_status(Status::Created, status));
    }
    update(call)
}

fn update(call: &mut Call<'_>) -> Result<Value, Refused> {
    let id = call.task()?;
    let mut body = std::mem::take(&mut call.server.task_mut(&id)?.body);
    let mut written = write_parts(call, &mut body);
    call.server.task_mut(&id)?.body = body;
    write_typed(call, &id, &mut written)?;
    if written.is_empty() {
        return Ok(json!({ "updated": 0, "fields": {} }));
    }
    let task = call.touched_task()?;
    let time = render::exact(task.last_change);
    written.insert("last_change".to_owned(), json!(time));
    written.insert("last_changed_by".to_owned(), json!(task.last_changed_by.as_str()));
    written.insert("last_update".to_owned(), json!(time));
    Ok(json!({ "updated": 1, "fields": written }))
}

/// The fields that the server reads itself.
fn write_typed(call: &mut Call<'_>, id: &TaskId, written: &mut Map<String, Value>) -> Result<(), Refused> {
    if let Some(project) = call.optional("project")
        && call.server.project(project).is_none()
    {
        return Err(Refused::unknown_project(project));
    }
    if let Some(status) = call.optional("status").and_then(Status::of_word) {
        let (reason, message) = {
            let task = call.server.task(id)?;
            (task.status_reason.clone(), task.status_message.clone())
        };
        let said = Said { reason: &reason, message: &message };
        call.server.change(call.now, &call.user, id, status, said, true)?;
    }
    let texts = |key: &str| call.texts(key).map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let (tags, system_tags) = (texts("tags"), texts("system_tags"));
    let text = |key: &str| call.optional(key).map(str::to_owned);
    let (name, kind, project) = (text("name"), text("type"), text("project"));
    let (reason, message) = (text("status_reason"), text("status_message"));
    let task = call.server.task_mut(id)?;
    set(written, "tags", &mut task.tags, tags);
    set(written, "system_tags", &mut task.system_tags, system_tags);
    set(written, "name", &mut task.name, name);
    set(written, "type", &mut task.kind, kind);
    set(written, "project", &mut task.project, project.map(Some));
    set(written, "status_reason", &mut task.status_reason, reason);
    set(written, "status_message", &mut task.status_message, message);
    Ok(())
}

fn set<T: serde::Serialize>(written: &mut Map<String, Value>, key: &str, place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        written.insert(key.to_owned(), json!(value));
        *place = value;
    }
}

/// Writes into a member that is an object, made if need be.
fn within<T>(map: &mut Map<String, Value>, key: &str, write: impl FnOnce(&mut Map<String, Value>) -> T) -> T {
    let mut part = match map.remove(key) {
        Some(Value::Object(part)) => part,
        _ => Map::new(),
    };
    let done = write(&mut part);
    map.insert(key.to_owned(), Value::Object(part));
    done
}

fn set_requirements(call: &mut Call<'_>) -> Result<Value, Refused> {
    let requirements = call.field("requirements").cloned().unwrap_or_default();
    within(&mut call.touched_task()?.body, "script", |script| {
        script.insert("requirements".to_owned(), requirements.clone())
    });
    Ok(json!({ "updated": 1, "fields": { "script.requirements": requirements } }))
}

fn text<'a>(item: &'a Map<String, Value>, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn edit_hyper_params(call: &mut Call<'_>) -> Result<Value, Refused> {
    let (items, replace) = (call.objects("hyperparams"), call.optional("replace_hyperparams").unwrap_or("none"));
    within(&mut call.touched_task()?.body, "hyperparams", |params| {
        match replace {
            "all" => params.clear(),
            "section" => params.retain(|section, _| !items.iter().any(|item| text(item, "section") == section)),
            _ => {}
        }
        for item in items {
            within(params, text(item, "section"), |section| {
                section.insert(text(item, "name").to_owned(), Value::Object(item.clone()))
            });
        }
    });
    Ok(json!({ "updated": 1 }))
}

fn delete_hyper_params(call: &mut Call<'_>) -> Result<Value, Refused> {
    let items = call.objects("hyperparams");
    within(&mut call.touched_task()?.body, "hyperparams", |params| {
        for item in items {
            if item.contains_key("name") {
                within(params, text(item, "section"), |section| section.remove(text(item, "name")));
            } else {
                params.remove(text(item, "section"));
            }
        }
    });
    Ok(json!({ "deleted": 1 }))
}

fn edit_configuration(call: &mut Call<'_>) -> Result<Value, Refused> {
    let (items, replace) = (call.objects("configuration"), call.flag("replace_configuration"));
    within(&mut call.touched_task()?.body, "configuration", |configuration| {
        if replace {
            configuration.clear();
        }
        for item in items {
            configuration.insert(text(item, "name").to_owned(), Value::Object(item.clone()));
        }
    });
    Ok(json!({ "updated": 1 }))
}

fn items(part: &Map<String, Value>) -> Vec<Value> {
    part.values().cloned().collect()
}

fn nested_items(part: &Map<String, Value>) -> Vec<Value> {
    part.values().filter_map(Value::as_object).flat_map(Map::values).cloned().collect()
}

/// A part of several tasks, as a list of its items.
fn get_parts(
    call: &Call<'_>,
    list: &str,
    name: &str,
    items: fn(&Map<String, Value>) -> Vec<Value>,
) -> Result<Value, Refused> {
    let mut rows = Vec::new();
    for id in call.texts("tasks").unwrap_or_default() {
        let part = call.server.task(&id.into())?.body.get(name).and_then(Value::as_object);
        rows.push(json!({ "task": id, name: part.map(items).unwrap_or_default() }));
    }
    Ok(json!({ list: rows }))
}

/// An artifact is known by its key and its mode.
fn add_or_update_artifacts(call: &mut Call<'_>) -> Result<Value, Refused> {
    let new = call.objects("artifacts");
    let same = |a: &Map<String, Value>, b: &Value| {
        let mode = |mode: Option<&Value>| mode.and_then(Value::as_str).unwrap_or("output").to_owned();
        a.get("key") == b.get("key") && mode(a.get("mode")) == mode(b.get("mode"))
    };
    within(&mut call.touched_task()?.body, "execution", |execution| {
        let mut kept = execution.get("artifacts").and_then(Value::as_array).cloned().unwrap_or_default();
        kept.retain(|old| !new.iter().any(|artifact| same(artifact, old)));
        kept.extend(new.into_iter().cloned().map(Value::Object));
        execution.insert("artifacts".to_owned(), Value::Array(kept));
    });
    Ok(json!({ "updated": 1 }))
}

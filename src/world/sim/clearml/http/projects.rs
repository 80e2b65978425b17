//! `projects.*`: names that tasks share.

use serde_json::{Value, json};

use super::call::{Call, Done};
use super::{render, select};
use crate::world::sim::clearml::{COMPANY, Project, Refused};

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "create" => create(call),
        "get_all" | "get_all_ex" => get_all(call),
        "get_by_id" => get_by_id(call),
        _ => return None,
    })
}

fn create(call: &mut Call<'_>) -> Result<Value, Refused> {
    let name = call.required("name")?;
    Ok(json!({ "id": call.server.project_of_name(call.now, &call.user, name) }))
}

fn get_all(call: &mut Call<'_>) -> Result<Value, Refused> {
    let (ids, name) = (call.texts("id"), select::pattern(call, "name")?);
    let wanted = |project: &&Project| {
        ids.as_ref().is_none_or(|ids| ids.contains(&project.id.as_str()))
            && name.as_ref().is_none_or(|name| name.is_match(project.name.as_bytes()))
    };
    let rows = call.server.projects().filter(wanted).map(row).collect();
    select::list(call, "projects", rows)
}

fn get_by_id(call: &Call<'_>) -> Result<Value, Refused> {
    let id = call.required("project")?;
    let project = call.server.project(id).ok_or_else(|| Refused::unknown_project(id))?;
    Ok(json!({ "project": row(project) }))
}

fn row(project: &Project) -> Value {
    let created = render::stored(project.created);
    let basename = project.name.rsplit('/').next().unwrap_or_default();
    json!({ "id": project.id, "name": project.name, "basename": basename, "description": "",
        "user": project.user.as_str(), "company": COMPANY, "created": created, "last_update": created,
        "tags": [], "system_tags": [] })
}

//! Who and what is there: `server.*` and `users.*`.

use serde_json::{Value, json};

use super::call::{Call, Done};
use super::render;
use crate::world::sim::clearml::{COMPANY, User};

pub(super) fn answer(call: &mut Call<'_>, endpoint: &str) -> Done {
    Some(Ok(match endpoint {
        "server.info" => json!({ "version": "2.3.0", "build": "", "commit": "", "api_version": "2.34" }),
        "users.get_current_user" => current_user(call),
        _ => return None,
    }))
}

fn current_user(call: &Call<'_>) -> Value {
    let user = call.server.user(&call.user).map(user_row);
    json!({ "user": user, "getting_started": { "agentName": "clearml", "configure": "clearml-init",
        "install": "pip install clearml", "packageName": "clearml" }, "settings": { "max_download_items": 50_000 } })
}

fn user_row(user: &User) -> Value {
    json!({ "id": user.id.as_str(), "name": user.name, "role": "user", "created": render::stored(user.created),
        "company": { "id": COMPANY, "name": "clearml" } })
}

//! `workers.*`.

use jiff::SignedDuration;
use regex::bytes::Regex;
use serde_json::{Value, json};

use super::call::{Call, Done};
use super::{render, select};
use crate::model::ids::{QueueId, WorkerId};
use crate::world::sim::clearml::{Refused, Report, Worker};

/// How far back a list looks unless it is told, in seconds; a worker's row rarely lives as long.
const LAST_SEEN: i64 = 3_600;

pub(super) fn answer(call: &mut Call<'_>, action: &str) -> Done {
    Some(match action {
        "register" => register(call),
        "unregister" => unregister(call),
        "status_report" => status_report(call),
        "get_all" => get_all(call),
        "get_count" => get_count(call),
        _ => return None,
    })
}

fn worker(call: &Call<'_>) -> Result<WorkerId, Refused> {
    call.required("worker").map(WorkerId::from)
}

fn queues(call: &Call<'_>) -> Vec<QueueId> {
    call.texts("queues").unwrap_or_default().into_iter().map(QueueId::from).collect()
}

fn tags(call: &Call<'_>) -> Vec<String> {
    call.texts("tags").unwrap_or_default().into_iter().map(str::to_owned).collect()
}

fn register(call: &mut Call<'_>) -> Result<Value, Refused> {
    let life = call.number("timeout").filter(|seconds| *seconds > 0).map(SignedDuration::from_secs);
    let worker = worker(call)?;
    call.server.register_worker(call.now, &call.user, &worker, queues(call), life)?;
    call.server.tag_worker(&call.user, &worker, tags(call));
    Ok(json!({}))
}

fn unregister(call: &mut Call<'_>) -> Result<Value, Refused> {
    call.server.unregister_worker(&call.user, &worker(call)?);
    Ok(json!({}))
}

fn status_report(call: &mut Call<'_>) -> Result<Value, Refused> {
    let (task, queue) = (call.optional("task").map(Into::into), call.optional("queue").map(Into::into));
    let report = Report { queues: queues(call), task, queue, tags: tags(call) };
    call.server.status_report(call.now, &call.user, &worker(call)?, report)?;
    Ok(json!({}))
}

fn seen<'a>(call: &'a mut Call<'_>) -> Result<Vec<&'a Worker>, Refused> {
    let last_seen = Some(call.number("last_seen").unwrap_or(LAST_SEEN)).filter(|seconds| *seconds > 0);
    let pattern = call.optional("worker_pattern").map(glob).transpose()?;
    let tags = call.texts("tags");
    let wanted = move |worker: &&Worker| {
        pattern.as_ref().is_none_or(|pattern| pattern.is_match(worker.id.as_str().as_bytes()))
            && select::tagged(tags.as_ref(), &worker.tags)
    };
    Ok(call.server.workers(call.now, last_seen.map(SignedDuration::from_secs)).filter(wanted).collect())
}

fn get_all(call: &mut Call<'_>) -> Result<Value, Refused> {
    let workers: Vec<Worker> = seen(call)?.into_iter().cloned().collect();
    let rows: Vec<Value> = workers.iter().map(|worker| render::worker(call.server, worker)).collect();
    Ok(json!({ "workers": rows }))
}

fn get_count(call: &mut Call<'_>) -> Result<Value, Refused> {
    Ok(json!({ "count": seen(call)?.len() }))
}

/// A pattern of the server's store: `*` any text, `?` any character.
fn glob(pattern: &str) -> Result<Regex, Refused> {
    let parts = pattern.chars().map(|c| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(other.encode_utf8(&mut [0; 4])),
    });
    let text = format!("(?s-u)^{}$", parts.collect::<String>());
    Regex::new(&text).map_err(|error| Refused::bad(21, format!("Malformed pattern: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_text_and_nothing_else_is_special() {
        for (pattern, id, matches) in [
            ("research:*", "research:p4d:p4d.24xlarge:i-0", true),
            ("research:*", "other:research:*", false),
            ("a.b:*", "axb:c", false),
            ("[a]:?", "[a]:b", true),
        ] {
            assert_eq!(glob(pattern).unwrap().is_match(id.as_bytes()), matches, "{pattern} {id}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_that_matches_itself(text: String) {
            prop_assert!(glob(&text).unwrap().is_match(text.as_bytes()) || text.contains('?'));
        }
    }
}

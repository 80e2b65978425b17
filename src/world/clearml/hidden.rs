//! Hidden queues: mailboxes, leases and claims. Nobody listens to them; their metadata and their unique
//! names are what they are for.

use serde_json::{Value, json};

use crate::model::claim::{self, Claim};
use crate::model::ids::{FleetId, InstanceId, QueueId, QueueName};
use crate::model::observed::{HiddenQueue, Mailbox};
use crate::world::clearml::answer::{subcode, subcode_of};
use crate::world::clearml::session::{Repeat, Session};
use crate::world::clearml::{Clearml, wire};
use crate::world::tracker::TrackerError;

/// The tag that hides a queue from people's lists.
pub(super) const HIDING_TAG: &str = "k8s-glue";
const MAILBOX_PREFIX: &str = "drain:";
const FIELDS: &[&str] = &["id", "name", "created", "metadata"];

/// What became of an attempt to create a hidden queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Creation {
    Created(QueueId),
    /// Its name is taken: it exists.
    Exists,
}

/// The drain mailbox that a hidden queue is, if it is one.
pub(super) fn mailbox(row: wire::Hidden) -> Option<Mailbox> {
    let instance = row.name.strip_prefix(MAILBOX_PREFIX).filter(|id| !id.is_empty())?;
    Some(Mailbox {
        instance: InstanceId::new(instance),
        queue: row.id.into(),
        created: row.created?,
        metadata: row.metadata,
    })
}

/// The hidden queue of that very name, if there is one.
pub(super) async fn find(session: &Session, name: &QueueName) -> Result<Option<wire::Hidden>, TrackerError> {
    let rows = list(session, &format!("^{}$", escaped(name.as_str()))).await?;
    Ok(rows.into_iter().find(|row| row.name == name.as_str()))
}

/// Creates a hidden queue. Of several creators at the same time exactly one is told `Created`.
pub(super) async fn create(session: &Session, name: &QueueName) -> Result<Creation, TrackerError> {
    let body = json!({ "name": name.as_str(), "system_tags": [HIDING_TAG] });
    match session.call::<wire::Created>("queues.create", body, Repeat::Never).await {
        Ok(created) => Ok(Creation::Created(created.id.into())),
        Err(error) if subcode_of(&error) == subcode::NAME_TAKEN => Ok(Creation::Exists),
        Err(error) => Err(error),
    }
}

/// Deletes a hidden queue; one that does not exist is deleted.
pub(super) async fn delete(server: &Clearml, name: &QueueName) -> Result<(), TrackerError> {
    let seen = server.hidden.lock().await.remove(name);
    let queue = match seen {
        Some(queue) => queue,
        None => match find(&server.console, name).await? {
            Some(queue) => queue.id.into(),
            None => return Ok(()),
        },
    };
    delete_by_id(&server.console, &queue).await
}

/// The same, by its id.
pub(super) async fn delete_by_id(session: &Session, queue: &QueueId) -> Result<(), TrackerError> {
    let body = json!({ "queue": queue.as_str(), "force": true });
    match session.call::<Value>("queues.delete", body, Repeat::Safe).await {
        Err(error) if subcode_of(&error) != subcode::NO_SUCH_QUEUE => Err(error),
        _ => Ok(()),
    }
}

/// Writes one key of a hidden queue's metadata, creating the queue if need be. Other keys are left alone.
pub(super) async fn write(server: &Clearml, name: &QueueName, key: &str, value: &str) -> Result<(), TrackerError> {
    let entry = [(key, value.to_owned())];
    let seen = server.hidden.lock().await.get(name).cloned();
    if let Some(queue) = seen
        && write_all(&server.console, &queue, &entry).await?
    {
        return Ok(());
    }
    let queue = find_or_create(server, name).await?;
    if write_all(&server.console, &queue, &entry).await? {
        return Ok(());
    }
    let message = format!("`{name}` was removed while it was written to");
    Err(TrackerError::Unreadable { endpoint: "queues.add_or_update_metadata".to_owned(), message })
}

/// Writes these keys of a hidden queue's metadata. `false`: there is no such queue.
pub(super) async fn write_all(
    session: &Session,
    queue: &QueueId,
    entries: &[(&str, String)],
) -> Result<bool, TrackerError> {
    let entry = |(key, value): &(&str, String)| json!({ "key": key, "type": "str", "value": value });
    let metadata: Vec<Value> = entries.iter().map(entry).collect();
    let body = json!({ "queue": queue.as_str(), "metadata": metadata });
    match session.call::<Value>("queues.add_or_update_metadata", body, Repeat::Safe).await {
        Ok(_) => Ok(true),
        Err(error) if subcode_of(&error) == subcode::NO_SUCH_QUEUE => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every hidden queue that a console or a guard made.
pub(super) async fn all(session: &Session) -> Result<Vec<HiddenQueue>, TrackerError> {
    let rows = list(session, "^(drain|claim|tidegate):").await?;
    let hidden = |row: wire::Hidden| HiddenQueue { id: row.id.into(), name: row.name.into(), created: row.created };
    Ok(rows.into_iter().map(hidden).collect())
}

/// Every claim on a fleet's lead, the highest term last.
pub(super) async fn claims(session: &Session, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError> {
    let rows = list(session, &format!("^{}", escaped(&claim::prefix(fleet)))).await?;
    let read = |row: wire::Hidden| Claim::read(fleet, row.id.into(), &row.name.into(), &row.metadata);
    let mut claims: Vec<Claim> = rows.into_iter().filter_map(read).collect();
    claims.sort_by_key(|claim| claim.term);
    Ok(claims)
}

/// The hidden queue of that very name, which is made where it is missing.
pub(super) async fn ensure(server: &Clearml, name: &QueueName) -> Result<QueueId, TrackerError> {
    let seen = server.hidden.lock().await.get(name).cloned();
    match seen {
        Some(queue) => Ok(queue),
        None => find_or_create(server, name).await,
    }
}

/// Asks the server, and remembers what it says.
async fn find_or_create(server: &Clearml, name: &QueueName) -> Result<QueueId, TrackerError> {
    let queue = match find(&server.console, name).await? {
        Some(queue) => queue.id.into(),
        None => create_or_find(&server.console, name).await?,
    };
    server.hidden.lock().await.insert(name.clone(), queue.clone());
    Ok(queue)
}

async fn create_or_find(session: &Session, name: &QueueName) -> Result<QueueId, TrackerError> {
    match create(session, name).await? {
        Creation::Created(id) => Ok(id),
        Creation::Exists => find(session, name).await?.map(|queue| queue.id.into()).ok_or_else(|| {
            let message = format!("the name `{name}` is taken, and no such queue is listed");
            TrackerError::Unreadable { endpoint: "queues.get_all".to_owned(), message }
        }),
    }
}

async fn list(session: &Session, name: &str) -> Result<Vec<wire::Hidden>, TrackerError> {
    let filter = json!({ "name": name, "search_hidden": true });
    session.pages("queues.get_all", "queues", FIELDS, filter).await
}

/// The regular expression (Python's) that matches this text only.
pub(super) fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_for_the_server_s_expression() {
        for (name, expression) in
            [("drain:i-0a", r"drain:i\-0a"), ("a.b*(c)", r"a\.b\*\(c\)"), ("tidegate:x_1", "tidegate:x_1")]
        {
            assert_eq!(escaped(name), expression);
        }
    }
}

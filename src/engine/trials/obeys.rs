//! What a machine does that it is ordered to by its mailbox.

use jiff::Timestamp;

use super::world::Facts;
use crate::model::ids::{InstanceId, hold_task};
use crate::model::observed::{TaskRecord, TaskStatus};

pub(super) fn order(facts: &mut Facts, instance: &InstanceId, want: String) {
    let busy = facts.workers.get(instance).is_some_and(|worker| worker.task.is_some());
    let state = want.strip_prefix("drain:").map(|nonce| format!("drained:{nonce}"));
    let mailbox = facts.mailboxes.entry(instance.clone()).or_default();
    mailbox.insert("want".to_owned(), want);
    if let Some(state) = state.filter(|_| facts.answers && facts.gate && !busy && facts.workers.contains_key(instance))
    {
        mailbox.insert("state".to_owned(), state);
    }
}

pub(super) fn place_hold(facts: &mut Facts, instance: &InstanceId, nonce: &str, now: Timestamp) {
    let idle = facts.workers.get(instance).filter(|worker| facts.answers && worker.task.is_none());
    let taken = idle.map(|worker| worker.id.clone());
    facts.holds.push(TaskRecord {
        id: format!("h{}", facts.holds.len()).into(),
        name: hold_task(instance, nonce),
        status: if taken.is_some() { TaskStatus::InProgress } else { TaskStatus::Queued },
        status_reason: String::new(),
        status_changed: Some(now),
        started: taken.is_some().then_some(now),
        last_worker: taken,
        queue: Some(format!("drain:{instance}").into()),
    });
}

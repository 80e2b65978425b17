//! The answers' shapes, as recorded from the server (CLEARML.md section 1): a null field is left out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::model::account::Owner;
use crate::model::ids::TaskId;
use crate::model::observed::{
    GlancedWorker, ObservedQueue, ObservedTask, ObservedWorker, QueueEntry, TaskFacts, TaskRecord, TaskStatus,
};

pub(super) const TASK_FIELDS: &[&str] =
    &["id", "name", "status", "status_reason", "status_changed", "started", "last_worker", "execution.queue"];

/// Names come from `get_all_ex` alone, which joins them.
pub(super) const FACT_FIELDS: &[&str] = &["id", "status", "project.name", "user.name", "tags"];

#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize)]
pub(super) struct Login {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Count {
    pub(super) count: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Created {
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ServerInfo {
    pub(super) version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CurrentUser {
    pub(super) user: User,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    name: Option<String>,
    pub(super) company: Option<Named>,
}

impl User {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
}

impl Named {
    fn observed(self) -> Option<ObservedTask> {
        Some(ObservedTask { id: self.id?.into(), name: self.name.unwrap_or_default(), queue: None })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Queue {
    id: String,
    name: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    task: String,
    added: Timestamp,
}

impl From<Queue> for ObservedQueue {
    fn from(queue: Queue) -> Self {
        Self {
            id: queue.id.into(),
            name: queue.name.into(),
            tags: queue.tags,
            entries: queue.entries.into_iter().map(|e| QueueEntry { task: e.task.into(), added: e.added }).collect(),
        }
    }
}

/// A queue with the names of its tasks, and who listens to it.
#[derive(Debug, Deserialize)]
pub(super) struct WholeQueue {
    id: String,
    name: String,
    created: Option<Timestamp>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    system_tags: Vec<String>,
    #[serde(default)]
    entries: Vec<NamedEntry>,
    #[serde(default)]
    workers: Vec<Listener>,
    #[serde(default, deserialize_with = "metadata")]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct NamedEntry {
    task: Option<Named>,
    added: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Listener {
    name: String,
    /// Older servers tell none.
    key: Option<String>,
    task: Option<Named>,
}

impl WholeQueue {
    /// Who listens, by a key of its own.
    pub(super) fn listeners(&mut self) -> impl Iterator<Item = (String, GlancedWorker)> {
        std::mem::take(&mut self.workers).into_iter().map(|listener| {
            let task = listener.task.and_then(Named::observed);
            (listener.key.unwrap_or_else(|| listener.name.clone()), GlancedWorker { id: listener.name.into(), task })
        })
    }

    pub(super) fn is_tagged(&self, system_tag: &str) -> bool {
        self.system_tags.iter().any(|tag| tag == system_tag)
    }

    pub(super) fn into_hidden(self) -> Hidden {
        Hidden { id: self.id, name: self.name, created: self.created, metadata: self.metadata }
    }
}

impl From<WholeQueue> for ObservedQueue {
    fn from(queue: WholeQueue) -> Self {
        let entry = |entry: NamedEntry| Some(QueueEntry { task: entry.task?.id?.into(), added: entry.added });
        Self {
            id: queue.id.into(),
            name: queue.name.into(),
            tags: queue.tags,
            entries: queue.entries.into_iter().filter_map(entry).collect(),
        }
    }
}

/// A hidden queue, for its metadata.
#[derive(Debug, Deserialize)]
pub(super) struct Hidden {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Option<Timestamp>,
    #[serde(default, deserialize_with = "metadata")]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct MetadataEntry {
    value: Option<String>,
}

/// A map from key to `{key, type, value}`; an old request version answers an empty list instead.
fn metadata<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Map(BTreeMap<String, MetadataEntry>),
        List([(); 0]),
    }
    Ok(match Shape::deserialize(from)? {
        Shape::Map(map) => map.into_iter().map(|(key, entry)| (key, entry.value.unwrap_or_default())).collect(),
        Shape::List([]) => BTreeMap::new(),
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

#[derive(Debug, Deserialize)]
struct Worker {
    id: String,
    #[serde(default)]
    queues: Vec<Named>,
    task: Option<Named>,
    queue: Option<Named>,
    register_time: Option<Timestamp>,
    last_report_time: Option<Timestamp>,
}

/// The workers. One id under two users is two rows (CLEARML.md section 1).
pub(super) fn workers(answer: Workers) -> Vec<ObservedWorker> {
    answer.workers.into_iter().map(observed).collect()
}

fn observed(worker: Worker) -> ObservedWorker {
    let queue = worker.queue.and_then(|queue| queue.id).map(Into::into);
    let task = worker.task.and_then(Named::observed).map(|task| ObservedTask { queue, ..task });
    ObservedWorker {
        id: worker.id.into(),
        queues: worker.queues.into_iter().filter_map(|queue| queue.id).map(Into::into).collect(),
        task,
        registered: worker.register_time.or(worker.last_report_time).unwrap_or(Timestamp::UNIX_EPOCH),
        last_report: worker.last_report_time,
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Task {
    id: String,
    #[serde(default)]
    name: String,
    status: String,
    #[serde(default)]
    status_reason: String,
    status_changed: Option<Timestamp>,
    started: Option<Timestamp>,
    last_worker: Option<String>,
    #[serde(default)]
    execution: Execution,
}

/// What a task does and whose it is.
#[derive(Debug, Deserialize)]
pub(super) struct TaskState {
    id: String,
    status: String,
    project: Option<Called>,
    user: Option<Called>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Called {
    name: Option<String>,
}

impl Called {
    fn told(this: Option<Self>) -> Option<String> {
        this.and_then(|called| called.name).filter(|name| !name.is_empty())
    }
}

impl TaskState {
    pub(super) fn into_pair(self) -> (TaskId, TaskFacts) {
        let owner = Owner {
            project: Called::told(self.project).map(Into::into),
            user: Called::told(self.user).map(Into::into),
        };
        (self.id.into(), TaskFacts { status: status(&self.status), owner, tags: self.tags })
    }
}

#[derive(Debug, Default, Deserialize)]
struct Execution {
    queue: Option<String>,
}

impl From<Task> for TaskRecord {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.into(),
            name: task.name,
            status: status(&task.status),
            status_reason: task.status_reason,
            status_changed: task.status_changed,
            started: task.started,
            last_worker: task.last_worker.filter(|worker| !worker.is_empty()).map(Into::into),
            queue: task.execution.queue.filter(|queue| !queue.is_empty()).map(Into::into),
        }
    }
}

fn status(word: &str) -> TaskStatus {
    match word {
        "queued" => TaskStatus::Queued,
        "in_progress" => TaskStatus::InProgress,
        "stopped" => TaskStatus::Stopped,
        _ => TaskStatus::Other,
    }
}

/// The server's words for a status.
pub(super) fn status_words(status: TaskStatus) -> &'static [&'static str] {
    match status {
        TaskStatus::Queued => &["queued"],
        TaskStatus::InProgress => &["in_progress"],
        TaskStatus::Stopped => &["stopped"],
        TaskStatus::Other => &["created", "completed", "failed", "closed", "publishing", "published", "unknown"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_precisions_of_a_time_are_read() {
        let micro: Entry = serde_json::from_str(r#"{"task":"t","added":"2026-11-23T17:35:25.206220+00:00"}"#).unwrap();
        let milli: Entry = serde_json::from_str(r#"{"task":"t","added":"2026-11-23T17:35:25.206000+00:00"}"#).unwrap();
        assert_eq!(micro.added.duration_since(milli.added).as_micros(), 220);
    }

    /// Which of them counts is for those to say who know what the others mean.
    #[test]
    fn one_worker_under_two_users_is_two_rows() {
        let row = r#"{"id":"w","register_time":"2026-11-23T17:00:00+00:00"}"#;
        let answer: Workers = serde_json::from_str(&format!(r#"{{"workers":[{row},{row}]}}"#)).unwrap();
        assert_eq!(workers(answer).len(), 2);
    }

    #[test]
    fn metadata_of_an_old_request_version_is_empty() {
        for (shape, entries) in
            [("[]", 0), (r#"{"want":{"key":"want","type":"str","value":"run"}}"#, 1), (r#"{"x":{"key":"x"}}"#, 1)]
        {
            let hidden: Hidden =
                serde_json::from_str(&format!(r#"{{"id":"q","name":"drain:i","metadata":{shape}}}"#)).unwrap();
            assert_eq!(hidden.metadata.len(), entries, "{shape}");
        }
    }

    #[test]
    fn a_status_is_asked_for_in_the_words_in_which_it_is_answered() {
        for wanted in [TaskStatus::Queued, TaskStatus::InProgress, TaskStatus::Stopped, TaskStatus::Other] {
            for word in status_words(wanted) {
                assert_eq!(status(word), wanted, "{word}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_or_none(text: String, time: String) {
            let _ = serde_json::from_str::<Workers>(&text);
            let _ = serde_json::from_str::<Queue>(&text);
            let _ = serde_json::from_str::<WholeQueue>(&text);
            let _ = serde_json::from_str::<Task>(&text);
            let entry = serde_json::json!({ "task": "t", "added": time });
            let _ = serde_json::from_value::<Entry>(entry);
        }
    }
}

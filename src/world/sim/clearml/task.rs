//! A task as the server keeps it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::user::UserId;
use crate::model::ids::{QueueId, TaskId, WorkerId};

/// The server's statuses of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Created,
    Queued,
    InProgress,
    Stopped,
    Closed,
    Failed,
    Completed,
    Published,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Queued,
        Self::InProgress,
        Self::Stopped,
        Self::Closed,
        Self::Failed,
        Self::Completed,
        Self::Published,
    ];

    /// The API's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Stopped => "stopped",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Published => "published",
        }
    }

    /// The status of one of the API's words.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether a change without force is allowed.
    pub(super) fn may_become(self, next: Self) -> bool {
        use Status::{Closed, Completed, Created, Failed, InProgress, Published, Queued, Stopped};
        let allowed: &[Self] = match self {
            Created => &[Queued, InProgress],
            Queued => &[Created, InProgress, Stopped],
            InProgress => &[Stopped, Failed, Created, Completed],
            Stopped => &[Closed, Created, Failed, Queued, InProgress, Published, Completed],
            Closed => &[Created, Failed, Published, Stopped],
            Failed => &[Created, Stopped, Published, Queued],
            Completed => &[Published, InProgress, Created],
            Published => &[],
        };
        self == next || allowed.contains(&next)
    }
}

/// What a task is made from.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub name: String,
    pub user: UserId,
    /// The project's id.
    pub project: Option<String>,
    /// The API's `type`, such as `training`.
    pub kind: String,
    pub tags: Vec<String>,
    pub system_tags: Vec<String>,
    /// What its clients write and read and the server does not look into: `script`, `hyperparams` and so on.
    pub body: Map<String, Value>,
}

impl NewTask {
    /// A task of that name without anything to run.
    #[must_use]
    pub fn new(name: impl Into<String>, user: UserId) -> Self {
        Self {
            name: name.into(),
            user,
            project: None,
            kind: "training".to_owned(),
            tags: Vec::new(),
            system_tags: Vec::new(),
            body: Map::new(),
        }
    }

    /// A task whose program is a shell script: a real agent runs it without any Python set-up.
    #[must_use]
    pub fn shell(name: impl Into<String>, user: UserId, script: &str) -> Self {
        let script = json!({ "binary": "/bin/bash", "repository": "", "entry_point": "job.sh", "working_dir": ".",
            "diff": script, "requirements": {} });
        let body = Map::from_iter([("script".to_owned(), script)]);
        Self { body, ..Self::new(name, user) }
    }
}

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    pub id: TaskId,
    pub name: String,
    pub kind: String,
    pub user: UserId,
    /// The project's id.
    pub project: Option<String>,
    pub tags: Vec<String>,
    pub system_tags: Vec<String>,
    pub status: Status,
    pub status_reason: String,
    /// `stopping` asks the agent to stop a running task.
    pub status_message: String,
    pub status_changed: Option<Timestamp>,
    pub created: Timestamp,
    /// Of its first run since it was made or reset: a later run keeps it.
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub last_update: Timestamp,
    pub last_change: Timestamp,
    pub last_changed_by: UserId,
    /// Who ran it last; stays when it is queued again.
    pub last_worker: Option<WorkerId>,
    pub last_worker_report: Option<Timestamp>,
    /// How long it has run, as of its last event.
    pub active: Option<SignedDuration>,
    /// The status that it had before it was queued.
    pub enqueue_status: Option<Status>,
    /// `execution.queue`: stays while the task runs and after.
    pub queue: Option<QueueId>,
    /// As in [`NewTask::body`].
    pub body: Map<String, Value>,
    /// The queues that it is an entry of: none while it runs, and none between pull and start.
    pub(super) waits_in: Vec<QueueId>,
}

impl Task {
    /// Whether it is an entry of any queue. One that is queued by its status and waits nowhere is a stray.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.waits_in.is_empty()
    }
}

/// The words that come with a change of status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'a> {
    pub reason: &'a str,
    pub message: &'a str,
}

impl<'a> Said<'a> {
    #[must_use]
    pub fn reason(reason: &'a str) -> Self {
        Self { reason, message: "" }
    }

    #[must_use]
    pub fn message(message: &'a str) -> Self {
        Self { reason: "", message }
    }
}

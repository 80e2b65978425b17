//! Every action and edit of the loop and of people, in one line of time.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::{Actor, InstanceId, IntentId, PoolName, QueueName, Revision, TaskId};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub at: Timestamp,
    pub by: Actor,
    pub kind: EntryKind,
    /// What happened, in one sentence.
    pub text: String,
    /// Why, with the numbers that decided it; empty where nothing was decided.
    pub reason: String,
    pub subject: Subject,
    pub intent: Option<IntentId>,
    pub revision: Option<Revision>,
}

/// What the line is about; any part may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    pub queue: Option<QueueName>,
    pub pool: Option<PoolName>,
    pub instance: Option<InstanceId>,
    pub task: Option<TaskId>,
}

/// What sort of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Decided and written down, before it is sent.
    Decided,
    /// What came of it.
    Done,
    Failed,
    /// Wanted, and not done.
    Refused,
    /// The world changed without us.
    Seen,
    /// A person changed the settings or the loop's state.
    Edited,
    /// Something a person should look at.
    Alarm,
}

impl EntryKind {
    pub const ALL: [Self; 7] =
        [Self::Decided, Self::Done, Self::Failed, Self::Refused, Self::Seen, Self::Edited, Self::Alarm];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Seen => "seen",
            Self::Edited => "edited",
            Self::Alarm => "alarm",
        }
    }
}

/// Which journal lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalFilter {
    pub since: Option<Timestamp>,
    /// Found in the text, the reason, or a subject's name.
    pub text: Option<String>,
    pub limit: u32,
}

impl JournalFilter {
    /// Whether a line is wanted: not older than asked for, and holding the text, whatever its case (of ASCII letters).
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        let Subject { queue, pool, instance, task } = &entry.subject;
        let names = [
            Some(entry.by.as_str()),
            Some(entry.text.as_str()),
            Some(entry.reason.as_str()),
            queue.as_ref().map(AsRef::as_ref),
            pool.as_ref().map(AsRef::as_ref),
            instance.as_ref().map(AsRef::as_ref),
            task.as_ref().map(AsRef::as_ref),
        ];
        let holds = |text: &String| {
            let text = text.to_ascii_lowercase();
            names.iter().flatten().any(|name| name.to_ascii_lowercase().contains(&text))
        };
        self.since.is_none_or(|since| entry.at >= since) && self.text.as_ref().is_none_or(holds)
    }
}

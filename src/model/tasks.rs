//! The tasks of a queue as people see them, and what people do with them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::account::Owner;
use crate::model::ids::{TaskId, WorkerId};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// In the queue, at this place; the first is 1.
    Waiting(u32),
    Running,
    Stopped,
    Failed,
}

impl TaskState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A task that waits in a queue, runs from it, or ended badly not long ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedTask {
    pub id: TaskId,
    pub name: String,
    pub state: TaskState,
    /// When it came into this state.
    pub since: Option<Timestamp>,
    /// Who runs it, or ran it last.
    pub worker: Option<WorkerId>,
    pub owner: Owner,
    /// The server's words for why it is so.
    pub reason: String,
}

impl QueuedTask {
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, TaskState::Waiting(_))
    }
}

/// What a person does with tasks of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDeed {
    ToFront,
    ToBack,
    /// One place.
    Forward,
    Backward,
    /// Out of the queue: it does not run until it is enqueued again.
    TakeOut,
    /// Into the queue, at its end.
    PutIn,
}

impl TaskDeed {
    /// Whether the task must wait in the queue for it.
    #[must_use]
    pub fn wants_waiting(self) -> bool {
        self != Self::PutIn
    }

    /// Several tasks keep their order among each other when they are done in this one.
    #[must_use]
    pub fn in_order<T: Clone>(self, tasks: &[T]) -> Vec<T> {
        match self {
            Self::ToFront | Self::Backward => tasks.iter().rev().cloned().collect(),
            _ => tasks.to_vec(),
        }
    }

    /// `move NAME to the front of QUEUE`, around the name.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ToFront => ("move", "to the front of"),
            Self::ToBack => ("move", "to the end of"),
            Self::Forward => ("move", "one place forward in"),
            Self::Backward => ("move", "one place back in"),
            Self::TakeOut => ("take", "out of"),
            Self::PutIn => ("put", "into"),
        }
    }
}

/// A task by its name where it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTask {
    pub id: TaskId,
    pub name: String,
}

impl fmt::Display for NamedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_keep_their_order() {
        // What a queue of a, b, c, d becomes when b, then c are moved by the deed.
        let moved = |deed: TaskDeed| {
            let mut queue = vec!["a", "b", "c", "d"];
            for task in deed.in_order(&["b", "c"]) {
                let at = queue.iter().position(|other| *other == task).unwrap();
                queue.remove(at);
                let to = match deed {
                    TaskDeed::ToFront => 0,
                    TaskDeed::Forward => at.saturating_sub(1),
                    TaskDeed::Backward => (at + 1).min(queue.len()),
                    _ => queue.len(),
                };
                queue.insert(to, task);
            }
            queue.concat()
        };
        for (deed, queue) in [
            (TaskDeed::ToFront, "bcad"),
            (TaskDeed::ToBack, "adbc"),
            (TaskDeed::Forward, "bcad"),
            (TaskDeed::Backward, "adbc"),
        ] {
            assert_eq!(moved(deed), queue, "{deed:?}");
        }
    }
}

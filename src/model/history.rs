//! Tasks that have ended, as the tracker remembers them.

use jiff::Timestamp;

use crate::model::account::Owner;
use crate::model::ids::{QueueName, TaskId, WorkerId};

/// A task that has ended, however it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedTask {
    pub id: TaskId,
    /// `None`: it was in none, or in one that is not there any more.
    pub queue: Option<QueueName>,
    pub owner: Owner,
    pub worker: Option<WorkerId>,
    pub created: Timestamp,
    /// `None`: it ended before anyone began it.
    pub started: Option<Timestamp>,
    pub ended: Timestamp,
}

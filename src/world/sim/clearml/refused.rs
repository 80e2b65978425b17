//! The server's no, in its own codes and words (CLEARML.md section 1).

use super::COMPANY;
use super::task::Status;
use crate::model::ids::{QueueId, QueueName, TaskId};

/// What the server refuses, and why. The face over HTTP answers it as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code}, subcode {subcode})")]
pub struct Refused {
    /// The HTTP status too.
    pub code: u16,
    pub subcode: u16,
    pub message: String,
}

impl Refused {
    pub(super) fn new(code: u16, subcode: u16, message: String) -> Self {
        Self { code, subcode, message }
    }

    pub(super) fn bad(subcode: u16, message: String) -> Self {
        Self::new(400, subcode, message)
    }

    pub(super) fn unknown_task(task: &TaskId) -> Self {
        Self::bad(101, format!("Invalid task id: id={task}, company={COMPANY}"))
    }

    pub(super) fn status_change(from: Status, to: Status) -> Self {
        let change = format!("current_status={}, new_status={}", from.word(), to.word());
        Self::bad(110, format!("Invalid task status (Invalid status change): {change}"))
    }

    pub(super) fn task_status(expected: Status, status: Status) -> Self {
        Self::bad(110, format!("Invalid task status: expected={}, status={}", expected.word(), status.word()))
    }

    pub(super) fn not_deletable(task: &TaskId, status: Status) -> Self {
        let said = format!("task={task}, expected=created, current={}", status.word());
        Self::bad(123, format!("Task cannot be deleted (due to status, use force=True): {said}"))
    }

    pub(super) fn unknown_project(project: &str) -> Self {
        Self::bad(401, format!("Invalid project id: id={project}"))
    }

    pub(super) fn unknown_queue(queue: &QueueId) -> Self {
        Self::bad(701, format!("Invalid queue id: id={queue}, company={COMPANY}"))
    }

    pub(super) fn unknown_queues(queues: &[QueueId]) -> Self {
        let ids: Vec<&str> = queues.iter().map(QueueId::as_str).collect();
        Self::bad(701, format!("Invalid queue id: ids=({})", ids.join(", ")))
    }

    pub(super) fn queue_not_empty(queue: &QueueId) -> Self {
        Self::bad(702, format!("Queue is not empty (use force=true to delete): id={queue}"))
    }

    pub(super) fn not_in_queue(queue: &QueueId, task: &TaskId) -> Self {
        Self::bad(703, format!("Invalid queue id or task not in queue: task={task}, id={queue}, company={COMPANY}"))
    }

    pub(super) fn already_queued(task: &TaskId) -> Self {
        Self::bad(706, format!("Failed adding task to queue since task is already queued: task={task}"))
    }

    pub(super) fn short_name() -> Self {
        Self::bad(800, "Data validation error: name=String value is too short".to_owned())
    }

    pub(super) fn name_taken(name: &QueueName) -> Self {
        let said = "Value combination already exists (unique field already contains this value)";
        Self::bad(801, format!("{said}: name={name}, company={COMPANY}"))
    }
}

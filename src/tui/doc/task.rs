//! Why a task is as it is: its place in its queue, and why that waits; who runs it; how it ended.

use jiff::Timestamp;

use super::{Line, heading, why, wrapped};
use crate::engine::event::View;
use crate::model::ids::{QueueName, TaskId};
use crate::model::tasks::{QueuedTask, TaskState};
use crate::tui::state::State;
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::words::short;

pub(super) fn lines(
    state: &State,
    view: &View,
    queue: &QueueName,
    id: &TaskId,
    width: usize,
    now: Timestamp,
) -> Vec<Line> {
    let known = state.tasks.get(queue).and_then(|tasks| tasks.as_ref().ok());
    let task = known.and_then(|tasks| tasks.iter().find(|task| task.id == *id));
    let name = task.map_or_else(|| id.to_string(), |task| format!("{} ({id})", task.name));
    let own = Subject::Task(queue.clone(), id.clone());
    if let Some(waits) = waits(view, task, queue, id, now) {
        let mut lines = wrapped(&format!("{name} {waits}."), Tone::Plain, width);
        lines.extend([Line::default(), heading("Why its queue waits")]);
        lines.extend(why::lines(view, &Subject::Queue(queue.clone()), &state.journal, width, now));
        return lines;
    }
    let mut lines = wrapped(&format!("{name} {}.", stands(task, queue, now)), Tone::Plain, width);
    lines.extend([Line::default(), heading("The last pass")]);
    lines.extend(why::steps(view, &own, width));
    lines.extend([Line::default(), heading("Before")]);
    lines.extend(why::before(view, &own, &state.journal, width, now));
    lines
}

/// `waits in train for 16m40, place 2 of 5`; `None`: it does not wait.
fn waits(view: &View, task: Option<&QueuedTask>, queue: &QueueName, id: &TaskId, now: Timestamp) -> Option<String> {
    let entries = view.snapshot.queue(queue).map(|queue| queue.waiting.as_slice()).unwrap_or_default();
    let (place, since) = match entries.iter().position(|entry| entry.task == *id) {
        Some(at) => (at + 1, entries.get(at).map(|entry| entry.added)),
        // The queue was read for its tasks since the loop looked.
        None => match task?.state {
            TaskState::Waiting(place) => (usize::try_from(place).unwrap_or(usize::MAX), task?.since),
            _ => return None,
        },
    };
    let lasts = since.map(|since| format!(" for {}", short(now.duration_since(since)))).unwrap_or_default();
    let of = entries.len().max(place);
    Some(format!("waits in {queue}{lasts}, place {place} of {of}"))
}

fn stands(task: Option<&QueuedTask>, queue: &QueueName, now: Timestamp) -> String {
    let Some(task) = task else { return format!("is not in {queue} any more, as far as is known here") };
    let lasts = task.since.map(|since| format!(" for {}", short(now.duration_since(since)))).unwrap_or_default();
    let by = task.worker.as_ref().map(|worker| format!(" on {worker}")).unwrap_or_default();
    let reason = if task.reason.is_empty() { String::new() } else { format!(": {}", task.reason) };
    match task.state {
        TaskState::Running => format!("runs{by}{lasts}, from {queue}"),
        other => format!("is {}{lasts}{by}, from {queue}{reason}", other.word()),
    }
}

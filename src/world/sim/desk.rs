//! Tasks of a simulated queue for people: in their order, and what people do with them.

use std::fmt::Write;

use jiff::SignedDuration;

use crate::model::account::Owner;
use crate::model::ids::{QueueId, TaskId};
use crate::model::tasks::{QueuedTask, TaskDeed, TaskState};
use crate::world::sim::clearml::{ClearmlServer, Place, Status, Task};
use crate::world::sim::state::State;
use crate::world::sim::tracker::{ANOTHER_WAS_FIRST, refused};
use crate::world::tracker::{Requeue, TrackerError};

/// Tasks that ended badly longer ago are not told.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn tasks(state: &State, queue: &QueueId) -> Vec<QueuedTask> {
    let server = &state.server;
    let told = |task: &Task, at, since| QueuedTask {
        id: task.id.clone(),
        name: task.name.clone(),
        state: at,
        since,
        worker: task.last_worker.clone(),
        owner: Owner {
            project: task.project.as_ref().and_then(|id| Some(server.project(id)?.name.as_str().into())),
            user: server.user(&task.user).map(|user| user.name.as_str().into()),
        },
        reason: task.status_reason.clone(),
    };
    let entries = server.queue(queue).map(|queue| queue.entries.clone()).unwrap_or_default();
    let waiting = (1..).zip(&entries).filter_map(|(place, entry)| {
        Some(told(server.task(&entry.task).ok()?, TaskState::Waiting(place), Some(entry.added)))
    });
    let ours = |task: &&Task| task.queue.as_ref() == Some(queue);
    let running = server.tasks_in(&[Status::InProgress]).filter(ours);
    let running = running.map(|task| told(task, TaskState::Running, task.started));
    let now = state.time();
    let ended = server.tasks_in(&[Status::Stopped, Status::Failed]).filter(ours);
    let ended = ended.filter(|task| task.status_changed.is_some_and(|at| now.duration_since(at) <= LATELY));
    let mut ended: Vec<_> = ended
        .map(|task| {
            let at = if task.status == Status::Failed { TaskState::Failed } else { TaskState::Stopped };
            told(task, at, task.status_changed)
        })
        .collect();
    ended.sort_by_key(|task| std::cmp::Reverse(task.since));
    waiting.chain(running).chain(ended).collect()
}

pub(super) fn done(state: &mut State, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError> {
    let (now, console) = (state.time(), ClearmlServer::console());
    let place = match deed {
        TaskDeed::ToFront => Place::Front,
        TaskDeed::ToBack => Place::Back,
        TaskDeed::Forward => Place::Forward(1),
        TaskDeed::Backward => Place::Backward(1),
        TaskDeed::PutIn => return state.enqueue_again(task, queue),
        TaskDeed::TakeOut => {
            let done = state.server.remove_and_dequeue(now, &console, queue, task);
            state.task_changed(task);
            return answered("queues.remove_task", done);
        }
    };
    answered("queues.move_task", state.server.move_task(now, queue, task, place).map(drop))
}

fn answered(endpoint: &str, done: Result<(), crate::world::sim::clearml::Refused>) -> Result<Requeue, TrackerError> {
    match done {
        Ok(()) => Ok(Requeue::Enqueued),
        Err(no) if ANOTHER_WAS_FIRST.contains(&no.subcode) => Ok(Requeue::NotNeeded),
        Err(no) => Err(refused(endpoint, no)),
    }
}

/// What a simulated task writes: its runs, and a line for each minute that it runs.
pub(super) fn log(state: &State, task: &TaskId) -> Result<String, TrackerError> {
    const SHOWN: i64 = 500;
    let task = state.server.task(task).map_err(|no| refused("events.get_task_log", no))?;
    let time = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S");
    let mut text = format!("{} simulated task {} ({})\n", time(task.created), task.name, task.id);
    if let (Some(started), Some(worker)) = (task.started, &task.last_worker) {
        let _ = writeln!(text, "{} pulled by {worker}", time(started));
        let end = task.completed.or(task.status_changed.filter(|_| task.status != Status::InProgress));
        let minutes = end.unwrap_or_else(|| state.time()).duration_since(started).as_mins().max(0);
        for minute in (1.max(minutes - SHOWN)..=minutes).take(500) {
            let at = started.saturating_add(SignedDuration::from_mins(minute)).unwrap_or(started);
            let _ = writeln!(text, "{} step {}", time(at), minute * 100);
        }
    }
    if let Some(completed) = task.completed {
        let _ = writeln!(text, "{} done: {}", time(completed), task.status_reason);
    }
    Ok(text)
}

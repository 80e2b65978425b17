//! Tasks of a queue: read from ClearML, moved, taken out, put in; and what they write.

use super::{dialogs, order};
use crate::engine::command::Command;
use crate::model::ids::{InstanceId, QueueName, TaskId};
use crate::model::tasks::{NamedTask, QueuedTask, TaskDeed};
use crate::tui::commands::Id;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::doc;
use crate::tui::message::Effect;
use crate::tui::state::place::{Page, Subject};
use crate::tui::state::{Asked, State};

/// A log that is looked at is read again so often, in seconds of wall time.
const LOG_EVERY: u32 = 5;
/// And one of a cloud, which shows it some minutes late anyway.
const BOOT_LOG_EVERY: u32 = 10;

/// Reads what the page shows, unless that is under way.
pub(super) fn read(state: &mut State, effects: &mut Vec<Effect>) {
    match (state.place.page, state.place.about.clone()) {
        (Page::Tasks, Some(Subject::Queue(queue))) => {
            let asked = Asked::Tasks(queue.clone());
            if state.live.is_some() && !state.asked.values().any(|other| *other == asked) {
                order::send(state, Command::Tasks(queue), asked, effects);
            }
        }
        (Page::TaskLog, Some(Subject::Task(_, task))) => {
            let asked = Asked::TaskLog(task.clone());
            if !state.asked.values().any(|other| *other == asked) {
                state.task_logs.entry(task.clone()).or_insert(None);
                order::send(state, Command::TaskLog(task), asked, effects);
            }
        }
        (Page::BootLog, Some(Subject::Instance(id))) => fetch_boot_log(state, id, effects),
        (Page::Charts, _) => {
            let asks = state.live.is_some() && !state.history.is_whole && !state.loop_gone;
            if asks && !state.asked.values().any(|other| *other == Asked::History) {
                order::send(state, Command::History, Asked::History, effects);
            }
        }
        _ => {}
    }
}

pub(super) fn fetch_boot_log(state: &mut State, id: InstanceId, effects: &mut Vec<Effect>) {
    let waits = state.asked.values().any(|asked| matches!(asked, Asked::BootLog(other) if *other == id));
    if !waits {
        state.boot_logs.entry(id.clone()).or_insert(None);
        order::send(state, Command::BootLog(id.clone()), Asked::BootLog(id), effects);
    }
}

/// What a machine wrote so far; what was known stays where it cannot be read again.
pub(super) fn boot_log(state: &mut State, id: InstanceId, text: Result<String, String>) {
    let known = matches!(state.boot_logs.get(&id), Some(Some(Ok(_))));
    match text {
        Err(error) if known => state.inform(format!("boot log: {error}")),
        text => {
            let shown = state.place.page == Page::BootLog && state.place.about == Some(Subject::Instance(id.clone()));
            let lines = text.map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
            if shown {
                follow(state);
            }
            state.boot_logs.insert(id, Some(lines));
        }
    }
}

/// Who reads the end of a log goes on reading the end.
fn follow(state: &mut State) {
    let length = doc::log_length(state);
    let height = state.page_height();
    if length.is_none_or(|length| state.look().top + height >= length) {
        state.look_mut().top = usize::MAX;
    }
}

/// A second has passed: what is looked at is followed.
pub(super) fn tick(state: &mut State, effects: &mut Vec<Effect>) {
    state.ticks = state.ticks.wrapping_add(1);
    let every = match state.place.page {
        Page::TaskLog | Page::Tasks => LOG_EVERY,
        Page::BootLog => BOOT_LOG_EVERY,
        _ => return,
    };
    if state.ticks.is_multiple_of(every) {
        read(state, effects);
    }
}

pub(super) fn tasks(state: &mut State, queue: QueueName, tasks: Result<Vec<QueuedTask>, String>) {
    if let (Some(Dialog::Confirm(Confirm { deed: Deed::Tasks { tasks: meant, deed, .. }, .. })), Ok(tasks)) =
        (&state.dialog, &tasks)
    {
        let stands = |named: &NamedTask| {
            tasks.iter().any(|task| task.id == named.id && deed.wants_waiting() == task.is_waiting())
        };
        // One that was put in by an undo is not listed.
        if let Some(gone) = meant.iter().find(|named| deed.wants_waiting() && !stands(named)) {
            let text = format!("{} does not wait any more: nothing was done", gone.name);
            dialogs::gone(state, text);
        }
    }
    match tasks {
        Ok(tasks) => {
            state.tasks.insert(queue, Ok(tasks));
        }
        // What was known stays; the error is told.
        Err(error) if matches!(state.tasks.get(&queue), Some(Ok(_))) => {
            state.complain(format!("tasks of {queue}: {error}"));
        }
        Err(error) => {
            state.tasks.insert(queue, Err(error));
        }
    }
    state.forget_gone_marks();
    state.relist = true;
}

pub(super) fn log(state: &mut State, task: TaskId, text: Result<String, String>) {
    let lines = text.map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    if let Some(Subject::Task(_, shown)) = &state.place.about
        && state.place.page == Page::TaskLog
        && *shown == task
    {
        follow(state);
    }
    state.task_logs.insert(task, Some(lines));
}

/// The selected task, or those that are marked, with their queue.
pub(super) fn chosen(state: &State) -> Option<(QueueName, Vec<NamedTask>)> {
    let Some(Subject::Queue(queue)) = &state.place.about else { return None };
    let known = state.tasks.get(queue)?.as_ref().ok()?;
    let marked = state.marked_tasks();
    let subject = state.subject();
    let meant = |task: &&QueuedTask| match &subject {
        _ if !marked.is_empty() => marked.contains(&task.id),
        Some(Subject::Task(_, id)) => task.id == *id,
        _ => false,
    };
    let named = |task: &QueuedTask| NamedTask { id: task.id.clone(), name: task.name.clone() };
    Some((queue.clone(), known.iter().filter(meant).map(named).collect()))
}

/// A move is done at once, for it is as easily taken back; the rest is asked about.
pub(super) fn obey(state: &mut State, id: Id, effects: &mut Vec<Effect>) {
    let Some((queue, tasks)) = chosen(state) else { return };
    let deed = match id {
        Id::TaskFront => TaskDeed::ToFront,
        Id::TaskBack => TaskDeed::ToBack,
        Id::TaskUp => TaskDeed::Forward,
        Id::TaskDown => TaskDeed::Backward,
        Id::TakeOut => TaskDeed::TakeOut,
        _ => TaskDeed::PutIn,
    };
    let deed = Deed::Tasks { queue, tasks, deed };
    if matches!(id, Id::TakeOut | Id::PutIn) {
        state.ask_of_marked(deed);
    } else {
        order::perform(state, &deed, effects);
    }
}

//! The tasks of a queue: those that wait, in their order; those that run; those that ended badly not long ago.

use super::{Cell, Column, Data, FILL, Row, Unit};
use crate::model::tasks::{QueuedTask, TaskState};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::words::age;

pub(super) const COLUMNS: [Column; 8] = [
    Column::right("PLACE", [5, 5, 5, 5]).of(Unit::Count),
    Column::left("STATE", [9, 10, 10, 10]),
    Column::right("FOR", [6, 6, 7, 7]).of(Unit::Span),
    Column::left("NAME", [FILL, 24, 30, 40]),
    Column::left("USER", [0, 9, 12, 16]),
    Column::left("PROJECT", [0, 0, 12, 20]),
    Column::left("ID", [0, 0, 0, 12]),
    Column::left("WORKER, REASON", [0, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>, about: Option<&Subject>) -> Vec<Row> {
    let Some(Subject::Queue(queue)) = about else { return Vec::new() };
    let subject = |task: &QueuedTask| Subject::Task(queue.clone(), task.id.clone());
    data.tasks.iter().enumerate().map(|(at, task)| Row { subject: subject(task), at }).collect()
}

pub(super) fn cell(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let task = data.tasks.get(at)?;
    Some(match column {
        "PLACE" => match task.state {
            TaskState::Waiting(place) => Cell::number(&place, i64::from(place)),
            _ => Cell::none(),
        },
        "STATE" => {
            let (sign, tone) = sign(task.state);
            Cell::number(&format!("{sign} {}", task.state.word()), rank(task.state)).toned(tone)
        }
        "FOR" => task.since.map_or_else(Cell::none, |since| {
            let lasted = data.now.duration_since(since);
            Cell::number(&age(lasted), lasted.as_secs())
        }),
        "NAME" => Cell::text(&task.name).toned(Tone::Strong),
        "USER" => task.owner.user.as_ref().map_or_else(Cell::none, Cell::text),
        "PROJECT" => task.owner.project.as_ref().map_or_else(Cell::none, Cell::text),
        "ID" => Cell::text(&task.id),
        _ => match task.state {
            TaskState::Waiting(_) => Cell::none(),
            TaskState::Running => task.worker.as_ref().map_or_else(Cell::none, Cell::text),
            TaskState::Stopped | TaskState::Failed => Cell::text(&task.reason),
        },
    })
}

fn sign(state: TaskState) -> (&'static str, Tone) {
    match state {
        TaskState::Waiting(_) => ("◌", Tone::Plain),
        TaskState::Running => ("●", Tone::Good),
        TaskState::Stopped => ("■", Tone::Warn),
        TaskState::Failed => ("✖", Tone::Bad),
    }
}

/// The order in which they come.
fn rank(state: TaskState) -> i64 {
    match state {
        TaskState::Waiting(_) => 0,
        TaskState::Running => 1,
        TaskState::Stopped => 2,
        TaskState::Failed => 3,
    }
}

//! The journal: what the loop and people did, newest first.

use super::{Cell, Column, Data, FILL, Row};
use crate::model::journal::{Entry, EntryKind};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::words::time_or_day;

pub(super) const COLUMNS: [Column; 5] = [
    Column::left("TIME", [11, 11, 11, 11]),
    Column::left("BY", [0, 8, 10, 12]),
    Column::left("KIND", [7, 7, 7, 7]),
    Column::left("WHAT", [FILL, 31, 44, 60]),
    Column::left("WHY", [0, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>, about: Option<&Subject>) -> Vec<Row> {
    let entries = data.journal.iter().enumerate();
    entries
        .filter(|(_, entry)| about.is_none_or(|subject| is_about(entry, subject)))
        .map(|(at, entry)| Row { subject: Subject::Line(entry.at.as_microsecond(), entry.text.clone()), at })
        .collect()
}

fn is_about(entry: &Entry, subject: &Subject) -> bool {
    match subject {
        Subject::Queue(queue) => entry.subject.queue.as_ref() == Some(queue),
        Subject::Pool(pool) => entry.subject.pool.as_ref() == Some(pool),
        Subject::Instance(instance) => entry.subject.instance.as_ref() == Some(instance),
        _ => true,
    }
}

pub(super) fn cell(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let entry = data.journal.get(at)?;
    Some(match column {
        "TIME" => Cell::text(&time_or_day(entry.at, data.now, &data.view.settings.the_loop.time_zone)),
        "BY" => Cell::text(&entry.by),
        "KIND" => Cell::text(&entry.kind.word()).toned(match entry.kind {
            EntryKind::Failed | EntryKind::Alarm => Tone::Bad,
            EntryKind::Refused => Tone::Warn,
            EntryKind::Done => Tone::Good,
            EntryKind::Edited => Tone::Active,
            EntryKind::Decided | EntryKind::Seen => Tone::Plain,
        }),
        "WHAT" => Cell::text(&entry.text),
        _ => Cell::text(&entry.reason).toned(Tone::Dim),
    })
}

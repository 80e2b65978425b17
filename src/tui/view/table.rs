//! A table: the head, and the rows that are visible. Only those are built.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use crate::tui::commands::Id;
use crate::tui::layout::{Class, MARK, placed};
use crate::tui::list::{self, Column, Data, Filter, Side};
use crate::tui::state::State;
use crate::tui::state::place::{Look, Page, Place, Subject};
use crate::tui::theme::{Theme, Tone};
use crate::tui::words::{fit, fit_name, wrap};

pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, class: Class, state: &State, data: &Data<'_>) {
    let mark = state.mark_width();
    let has_marks = mark > MARK;
    let columns = placed(list::columns(&state.place), class, area.width, mark);
    let look = state.look();
    let mut filter = Filter::of_rows(&look.filter, list::columns(&state.place));
    head(canvas, area, &columns, &look);
    if state.list.rows.is_empty() {
        if let Some(wrong) = filter.wrong() {
            let room = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
            for (y, line) in (1..area.height).zip(wrap(wrong, usize::from(room.width))) {
                canvas.text(room, y, &line, Tone::Bad);
            }
            return;
        }
        let text = match &state.place {
            _ if state.list.total > 0 => {
                format!("No row passes the filter; {} clears it.", state.keys.first(Id::Leave))
            }
            Place { page: Page::Tasks, about: Some(Subject::Queue(queue)) } => match state.tasks.get(queue) {
                None => "Asking ClearML for its tasks.".to_owned(),
                Some(Ok(_)) => "No task waits, runs, or ended badly within a day.".to_owned(),
                Some(Err(error)) => error.clone(),
            },
            place => empty(place).to_owned(),
        };
        canvas.text(Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area }, 1, &text, Tone::Dim);
        return;
    }
    let visible = state.list.rows.iter().enumerate().skip(look.top).take(usize::from(area.height.saturating_sub(1)));
    for (y, (index, row)) in (1..).zip(visible) {
        let selected = index == look.row;
        for (column, x, width) in &columns {
            let cell = list::cell(&state.place, data, row, column.name);
            let cut = if column.is_name { fit_name } else { fit };
            let text = cut(&cell.text, usize::from(*width));
            let space = width.saturating_sub(u16::try_from(text.width()).unwrap_or(*width));
            let x = if column.side == Side::Right { x + space } else { *x };
            let style = canvas.theme.style(if selected && cell.tone == Tone::Dim { Tone::Plain } else { cell.tone });
            canvas.put(area, x, y, &text, style);
            for (at, letter) in filter.hits(&cell.text).into_iter().filter_map(|hit| place_of(&cell.text, &text, hit)) {
                let hit = Rect { x: area.x + x + at, y: area.y + y, width: letter, height: 1 };
                canvas.restyle(hit.intersection(area), Theme::hit());
            }
        }
        if has_marks && state.shows_marked(&row.subject, index) {
            canvas.put(area, MARK, y, "*", canvas.theme.style(Tone::Key));
        }
        if selected {
            canvas.put(area, 0, y, ">", canvas.theme.style(Tone::Strong));
            let line = Rect { y: area.y + y, height: 1, ..area };
            canvas.restyle(line, Theme::selected());
        }
    }
}

/// Where a letter of a text stands once that was cut, and its width, in columns; `None`: it was cut off.
fn place_of(text: &str, cut: &str, letter: u32) -> Option<(u16, u16)> {
    let letter = usize::try_from(letter).ok()?;
    let alike = |(one, other): &(char, char)| one == other;
    let head = text.chars().zip(cut.chars()).take_while(alike).count();
    let tail = text.chars().rev().zip(cut.chars().rev()).take_while(alike).count();
    let to_end = text.chars().count().checked_sub(letter)?;
    let letter = match (letter < head, to_end <= tail) {
        (true, _) => letter,
        (false, true) => cut.chars().count().checked_sub(to_end)?,
        (false, false) => return None,
    };
    let before: String = cut.chars().take(letter).collect();
    let own = cut.chars().nth(letter)?.to_string();
    Some((u16::try_from(before.width()).ok()?, u16::try_from(own.width()).ok()?))
}

fn empty(place: &Place) -> &'static str {
    match place.page {
        Page::Queues => "The settings name no queue.",
        Page::Instances => "No machine is up, and none is on its way.",
        Page::Why => "Nothing to do, nothing refused.",
        Page::Journal => "The journal is empty.",
        Page::Pools => "The settings name no pool.",
        _ => "",
    }
}

fn head(canvas: &mut Canvas<'_>, area: Rect, columns: &[(&Column, u16, u16)], look: &Look) {
    let style = canvas.theme.style(Tone::Dim).add_modifier(Modifier::BOLD);
    for (column, x, width) in columns {
        let mark = match (look.sort == Some(column.name), look.inverted) {
            (false, _) => "",
            (true, false) => "↑",
            (true, true) => "▼",
        };
        let text = fit(&format!("{}{mark}", column.name), usize::from(*width));
        let space = width.saturating_sub(u16::try_from(text.width()).unwrap_or(*width));
        let x = if column.side == Side::Right { x + space } else { *x };
        canvas.put(area, x, 0, &text, style);
    }
}

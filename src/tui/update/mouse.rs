//! The mouse: a click selects a row, another opens it, one on a heading sorts, the wheel scrolls. Pages of text leave it
//! to the terminal, so that text can be selected.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use jiff::Timestamp;
use ratatui::layout::Position;

use super::{dialogs, obey};
use crate::tui::commands::{Id, find};
use crate::tui::dialog::picker::Choice;
use crate::tui::layout::{Layout, placed};
use crate::tui::list;
use crate::tui::message::Effect;
use crate::tui::state::{Move, State};

/// Lines that the wheel moves by.
const WHEEL: i64 = 3;

/// Tells the terminal whose the mouse is, where that has changed.
pub(super) fn take_or_leave(state: &mut State, effects: &mut Vec<Effect>) {
    let takes = state.wants_mouse && state.is_table();
    if takes != state.has_mouse {
        state.has_mouse = takes;
        effects.push(Effect::Mouse(takes));
    }
}

pub(super) fn heard(state: &mut State, event: MouseEvent, now: Timestamp, effects: &mut Vec<Effect>) {
    let wheel = match event.kind {
        MouseEventKind::ScrollDown => Some(true),
        MouseEventKind::ScrollUp => Some(false),
        _ => None,
    };
    if state.leaving.is_some() {
        return;
    }
    if state.dialog.is_some() {
        // A click agrees to nothing.
        if let Some(down) = wheel {
            let key = if down { KeyCode::Down } else { KeyCode::Up };
            dialogs::press(state, KeyEvent::new(key, KeyModifiers::NONE), now, effects);
        }
        return;
    }
    match (wheel, event.kind) {
        (Some(down), _) => obey::step(state, Move::By(if down { WHEEL } else { -WHEEL }), now, effects),
        (None, MouseEventKind::Down(button)) => {
            click(state, button, Position { x: event.column, y: event.row }, now, effects);
        }
        _ => {}
    }
}

fn click(state: &mut State, button: MouseButton, at: Position, now: Timestamp, effects: &mut Vec<Effect>) {
    let Some(layout) = Layout::of(state, state.size) else { return };
    if !state.is_table() || !layout.main.contains(at) {
        return;
    }
    let look = state.look();
    let Some(below) = (at.y - layout.main.y).checked_sub(1) else {
        let columns = placed(list::columns(&state.place), layout.class, layout.main.width, state.mark_width());
        let on = columns.iter().find(|(_, x, width)| (*x..x.saturating_add(*width)).contains(&at.x));
        if let Some((column, ..)) = on.filter(|_| list::sorts(&state.place)) {
            sort(state, column.name, now, effects);
        }
        return;
    };
    let row = look.top + usize::from(below);
    let Some(subject) = state.list.rows.get(row).map(|row| row.subject.clone()) else { return };
    let again = look.row == row;
    let look = state.look_mut();
    look.row = row;
    look.cursor = Some(subject);
    let id = match button {
        MouseButton::Right => Id::Actions,
        MouseButton::Left if again => Id::Open,
        _ => return,
    };
    if find(id).is_some_and(|command| command.enabled(state).is_ok()) {
        obey::obey(state, id, now, effects);
    }
}

/// By this column; where it is sorted by it already, the other way round.
fn sort(state: &mut State, column: &'static str, now: Timestamp, effects: &mut Vec<Effect>) {
    if state.look().sort == Some(column) {
        obey::obey(state, Id::Invert, now, effects);
    } else {
        dialogs::choose(state, Choice::Sort(Some(column)), now, effects);
    }
}

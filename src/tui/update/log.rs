//! Logs: searched, wrapped, saved.

use jiff::Timestamp;

use crate::tui::doc;
use crate::tui::message::Effect;
use crate::tui::state::{Move, State};

/// Goes to the next line that has what is looked for, or to the one before; round and round.
pub(super) fn next(state: &mut State, forward: bool, now: Timestamp) {
    let found = doc::found(state);
    let top = state.look().top;
    let last = found.last().copied();
    let to = if forward {
        found.iter().find(|at| **at > top).or(found.first()).copied()
    } else {
        found.iter().rev().find(|at| **at < top).copied().or(last)
    };
    match to {
        Some(line) => {
            state.go(Move::Top, now);
            state.go(Move::By(i64::try_from(line).unwrap_or(0)), now);
        }
        None => state.inform(format!("no line has {}", state.look().filter)),
    }
}

/// What was typed is looked for from here on: the line is shown unless it is.
pub(super) fn search(state: &mut State, now: Timestamp) {
    let (top, height) = (state.look().top, state.page_height());
    let found = doc::found(state);
    if state.look().filter.is_empty() || found.iter().any(|at| (top..top + height).contains(at)) {
        return;
    }
    next(state, true, now);
}

pub(super) fn wrap(state: &mut State) {
    let look = state.look_mut();
    look.wrap = !look.wrap;
    let word = if look.wrap { "wrapped" } else { "cut" };
    state.inform(format!("long lines are {word}"));
}

pub(super) fn save(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(text) = doc::log_text(state) else { return };
    let about = state.place.about.as_ref().map_or_else(|| "log".to_owned(), crate::tui::state::place::Subject::name);
    // Whatever a cloud calls its machines, it is one plain name of a file.
    let name: String = about.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    effects.push(Effect::Save { name: format!("tidegate-{name}"), text });
}

pub(super) fn saved(state: &mut State, result: Result<String, String>) {
    match result {
        Ok(path) => state.inform(format!("saved as {path}")),
        Err(error) => state.complain(format!("save-log: {error}")),
    }
}

//! A message in, effects out. Pure: whatever touches the terminal, the disk or the loop is an effect.

mod desk;
mod dialogs;
mod editor;
mod form;
mod hear;
mod leave;
mod log;
mod mouse;
mod obey;
mod order;
mod palette;
mod pickers;

use crossterm::event::{KeyEvent, KeyEventKind};
use jiff::Timestamp;

use super::commands::pressed;
use super::message::{Effect, Message};
use super::state::State;
use super::state::place::Page;

/// Changes the state by what happened. `now` is the loop's time.
pub(crate) fn update(state: &mut State, message: Message, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(key) if key.kind == KeyEventKind::Release => return effects,
        Message::Key(key) => press(state, key, now, &mut effects),
        Message::Paste(text) => dialogs::paste(state, &text, &mut effects),
        Message::Mouse(event) => mouse::heard(state, event, now, &mut effects),
        Message::Resize(width, height) => {
            state.size.width = width;
            state.size.height = height;
        }
        Message::Tick => tick(state, &mut effects),
        Message::Engine(event) => hear::event(state, event, now, &mut effects),
        Message::Missed(count) => hear::missed(state, count, &mut effects),
        Message::LoopGone => hear::gone(state, &mut effects),
        Message::Unsent(id, why) => hear::unsent(state, id, why, &mut effects),
        Message::Log(lines) => hear::log(state, lines),
        Message::Edited(text) => editor::edited(state, text, &mut effects),
        Message::Saved(result) => log::saved(state, result),
        Message::Resumed => {}
        Message::Signal(signal) => leave::signalled(state, signal, &mut effects),
        Message::Trouble(text) => state.complain(text),
    }
    state.dirty = true;
    state.settle(now);
    mouse::take_or_leave(state, &mut effects);
    effects
}

fn press(state: &mut State, event: KeyEvent, now: Timestamp, effects: &mut Vec<Effect>) {
    let key = pressed(event);
    // The keys are the editor's.
    if state.editing.is_some() {
        return;
    }
    if state.leaving.is_some() {
        leave::press(state, key, effects);
        return;
    }
    if state.dialog.is_some() {
        dialogs::press(state, event, now, effects);
        return;
    }
    let Some(command) = key.and_then(|key| state.keys.command(key)) else { return };
    match command.enabled(state) {
        Ok(()) => obey::obey(state, command.id, now, effects),
        Err(why) => state.inform(format!("{}: {why}", command.name)),
    }
}

/// A second of wall time has passed.
fn tick(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some(notice) = &mut state.notice {
        notice.seconds_left = notice.seconds_left.saturating_sub(1);
        if notice.seconds_left == 0 {
            state.notice = None;
        }
    }
    if state.place.page == Page::Logs {
        obey::read_log(state, effects);
    }
    desk::tick(state, effects);
    leave::tick(state, effects);
}

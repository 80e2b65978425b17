//! Keys while a dialog is open. Enter never agrees to a deed by itself.

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent};
use jiff::Timestamp;
use tui_input::Input;
use tui_input::InputRequest::InsertChar;
use tui_input::backend::crossterm::EventHandler;

use super::{editor, form, log, obey, order, palette};
use crate::model::keys::Code;
use crate::model::settings::OnExit;
use crate::tui::commands::{self, Key, pressed};
use crate::tui::dialog::consequence::Proof;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::picker::{Choice, Item, Picker};
use crate::tui::dialog::room::lay;
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::doc::is_log;
use crate::tui::message::Effect;
use crate::tui::state::State;

pub(super) fn press(state: &mut State, event: KeyEvent, now: Timestamp, effects: &mut Vec<Effect>) {
    let Some(dialog) = state.dialog.take() else { return };
    let key = pressed(event);
    let cancels = key == Some(Key::named(Code::Esc)) || key == Some(Key::ctrl('c'));
    match dialog {
        Dialog::Filter { before, .. } if cancels => {
            state.look_mut().filter = before;
            state.relist = true;
        }
        Dialog::Problems { .. } if cancels => read(state),
        Dialog::Picker(Picker { theme_before: Some(before), .. }) if cancels => state.theme = before,
        Dialog::Confirm(Confirm { form: Some(form), .. }) if cancels => state.dialog = Some(Dialog::Form(form)),
        _ if cancels => {}
        Dialog::Form(open) => form::press(state, open, event, now, effects),
        Dialog::Palette(open) => palette::press(state, open, event, now, effects),
        Dialog::Confirm(confirm) => confirming(state, confirm, event, now, effects),
        Dialog::Picker(picker) => picking(state, picker, event.code, now, effects),
        Dialog::Filter { mut input, before } => {
            if event.code == KeyCode::Enter {
                // Rows are filtered as it is typed.
                if is_log(&state.place) {
                    log::search(state, now);
                }
                return;
            }
            input.handle_event(&TerminalEvent::Key(event));
            input.value().clone_into(&mut state.look_mut().filter);
            state.relist = true;
            state.dialog = Some(Dialog::Filter { input, before });
        }
        Dialog::Problems { top } => match event.code {
            KeyCode::Down | KeyCode::Char('j') => state.dialog = Some(Dialog::Problems { top: top + 1 }),
            KeyCode::Up | KeyCode::Char('k') => state.dialog = Some(Dialog::Problems { top: top.saturating_sub(1) }),
            _ => read(state),
        },
        Dialog::Gone(_) if event.code == KeyCode::Enter => {}
        gone @ Dialog::Gone(_) => state.dialog = Some(gone),
    }
}

/// Closes a dialog whose deed cannot be done any more. What is still being typed for it orders nothing.
pub(super) fn gone(state: &mut State, why: String) {
    // Line by line nothing is typed by single keys.
    if state.keys.is_spoken() {
        state.dialog = None;
        state.inform(why);
    } else {
        state.dialog = Some(Dialog::Gone(why));
    }
}

/// Everything that was shown is read.
fn read(state: &mut State) {
    state.errors.clear();
    if let Some(view) = state.view() {
        let lasting = crate::tui::state::lasting(view);
        // What is wrong with the settings stays on the screen until it is mended.
        let problem = view.settings_problem.clone().unwrap_or_default();
        state.read = lasting.into_iter().filter(|text| problem.is_empty() || !text.ends_with(&problem)).collect();
    }
}

fn confirming(state: &mut State, mut confirm: Confirm, event: KeyEvent, now: Timestamp, effects: &mut Vec<Effect>) {
    let Some(view) = state.live.clone() else {
        if !confirm.deed.is_order() {
            order::perform(state, &confirm.deed, effects);
        }
        return;
    };
    let question = match confirm.question(&view, &state.keys, now) {
        Ok(question) => question,
        Err(why) => {
            gone(state, why);
            return;
        }
    };
    // Line by line it is told, and needs no room.
    if !state.keys.is_spoken() && lay(&question, confirm.typed.value(), confirm.top, state.size).is_none() {
        if pressed(event) == Some(Key::of('n')) {
            state.dialog = confirm.form.map(Dialog::Form);
            state.inform("nothing was done");
        } else {
            state.dialog = Some(Dialog::Confirm(confirm));
        }
        return;
    }
    if let (Deed::Quit(on_exit), KeyCode::Tab) = (&confirm.deed, event.code) {
        let next = match on_exit.unwrap_or(view.settings.the_loop.on_exit) {
            OnExit::Leave => OnExit::StopIdle,
            OnExit::StopIdle => OnExit::StopAll,
            OnExit::StopAll => OnExit::Leave,
        };
        state.dialog = Some(Dialog::confirm(Deed::Quit(Some(next))));
        return;
    }
    if let Some(top) = confirm.scrolled(&question, event, state.size) {
        confirm.top = top;
        state.dialog = Some(Dialog::Confirm(confirm));
        return;
    }
    let agreed = match &question.proof {
        Proof::Yes => pressed(event) == Some(Key::of('y')),
        Proof::Type(text) => event.code == KeyCode::Enter && confirm.typed.value() == text,
    };
    if agreed {
        order::perform(state, &confirm.deed.as_seen(&view, now), effects);
        return;
    }
    match (&question.proof, event.code) {
        (Proof::Type(text), KeyCode::Enter) if !confirm.typed.value().is_empty() => {
            confirm.hint = Some(format!("type {text} to {}", question.verb));
            state.dialog = Some(Dialog::Confirm(confirm));
        }
        (_, KeyCode::Enter) | (Proof::Yes, KeyCode::Char('n' | 'q')) => {
            state.dialog = confirm.form.map(Dialog::Form);
            state.inform("nothing was done");
        }
        (Proof::Type(_), _) => {
            confirm.typed.handle_event(&TerminalEvent::Key(event));
            confirm.hint = None;
            state.dialog = Some(Dialog::Confirm(confirm));
        }
        (Proof::Yes, _) => {
            confirm.hint = Some(format!("y: {}, Esc or Enter: cancel", question.verb));
            state.dialog = Some(Dialog::Confirm(confirm));
        }
    }
}

fn picking(state: &mut State, mut picker: Picker, code: KeyCode, now: Timestamp, effects: &mut Vec<Effect>) {
    match code {
        KeyCode::Down | KeyCode::Char('j') => picker.step(true),
        KeyCode::Up | KeyCode::Char('k') => picker.step(false),
        KeyCode::Enter => {
            let Some(item) = picker.chosen() else { return };
            if let Some(why) = &item.off {
                state.inform(why.clone());
            } else {
                choose(state, item.choice.clone(), now, effects);
                return;
            }
        }
        KeyCode::Char('q') => {
            state.theme = picker.theme_before.unwrap_or(state.theme);
            return;
        }
        _ => {}
    }
    if let Some(Item { choice: Choice::Theme(theme), .. }) = picker.chosen() {
        state.theme = *theme;
    }
    state.dialog = Some(Dialog::Picker(picker));
}

pub(super) fn choose(state: &mut State, choice: Choice, now: Timestamp, effects: &mut Vec<Effect>) {
    match choice {
        Choice::Sort(column) => {
            let look = state.look_mut();
            look.sort = column;
            look.inverted = false;
            state.relist = true;
        }
        Choice::Copy(text) => obey::copy(state, text, effects),
        Choice::Theme(theme) => {
            state.theme = theme;
            state.chose_theme = true;
            state.inform(format!("colours: {}", theme.name()));
        }
        Choice::Deed(deed) => state.ask_person(deed),
        Choice::Editor(draft) => editor::open(state, draft, effects),
        Choice::Write(draft) => editor::write(state, draft, effects),
        Choice::Drop => state.draft = None,
        Choice::Command(id) => {
            let Some(command) = commands::find(id) else { return };
            match command.enabled(state) {
                Ok(()) => obey::obey(state, id, now, effects),
                Err(why) => state.inform(format!("{}: {why}", command.name)),
            }
        }
    }
}

/// More letters are in no field.
const LONGEST: usize = 2_000;

/// Types a text into a field, as far as it has room; `false`: a part was left out.
pub(super) fn type_into(input: &mut Input, text: &str) -> bool {
    let room = LONGEST.saturating_sub(input.value().chars().count());
    let mut letters = text.chars().filter(|letter| !letter.is_control());
    for letter in letters.by_ref().take(room) {
        input.handle(InsertChar(letter));
    }
    letters.next().is_none()
}

/// Pasted text goes where text is typed, and is never taken for keys.
pub(super) fn paste(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
    let mut filter = None;
    let whole = match &mut state.dialog {
        Some(Dialog::Filter { input, .. }) => {
            let whole = type_into(input, text);
            filter = Some(input.value().to_owned());
            whole
        }
        Some(Dialog::Confirm(confirm)) => type_into(&mut confirm.typed, text),
        Some(Dialog::Palette(palette)) => {
            palette.at = 0;
            type_into(&mut palette.input, text)
        }
        Some(Dialog::Form(_)) => form::paste(state, text, effects),
        _ => return,
    };
    if let Some(filter) = filter {
        state.look_mut().filter = filter;
        state.relist = true;
    }
    if !whole {
        state.inform(format!("only the first {LONGEST} letters were pasted"));
    }
}

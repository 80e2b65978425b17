//! Filling in a form: what is typed is checked and previewed; Ctrl-S or Enter on Apply sends it.

use std::sync::Arc;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use tui_input::backend::crossterm::EventHandler;

use super::{dialogs, order};
use crate::engine::command::{Command, Edit};
use crate::engine::event::Answer;
use crate::model::settings::change::Weight;
use crate::tui::commands::{Key, pressed};
use crate::tui::dialog::deed::{Deed, in_words};
use crate::tui::dialog::edits::weight;
use crate::tui::dialog::form::{Form, Preview, Purpose};
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::message::Effect;
use crate::tui::state::{Asked, State, Undo};

pub(super) fn press(
    state: &mut State,
    mut form: Box<Form>,
    event: KeyEvent,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let last = form.fields.len();
    let key = pressed(event);
    match event.code {
        _ if form.applying => {}
        _ if key == Some(Key::ctrl('s')) => return apply(state, form, now, effects),
        KeyCode::Enter if form.focus == last => return apply(state, form, now, effects),
        KeyCode::Tab | KeyCode::Down | KeyCode::Enter => form.focus_on((form.focus + 1).min(last)),
        KeyCode::BackTab | KeyCode::Up => form.focus_on(form.focus.saturating_sub(1)),
        _ => {
            let writes = matches!(event.code, KeyCode::Char(_))
                && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
            if let Some(field) = form.touch(writes) {
                field.input.handle_event(&TerminalEvent::Key(event));
                form.refused = None;
            }
        }
    }
    preview(state, &mut form, effects);
    state.dialog = Some(Dialog::Form(form));
}

/// Asks the loop what it would do, one question at a time.
fn preview(state: &mut State, form: &mut Form, effects: &mut Vec<Effect>) {
    if state.can_order().is_err() {
        return;
    }
    if let Some(edits) = form.to_preview() {
        let asked = Asked::Preview { edits: edits.clone() };
        order::send(state, Command::Preview(edits.clone()), asked, effects);
        form.preview = Preview::Asked(edits);
    } else if form.edits().is_empty() && !matches!(form.preview, Preview::Asked(_)) {
        form.preview = Preview::None;
    }
}

/// What the loop would do is asked again when it has planned anew: time goes on while a form is open.
pub(super) fn renew(state: &mut State, effects: &mut Vec<Effect>) {
    if state.can_order().is_err() {
        return;
    }
    let Some(view) = &state.live else { return };
    let Some(Dialog::Form(form)) = &mut state.dialog else { return };
    if let Some(edits) = form.ask_again(view.plan.at) {
        order::send(state, Command::Preview(edits.clone()), Asked::Preview { edits }, effects);
    }
}

/// The loop has answered what it would do; more may have been typed since.
pub(super) fn previewed(
    state: &mut State,
    edits: Vec<Edit>,
    result: Result<Answer, String>,
    effects: &mut Vec<Effect>,
) {
    let Some(Dialog::Form(mut form)) = state.dialog.take_if(|dialog| matches!(dialog, Dialog::Form(_))) else { return };
    if form.waits_for(&edits) {
        form.preview = match (result, &state.live) {
            (Ok(Answer::Preview(foresight)), Some(view)) => {
                Preview::Known { edits, foresight, beside: Arc::clone(view), again: false }
            }
            (Ok(_), _) => Preview::None,
            (Err(why), _) => Preview::Refused { edits, why },
        };
    }
    preview(state, &mut form, effects);
    state.dialog = Some(Dialog::Form(form));
}

/// `false`: a part was left out.
pub(super) fn paste(state: &mut State, text: &str, effects: &mut Vec<Effect>) -> bool {
    let Some(Dialog::Form(mut form)) = state.dialog.take_if(|dialog| matches!(dialog, Dialog::Form(_))) else {
        return true;
    };
    let whole = form.touch(true).is_none_or(|field| dialogs::type_into(&mut field.input, text));
    preview(state, &mut form, effects);
    state.dialog = Some(Dialog::Form(form));
    whole
}

fn apply(state: &mut State, mut form: Box<Form>, now: Timestamp, effects: &mut Vec<Effect>) {
    if let Some(wrong) = form.first_error() {
        if form.focus != wrong {
            form.focus_on(wrong);
        }
        state.dialog = Some(Dialog::Form(form));
        return;
    }
    match &form.purpose {
        Purpose::Hold(machines) => {
            let Some((until, why)) = form.held(now) else {
                form.refused = Some("no clock goes so far: hold it for less".to_owned());
                state.dialog = Some(Dialog::Form(form));
                return;
            };
            let deed = Deed::hold(machines.clone(), until, state.setup.by.clone(), why);
            order::perform(state, &deed, effects);
        }
        Purpose::Edit(_) => set(state, form, effects),
    }
}

fn set(state: &mut State, mut form: Box<Form>, effects: &mut Vec<Effect>) {
    let edits = form.edits();
    if edits.is_empty() {
        state.inform("nothing was changed");
        return;
    }
    let view = match state.can_order() {
        Ok(view) => view,
        Err(why) => {
            form.refused = Some(why);
            state.dialog = Some(Dialog::Form(form));
            return;
        }
    };
    let (seen, back) = (form.seen.clone(), form.back());
    // To apply the form agrees to a higher limit, but not to none.
    if weight(view, &edits) >= Weight::Lifted {
        let deed = Deed::Set { edits, seen, back };
        state.dialog = Some(Dialog::Confirm(Confirm { form: Some(form), ..Confirm::new(deed) }));
        return;
    }
    let undo = Undo::Edits { back, done: edits.clone() };
    order::send(state, Command::Set { edits, seen }, Asked::Apply { undo }, effects);
    form.applying = true;
    state.dialog = Some(Dialog::Form(form));
}

/// The loop has taken the edits, or not.
pub(super) fn applied(state: &mut State, undo: Undo, result: Result<Answer, String>) {
    let form = match state.dialog.take_if(|dialog| matches!(dialog, Dialog::Form(_))) {
        Some(Dialog::Form(form)) if form.applying => Some(form),
        other => {
            state.dialog = other;
            None
        }
    };
    match (result, form) {
        (Ok(answer), form) => {
            let edits = form.map(|form| in_words(&form.edits())).unwrap_or_default();
            state.inform(match answer {
                Answer::Said(text) if !text.is_empty() => text,
                _ => format!("{edits}: done"),
            });
            state.undo.push(undo);
        }
        (Err(why), Some(mut form)) => {
            form.applying = false;
            form.refused = Some(why);
            // Another try is made on what is there now.
            form.seen = state.revision();
            state.dialog = Some(Dialog::Form(form));
        }
        (Err(why), None) => state.complain(format!("set: {why}")),
    }
}

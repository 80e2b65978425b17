//! The settings in the person's own editor: what comes back is checked before it is applied, and never over another
//! hand's change without a word.

use std::sync::Arc;

use super::order;
use crate::engine::command::Command;
use crate::engine::event::Answer;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::edits::Whole;
use crate::tui::dialog::picker::{Choice, Item, Picker};
use crate::tui::merge;
use crate::tui::message::Effect;
use crate::tui::state::{Asked, Draft, State, Undo};

/// More lines of a change are not worth a dialog.
const SHOWN: usize = 6;

/// Goes on with what was not taken, or begins with the settings as they are.
pub(super) fn begin(state: &mut State, effects: &mut Vec<Effect>) {
    if state.asked.values().any(|asked| matches!(asked, Asked::SettingsText | Asked::Write { .. })) {
        state.inform("edit-file: the last text is on its way");
        return;
    }
    match state.draft.clone() {
        Some(draft) => open(state, draft, effects),
        None => {
            order::send(state, Command::SettingsText, Asked::SettingsText, effects);
        }
    }
}

pub(super) fn open(state: &mut State, draft: Draft, effects: &mut Vec<Effect>) {
    effects.push(Effect::Edit(draft.text));
    state.editing = Some(draft.was);
}

/// The loop has told the text.
pub(super) fn told(state: &mut State, result: Result<Answer, String>, effects: &mut Vec<Effect>) {
    match result {
        // Something else was begun meanwhile.
        Ok(Answer::Text(_)) if state.dialog.is_some() || state.leaving.is_some() => {
            state.inform("edit-file: the editor is not opened over a question");
        }
        Ok(Answer::Text(text)) => open(state, Draft { was: text.clone(), text }, effects),
        Ok(_) => {}
        Err(why) => state.complain(format!("edit-file: {why}")),
    }
}

/// The editor has ended.
pub(super) fn edited(state: &mut State, result: Result<String, String>, effects: &mut Vec<Effect>) {
    let Some(was) = state.editing.take() else { return };
    match result {
        Ok(text) if text == was => {
            state.draft = None;
            state.inform("the settings were not changed");
        }
        Ok(text) => write(state, Draft { was, text }, effects),
        Err(why) => state.complain(why),
    }
}

/// What lets more be spent is asked about first.
pub(super) fn write(state: &mut State, draft: Draft, effects: &mut Vec<Effect>) {
    // It is gone on with where it is not written.
    state.draft = Some(draft.clone());
    let settings = match state.can_order() {
        Ok(view) => Arc::clone(&view.settings),
        Err(why) => return state.complain(format!("edit-file: {why}")),
    };
    let whole = Whole::new(draft, &settings, false);
    if whole.is_asked() {
        state.ask_person(Deed::Write(Box::new(whole)));
    } else {
        send(state, &whole, effects);
    }
}

pub(super) fn send(state: &mut State, whole: &Whole, effects: &mut Vec<Effect>) {
    let (draft, is_back) = (whole.draft.clone(), whole.is_back);
    let Draft { was, text } = draft.clone();
    order::send(state, Command::Write { text, was }, Asked::Write { draft, is_back }, effects);
}

/// The loop has taken the text, or not.
pub(super) fn written(state: &mut State, draft: Draft, is_back: bool, result: Result<Answer, String>) {
    match result {
        Ok(Answer::Overtaken(now)) => state.dialog = Some(Dialog::Picker(met(&draft, &now))),
        Ok(answer) => {
            if !is_back {
                state.draft = None;
                state.undo.push(Undo::Text(draft));
            }
            state.inform(match answer {
                Answer::Said(text) if !text.is_empty() => text,
                _ => "the settings were written".to_owned(),
            });
        }
        Err(why) => {
            let lines = std::iter::once("Nothing was applied:".to_owned()).chain(why.lines().map(str::to_owned));
            let items = vec![
                item("edit again", "your text is as you left it", Choice::Editor(draft)),
                item("drop it", "the settings stay as they are", Choice::Drop),
            ];
            let more = why.lines().count().saturating_sub(SHOWN);
            let more = (more > 0).then(|| format!("and {more} more"));
            let lines = lines.take(SHOWN + 1).chain(more).collect();
            let picker = Picker { lines, ..Picker::of("The settings do not run", items) };
            state.dialog = Some(Dialog::Picker(picker));
        }
    }
}

fn item(label: &str, doc: &str, choice: Choice) -> Item {
    Item { label: label.to_owned(), doc: doc.to_owned(), choice, off: None }
}

/// Both edits, and what can be made of them.
fn met(draft: &Draft, now: &str) -> Picker {
    let Draft { was, text } = draft;
    let mut lines = vec!["Another hand changed the file meanwhile:".to_owned()];
    lines.extend(shown(was, now));
    lines.push("You changed:".to_owned());
    lines.extend(shown(was, text));
    let draft = |text: String| Draft { was: now.to_owned(), text };
    let mut items = Vec::new();
    match merge::both(was, text, now) {
        Some(both) => items.push(item("apply both", "they do not meet", Choice::Write(draft(both)))),
        None => lines.push("Both changed the same lines.".to_owned()),
    }
    let yours: Vec<String> = merge::added(was, text).iter().map(|line| format!("# yours: {line}\n")).collect();
    items.push(item(
        "edit again",
        "theirs, with yours above it as comments",
        Choice::Editor(draft(yours.concat() + now)),
    ));
    items.push(item("apply yours", "theirs is lost", Choice::Write(draft(text.clone()))));
    items.push(item("drop yours", "theirs stays", Choice::Drop));
    Picker { lines, ..Picker::of("The file was changed by another hand", items) }
}

fn shown(was: &str, now: &str) -> Vec<String> {
    let told = merge::told(was, now);
    let more = told.len().saturating_sub(SHOWN);
    let rest = (more > 0).then(|| format!("  and {more} lines more"));
    told.into_iter().take(SHOWN).map(|line| format!("  {line}")).chain(rest).collect()
}

//! What the loop tells.

use std::sync::Arc;

use jiff::Timestamp;

use super::{desk, dialogs, editor, form, order};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::model::journal::{Entry, JournalFilter};
use crate::tui::dialog::Dialog;
use crate::tui::message::{Effect, Ending};
use crate::tui::state::place::Page;
use crate::tui::state::{Asked, State};

/// So many journal lines are asked for at first.
pub(super) const FIRST_LINES: u32 = 500;
/// More are not kept.
const LINES_KEPT: usize = 20_000;
/// Undoing goes back so far.
const UNDO_KEPT: usize = 50;

pub(super) fn event(state: &mut State, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
    match event {
        Event::View(view) => show(state, view, now, effects),
        Event::Journal(entry) => {
            state.journal.push_front(entry);
            state.journal.truncate(LINES_KEPT);
            state.relist |= state.place.page == Page::Journal;
        }
        Event::Answer { id, result } => {
            if let Some(asked) = state.asked.remove(&id) {
                answered(state, asked, result, effects);
            }
        }
        Event::Lost => {
            state.loop_gone = true;
            // What it goes through meanwhile is asked for anew.
            state.history.is_whole = false;
        }
        Event::Ended => effects.push(Effect::Leave(Ending::Ended)),
    }
}

fn show(state: &mut State, view: Arc<View>, now: Timestamp, effects: &mut Vec<Effect>) {
    state.loop_gone = false;
    state.history.see(&view);
    if !state.keys.is_of(&view.settings.keys) {
        state.keys = state.keys.renewed(&view.settings.keys);
    }
    let first = state.live.replace(view).is_none();
    state.relist = true;
    if first {
        ask_journal(state, FIRST_LINES, effects);
    }
    state.forget_gone_marks();
    desk::read(state, effects);
    recheck(state, now);
    form::renew(state, effects);
}

/// Closes a dialog whose deed cannot be done any more: its machine is gone, or has changed under it.
fn recheck(state: &mut State, now: Timestamp) {
    let Some(view) = &state.live else { return };
    let why = match &state.dialog {
        Some(Dialog::Confirm(confirm)) => confirm.question(view, &state.keys, now).err(),
        Some(Dialog::Form(form)) => form.gone(view),
        _ => None,
    };
    if let Some(why) = why {
        dialogs::gone(state, why);
        return;
    }
    let view = Arc::clone(view);
    if let Some(Dialog::Form(form)) = &mut state.dialog
        && let Some(told) = form.meet(&view)
    {
        form.refused = Some(told);
    }
}

pub(super) fn ask_journal(state: &mut State, limit: u32, effects: &mut Vec<Effect>) {
    let waits = state.asked.values().any(|asked| matches!(asked, Asked::Journal { .. }));
    if !waits {
        let filter = JournalFilter { since: None, text: None, limit };
        order::send(state, Command::Journal(filter), Asked::Journal { limit }, effects);
    }
}

fn answered(state: &mut State, asked: Asked, result: Result<Answer, String>, effects: &mut Vec<Effect>) {
    match (asked, result) {
        (Asked::Deed { what, undo }, Ok(answer)) => {
            state.inform(said(&what, &answer));
            state.undo.extend(undo);
            // What was done with a task is seen at once.
            desk::read(state, effects);
            let over = state.undo.len().saturating_sub(UNDO_KEPT);
            state.undo.drain(..over);
        }
        (Asked::Deed { what, .. }, Err(error)) => state.complain(format!("{what}: {error}")),
        (Asked::Apply { undo }, result) => form::applied(state, undo, result),
        (Asked::SettingsText, result) => editor::told(state, result, effects),
        (Asked::Write { draft, is_back }, result) => editor::written(state, draft, is_back, result),
        (Asked::Preview { edits }, result) => form::previewed(state, edits, result, effects),
        (Asked::BootLog(id), Ok(Answer::BootLog(text))) => desk::boot_log(state, id, Ok(text)),
        (Asked::BootLog(id), Ok(_)) => desk::boot_log(state, id, Ok(String::new())),
        (Asked::BootLog(id), Err(error)) => desk::boot_log(state, id, Err(error)),
        (Asked::Tasks(queue), Ok(Answer::Tasks(tasks))) => desk::tasks(state, queue, Ok(tasks)),
        (Asked::Tasks(queue), Err(error)) => desk::tasks(state, queue, Err(error)),
        (Asked::TaskLog(task), Ok(Answer::TaskLog(text))) => desk::log(state, task, Ok(text)),
        (Asked::TaskLog(task), Err(error)) => desk::log(state, task, Err(error)),
        (Asked::Journal { limit }, Ok(Answer::Journal(entries))) => merge(state, limit, entries),
        (Asked::Journal { .. }, Err(error)) => state.complain(format!("the journal: {error}")),
        (Asked::Quit, Err(error)) => {
            state.leaving = None;
            state.complain(format!("quit: {error}"));
        }
        (Asked::History, Ok(Answer::History(kept))) => state.history.recall(kept),
        // The charts show what was seen here.
        (Asked::History, result) => {
            state.history.is_whole = true;
            if let Err(error) = result {
                state.complain(format!("what was before is not known: {error}"));
            }
        }
        (Asked::Quit | Asked::Journal { .. } | Asked::Tasks(_) | Asked::TaskLog(_), Ok(_)) => {}
    }
}

/// A request did not leave: as if it had been refused.
pub(super) fn unsent(state: &mut State, id: u64, why: &str, effects: &mut Vec<Effect>) {
    if let Some(asked) = state.asked.remove(&id) {
        answered(state, asked, Err(why.to_owned()), effects);
    }
}

fn said(what: &str, answer: &Answer) -> String {
    match answer {
        Answer::Said(text) if !text.is_empty() => text.clone(),
        _ => format!("{what}: done"),
    }
}

/// The store's lines, with those in front that were told since they were read.
fn merge(state: &mut State, limit: u32, entries: Vec<Entry>) {
    state.journal_goes_on = entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let newest = entries.first().map(|entry| entry.at);
    let told: Vec<_> = state
        .journal
        .iter()
        .filter(|entry| newest.is_none_or(|newest| entry.at >= newest))
        .filter(|entry| !entries.contains(entry))
        .cloned()
        .collect();
    state.journal = told.into_iter().chain(entries).take(LINES_KEPT).collect();
    state.relist = true;
}

/// Events came too fast: answers may be among those that were lost.
pub(super) fn missed(state: &mut State, count: u64, effects: &mut Vec<Effect>) {
    const LOST: &str = "the answer was lost; the journal tells what became of it";
    for asked in std::mem::take(&mut state.asked).into_values() {
        // Whether the loop ends is told by its last event.
        if asked != Asked::Quit {
            answered(state, asked, Err(LOST.to_owned()), effects);
        }
    }
    tracing::warn!(count, "the screen missed events");
    ask_journal(state, FIRST_LINES, effects);
}

pub(super) fn gone(state: &mut State, effects: &mut Vec<Effect>) {
    state.loop_gone = true;
    if state.leaving.is_some() {
        effects.push(Effect::Leave(Ending::Ended));
    }
}

pub(super) fn log(state: &mut State, lines: Result<Vec<String>, String>) {
    state.reading_log = false;
    state.log = Some(lines);
}

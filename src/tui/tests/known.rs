//! The states that the screen can be in. One that none of these sentences allows is a fault.

use super::Person;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::palette::offers;
use crate::tui::list;
use crate::tui::state::place::{Page, Subject};

/// Whether a page can be about this.
fn fits(page: Page, about: Option<&Subject>) -> bool {
    match page {
        Page::Tasks => matches!(about, Some(Subject::Queue(_))),
        Page::TaskLog => matches!(about, Some(Subject::Task(..))),
        Page::Machine | Page::BootLog => matches!(about, Some(Subject::Instance(_))),
        Page::Instances => matches!(about, None | Some(Subject::Queue(_) | Subject::Pool(_))),
        Page::Why => !matches!(about, Some(Subject::All | Subject::Line(..))),
        _ => about.is_none(),
    }
}

/// What is not as it must be.
pub(super) fn unknown(person: &Person) -> Option<String> {
    let state = &person.state;
    let wrong = |what: &str| Some(format!("{what}: {:?}", state.place));
    if !fits(state.place.page, state.place.about.as_ref()) {
        return wrong("a page about something else");
    }
    let look = state.look();
    if state.is_table() && state.live.is_some() && !state.list.rows.is_empty() {
        let row = state.list.rows.get(look.row).map(|row| &row.subject);
        if row.is_none() || row != look.cursor.as_ref() {
            return wrong("the cursor is not on its row");
        }
        if look.row < look.top || look.row >= look.top + state.page_height() {
            return wrong("the cursor is not on the screen");
        }
    }
    if look.sort.is_some_and(|sort| list::columns(&state.place).iter().all(|column| column.name != sort)) {
        return wrong("sorted by no column");
    }
    if state.range_from.is_some() && !state.can_mark() {
        return wrong("a range where nothing is marked");
    }
    let there = |mark: &Subject| match mark {
        Subject::Instance(id) => state.machine(id).is_some_and(crate::model::instance::Instance::is_there),
        Subject::Task(queue, _) => state.tasks.contains_key(queue),
        _ => false,
    };
    if state.live.is_some() && !state.marks.iter().all(there) {
        return wrong("something is marked that is gone");
    }
    if state.leaving.is_some() && state.dialog.is_some() {
        return wrong("a dialog while the loop ends");
    }
    if state.asked.keys().any(|id| *id >= state.next_id) {
        return wrong("an answer is awaited to what was not asked");
    }
    if !state.keys.is_of(&state.live.as_ref().map(|view| view.settings.keys.clone()).unwrap_or_default()) {
        return wrong("the keys are not those of the settings");
    }
    if state.editing.is_some() && state.dialog.is_some() {
        return wrong("a dialog while an editor has the terminal");
    }
    unknown_dialog(person).and_then(|what| wrong(&what))
}

fn unknown_dialog(person: &Person) -> Option<String> {
    let state = &person.state;
    match state.dialog.as_ref()? {
        Dialog::Confirm(confirm) => {
            let question = confirm.deed.question(state.live.as_ref()?, &state.keys, person.now);
            question.err().map(|why| format!("a question that cannot be agreed to ({why})"))
        }
        Dialog::Picker(picker) => {
            (picker.chosen().is_none() && !picker.items.is_empty()).then(|| "a choice of nothing".to_owned())
        }
        Dialog::Form(form) => (form.focus > form.fields.len()).then(|| "a field that is not there".to_owned()),
        Dialog::Palette(palette) => {
            let offers = offers(state, palette.input.value()).len();
            // Offers may have gone with what they were about.
            (palette.at > 100.max(offers)).then(|| "an offer that is not there".to_owned())
        }
        Dialog::Gone(why) => why.is_empty().then(|| "an end without a reason".to_owned()),
        Dialog::Filter { input, .. } => {
            (state.look().filter != input.value()).then(|| "a filter that does not filter".to_owned())
        }
        Dialog::Problems { .. } => None,
    }
}

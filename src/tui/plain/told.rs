//! What is there, in lines to be read aloud: no boxes, no shapes, every value with its name.

use jiff::Timestamp;

use crate::engine::event::{Leader, View};
use crate::tui::commands::TABLE;
use crate::tui::dialog::consequence::{Proof, Question};
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::form::Form;
use crate::tui::dialog::picker::Picker;
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::list::{self, Row};
use crate::tui::state::place::{Page, Place};
use crate::tui::state::{State, lasting, read_only};
use crate::tui::words::{left_of, without_shapes};
use crate::tui::{chart, doc};

/// What was told last, so that only what is new is told.
#[derive(Debug, Default)]
pub(super) struct Ear {
    turned: bool,
    mode: Option<String>,
    stale: Vec<String>,
    notice: Option<String>,
    error: Option<String>,
    banner: Option<String>,
    dialog: Option<String>,
    leaving: bool,
    /// What a page says that was still empty when it was opened.
    waits: Option<Place>,
}

/// Tells a value where it is another one than before.
fn turn<T: PartialEq>(kept: &mut T, now: T) -> bool {
    let is_new = *kept != now;
    *kept = now;
    is_new
}

impl Ear {
    /// The page is told in full.
    pub(super) fn turn(&mut self) {
        self.turned = true;
    }

    /// The next notice is told, be it the last one again.
    pub(super) fn forget_notice(&mut self) {
        self.notice = None;
    }

    /// What is new since it was asked last.
    pub(super) fn hear(&mut self, state: &State, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(view) = state.view() {
            let mode = format!("{}, {}", view.mode.word().to_lowercase(), leader(view));
            let first = self.mode.is_none();
            if turn(&mut self.mode, Some(mode.clone())) {
                lines.push(format!("The loop of {} is {mode}.", view.fleet));
                self.turned |= first;
            }
            let sources = view.snapshot.sources.iter().filter(|source| source.is_stale(now));
            let old: Vec<String> = sources.map(|source| source.name.clone()).collect();
            if turn(&mut self.stale, old.clone()) {
                let told = if old.is_empty() {
                    "Every source answers.".to_owned()
                } else {
                    format!("Stale: {}.", old.join(", "))
                };
                lines.push(told);
            }
        }
        let banner = state.banner();
        if turn(&mut self.banner, banner.clone()) {
            lines.extend(banner.map(|text| format!("Warning: {text}")));
        }
        let error = state.errors.front().cloned();
        if turn(&mut self.error, error.clone()) {
            lines.extend(error.map(|text| format!("Error: {text}")));
        }
        let notice = state.notice.as_ref().map(|notice| notice.text.clone());
        if turn(&mut self.notice, notice.clone()) {
            lines.extend(notice);
        }
        let dialog = dialog(state, now);
        // What a question says of a world that moves is not told again and again.
        let is_question = matches!(state.dialog, Some(Dialog::Confirm(_)));
        let is_quit = matches!(&state.dialog, Some(Dialog::Confirm(Confirm { deed: Deed::Quit(_), .. })));
        let told = dialog.as_ref().map(|lines| match lines.as_slice() {
            // But what is chosen in it is.
            [title, _, exit, .., how] if is_quit => format!("{title}{exit}{how}"),
            [title, .., how] if is_question => format!("{title}{how}"),
            lines => lines.concat(),
        });
        let was_open = self.dialog.is_some();
        if turn(&mut self.dialog, told) {
            if dialog.is_none() && was_open && lines.is_empty() && !self.turned {
                lines.push("Closed.".to_owned());
            }
            lines.extend(dialog.into_iter().flatten());
        }
        if self.dialog.is_some() {
            return lines;
        }
        if std::mem::take(&mut self.turned) {
            lines.extend(page(state, now));
            self.waits = waits(state).then(|| state.place.clone());
        } else if self.waits.as_ref() == Some(&state.place) && !waits(state) {
            self.waits = None;
            lines.extend(page(state, now));
        }
        if turn(&mut self.leaving, state.leaving.is_some()) && self.leaving {
            lines.push("The loop is ending; `leave` does not wait for it.".to_owned());
        }
        lines
    }
}

/// What the page shows has been asked for and is not there yet.
fn waits(state: &State) -> bool {
    use crate::tui::state::place::Subject;
    match (state.place.page, &state.place.about) {
        (Page::Logs, _) => state.setup.has_log && state.log.is_none(),
        (Page::BootLog, Some(Subject::Instance(id))) => !matches!(state.boot_logs.get(id), Some(Some(_))),
        (Page::TaskLog, Some(Subject::Task(_, id))) => !matches!(state.task_logs.get(id), Some(Some(_))),
        (Page::Tasks, Some(Subject::Queue(queue))) => !state.tasks.contains_key(queue),
        // Before the first look.
        (Page::Queues | Page::Settings | Page::Pools, _) => {
            state.list.rows.is_empty() && state.look().filter.is_empty()
        }
        _ => false,
    }
}

fn leader(view: &View) -> String {
    match &view.leader {
        Leader::Us(_) => "and this console leads".to_owned(),
        Leader::Other(_) if view.read_only().is_some() => read_only(view),
        Leader::Other(who) if view.reaches_leader => {
            format!("and {who} leads: this console watches, and what you order reaches who leads")
        }
        Leader::Other(who) => format!("and {who} leads: this console only watches"),
    }
}

/// Where one is, and what is there.
fn page(state: &State, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!("{}.", state.place.crumbs().join(", "))];
    if let Some(view) = state.view() {
        let tightest = view.spend.tightest().map(|budget| format!("; budget {}: {}", budget.name, left_of(budget)));
        let (rate, today) = (view.spend.rate, view.spend.today);
        lines.push(format!("Costs {rate}, spent today {today}{}.", tightest.unwrap_or_default()));
    }
    if !state.look().filter.is_empty() {
        lines.push(format!("Filter {}: {} of {} rows.", state.look().filter, state.list.rows.len(), state.list.total));
    }
    match (state.place.page, state.is_table()) {
        (Page::Charts, _) => lines.extend(charts(state)),
        (_, true) => lines.extend(table(state, now)),
        (_, false) => lines.extend(text(state, now)),
    }
    lines
}

fn text(state: &State, now: Timestamp) -> Vec<String> {
    let (top, height) = (state.look().top, state.page_height());
    let length = doc::length(state, now);
    let shown = doc::window(state, now, top, height);
    let mut lines: Vec<String> = shown.iter().map(spoken).collect();
    if length > top + height {
        lines.push(format!("Line {} of {length}: `more` goes on.", top + height));
    }
    lines
}

fn spoken(line: &doc::Line) -> String {
    without_shapes(&line.0.iter().map(|(text, _)| text.as_str()).collect::<String>())
}

fn charts(state: &State) -> Vec<String> {
    let Some(view) = state.view() else { return Vec::new() };
    let told = chart::Which::ALL.into_iter().map(|which| {
        let plot = chart::plot(state, view, which);
        let values: Vec<_> = plot.values.iter().map(|(text, _)| without_shapes(text)).collect();
        format!("{}: {}.", plot.title, values.join(", "))
    });
    told.collect()
}

fn table(state: &State, now: Timestamp) -> Vec<String> {
    let (top, height) = (state.look().top, state.page_height());
    let all = state.list.rows.len();
    let rows = state.list.rows.iter().enumerate().skip(top).take(height);
    let mut lines: Vec<String> = rows.map(|(at, row)| self::row(state, at, row, now)).collect();
    let filter = list::Filter::of_rows(&state.look().filter, list::columns(&state.place));
    if let Some(wrong) = filter.wrong() {
        lines.push(format!("Wrong in the filter: {wrong}."));
    } else if all == 0 {
        lines.push("There are no rows.".to_owned());
    } else if all > top + height {
        lines.push(format!("Rows {} to {} of {all}: `more` goes on.", top + 1, top + height));
    }
    lines
}

/// The row under the cursor.
pub(super) fn selected(state: &State, now: Timestamp) -> Vec<String> {
    let at = state.look().row;
    state.list.rows.get(at).map(|row| self::row(state, at, row, now)).into_iter().collect()
}

/// `2. i-stuck, state stuck, for 12m03, queue train`
fn row(state: &State, at: usize, row: &Row, now: Timestamp) -> String {
    let Some(data) = state.data(now) else { return String::new() };
    let cells = list::columns(&state.place).iter().enumerate().filter_map(|(index, column)| {
        let text = list::cell(&state.place, &data, row, column.name).text;
        let text = without_shapes(&text);
        match text.as_str() {
            "" | "-" => None,
            _ if index == 0 => Some(text),
            _ => Some(format!("{} {text}", column.name.to_lowercase())),
        }
    });
    let marked = if state.marks.contains(&row.subject) { ", marked" } else { "" };
    let selected = if at == state.look().row { ", selected" } else { "" };
    format!("{}. {}{marked}{selected}", at + 1, cells.collect::<Vec<_>>().join(", "))
}

/// Every command with what it does; what cannot be done now says why.
pub(super) fn help(state: &State) -> Vec<String> {
    let mut lines = vec![
        "Type a command's name or its beginning. A number selects a row. An empty line tells the page again."
            .to_owned(),
        "filter WORDS shows only rows with them; set KEY VALUE changes a setting; more goes on.".to_owned(),
    ];
    lines.extend(TABLE.iter().map(|command| {
        let off = command.enabled(state).err().map(|why| format!(" Not now: {why}.")).unwrap_or_default();
        format!("{}: {}.{off}", command.name, command.doc())
    }));
    lines
}

fn dialog(state: &State, now: Timestamp) -> Option<Vec<String>> {
    Some(match state.dialog.as_ref()? {
        Dialog::Confirm(confirm) => question(state, confirm, now)?,
        Dialog::Picker(picker) => choices(picker),
        Dialog::Form(form) => fields(form),
        Dialog::Problems { .. } => {
            let lasting = state.view().map(lasting).unwrap_or_default();
            let all = state.errors.iter().cloned().chain(lasting);
            all.chain(["An empty line: they are read.".to_owned()]).collect()
        }
        Dialog::Palette(_) | Dialog::Filter { .. } | Dialog::Gone(_) => return None,
    })
}

fn question(state: &State, confirm: &Confirm, now: Timestamp) -> Option<Vec<String>> {
    let Question { title, lines, verb, proof } = confirm.question(state.live.as_ref()?, &state.keys, now).ok()?;
    let proof = match proof {
        Proof::Yes => "y".to_owned(),
        Proof::Type(text) => text,
    };
    let how = match confirm.deed {
        Deed::Quit(_) => format!(
            "Type {proof} to {verb}; leave, stop-idle or stop-all to choose what becomes of the machines; anything else \
             cancels."
        ),
        _ => format!("Type {proof} to {verb}; anything else cancels."),
    };
    Some([title].into_iter().chain(lines).chain([how]).collect())
}

fn choices(picker: &Picker) -> Vec<String> {
    let items = (1..).zip(&picker.items).map(|(number, item)| {
        let off = item.off.as_ref().map(|why| format!(" Not now: {why}.")).unwrap_or_default();
        format!("{number}. {}. {}{off}", item.label.trim(), item.doc)
    });
    let head = std::iter::once(format!("{}.", picker.title)).chain(picker.lines.iter().cloned());
    head.chain(items).chain(["Type a number, or cancel.".to_owned()]).collect()
}

fn fields(form: &Form) -> Vec<String> {
    let fields = form.fields.iter().map(|field| {
        let text = field.told(field.text());
        let was = if field.changed() { format!(", was {}", field.told(&field.was)) } else { String::new() };
        let used = field.used.as_ref().map(|used| format!(", used {used}")).unwrap_or_default();
        let error = field.error().map(|error| format!(" Wrong: {error}.")).unwrap_or_default();
        format!("{} {text}{was}{used}; {}.{error}", field.label, field.range)
    });
    let refused = form.refused.iter().map(|why| format!("Refused: {why}."));
    let head = std::iter::once(format!("{}.", form.title())).chain(form.note.clone());
    let how = "Type a field's name and its value, as in `max 8`; `apply` sends, `cancel` leaves.".to_owned();
    head.chain(fields).chain(refused).chain([how]).collect()
}

#[cfg(test)]
pub(in crate::tui) mod tests {
    use super::*;

    /// Everything that would be told of a state that nothing was told of yet.
    pub(in crate::tui) fn all(state: &State, now: Timestamp) -> Vec<String> {
        let mut ear = Ear::default();
        let first = ear.hear(state, now);
        ear.turn();
        first.into_iter().chain(ear.hear(state, now)).collect()
    }
}

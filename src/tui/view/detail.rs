//! Under the table: more about the selected row.

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::engine::event::View;
use crate::model::ids::QueueName;
use crate::tui::commands::Id;
use crate::tui::doc::{Line, drain_lines, why_in_short};
use crate::tui::list::{self, Data, charged, state_of};
use crate::tui::state::State;
use crate::tui::state::place::{Page, Subject};
use crate::tui::theme::Tone;
use crate::tui::words::{clock, fit_name, rate, short, time_or_day, wrap};

pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, state: &State, now: Timestamp) {
    let Some(data) = state.data(now) else { return };
    if area.height < 2 {
        return;
    }
    // A blank line between the table and this.
    let area = Rect { x: area.x + 1, y: area.y + 1, width: area.width.saturating_sub(2), height: area.height - 1 };
    match state.place.page {
        Page::Queues => queue(canvas, area, state, &data),
        Page::Why => text(canvas, area, &step(state, &data, usize::from(area.width))),
        Page::Journal => text(canvas, area, &entry(state, &data, usize::from(area.width))),
        Page::Instances => text(canvas, area, &machine(state, &data, usize::from(area.width))),
        Page::Settings => text(canvas, area, &the_loop(&data, usize::from(area.width))),
        Page::Pools => text(canvas, area, &pool(state, &data, usize::from(area.width))),
        _ => {}
    }
}

fn pool(state: &State, data: &Data<'_>, width: usize) -> Vec<Line> {
    let Some(Subject::Pool(name)) = state.subject() else { return Vec::new() };
    let lines = list::pool_detail(data.view, &name, data.now).into_iter();
    lines.flat_map(|(line, tone)| wrapped(&line, tone, width)).collect()
}

fn text(canvas: &mut Canvas<'_>, area: Rect, lines: &[Line]) {
    for (y, line) in (0..area.height).zip(lines) {
        canvas.line(area, y, line);
    }
}

fn wrapped(text: &str, tone: Tone, width: usize) -> impl Iterator<Item = Line> + use<> {
    wrap(text, width).into_iter().map(move |line| Line(vec![(line, tone)]))
}

/// The selected queue's why, then its machines, then the newest lines of the journal.
fn queue(canvas: &mut Canvas<'_>, area: Rect, state: &State, data: &Data<'_>) {
    let Some(Subject::Queue(name)) = state.subject() else { return };
    let why = why_in_short(data.view, &name, data.now, usize::from(area.width));
    let why: Vec<_> = why.into_iter().take(5).collect();
    text(canvas, area, &why);
    let used = u16::try_from(why.len()).unwrap_or(0) + 1;
    let rest = Rect { y: area.y + used.min(area.height), height: area.height.saturating_sub(used), ..area };
    let lines_of_time = if rest.height >= 8 { 3 } else { 0 };
    let machines = Rect { height: rest.height.saturating_sub(lines_of_time), ..rest };
    own_machines(canvas, machines, &name, data, &state.keys.first(Id::Open));
    let journal = Rect { y: machines.y + machines.height, height: lines_of_time, ..rest };
    let newest = data.journal.iter().take(usize::from(lines_of_time.saturating_sub(1)));
    for (y, entry) in (1..).zip(newest) {
        let time = time_or_day(entry.at, data.now, &data.view.settings.the_loop.time_zone);
        let reason = if entry.reason.is_empty() { String::new() } else { format!(": {}", entry.reason) };
        let line = format!("{time} {} {}{reason}", entry.by, entry.text);
        canvas.text(journal, y, &line, Tone::Dim);
    }
}

fn own_machines(canvas: &mut Canvas<'_>, area: Rect, name: &QueueName, data: &Data<'_>, open: &str) {
    let mut own: Vec<_> = data
        .view
        .snapshot
        .instances
        .iter()
        .filter(|instance| instance.is_there() && (charged(instance) == name || instance.home == *name))
        .collect();
    // Faults first: they are what a person must see.
    own.sort_by_key(|instance| (instance.fault.is_none(), instance.phase));
    let more = own.len().saturating_sub(usize::from(area.height));
    for (y, instance) in (0..area.height).zip(&own) {
        if more > 0 && y + 1 == area.height {
            canvas.text(area, y, &format!("and {} more; {open} shows them", more + 1), Tone::Dim);
            break;
        }
        let (glyph, word, tone) = state_of(instance);
        // One that was started for this queue may run another's task.
        let other = Some(charged(instance)).filter(|queue| *queue != name).map(|queue| format!("for {queue}: "));
        let note = format!("{}{}", other.unwrap_or_default(), list::told(instance, data.view, data.now));
        let price = instance.rate.map_or_else(|| "?".to_owned(), rate);
        let since = short(data.now.duration_since(instance.phase_since));
        let line = Line(vec![
            (format!("{glyph} "), tone),
            (format!("{:<20}", fit_name(instance.id.as_str(), 19)), Tone::Plain),
            (format!("{word:<12}"), tone),
            (format!("{since:>6} {price:>6}  "), Tone::Plain),
            (note, Tone::Plain),
        ]);
        canvas.line(area, y, &line);
    }
}

fn step(state: &State, data: &Data<'_>, width: usize) -> Vec<Line> {
    let look = state.look();
    let Some(step) = state.list.rows.get(look.row).and_then(|row| row.step(data.view)) else { return Vec::new() };
    let mut lines: Vec<_> = wrapped(&step.what(), Tone::Strong, width).collect();
    lines.extend(wrapped(&step.reason().to_string(), Tone::Plain, width));
    lines.extend(step.remedy(data.view).into_iter().flat_map(|remedy| wrapped(&remedy, Tone::Active, width)));
    lines
}

fn entry(state: &State, data: &Data<'_>, width: usize) -> Vec<Line> {
    let look = state.look();
    let Some(entry) = state.list.rows.get(look.row).and_then(|row| row.entry(data.journal)) else { return Vec::new() };
    let time = clock(entry.at, &data.view.settings.the_loop.time_zone);
    let revision = entry.revision.as_ref().map(|revision| format!(", settings {revision}")).unwrap_or_default();
    let intent = entry.intent.as_ref().map(|intent| format!(", intent {intent}")).unwrap_or_default();
    let head = format!("{time} {} {}{intent}{revision}", entry.by, entry.kind.word());
    let mut lines: Vec<_> = wrapped(&entry.text, Tone::Strong, width).collect();
    lines.extend(wrapped(&entry.reason, Tone::Plain, width));
    lines.extend(wrapped(&head, Tone::Dim, width));
    lines
}

fn machine(state: &State, data: &Data<'_>, width: usize) -> Vec<Line> {
    let Some(subject) = state.subject() else { return Vec::new() };
    let mut lines = Vec::new();
    let text = match &subject {
        Subject::Instance(id) => {
            let Some(instance) = data.view.snapshot.instance(id) else { return Vec::new() };
            // What does not fit is cut: who holds it comes first.
            let held = list::held_told(instance, data.now);
            lines = held.iter().flat_map(|held| wrapped(held, Tone::Warn, width)).collect();
            lines.extend(drain_lines(instance, data.view, &state.keys, width, data.now));
            let mut notes = list::notes(instance, data.view, data.now);
            notes.retain(|note| Some(note) != held.as_ref());
            let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
            format!(
                "{id}: {} {} in {}, pool {}, home {}{notes}",
                state_of(instance).1,
                instance.machine_type,
                instance.zone.as_ref().map_or(instance.region.as_str(), AsRef::as_ref),
                instance.pool,
                instance.home,
            )
        }
        other => format!("{}: {}", other.name(), other.kind()),
    };
    lines.extend(wrapped(&text, Tone::Plain, width));
    lines
}

fn the_loop(data: &Data<'_>, width: usize) -> Vec<Line> {
    use crate::model::settings::Poll;
    let View { settings, settings_path, .. } = data.view;
    let the_loop = &settings.the_loop;
    let poll = match the_loop.poll {
        Poll::Auto => "auto".to_owned(),
        Poll::Every(every) => short(every),
    };
    let zone = the_loop.time_zone.iana_name().unwrap_or("UTC").to_owned();
    let file = settings_path.clone().unwrap_or_else(|| "no file".to_owned());
    let text = format!(
        "{file}, revision {}. Poll {poll}; on exit: {}; foreign workers {}; {zone}.",
        settings.revision,
        crate::tui::dialog::consequence::exit_word(the_loop.on_exit),
        if the_loop.count_foreign { "count" } else { "do not count" },
    );
    wrapped(&text, Tone::Plain, width).collect()
}

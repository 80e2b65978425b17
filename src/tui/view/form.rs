//! A form: a line a field, what is wrong under it, and what the loop would do.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::dialog::open;
use crate::engine::event::{BudgetState, Foresight};
use crate::tui::dialog::form::{Form, Purpose};
use crate::tui::dialog::room::inner_width;
use crate::tui::doc::Line;
use crate::tui::theme::{Theme, Tone};
use crate::tui::words::{course, fit, next_in_short, wrap};

/// Room for names and for what is typed.
const LABEL: usize = 14;
const INPUT: usize = 14;

pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, form: &Form) {
    let width = inner_width(area);
    let note = form.note.iter().flat_map(|note| wrap(note, width));
    let mut lines: Vec<Line> = note.map(|line| Line(vec![(line, Tone::Warn)])).collect();
    let mut focused = 0;
    for (at, field) in form.fields.iter().enumerate() {
        let has_focus = at == form.focus;
        if has_focus {
            focused = lines.len();
        }
        lines.push(entry(form, at, has_focus));
        if let Some(error) = field.error() {
            lines.extend(indented(&error, Tone::Bad, width));
        }
        if has_focus {
            lines.extend(indented(&field.range, Tone::Active, width));
            lines.extend(indented(&field.doc, Tone::Dim, width));
        }
    }
    let on_apply = form.focus == form.fields.len();
    if on_apply {
        focused = lines.len() + 1;
    }
    lines.push(Line::default());
    lines.push(apply_line(form, on_apply));
    if let Some(refused) = &form.refused {
        lines.extend(wrap(refused, width).into_iter().map(|line| Line(vec![(line, Tone::Bad)])));
    }
    lines.extend(foresight(form, width));
    let inside = open(canvas, area, &form.title(), lines.len(), Tone::Plain);
    let rows = usize::from(inside.height);
    // The field that takes the keys is always seen, with what is said about it.
    let top = (focused + 3).saturating_sub(rows).min(lines.len().saturating_sub(rows)).min(focused);
    for (y, line) in (0..inside.height).zip(lines.iter().skip(top)) {
        canvas.line(inside, y, line);
    }
    let y = u16::try_from(focused - top).unwrap_or(0);
    if !on_apply {
        let x = u16::try_from(LABEL + 2).unwrap_or(0);
        let input = Rect { x: inside.x + x, y: inside.y + y, width: u16::try_from(INPUT).unwrap_or(0), height: 1 };
        canvas.restyle(input.intersection(inside), Theme::selected());
    }
}

fn entry(form: &Form, at: usize, has_focus: bool) -> Line {
    let Some(field) = form.fields.get(at) else { return Line::default() };
    let mark = if has_focus { ">" } else { " " };
    // Without a cursor the whole of it is chosen: what is typed takes its place.
    let is_typed_into = !form.untouched || field.input.value().is_empty();
    let cursor = if has_focus && is_typed_into { "_" } else { "" };
    // The end of a long text is where it is typed.
    let text: Vec<char> = format!("{}{cursor}", field.input.value()).chars().collect();
    let shown: String = text.iter().skip(text.len().saturating_sub(INPUT)).collect();
    let tone = match (field.error(), field.changed()) {
        (Some(_), _) => Tone::Bad,
        (None, true) => Tone::Active,
        (None, false) => Tone::Plain,
    };
    let mut line = Line(vec![
        (format!("{mark} {:<LABEL$}", fit(&field.label, LABEL - 1)), Tone::Strong),
        (format!("{shown:<INPUT$}"), tone),
    ]);
    let mut notes = Vec::new();
    match &field.began {
        Some(began) => notes.push(format!("was {}, another hand: {}", field.told(began), field.told(&field.was))),
        None if field.changed() => notes.push(format!("was {}", field.told(&field.was))),
        None => {}
    }
    notes.extend(field.used.as_ref().map(|used| format!("used {used}")));
    line.0.push((format!("  {}", notes.join(", ")), Tone::Dim));
    line
}

fn indented(text: &str, tone: Tone, width: usize) -> impl Iterator<Item = Line> + use<> {
    let parts = wrap(text, width.saturating_sub(4));
    parts.into_iter().map(move |part| Line(vec![(format!("    {part}"), tone)]))
}

fn apply_line(form: &Form, on_apply: bool) -> Line {
    let mark = if on_apply { ">" } else { " " };
    let (word, tone) = match (form.applying, form.first_error()) {
        (true, _) => ("Applying...", Tone::Active),
        (false, Some(_)) => ("Apply: something is wrong above", Tone::Dim),
        (false, None) => ("Apply", Tone::Strong),
    };
    Line(vec![
        (format!("{mark} {word}"), tone),
        ("   Tab next, ".to_owned(), Tone::Dim),
        ("Ctrl-S".to_owned(), Tone::Key),
        (" apply, ".to_owned(), Tone::Dim),
        ("Esc".to_owned(), Tone::Key),
        (" cancel".to_owned(), Tone::Dim),
    ])
}

/// What the loop would do with what is typed, next to what it does now.
fn foresight(form: &Form, width: usize) -> Vec<Line> {
    const SHOWN: usize = 4;
    if form.edits().is_empty() || form.first_error().is_some() || matches!(form.purpose, Purpose::Hold(_)) {
        return Vec::new();
    }
    let (Foresight { plan, budgets }, view) = match form.known() {
        None => return vec![Line(vec![("Asking what the loop would do.".to_owned(), Tone::Dim)])],
        Some(Err(why)) => return indented(&format!("It would be refused: {why}"), Tone::Bad, width).collect(),
        Some(Ok(foresight)) => foresight,
    };
    let mut lines = vec![Line(vec![("With this the loop would:".to_owned(), Tone::Strong)])];
    let actions = plan.actions.iter().map(|planned| planned.action.to_string());
    let shown: Vec<_> = actions.take(SHOWN).flat_map(|action| indented(&action, Tone::Active, width)).collect();
    if shown.is_empty() {
        lines.extend(indented("do nothing at once", Tone::Plain, width));
    }
    lines.extend(shown);
    if plan.actions.len() > SHOWN {
        lines.extend(indented(&format!("and {} more", plan.actions.len() - SHOWN), Tone::Dim, width));
    }
    for (now, then) in view.plan.outlooks.iter().zip(&plan.outlooks) {
        let word = |outlook: &crate::model::plan::Outlook| {
            outlook
                .next
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), |reason| next_in_short(reason, plan.at, plan.at).0)
        };
        let (before, after) = (word(now), word(then));
        if now.queue == then.queue && before != after {
            lines.extend(indented(&format!("{}: {after} (now: {before})", then.queue), Tone::Plain, width));
        }
    }
    let zone = &view.settings.the_loop.time_zone;
    for then in budgets {
        let before = view.spend.budgets.iter().find(|budget| budget.name == then.name);
        let before = before.map_or_else(|| "not there".to_owned(), |budget| stands(budget, plan.at, zone));
        let after = stands(then, plan.at, zone);
        if before != after {
            lines.extend(indented(&format!("budget {}: {after} (now: {before})", then.name), Tone::Plain, width));
        }
    }
    lines
}

/// `crosses at 14:20:00`, with the step that holds.
fn stands(budget: &BudgetState, now: Timestamp, zone: &TimeZone) -> String {
    let step = budget.step().map(|rung| format!(", {}", rung.step)).unwrap_or_default();
    format!("{}{step}", course(budget, now, zone))
}

//! What stands over the page: a question, a list to choose from, the errors, the end.

use jiff::Timestamp;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use crate::tui::dialog::consequence::{Proof, Question, exit_word};
use crate::tui::dialog::picker::Picker;
use crate::tui::dialog::room::{self, inner_width};
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::doc::Line;
use crate::tui::state::{Leaving, State, lasting};
use crate::tui::theme::{Theme, Tone};
use crate::tui::words::{fit, wrap};

pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, state: &State, now: Timestamp) {
    if let Some(leaving) = &state.leaving {
        ending(canvas, area, state, leaving);
        return;
    }
    match &state.dialog {
        Some(Dialog::Confirm(confirm)) => confirming(canvas, area, state, confirm, now),
        Some(Dialog::Picker(picker)) => picking(canvas, area, picker),
        Some(Dialog::Form(form)) => super::form::draw(canvas, area, form),
        Some(Dialog::Palette(palette)) => super::palette::draw(canvas, area, state, palette),
        Some(Dialog::Problems { top }) => problems(canvas, area, state, *top),
        Some(Dialog::Gone(why)) => gone(canvas, area, why),
        Some(Dialog::Filter { .. }) | None => {}
    }
}

/// A box at the bottom, above the footer, as high as its lines: the row that is acted on stays seen. The room inside.
pub(super) fn open(canvas: &mut Canvas<'_>, area: Rect, title: &str, lines: usize, tone: Tone) -> Rect {
    let width = area.width.min(room::WIDEST);
    let height = u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let frame = Rect {
        x: area.x + (area.width - width) / 2,
        y: (area.y + area.height).saturating_sub(height + 1).max(area.y),
        width,
        height,
    };
    canvas.clear(frame);
    let style = canvas.theme.style(tone);
    if frame.height < 3 || frame.width < 8 {
        return frame;
    }
    let across = "─".repeat(usize::from(width - 2));
    canvas.put(frame, 0, 0, &format!("┌{across}┐"), style);
    canvas.put(frame, 0, height - 1, &format!("└{across}┘"), style);
    for y in 1..height - 1 {
        canvas.put(frame, 0, y, "│", style);
        canvas.put(frame, width - 1, y, "│", style);
    }
    let title_room = Rect { x: frame.x + 2, width: width - 4, height: 1, ..frame };
    canvas.text(title_room, 0, &format!(" {title} "), Tone::Strong);
    Rect { x: frame.x + 2, y: frame.y + 1, width: width - 4, height: height - 2 }
}

fn confirming(canvas: &mut Canvas<'_>, area: Rect, state: &State, confirm: &Confirm, now: Timestamp) {
    let question = match &state.live {
        Some(view) => confirm.question(view, &state.keys, now),
        None => Err("the loop has not looked yet".to_owned()),
    };
    let Ok(question) = question else { return };
    let Some(laid) = room::lay(&question, confirm.typed.value(), confirm.top, area) else {
        return too_small(canvas, area);
    };
    let Question { title, verb, proof, .. } = question;
    let mut shown: Vec<Line> = laid.said.into_iter().map(|line| Line(vec![(line, Tone::Plain)])).collect();
    shown.push(laid.mark.map_or_else(Line::default, |mark| Line(vec![(mark, Tone::Dim)])));
    let (mut first, mut last) = match &proof {
        Proof::Yes => (
            Line(vec![(room::CANCEL.to_owned(), Tone::Strong), (room::BY.to_owned(), Tone::Dim)]),
            Line(vec![("y".to_owned(), Tone::Key), (format!(" {verb}"), Tone::Plain)]),
        ),
        Proof::Type(text) => (
            Line(vec![(format!("Type {text} to {verb}:"), Tone::Plain)]),
            Line(vec![(end(&format!("{}_", confirm.typed.value()), room::inner_width(area)), Tone::Key)]),
        ),
    };
    if laid.is_split {
        shown.extend([first, last]);
    } else {
        let gap = if proof == Proof::Yes { room::GAP } else { " " };
        first.0.push((gap.to_owned(), Tone::Plain));
        first.0.append(&mut last.0);
        shown.push(first);
    }
    let hint = match (&confirm.hint, &proof) {
        (Some(hint), _) => Line(vec![(hint.clone(), Tone::Warn)]),
        (None, Proof::Type(_)) => Line(vec![("Esc, or Enter with nothing typed: cancel".to_owned(), Tone::Dim)]),
        (None, Proof::Yes) => Line::default(),
    };
    shown.push(hint);
    let tone = if matches!(proof, Proof::Type(_)) { Tone::Bad } else { Tone::Plain };
    let inside = open(canvas, area, &title, shown.len(), tone);
    for (y, line) in (0..inside.height).zip(&shown) {
        canvas.line(inside, y, line);
    }
}

/// The end of a text that is too wide: there it is typed.
fn end(text: &str, width: usize) -> String {
    let mut tail = text;
    while tail.width() > width {
        let mut letters = tail.chars();
        letters.next();
        tail = letters.as_str();
    }
    tail.to_owned()
}

/// Nothing is agreed to here: what would be asked cannot be read.
fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    canvas.clear(area);
    let lines = wrap("too small to ask: Esc cancels", usize::from(area.width));
    for (y, line) in (0..area.height).zip(&lines) {
        canvas.text(area, y, line, Tone::Warn);
    }
}

fn picking(canvas: &mut Canvas<'_>, area: Rect, picker: &Picker) {
    let width = inner_width(area);
    let room = usize::from(area.height).saturating_sub(3).max(1);
    let items = picker.items.len().min(room);
    let mut said: Vec<String> = picker.lines.iter().flat_map(|line| wrap(line, width)).collect();
    // What can be chosen stays visible on a small screen.
    let fits = room.saturating_sub(items);
    if said.len() > fits {
        said.truncate(fits);
        if let Some(last) = said.last_mut() {
            *last = format!("{} …more", fit(last, width.saturating_sub(6)));
        }
    }
    let inside = open(canvas, area, &picker.title, said.len() + items + 1, Tone::Plain);
    for (y, line) in (0..).zip(&said) {
        canvas.text(inside, y, line, Tone::Plain);
    }
    let above = u16::try_from(said.len()).unwrap_or(0);
    let rows = usize::from(inside.height.saturating_sub(above)).saturating_sub(1).max(1);
    let top = (picker.at + 1).saturating_sub(rows);
    let labels = picker.items.iter().map(|item| item.label.width()).max().unwrap_or(0);
    for (y, (index, item)) in (above..).zip(picker.items.iter().enumerate().skip(top).take(rows)) {
        let selected = index == picker.at;
        let mark = if selected { ">" } else { " " };
        let (doc, tone) = match &item.off {
            Some(why) => (format!("not now: {why}"), Tone::Dim),
            None => (item.doc.clone(), Tone::Plain),
        };
        let label = format!("{mark} {:<labels$}  ", item.label);
        canvas.line(inside, y, &Line(vec![(label, tone), (doc, Tone::Dim)]));
        if selected {
            canvas.restyle(Rect { y: inside.y + y, height: 1, ..inside }, Theme::selected());
        }
    }
    let last = inside.height.saturating_sub(1);
    canvas.text(inside, last, "Enter chooses, Esc cancels", Tone::Dim);
}

fn problems(canvas: &mut Canvas<'_>, area: Rect, state: &State, top: usize) {
    let width = inner_width(area);
    let lasting = state.view().map(lasting).unwrap_or_default();
    let errors = state.errors.iter().map(|error| (error.clone(), Tone::Bad));
    let texts = errors.chain(lasting.into_iter().map(|text| (text, Tone::Warn)));
    let lines: Vec<_> = texts
        .flat_map(|(text, tone)| {
            let parts = wrap(&text, width.saturating_sub(2));
            parts.into_iter().enumerate().map(move |(at, part)| {
                let mark = if at == 0 { "! " } else { "  " };
                Line(vec![(format!("{mark}{part}"), tone)])
            })
        })
        .collect();
    let inside = open(canvas, area, "Errors and warnings", lines.len() + 1, Tone::Warn);
    let rows = inside.height.saturating_sub(1);
    let top = top.min(lines.len().saturating_sub(usize::from(rows)));
    for (y, line) in (0..rows).zip(lines.iter().skip(top)) {
        canvas.line(inside, y, line);
    }
    canvas.text(inside, rows, "Esc: read", Tone::Dim);
}

fn gone(canvas: &mut Canvas<'_>, area: Rect, why: &str) {
    let lines = wrap(why, inner_width(area));
    let inside = open(canvas, area, "Closed", lines.len() + 1, Tone::Warn);
    let rows = inside.height.saturating_sub(1);
    for (y, line) in (0..rows).zip(&lines) {
        canvas.text(inside, y, line, Tone::Plain);
    }
    canvas.text(inside, rows, "Esc: go on", Tone::Dim);
}

fn ending(canvas: &mut Canvas<'_>, area: Rect, state: &State, leaving: &Leaving) {
    let acts = state.live.as_ref().map(|view| view.acts.clone()).unwrap_or_default();
    let mut lines = vec![format!(
        "On exit: {}. Waited {} s, at most {} s more.",
        exit_word(leaving.on_exit),
        leaving.waited,
        leaving.seconds_left
    )];
    lines.extend(acts.iter().take(5).map(|act| format!("under way: {}", act.what)));
    lines.push("Ctrl-C leaves now; machines stay as they are.".to_owned());
    let lines: Vec<_> = lines.iter().flat_map(|line| wrap(line, inner_width(area))).collect();
    let inside = open(canvas, area, "The loop is ending", lines.len(), Tone::Warn);
    for (y, line) in (0..inside.height).zip(&lines) {
        canvas.text(inside, y, line, Tone::Plain);
    }
}

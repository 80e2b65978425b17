//! The single lines: banner, crumbs, notice, footer, and the totals where nothing else fits.

use jiff::Timestamp;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use crate::tui::commands::{Id, TABLE};
use crate::tui::dialog::Dialog;
use crate::tui::doc::{found, is_log};
use crate::tui::list::Filter;
use crate::tui::state::State;
use crate::tui::state::place::Page;
use crate::tui::theme::Tone;
use crate::tui::words::{clock, plural};

pub(super) fn banner(canvas: &mut Canvas<'_>, area: Rect, state: &State) {
    if let Some(text) = state.banner() {
        canvas.text(area, 0, &format!(" ! {text}"), Tone::Warn);
    }
}

/// `Queues > train   /gpu (2 of 9)`
pub(super) fn crumbs(canvas: &mut Canvas<'_>, area: Rect, state: &State) {
    let mut x = canvas.put(area, 1, 0, &state.place.crumbs().join(" > "), canvas.theme.style(Tone::Strong));
    let look = state.look();
    let typed = match &state.dialog {
        Some(Dialog::Filter { input, .. }) => Some(format!("/{}_", input.value())),
        _ if !look.filter.is_empty() => Some(format!("/{}", look.filter)),
        _ => None,
    };
    if let Some(typed) = typed {
        let text = if is_log(&state.place) {
            format!("   {typed} ({})", plural(found(state).len(), "line has it", "lines have it"))
        } else {
            format!("   {typed} ({} of {})", state.list.rows.len(), state.list.total)
        };
        x = canvas.put(area, x, 0, &text, canvas.theme.style(Tone::Key));
    } else if state.is_table() {
        let count = format!("   {}", state.list.total);
        x = canvas.put(area, x, 0, &count, canvas.theme.style(Tone::Dim));
    }
    if let Some(wrong) = Filter::of_rows(&look.filter, crate::tui::list::columns(&state.place)).wrong() {
        x = canvas.put(area, x, 0, &format!("   {wrong}"), canvas.theme.style(Tone::Bad));
    }
    if state.marked_here() > 0 {
        let hidden = state.hidden_marks().len();
        let hidden = if hidden > 0 { format!(", {hidden} hidden") } else { String::new() };
        let text = format!("   {} marked{hidden}", state.marked_here());
        x = canvas.put(area, x, 0, &text, canvas.theme.style(Tone::Key));
    }
    if let Some(from) = &state.range_from {
        let text = format!("   range from {}: {} ends it", from.name(), state.keys.first(Id::MarkRange));
        x = canvas.put(area, x, 0, &text, canvas.theme.style(Tone::Key));
    }
    if let (Page::Why, None, Some(view)) = (state.place.page, &state.place.about, state.view()) {
        let at = clock(view.plan.at, &view.settings.the_loop.time_zone);
        let acts = view.mode.armed && !view.mode.paused;
        let done = if acts { String::new() } else { format!(": nothing of it is done, {}", view.mode.word()) };
        x = canvas.put(area, x, 0, &format!("   plan of {at}{done}"), canvas.theme.style(Tone::Dim));
    }
    if let Some(column) = look.sort {
        let order = if look.inverted { "falling" } else { "rising" };
        canvas.put(area, x, 0, &format!("   by {column}, {order}"), canvas.theme.style(Tone::Dim));
    }
}

pub(super) fn notice(canvas: &mut Canvas<'_>, area: Rect, state: &State) {
    if let Some(shown) = state.shown_notice() {
        let (text, tone) = super::notice_text(&shown, &state.keys.first(Id::Problems));
        canvas.text(area, 0, &format!(" {text}"), tone);
    }
}

/// The keys that do something now; `? help` always has room.
pub(super) fn footer(canvas: &mut Canvas<'_>, area: Rect, state: &State) {
    if let Some(dialog) = &state.dialog {
        let mut x = 1;
        for (key, says) in dialog_keys(dialog) {
            x = canvas.put(area, x, 0, key, canvas.theme.style(Tone::Key));
            x = canvas.put(area, x + 1, 0, says, canvas.theme.style(Tone::Plain)).saturating_add(2);
        }
        return;
    }
    let hints: Vec<_> = TABLE
        .iter()
        .filter(|command| command.enabled(state).is_ok())
        .filter_map(|command| {
            let key = state.keys.keys(command.id).first()?.to_string();
            Some((command.id, key, command.shown_hint(state)?))
        })
        .collect();
    let help = hints.iter().filter(|(id, ..)| is_help(*id));
    let width = |(_, key, hint): &(Id, String, &str)| key.width() + hint.width() + 3;
    let mut room = usize::from(area.width).saturating_sub(1 + help.clone().map(width).sum::<usize>());
    let fitting = hints.iter().filter(|(id, ..)| !is_help(*id)).take_while(|hint| {
        let fits = width(hint) <= room;
        room = room.saturating_sub(width(hint));
        fits
    });
    let mut x = 1;
    for (_, key, says) in fitting.chain(help) {
        x = canvas.put(area, x, 0, key, canvas.theme.style(Tone::Key));
        x = canvas.put(area, x + 1, 0, says, canvas.theme.style(Tone::Plain)).saturating_add(2);
    }
}

fn dialog_keys(dialog: &Dialog) -> &'static [(&'static str, &'static str)] {
    match dialog {
        Dialog::Confirm(_) => &[("Esc", "cancel")],
        Dialog::Picker(_) => &[("Enter", "choose"), ("Esc", "cancel")],
        Dialog::Form(_) => &[("Tab", "next"), ("Ctrl-U", "clear"), ("Ctrl-S", "apply"), ("Esc", "cancel")],
        Dialog::Palette(_) => &[("Enter", "do"), ("Tab", "complete"), ("Esc", "cancel")],
        Dialog::Filter { .. } => {
            &[("Enter", "keep"), ("Esc", "back"), ("!word", "shuts out"), ("cost>2", "asks a column")]
        }
        Dialog::Problems { .. } => &[("Esc", "read")],
        Dialog::Gone(_) => &[("Esc", "go on")],
    }
}

fn is_help(id: Id) -> bool {
    id == Id::Go(Page::Help)
}

/// All that fits on a very small screen.
pub(super) fn totals(canvas: &mut Canvas<'_>, area: Rect, state: &State, now: Timestamp) {
    let text = match state.view() {
        None => "tidegate: not looked yet".to_owned(),
        Some(view) => {
            let up = view.snapshot.instances.iter().filter(|instance| instance.counts()).count();
            let waiting: u32 = view.plan.outlooks.iter().map(|outlook| outlook.waiting).sum();
            let old = if view.snapshot.stale(state.shown_at(now)).is_some() { " STALE" } else { "" };
            let errors = state.errors.len();
            let errors = if errors > 0 { format!(" {}", plural(errors, "error", "errors")) } else { String::new() };
            let waiting = if view.snapshot.knows_clearml() { waiting.to_string() } else { "-".to_owned() };
            format!("{}{old} {} {waiting} wait {up} up{errors} {}", view.mode.word(), view.spend.rate, view.fleet)
        }
    };
    canvas.text(area, 0, &text, Tone::Plain);
}

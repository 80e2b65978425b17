//! The header: fleet, mode, leader, the age of every source, money. What matters least drops out first; STALE never does.

use jiff::{SignedDuration, Timestamp};
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use crate::engine::event::{Leader, Mode, View};
use crate::model::snapshot::Source;
use crate::tui::layout::{Class, Layout};
use crate::tui::state::State;
use crate::tui::theme::Tone;
use crate::tui::words::{fit, plural, short};

/// A piece of the header; the highest rank drops out first, rank 0 never.
struct Piece {
    text: String,
    style: Style,
    rank: u8,
}

pub(super) fn draw(canvas: &mut Canvas<'_>, layout: &Layout, state: &State, now: Timestamp) {
    let area = layout.header;
    let Some(view) = state.view() else {
        canvas.text(area, 0, " tidegate: the loop has not looked yet", Tone::Dim);
        return;
    };
    let now = state.shown_at(now);
    let facts: Vec<Piece> = sources(canvas, view, now).into_iter().chain(money(canvas, view, layout.class)).collect();
    let has_two_rows = layout.class == Class::Small && area.height > 1;
    let stays: usize =
        facts.iter().filter(|fact| fact.rank == 0 && !has_two_rows).map(|fact| fact.text.width() + 2).sum();
    let who = who(canvas, state, view, now, usize::from(area.width).saturating_sub(stays));
    if has_two_rows {
        place(canvas, Rect { height: 1, ..area }, who);
        place(canvas, Rect { y: area.y + 1, height: 1, ..area }, facts);
    } else {
        place(canvas, area, who.into_iter().chain(facts).collect());
    }
}

/// Puts what fits, what matters most first, in the order of the pieces.
fn place(canvas: &mut Canvas<'_>, area: Rect, pieces: Vec<Piece>) {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|at| pieces.get(*at).map(|piece| piece.rank));
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut fits = vec![false; pieces.len()];
    for at in order {
        let Some((piece, fits)) = pieces.get(at).zip(fits.get_mut(at)) else { continue };
        let width = piece.text.width() + 2;
        // The least that a header says is cut rather than left out.
        if width <= room + 2 || piece.rank == 0 {
            *fits = true;
            room = room.saturating_sub(width);
        }
    }
    let mut x = 1;
    for (piece, _) in pieces.into_iter().zip(fits).filter(|(_, fits)| *fits) {
        x = canvas.put(area, x, 0, &piece.text, piece.style).saturating_add(2);
    }
}

pub(super) fn mode_tone(mode: Mode) -> Tone {
    match (mode.armed, mode.paused) {
        (false, _) => Tone::Active,
        (true, true) => Tone::Warn,
        (true, false) => Tone::Good,
    }
}

/// The least of who leads that is shown, in columns; the fleet's name gives way to it.
const LEAST_OF_A_LEADER: usize = 12;

/// In so many columns, where it must be cut.
fn who(canvas: &Canvas<'_>, state: &State, view: &View, now: Timestamp, width: usize) -> Vec<Piece> {
    let theme = canvas.theme;
    let piece = |text: String, style, rank| Piece { text, style, rank };
    let fleet = view.fleet.to_string();
    let (badge, tone) = if state.loop_gone {
        (" NO LOOP ".to_owned(), Tone::Bad)
    } else {
        (format!(" {} ", view.mode.word()), mode_tone(view.mode))
    };
    let watching = if let Leader::Other(who) = &view.leader {
        // Where nobody can say who leads it is a sentence, with the error in it.
        let taken = [" ", &fleet, "  ", &badge, "  ", "WATCHING: ", " leads"].map(UnicodeWidthStr::width);
        let room = width.saturating_sub(taken.iter().sum());
        Some(format!("WATCHING: {} leads", fit(who, room.max(LEAST_OF_A_LEADER))))
    } else {
        None
    };
    let mut pieces = vec![piece(fleet, theme.style(Tone::Strong), 1), piece(badge, theme.badge(tone), 0)];
    pieces.extend(watching.map(|text| piece(text, theme.style(Tone::Warn), 0)));
    if let Some(host) = &state.setup.attached
        && matches!(view.leader, Leader::Us(_))
    {
        pieces.push(piece(format!("ATTACHED: {host}"), theme.style(Tone::Active), 1));
    }
    if let Some(rival) = view.rivals.first() {
        let more = if view.rivals.len() > 1 { format!(" and {} more", view.rivals.len() - 1) } else { String::new() };
        pieces.push(piece(format!("RIVAL: {rival}{more}"), theme.style(Tone::Bad), 1));
    }
    if let (Leader::Us(term), Some(since)) = (&view.leader, view.leads_since) {
        let text = format!("leads since {} (term {term})", since.strftime("%H:%M"));
        pieces.push(piece(text, theme.style(Tone::Dim), 8));
    }
    if state.frozen.is_some() {
        pieces.push(piece(" FROZEN ".to_owned(), theme.badge(Tone::Warn), 0));
    }
    let left = view.next_pass.duration_since(now);
    if left >= SignedDuration::ZERO {
        pieces.push(piece(format!("next {}", short(left)), theme.style(Tone::Dim), 6));
    } else if left < SignedDuration::from_secs(-30) {
        pieces.push(piece(format!("late {}", short(-left)), theme.style(Tone::Warn), 2));
    }
    if !view.acts.is_empty() {
        pieces.push(piece(plural(view.acts.len(), "call", "calls"), theme.style(Tone::Active), 7));
    }
    if let Some(speed) = state.setup.speed {
        pieces.push(piece(format!("demo {speed}x"), theme.style(Tone::Dim), 8));
    }
    pieces
}

/// Credentials that end sooner than this are counted down.
const COUNTDOWN: SignedDuration = SignedDuration::from_mins(15);

fn sources(canvas: &Canvas<'_>, view: &View, now: Timestamp) -> Vec<Piece> {
    let theme = canvas.theme;
    view.snapshot
        .sources
        .iter()
        .map(|source| {
            let (text, stale) = source_text(source, now);
            let (tone, rank) = match source.credentials_warning(now) {
                _ if stale => (Tone::Bad, 0),
                Some(_) => (Tone::Warn, 1),
                None => (Tone::Plain, 5),
            };
            Piece { text, style: theme.style(tone), rank }
        })
        .collect()
}

fn source_text(source: &Source, now: Timestamp) -> (String, bool) {
    let stale = source.is_stale(now);
    let age = source.age(now).map_or_else(|| "no answer yet".to_owned(), short);
    let mark = match (stale, &source.error) {
        (true, _) => " STALE",
        (false, Some(_)) => "!",
        (false, None) => "",
    };
    let left = source.credentials_end.map(|end| end.duration_since(now)).filter(|left| *left < COUNTDOWN);
    let left = left.map(|left| format!(" (credentials {})", short(left.max(SignedDuration::ZERO)))).unwrap_or_default();
    (format!("{} {age}{mark}{left}", source.name), stale)
}

fn money(canvas: &Canvas<'_>, view: &View, class: Class) -> Vec<Piece> {
    let theme = canvas.theme;
    let rate = Piece { text: view.spend.rate.to_string(), style: theme.style(Tone::Strong), rank: 2 };
    let budget = view.spend.tightest().map(|budget| {
        let used = budget.spent + budget.committed;
        let tone = if used >= budget.limit { Tone::Bad } else { Tone::Plain };
        Piece { text: format!("{} {used} of {}", budget.name, budget.limit), style: theme.style(tone), rank: 3 }
    });
    let today = Piece {
        text: format!("today {}", view.spend.today),
        style: theme.style(Tone::Plain),
        rank: if class >= Class::Wide { 4 } else { 9 },
    };
    [Some(rate), Some(today), budget].into_iter().flatten().collect()
}

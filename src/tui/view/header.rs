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
use crate::tui::words::{fit, left_of, plural, short};

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
    let has_two_rows = layout.class == Class::Small && area.height > 1;
    let width = usize::from(area.width).saturating_sub(1);
    let stay = |pieces: &[Piece], rank: u8| -> usize {
        pieces.iter().filter(|piece| piece.rank <= rank).map(|piece| piece.text.width() + 2).sum()
    };
    // The fleet, its mode, what is stale and what all of it costs come first; the words of who leads get what is left.
    let own = stay(&who(canvas, state, view, now, 0), 1);
    let room = if has_two_rows { width } else { width.saturating_sub(own) };
    let facts = sources(canvas, view, now, room).into_iter().chain(money(canvas, view, layout.class));
    let facts: Vec<Piece> = facts.collect();
    let stays = if has_two_rows { 0 } else { stay(&facts, MONEY) };
    let who = who(canvas, state, view, now, (width + WATCHING.width()).saturating_sub(own + stays));
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

const WATCHING: &str = "WATCHING";
/// With less room nobody is named.
const LEAST_OF_A_LEADER: usize = 6;

/// That another leads, and who, in so many columns.
fn watching(who: &str, width: usize) -> String {
    let whole = format!("{WATCHING}: {who} leads");
    if whole.width() <= width {
        return whole;
    }
    let room = width.saturating_sub(WATCHING.width() + 2);
    // Where nobody can say who leads it is a sentence, with the error in it.
    if room < LEAST_OF_A_LEADER { WATCHING.to_owned() } else { format!("{WATCHING}: {}", fit(who, room)) }
}

/// `width`: the room for the words of who leads.
fn who(canvas: &Canvas<'_>, state: &State, view: &View, now: Timestamp, width: usize) -> Vec<Piece> {
    let theme = canvas.theme;
    let piece = |text: String, style, rank| Piece { text, style, rank };
    let fleet = view.fleet.to_string();
    let (badge, tone) = if state.loop_gone {
        (" NO LOOP ".to_owned(), Tone::Bad)
    } else {
        (format!(" {} ", view.mode.word()), mode_tone(view.mode))
    };
    let mut pieces = vec![piece(fleet, theme.style(Tone::Strong), 1), piece(badge, theme.badge(tone), 0)];
    match &view.leader {
        _ if view.read_only().is_some() => pieces.push(piece(" READ ONLY ".to_owned(), theme.badge(Tone::Warn), 0)),
        Leader::Other(who) => pieces.push(piece(watching(who, width), theme.style(Tone::Warn), 0)),
        Leader::Us(_) => {}
    }
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

/// How much is said of sources that are stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Ages,
    Names,
    Count,
}

/// Those that are stale in so many columns, beside what all of it costs.
fn sources(canvas: &Canvas<'_>, view: &View, now: Timestamp, room: usize) -> Vec<Piece> {
    let stale: Vec<&Source> = view.snapshot.sources.iter().filter(|source| source.is_stale(now)).collect();
    let room = room.saturating_sub(view.spend.rate.to_string().width() + 2);
    let fits = |says: &Says| {
        let told = stale.iter().map(|source| source_text(source, now, *says).width() + 2);
        told.sum::<usize>() <= room
    };
    match [Says::Ages, Says::Names].into_iter().find(fits) {
        Some(says) => each(canvas, view, now, says),
        None if stale.len() == 1 => each(canvas, view, now, Says::Names),
        None => {
            let fresh = each(canvas, view, now, Says::Count).into_iter().filter(|piece| piece.rank > 0);
            let text = format!("{} sources STALE", stale.len());
            let count = Piece { text, style: canvas.theme.style(Tone::Bad), rank: 0 };
            std::iter::once(count).chain(fresh).collect()
        }
    }
}

fn each(canvas: &Canvas<'_>, view: &View, now: Timestamp, says: Says) -> Vec<Piece> {
    let theme = canvas.theme;
    view.snapshot
        .sources
        .iter()
        .map(|source| {
            let text = source_text(source, now, says);
            let (tone, rank) = match source.credentials_warning(now) {
                _ if source.is_stale(now) => (Tone::Bad, 0),
                Some(_) => (Tone::Warn, 1),
                None => (Tone::Plain, 5),
            };
            Piece { text, style: theme.style(tone), rank }
        })
        .collect()
}

fn source_text(source: &Source, now: Timestamp, says: Says) -> String {
    let stale = source.is_stale(now);
    if stale && says != Says::Ages {
        return format!("{} STALE", source.name);
    }
    let age = source.age(now).map_or_else(|| "no answer yet".to_owned(), short);
    let mark = match (stale, &source.error) {
        (true, _) => " STALE",
        (false, Some(_)) => "!",
        (false, None) => "",
    };
    let left = source.credentials_end.map(|end| end.duration_since(now)).filter(|left| *left < COUNTDOWN);
    let left = left.map(|left| format!(" (credentials {})", short(left.max(SignedDuration::ZERO)))).unwrap_or_default();
    format!("{} {age}{mark}{left}", source.name)
}

/// What all of it costs in an hour, as it is ranked.
const MONEY: u8 = 2;

fn money(canvas: &Canvas<'_>, view: &View, class: Class) -> Vec<Piece> {
    let theme = canvas.theme;
    let rate = Piece { text: view.spend.rate.to_string(), style: theme.style(Tone::Strong), rank: MONEY };
    let budget = view.spend.tightest().map(|budget| {
        let used = budget.spent + budget.committed;
        let tone = if used >= budget.limit { Tone::Bad } else { Tone::Plain };
        Piece { text: format!("{} {}", budget.name, left_of(budget)), style: theme.style(tone), rank: 3 }
    });
    let today = Piece {
        text: format!("spent today {}", view.spend.today),
        style: theme.style(Tone::Plain),
        rank: if class >= Class::Wide { 4 } else { 9 },
    };
    [Some(rate), Some(today), budget].into_iter().flatten().collect()
}

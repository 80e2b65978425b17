//! The palette: what is typed, and what fits.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use super::dialog::open;
use crate::tui::dialog::palette::{Palette, offers};
use crate::tui::dialog::room::inner_width;
use crate::tui::doc::Line;
use crate::tui::state::State;
use crate::tui::theme::{Theme, Tone};
use crate::tui::words::{fit, wrap};

const MOST_ROWS: usize = 12;

pub(super) fn draw(canvas: &mut Canvas<'_>, area: Rect, state: &State, palette: &Palette) {
    let width = inner_width(area);
    let offers = offers(state, palette.input.value());
    let said = offers.get(palette.at).map(|offer| match &offer.off {
        Some(why) => (format!("not now: {why}"), Tone::Warn),
        None => (offer.doc.clone(), Tone::Plain),
    });
    let (said, tone) = said.unwrap_or_else(|| ("nothing is called that".to_owned(), Tone::Dim));
    let said: Vec<_> = wrap(&said, width).into_iter().take(3).collect();
    let room = usize::from(area.height).saturating_sub(4 + said.len()).clamp(1, MOST_ROWS);
    let rows = offers.len().clamp(1, room);
    let inside = open(canvas, area, "Do", rows + said.len() + 1, Tone::Plain);
    canvas.line(inside, 0, &Line(vec![(format!(":{}_", palette.input.value()), Tone::Key)]));
    let top = (palette.at + 1).saturating_sub(rows);
    let labels = offers.iter().map(|offer| offer.label.width()).max().unwrap_or(0).min(width / 2);
    for (y, (index, offer)) in (1..).zip(offers.iter().enumerate().skip(top).take(rows)) {
        let selected = index == palette.at;
        let mark = if selected { ">" } else { " " };
        let tone = if offer.off.is_some() { Tone::Dim } else { Tone::Plain };
        let label = format!("{mark} {:<labels$}", fit(&offer.label, width.saturating_sub(2)));
        canvas.line(
            inside,
            y,
            &Line(vec![
                (label, tone),
                (format!("  {:<8}", offer.keys), Tone::Key),
                (format!(" {}", offer.doc), Tone::Dim),
            ]),
        );
        if selected {
            canvas.restyle(Rect { y: inside.y + y, height: 1, ..inside }, Theme::selected());
        }
    }
    for (line, text) in (1..).zip(&said) {
        let y = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(line);
        canvas.text(inside, y, text, tone);
    }
}

//! The state as a frame. Nothing here changes anything: the same state at the same time is the same screen.
//!
//! ```text
//! header    fleet, mode, leader, ages of the sources, money
//! banner    what is wrong and lasts (when something is)
//! crumbs    where this is, and the filter
//! main      the page: a table or a text
//! detail    more about the selected row
//! notice    what just happened, or an unread error (when something did)
//! footer    the keys that do something now
//! ```

mod canvas;
mod charts;
mod detail;
mod dialog;
mod form;
mod header;
mod lines;
mod palette;
mod table;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::doc;
use super::layout::Layout;
use super::state::place::Page;
use super::state::{Shown, State};
use super::theme::{self, Tone};
use canvas::Canvas;

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, state: &State, now: Timestamp) {
    let area = frame.area();
    let mut canvas = Canvas { buffer: frame.buffer_mut(), theme: state.theme };
    match Layout::of(state, area) {
        None => lines::totals(&mut canvas, area, state, now),
        Some(layout) => {
            header::draw(&mut canvas, &layout, state, now);
            lines::banner(&mut canvas, layout.banner, state);
            lines::crumbs(&mut canvas, layout.crumbs, state);
            page(&mut canvas, &layout, state, now);
            lines::notice(&mut canvas, layout.notice, state);
            lines::footer(&mut canvas, layout.footer, state);
        }
    }
    dialog::draw(&mut canvas, area, state, now);
    if state.theme.ascii {
        theme::to_ascii(canvas.buffer);
    }
}

fn page(canvas: &mut Canvas<'_>, layout: &Layout, state: &State, now: Timestamp) {
    if state.place.page == Page::Charts {
        charts::draw(canvas, layout, state);
        return;
    }
    if state.is_table() {
        match state.data(now) {
            Some(data) => table::draw(canvas, layout.main, layout.class, state, &data),
            None => canvas.text(layout.main, 0, "The loop has not looked yet.", Tone::Dim),
        }
        detail::draw(canvas, layout.detail, state, now);
        return;
    }
    let area = Rect { x: layout.main.x + 1, width: layout.main.width.saturating_sub(2), ..layout.main };
    let shown = doc::window(state, now, state.look().top, usize::from(area.height));
    for (y, line) in (0..).zip(shown) {
        canvas.line(area, y, &line);
    }
}

/// The notice line's text and tone.
pub(super) fn notice_text(shown: &Shown<'_>, reads: &str) -> (String, Tone) {
    match shown {
        Shown::Info(text) => ((*text).to_owned(), Tone::Active),
        Shown::Error(text, 1) => (format!("! {text}  ({reads} reads it)"), Tone::Bad),
        Shown::Error(text, count) => (format!("! {text}  ({count} errors, {reads} reads them)"), Tone::Bad),
    }
}

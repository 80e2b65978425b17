//! Writing on the frame: always within an area, cut to its width, in the theme's style.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::tui::doc::Line;
use crate::tui::theme::{Theme, Tone};
use crate::tui::words::fit;

/// The frame and its theme.
pub(super) struct Canvas<'a> {
    pub buffer: &'a mut Buffer,
    pub theme: Theme,
}

impl Canvas<'_> {
    /// Writes on a line of an area, from a column on; what does not fit is cut. The next free column.
    pub(super) fn put(&mut self, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
        if y >= area.height || x >= area.width {
            return x;
        }
        let room = usize::from(area.width - x);
        let text = fit(text, room);
        self.buffer.set_stringn(area.x + x, area.y + y, &text, room, style);
        x.saturating_add(u16::try_from(text.width()).unwrap_or(u16::MAX))
    }

    pub(super) fn text(&mut self, area: Rect, y: u16, text: &str, tone: Tone) {
        let style = self.theme.style(tone);
        self.put(area, 0, y, text, style);
    }

    pub(super) fn line(&mut self, area: Rect, y: u16, line: &Line) {
        let mut x = 0;
        for (text, tone) in &line.0 {
            let style = self.theme.style(*tone);
            x = self.put(area, x, y, text, style);
        }
    }

    /// Covers an area with nothing.
    pub(super) fn clear(&mut self, area: Rect) {
        for position in area.intersection(self.buffer.area).positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }

    pub(super) fn restyle(&mut self, area: Rect, style: Style) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, style);
    }
}

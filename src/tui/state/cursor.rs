//! The cursor and the scroll position. The cursor is on a thing, not on a row: rows come, go and move under it.

use jiff::Timestamp;

use super::State;
use crate::tui::doc;
use crate::tui::layout::Layout;
use crate::tui::list::{self, Facts};

/// Where the cursor is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// So many lines; up is negative.
    By(i64),
    Pages(i64),
    HalfPages(i64),
    Top,
    Bottom,
}

impl State {
    /// Brings what is derived in line with what has changed: rows, cursor, scroll position.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.relist) {
            self.facts = self.view().map(Facts::of).unwrap_or_default();
            self.list = self.data(now).map(|data| list::list(&self.place, &self.look(), &data)).unwrap_or_default();
            self.settle_cursor();
        }
        self.scroll(now);
    }

    fn settle_cursor(&mut self) {
        let rows = self.list.rows.len();
        let mut look = self.look();
        if rows == 0 {
            return;
        }
        let stays = |row: &list::Row| look.cursor.as_ref() == Some(&row.subject);
        let here = self.list.rows.get(look.row).is_some_and(stays).then_some(look.row);
        let found = here.or_else(|| self.list.rows.iter().position(stays));
        // Its row is gone: the neighbour that moved into its place.
        look.row = found.unwrap_or(look.row.min(rows - 1));
        look.cursor = self.list.rows.get(look.row).map(|row| row.subject.clone());
        *self.look_mut() = look;
    }

    /// Scrolls no further than needed to show the cursor, or to the end of a text.
    fn scroll(&mut self, now: Timestamp) {
        let height = self.page_height();
        let length = self.length(now);
        let is_table = self.is_table();
        let look = self.look_mut();
        if is_table {
            let row = look.row;
            look.top = look.top.clamp((row + 1).saturating_sub(height), row);
        }
        look.top = look.top.min(length.saturating_sub(height));
    }

    pub(crate) fn is_table(&self) -> bool {
        !list::columns(&self.place).is_empty()
    }

    /// How many lines of the page are shown at once.
    pub(crate) fn page_height(&self) -> usize {
        let head = usize::from(self.is_table());
        Layout::of(self, self.size).map_or(1, |layout| usize::from(layout.main.height).saturating_sub(head)).max(1)
    }

    fn length(&self, now: Timestamp) -> usize {
        if self.is_table() { self.list.rows.len() } else { doc::length(self, now) }
    }

    pub(crate) fn go(&mut self, step: Move, now: Timestamp) {
        let page = i64::try_from(self.page_height()).unwrap_or(1);
        let length = self.length(now);
        let by = match step {
            Move::By(lines) => lines,
            Move::Pages(pages) => pages * page,
            Move::HalfPages(halves) => halves * (page / 2).max(1),
            Move::Top => i64::MIN,
            Move::Bottom => i64::MAX,
        };
        let shifted = |at: usize| {
            let at = i64::try_from(at).unwrap_or(0).saturating_add(by).max(0);
            usize::try_from(at).unwrap_or(0).min(length.saturating_sub(1))
        };
        if self.is_table() {
            let row = shifted(self.look().row);
            let cursor = self.list.rows.get(row).map(|row| row.subject.clone());
            let look = self.look_mut();
            look.row = row;
            look.cursor = cursor;
        } else {
            let top = shifted(self.look().top);
            self.look_mut().top = top;
        }
    }
}

//! Where things stand on the screen; shared by `update`, which scrolls, and `view`, which draws.

use ratatui::layout::Rect;

use super::list::{Column, FILL};
use super::state::State;
use super::state::place::Page;

/// How much room there is. Columns drop out as it shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// From 40 columns.
    Small,
    /// From 80.
    Medium,
    /// From 100.
    Wide,
    /// From 140.
    Huge,
}

impl Class {
    /// `None`: there is room for one line of totals only.
    pub(crate) fn of(width: u16, height: u16) -> Option<Self> {
        match (width, height) {
            (_, 0..10) | (0..40, _) => None,
            (40..80, _) => Some(Self::Small),
            (80..100, _) => Some(Self::Medium),
            (100..140, _) => Some(Self::Wide),
            _ => Some(Self::Huge),
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// The regions, from top to bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub class: Class,
    pub header: Rect,
    /// What is wrong and lasts.
    pub banner: Rect,
    pub crumbs: Rect,
    /// The page's table or text.
    pub main: Rect,
    /// More about the selected row.
    pub detail: Rect,
    /// What just happened, or an error that has not been read.
    pub notice: Rect,
    pub footer: Rect,
}

impl Layout {
    /// `None`: too small.
    pub(crate) fn of(state: &State, area: Rect) -> Option<Self> {
        let class = Class::of(area.width, area.height)?;
        let header = if class == Class::Small && area.height >= 12 { 2 } else { 1 };
        let banner = u16::from(state.banner().is_some());
        let notice = u16::from(state.shown_notice().is_some());
        let body = area.height.saturating_sub(header + banner + 1 + notice + 1);
        let main = main_height(state, body);
        let mut y = area.y;
        let mut take = |height: u16| {
            let rect = Rect { y, height, ..area };
            y += height;
            rect
        };
        Some(Self {
            class,
            header: take(header),
            banner: take(banner),
            crumbs: take(1),
            main: take(main),
            detail: take(body - main),
            notice: take(notice),
            footer: take(1),
        })
    }
}

impl Layout {
    /// Whether there is room for all of the charts at once; else the chosen one stands alone.
    pub(crate) fn fits_all_charts(&self) -> bool {
        const LEAST_OF_FOUR: u16 = 10;
        self.class >= Class::Wide && self.main.height / 2 >= LEAST_OF_FOUR
    }
}

/// How many lines of the body the page's own table or text takes.
fn main_height(state: &State, body: u16) -> u16 {
    const HEAD: u16 = 1;
    if body < 9 {
        return body;
    }
    let rows = u16::try_from(state.list.rows.len()).unwrap_or(u16::MAX);
    let least = (rows.saturating_add(HEAD)).max(3);
    match state.place.page {
        Page::Queues => least.min(body * 45 / 100),
        Page::Why if state.place.about.is_none() => body - 6.min(body / 2),
        Page::Settings => body - 6.min(body / 2),
        Page::Pools => least.min(body / 2),
        Page::Instances => body - 5.min(body / 3),
        Page::Journal => body - 4.min(body / 3),
        _ => body,
    }
}

/// Room for the cursor's mark.
pub(crate) const MARK: u16 = 1;
/// And for those of marked rows, while there are any.
pub(crate) const MARKS: u16 = 2;

/// The columns that this class shows, each with its place and width; one of them takes what is left.
pub(crate) fn placed(
    columns: &'static [Column],
    class: Class,
    width: u16,
    mark: u16,
) -> Vec<(&'static Column, u16, u16)> {
    let wanted = |column: &Column| column.widths.get(class.index()).copied().unwrap_or(0);
    let shown: Vec<_> = columns.iter().filter(|column| wanted(column) > 0).collect();
    let fixed: u16 = shown.iter().map(|column| wanted(column)).filter(|width| *width != FILL).sum();
    let gaps = u16::try_from(shown.len().saturating_sub(1)).unwrap_or(0);
    let left = width.saturating_sub(mark + fixed + gaps);
    let mut x = mark;
    let mut placed = Vec::new();
    for column in shown {
        let own = if wanted(column) == FILL { left } else { wanted(column) };
        placed.push((column, x, own));
        x += own + 1;
    }
    placed
}

//! One of several things, chosen from a list.

use super::deed::Deed;
use crate::tui::commands::Id;
use crate::tui::state::Draft;
use crate::tui::theme::Theme;

/// A list to choose from.
#[derive(Debug)]
pub(crate) struct Picker {
    pub title: String,
    /// What there is to know before choosing.
    pub lines: Vec<String>,
    pub items: Vec<Item>,
    pub at: usize,
    /// Where looks are tried on: the one to go back to.
    pub theme_before: Option<Theme>,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub label: String,
    pub doc: String,
    pub choice: Choice,
    /// Why it cannot be chosen now.
    pub off: Option<String>,
}

/// What choosing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Command(Id),
    /// Sort by the column of this name; `None`: the natural order.
    Sort(Option<&'static str>),
    Copy(String),
    Theme(Theme),
    /// Go on with this text in the editor.
    Editor(Draft),
    /// Write this text.
    Write(Draft),
    /// Forget the text that was not taken.
    Drop,
    /// Ask before this.
    Deed(Deed),
}

impl Picker {
    pub(crate) fn of(title: &str, items: Vec<Item>) -> Self {
        Self { title: title.to_owned(), lines: Vec::new(), items, at: 0, theme_before: None }
    }

    pub(crate) fn step(&mut self, down: bool) {
        let last = self.items.len().saturating_sub(1);
        self.at = if down { (self.at + 1).min(last) } else { self.at.saturating_sub(1) };
    }

    pub(crate) fn chosen(&self) -> Option<&Item> {
        self.items.get(self.at)
    }
}

//! A question that is longer than the screen has room for: which part of it is seen. What can be chosen always is.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

use super::Confirm;
use super::consequence::{Proof, Question};
use crate::tui::words::wrap;

/// No dialog is wider.
pub(crate) const WIDEST: u16 = 78;

/// The room within a dialog's frame.
pub(crate) fn inner_width(screen: Rect) -> usize {
    usize::from(screen.width.min(WIDEST).saturating_sub(4)).max(1)
}

/// What is seen of a question.
#[derive(Debug)]
pub(crate) struct Seen {
    pub lines: Vec<String>,
    /// Which of how many lines that is, where it is not all.
    pub mark: Option<String>,
}

impl Confirm {
    /// The part of the question that is seen.
    pub(crate) fn seen(&self, question: &Question, screen: Rect) -> Seen {
        let all = wrapped(question, screen);
        let rows = rows(screen);
        let top = self.top.min(all.len().saturating_sub(rows));
        let count = all.len();
        let lines: Vec<String> = all.into_iter().skip(top).take(rows).collect();
        let mark = (count > rows).then(|| {
            let last = top + lines.len();
            let more = if last < count { "…more: " } else { "" };
            format!("{more}lines {} to {last} of {count} (Up, Down)", top + 1)
        });
        Seen { lines, mark }
    }

    /// The first line after a key that scrolls; `None`: this key does not, or all of the question is seen.
    pub(crate) fn scrolled(&self, question: &Question, event: KeyEvent, screen: Rect) -> Option<usize> {
        let rows = rows(screen);
        let last = wrapped(question, screen).len().checked_sub(rows).filter(|last| *last > 0)?;
        // Where something is typed letters are letters.
        let letters = question.proof == Proof::Yes && event.modifiers == KeyModifiers::NONE;
        let top = self.top.min(last);
        let top = match event.code {
            KeyCode::Down => top + 1,
            KeyCode::Up => top.saturating_sub(1),
            KeyCode::PageDown => top + rows,
            KeyCode::PageUp => top.saturating_sub(rows),
            KeyCode::Char('j') if letters => top + 1,
            KeyCode::Char('k') if letters => top.saturating_sub(1),
            _ => return None,
        };
        Some(top.min(last))
    }
}

fn wrapped(question: &Question, screen: Rect) -> Vec<String> {
    let width = inner_width(screen);
    question.lines.iter().flat_map(|line| wrap(line, width)).collect()
}

/// Beside the frame, the mark, the choice and the hint.
fn rows(screen: Rect) -> usize {
    usize::from(screen.height).saturating_sub(5).max(1)
}

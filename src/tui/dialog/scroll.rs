//! A question that is longer than the screen has room for is gone through. What can be chosen is always seen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

use super::Confirm;
use super::consequence::{Proof, Question};
use super::room::lay;

impl Confirm {
    /// The first line after a key that scrolls; `None`: this key does not, or all of the question is seen.
    pub(crate) fn scrolled(&self, question: &Question, event: KeyEvent, screen: Rect) -> Option<usize> {
        let laid = lay(question, self.typed.value(), 0, screen).filter(|laid| laid.last_top > 0)?;
        // Where something is typed letters are letters.
        let letters = question.proof == Proof::Yes && event.modifiers == KeyModifiers::NONE;
        let top = self.top.min(laid.last_top);
        let top = match event.code {
            KeyCode::Down => top + 1,
            KeyCode::Up => top.saturating_sub(1),
            KeyCode::PageDown => top + laid.page,
            KeyCode::PageUp => top.saturating_sub(laid.page),
            KeyCode::Char('j') if letters => top + 1,
            KeyCode::Char('k') if letters => top.saturating_sub(1),
            _ => return None,
        };
        Some(top.min(laid.last_top))
    }
}

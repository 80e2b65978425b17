//! Whether a question can be read where it is asked: what is not seen is not agreed to.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::consequence::{Proof, Question};
use crate::tui::words::wrap;

/// A dialog is not wider.
pub(crate) const WIDEST: u16 = 78;
/// Columns of its frame, and rows.
const FRAME: u16 = 4;
const FRAME_ROWS: usize = 2;
/// Before what agrees, and after it.
const BLANK: usize = 2;
/// Narrower ones have no frame.
const NARROWEST: u16 = 12;

pub(crate) fn inner_width(area: Rect) -> usize {
    usize::from(area.width.min(WIDEST).saturating_sub(FRAME)).max(1)
}

/// A question as it is laid out in so much room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Laid {
    /// The part of what it says that there is room for.
    pub said: Vec<String>,
    /// Which of how many lines that is, where it is not all.
    pub mark: Option<String>,
    /// So many lines are seen at a time.
    pub page: usize,
    /// The first line that is seen where the last one is.
    pub last_top: usize,
    /// What agrees stands in a line of its own, after what cancels or what is to be typed.
    pub is_split: bool,
}

pub(crate) const CANCEL: &str = "> Cancel";
pub(crate) const BY: &str = " (Enter, Esc)";
pub(crate) const GAP: &str = "      ";

/// From the line `top` on. `None`: neither the question nor what agrees to it could be read.
pub(crate) fn lay(question: &Question, typed: &str, top: usize, area: Rect) -> Option<Laid> {
    let Question { title, lines, verb, proof } = question;
    let width = inner_width(area);
    let (first, last) = match proof {
        Proof::Yes => (format!("{CANCEL}{BY}"), format!("y {verb}")),
        Proof::Type(text) => (format!("Type {text} to {verb}:"), format!("{typed}_")),
    };
    let beside = if *proof == Proof::Yes { GAP.len() } else { 1 };
    let is_split = first.width() + beside + last.width() > width;
    // What was typed may be long: its end is shown.
    let widest = if *proof == Proof::Yes { first.width().max(last.width()) } else { first.width() };
    if widest > width || area.width < NARROWEST {
        return None;
    }
    // A title that its frame cuts is said again.
    let head = if title.width() + FRAME_ROWS > width { wrap(title, width) } else { Vec::new() };
    let below = BLANK + usize::from(is_split) + 1;
    let page = usize::from(area.height).checked_sub(FRAME_ROWS + below)?;
    if page < head.len() + usize::from(!lines.is_empty()) {
        return None;
    }
    let mut all = head;
    all.extend(lines.iter().flat_map(|line| wrap(line, width)));
    let (count, last_top) = (all.len(), all.len().saturating_sub(page));
    let top = top.min(last_top);
    let said: Vec<String> = all.into_iter().skip(top).take(page).collect();
    let mark = (last_top > 0).then(|| {
        let more = if top < last_top { "…more: " } else { "" };
        format!("{more}lines {} to {} of {count} (Up, Down)", top + 1, top + said.len())
    });
    Some(Laid { said, mark, page, last_top, is_split })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(proof: Proof) -> Question {
        let lines = vec!["One sentence of what it does.".to_owned(), "Another one.".to_owned()];
        Question { title: "Drain i-busy?".to_owned(), lines, verb: "drain", proof }
    }

    #[test]
    fn a_question_is_only_asked_where_it_can_be_read() {
        let fits = |proof: Proof, width, height| lay(&question(proof), "", 0, Rect::new(0, 0, width, height)).is_some();
        for (width, height, yes, typed) in [
            (80, 24, true, true),
            (40, 12, true, true),
            (40, 6, true, true),
            (40, 5, false, false),
            (26, 7, true, true),
            (24, 12, false, true),
            (5, 3, false, false),
            (1, 1, false, false),
            (0, 0, false, false),
        ] {
            assert_eq!(fits(Proof::Yes, width, height), yes, "{width}x{height}");
            assert_eq!(fits(Proof::Type("i-1".to_owned()), width, height), typed, "{width}x{height}");
        }
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let laid = |height, top| {
            let laid = lay(&question(Proof::Yes), "", top, Rect::new(0, 0, 80, height)).unwrap();
            (laid.said, laid.mark)
        };
        let lines = ["One sentence of what it does.", "Another one."].map(str::to_owned);
        assert_eq!(laid(24, 9), (lines.to_vec(), None));
        assert_eq!(laid(6, 0), (lines[..1].to_vec(), Some("…more: lines 1 to 1 of 2 (Up, Down)".to_owned())));
        assert_eq!(laid(6, 9), (lines[1..].to_vec(), Some("lines 2 to 2 of 2 (Up, Down)".to_owned())));
        assert!(lay(&question(Proof::Yes), "", 0, Rect::new(0, 0, 30, 24)).unwrap().is_split);
    }
}

//! Logs: what was read, as long as it is, searched and wrapped.

use std::borrow::Cow;

use super::Line;
use crate::tui::state::State;
use crate::tui::state::place::{Page, Place, Subject};
use crate::tui::theme::Tone;
use crate::tui::words::wrap;

/// Whether a page is a log.
pub(crate) fn is_log(place: &Place) -> bool {
    matches!(place.page, Page::Logs | Page::BootLog | Page::TaskLog)
}

/// The lines as they were read; `None`: this is no log, or it has none yet.
fn read(state: &State) -> Option<&[String]> {
    let lines = match (state.place.page, &state.place.about) {
        (Page::Logs, _) => state.log.as_ref()?,
        (Page::BootLog, Some(Subject::Instance(id))) => state.boot_logs.get(id)?.as_ref()?,
        (Page::TaskLog, Some(Subject::Task(_, id))) => state.task_logs.get(id)?.as_ref()?,
        _ => return None,
    };
    lines.as_deref().ok().filter(|lines| !lines.is_empty())
}

/// The lines as they are shown.
pub(crate) fn lines(state: &State) -> Option<Cow<'_, [String]>> {
    let lines = read(state)?;
    if !state.look().wrap {
        return Some(Cow::Borrowed(lines));
    }
    let width = usize::from(state.size.width).saturating_sub(2).max(1);
    Some(Cow::Owned(lines.iter().flat_map(|line| wrap(line, width)).collect()))
}

/// How many lines are shown in all; `None`: there are none yet.
pub(crate) fn length(state: &State) -> Option<usize> {
    lines(state).map(|lines| lines.len())
}

/// The whole of it, to be saved.
pub(crate) fn text(state: &State) -> Option<String> {
    read(state).map(|lines| lines.join("\n") + "\n")
}

/// Where a line has what is looked for, in bytes; letters of either case are the same.
fn hits(line: &str, wanted: &str) -> Vec<(usize, usize)> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut hits = Vec::new();
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let length = begins(rest, wanted);
        if let Some(length) = length {
            hits.push((at, at + length));
        }
        at += length.unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
    }
    hits
}

/// How many bytes of the text are what is looked for, if it begins with that.
fn begins(text: &str, wanted: &str) -> Option<usize> {
    let mut letters = text.chars();
    let mut length = 0;
    for wanted in wanted.chars() {
        let letter = letters.next()?;
        if !letter.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
        length += letter.len_utf8();
    }
    Some(length)
}

/// The lines that have what is looked for, by their places; nothing is looked for: none.
pub(crate) fn found(state: &State) -> Vec<usize> {
    let wanted = state.look().filter;
    let Some(lines) = lines(state) else { return Vec::new() };
    let has = |line: &str| !hits(line, &wanted).is_empty();
    lines.iter().enumerate().filter(|(_, line)| has(line)).map(|(at, _)| at).collect()
}

/// A line, what is looked for in it set off.
pub(super) fn told(line: &str, wanted: &str) -> Line {
    let mut told = Line::default();
    let mut at = 0;
    for (from, to) in hits(line, wanted) {
        told = told.and(line.get(at..from).unwrap_or_default(), Tone::Plain);
        told = told.and(line.get(from..to).unwrap_or_default(), Tone::Key);
        at = to;
    }
    told.and(line.get(at..).unwrap_or_default(), Tone::Plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_looked_for_is_found_in_either_case() {
        for (line, wanted, found) in [
            ("WARN warn", "warn", vec![(0, 4), (5, 9)]),
            ("aaa", "aa", vec![(0, 2)]),
            ("Größe", "GRÖ", vec![(0, 4)]),
            ("x", "", vec![]),
            ("", "x", vec![]),
        ] {
            assert_eq!(hits(line, wanted), found, "{line} {wanted}");
        }
    }

    proptest! {
        #[test]
        fn no_letter_of_a_line_is_lost(line in "(?s).{0,40}", wanted in "(?s).{0,3}") {
            let told: String = told(&line, &wanted).0.into_iter().map(|(text, _)| text).collect::<Vec<_>>().concat();
            prop_assert_eq!(told, line);
        }
    }
}

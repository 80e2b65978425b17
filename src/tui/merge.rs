//! Two edits of one text: what each changed, and both together where they do not meet.

/// Larger differences than this many pairs of lines are told as one.
const MOST_PAIRS: usize = 4_000_000;

/// Lines of the base from one up to another became these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hunk<'a> {
    from: usize,
    to: usize,
    lines: Vec<&'a str>,
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// What was changed from the base to the new text, in order.
fn hunks<'a>(base: &[&str], new: &[&'a str]) -> Vec<Hunk<'a>> {
    let before = base.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = (base.len() - before).min(new.len() - before);
    let after = base.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let old = base.get(before..base.len() - after).unwrap_or_default();
    let own = new.get(before..new.len() - after).unwrap_or_default();
    if old.is_empty() && own.is_empty() {
        return Vec::new();
    }
    if old.len().saturating_mul(own.len()) > MOST_PAIRS {
        return vec![Hunk { from: before, to: before + old.len(), lines: own.to_vec() }];
    }
    let mut hunks: Vec<Hunk<'a>> = Vec::new();
    let (mut at, mut own_at) = (0, 0);
    for (kept, own_kept) in kept(old, own).into_iter().chain([(old.len(), own.len())]) {
        if kept > at || own_kept > own_at {
            let lines = own.get(own_at..own_kept).unwrap_or_default().to_vec();
            hunks.push(Hunk { from: before + at, to: before + kept, lines });
        }
        (at, own_at) = (kept + 1, own_kept + 1);
    }
    hunks
}

/// The places of the longest run of lines that both have, in order.
fn kept(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    // How many lines both have from these places on, row by row from the end.
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    let at = |longest: &[u32], row: usize, column: usize| longest.get(row * width + column).copied().unwrap_or(0);
    for (row, line) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let best = if line == other {
                at(&longest, row + 1, column + 1) + 1
            } else {
                at(&longest, row + 1, column).max(at(&longest, row, column + 1))
            };
            if let Some(cell) = longest.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut kept = Vec::new();
    while let (Some(line), Some(other)) = (old.get(row), new.get(column)) {
        if line == other {
            kept.push((row, column));
            row += 1;
            column += 1;
        } else if at(&longest, row + 1, column) >= at(&longest, row, column + 1) {
            row += 1;
        } else {
            column += 1;
        }
    }
    kept
}

/// Both edits of the base in one text; `None`: they meet.
pub(crate) fn both(base: &str, mine: &str, theirs: &str) -> Option<String> {
    let (base, mine, theirs) = (lines(base), lines(mine), lines(theirs));
    let mut all = hunks(&base, &mine);
    for hunk in hunks(&base, &theirs) {
        if all.contains(&hunk) {
            continue;
        }
        if all.iter().any(|mine| mine.from <= hunk.to && hunk.from <= mine.to) {
            return None;
        }
        all.push(hunk);
    }
    all.sort_by_key(|hunk| hunk.from);
    let (mut text, mut at) = (String::new(), 0);
    for hunk in all {
        text.extend(base.get(at..hunk.from).unwrap_or_default().iter().copied());
        text.extend(hunk.lines);
        at = hunk.to;
    }
    text.extend(base.get(at..).unwrap_or_default().iter().copied());
    Some(text)
}

/// What was changed, as people read it: `12 - max = 4`, `12 + max = 5`.
pub(crate) fn told(base: &str, new: &str) -> Vec<String> {
    let (base, new) = (lines(base), lines(new));
    let mut told = Vec::new();
    for hunk in hunks(&base, &new) {
        let gone = base.get(hunk.from..hunk.to).unwrap_or_default();
        told.extend((hunk.from + 1..).zip(gone).map(|(number, line)| format!("{number} - {}", line.trim_end())));
        told.extend(hunk.lines.iter().map(|line| format!("{} + {}", hunk.from + 1, line.trim_end())));
    }
    told
}

/// The lines that were put in.
pub(crate) fn added(base: &str, new: &str) -> Vec<String> {
    let (base, new) = (lines(base), lines(new));
    hunks(&base, &new).into_iter().flat_map(|hunk| hunk.lines).map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edits_that_do_not_meet_are_put_together() {
        let base = "a\nb\nc\nd\ne\n";
        for (mine, theirs, together) in [
            ("A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", Some("A\nb\nc\nd\nE\n")),
            ("a\nc\nd\ne\n", "a\nb\nc\nd\ne\nf\n", Some("a\nc\nd\ne\nf\n")),
            // The same by both is no conflict.
            ("a\nB\nc\nd\ne\n", "a\nB\nc\nd\nE\n", Some("a\nB\nc\nd\nE\n")),
            ("a\nB\nc\nd\ne\n", "a\nX\nc\nd\ne\n", None),
            ("a\nb\nx\nc\nd\ne\n", "a\nb\ny\nc\nd\ne\n", None),
            ("", "a\nb\nc\nd\nE\n", None),
        ] {
            assert_eq!(both(base, mine, theirs).as_deref(), together, "{mine:?} {theirs:?}");
        }
        assert_eq!(told(base, "a\nB\nc\ne\n"), ["2 - b", "2 + B", "4 - d"]);
        assert_eq!(added(base, "a\nB\nc\nd\ne\nf"), ["B", "f"]);
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a\n", "b\n", "c\n", "d\n"]), 0..12)
            .prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn one_edit_alone_is_the_text_itself(base in text(), new in text()) {
            prop_assert_eq!(both(&base, &new, &base).unwrap(), new.clone());
            prop_assert_eq!(both(&base, &base, &new).unwrap(), new.clone());
            prop_assert_eq!(both(&base, &new, &new).unwrap(), new);
        }

        #[test]
        fn what_both_make_has_each_ones_lines(base in text(), mine in text(), theirs in text()) {
            if let Some(together) = both(&base, &mine, &theirs) {
                prop_assert_eq!(both(&base, &theirs, &mine), Some(together.clone()));
                for line in added(&base, &mine).iter().chain(&added(&base, &theirs)) {
                    prop_assert!(together.lines().any(|other| other == line));
                }
            }
        }
    }
}

//! Plain aligned tables: they read well on a terminal and cut well in a pipe.

use unicode_width::UnicodeWidthStr;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Lines of columns, two spaces apart, each as wide as its widest cell; no spaces at a line's end. Control
/// characters, which names from elsewhere may hold, become `?`.
pub(super) fn table<const N: usize>(head: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let sides = head.map(|(_, side)| side);
    let head = head.map(|(name, _)| name.to_owned());
    let lines: Vec<[String; N]> =
        std::iter::once(&head).chain(rows).map(|line| line.clone().map(|cell| plain(&cell))).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for ((cell, width), side) in line.iter().zip(widths).zip(sides) {
            let space = " ".repeat(width - cell.width());
            match side {
                Side::Left => shown.extend([cell.as_str(), &space, "  "]),
                Side::Right => shown.extend([space.as_str(), cell, "  "]),
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// Text of elsewhere that cannot move the cursor or break the line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows =
            [["a".to_owned(), "12".to_owned(), String::new()], ["日本".to_owned(), "3".to_owned(), "x\ny".to_owned()]];
        let shown = table([("NAME", Side::Left), ("N", Side::Right), ("NOTE", Side::Left)], &rows);
        assert_eq!(shown, "NAME   N  NOTE\na     12\n日本   3  x?y\n");
    }

    proptest! {
        #[test]
        fn any_names_make_one_line_each(names in proptest::collection::vec(any::<String>(), 0..9)) {
            let rows: Vec<_> = names.iter().map(|name| [name.clone(), "1".to_owned()]).collect();
            let shown = table([("NAME", Side::Left), ("N", Side::Right)], &rows);
            prop_assert_eq!(shown.lines().count(), rows.len() + 1);
            prop_assert_eq!(shown.find('\u{1b}'), None);
        }
    }
}

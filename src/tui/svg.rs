//! A frame as a picture: the screen's own cells as SVG, for documents.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::theme::Palette;

/// The size of a cell, and the margin around all of them.
const CELL: (usize, usize) = (9, 19);
const MARGIN: usize = 12;
/// From the top of a cell to the line that letters stand on.
const BASE: usize = 14;

/// What a terminal without colours of its own shows.
#[derive(Debug, Clone, Copy)]
struct Paper {
    back: &'static str,
    fore: &'static str,
    dim: &'static str,
}

const DARK: Paper = Paper { back: "#14181f", fore: "#d7dce3", dim: "#7f8896" };
const LIGHT: Paper = Paper { back: "#ffffff", fore: "#1f242c", dim: "#6b7280" };

/// What a run of letters looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    fore: String,
    back: Option<String>,
    bold: bool,
    underlined: bool,
}

const NO_BREAK_SPACE: &str = "\u{a0}";

/// The whole frame.
pub(super) fn svg(buffer: &Buffer, palette: Palette) -> String {
    let paper = if palette == Palette::Light { LIGHT } else { DARK };
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\">\n",
        paper.back
    );
    for y in 0..buffer.area.height {
        for (column, text, look) in runs(buffer, y, paper) {
            run(&mut out, column, usize::from(y), &text, &look);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// A line's letters, those of one look together; spaces without a background are left out.
fn runs(buffer: &Buffer, y: u16, paper: Paper) -> Vec<(usize, String, Look)> {
    let mut runs: Vec<(usize, String, Look)> = Vec::new();
    let mut covered = 0;
    for x in 0..buffer.area.width {
        let Some(cell) = buffer.cell((x, y)) else { continue };
        if covered > 0 {
            // The second half of a wide letter.
            covered -= 1;
            continue;
        }
        covered = cell.symbol().width().saturating_sub(1);
        let (look, column) = (look(cell, paper), usize::from(x));
        match runs.last_mut() {
            Some((start, text, before)) if *before == look && *start + text.width() == column => {
                text.push_str(cell.symbol());
            }
            _ => runs.push((column, cell.symbol().to_owned(), look)),
        }
    }
    runs.retain(|(_, text, look)| look.back.is_some() || !text.trim().is_empty());
    runs
}

fn run(out: &mut String, column: usize, row: usize, text: &str, look: &Look) {
    let Look { fore, back, bold, underlined } = look;
    let (x, y, width) = (MARGIN + column * CELL.0, MARGIN + row * CELL.1, text.width() * CELL.0);
    if let Some(back) = back {
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"{back}\"/>", CELL.1);
    }
    let letters = text.trim();
    if letters.is_empty() {
        return;
    }
    // Browsers make one space of several, and none of those at a text's ends.
    let (before, width) = (text.width() - text.trim_start().width(), letters.width() * CELL.0);
    let x = x + before * CELL.0;
    let mut style = String::new();
    if *bold {
        style.push_str(" font-weight=\"bold\"");
    }
    if *underlined {
        style.push_str(" text-decoration=\"underline\"");
    }
    let text = letters.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', NO_BREAK_SPACE);
    let base = y + BASE;
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{base}\" textLength=\"{width}\" fill=\"{fore}\"{style}>{text}</text>");
}

fn look(cell: &Cell, paper: Paper) -> Look {
    let has = |modifier| cell.modifier.contains(modifier);
    let fore = match (colour(cell.fg), has(Modifier::DIM)) {
        (_, true) => paper.dim.to_owned(),
        (Some(fore), false) => fore,
        (None, false) => paper.fore.to_owned(),
    };
    let back = colour(cell.bg);
    let (fore, back) = if has(Modifier::REVERSED) {
        (back.unwrap_or_else(|| paper.back.to_owned()), Some(fore))
    } else {
        (fore, back)
    };
    Look { fore, back, bold: has(Modifier::BOLD), underlined: has(Modifier::UNDERLINED) }
}

/// `None`: the terminal's own.
fn colour(colour: Color) -> Option<String> {
    let named = match colour {
        Color::Reset => return None,
        Color::Rgb(red, green, blue) => return Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(index @ 16..=231) => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + part * 40 };
            let place = index - 16;
            let (red, green, blue) = (level(place / 36), level(place / 6 % 6), level(place % 6));
            return Some(format!("#{red:02x}{green:02x}{blue:02x}"));
        }
        Color::Indexed(index @ 232..) => {
            let grey = 8 + (index - 232) * 10;
            return Some(format!("#{grey:02x}{grey:02x}{grey:02x}"));
        }
        Color::DarkGray => "#7f8896",
        Color::Gray => "#9aa3af",
        Color::Red | Color::LightRed => "#f07178",
        Color::Green | Color::LightGreen => "#7ec77e",
        Color::Yellow | Color::LightYellow => "#e0b95a",
        Color::Blue | Color::LightBlue => "#82aaff",
        Color::Magenta | Color::LightMagenta => "#c792ea",
        Color::Cyan | Color::LightCyan => "#5cc8d7",
        Color::White => "#ffffff",
        Color::Black | Color::Indexed(_) => "#000000",
    };
    Some(named.to_owned())
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn letters_stand_where_their_cells_are_and_names_cannot_break_out() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 2));
        buffer.set_string(2, 1, "a<b&", Style::default().fg(Color::Green));
        buffer.set_string(10, 1, "x y", Style::default().add_modifier(Modifier::REVERSED));
        let drawn = svg(&buffer, Palette::Dark);
        let letters = format!(
            "<text x=\"{}\" y=\"{}\" textLength=\"36\" fill=\"#7ec77e\">a&lt;b&amp;</text>",
            12 + 18,
            12 + 19 + 14
        );
        assert!(drawn.contains(&letters), "{drawn}");
        assert!(drawn.contains("<rect x=\"102\" y=\"31\" width=\"27\" height=\"19\" fill=\"#d7dce3\"/>"), "{drawn}");
        // No browser is left a space to collapse: the first letter has its own place, and the others theirs.
        buffer.set_string(2, 0, "  a  b ", Style::default());
        let drawn = svg(&buffer, Palette::Dark);
        let letters =
            format!("<text x=\"{}\" y=\"26\" textLength=\"36\" fill=\"#d7dce3\">a\u{a0}\u{a0}b</text>", 12 + 36);
        assert!(drawn.contains(&letters), "{drawn}");
        assert!(svg(&buffer, Palette::Light).contains("fill=\"#ffffff\"/>"));
    }
}

//! A picture of the console: runs a program in a terminal of its own, types keys, and prints the screen as SVG.
//!
//! `cargo run --example screenshot -- 100x30 20 "j w" target/release/tidegate demo --seed 7 > assets/console.svg`
//! (size, seconds to wait, keys, then the program)

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const CELL: (usize, usize) = (9, 19);
const MARGIN: usize = 12;
const BACKGROUND: &str = "#14181f";
const FOREGROUND: &str = "#d7dce3";
/// How long the screen has to answer a key.
const AFTER_KEY: Duration = Duration::from_millis(400);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().context("which size, such as 100x30?")?;
    let seconds: u64 = arguments.next().context("how many seconds to wait?")?.parse()?;
    let keys = arguments.next().context("which keys, such as \"j w\"?")?;
    let (columns, rows) = size.split_once('x').context("a size is written as 100x30")?;
    let size = PtySize { rows: rows.parse()?, cols: columns.parse()?, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size)?;
    let mut command = CommandBuilder::new(arguments.next().context("which program?")?);
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    command.env("COLORTERM", "truecolor");
    command.env("LANG", "C.UTF-8");
    let mut child = pair.slave.spawn_command(command)?;
    let screen = Arc::new(Mutex::new(vt100::Parser::new(size.rows, size.cols, 0)));
    let (mut reader, shown) = (pair.master.try_clone_reader()?, Arc::clone(&screen));
    let reading = std::thread::Builder::new().spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read) = reader.read(&mut bytes) {
            let (Some(new), false) = (bytes.get(..read), read == 0) else { break };
            if let Ok(mut screen) = shown.lock() {
                screen.process(new);
            }
        }
    })?;
    let mut writer = pair.master.take_writer()?;
    std::thread::sleep(Duration::from_secs(seconds));
    for key in keys.split_whitespace() {
        writer.write_all(key.replace("Enter", "\r").replace("Esc", "\u{1b}").as_bytes())?;
        std::thread::sleep(AFTER_KEY);
    }
    let picture = screen.lock().map_or_else(|_| String::new(), |screen| svg(screen.screen()));
    child.kill()?;
    drop((writer, pair));
    let _ = reading.join();
    std::io::stdout().write_all(picture.as_bytes())?;
    Ok(())
}

fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (usize::from(columns) * CELL.0 + 2 * MARGIN, usize::from(rows) * CELL.1 + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(cell) = screen.cell(row, column) else { break };
            let style = style(cell);
            let mut text = String::new();
            let start = column;
            while let Some(cell) = screen.cell(row, column).filter(|cell| column < columns && style_is(cell, &style)) {
                text.push_str(if cell.contents().is_empty() { " " } else { cell.contents() });
                column += 1;
            }
            svg.push_str(&run(row, start, column - start, &text, &style));
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

#[derive(PartialEq)]
struct Style {
    text: String,
    back: String,
    bold: bool,
}

fn style(cell: &vt100::Cell) -> Style {
    let (text, back) = (colour(cell.fgcolor(), FOREGROUND), colour(cell.bgcolor(), BACKGROUND));
    let (text, back) = if cell.inverse() { (back, text) } else { (text, back) };
    Style { text, back, bold: cell.bold() }
}

fn style_is(cell: &vt100::Cell, other: &Style) -> bool {
    style(cell) == *other
}

/// A run of cells that look alike. Each glyph gets its own column, whatever the font's width.
fn run(row: u16, column: u16, cells: u16, text: &str, style: &Style) -> String {
    let (x, y) = (usize::from(column) * CELL.0 + MARGIN, usize::from(row) * CELL.1 + MARGIN);
    let width = usize::from(cells) * CELL.0;
    let mut svg = String::new();
    if style.back != BACKGROUND {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" fill=\"{}\"/>",
            CELL.1, style.back
        );
    }
    if !text.trim().is_empty() {
        let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" textLength=\"{width}\" fill=\"{}\"{weight}>{text}</text>",
            y + 14,
            style.text
        );
    }
    svg
}

fn colour(colour: vt100::Color, default: &str) -> String {
    const BASIC: [&str; 16] = [
        "#14181f", "#e06c75", "#7ec77e", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dce3", "#7f8896", "#ff7b86",
        "#98e098", "#ffd58a", "#7cc4ff", "#dd9bf0", "#7fdbe6", "#ffffff",
    ];
    match colour {
        vt100::Color::Default => default.to_owned(),
        vt100::Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        vt100::Color::Idx(index) => match BASIC.get(usize::from(index)) {
            Some(basic) => (*basic).to_owned(),
            None if index >= 232 => {
                let grey = (u32::from(index) - 232) * 10 + 8;
                format!("#{grey:02x}{grey:02x}{grey:02x}")
            }
            None => {
                let cube = u32::from(index) - 16;
                let level = |part: u32| if part == 0 { 0 } else { part * 40 + 55 };
                format!("#{:02x}{:02x}{:02x}", level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
        },
    }
}

//! Cost against waiting: as text of 80 columns that needs no colour, and as SVG.

use std::fmt::Write;

use plotters::prelude::*;

use super::history::letter;
use crate::replay::sweep::Point;

/// Of the field that the points stand in.
const COLUMNS: usize = 66;
const ROWS: usize = 16;

/// The least and the most of some values, a little apart where they are the same.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if high - low > f64::EPSILON { (low, high) } else { (low - 0.5, low + 0.5) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a plot"
)]
fn place(value: f64, (low, high): (f64, f64), most: usize) -> usize {
    (((value - low) / (high - low)) * most as f64).round().clamp(0.0, most as f64) as usize
}

/// Each setting's letter; the present one in brackets, settings in one place as `+`.
#[must_use]
pub(super) fn scatter(points: &[Point]) -> String {
    let cost = range(points.iter().map(|point| point.score.total_usd));
    let wait = range(points.iter().map(|point| point.score.wait_mean_s));
    let mut field = vec![vec![' '; COLUMNS]; ROWS];
    let mut put = |row: usize, column: usize, mark: char| {
        if let Some(cell) = field.get_mut(row).and_then(|row| row.get_mut(column)) {
            *cell = if *cell == ' ' || matches!(*cell, '[' | ']') { mark } else { '+' };
        }
    };
    for (index, point) in points.iter().enumerate() {
        // Room for the brackets.
        let column = 1 + place(point.score.total_usd, cost, COLUMNS - 3);
        let row = ROWS - 1 - place(point.score.wait_mean_s, wait, ROWS - 1);
        put(row, column, letter(index));
        if point.present {
            put(row, column - 1, '[');
            put(row, column + 1, ']');
        }
    }
    let mut text = "mean wait\n".to_owned();
    for (row, cells) in field.iter().enumerate() {
        let label = match row {
            0 => format!("{:.0}s", wait.1),
            row if row == ROWS - 1 => format!("{:.0}s", wait.0),
            _ => String::new(),
        };
        let cells: String = cells.iter().collect();
        text.push_str(format!("{label:>8} |{cells}").trim_end());
        text.push('\n');
    }
    let (low, high) = (format!("${:.2}", cost.0), format!("${:.2}", cost.1));
    let gap = COLUMNS.saturating_sub(low.len() + high.len());
    let _ = write!(text, "{:>8} +{}\n{:>10}{low}{}{high}\n", "", "-".repeat(COLUMNS), "", " ".repeat(gap));
    text.push_str("[x]: the present settings; +: several in one place; down and left is better\n");
    text
}

/// The same as a picture.
///
/// # Errors
/// What the drawing library says.
pub(super) fn svg(trace: &str, points: &[Point]) -> Result<String, String> {
    let mut drawn = String::new();
    draw(&mut drawn, trace, points).map_err(|error| error.to_string())?;
    Ok(drawn)
}

fn draw(drawn: &mut String, trace: &str, points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let wide = |(low, high): (f64, f64)| (low - (high - low) * 0.05)..(high + (high - low) * 0.25);
    let cost = wide(range(points.iter().map(|point| point.score.total_usd)));
    let wait = wide(range(points.iter().map(|point| point.score.wait_mean_s)));
    let area = SVGBackend::with_string(drawn, (960, 600)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{trace}: cost against waiting"), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(cost, wait)?;
    chart.configure_mesh().x_desc("total, $").y_desc("mean wait, s").draw()?;
    for point in points {
        let at = (point.score.total_usd, point.score.wait_mean_s);
        let colour = if point.score.policy.starts_with("tidegate") { BLUE } else { RED };
        let style = if point.best || point.present { colour.filled() } else { colour.stroke_width(2) };
        let name = if point.present { format!("{} (present)", point.score.policy) } else { point.score.policy.clone() };
        let size = if point.present { 8 } else { 5 };
        chart.draw_series(std::iter::once(Circle::new(at, size, style)))?;
        let label = Text::new(name, at, ("sans-serif", 13).into_font());
        chart.draw_series(std::iter::once(label))?;
    }
    area.present()?;
    Ok(())
}

//! Bars, a day each, as an SVG whose colours are the page's: light or dark as the reader's are.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const SIZE: (u32, u32) = (760, 240);
const FONT: &str = "sans-serif";
/// So many dates have room beside each other.
const DATES: usize = 8;

/// So many series have a colour of their own.
pub(super) const COLOURS: usize = 6;

// Colours that stand for the page's, and are replaced by them.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const LIMIT: RGBColor = RGBColor(3, 3, 3);

fn of_series(place: usize) -> RGBColor {
    RGBColor(4, 4, u8::try_from(place.min(COLOURS - 1)).unwrap_or_default())
}

/// What is drawn; dollars.
pub(super) struct Bars<'a> {
    /// In words, for those who do not see it.
    pub label: &'a str,
    /// What stands under each bar.
    pub days: &'a [String],
    /// A bar's parts from below, each over all days.
    pub series: &'a [Vec<f64>],
    /// A line across, such as a budget's.
    pub line: Option<f64>,
}

/// Draws it.
pub(super) fn bars(plot: &Bars<'_>) -> Result<String, String> {
    let mut svg = String::new();
    draw(plot, &mut svg).map_err(|error| format!("the plot cannot be drawn: {error}"))?;
    Ok(dressed(&svg, plot.label))
}

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::cast_precision_loss, reason = "places of days in a drawing")]
fn draw(plot: &Bars<'_>, svg: &mut String) -> Drawn<()> {
    let count = plot.days.len();
    let top = |day: usize| plot.series.iter().filter_map(|series| series.get(day)).sum::<f64>();
    let most = (0..count).map(top).chain(plot.line).fold(0.0, f64::max);
    let most = if most > 0.0 { most * 1.08 } else { 1.0 };
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..count.max(1) as f64, 0.0..most)?;
    let font = (FONT, 12).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .y_labels(5)
        .label_style(font.clone())
        .y_label_formatter(&|dollars| if most < 10.0 { format!("${dollars:.2}") } else { format!("${dollars:.0}") })
        .draw()?;
    let mut floors = vec![0.0; count];
    for (place, series) in plot.series.iter().enumerate() {
        let bars = floors.iter_mut().zip(series).enumerate().filter(|(_, (_, dollars))| **dollars > 0.0);
        let bars = bars.map(|(day, (floor, dollars))| {
            let (from, to) = (*floor, *floor + dollars);
            *floor = to;
            Rectangle::new([(day as f64 + 0.12, from), (day as f64 + 0.88, to)], of_series(place).filled())
        });
        chart.draw_series(bars.collect::<Vec<_>>())?;
    }
    if let Some(line) = plot.line {
        let ends = [(0.0, line), (count.max(1) as f64, line)];
        chart.draw_series(LineSeries::new(ends, LIMIT.stroke_width(2)))?;
    }
    let every = count.div_ceil(DATES).max(1);
    for (day, text) in plot.days.iter().enumerate().step_by(every) {
        let (x, y) = chart.backend_coord(&(day as f64 + 0.5, 0.0));
        area.draw(&Text::new(text.clone(), (x, y + 8), font.clone().pos(Pos::new(HPos::Center, VPos::Top))))?;
    }
    area.present()?;
    Ok(())
}

/// Takes the page's colours and its width.
fn dressed(svg: &str, label: &str) -> String {
    let mut text = svg.to_owned();
    let mut colours = vec![(INK, "--ink".to_owned()), (GRID, "--grid".to_owned()), (LIMIT, "--limit".to_owned())];
    colours.extend((0..COLOURS).map(|place| (of_series(place), format!("--s{place}"))));
    for (RGBColor(red, green, blue), name) in colours {
        for what in ["fill", "stroke"] {
            let plain = format!("{what}=\"#{red:02X}{green:02X}{blue:02X}\"");
            text = text.replace(&plain, &format!("style=\"{what}:var({name})\""));
        }
    }
    let (width, height) = SIZE;
    let sized = format!("<svg width=\"{width}\" height=\"{height}\"");
    text.replacen(&sized, &format!("<svg role=\"img\" aria-label=\"{}\"", super::page::escaped(label)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_under_the_bars_of_a_month_do_not_lie_over_each_other() {
        let days: Vec<String> = (1..=31).map(|day| format!("2026-10-{day:02}")).collect();
        let drawn = bars(&Bars { label: "by day", days: &days, series: &[vec![1.0; 31]], line: None }).unwrap();
        let dated = drawn.split("<text ").filter(|text| text.contains("2026-10-"));
        let x = |text: &str| text.split("x=\"").nth(1)?.split('"').next()?.parse::<i32>().ok();
        let places: Vec<i32> = dated.filter_map(x).collect();
        // Ten figures and dashes of 12 points are about 67 wide.
        assert!(places.len() >= 6 && places.windows(2).all(|pair| pair[1] - pair[0] > 70), "{places:?}");
    }
}

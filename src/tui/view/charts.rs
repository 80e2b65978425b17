//! The charts: all of them where there is room, else the chosen one; the exact values under each.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::symbols::Marker;
use ratatui::text::Line as Text;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use unicode_width::UnicodeWidthStr;

use super::canvas::Canvas;
use crate::engine::event::View;
use crate::tui::chart::{Markers, Plot, Which, plot};
use crate::tui::layout::Layout;
use crate::tui::state::State;
use crate::tui::theme::Tone;
use crate::tui::words::wrap;

/// A chart that is lower says its values alone.
const LEAST: u16 = 6;

pub(super) fn draw(canvas: &mut Canvas<'_>, layout: &Layout, state: &State) {
    let area = layout.main;
    let Some(view) = state.view() else {
        canvas.text(area, 0, "The loop has not looked yet.", Tone::Dim);
        return;
    };
    let half = Rect { width: area.width / 2, height: area.height / 2, ..area };
    if !layout.fits_all_charts() || state.charts.alone {
        one(canvas, area, state, view, state.charts.which, true);
        return;
    }
    for (at, which) in (0_u16..).zip(Which::ALL) {
        let (x, y) = (area.x + at % 2 * half.width, area.y + at / 2 * half.height);
        one(canvas, Rect { x, y, ..half }, state, view, which, which == state.charts.which);
    }
}

/// The title, the chart, and the values, which never drop out.
fn one(canvas: &mut Canvas<'_>, area: Rect, state: &State, view: &View, which: Which, chosen: bool) {
    let plot = plot(state, view, which);
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut title = canvas.theme.style(Tone::Strong);
    if chosen {
        title = title.add_modifier(Modifier::UNDERLINED);
    }
    canvas.put(area, 0, 0, &plot.title, title);
    let told = values(canvas, area, &plot);
    let room = Rect { y: area.y + 1, height: area.height.saturating_sub(1 + told), ..area };
    if room.height >= LEAST && plot.stacked {
        layers(canvas, room, &plot);
    } else if room.height >= LEAST {
        lines(canvas, room, &plot, state.charts.markers);
    }
}

/// From the bottom up, as many beside each other as fit. How many lines it took.
fn values(canvas: &mut Canvas<'_>, area: Rect, plot: &Plot) -> u16 {
    const BETWEEN: usize = 3;
    let width = usize::from(area.width).max(1);
    let mut lines: Vec<Vec<(String, Tone)>> = Vec::new();
    let mut left = 0;
    for (text, tone) in &plot.values {
        let needs = text.width() + BETWEEN;
        if needs <= left
            && let Some(line) = lines.last_mut()
        {
            left -= needs;
            line.push((text.clone(), *tone));
            continue;
        }
        lines.extend(wrap(text, width).into_iter().map(|part| vec![(part, *tone)]));
        let last = lines.last().and_then(|line| line.last()).map_or(0, |(part, _)| part.width());
        left = width.saturating_sub(last);
    }
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(1));
    for (y, line) in (area.height - height..area.height).zip(&lines) {
        let mut x = 0;
        for (text, tone) in line {
            x = canvas.put(area, x, y, text, canvas.theme.style(*tone)).saturating_add(3);
        }
    }
    height
}

fn lines(canvas: &mut Canvas<'_>, area: Rect, plot: &Plot, markers: Markers) {
    let theme = canvas.theme;
    let marker = match markers {
        _ if theme.ascii => Marker::Dot,
        Markers::Braille => Marker::Braille,
        Markers::Blocks => Marker::HalfBlock,
        Markers::Ascii => Marker::Custom('*'),
    };
    let cursor: Vec<(f64, f64)> = plot.cursor.iter().flat_map(|x| [(*x, plot.y[0]), (*x, plot.y[1])]).collect();
    let under = Dataset::default().marker(marker).graph_type(GraphType::Line);
    let mut sets = vec![under.clone().style(theme.style(Tone::Dim)).data(&cursor)];
    for series in &plot.series {
        for (at, part) in series.parts.iter().enumerate() {
            let set = under.clone().style(theme.style(series.tone)).data(part);
            // The legend has each once.
            sets.push(if at == 0 { set.name(Text::from(series.name.as_str())) } else { set });
        }
    }
    let axis = |bounds: [f64; 2], labels: &[String]| {
        Axis::default().style(theme.style(Tone::Dim)).bounds(bounds).labels(labels.to_vec())
    };
    let chart = Chart::new(sets).x_axis(axis(plot.x, &plot.x_labels)).y_axis(axis(plot.y, &plot.y_labels));
    chart.render(area, canvas.buffer);
}

/// Layers that stand on each other: what is there at all has a cell at least, however little it is of the whole.
fn layers(canvas: &mut Canvas<'_>, area: Rect, plot: &Plot) {
    let labels = plot.y_labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let left = u16::try_from(labels).unwrap_or(0) + 1;
    // Below stand the axis and its times.
    let (width, height) = (area.width.saturating_sub(left), area.height.saturating_sub(2));
    if width == 0 || height == 0 {
        return;
    }
    let dim = canvas.theme.style(Tone::Dim);
    for (label, y) in plot.y_labels.iter().rev().zip([0, height - 1]) {
        let x = left.saturating_sub(1 + u16::try_from(label.width()).unwrap_or(0));
        canvas.put(area, x, y, label, dim);
    }
    for y in 0..height {
        canvas.put(area, left - 1, y, "│", dim);
    }
    canvas.put(area, left - 1, height, &format!("└{}", "─".repeat(usize::from(width))), dim);
    let cursor = plot.cursor.map(|x| column(plot, x, width));
    for x in 0..width {
        for y in (0..height).filter(|_| cursor == Some(x)) {
            canvas.put(area, left + x, y, "│", dim);
        }
        let middle = plot.x[0] + (plot.x[1] - plot.x[0]) * (f64::from(x) + 0.5) / f64::from(width);
        // Where it ends within the column its last value is shown.
        let edge = plot.x[0] + (plot.x[1] - plot.x[0]) * f64::from(x + 1) / f64::from(width);
        let values: Vec<f64> =
            plot.series.iter().map(|series| series.at(middle).or_else(|| series.at(edge)).unwrap_or(0.0)).collect();
        for (layer, (from, to)) in stacked(&values, plot.y[1], height).into_iter().enumerate() {
            let Some(series) = plot.series.get(layer) else { continue };
            let mut style = canvas.theme.style(series.tone);
            if cursor == Some(x) {
                style = style.add_modifier(Modifier::REVERSED);
            }
            for y in from..to {
                canvas.put(area, left + x, height - 1 - y, series.fill, style);
            }
        }
    }
    let places = [0, width / 2, width];
    for (place, label) in places.into_iter().zip(&plot.x_labels) {
        let own = u16::try_from(label.width()).unwrap_or(0);
        let x = (left + place).saturating_sub(if place == 0 {
            0
        } else if place == width {
            own
        } else {
            own / 2
        });
        canvas.put(area, x, height + 1, label, dim);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on a screen")]
fn column(plot: &Plot, x: f64, width: u16) -> u16 {
    let part = (x - plot.x[0]) / (plot.x[1] - plot.x[0]).max(f64::EPSILON);
    ((part * f64::from(width)).max(0.0) as u16).min(width - 1)
}

/// From which row to which each layer goes, counted from the bottom. `most` takes all of the rows.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on a screen")]
fn stacked(values: &[f64], most: f64, rows: u16) -> Vec<(u16, u16)> {
    let (mut below, mut filled) = (0.0, 0);
    let layer = |value: &f64| {
        below += value;
        let exact = (below / most.max(f64::EPSILON) * f64::from(rows)).round() as u16;
        let least = if *value > 0.0 { filled + 1 } else { filled };
        let to = exact.max(least).min(rows);
        // On a full column what comes last is seen.
        let from = if *value > 0.0 { filled.min(rows.saturating_sub(1)) } else { to };
        filled = filled.max(to);
        (from, to)
    };
    values.iter().map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_on_each_other_and_none_is_lost() {
        for (values, most, rows, cells) in [
            (&[5.0, 3.0, 0.0, 2.0][..], 10.0, 10, &[(0, 5), (5, 8), (8, 8), (8, 10)][..]),
            // One machine among a thousand is seen.
            (&[999.0, 0.0, 1.0], 1_000.0, 10, &[(0, 10), (10, 10), (9, 10)]),
            (&[1.0, 998.0, 1.0], 1_050.0, 10, &[(0, 1), (1, 10), (9, 10)]),
            (&[0.0, 0.0], 1.0, 4, &[(0, 0), (0, 0)]),
        ] {
            assert_eq!(stacked(values, most, rows), cells, "{values:?}");
        }
    }
}

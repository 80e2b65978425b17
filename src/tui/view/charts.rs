//! The charts: all of them where there is room, else the chosen one; the exact values under each.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::symbols::Marker;
use ratatui::text::Line as Text;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::canvas::Canvas;
use crate::engine::event::View;
use crate::tui::chart::{Plot, Which, plot};
use crate::tui::layout::{Class, Layout};
use crate::tui::state::State;
use crate::tui::theme::Tone;
use crate::tui::words::wrap;

/// With less room for each the chosen one stands alone.
const LEAST_OF_FOUR: u16 = 10;
/// A chart that is lower says its values alone.
const LEAST: u16 = 6;

pub(super) fn draw(canvas: &mut Canvas<'_>, layout: &Layout, state: &State) {
    let area = layout.main;
    let Some(view) = state.view() else {
        canvas.text(area, 0, "The loop has not looked yet.", Tone::Dim);
        return;
    };
    let half = Rect { width: area.width / 2, height: area.height / 2, ..area };
    if layout.class < Class::Wide || half.height < LEAST_OF_FOUR || state.charts.alone {
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
    if room.height >= LEAST {
        lines(canvas, room, &plot);
    }
}

/// From the bottom up. How many lines it took.
fn values(canvas: &mut Canvas<'_>, area: Rect, plot: &Plot) -> u16 {
    let width = usize::from(area.width).max(1);
    let words: Vec<_> = plot.values.iter().map(|(text, _)| text.clone()).collect();
    let whole = words.join("   ");
    let most = area.height.saturating_sub(1);
    if whole.len() <= width {
        let y = area.height.saturating_sub(1).max(1);
        let mut x = 0;
        for (text, tone) in &plot.values {
            x = canvas.put(area, x, y, text, canvas.theme.style(*tone)).saturating_add(3);
        }
        return 1.min(most);
    }
    let lines: Vec<(String, Tone)> =
        plot.values.iter().flat_map(|(text, tone)| wrap(text, width).into_iter().map(|line| (line, *tone))).collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(most);
    for (y, (text, tone)) in (area.height - height..area.height).zip(&lines) {
        canvas.text(area, y, text, *tone);
    }
    height
}

fn lines(canvas: &mut Canvas<'_>, area: Rect, plot: &Plot) {
    let theme = canvas.theme;
    let marker = if theme.ascii { Marker::Dot } else { Marker::Braille };
    let cursor: Vec<(f64, f64)> = plot.cursor.iter().flat_map(|x| [(*x, plot.y[0]), (*x, plot.y[1])]).collect();
    let under = Dataset::default().marker(marker).graph_type(GraphType::Line);
    let mut sets = vec![under.clone().style(theme.style(Tone::Dim)).data(&cursor)];
    sets.extend(plot.series.iter().map(|series| {
        let name = Text::from(series.name.as_str());
        under.clone().name(name).style(theme.style(series.tone)).data(&series.points)
    }));
    let axis = |bounds: [f64; 2], labels: &[String]| {
        Axis::default().style(theme.style(Tone::Dim)).bounds(bounds).labels(labels.to_vec())
    };
    let chart = Chart::new(sets).x_axis(axis(plot.x, &plot.x_labels)).y_axis(axis(plot.y, &plot.y_labels));
    chart.render(area, canvas.buffer);
}

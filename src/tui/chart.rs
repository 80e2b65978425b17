//! The charts as data: what each shows, between which bounds, and the exact values under the cursor.

use jiff::{SignedDuration, Timestamp};

use super::state::State;
use super::state::history::{Sample, States};
use super::theme::Tone;
use super::words::{dollars, short, time_or_day};
use crate::engine::event::View;
use crate::model::money::Money;

/// A chart; each answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Which {
    #[default]
    Machines,
    Queues,
    Spend,
    Boots,
}

impl Which {
    pub(crate) const ALL: [Self; 4] = [Self::Machines, Self::Queues, Self::Spend, Self::Boots];

    /// The next or the one before, round and round.
    pub(crate) fn beside(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|which| *which == self).unwrap_or(0);
        let step = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL.get((at + step) % Self::ALL.len()).copied().unwrap_or_default()
    }
}

/// How the charts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looked {
    pub which: Which,
    /// So many times closer than everything.
    pub zoom: u32,
    /// The instant under the cursor; `None`: now.
    pub cursor: Option<Timestamp>,
    /// The chosen one has the screen to itself, where there is room for all.
    pub alone: bool,
}

/// The furthest zoom: 2 to the power of this.
const CLOSEST: u32 = 10;
/// The cursor crosses a window in so many steps.
const STEPS: i32 = 40;

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub name: String,
    pub tone: Tone,
    pub points: Vec<(f64, f64)>,
}

/// A chart, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub title: String,
    pub series: Vec<Series>,
    pub x: [f64; 2],
    pub y: [f64; 2],
    pub x_labels: Vec<String>,
    pub y_labels: Vec<String>,
    /// The exact values under the cursor.
    pub values: Vec<(String, Tone)>,
    /// Where the cursor is; `None` where it is no time.
    pub cursor: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
fn amount(money: Money) -> f64 {
    money.micros() as f64 / 1_000_000.0
}

/// From the first thing that is known to the last.
fn everything(state: &State, view: &View, which: Which) -> (Timestamp, Timestamp) {
    let now = view.at;
    if let (Which::Spend, Some(budget)) = (which, view.spend.tightest()) {
        return (budget.period_start, budget.period_end);
    }
    let first = state.history.samples().next().map_or(now, |sample| sample.at);
    (first.min(now - SignedDuration::from_mins(1)), now)
}

/// The part of time that is shown: around the cursor, as close as the zoom says.
pub(crate) fn window(state: &State, view: &View, which: Which) -> (Timestamp, Timestamp) {
    let (first, last) = everything(state, view, which);
    let whole = last.duration_since(first);
    let part = whole / i32::try_from(1_u32 << state.charts.zoom.min(CLOSEST)).unwrap_or(1);
    let centre = state.charts.cursor.unwrap_or(view.at).clamp(first, last);
    let from = (centre - part / 2).clamp(first, last - part);
    (from, from + part)
}

/// Moves the cursor along the window; past its end it is at the present again.
pub(crate) fn pan(state: &mut State, forward: bool) {
    let Some(view) = state.live.clone() else { return };
    let (from, to) = window(state, &view, state.charts.which);
    let (first, _) = everything(state, &view, state.charts.which);
    let step = (to.duration_since(from) / STEPS).max(SignedDuration::from_secs(1));
    let at = state.charts.cursor.unwrap_or(view.at);
    let moved = if forward { at + step } else { at - step };
    state.charts.cursor = (moved < view.at).then_some(moved.max(first));
}

pub(crate) fn zoom(state: &mut State, closer: bool) {
    let zoom = &mut state.charts.zoom;
    *zoom = if closer { (*zoom + 1).min(CLOSEST) } else { zoom.saturating_sub(1) };
}

pub(crate) fn plot(state: &State, view: &View, which: Which) -> Plot {
    match which {
        Which::Machines => machines(state, view),
        Which::Queues => queues(state, view),
        Which::Spend => spend(state, view),
        Which::Boots => boots(view),
    }
}

/// The parts of a sample that are drawn, each with its name and tone.
type Parts<const N: usize> = [(&'static str, Tone, fn(&Sample) -> f64); N];

const STATES: Parts<5> = [
    ("busy", Tone::Good, |sample| f64::from(sample.states.busy)),
    ("idle", Tone::Plain, |sample| f64::from(sample.states.idle)),
    ("starting", Tone::Active, |sample| f64::from(sample.states.starting)),
    ("leaving", Tone::Warn, |sample| f64::from(sample.states.leaving)),
    ("faulty", Tone::Bad, |sample| f64::from(sample.states.faulty)),
];

#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
const WAITS: Parts<2> = [
    ("tasks waiting", Tone::Active, |sample| f64::from(sample.waiting)),
    ("oldest, minutes", Tone::Warn, |sample| sample.oldest as f64 / 60.0),
];

/// Lines over time, from samples.
fn over_time<const N: usize>(state: &State, view: &View, which: Which, title: &str, parts: Parts<N>) -> Plot {
    let (from, to) = window(state, view, which);
    let series: Vec<_> = parts
        .iter()
        .map(|(name, tone, value)| Series {
            name: (*name).to_owned(),
            tone: *tone,
            points: stairs(state, from, to, *value),
        })
        .collect();
    let most = series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).fold(1.0, f64::max);
    Plot {
        title: title.to_owned(),
        series,
        x: [seconds(from), seconds(to)],
        y: [0.0, most * 1.05],
        x_labels: times(view, from, to),
        y_labels: vec!["0".to_owned(), format!("{most:.0}")],
        values: Vec::new(),
        cursor: Some(seconds(under_cursor(state, view))),
    }
}

/// A value holds until the next sample.
fn stairs(state: &State, from: Timestamp, to: Timestamp, value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for sample in state.history.samples().filter(|sample| (from..=to).contains(&sample.at)) {
        let (x, y) = (seconds(sample.at), value(sample));
        if let Some((_, before)) = points.last().copied().filter(|(_, before)| (before - y).abs() > f64::EPSILON) {
            points.push((x, before));
        }
        points.push((x, y));
    }
    points
}

fn under_cursor(state: &State, view: &View) -> Timestamp {
    state.charts.cursor.unwrap_or(view.at)
}

fn times(view: &View, from: Timestamp, to: Timestamp) -> Vec<String> {
    let zone = &view.settings.the_loop.time_zone;
    let middle = from + to.duration_since(from) / 2;
    [from, middle, to].map(|at| time_or_day(at, view.at, zone)).to_vec()
}

fn when(state: &State, view: &View, sample: Option<&Sample>) -> (String, Tone) {
    let zone = &view.settings.the_loop.time_zone;
    let at = sample.map_or_else(|| under_cursor(state, view), |sample| sample.at);
    (time_or_day(at, view.at, zone), Tone::Dim)
}

fn machines(state: &State, view: &View) -> Plot {
    let sample = state.history.at(under_cursor(state, view));
    let mut values = vec![when(state, view, sample)];
    if let Some(Sample { states: States { busy, idle, starting, leaving, faulty }, .. }) = sample {
        let counts = [busy, idle, starting, leaving, faulty];
        values.extend(STATES.iter().zip(counts).map(|((name, tone, _), count)| (format!("{name} {count}"), *tone)));
    }
    Plot { values, ..over_time(state, view, Which::Machines, "Machines by state", STATES) }
}

fn queues(state: &State, view: &View) -> Plot {
    let sample = state.history.at(under_cursor(state, view));
    let mut values = vec![when(state, view, sample)];
    if let Some(sample) = sample {
        values.push((format!("tasks waiting {}", sample.waiting), Tone::Active));
        values.push((format!("oldest {}", short(SignedDuration::from_secs(sample.oldest))), Tone::Warn));
    }
    Plot { values, ..over_time(state, view, Which::Queues, "What waits, and for how long", WAITS) }
}

/// Spent so far, and where it comes to at the present rate.
fn spend(state: &State, view: &View) -> Plot {
    let (from, to) = window(state, view, Which::Spend);
    let empty = Plot {
        title: "No budget is set".to_owned(),
        series: Vec::new(),
        x: [seconds(from), seconds(to)],
        y: [0.0, 1.0],
        x_labels: times(view, from, to),
        y_labels: Vec::new(),
        values: vec![(format!("now {}, today {}", view.spend.rate, view.spend.today), Tone::Plain)],
        cursor: None,
    };
    let Some(budget) = view.spend.tightest() else { return empty };
    let spent_of = |sample: &Sample| {
        let own = sample.spent.iter().find(|(name, _)| *name == budget.name)?;
        (sample.at >= budget.period_start).then_some(own.1)
    };
    let mut spent = vec![(seconds(budget.period_start), 0.0)];
    spent.extend(state.history.samples().filter_map(|sample| Some((seconds(sample.at), amount(spent_of(sample)?)))));
    spent.push((seconds(view.at), amount(budget.spent)));
    let projected = budget.forecast(view.at).projected;
    let ahead = vec![(seconds(view.at), amount(budget.spent)), (seconds(budget.period_end), amount(projected))];
    let limit = [budget.period_start, budget.period_end].map(|at| (seconds(at), amount(budget.limit))).to_vec();
    let most = amount(projected.max(budget.limit).max(budget.spent)).max(0.01);
    let at = under_cursor(state, view);
    let known = state.history.at(at).and_then(spent_of).unwrap_or(budget.spent);
    let course = super::words::course(budget, view.at, &view.settings.the_loop.time_zone);
    let series = |name: &str, tone, points| Series { name: name.to_owned(), tone, points };
    Plot {
        title: format!("Budget {}", budget.name),
        series: vec![
            series("limit", Tone::Bad, limit),
            series("at this rate", Tone::Warn, ahead),
            series("spent", Tone::Good, spent),
        ],
        y: [0.0, most * 1.05],
        y_labels: vec!["0".to_owned(), dollars(projected.max(budget.limit).max(budget.spent))],
        values: vec![
            when(state, view, state.history.at(at)),
            (format!("spent {known}"), Tone::Good),
            (format!("limit {}", budget.limit), Tone::Bad),
            (course, Tone::Warn),
        ],
        cursor: Some(seconds(at)),
        ..empty
    }
}

/// The last boots of each pool, the newest at the right.
#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
fn boots(view: &View) -> Plot {
    const TONES: [Tone; 4] = [Tone::Good, Tone::Active, Tone::Warn, Tone::Key];
    let pools = view.snapshot.learned.boots.iter().filter(|(_, boots)| !boots.as_slice().is_empty());
    let known: Vec<_> = pools.collect();
    let longest = known.iter().map(|(_, boots)| boots.as_slice().len()).max().unwrap_or(0);
    let series: Vec<_> = known
        .iter()
        .zip(TONES.iter().cycle())
        .map(|((pool, boots), tone)| {
            let first = longest - boots.as_slice().len();
            let points = boots.as_slice().iter().enumerate();
            Series {
                name: pool.to_string(),
                tone: *tone,
                points: points.map(|(at, boot)| ((first + at) as f64, boot.as_secs() as f64)).collect(),
            }
        })
        .collect();
    let most = known.iter().flat_map(|(_, boots)| boots.as_slice()).max().copied().unwrap_or_default();
    let values = known.iter().zip(TONES.iter().cycle()).filter_map(|((pool, boots), tone)| {
        let newest = boots.as_slice().last()?;
        let median = boots.median()?;
        Some((
            format!("{pool}: last {}, median {} of {}", short(*newest), short(median), boots.as_slice().len()),
            *tone,
        ))
    });
    let mut values: Vec<_> = values.collect();
    if values.is_empty() {
        values.push(("no machine has booted yet".to_owned(), Tone::Dim));
    }
    Plot {
        title: "Boot times".to_owned(),
        series,
        x: [0.0, (longest.max(2) - 1) as f64],
        y: [0.0, (most.as_secs() as f64 * 1.05).max(1.0)],
        x_labels: vec!["oldest".to_owned(), "newest".to_owned()],
        y_labels: vec!["0".to_owned(), short(most)],
        values,
        cursor: None,
    }
}

//! The charts as data: what each shows, between which bounds, and the exact values under the cursor.

use jiff::{SignedDuration, Timestamp};

use super::commands::Id;
use super::state::State;
use super::theme::Tone;
use super::words::{dollars, short, time_or_day};
use crate::engine::event::View;
use crate::model::glance::{Glance, States};
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

/// What lines are drawn with. Where the terminal has ASCII alone they are letters, whatever was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Markers {
    /// Eight dots a cell.
    #[default]
    Braille,
    /// Two halves a cell: every font has them.
    Blocks,
    Ascii,
}

impl Markers {
    const ALL: [Self; 3] = [Self::Braille, Self::Blocks, Self::Ascii];

    /// The ones for this terminal, by its `TERM`: a console of the system's own has no braille.
    pub(crate) fn fitting(term: Option<&str>) -> Self {
        match term {
            Some("linux" | "cons25") => Self::Blocks,
            Some(term) if term.starts_with("vt") || term == "dumb" => Self::Ascii,
            _ => Self::Braille,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Braille => "braille",
            Self::Blocks => "blocks",
            Self::Ascii => "ascii",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|markers| markers.word() == word)
    }

    /// Round and round.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Braille => Self::Blocks,
            Self::Blocks => Self::Ascii,
            Self::Ascii => Self::Braille,
        }
    }
}

/// How the charts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looked {
    pub which: Which,
    /// Twice as close so many times; negative: twice as far.
    pub zoom: i32,
    pub markers: Markers,
    /// A person chose them.
    pub chose_markers: bool,
    /// The instant under the cursor; `None`: now.
    pub cursor: Option<Timestamp>,
    /// The chosen one has the screen to itself, where there is room for all.
    pub alone: bool,
}

/// The closest zoom: 2 to the power of this.
const CLOSEST: i32 = 10;
/// And the furthest.
const FURTHEST: i32 = -20;
/// So much is shown at first, of more that is known.
const AT_FIRST: SignedDuration = SignedDuration::from_hours(6);
/// What was not looked at for longer is not known.
const GAP: SignedDuration = SignedDuration::from_mins(20);
/// What was longer ago than a day is kept hour by hour.
const OLD: SignedDuration = SignedDuration::from_hours(24);
const OLD_GAP: SignedDuration = SignedDuration::from_hours(3);
/// The cursor crosses a window in so many steps.
const STEPS: i32 = 40;

/// A line of a chart, or a layer of one whose layers stand on each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub name: String,
    pub tone: Tone,
    /// Stretches without a gap, from left to right.
    pub parts: Vec<Vec<(f64, f64)>>,
    /// What a layer is filled with: it tells the layers apart where there is no colour.
    pub fill: &'static str,
}

impl Series {
    /// Its value at a place; `None`: it has none there.
    pub(crate) fn at(&self, x: f64) -> Option<f64> {
        let part = self.parts.iter().find(|part| {
            let ends = part.first().zip(part.last());
            ends.is_some_and(|((first, _), (last, _))| (*first..=*last).contains(&x))
        })?;
        part.iter().rev().find(|(at, _)| *at <= x).map(|(_, y)| *y)
    }
}

/// A chart, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub title: String,
    pub series: Vec<Series>,
    /// The series stand on each other, the first at the bottom.
    pub stacked: bool,
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
    let first = state.history.glances().next().map_or(now, |glance| glance.at);
    (first.min(now - SignedDuration::from_mins(1)), now)
}

/// The part of time that is shown: around the cursor, as close as the zoom says.
pub(crate) fn window(state: &State, view: &View, which: Which) -> (Timestamp, Timestamp) {
    let (first, last) = everything(state, view, which);
    let part = part(which, state.charts.zoom, last.duration_since(first));
    let centre = state.charts.cursor.unwrap_or(view.at).clamp(first, last);
    let from = (centre - part / 2).clamp(first, last - part);
    (from, from + part)
}

/// How much of the whole is shown; a budget's period is shown as a whole at first.
fn part(which: Which, zoom: i32, whole: SignedDuration) -> SignedDuration {
    let first = if which == Which::Spend { whole } else { whole.min(AT_FIRST) };
    let times = 1_i32 << zoom.unsigned_abs().min(CLOSEST.unsigned_abs() * 2);
    if zoom < 0 { first.saturating_mul(times).min(whole) } else { first / times }
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
    let Some(view) = state.live.clone() else { return };
    let (which, zoom) = (state.charts.which, state.charts.zoom);
    let (first, last) = everything(state, &view, which);
    let whole = last.duration_since(first);
    state.charts.zoom = if closer {
        (zoom + 1).min(CLOSEST)
    } else if part(which, zoom, whole) >= whole {
        // There is no more to show.
        zoom
    } else {
        (zoom - 1).max(FURTHEST)
    };
}

pub(crate) fn plot(state: &State, view: &View, which: Which) -> Plot {
    let plot = match which {
        Which::Machines => machines(state, view),
        Which::Queues => queues(state, view),
        Which::Spend => spend(state, view),
        Which::Boots => return boots(view),
    };
    let (_, to) = window(state, view, which);
    if to >= view.at {
        return plot;
    }
    // Nobody takes the past for the present.
    let (until, ago) = (time_or_day(to, view.at, &view.settings.the_loop.time_zone), short(view.at.duration_since(to)));
    let title = format!("Until {until}, {ago} ago ({}: now): {}", state.keys.first(Id::Bottom), plot.title);
    Plot { title, ..plot }
}

/// The parts of a glance that are drawn, each with its name, what it is filled with, and its tone.
type Parts<const N: usize> = [(&'static str, &'static str, Tone, fn(&Glance) -> f64); N];

const STATES: Parts<5> = [
    ("busy", "█", Tone::Good, |glance| f64::from(glance.states.busy)),
    ("idle", "░", Tone::Plain, |glance| f64::from(glance.states.idle)),
    ("starting", "▒", Tone::Active, |glance| f64::from(glance.states.starting)),
    ("leaving", "▼", Tone::Warn, |glance| f64::from(glance.states.leaving)),
    ("faulty", "✖", Tone::Bad, |glance| f64::from(glance.states.faulty)),
];

#[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
const WAITS: Parts<2> = [
    ("tasks waiting", "", Tone::Active, |glance| f64::from(glance.waiting)),
    ("oldest, minutes", "", Tone::Warn, |glance| glance.oldest as f64 / 60.0),
];

/// Lines over time, from glances.
fn over_time<const N: usize>(state: &State, view: &View, which: Which, title: &str, parts: Parts<N>) -> Plot {
    let (from, to) = window(state, view, which);
    let series: Vec<_> = parts
        .iter()
        .map(|(name, fill, tone, value)| Series {
            name: (*name).to_owned(),
            tone: *tone,
            parts: stairs(state, view, (from, to), *value),
            fill,
        })
        .collect();
    let stacked = which == Which::Machines;
    let glances = || state.history.glances().filter(|glance| (from..=to).contains(&glance.at));
    let highest = |glance: &Glance| {
        let values = parts.iter().map(|(.., value)| value(glance));
        if stacked { values.sum() } else { values.fold(0.0, f64::max) }
    };
    let most = glances().map(highest).fold(1.0, f64::max);
    Plot {
        title: title.to_owned(),
        series,
        stacked,
        x: [seconds(from), seconds(to)],
        y: [0.0, most * 1.05],
        x_labels: times(view, from, to),
        y_labels: vec!["0".to_owned(), format!("{most:.0}")],
        values: Vec::new(),
        cursor: Some(seconds(under_cursor(state, view))),
    }
}

/// A value holds until the next glance, unless that was long after it.
fn stairs(
    state: &State,
    view: &View,
    (from, to): (Timestamp, Timestamp),
    value: fn(&Glance) -> f64,
) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<(Timestamp, f64)> = None;
    for glance in state.history.glances().filter(|glance| glance.at <= to) {
        let y = value(glance);
        let gap = if view.at.duration_since(glance.at) > OLD { OLD_GAP } else { GAP };
        let goes_on = before.filter(|(at, _)| glance.at.duration_since(*at) <= gap);
        before = Some((glance.at, y));
        if glance.at < from {
            continue;
        }
        let x = seconds(glance.at);
        match (goes_on, parts.last_mut()) {
            (Some((_, held)), Some(part)) => {
                if (held - y).abs() > f64::EPSILON {
                    part.push((x, held));
                }
                part.push((x, y));
            }
            // It holds since before the window.
            (Some((_, held)), None) => parts.push(vec![(seconds(from), held), (x, held), (x, y)]),
            (None, _) => parts.push(vec![(x, y)]),
        }
    }
    parts
}

fn under_cursor(state: &State, view: &View) -> Timestamp {
    state.charts.cursor.unwrap_or(view.at)
}

fn times(view: &View, from: Timestamp, to: Timestamp) -> Vec<String> {
    let zone = &view.settings.the_loop.time_zone;
    let middle = from + to.duration_since(from) / 2;
    [from, middle, to].map(|at| time_or_day(at, view.at, zone)).to_vec()
}

fn when(state: &State, view: &View, glance: Option<&Glance>) -> (String, Tone) {
    let zone = &view.settings.the_loop.time_zone;
    let at = glance.map_or_else(|| under_cursor(state, view), |glance| glance.at);
    (time_or_day(at, view.at, zone), Tone::Dim)
}

fn machines(state: &State, view: &View) -> Plot {
    let glance = state.history.at(under_cursor(state, view));
    let mut values = vec![when(state, view, glance)];
    if let Some(Glance { states: States { busy, idle, starting, leaving, faulty }, .. }) = glance {
        let counts = [busy, idle, starting, leaving, faulty].into_iter().zip(STATES);
        values.extend(counts.map(|(count, (name, fill, tone, _))| (format!("{fill} {name} {count}"), tone)));
    }
    Plot { values, ..over_time(state, view, Which::Machines, "Machines by state", STATES) }
}

fn queues(state: &State, view: &View) -> Plot {
    let glance = state.history.at(under_cursor(state, view));
    let mut values = vec![when(state, view, glance)];
    if let Some(glance) = glance {
        values.push((format!("tasks waiting {}", glance.waiting), Tone::Active));
        values.push((format!("oldest {}", short(SignedDuration::from_secs(glance.oldest))), Tone::Warn));
    }
    Plot { values, ..over_time(state, view, Which::Queues, "What waits, and for how long", WAITS) }
}

/// Spent so far, where it comes to at the present rate, and between which ends 8 of 10 such periods come out.
fn spend(state: &State, view: &View) -> Plot {
    let (from, to) = window(state, view, Which::Spend);
    let empty = Plot {
        title: "No budget is set".to_owned(),
        series: Vec::new(),
        stacked: false,
        x: [seconds(from), seconds(to)],
        y: [0.0, 1.0],
        x_labels: times(view, from, to),
        y_labels: Vec::new(),
        values: vec![(format!("now {}, today {}", view.spend.rate, view.spend.today), Tone::Plain)],
        cursor: None,
    };
    let Some(budget) = view.spend.tightest() else { return empty };
    let spent_of = |glance: &Glance| {
        let own = glance.spent.iter().find(|(name, _)| *name == budget.name)?;
        (glance.at >= budget.period_start).then_some(own.1)
    };
    let mut spent = vec![(seconds(budget.period_start), 0.0)];
    spent.extend(state.history.glances().filter_map(|glance| Some((seconds(glance.at), amount(spent_of(glance)?)))));
    spent.push((seconds(view.at), amount(budget.spent)));
    let projected = budget.forecast(view.at).projected;
    let ahead = vec![(seconds(view.at), amount(budget.spent)), (seconds(budget.period_end), amount(projected))];
    let likely = budget.likely.filter(|_| budget.period_end > view.at);
    let ends = likely.map(|likely| [likely.least, likely.most]);
    let band: Vec<_> = ends
        .iter()
        .flatten()
        .map(|end| [(seconds(view.at), amount(budget.spent)), (seconds(budget.period_end), amount(*end))].to_vec())
        .collect();
    let limit = [budget.period_start, budget.period_end].map(|at| (seconds(at), amount(budget.limit))).to_vec();
    let likely_most = ends.map_or(Money::ZERO, |[_, most]| most);
    let top = projected.max(budget.limit).max(budget.spent).max(likely_most);
    let at = under_cursor(state, view);
    let known = state.history.at(at).and_then(spent_of).unwrap_or(budget.spent);
    let course = super::words::course(budget, view.at, &view.settings.the_loop.time_zone);
    let series = |name: &str, tone, points| Series { name: name.to_owned(), tone, parts: vec![points], fill: "" };
    let likely_told = ends.map(|[least, most]| (format!("likely {least} to {most}"), Tone::Dim));
    let values = [
        when(state, view, state.history.at(at)),
        (format!("spent {known}"), Tone::Good),
        (format!("limit {}", budget.limit), Tone::Bad),
        (course, Tone::Warn),
    ];
    Plot {
        title: format!("Budget {}", budget.name),
        series: vec![
            Series { parts: band, ..series("8 of 10 such", Tone::Dim, Vec::new()) },
            series("limit", Tone::Bad, limit),
            series("at this rate", Tone::Warn, ahead),
            series("spent", Tone::Good, spent),
        ],
        y: [0.0, amount(top).max(0.01) * 1.05],
        y_labels: vec!["0".to_owned(), dollars(top)],
        values: values.into_iter().chain(likely_told).collect(),
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
                parts: vec![points.map(|(at, boot)| ((first + at) as f64, boot.as_secs() as f64)).collect()],
                fill: "",
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
        stacked: false,
        x: [0.0, (longest.max(2) - 1) as f64],
        y: [0.0, (most.as_secs() as f64 * 1.05).max(1.0)],
        x_labels: vec!["oldest".to_owned(), "newest".to_owned()],
        y_labels: vec!["0".to_owned(), short(most)],
        values,
        cursor: None,
    }
}

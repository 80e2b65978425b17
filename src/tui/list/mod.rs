//! The tables: which rows a page has, filtered and sorted, and what a cell says. Cells are made on demand, so that
//! only visible rows are built.

mod filter;
mod instances;
mod journal;
mod pools;
mod queues;
mod settings;
mod steps;
mod tasks;
mod typed;

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::state::place::{Look, Page, Place, Subject};
use super::theme::Tone;
use crate::engine::event::View;
use crate::model::ids::QueueName;
use crate::model::instance::Instance;
use crate::model::journal::Entry;
use crate::model::money::Rate;
use crate::model::tasks::QueuedTask;

pub(crate) use filter::Filter;
pub(crate) use instances::{held_told, notes, state_of, told};
pub(crate) use pools::detail as pool_detail;
pub(crate) use steps::{Step, about as steps_about};
use typed::Unit;

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub name: &'static str,
    pub side: Side,
    /// For each [`Class`](super::layout::Class), the smallest first; 0: not shown.
    pub widths: [u16; 4],
    /// Of names that begin alike: they are cut in their middle.
    pub is_name: bool,
    /// What its numbers count, for filters.
    unit: Unit,
}

/// The column of what things cost in an hour.
pub(crate) const PRICE: &str = "$/H";

/// Takes the room that is left.
pub(crate) const FILL: u16 = u16::MAX;

impl Column {
    const fn left(name: &'static str, widths: [u16; 4]) -> Self {
        Self { name, side: Side::Left, widths, is_name: false, unit: Unit::Words }
    }

    const fn right(name: &'static str, widths: [u16; 4]) -> Self {
        Self { name, side: Side::Right, widths, is_name: false, unit: Unit::Words }
    }

    const fn name(self) -> Self {
        Self { is_name: true, ..self }
    }

    const fn of(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// A name by which a filter can mean it: one of its words.
    fn asked_by(&self) -> String {
        self.name.split(',').next().unwrap_or_default().to_lowercase()
    }

    /// Whether a filter means it by this name.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let meant = match name.as_str() {
            "cost" | "price" | "rate" => "$/h",
            "id" | "machine" => "instance",
            "note" | "task" => "task, note",
            "worker" | "reason" => "worker, reason",
            "waiting" => "wait",
            "running" => "run",
            "starting" => "start",
            "max" => "min/max",
            "spent" => "today",
            other => other,
        };
        let own = self.name.to_lowercase();
        own == name || own == meant
    }
}

/// What stands where a row and a column meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    pub text: String,
    pub tone: Tone,
    /// Sorted by this, then by the text.
    pub number: i64,
}

impl Cell {
    fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }

    fn number(text: &(impl ToString + ?Sized), number: i64) -> Self {
        Self { text: text.to_string(), number, tone: Tone::Plain }
    }

    /// A count: nothing is dim.
    fn count(count: u32) -> Self {
        let tone = if count == 0 { Tone::Dim } else { Tone::Plain };
        Self { text: count.to_string(), tone, number: i64::from(count) }
    }

    fn none() -> Self {
        Self { text: "-".to_owned(), tone: Tone::Dim, number: i64::MIN }
    }

    /// A number that nobody knows.
    fn unknown(text: &str) -> Self {
        Self { text: text.to_owned(), tone: Tone::Warn, number: i64::MIN }
    }

    fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

/// A row: what it is about, and where in the page's source it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub subject: Subject,
    at: usize,
}

impl Row {
    /// The step of the plan that it shows.
    pub(crate) fn step<'a>(&self, view: &'a View) -> Option<Step<'a>> {
        matches!(self.subject, Subject::Step(_)).then(|| steps::at(&view.plan, self.at)).flatten()
    }

    /// The journal line that it shows.
    pub(crate) fn entry<'a>(&self, journal: &'a VecDeque<Entry>) -> Option<&'a Entry> {
        matches!(self.subject, Subject::Line(..)).then(|| journal.get(self.at)).flatten()
    }
}

/// A page's rows, as they stand on the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct List {
    pub rows: Vec<Row>,
    /// Before the filter.
    pub total: usize,
}

impl List {
    pub(crate) fn position(&self, subject: &Subject) -> Option<usize> {
        self.rows.iter().position(|row| row.subject == *subject)
    }
}

/// What is counted once for a view rather than for each row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub rate_by_queue: BTreeMap<QueueName, Rate>,
}

impl Facts {
    pub(crate) fn of(view: &View) -> Self {
        let mut facts = Self::default();
        for instance in view.snapshot.instances.iter().filter(|instance| instance.counts()) {
            *facts.rate_by_queue.entry(charged(instance).clone()).or_default() += instance.rate.unwrap_or_default();
        }
        facts
    }
}

/// The queue that pays for a machine now: its task's, or its home.
pub(crate) fn charged(instance: &Instance) -> &QueueName {
    instance.task.as_ref().and_then(|task| task.queue.as_ref()).unwrap_or(&instance.home)
}

/// What tables are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data<'a> {
    pub view: &'a View,
    pub facts: &'a Facts,
    pub journal: &'a VecDeque<Entry>,
    /// Of the queue that the page is about.
    pub tasks: &'a [QueuedTask],
    pub now: Timestamp,
}

/// The columns of a page; none where it is not a table.
pub(crate) fn columns(place: &Place) -> &'static [Column] {
    match place.page {
        Page::Queues => &queues::COLUMNS,
        Page::Instances => &instances::COLUMNS,
        Page::Why if place.about.is_none() => &steps::COLUMNS,
        Page::Journal => &journal::COLUMNS,
        Page::Settings => &settings::COLUMNS,
        Page::Pools => &pools::COLUMNS,
        Page::Tasks => &tasks::COLUMNS,
        _ => &[],
    }
}

/// Whether the page's rows may be sorted: a journal is a line of time.
pub(crate) fn sorts(place: &Place) -> bool {
    place.page != Page::Journal && !columns(place).is_empty()
}

pub(crate) fn cell(place: &Place, data: &Data<'_>, row: &Row, column: &'static str) -> Cell {
    match place.page {
        Page::Queues => queues::cell(data, row.at, column).map(|cell| queues::aged(data, column, cell)),
        Page::Instances => instances::cell(data, row, column),
        Page::Why => steps::cell(data, row.at, column),
        Page::Journal => journal::cell(data, row.at, column),
        Page::Settings => settings::cell(data, row, column),
        Page::Pools => pools::cell(data, row.at, column),
        Page::Tasks => tasks::cell(data, row.at, column),
        _ => None,
    }
    .unwrap_or_default()
}

/// The rows of a page, filtered and sorted.
pub(crate) fn list(place: &Place, look: &Look, data: &Data<'_>) -> List {
    let mut rows = match place.page {
        Page::Queues => queues::rows(data),
        Page::Instances => instances::rows(data, place.about.as_ref()),
        Page::Why if place.about.is_none() => steps::rows(data),
        Page::Journal => journal::rows(data, place.about.as_ref()),
        Page::Settings => settings::rows(data),
        Page::Pools => pools::rows(data),
        Page::Tasks => tasks::rows(data, place.about.as_ref()),
        _ => Vec::new(),
    };
    let total = rows.len();
    let columns = columns(place);
    let mut filter = Filter::of_rows(&look.filter, columns);
    if !filter.is_empty() {
        rows.retain(|row| {
            let cells: Vec<Cell> = columns.iter().map(|column| cell(place, data, row, column.name)).collect();
            filter.passes(&cells)
        });
    }
    if let Some(column) = look.sort.filter(|_| sorts(place)) {
        let mut keyed: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let cell = cell(place, data, &row, column);
                ((cell.number, cell.text.to_lowercase()), row)
            })
            .collect();
        // Stable: rows of the same value keep their natural order.
        if look.inverted {
            keyed.sort_by(|(one, _), (other, _)| other.cmp(one));
        } else {
            keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    List { rows, total }
}

//! The queues: demand, supply, limits, money, and what happens next.

use super::{Cell, Column, Data, FILL, Row, Unit};
use crate::model::money::Money;
use crate::model::plan::Outlook;
use crate::model::reason::Reason;
use crate::model::snapshot::{QueueState, Source};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::words::{age, cents, next_in_short, rate};

pub(super) const COLUMNS: [Column; 11] = [
    Column::left("QUEUE", [10, 13, 18, 26]),
    Column::right("WAIT", [4, 5, 6, 6]).of(Unit::Count),
    Column::right("OLDEST", [6, 6, 7, 7]).of(Unit::Span),
    Column::right("RUN", [3, 4, 5, 5]).of(Unit::Count),
    Column::right("IDLE", [0, 4, 5, 5]).of(Unit::Count),
    Column::right("START", [0, 5, 5, 5]).of(Unit::Count),
    Column::right("MIN/MAX", [0, 7, 8, 8]).of(Unit::Count),
    Column::right("$/H", [0, 6, 8, 9]).of(Unit::Money),
    Column::right("TODAY", [0, 7, 9, 9]).of(Unit::Money),
    Column::right("FAULT", [0, 0, 5, 5]).of(Unit::Count),
    Column::left("NEXT", [FILL, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>) -> Vec<Row> {
    let outlooks = data.view.plan.outlooks.iter().enumerate();
    outlooks.map(|(at, outlook)| Row { subject: Subject::Queue(outlook.queue.clone()), at }).collect()
}

pub(super) fn cell(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let outlook = data.view.plan.outlooks.get(at)?;
    Some(match column {
        "QUEUE" => Cell::text(&outlook.queue).toned(Tone::Strong),
        // Nobody has said how many wait.
        "WAIT" if !data.view.snapshot.knows_clearml() => Cell::none(),
        "WAIT" => Cell::count(outlook.waiting),
        "OLDEST" => outlook.oldest.map_or_else(Cell::none, |oldest| {
            let waited = data.now.duration_since(oldest);
            Cell::number(&age(waited), waited.as_secs())
        }),
        "RUN" => Cell::count(outlook.running),
        "IDLE" => Cell::count(outlook.idle),
        "START" => Cell::count(outlook.starting),
        "MIN/MAX" => bounds(data, outlook),
        "$/H" => {
            let rate_now = data.facts.rate_by_queue.get(&outlook.queue).copied().unwrap_or_default();
            Cell::number(&rate(rate_now), rate_now.micros_per_hour())
        }
        "TODAY" => {
            let spent = data.view.spend.queue_today.iter().find(|(queue, _)| *queue == outlook.queue);
            let spent = spent.map_or(Money::ZERO, |(_, money)| *money);
            Cell::number(&cents(spent), spent.micros())
        }
        "FAULT" => Cell::count(outlook.faults).toned(if outlook.faults > 0 { Tone::Bad } else { Tone::Dim }),
        _ => next(data, outlook),
    })
}

/// What its pools keep up, and the most that it may have.
fn bounds(data: &Data<'_>, outlook: &Outlook) -> Cell {
    let Some(settings) = data.view.settings.queue(&outlook.queue) else { return Cell::none() };
    let pools = settings.pools.iter().filter_map(|pool| data.view.settings.pool(pool));
    let min: u32 = pools.map(|pool| pool.min).sum();
    let max = settings.limits.max;
    let shown = max.map_or_else(|| "-".to_owned(), |max| max.to_string());
    Cell::number(&format!("{min}/{shown}"), max.map_or(i64::MAX, i64::from))
}

fn next(data: &Data<'_>, outlook: &Outlook) -> Cell {
    if !data.view.snapshot.knows_clearml() {
        return Cell::text("no answer yet").toned(Tone::Bad);
    }
    let missing = data.view.snapshot.queue(&outlook.queue).is_some_and(|QueueState { id, .. }| id.is_none());
    if missing {
        return Cell::text("no such queue").toned(Tone::Bad);
    }
    match &outlook.next {
        None => Cell::none(),
        Some(reason) => {
            let (text, tone) = match held(data, reason) {
                Some(held) => (held.to_owned(), Tone::Bad),
                None => next_in_short(reason, data.view.plan.at, data.now),
            };
            Cell::text(&text).toned(tone)
        }
    }
}

/// What keeps a machine from being launched that the plan wants: ClearML is silent since it was made, or does not say who
/// leads.
fn held(data: &Data<'_>, reason: &Reason) -> Option<&'static str> {
    let launches = matches!(
        reason,
        Reason::Waiting { .. }
            | Reason::Advised(_)
            | Reason::Warm { .. }
            | Reason::Foreseen { .. }
            | Reason::Rollback { .. }
            | Reason::Retry { .. }
    );
    if !launches {
        return None;
    }
    let stale = data.view.snapshot.source(Source::CLEARML).is_some_and(|clearml| clearml.is_stale(data.now));
    match (stale, data.view.is_unsure()) {
        (true, _) => Some("hold: STALE"),
        (false, true) => Some("hold: ClearML"),
        (false, false) => None,
    }
}

/// A cell as it is shown while ClearML does not answer: what it told last is dim.
pub(super) fn aged(data: &Data<'_>, column: &str, cell: Cell) -> Cell {
    let of_clearml = matches!(column, "WAIT" | "OLDEST" | "RUN" | "IDLE");
    let silent = |clearml: &Source| clearml.error.is_some() || clearml.is_stale(data.now);
    let dims = of_clearml && data.view.snapshot.source(Source::CLEARML).is_some_and(silent);
    if dims { cell.toned(Tone::Dim) } else { cell }
}

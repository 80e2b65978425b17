//! What is allowed: the limits of everything, of each queue and of each pool, with what is used of them; the budgets.

use super::{Cell, Column, Data, FILL, Row, Unit};
use crate::model::money::{Exact, Money, Rate};
use crate::model::settings::{Limits, Market, OnLost};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::usage::Usage;
use crate::tui::words::rate;

pub(super) const COLUMNS: [Column; 7] = [
    Column::left("OF", [0, 6, 8, 8]),
    Column::left("NAME", [13, 16, 20, 28]),
    Column::right("MAX", [9, 9, 10, 10]).of(Unit::Count),
    Column::right("GPU", [0, 9, 9, 11]).of(Unit::Count),
    Column::right("VCPU", [0, 0, 11, 11]).of(Unit::Count),
    Column::right("$/H", [FILL, 15, 17, 17]).of(Unit::Money),
    Column::left("MORE", [0, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>) -> Vec<Row> {
    let settings = &data.view.settings;
    let all = [Row { subject: Subject::All, at: 0 }];
    let row = |(at, subject)| Row { subject, at };
    let queues = settings.queues.iter().map(|queue| Subject::Queue(queue.name.clone())).enumerate().map(row);
    let pools = settings.pools.iter().map(|pool| Subject::Pool(pool.name.clone())).enumerate().map(row);
    let budgets = settings.budgets.iter().map(|budget| Subject::Budget(budget.name.clone())).enumerate().map(row);
    all.into_iter().chain(budgets).chain(queues).chain(pools).collect()
}

pub(super) fn cell(data: &Data<'_>, row: &Row, column: &str) -> Option<Cell> {
    let settings = &data.view.settings;
    match column {
        "OF" => return Some(Cell::text(if row.subject == Subject::All { "all" } else { row.subject.kind() })),
        "NAME" => return Some(Cell::text(&row.subject.name()).toned(Tone::Strong)),
        _ => {}
    }
    let limits = match &row.subject {
        Subject::All => settings.limits,
        Subject::Queue(_) => settings.queues.get(row.at)?.limits,
        Subject::Pool(_) => settings.pools.get(row.at)?.limits,
        _ => return budget(data, row.at, column),
    };
    let usage = Usage::of(data.view, &row.subject);
    Some(limit(column, &limits, &usage).unwrap_or_else(|| Cell::text(&more(data, row).unwrap_or_default())))
}

fn limit(column: &str, limits: &Limits, usage: &Usage) -> Option<Cell> {
    let (used, max) = match column {
        "MAX" => (usage.instances, limits.max),
        "GPU" => (usage.gpu, limits.max_gpu),
        "VCPU" => (usage.vcpu, limits.max_vcpu),
        "$/H" => {
            let max = limits.max_hourly;
            let shown = max.map_or_else(|| "-".to_owned(), rate);
            let cell = Cell::number(&format!("{} of {shown}", rate(usage.rate)), usage.rate.micros_per_hour());
            return Some(cell.toned(full(max.is_some_and(|max| usage.rate >= max && max > Rate::ZERO))));
        }
        _ => return None,
    };
    let shown = max.map_or_else(|| "-".to_owned(), |max| max.to_string());
    let cell = Cell::number(&format!("{used} of {shown}"), i64::from(used));
    Some(cell.toned(full(max.is_some_and(|max| used >= max && max > 0))))
}

fn full(is_full: bool) -> Tone {
    if is_full { Tone::Warn } else { Tone::Plain }
}

fn budget(data: &Data<'_>, at: usize, column: &str) -> Option<Cell> {
    let budget = data.view.settings.budgets.get(at)?;
    let state = data.view.spend.budgets.iter().find(|state| state.name == budget.name);
    Some(match column {
        "MORE" => {
            let used = state.map_or(Money::ZERO, |state| state.spent + state.committed);
            let (per, over) = (budget.per, budget.scope.words());
            let kind = if budget.hard { "hard" } else { "soft" };
            let amounts = format!("{used} of {} spent or committed", Exact(budget.limit));
            Cell::text(&format!("{amounts}, {per}, over {over}, {kind}")).toned(full(used >= budget.limit))
        }
        _ => Cell::none(),
    })
}

/// What else decides.
fn more(data: &Data<'_>, row: &Row) -> Option<String> {
    let settings = &data.view.settings;
    Some(match &row.subject {
        Subject::Queue(_) => {
            let queue = settings.queues.get(row.at)?;
            let pools: Vec<_> = queue.pools.iter().map(ToString::to_string).collect();
            let lost = match queue.on_lost {
                OnLost::Never => "never".to_owned(),
                OnLost::Requeue(times) => format!("requeue:{times}"),
            };
            format!("priority {}, pools {}, on_lost {lost}", queue.priority, pools.join(" "))
        }
        Subject::Pool(_) => {
            let pool = settings.pools.get(row.at)?;
            let market = match pool.market {
                Market::OnDemand => "on-demand",
                Market::Spot => "spot",
            };
            let price = pool.price.map(|price| format!(", price {price}")).unwrap_or_default();
            let types: Vec<_> = pool.types.iter().map(ToString::to_string).collect();
            format!("min {}, keep-alive {}, {market} {}{price}", pool.min, pool.keep_alive, types.join(" "))
        }
        _ => format!("fleet {}", settings.the_loop.fleet),
    })
}

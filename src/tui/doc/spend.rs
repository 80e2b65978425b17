//! What it costs: now, today, this month; each budget with its bar; by queue and pool; hour by hour.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Line, fact, heading};
use crate::engine::event::{BudgetState, View};
use crate::model::account::Account;
use crate::model::calendar::bounds;
use crate::model::money::Money;
use crate::model::prices::PriceSource;
use crate::model::report::NOBODY;
use crate::model::settings::{BudgetScope, Per, Period};
use crate::tui::theme::Tone;
use crate::tui::words::{cents, clock, day_and_minute, plural, time_or_day, wrap};

/// Whose an account is, in one sense.
type Named<'a> = dyn Fn(&Account) -> Option<String> + 'a;

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn lines(view: &View, width: usize) -> Vec<Line> {
    let spend = &view.spend;
    let a_day = spend.rate.cost(DAY);
    let mut lines =
        vec![Line::of(format!("now {}", spend.rate), Tone::Strong).and(format!(" = {a_day} a day"), Tone::Plain)];
    let sums = format!("today {}   month {}   in all {}", spend.today, spend.month, spend.total);
    lines.extend(super::wrapped(&sums, Tone::Plain, width));
    lines.extend(today(view, width));
    lines.extend(whole(view, width));
    if !spend.budgets.is_empty() {
        lines.push(Line::default());
        lines.push(heading("Budgets"));
        for budget in &spend.budgets {
            lines.extend(budget_lines(budget, view, width));
        }
    }
    lines.push(Line::default());
    lines.extend(hours(&spend.today_by_hour, width));
    lines.push(Line::default());
    lines.push(heading("Today by queue"));
    lines.extend(shares(spend.queue_today.iter().map(|(queue, money)| (queue.to_string(), *money)), width));
    let pool = |account: &Account| Some(account.pool.to_string());
    let project = |account: &Account| account.owner.project.as_ref().map(ToString::to_string);
    let user = |account: &Account| account.owner.user.as_ref().map(ToString::to_string);
    let parts: [(&str, &Named<'_>); 3] =
        [("Today by pool", &pool), ("Today by project", &project), ("Today by user", &user)];
    for (title, name) in parts {
        let mut sums: BTreeMap<String, Money> = BTreeMap::new();
        for (account, money) in &spend.today_by_account {
            *sums.entry(name(account).unwrap_or_else(|| NOBODY.to_owned())).or_default() += *money;
        }
        // Where nobody is named there is nothing to compare.
        if sums.keys().all(|name| name == NOBODY) && title != "Today by pool" {
            continue;
        }
        lines.push(Line::default());
        lines.push(heading(title));
        lines.extend(shares(sums.into_iter(), width));
    }
    lines.extend(waste(view, width));
    lines.push(Line::default());
    lines.push(heading("Prices"));
    lines.extend(prices(view, width));
    lines
}

/// Today against what the tightest budget over everything leaves for each of its days that are left, this one included.
fn today(view: &View, width: usize) -> Vec<Line> {
    let zone = &view.settings.the_loop.time_zone;
    let over_all = |budget: &&BudgetState| {
        let by_days = matches!(budget.per, Per::Calendar(per) if per != Period::Hour);
        budget.scope == BudgetScope::All && by_days
    };
    let today = bounds(Period::Day, zone, view.at);
    let lines = view.spend.budgets.iter().filter(over_all).map(|budget| {
        let left = (budget.limit - (budget.spent - view.spend.today)).max(Money::ZERO);
        let seconds = budget.period_end.duration_since(today.start).as_secs().max(1);
        let days = (seconds + DAY.as_secs() / 2) / DAY.as_secs();
        (Money::from_micros(left.micros() / days.max(1)), budget)
    });
    let Some((line, budget)) = lines.min_by_key(|(line, _)| *line) else { return Vec::new() };
    let cells = (width / 3).clamp(8, 40);
    let (spent, _, free) = bar(view.spend.today, Money::ZERO, line, cells);
    let tone = if view.spend.today > line { Tone::Warn } else { Tone::Good };
    let told = format!("{} of {line} that budget {} leaves for a day", view.spend.today, budget.name);
    let mut lines = vec![Line::of("today ", Tone::Dim).and(spent, tone).and(free, Tone::Dim)];
    lines.extend(super::wrapped(&told, tone, width));
    lines
}

/// What ran no task today.
fn waste(view: &View, width: usize) -> Vec<Line> {
    let waste = &view.spend.waste_today;
    let all = waste.total();
    let percent = i128::from(all.micros()) * 100 / i128::from(view.spend.today.micros().max(1));
    let told = format!("   {all}, {percent}% of today");
    let mut lines = vec![Line::default(), heading("Today without a task").and(told, Tone::Plain)];
    let parts = waste.parts().map(|(used, money)| (used.words().to_owned(), money));
    lines.extend(shares(parts.into_iter(), width));
    lines
}

/// Where the prices are from, and how old they are.
fn prices(view: &View, width: usize) -> Vec<Line> {
    if view.prices.is_empty() {
        return super::wrapped("from the settings, else from the table that ships with this version", Tone::Dim, width);
    }
    let told = |source: &PriceSource| {
        let tone = if source.error.is_some() || !source.refused.is_empty() { Tone::Warn } else { Tone::Plain };
        super::wrapped(&format!("{}: {}", source.name(), source.told(view.at)), tone, width)
    };
    view.prices.iter().flat_map(told).collect()
}

/// How far the figures can be trusted.
fn whole(view: &View, width: usize) -> Vec<Line> {
    let zone = &view.settings.the_loop.time_zone;
    let since = match view.spend.whole_since {
        Some(since) => format!("every machine since {}", clock(since, zone)),
        None => "not known to be whole: money before this start may be missing".to_owned(),
    };
    let mut lines = fact("ledger", &since, width);
    if !view.spend.unpriced.is_empty() {
        let ids: Vec<_> = view.spend.unpriced.iter().map(ToString::to_string).collect();
        let text = format!(
            "{} without a known price, counted as nothing: {}",
            plural(ids.len(), "machine", "machines"),
            ids.join(", ")
        );
        lines.extend(super::wrapped(&text, Tone::Warn, width));
    }
    lines
}

/// A part of the whole as a bar: spent, committed, free.
fn bar(spent: Money, committed: Money, limit: Money, cells: usize) -> (String, String, String) {
    let cells_of = |money: Money| {
        let limit = i128::from(limit.micros().max(1));
        let part = i128::from(money.micros().max(0)) * i128::try_from(cells).unwrap_or(0) / limit;
        usize::try_from(part).unwrap_or(cells).min(cells)
    };
    let spent_cells = cells_of(spent);
    let used_cells = cells_of(spent + committed).max(spent_cells);
    ("█".repeat(spent_cells), "▓".repeat(used_cells - spent_cells), "░".repeat(cells - used_cells))
}

fn budget_lines(budget: &BudgetState, view: &View, width: usize) -> Vec<Line> {
    let zone = &view.settings.the_loop.time_zone;
    let cells = (width / 3).clamp(8, 40);
    let used = budget.spent + budget.committed;
    let tone = if used >= budget.limit {
        Tone::Bad
    } else if used.micros() >= budget.limit.micros() / 100 * 80 {
        Tone::Warn
    } else {
        Tone::Good
    };
    let (spent, committed, free) = bar(budget.spent, budget.committed, budget.limit, cells);
    let percent = i128::from(used.micros()) * 100 / i128::from(budget.limit.micros().max(1));
    let kind = if budget.hard { "hard" } else { "soft" };
    let end = day_and_minute(budget.period_end, zone);
    let left = (budget.limit - used).max(Money::ZERO);
    let name = crate::tui::words::fit(budget.name.as_str(), 14);
    let mut lines = vec![
        Line::of(format!("{name:<14} "), Tone::Strong)
            .and(spent, tone)
            .and(committed, Tone::Active)
            .and(free, Tone::Dim)
            .and(format!(" {percent}%"), tone)
            .and(format!("  {kind}, until {end}"), Tone::Dim),
    ];
    let numbers = format!("{} spent + {} committed of {}; {left} free", budget.spent, budget.committed, budget.limit);
    lines.extend(wrap(&numbers, width.saturating_sub(2)).into_iter().map(|part| Line::plain(format!("  {part}"))));
    let (text, tone) = forecast_told(budget, view);
    lines.extend(wrap(&text, width.saturating_sub(2)).into_iter().map(|part| Line::of(format!("  {part}"), tone)));
    let told = [likely_told(budget, view), steps_told(budget), Some(bound_told(budget))];
    for (text, tone) in told.into_iter().flatten() {
        lines.extend(wrap(&text, width.saturating_sub(2)).into_iter().map(|part| Line::of(format!("  {part}"), tone)));
    }
    lines
}

/// `at $65.87/h it crosses at 14:20:00 if nothing changes`.
fn forecast_told(budget: &BudgetState, view: &View) -> (String, Tone) {
    let zone = &view.settings.the_loop.time_zone;
    let (forecast, rate) = (budget.forecast(view.at), budget.rate);
    match forecast.crosses {
        Some(at) if at <= view.at => ("its limit is reached".to_owned(), Tone::Bad),
        Some(at) => {
            let at = time_or_day(at, view.at, zone);
            (format!("at {rate} it crosses at {at} if nothing changes"), Tone::Warn)
        }
        None => (format!("at {rate} it ends with {} if nothing changes", forecast.projected), Tone::Plain),
    }
}

/// `likely it crosses between 13:50:00 and 16:10:00 (8 of 10 such, by the last 312 hours)`.
fn likely_told(budget: &BudgetState, view: &View) -> Option<(String, Tone)> {
    let likely = budget.likely.filter(|_| budget.spent < budget.limit)?;
    let zone = &view.settings.the_loop.time_zone;
    let clock = |at| time_or_day(at, view.at, zone);
    let what = match (likely.earliest, likely.latest) {
        (Some(first), Some(last)) => format!("likely it crosses between {} and {}", clock(first), clock(last)),
        (Some(first), None) => format!("likely it crosses at {} at the earliest, or not at all", clock(first)),
        _ if likely.least == likely.most => format!("likely it ends with {}", likely.least),
        _ => format!("likely it ends with {} to {}", likely.least, likely.most),
    };
    let basis = match likely.hours {
        0 => "between half and twice the present rate: less than a day is known".to_owned(),
        hours => format!("8 of 10 such, by the last {hours} hours"),
    };
    Some((format!("{what} ({basis})"), Tone::Plain))
}

/// The step that holds, and the one that comes next.
fn steps_told(budget: &BudgetState) -> Option<(String, Tone)> {
    let next = budget.next_step().map(|rung| format!("{} from {} on", rung.step, rung.amount(budget.limit)));
    let told = match (budget.step(), next) {
        (Some(rung), Some(next)) => format!("{} since {}; then {next}", rung.step, rung.amount(budget.limit)),
        (Some(rung), None) => format!("{} since {}", rung.step, rung.amount(budget.limit)),
        (None, Some(next)) => next,
        (None, None) => return None,
    };
    Some((told, if budget.step().is_some() { Tone::Warn } else { Tone::Plain }))
}

/// `it cannot come to more than $1811.05 with what is up: the machines' max_life`.
fn bound_told(budget: &BudgetState) -> (String, Tone) {
    match budget.bound {
        Some(bound) if bound.most <= budget.limit => ("what is up now cannot pass it".to_owned(), Tone::Plain),
        Some(bound) => {
            let over = bound.most - budget.limit;
            (format!("what is up now can pass it by {over} at most, by {}", bound.by.words()), Tone::Plain)
        }
        None => ("nothing bounds by how much what is up now can pass it".to_owned(), Tone::Warn),
    }
}

/// One bar an hour; the tallest is the dearest.
fn hours(by_hour: &[Money], width: usize) -> Vec<Line> {
    const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let Some(most) = by_hour.iter().copied().max().filter(|most| *most > Money::ZERO) else {
        return vec![heading("Today by hour"), Line::of("nothing yet", Tone::Dim)];
    };
    let each = if width >= 74 { 3 } else { 1 };
    let mut bars = String::new();
    for money in by_hour {
        let level = i128::from(money.micros().max(0)) * 8 / i128::from(most.micros().max(1));
        let level = usize::try_from(level).unwrap_or(0).min(7);
        let sign = if *money == Money::ZERO { " " } else { LEVELS.get(level).copied().unwrap_or(" ") };
        bars.push_str(&sign.repeat(each));
    }
    let mut scale = String::new();
    for hour in 0..by_hour.len() {
        let label = format!("{hour:<each$}");
        scale.push_str(if each > 1 || hour % 10 == 0 { label.get(..each).unwrap_or(" ") } else { " " });
    }
    vec![
        heading("Today by hour")
            .and(format!("   most {most}, this hour {}", by_hour.last().copied().unwrap_or_default()), Tone::Plain),
        Line::of(bars, Tone::Active),
        Line::of(scale, Tone::Dim),
    ]
}

/// To the cent, as tables show it.
fn amount(money: Money) -> String {
    const CENT: Money = Money::from_micros(10_000);
    if money < CENT { "<0.01".to_owned() } else { cents(money) }
}

/// Names with amounts, the dearest first, each with its part of the whole.
fn shares(parts: impl Iterator<Item = (String, Money)>, width: usize) -> Vec<Line> {
    let mut parts: Vec<_> = parts.filter(|(_, money)| *money > Money::ZERO).collect();
    parts.sort_by(|(one_name, one), (other_name, other)| other.cmp(one).then_with(|| one_name.cmp(other_name)));
    let all: Money = parts.iter().map(|(_, money)| *money).sum();
    let cells = (width / 3).clamp(6, 40);
    let lines: Vec<_> = parts
        .into_iter()
        .map(|(name, money)| {
            let (bar, ..) = bar(money, Money::ZERO, all, cells);
            let name = crate::tui::words::fit(&name, 16);
            Line::of(format!("{name:<16} {:>9} ", amount(money)), Tone::Plain).and(bar, Tone::Active)
        })
        .collect();
    if lines.is_empty() { vec![Line::of("nothing yet", Tone::Dim)] } else { lines }
}

//! `status`: the fleet at a glance.

use std::collections::BTreeMap;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, clock, or_dash, short, tell, view};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::table::{Side, plain, table};
use crate::engine::event::{BudgetState, Leader, View};
use crate::model::bound::Ends;
use crate::model::breaker::Breaker;
use crate::model::ids::{BudgetName, PoolName};
use crate::model::instance::Phase;
use crate::model::prices::PriceSource;
use crate::model::snapshot::Quota;

/// Show the fleet at a glance: mode, demand, machines, money, and how old the facts are
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    form: Form,
}

impl Status {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let view = view(place).await?;
        tell(&self.form, &view, "status", &summary(&view), &text(&view))
    }
}

/// What `status --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Summary {
    armed: bool,
    paused: bool,
    /// Who acts, where it is not this loop.
    led_by: Option<String>,
    /// The term in which this loop leads.
    term: Option<u64>,
    leads_since: Option<jiff::Timestamp>,
    /// Other autoscalers on our queues.
    rivals: Vec<String>,
    next_pass: jiff::Timestamp,
    tasks_waiting: u32,
    /// Entries of queues that no task waits behind.
    phantom_entries: usize,
    tasks_running: u32,
    /// Everything that is not proved gone.
    instances: usize,
    /// Launches whose machines are not known yet.
    intents: usize,
    faults: usize,
    /// Made otherwise than one would be made now.
    drifted: usize,
    rate_microusd_per_hour: i64,
    today_microusd: i64,
    month_microusd: i64,
    total_microusd: i64,
    budgets: Vec<BudgetLine>,
    sources: Vec<SourceLine>,
    prices: Vec<PriceLine>,
    back_offs: Vec<BackOffLine>,
    /// How many of each pool's machines in a row never registered.
    boots_failed: BTreeMap<PoolName, u32>,
    settings_revision: String,
    settings_problem: Option<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct BudgetLine {
    name: BudgetName,
    hard: bool,
    limit_microusd: i64,
    spent_microusd: i64,
    committed_microusd: i64,
    period_end: jiff::Timestamp,
    rate_microusd_per_hour: i64,
    /// Spent at the period's end, if nothing changes.
    projected_microusd: i64,
    /// When the limit is reached, if nothing changes.
    crosses: Option<jiff::Timestamp>,
    scope: String,
    per: String,
    /// The step that holds.
    step: Option<String>,
    next_step: Option<String>,
    /// What is spent where the next step is taken.
    next_step_microusd: Option<i64>,
    /// The most that the period can come to with what is up or on its way; none: nothing bounds it.
    bound_microusd: Option<i64>,
    bound_by: Option<Ends>,
    likely: Option<LikelyLine>,
}

/// 8 of 10 cases, by the past.
#[derive(Debug, Serialize, JsonSchema)]
struct LikelyLine {
    earliest: Option<jiff::Timestamp>,
    latest: Option<jiff::Timestamp>,
    least_microusd: i64,
    most_microusd: i64,
    /// Of the past that they are made of.
    hours: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SourceLine {
    name: String,
    /// Absent: it has not answered yet.
    age_seconds: Option<i64>,
    stale: bool,
    error: Option<String>,
    /// Absent: they never end, or nobody knows.
    credentials_end: Option<jiff::Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PriceLine {
    /// Of which market, and where.
    prices: String,
    /// Absent: the table's are used.
    age_seconds: Option<i64>,
    /// Machine types whose told price is used.
    believed: usize,
    /// Prices of disks and addresses, likewise.
    beside: usize,
    refused: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct BackOffLine {
    /// What `reset` and the screen call it.
    on: String,
    pools: Vec<PoolName>,
    class: &'static str,
    strikes: u32,
    since: jiff::Timestamp,
    until: jiff::Timestamp,
    at_most: u32,
    quota: Option<Quota>,
    message: String,
}

pub(super) fn summary(view: &View) -> Summary {
    let up = || view.snapshot.instances.iter().filter(|instance| instance.counts());
    let outlooks = &view.plan.outlooks;
    Summary {
        armed: view.mode.armed,
        paused: view.mode.paused,
        led_by: match &view.leader {
            Leader::Us(_) => None,
            Leader::Other(who) => Some(who.clone()),
        },
        term: match view.leader {
            Leader::Us(term) => Some(term.0),
            Leader::Other(_) => None,
        },
        leads_since: view.leads_since,
        rivals: view.rivals.clone(),
        next_pass: view.next_pass,
        tasks_waiting: outlooks.iter().map(|outlook| outlook.waiting).sum(),
        phantom_entries: view.snapshot.queues.iter().map(|queue| queue.phantoms.len()).sum(),
        tasks_running: outlooks.iter().map(|outlook| outlook.running).sum(),
        instances: up().count(),
        intents: view.snapshot.intents.len(),
        faults: up().filter(|instance| instance.fault.is_some()).count(),
        drifted: up().filter(|instance| !instance.drift.is_empty()).count(),
        rate_microusd_per_hour: view.spend.rate.micros_per_hour(),
        today_microusd: view.spend.today.micros(),
        month_microusd: view.spend.month.micros(),
        total_microusd: view.spend.total.micros(),
        budgets: view.spend.budgets.iter().map(|budget| budget_line(budget, view.at)).collect(),
        sources: view
            .snapshot
            .sources
            .iter()
            .map(|source| SourceLine {
                name: source.name.clone(),
                age_seconds: source.age(view.at).map(|age| age.as_secs()),
                stale: source.is_stale(view.at),
                error: source.error.clone(),
                credentials_end: source.credentials_end,
            })
            .collect(),
        prices: view.prices.iter().map(|source| price_line(source, view.at)).collect(),
        back_offs: view.snapshot.breakers.iter().map(|breaker| back_off_line(breaker, view)).collect(),
        boots_failed: view.snapshot.boots_failed.clone(),
        settings_revision: view.settings.revision.to_string(),
        settings_problem: view.settings_problem.clone(),
        warnings: view.warnings.clone(),
    }
}

fn price_line(source: &PriceSource, now: jiff::Timestamp) -> PriceLine {
    PriceLine {
        prices: source.name(),
        age_seconds: source.good.map(|good| now.duration_since(good).as_secs()),
        believed: source.believed,
        beside: source.beside,
        refused: source.refused.clone(),
        error: source.error.clone(),
    }
}

fn back_off_line(breaker: &Breaker, view: &View) -> BackOffLine {
    let pools = view.settings.pools.iter().filter(|pool| breaker.on.touches(pool));
    BackOffLine {
        on: breaker.on.to_string(),
        pools: pools.map(|pool| pool.name.clone()).collect(),
        class: breaker.class.word(),
        strikes: breaker.strikes,
        since: breaker.since,
        until: breaker.until,
        at_most: breaker.at_most,
        quota: breaker.quota.clone(),
        message: breaker.message.clone(),
    }
}

pub(in crate::cli) fn budget_line(budget: &BudgetState, now: jiff::Timestamp) -> BudgetLine {
    let forecast = budget.forecast(now);
    BudgetLine {
        name: budget.name.clone(),
        hard: budget.hard,
        limit_microusd: budget.limit.micros(),
        spent_microusd: budget.spent.micros(),
        committed_microusd: budget.committed.micros(),
        period_end: budget.period_end,
        rate_microusd_per_hour: budget.rate.micros_per_hour(),
        projected_microusd: forecast.projected.micros(),
        crosses: forecast.crosses,
        scope: budget.scope.to_string(),
        per: budget.per.to_string(),
        step: budget.step().map(|rung| rung.step.to_string()),
        next_step: budget.next_step().map(|rung| rung.step.to_string()),
        next_step_microusd: budget.next_step().map(|rung| rung.amount(budget.limit).micros()),
        bound_microusd: budget.bound.map(|bound| bound.most.micros()),
        bound_by: budget.bound.map(|bound| bound.by),
        likely: budget.likely.map(|likely| LikelyLine {
            earliest: likely.earliest,
            latest: likely.latest,
            least_microusd: likely.least.micros(),
            most_microusd: likely.most.micros(),
            hours: likely.hours,
        }),
    }
}

pub(super) fn text(view: &View) -> String {
    let summary = summary(view);
    let since = summary.leads_since.map(|since| format!(" since {}", clock(since))).unwrap_or_default();
    let leads = match (&summary.led_by, summary.term) {
        (Some(who), _) => format!("only watches: {who} leads"),
        (None, Some(term)) => format!("leads{since} (term {term})"),
        (None, None) => "leads".to_owned(),
    };
    let until = short(view.next_pass.duration_since(view.at));
    let head = format!(
        "{}: {}, this loop {leads}; seen {}, next look in {until}\n",
        plain(view.fleet.as_str()),
        view.mode.word(),
        clock(view.at)
    );
    let Summary { tasks_waiting, tasks_running, .. } = &summary;
    let waiting = if view.snapshot.knows_clearml() {
        format!("{tasks_waiting} waiting")
    } else {
        "waiting not known, ClearML has not answered yet".to_owned()
    };
    let spend = &view.spend;
    let figures = format!(
        "tasks      {waiting}, {tasks_running} running\n\
         instances  {}\n\
         spend      {}, today {}, this month {}, in all {}\n",
        instances(view, &summary),
        spend.rate,
        spend.today,
        spend.month,
        spend.total
    );
    let phantoms = view.snapshot.queues.iter().filter_map(|queue| Some((queue, queue.phantoms_told()?)));
    let phantoms = phantoms.map(|(queue, told)| format!("{:<10} {told}\n", plain(queue.name.as_str())));
    let figures = std::iter::once(figures).chain(phantoms).collect();
    let rivals = summary.rivals.iter().map(|rival| format!("another autoscaler acts: {}\n", plain(rival)));
    let head = std::iter::once(head).chain(rivals).collect();
    let mut paragraphs = vec![head, figures];
    if !spend.budgets.is_empty() {
        paragraphs.push(budgets(&spend.budgets, view.at));
    }
    paragraphs.push(sources(&summary.sources));
    paragraphs.push(prices(&view.prices, view.at));
    let back_offs: Vec<String> =
        view.snapshot.breakers.iter().map(|breaker| plain(&breaker.told(view.at)) + "\n").collect();
    if !back_offs.is_empty() {
        paragraphs.push(back_offs.concat());
    }
    let problem = summary.settings_problem.iter().map(|problem| format!("what runs is not what is on disk: {problem}"));
    let warnings = problem.chain(summary.warnings.iter().cloned());
    paragraphs.extend(warnings.map(|warning| format!("! {}\n", plain(&warning))));
    paragraphs.join("\n")
}

/// `5: 1 booting, 2 busy, 1 idle; 1 fault`
fn instances(view: &View, summary: &Summary) -> String {
    const SHOWN: [Phase; 6] =
        [Phase::Pending, Phase::Booting, Phase::Idle, Phase::Busy, Phase::Draining, Phase::Stopping];
    let mut parts = Vec::new();
    if summary.intents > 0 {
        parts.push(format!("{} intended", summary.intents));
    }
    for phase in SHOWN {
        let count = view.snapshot.instances.iter().filter(|instance| instance.phase == phase).count();
        if count > 0 {
            parts.push(format!("{count} {}", phase.word()));
        }
    }
    let faults = if summary.faults == 0 { String::new() } else { format!("; {} with a fault", summary.faults) };
    let drifted = if summary.drifted == 0 { String::new() } else { format!("; {} drifted", summary.drifted) };
    let phases = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}{phases}{faults}{drifted}", summary.instances + summary.intents)
}

fn budgets(budgets: &[BudgetState], now: jiff::Timestamp) -> String {
    let rows: Vec<_> = budgets.iter().map(|budget| budget_row(budget, now)).collect();
    table(BUDGET_HEAD, &rows)
}

pub(in crate::cli) const BUDGET_HEAD: [(&str, Side); 7] = [
    ("BUDGET", Side::Left),
    ("SPENT", Side::Right),
    ("COMMITTED", Side::Right),
    ("LIMIT", Side::Right),
    ("KIND", Side::Left),
    ("UNTIL", Side::Left),
    ("IF NOTHING CHANGES", Side::Left),
];

pub(in crate::cli) fn budget_row(budget: &BudgetState, now: jiff::Timestamp) -> [String; 7] {
    [
        budget.name.to_string(),
        budget.spent.to_string(),
        budget.committed.to_string(),
        budget.limit.to_string(),
        if budget.hard { "hard" } else { "soft" }.to_owned(),
        clock(budget.period_end),
        forecast(budget, now),
    ]
}

/// `crosses 2026-11-02 14:20:00Z`, or `$812.40 at its end`.
fn forecast(budget: &BudgetState, now: jiff::Timestamp) -> String {
    let forecast = budget.forecast(now);
    match forecast.crosses {
        Some(at) if at <= now => "spent".to_owned(),
        Some(at) => format!("crosses {}", clock(at)),
        None => format!("{} at its end", forecast.projected),
    }
}

/// Where the prices are from, and how old they are.
fn prices(sources: &[PriceSource], now: jiff::Timestamp) -> String {
    if sources.is_empty() {
        return "prices     from the settings, else from the table that ships with this version\n".to_owned();
    }
    let lines: Vec<_> =
        sources.iter().map(|source| format!("prices     {}: {}\n", source.name(), plain(&source.told(now)))).collect();
    lines.concat()
}

fn sources(sources: &[SourceLine]) -> String {
    let head = [("SOURCE", Side::Left), ("AGE", Side::Right), ("NOTE", Side::Left)];
    let rows: Vec<_> = sources
        .iter()
        .map(|source| {
            let stale = if source.stale { "too old to act on; " } else { "" };
            let end = source.credentials_end.map(|end| format!("credentials until {}; ", end.strftime("%H:%M:%SZ")));
            let note = format!("{stale}{}{}", end.unwrap_or_default(), source.error.as_deref().unwrap_or_default());
            let age = source.age_seconds.map(|age| short(jiff::SignedDuration::from_secs(age)));
            [source.name.clone(), or_dash(age), note.trim_end_matches("; ").to_owned()]
        })
        .collect();
    table(head, &rows)
}

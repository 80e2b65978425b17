//! A report for people and for programs.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::page::zone_name;
use crate::cli::read::status::{BUDGET_HEAD, BudgetLine, budget_line, budget_row};
use crate::cli::say::Version;
use crate::cli::table::{Side, plain, table};
use crate::engine::event::BudgetState;
use crate::model::ids::FleetId;
use crate::model::money::Money;
use crate::model::report::{By, Day, Report};
use crate::model::settings::{Budget, BudgetScope, Per, Period};

/// What is told of a stretch of time.
pub(super) struct Told<'a> {
    pub report: &'a Report,
    pub fleet: Option<&'a FleetId>,
    pub zone: &'a TimeZone,
    /// As they stand now.
    pub budgets: &'a [BudgetState],
    /// As the settings have them.
    pub limits: &'a [Budget],
    pub whole_since: Option<Timestamp>,
}

/// `2026-11-02`, in the time zone.
pub(super) fn day_name(day: &Day, zone: &TimeZone) -> String {
    day.bounds.start.to_zoned(zone.clone()).date().to_string()
}

/// `23.4 %`, for people.
pub(super) fn share(money: Money, total: Money) -> String {
    if total == Money::ZERO {
        return String::new();
    }
    format!("{:.1} %", money.as_dollars() / total.as_dollars() * 100.0)
}

impl Told<'_> {
    /// `2026-11-01 00:00 to 2026-12-01 00:00 (Europe/Berlin), as billed up to 2026-11-29 02:00`
    fn span(&self) -> String {
        let clock = |at: Timestamp| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
        let span = self.report.span;
        let up_to = if span.end > self.report.now {
            format!(", as billed up to {}", clock(self.report.now))
        } else {
            String::new()
        };
        format!("{} to {} ({}){up_to}", clock(span.start), clock(span.end), zone_name(self.zone))
    }

    /// Why there is nothing to report.
    pub(super) fn nothing(&self) -> String {
        let since = match self.whole_since {
            Some(since) => format!("the ledger holds every machine since {since}"),
            None => "the ledger has not begun".to_owned(),
        };
        format!("nothing was spent from {}: no machine ran; {since}", self.span())
    }

    pub(super) fn head(&self) -> Vec<String> {
        let Report { span, now, .. } = self.report;
        let machines = self.report.machines();
        let machines = if machines == 1 { "1 machine".to_owned() } else { format!("{machines} machines") };
        let hours = span.end.min(*now).duration_since(span.start).max(SignedDuration::from_hours(1)).as_secs() / 3_600;
        let total = self.report.total();
        let each = Money::from_micros(total.micros() / hours.max(1));
        let waste = self.report.waste();
        let parts = waste.parts().map(|(used, money)| format!("{} {money}", used.words())).join(", ");
        vec![
            self.span(),
            format!("{total} for {machines}, {each} an hour in the mean"),
            format!("of it without a task {} ({parts})", waste.total()),
        ]
    }

    /// How far the figures can be trusted.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.whole_since {
            None => notes.push("the ledger is not known to be whole: money may be missing".to_owned()),
            Some(since) if since > self.report.span.start => {
                notes
                    .push(format!("the ledger holds every machine since {since} only: what ran before may be missing"));
            }
            Some(_) => {}
        }
        match self.report.unpriced() {
            0 => {}
            count => notes.push(format!("machines without a known price, counted as nothing: {count}")),
        }
        notes
    }

    /// The tightest budget over everything, spread evenly over its days, and what it is.
    pub(super) fn a_day(&self) -> Option<(String, Money)> {
        let days = |per: Per| match per {
            Per::Calendar(Period::Day) => Some(1),
            Per::Calendar(Period::Week) => Some(7),
            Per::Calendar(Period::Month) => Some(30),
            Per::Calendar(Period::Hour) | Per::Rolling(_) => None,
        };
        let all = self.limits.iter().filter(|budget| budget.scope == BudgetScope::All);
        let lines = all.filter_map(|budget| {
            let days = days(budget.per)?;
            let name = format!("budget \"{}\", {} {}", budget.name, budget.limit, budget.per);
            Some((name, Money::from_micros(budget.limit.micros() / days)))
        });
        lines.min_by_key(|(_, money)| *money)
    }

    pub(super) fn budget_rows(&self) -> Vec<[String; 7]> {
        self.budgets.iter().map(|budget| budget_row(budget, self.report.now)).collect()
    }

    /// Who made it, and when.
    pub(super) fn made(&self) -> String {
        format!("tidegate {}, from the ledger at {}", env!("CARGO_PKG_VERSION"), self.report.now)
    }

    pub(super) fn text(&self) -> String {
        if self.report.is_empty() {
            return format!("{}\n", self.nothing());
        }
        let mut paragraphs = vec![self.head().join("\n") + "\n"];
        for by in By::ALL {
            let head = [(by.word(), Side::Left), ("SPENT", Side::Right), ("SHARE", Side::Right)];
            let head = head.map(|(name, side)| (name.to_uppercase(), side));
            let rows: Vec<_> = self.report.by(by).into_iter().map(|part| self.row(part)).collect();
            paragraphs.push(table(head.each_ref().map(|(name, side)| (name.as_str(), *side)), &rows));
        }
        if !self.budgets.is_empty() {
            paragraphs.push(table(BUDGET_HEAD, &self.budget_rows()));
        }
        let notes = self.notes();
        if !notes.is_empty() {
            let lines: Vec<_> = notes.iter().map(|note| format!("! {}\n", plain(note))).collect();
            paragraphs.push(lines.concat());
        }
        paragraphs.join("\n")
    }

    fn row(&self, (name, money): (&str, Money)) -> [String; 3] {
        [name.to_owned(), money.to_string(), share(money, self.report.total())]
    }

    /// What `spend --json` says.
    pub(super) fn answer(&self) -> Answer {
        let report = self.report;
        let parts = |parts: Vec<(&str, Money)>| -> Vec<Part> {
            parts.into_iter().map(|(name, money)| Part { name: name.to_owned(), microusd: money.micros() }).collect()
        };
        let by = |parts_by: &dyn Fn(By) -> Vec<Part>| -> BTreeMap<&'static str, Vec<Part>> {
            By::ALL.into_iter().map(|by| (by.word(), parts_by(by))).collect()
        };
        let day = |day: &Day| DayLine {
            start: day.bounds.start,
            end: day.bounds.end,
            microusd: day.total().micros(),
            by: by(&|by| parts(report.of_day(day, by).into_iter().collect())),
        };
        let spend = Spent {
            from: report.span.start,
            to: report.span.end,
            ledger_whole_since: self.whole_since,
            total_microusd: report.total().micros(),
            machines: report.machines(),
            unpriced: report.unpriced(),
            by: by(&|by| parts(report.by(by))),
            waste_microusd: report.waste().parts().map(|(used, money)| (used.word(), money.micros())).into(),
            days: report.days().iter().map(day).collect(),
            budgets: self.budgets.iter().map(|budget| budget_line(budget, report.now)).collect(),
        };
        Answer { version: Version, fleet: self.fleet.cloned(), at: report.now, spend }
    }
}

/// What `spend --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Answer {
    version: Version,
    fleet: Option<FleetId>,
    /// When the ledger was read.
    at: Timestamp,
    spend: Spent,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Spent {
    /// The report's period. What has been billed up to `at` is in it.
    from: Timestamp,
    to: Timestamp,
    /// Since when the ledger holds every machine; `null`: nobody knows.
    ledger_whole_since: Option<Timestamp>,
    total_microusd: i64,
    machines: usize,
    /// Machines without a known price, which count as nothing.
    unpriced: usize,
    /// By `pool`, `queue`, `project`, `user` and `use`, the most first; each adds up to the total.
    by: BTreeMap<&'static str, Vec<Part>>,
    /// What ran no task: `boot`, `failed_boot`, `idle`, `drained`, `switched_off`.
    waste_microusd: BTreeMap<&'static str, i64>,
    /// They add up to the total.
    days: Vec<DayLine>,
    /// As they stand now.
    budgets: Vec<BudgetLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DayLine {
    start: Timestamp,
    end: Timestamp,
    microusd: i64,
    by: BTreeMap<&'static str, Vec<Part>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Part {
    name: String,
    microusd: i64,
}

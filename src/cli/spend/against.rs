//! `spend --against FILE`: the cloud's bill beside the ledger.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::bill::{self, Bill, Wanted, Whose};
use super::books::Books;
use super::period::Window;
use crate::cli::failure::Failure;
use crate::cli::say::{Version, say, say_json};
use crate::cli::table::{Side, table};
use crate::model::calendar::Bounds;
use crate::model::ids::{FleetId, InstanceId, PoolName};
use crate::model::ledger::Interval;
use crate::model::money::Money;
use crate::model::reconcile::{Booked, Line, Reconciliation, percent};
use crate::model::settings::BudgetScope;

/// Machines on both sides that differ by less are left out of the table.
const A_CENT: u64 = 10_000;

pub(super) async fn run(mut books: Books, file: &Path, window: &Window, as_json: bool) -> Result<(), Failure> {
    let window = if window.is_named() {
        let bounds = window.bounds(&books.zone(), books.now)?;
        Some((bounds.start, bounds.end))
    } else {
        None
    };
    let mut pools: BTreeMap<InstanceId, PoolName> = BTreeMap::new();
    let (first, last) = window.unwrap_or((Timestamp::MIN, Timestamp::MAX));
    let know = |interval: Interval| drop(pools.insert(interval.instance, interval.pool));
    books.store.each_interval(first, last, know).await?;
    let fleet = books.fleet();
    let wanted = Wanted { fleet: fleet.as_ref(), known: &|id| pools.contains_key(id), window };
    let bill = bill::open(file, &wanted).map_err(|error| Failure::Failed(error.to_string()))?;
    let (from, to) = window.unwrap_or((bill.from, bill.to));
    let mut ours: BTreeMap<InstanceId, Booked> = BTreeMap::new();
    let now = books.now;
    let book = |interval: &Interval| {
        // The bill has disks and addresses under names of their own.
        let cost = interval.without_extras().cost_within(&BudgetScope::All.among(&[]), from, to, now);
        if cost == Money::ZERO || !bill.whose.has(&interval.instance) {
            return;
        }
        let booked = Booked { pool: interval.pool.clone(), cost: Money::ZERO };
        ours.entry(interval.instance.clone()).or_insert(booked).cost += cost;
    };
    let whole_since = books.read(Bounds { start: from, end: to }, book).await?.whole_since;
    let found = Reconciliation::of(ours, bill.instances.clone());
    let told = Told { bill: &bill, found: &found, from, to, whole_since };
    if as_json {
        say_json(&told.answer(fleet.as_ref()))?;
    } else {
        say(&told.text())?;
    }
    if found.is_alarming() { Err(Failure::Failed(told.verdict())) } else { Ok(()) }
}

struct Told<'a> {
    bill: &'a Bill,
    found: &'a Reconciliation,
    from: Timestamp,
    to: Timestamp,
    /// Since when the ledger holds every machine.
    whole_since: Option<Timestamp>,
}

/// What `spend --against FILE --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Answer {
    version: Version,
    fleet: Option<FleetId>,
    reconciliation: Compared,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Compared {
    /// `aws` or `gcp`, by the file's columns.
    bill_of: &'static str,
    from: Timestamp,
    to: Timestamp,
    ledger_whole_since: Option<Timestamp>,
    ours_microusd: i64,
    theirs_microusd: i64,
    /// Ours less theirs, and that in per cent of theirs.
    difference_microusd: i64,
    difference_percent: Option<f64>,
    /// The difference is over 1 % of the bill.
    alarm: bool,
    /// Whether the bill says which fleet a machine is of.
    has_tags: bool,
    /// Which are left out.
    lines_of_others: u64,
    /// Not compared: credits, refunds and taxes.
    credits_microusd: i64,
    /// Not compared: what is billed under other names than a machine's.
    elsewhere_microusd: i64,
    /// The largest difference first.
    machines: Vec<MachineLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MachineLine {
    instance: InstanceId,
    pool: Option<PoolName>,
    /// `both`, `only ours` or `only theirs`.
    known_to: &'static str,
    ours_microusd: Option<i64>,
    theirs_microusd: Option<i64>,
    /// The part of theirs that is not machine time, such as data transfer.
    theirs_other_microusd: Option<i64>,
    difference_microusd: i64,
    difference_percent: Option<f64>,
}

fn known_to(line: &Line) -> &'static str {
    match (&line.ours, &line.theirs) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "only ours",
        _ => "only theirs",
    }
}

fn percent_of(line: &Line) -> Option<f64> {
    line.theirs.and_then(|theirs| percent(line.difference(), theirs.cost))
}

fn signed(money: Money) -> String {
    if money > Money::ZERO { format!("+{money}") } else { money.to_string() }
}

fn percent_told(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.2} %"))
}

impl Told<'_> {
    fn verdict(&self) -> String {
        let Reconciliation { ours, theirs, .. } = self.found;
        let (difference, alarming) = (self.found.difference(), self.found.is_alarming());
        let share = percent_told(percent(difference, *theirs));
        let head = if alarming { "ALARM: the bill and the ledger differ by more than 1 %" } else { "within 1 %" };
        format!("{head}: ours {ours}, theirs {theirs}, difference {} ({share})", signed(difference))
    }

    fn answer(&self, fleet: Option<&FleetId>) -> Answer {
        let Bill { whose, has_tags, of_others, credits, elsewhere, .. } = self.bill;
        let reconciliation = Compared {
            bill_of: whose.word(),
            from: self.from,
            to: self.to,
            ledger_whole_since: self.whole_since,
            ours_microusd: self.found.ours.micros(),
            theirs_microusd: self.found.theirs.micros(),
            difference_microusd: self.found.difference().micros(),
            difference_percent: percent(self.found.difference(), self.found.theirs),
            alarm: self.found.is_alarming(),
            has_tags: *has_tags,
            lines_of_others: *of_others,
            credits_microusd: credits.micros(),
            elsewhere_microusd: elsewhere.micros(),
            machines: self.found.lines.iter().map(machine_line).collect(),
        };
        Answer { version: Version, fleet: fleet.cloned(), reconciliation }
    }

    fn text(&self) -> String {
        let head = [
            ("INSTANCE", Side::Left),
            ("POOL", Side::Left),
            ("OURS", Side::Right),
            ("THEIRS", Side::Right),
            ("DIFFERENCE", Side::Right),
            ("%", Side::Right),
            ("KNOWN TO", Side::Left),
        ];
        let differs = |line: &&Line| known_to(line) != "both" || line.difference().micros().unsigned_abs() >= A_CENT;
        let rows: Vec<_> = self.found.lines.iter().filter(differs).map(row).collect();
        let agree = self.found.lines.len() - rows.len();
        let mut text = format!("{} to {}, as the bill has it\n", self.from, self.to);
        if !rows.is_empty() {
            text.push_str(&table(head, &rows));
        }
        let mut lines = vec![format!("{agree} of {} machines agree to the cent", self.found.lines.len())];
        lines.extend(self.notes());
        if !self.found.is_alarming() {
            lines.push(self.verdict());
        }
        text + lines.join("\n").as_str() + "\n"
    }

    /// How far the comparison reaches.
    fn notes(&self) -> Vec<String> {
        let Bill { whose, has_tags, of_others, credits, elsewhere, .. } = self.bill;
        let mut notes = Vec::new();
        match self.whole_since {
            None => notes.push("the ledger is not known to be whole: money may be missing in it".to_owned()),
            Some(since) if since > self.from => {
                notes.push(format!("the ledger is whole since {since} only: what ran before may be missing in it"));
            }
            Some(_) => {}
        }
        if !has_tags {
            let how = match whose {
                Whose::Aws => "activate tidegate-fleet as a cost allocation tag to have it compare only your own",
                Whose::Gcp => "export the labels with it to have it compare only your own",
            };
            notes.push(format!(
                "the bill does not say which fleet a machine is of, so every machine in it counts; {how}"
            ));
        }
        if *of_others > 0 {
            notes.push(format!("left out: {of_others} lines of machines that are not of this fleet"));
        }
        let other: Money = self.bill.instances.values().map(|billed| billed.other).sum();
        if other != Money::ZERO {
            notes.push(format!(
                "{other} of theirs is not machine time (data transfer and the like): the ledger has none"
            ));
        }
        if *credits != Money::ZERO {
            notes.push(format!("not compared: {credits} of credits, refunds and taxes"));
        }
        if *elsewhere != Money::ZERO {
            notes.push(format!(
                "not compared: {elsewhere} under other names than a machine's (disks, addresses, other services)"
            ));
        }
        notes
    }
}

fn machine_line(line: &Line) -> MachineLine {
    MachineLine {
        instance: line.instance.clone(),
        pool: line.ours.as_ref().map(|ours| ours.pool.clone()),
        known_to: known_to(line),
        ours_microusd: line.ours.as_ref().map(|ours| ours.cost.micros()),
        theirs_microusd: line.theirs.map(|theirs| theirs.cost.micros()),
        theirs_other_microusd: line.theirs.map(|theirs| theirs.other.micros()),
        difference_microusd: line.difference().micros(),
        difference_percent: percent_of(line),
    }
}

fn row(line: &Line) -> [String; 7] {
    let money = |money: Option<Money>| money.map_or_else(|| "-".to_owned(), |money| money.to_string());
    [
        line.instance.to_string(),
        line.ours.as_ref().map_or_else(|| "-".to_owned(), |ours| ours.pool.to_string()),
        money(line.ours.as_ref().map(|ours| ours.cost)),
        money(line.theirs.map(|theirs| theirs.cost)),
        signed(line.difference()),
        percent_told(percent_of(line)),
        known_to(line).to_owned(),
    ]
}

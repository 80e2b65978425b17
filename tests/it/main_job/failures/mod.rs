//! What other scalers were broken by, one case a test, by its row in the list of failures. Each runs twice: as the loop is,
//! and with the defence switched off, by a planner that is told less, a store that forgets, settings without the setting,
//! or a face of the world that draws the naive conclusion. The second run must break.

mod agents;
mod control;
mod faces;
mod launches;
mod machines;
mod settings;

use jiff::{SignedDuration, Timestamp};
use tidegate::model::ledger::Ledger;
use tidegate::model::plan::{Plan, Rule};
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::Snapshot;
use tidegate::plan::plan;
use tidegate::replay::Outcome;
use tidegate::world::sim::scenario::{Fault, MachineOffer, PlannedTask, Scenario, TimedFault};

use super::rehearsal::Day;

const LAB: &str = r#"
[loop]
fleet = "lab"
time_zone = "UTC"
[limits]
max = 8
[queue.train]
pools = ["gpu"]
on_lost = "requeue:9"
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
keep_alive = "10m"
"#;

pub(super) fn mins(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// So many tasks of so many minutes, one every `apart` minutes.
pub(super) fn scenario(tasks: i64, length: i64, apart: i64, fault: Option<Fault>) -> Scenario {
    let task = |place| PlannedTask {
        at: SignedDuration::from_secs(5) + mins(apart * place),
        queue: "train".to_owned(),
        name: format!("task {place}"),
        duration: mins(length),
        user: String::new(),
        project: String::new(),
    };
    let offer = |name: &str, on_demand| MachineOffer { name: name.to_owned(), vcpu: 4, on_demand, spot: None };
    Scenario {
        start: "2026-11-02T08:00:00Z".parse().unwrap(),
        queues: vec![toml::from_str("name = 'train'").unwrap()],
        machines: vec![offer("g5.xlarge", 1_006_000), offer("g6.xlarge", 804_800)],
        tasks: (0..tasks).map(task).collect(),
        faults: fault.into_iter().map(|fault| TimedFault { at: SignedDuration::ZERO, fault }).collect(),
        ..Scenario::default()
    }
}

pub(super) fn day(scenario: Scenario, hours: i64) -> Day {
    Day { scenario, settings: LAB.to_owned(), hours, ..Day::default() }
}

pub(super) fn set(day: Day, line: &str, to: &str) -> Day {
    let settings = day.settings.replace(line, to);
    assert_ne!(settings, day.settings);
    Day { settings, ..day }
}

fn done(outcome: &Outcome) -> u64 {
    outcome.judgement.tasks_done
}

/// Nothing that failed is remembered.
fn forgets_failures(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut seen = seen.clone();
    seen.breakers.clear();
    seen.boots_failed.clear();
    plan(&seen, settings, ledger, now)
}

/// What was asked for and is not there yet is asked for again.
fn forgets_intents(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut seen = seen.clone();
    seen.intents.clear();
    plan(&seen, settings, ledger, now)
}

/// Whatever a queue lists is taken for a task that waits.
fn counts_every_entry(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut seen = seen.clone();
    for queue in &mut seen.queues {
        queue.waiting.extend(queue.phantoms.drain(..).map(|phantom| phantom.entry));
    }
    plan(&seen, settings, ledger, now)
}

/// Machines that never register are waited for.
fn waits_for_ever(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut decided = plan(seen, settings, ledger, now);
    decided.actions.retain(|planned| planned.rule != Rule::Stuck);
    decided
}

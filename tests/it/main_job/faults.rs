//! Counters that can count: what is planted here must show in a day's figures.

use jiff::Timestamp;
use tidegate::model::ledger::Ledger;
use tidegate::model::plan::{Action, Plan, Planned, Rule};
use tidegate::model::reason::Reason;
use tidegate::model::record::Record;
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::Snapshot;
use tidegate::plan::plan;

use super::rehearsal::{Day, SETTINGS, assert_clean};

#[test]
fn a_wrong_price_shows_in_the_money() {
    let settings = SETTINGS.replacen("provider = \"aws\"", "provider = \"aws\"\nprice = \"$0.50/h\"", 1);
    assert_ne!(settings, SETTINGS);
    let outcome = Day { settings, hours: 3, ..Day::default() }.live();
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

/// Every third machine, named backwards, is not billed.
fn loses_an_interval(planned: &Record) -> bool {
    matches!(planned, Record::Closed { instance, .. } if instance.as_str().ends_with('0'))
}

#[test]
fn a_lost_interval_shows_in_the_money() {
    let outcome = Day { store: super::rehearsal::Kept::losing(loses_an_interval), hours: 3, ..Day::default() }.live();
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

/// What every scaler does that looks first and kills then: an end for every idle machine at once.
fn kills_what_looks_idle(snapshot: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut plan = plan(snapshot, settings, ledger, now);
    let idle = snapshot.instances.iter().filter(|instance| instance.task.is_none() && instance.registered);
    // In a person's name, or the check before each act would not let it pass.
    plan.actions.extend(idle.map(|instance| Planned {
        rule: Rule::Person,
        by: "naive".into(),
        action: Action::Stop { instance: instance.id.clone(), kill: true },
        reason: Reason::Asked { by: "naive".into() },
    }));
    plan
}

#[test]
fn a_naive_kill_shows_in_the_kills() {
    let kills: u64 = (0..5)
        .map(|seed| {
            let day = Day { planner: kills_what_looks_idle, seed, hours: 3, ..Day::default() };
            day.live().judgement.busy_kills
        })
        .sum();
    assert!(kills > 0);
}

#[test]
fn a_limit_passed_by_one_shows_in_the_violations() {
    let mut day = Day { hours: 6, ..Day::default() };
    let total = day.scenario.limits.total.unwrap();
    assert_clean(&Day { hours: 6, ..Day::default() }.live());
    let settings = SETTINGS.replacen(&format!("max = {total}"), &format!("max = {}", total + 1), 1);
    assert_ne!(settings, SETTINGS);
    day.settings = settings;
    assert!(day.live().judgement.limit_violations > 0);
}

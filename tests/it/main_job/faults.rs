//! Counters that can count: what is planted here must show in a day's figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::model::record::Record;

use super::rehearsal::{Day, Kept, SETTINGS, assert_clean};

#[test]
fn a_wrong_price_shows_in_the_money() {
    let settings = SETTINGS.replacen("provider = \"aws\"", "provider = \"aws\"\nprice = \"$0.50/h\"", 1);
    assert_ne!(settings, SETTINGS);
    let outcome = Day { settings, hours: 2, ..Day::default() }.live();
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

/// Crashes once, when a few machines have been stopped.
fn crash_in_the_middle() -> CrashPoints {
    let stops = AtomicU32::new(0);
    let at = CrashAt { deed: DeedKind::Stop, point: Point::AfterRecord };
    CrashPoints::watched(Arc::new(move |here| here != at || stops.fetch_add(1, Ordering::Relaxed) != 5))
}

#[test]
fn a_lost_interval_shows_in_the_money() {
    let day = |store| Day { store, crash: crash_in_the_middle(), hours: 2, ..Day::default() }.live();
    assert_clean(&day(Kept::default()));
    let outcome = day(Kept::losing(|record| matches!(record, Record::Closed { .. })));
    assert_ne!(outcome.spent_microusd, outcome.judgement.bill_microusd);
}

#[test]
fn a_limit_passed_by_one_shows_in_the_violations() {
    let settings = SETTINGS.replacen("pools = [\"cpu\"]\nmax = 4", "pools = [\"cpu\"]\nmax = 5", 1);
    assert_ne!(settings, SETTINGS);
    assert!(Day { settings, hours: 2, ..Day::default() }.live().judgement.limit_violations > 0);
}

//! Every deed at every point of a crash: the loop dies there, starts again with what the store kept, and the day is
//! still clean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::SignedDuration;
use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::world::sim::scenario::{Scenario, Spread};

use super::rehearsal::{Day, Kept, SETTINGS, assert_clean};

/// Crashes at the first passings of the point.
fn crash_at(wanted: CrashAt, times: u32) -> (CrashPoints, Arc<AtomicU32>) {
    let passed = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&passed);
    let points =
        CrashPoints::watched(Arc::new(move |here| here != wanted || counted.fetch_add(1, Ordering::Relaxed) >= times));
    (points, passed)
}

/// A day on which every deed is done: machines break down with a task or just as they take one, and drains are taken
/// back, because the keep-alive is short and machines are slow to hear of them.
fn rough(crash: CrashPoints) -> Day {
    let mut scenario = Scenario::demo().unwrap();
    scenario.hazard.machine_per_hour = 5.0;
    scenario.agent.start_takes = Spread::new(60_000, 0.1);
    scenario.agent.read_every = SignedDuration::from_secs(90);
    let settings = SETTINGS.replace("keep_alive = \"5m\"", "keep_alive = \"1m\"");
    let settings = settings.replace("expected_task", "on_lost = \"requeue:99\"\nexpected_task");
    let settings = keeping(&settings);
    let settings = settings.replace("on_lost = \"requeue:5\"          # the cloud takes spot machines back\n", "");
    Day { scenario, settings, crash, seed: 3, hours: 2, ..Day::default() }
}

/// Idle machines of the pools that are not on the spot market are switched off and kept.
fn keeping(settings: &str) -> String {
    let mut kept = String::new();
    for part in settings.split_inclusive("\n\n") {
        kept.push_str(part.trim_end());
        if part.contains("[pool.") && !part.contains("market = \"spot\"") {
            kept.push_str("\non_idle = \"stop\"\nmax_stopped = 3\nstopped_for = \"40m\"");
        }
        kept.push_str("\n\n");
    }
    kept
}

#[test]
fn days_with_machines_that_are_switched_off_and_on_are_clean() {
    for seed in 0..4 {
        let outcome = Day { settings: keeping(SETTINGS), seed, hours: 4, ..Day::default() }.live();
        assert_clean(&outcome);
    }
}

/// Every machine is drained by a hold task.
fn holding(settings: &str) -> String {
    settings.replace("provider = \"aws\"", "provider = \"aws\"\nguard = \"hold\"")
}

#[test]
fn days_with_machines_that_are_held_by_tasks_are_clean() {
    for seed in 0..4 {
        assert_clean(&Day { settings: holding(SETTINGS), seed, hours: 4, ..Day::default() }.live());
        assert_clean(&Day { settings: holding(&keeping(SETTINGS)), seed, hours: 4, ..Day::default() }.live());
    }
}

#[test]
fn a_crash_at_any_point_of_a_drain_by_a_hold_task_loses_nothing() {
    let mut never = Vec::new();
    for deed in [DeedKind::Drain, DeedKind::CancelDrain, DeedKind::Stop, DeedKind::StopKeep] {
        for point in Point::ALL {
            let at = CrashAt { deed, point };
            let (crash, passed) = crash_at(at, 2);
            let day = rough(crash);
            let outcome = Day { settings: holding(&day.settings), ..day }.live();
            if passed.load(Ordering::Relaxed) == 0 {
                never.push(at.to_string());
            }
            println!("{at}: passed {} times, {} done", passed.load(Ordering::Relaxed), outcome.judgement.tasks_done);
            assert_clean(&outcome);
        }
    }
    assert!(never.is_empty(), "never passed: {never:?}");
}

#[test]
fn a_crash_at_any_point_of_any_deed_loses_nothing() {
    let mut never = Vec::new();
    for deed in DeedKind::ALL {
        for point in Point::ALL {
            let at = CrashAt { deed, point };
            let (crash, passed) = crash_at(at, 2);
            let outcome = rough(crash).live();
            if passed.load(Ordering::Relaxed) == 0 {
                never.push(at.to_string());
            }
            println!("{at}: passed {} times, {} done", passed.load(Ordering::Relaxed), outcome.judgement.tasks_done);
            assert_clean(&outcome);
        }
    }
    assert!(never.is_empty(), "never passed: {never:?}");
}

/// A lost store takes nothing from the books that the cloud still lists.
#[test]
fn a_store_that_is_lost_at_any_deed_costs_no_task_and_no_cent_and_passes_no_limit() {
    for deed in [DeedKind::Launch, DeedKind::Drain, DeedKind::Stop] {
        let store = Kept::default();
        let (lost, times) = (store.clone(), AtomicU32::new(0));
        let crash = CrashPoints::watched(Arc::new(move |here| {
            let now = here == CrashAt { deed, point: Point::AfterCall } && times.fetch_add(1, Ordering::Relaxed) == 9;
            if now {
                lost.lose();
            }
            !now
        }));
        let outcome = Day { crash, store, hours: 5, ..Day::default() }.live();
        let judged = &outcome.judgement;
        assert!(judged.tasks_done > 0, "{outcome:?}");
        assert_eq!((judged.tasks_lost, judged.tasks_stranded), (0, 0), "{deed:?}: {outcome:?}");
        assert_eq!((judged.limit_violations, judged.busy_kills), (0, 0), "{deed:?}: {outcome:?}");
        assert_eq!((judged.double_launches, judged.launched - judged.stopped), (0, 0), "{deed:?}: {outcome:?}");
        // The cloud still lists every machine of the day so far: the new ledger is whole.
        assert_eq!(outcome.spent_microusd, judged.bill_microusd, "{deed:?}: {outcome:?}");
    }
}

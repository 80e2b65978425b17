//! Every deed at every point of a crash: the loop dies there, starts again with what the store kept, and the day is
//! still clean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};

use super::rehearsal::{Day, Kept, assert_clean};

/// Crashes at each passing of the point, up to `times`.
fn crash_at(wanted: CrashAt, times: u32) -> (CrashPoints, Arc<AtomicU32>) {
    let passed = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&passed);
    let points =
        CrashPoints::watched(Arc::new(move |here| here != wanted || counted.fetch_add(1, Ordering::Relaxed) >= times));
    (points, passed)
}

#[test]
fn a_crash_at_any_point_of_any_deed_loses_nothing() {
    let mut never = Vec::new();
    for deed in DeedKind::ALL {
        for point in Point::ALL {
            let at = CrashAt { deed, point };
            let (crash, passed) = crash_at(at, 3);
            let outcome = Day { crash, hours: 5, ..Day::default() }.live();
            if passed.load(Ordering::Relaxed) == 0 {
                never.push(at.to_string());
            }
            println!(
                "{at}: crashed {} times, {} done",
                passed.load(Ordering::Relaxed).min(3),
                outcome.judgement.tasks_done
            );
            assert_clean(&outcome);
        }
    }
    assert!(never.is_empty(), "never passed: {never:?}");
}

/// What a lost store had closed is gone from the ledger; nothing else is.
#[test]
fn a_store_that_is_lost_at_any_deed_costs_no_task_and_passes_no_limit() {
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
        assert!(outcome.spent_microusd < judged.bill_microusd, "{deed:?}: the store was lost: {outcome:?}");
    }
}

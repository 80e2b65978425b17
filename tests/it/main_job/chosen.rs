//! Simulated days of a pool whose machine types the cloud chooses: by price, with what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::replay::Outcome;
use tidegate::world::sim::scenario::{Call, Fault, Scenario, Spread, TimedFault};

use super::failures::{day, mins, scenario, set};
use super::rehearsal::{Day, assert_clean};

/// Six tasks, on machines of two types, of which the plan wants the dearer one first.
fn chosen(world: impl FnOnce(&mut Scenario)) -> Day {
    let mut tasks = scenario(6, 20, 5, None);
    tasks.limits.total = Some(4);
    tasks.cloud.first_spot_hour_free = false;
    world(&mut tasks);
    let types = "types = [\"g5.xlarge\", \"g6.xlarge\"]\nmarket = \"spot\"\nspot_strategy = \"price-capacity-optimized\"\n\
                 zones = [\"us-east-1a\", \"us-east-1b\"]";
    set(set(day(tasks, 4), "max = 8", "max = 4"), "types = [\"g5.xlarge\"]", types)
}

fn dry(machine_type: &str, zone: Option<&str>) -> TimedFault {
    let zone = zone.map(str::to_owned);
    let fault = Fault::NoCapacity { machine_type: machine_type.to_owned(), zone, lasts: mins(600), left: 0 };
    TimedFault { at: mins(0), fault }
}

fn cost_of_an_hour(outcome: &Outcome) -> i64 {
    outcome.judgement.bill_microusd
}

#[test]
fn each_machine_is_billed_at_the_price_of_what_the_cloud_chose() {
    let cheap = chosen(|_| ()).live();
    assert_clean(&cheap);
    assert_eq!(cheap.judgement.tasks_done, 6);
    // With nothing left of the cheaper type everything comes to the dearer one, and costs a quarter more.
    let dear = chosen(|tasks| tasks.faults.push(dry("g6.xlarge", None))).live();
    assert_clean(&dear);
    assert_eq!(dear.judgement.tasks_done, 6);
    let (cheap, dear) = (cost_of_an_hour(&cheap), cost_of_an_hour(&dear));
    assert!(dear * 100 > cheap * 118 && dear * 100 < cheap * 132, "{cheap} {dear}");
}

#[test]
fn a_zone_or_a_type_without_machines_is_not_given_to_the_cloud_again_for_a_while() {
    for faults in [
        vec![dry("g6.xlarge", Some("us-east-1a")), dry("g5.xlarge", Some("us-east-1b"))],
        vec![dry("g6.xlarge", None), dry("g5.xlarge", Some("us-east-1a"))],
    ] {
        let outcome = chosen(|tasks| tasks.faults.extend(faults)).live();
        assert_clean(&outcome);
        assert_eq!(outcome.judgement.tasks_done, 6);
    }
}

#[test]
fn a_launch_in_doubt_is_of_the_type_that_the_list_shows() {
    let doubtful = |fault| {
        chosen(|tasks| {
            tasks.faults.push(TimedFault { at: mins(0), fault });
            tasks.cloud.listed_after = Spread::new(240_000, 0.0);
        })
    };
    for fault in [
        Fault::Silence { call: Call::Launch, times: 2, acted: true },
        Fault::Throttle { call: Call::Launch, times: 2, acted: true },
    ] {
        let outcome = doubtful(fault).live();
        assert_clean(&outcome);
        assert_eq!(outcome.judgement.tasks_done, 6);
    }
}

#[test]
fn a_crash_at_any_point_of_a_launch_leaves_one_machine_of_its_real_type() {
    for point in Point::ALL {
        let passed = AtomicU32::new(0);
        let at = CrashAt { deed: DeedKind::Launch, point };
        let crash =
            CrashPoints::watched(Arc::new(move |here| here != at || passed.fetch_add(1, Ordering::Relaxed) != 0));
        let outcome = Day { crash, ..chosen(|_| ()) }.live();
        assert_clean(&outcome);
        assert_eq!(outcome.judgement.tasks_done, 6, "{point:?}");
    }
}

#[test]
fn a_quota_of_the_cloud_and_hard_budgets_hold_whatever_it_chooses() {
    let outcome = chosen(|tasks| tasks.cloud.quota_vcpu = Some(8)).live();
    assert_clean(&outcome);
    assert_eq!((outcome.judgement.tasks_done, outcome.judgement.peak_machines), (6, 2));
    let budget = "[[budget]]\nname = \"day\"\nscope = \"all\"\nper = \"day\"\nlimit = \"$3\"\nhard = true\n[limits]";
    let outcome = set(chosen(|_| ()), "[limits]", budget).live();
    assert_clean(&outcome);
    assert!(outcome.judgement.bill_microusd < 3_000_000, "{outcome:?}");
}

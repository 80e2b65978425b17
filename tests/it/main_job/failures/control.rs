//! The loop itself: calls that hang, credentials that end, drains that are cut off, money that is known late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::SignedDuration;
use tidegate::engine::Planner;
use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::model::observed::CloudInstance;
use tidegate::model::record::Record;
use tidegate::model::snapshot::ErrorClass;
use tidegate::plan::plan;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::tracker::Tracker;

use super::faces::{Naive, Site, behind};
use super::{day, done, forgets_failures, scenario, set};
use crate::main_job::rehearsal::{Day, Kept, assert_clean};

/// Loses the records of drains, and crashes once behind the first order.
fn drain_cut_off(forgets: bool) -> Day {
    let drains = AtomicU32::new(0);
    let at = CrashAt { deed: DeedKind::Drain, point: Point::AfterCall };
    let crash = CrashPoints::watched(Arc::new(move |here| here != at || drains.fetch_add(1, Ordering::Relaxed) != 0));
    let store =
        if forgets { Kept::losing(|record| matches!(record, Record::DrainSet { .. })) } else { Kept::default() };
    let mut cut_off = scenario(2, 5, 60, None);
    // Nothing but the loop ends a machine that has drained.
    cut_off.agent.drain_grace = SignedDuration::from_hours(24);
    cut_off.agent.lease_life = SignedDuration::from_hours(24);
    Day { crash, store, ..day(cut_off, 3) }
}

#[test]
fn row_20_a_drain_that_a_crash_cut_off_is_carried_through() {
    let outcome = drain_cut_off(false).live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 2);
    let broken = drain_cut_off(true).live();
    assert!(broken.judgement.bill_microusd > outcome.judgement.bill_microusd, "{broken:?}");
}

/// One listing never answers. `blocks`: neither does any after it.
struct NeverAnswers {
    blocks: bool,
    listings: AtomicU32,
}

impl NeverAnswers {
    fn new(blocks: bool) -> Self {
        Self { blocks, listings: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Naive for NeverAnswers {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let listing = self.listings.fetch_add(1, Ordering::Relaxed);
        if listing == 20 || (self.blocks && listing > 20) {
            std::future::pending::<()>().await;
        }
        cloud.list(site.0, site.1).await
    }
}

#[test]
fn row_23_a_call_that_never_answers_holds_up_no_other() {
    let lab = |world| Day { world, ..day(scenario(3, 5, 60, None), 4) }.live();
    let outcome = lab(|sim| behind(sim, NeverAnswers::new(false)));
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 3);
    let broken = lab(|sim| behind(sim, NeverAnswers::new(true)));
    assert!(broken.judgement.bill_microusd > 2 * outcome.judgement.bill_microusd, "{broken:?}");
}

thread_local! {
    /// Launch calls of a day; a simulated day lives on one thread.
    static LAUNCHES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// The credentials have ended.
struct Expired;

#[async_trait]
impl Naive for Expired {
    async fn launch(&self, _: &dyn Cloud, _: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        LAUNCHES.set(LAUNCHES.get() + 1);
        Err(CloudError {
            class: ErrorClass::Credentials,
            code: Some("ExpiredToken".to_owned()),
            message: "The security token included in the request is expired".to_owned(),
            may_have_acted: false,
            quota: None,
            passed_over: Vec::new(),
        })
    }
}

#[test]
fn row_27_credentials_that_have_ended_are_not_tried_without_end() {
    let lab = |planner: Planner| {
        LAUNCHES.set(0);
        let world = |sim: &_| behind(sim, Expired);
        Day { planner, world, ..day(scenario(1, 10, 0, None), 2) }.live();
        LAUNCHES.get()
    };
    assert!((3..40).contains(&lab(plan)), "{}", lab(plan));
    assert!(lab(forgets_failures) > 200);
}

#[test]
fn row_35_money_is_counted_as_it_is_spent() {
    // A soft budget tells, and a bill tells later still.
    let lab = |hard: bool| {
        let lab = set(day(scenario(12, 50, 70, None), 15), "keep_alive = \"10m\"", "keep_alive = \"0s\"");
        let budget = "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$5\"\nhard = HARD\n[limits]";
        set(lab, "[limits]", &budget.replace("HARD", &hard.to_string())).live()
    };
    let outcome = lab(true);
    assert!(outcome.judgement.bill_microusd < 6_000_000 && done(&outcome) > 2, "{outcome:?}");
    let broken = lab(false);
    assert!(broken.judgement.bill_microusd > 8_000_000, "{broken:?}");
}

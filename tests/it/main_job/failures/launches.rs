//! Machines that were asked for.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidegate::engine::Planner;
use tidegate::engine::act::crash::{CrashAt, CrashPoints, DeedKind, Point};
use tidegate::model::ids::InstanceId;
use tidegate::model::observed::{CloudInstance, CloudState, Tags};
use tidegate::model::record::Record;
use tidegate::model::snapshot::ErrorClass;
use tidegate::plan::plan;
use tidegate::replay::Outcome;
use tidegate::world::World;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::{Call, Fault, Spread};
use tidegate::world::tracker::Tracker;

use super::faces::{Naive, Site, behind};
use super::*;
use crate::main_job::rehearsal::{Day, Kept, assert_clean};

thread_local! {
    /// Launch calls of a day; a simulated day lives on one thread.
    static LAUNCHES: Cell<u32> = const { Cell::new(0) };
}

/// Changes nothing.
struct Nothing;

impl Naive for Nothing {}

/// Counts the launch calls.
struct Counting<N>(N);

#[async_trait]
impl<N: Naive> Naive for Counting<N> {
    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        LAUNCHES.set(LAUNCHES.get() + 1);
        self.0.launch(cloud, order).await
    }
}

fn counting(sim: &Sim, naive: impl Naive + 'static) -> World {
    LAUNCHES.set(0);
    behind(sim, Counting(naive))
}

fn refusal(class: ErrorClass, code: &str) -> CloudError {
    CloudError {
        class,
        code: Some(code.to_owned()),
        message: "no".to_owned(),
        may_have_acted: false,
        quota: None,
        passed_over: Vec::new(),
    }
}

/// Every launch is refused with a code that nobody knows.
struct Refuses;

#[async_trait]
impl Naive for Refuses {
    async fn launch(&self, _: &dyn Cloud, _: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        Err(refusal(ErrorClass::Unknown, "InvalidFleetConfiguration"))
    }
}

/// An answer that is in doubt is a no.
struct DoubtIsNo;

#[async_trait]
impl Naive for DoubtIsNo {
    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        cloud.launch(order).await.map_err(|error| CloudError { may_have_acted: false, ..error })
    }
}

/// Each life of the loop knows the machines that it heard of itself.
#[derive(Default)]
struct HeardOf(Mutex<BTreeSet<InstanceId>>);

#[async_trait]
impl Naive for HeardOf {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let mut machines = cloud.list(site.0, site.1).await?;
        machines.retain(|machine| self.0.lock().unwrap().contains(&machine.id));
        Ok(machines)
    }

    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let made = cloud.launch(order).await?;
        self.0.lock().unwrap().extend(made.iter().map(|made| made.id.clone()));
        Ok(made)
    }
}

/// All launches have one token.
struct OneToken;

#[async_trait]
impl Naive for OneToken {
    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        cloud.launch(&LaunchOrder { batch: "token".into(), ..order.clone() }).await
    }
}

/// A machine that was made and is not listed has ended.
#[derive(Default)]
struct AbsentIsGone(Mutex<Vec<CloudInstance>>);

#[async_trait]
impl Naive for AbsentIsGone {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let mut listed = cloud.list(site.0, site.1).await?;
        let made = self.0.lock().unwrap();
        let absent = made.iter().filter(|made| listed.iter().all(|seen| seen.id != made.id));
        let absent: Vec<_> = absent.cloned().collect();
        listed.extend(absent);
        Ok(listed)
    }

    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let made = cloud.launch(order).await?;
        let ended = made.iter().map(|made| CloudInstance {
            id: made.id.clone(),
            provider: order.pool.provider,
            pod: None,
            region: order.pool.site(),
            machine_type: order.launch.machine_type.clone(),
            zone: made.zone.clone(),
            market: order.launch.market,
            state: CloudState::Terminated,
            launched: made.launched.unwrap(),
            ended: made.launched,
            state_reason: None,
            tags: Tags::default(),
            image: None,
        });
        self.0.lock().unwrap().extend(ended);
        Ok(made)
    }
}

/// The first launch has a tag that the cloud refuses. `afterwards`: the tags come with a call of their own, behind it.
struct TagsRefused {
    afterwards: bool,
    launches: AtomicU32,
    untagged: Mutex<BTreeSet<InstanceId>>,
}

impl TagsRefused {
    fn new(afterwards: bool) -> Self {
        Self { afterwards, launches: AtomicU32::new(0), untagged: Mutex::default() }
    }
}

#[async_trait]
impl Naive for TagsRefused {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let mut machines = cloud.list(site.0, site.1).await?;
        machines.retain(|machine| !self.untagged.lock().unwrap().contains(&machine.id));
        Ok(machines)
    }

    async fn launch(&self, cloud: &dyn Cloud, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        if self.launches.fetch_add(1, Ordering::Relaxed) > 0 {
            return cloud.launch(order).await;
        }
        if self.afterwards {
            let made = cloud.launch(order).await?;
            self.untagged.lock().unwrap().extend(made.into_iter().map(|made| made.id));
        }
        Err(refusal(ErrorClass::BadRequest, "InvalidParameterValue"))
    }
}

/// Crashes once, when the cloud has answered a launch.
fn crash_after_a_launch() -> CrashPoints {
    let launches = AtomicU32::new(0);
    let at = CrashAt { deed: DeedKind::Launch, point: Point::AfterCall };
    CrashPoints::watched(Arc::new(move |here| here != at || launches.fetch_add(1, Ordering::Relaxed) != 0))
}

#[test]
fn row_01_a_crash_between_a_launch_and_its_record_leaves_no_orphan() {
    let lab = |world| Day { world, crash: crash_after_a_launch(), ..day(scenario(3, 10, 0, None), 2) }.live();
    let outcome = lab(Sim::world);
    assert_clean(&outcome);
    assert_eq!((outcome.judgement.launched, done(&outcome)), (3, 3));
    let broken = lab(|sim| behind(sim, HeardOf::default())).judgement;
    assert!(broken.launched > broken.stopped, "{broken:?}");
}

/// A limit of two, and a launch in doubt whose machines are listed late.
fn in_doubt(fault: Fault, world: fn(&Sim) -> World) -> Outcome {
    let mut doubtful = scenario(6, 40, 0, Some(fault));
    doubtful.limits.total = Some(2);
    doubtful.cloud.listed_after = Spread::new(240_000, 0.0);
    Day { world, ..set(day(doubtful, 4), "max = 8", "max = 2") }.live()
}

#[test]
fn row_04_a_launch_that_was_not_answered_may_have_been_made() {
    let silent = Fault::Silence { call: Call::Launch, times: 2, acted: true };
    assert_clean(&in_doubt(silent, Sim::world));
    let throttled = Fault::Throttle { call: Call::Launch, times: 2, acted: true };
    assert_clean(&in_doubt(throttled.clone(), Sim::world));
    let broken = in_doubt(throttled, |sim| behind(sim, DoubtIsNo));
    assert!(broken.judgement.limit_violations > 0, "{broken:?}");
}

#[test]
fn row_05_a_token_is_of_one_launch() {
    let lab = |world| Day { world, ..day(scenario(3, 5, 60, None), 4) }.live();
    let outcome = lab(Sim::world);
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 3);
    assert_eq!(done(&lab(|sim| behind(sim, OneToken))), 1);
}

#[test]
fn row_06_a_machine_that_is_not_listed_yet_is_there() {
    let lab = |world| {
        let mut late = scenario(2, 30, 0, None);
        late.limits.total = Some(2);
        late.cloud.listed_after = Spread::new(240_000, 0.0);
        Day { world, ..set(day(late, 3), "max = 8", "max = 2") }.live()
    };
    assert_clean(&lab(Sim::world));
    let broken = lab(|sim| behind(sim, AbsentIsGone::default()));
    assert!(broken.judgement.limit_violations > 0, "{broken:?}");
}

#[test]
fn row_08_a_type_that_is_sold_out_gives_way_to_the_next() {
    let sold_out = Fault::NoCapacity { machine_type: "g5.xlarge".to_owned(), zone: None, lasts: mins(600), left: 0 };
    let lab = |planner: Planner| {
        let lab = day(scenario(4, 10, 0, Some(sold_out.clone())), 3);
        Day { planner, ..set(lab, "types = [\"g5.xlarge\"]", "types = [\"g5.xlarge\", \"g6.xlarge\"]") }
    };
    let outcome = lab(plan).live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 4);
    // Without back-off the first type is asked for, and refused, in each pass.
    assert_eq!(done(&lab(forgets_failures).live()), 0);
}

#[test]
fn row_09_a_zone_that_is_sold_out_gives_way_to_the_next() {
    let zone = Some("us-east-1a".to_owned());
    let dry = Fault::NoCapacity { machine_type: "g5.xlarge".to_owned(), zone, lasts: mins(600), left: 0 };
    let lab = |zones: &str| {
        let lab = day(scenario(4, 10, 0, Some(dry.clone())), 3);
        set(lab, "ami =", &format!("zones = {zones}\nami ="))
    };
    let outcome = lab("[\"us-east-1a\", \"us-east-1b\"]").live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 4);
    assert_eq!(done(&lab("[\"us-east-1a\"]").live()), 0);
}

#[test]
fn row_10_an_error_that_nobody_knows_is_not_tried_without_end() {
    let lab = |planner: Planner| {
        Day { planner, world: |sim| counting(sim, Refuses), ..day(scenario(1, 10, 0, None), 2) }.live();
        LAUNCHES.get()
    };
    assert!((3..25).contains(&lab(plan)), "{}", lab(plan));
    assert!(lab(forgets_failures) > 200);
}

#[test]
fn row_15_a_boot_that_never_ends_is_ended() {
    let lab = |planner: Planner| {
        let never = Fault::NeverRegister { machines: 1 };
        Day { planner, ..set(day(scenario(1, 10, 0, Some(never)), 3), "max = 8", "max = 1") }
    };
    let outcome = lab(plan).live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 1);
    assert_eq!(done(&lab(waits_for_ever).live()), 0);
}

#[test]
fn row_16_a_pool_that_never_boots_is_tried_by_one_machine_at_a_time() {
    let lab = |planner: Planner| {
        let never = Fault::NeverRegister { machines: 10_000 };
        Day { planner, ..day(scenario(8, 10, 0, Some(never)), 6) }.live().judgement.launched
    };
    // The first eight, and then a canary after each pause.
    assert!((9..20).contains(&lab(plan)), "{}", lab(plan));
    assert!(lab(forgets_failures) > 80);
}

#[test]
fn row_21_a_quota_is_asked_for_what_it_holds() {
    let lab = |planner: Planner| {
        let mut small = scenario(8, 10, 0, None);
        small.cloud.quota_vcpu = Some(12);
        let outcome = Day { planner, world: |sim| counting(sim, Nothing), ..day(small, 3) }.live();
        (outcome, LAUNCHES.get())
    };
    let (outcome, calls) = lab(plan);
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 8);
    assert!(calls < 20, "{calls}");
    let (broken, calls) = lab(forgets_failures);
    assert_eq!(done(&broken), 0);
    assert!(calls > 200, "{calls}");
}

#[test]
fn row_22_a_throttled_launch_may_have_been_made() {
    let throttled = Fault::Throttle { call: Call::Launch, times: 3, acted: true };
    assert_clean(&in_doubt(throttled.clone(), Sim::world));
    let broken = in_doubt(throttled, |sim| behind(sim, DoubtIsNo));
    assert!(broken.judgement.limit_violations > 0, "{broken:?}");
}

#[test]
fn row_30_what_is_asked_for_counts_against_the_limit_before_it_is_there() {
    let lab = |store| {
        let mut late = scenario(4, 30, 0, None);
        late.limits.total = Some(2);
        late.cloud.listed_after = Spread::new(240_000, 0.0);
        Day { store, crash: crash_after_a_launch(), ..set(day(late, 3), "max = 8", "max = 2") }.live()
    };
    assert_clean(&lab(Kept::default()));
    let broken = lab(Kept::losing(|record| matches!(record, Record::IntentOpened(_))));
    assert!(broken.judgement.limit_violations > 0, "{broken:?}");
}

#[test]
fn row_32_entries_that_are_no_waiting_tasks_start_nothing() {
    let lab = |planner: Planner| {
        let phantoms = Fault::PhantomEntries { queue: "train".to_owned(), entries: 6 };
        Day { planner, ..day(scenario(1, 10, 0, Some(phantoms)), 2) }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    assert_eq!((outcome.judgement.launched, done(&outcome)), (1, 1));
    assert_eq!(lab(counts_every_entry).judgement.launched, 7);
}

#[test]
fn row_33_what_is_idle_for_a_moment_is_kept() {
    let lab = |keep_alive: &str| {
        let lab = day(scenario(20, 1, 6, None), 3);
        set(lab, "keep_alive = \"10m\"", &format!("keep_alive = \"{keep_alive}\""))
    };
    let outcome = lab("12m").live();
    assert_clean(&outcome);
    assert!(outcome.judgement.launched <= 2 && done(&outcome) == 20, "{outcome:?}");
    assert!(lab("0s").live().judgement.launched > 5);
}

#[test]
fn row_34_a_need_has_one_launch_under_way() {
    let lab = |planner: Planner| {
        let mut slow = scenario(1, 10, 0, None);
        slow.cloud.launch_takes = Spread::new(80_000, 0.0);
        slow.cloud.listed_after = Spread::new(240_000, 0.0);
        Day { planner, ..day(slow, 2) }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    assert_eq!(outcome.judgement.launched, 1);
    assert!(lab(forgets_intents).judgement.launched > 1);
}

#[test]
fn row_39_a_machine_has_its_tags_from_its_first_moment() {
    let lab = |world| Day { world, ..day(scenario(1, 10, 0, None), 3) }.live();
    assert_clean(&lab(|sim| behind(sim, TagsRefused::new(false))));
    let broken = lab(|sim| behind(sim, TagsRefused::new(true))).judgement;
    assert!(broken.launched > broken.stopped, "{broken:?}");
}

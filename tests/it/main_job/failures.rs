//! What other scalers were broken by, one case a test. Each runs twice: as the loop is, and with the defence switched
//! off, by a planner that is told less or a face of the cloud that draws the naive conclusion. The second run must break.

use std::cell::Cell;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate::engine::Planner;
use tidegate::model::ids::{FleetId, InstanceId};
use tidegate::model::ledger::Ledger;
use tidegate::model::observed::{CloudInstance, CloudState};
use tidegate::model::plan::{Plan, Rule};
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::{ErrorClass, Snapshot};
use tidegate::plan::plan;
use tidegate::replay::Outcome;
use tidegate::world::World;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::{Call, Fault, MachineOffer, PlannedTask, Scenario, Spread, TimedFault};

use super::rehearsal::{Day, assert_clean};

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

fn mins(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// So many tasks of so many minutes, one every `apart` minutes.
fn scenario(tasks: i64, length: i64, apart: i64, fault: Option<Fault>) -> Scenario {
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

fn day(scenario: Scenario, hours: i64) -> Day {
    Day { scenario, settings: LAB.to_owned(), hours, ..Day::default() }
}

fn set(day: Day, line: &str, to: &str) -> Day {
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

/// What a face of the cloud makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naive {
    /// Nothing, but counts the launch calls.
    Counts,
    /// Counts them, and each is refused with a code that nobody knows.
    Refuses,
    /// An answer that is in doubt is a no.
    DoubtIsNo,
    /// A stop that was accepted is done.
    AcceptedIsDone,
}

thread_local! {
    /// A simulated day lives on one thread.
    static LAUNCHES: Cell<u32> = const { Cell::new(0) };
}

struct Face {
    cloud: Arc<dyn Cloud>,
    naive: Naive,
}

#[async_trait]
impl Cloud for Face {
    async fn list(&self, fleet: &FleetId, region: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let mut machines = self.cloud.list(fleet, region).await?;
        for machine in &mut machines {
            if self.naive == Naive::AcceptedIsDone && machine.state == CloudState::ShuttingDown {
                machine.state = CloudState::Terminated;
            }
        }
        Ok(machines)
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        LAUNCHES.set(LAUNCHES.get() + 1);
        match self.naive {
            Naive::Refuses => Err(CloudError {
                class: ErrorClass::Unknown,
                code: Some("InvalidFleetConfiguration".to_owned()),
                message: "no".to_owned(),
                may_have_acted: false,
                quota: None,
            }),
            Naive::DoubtIsNo => {
                let answer = self.cloud.launch(order).await;
                answer.map_err(|error| CloudError { may_have_acted: false, ..error })
            }
            _ => self.cloud.launch(order).await,
        }
    }

    async fn terminate(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.terminate(region, instances).await
    }

    async fn stop(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.stop(region, instances).await
    }

    async fn start(&self, region: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.cloud.start(region, instances).await
    }

    async fn console(&self, region: &str, instance: &InstanceId) -> Result<String, CloudError> {
        self.cloud.console(region, instance).await
    }

    async fn check(&self, region: &str) -> Result<String, CloudError> {
        self.cloud.check(region).await
    }
}

fn behind(sim: &Sim, naive: Naive) -> World {
    LAUNCHES.set(0);
    let World { tracker, clouds } = sim.world();
    let face = |cloud| Arc::new(Face { cloud, naive }) as Arc<dyn Cloud>;
    World { tracker, clouds: clouds.into_iter().map(|(provider, cloud)| (provider, face(cloud))).collect() }
}

fn counts(sim: &Sim) -> World {
    behind(sim, Naive::Counts)
}

fn refuses(sim: &Sim) -> World {
    behind(sim, Naive::Refuses)
}

fn doubt_is_no(sim: &Sim) -> World {
    behind(sim, Naive::DoubtIsNo)
}

fn accepted_is_done(sim: &Sim) -> World {
    behind(sim, Naive::AcceptedIsDone)
}

#[test]
fn row_07_a_machine_counts_until_its_end_is_proved() {
    let lab = || {
        let mut slow = scenario(6, 1, 20, None);
        slow.cloud.ends_in = Spread::new(15 * 60_000, 0.0);
        slow.limits.total = Some(1);
        set(set(day(slow, 3), "max = 8", "max = 1"), "keep_alive = \"10m\"", "keep_alive = \"0s\"")
    };
    assert_clean(&lab().live());
    let broken = Day { world: accepted_is_done, ..lab() }.live();
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
        Day { planner, world: refuses, ..day(scenario(1, 10, 0, None), 2) }.live();
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
        let outcome = Day { planner, world: counts, ..day(small, 3) }.live();
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

/// A limit of two, and a launch in doubt whose machines are listed late.
fn in_doubt(fault: Fault, world: fn(&Sim) -> World) -> Outcome {
    let mut doubtful = scenario(6, 40, 0, Some(fault));
    doubtful.limits.total = Some(2);
    doubtful.cloud.listed_after = Spread::new(240_000, 0.0);
    Day { world, ..set(day(doubtful, 4), "max = 8", "max = 2") }.live()
}

#[test]
fn row_22_a_throttled_launch_may_have_been_made() {
    let throttled = Fault::Throttle { call: Call::Launch, times: 3, acted: true };
    assert_clean(&in_doubt(throttled.clone(), Sim::world));
    let broken = in_doubt(throttled, doubt_is_no);
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

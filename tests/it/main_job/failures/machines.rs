//! Machines that are there.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate::engine::Planner;
use tidegate::model::ids::{InstanceId, WorkerName};
use tidegate::model::instance::Phase;
use tidegate::model::ledger::Ledger;
use tidegate::model::observed::{CloudInstance, CloudState, GlancedWorker, ObservedWorker};
use tidegate::model::plan::{Plan, Rule};
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::{ErrorClass, ForeignWorker, Snapshot};
use tidegate::plan::plan;
use tidegate::replay::Outcome;
use tidegate::world::cloud::{Cloud, CloudError};
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::{Call, Fault, Pick, Scenario, Spread, TimedFault};
use tidegate::world::tracker::Tracker;

use super::faces::{Naive, Site, behind};
use super::{day, done, mins, scenario, set, waits_for_ever};
use crate::main_job::rehearsal::{Day, assert_clean};

/// The same, with a fault so many minutes after its start.
fn at(minutes: i64, fault: Fault, scenario: Scenario) -> Scenario {
    Scenario { faults: vec![TimedFault { at: mins(minutes), fault }], ..scenario }
}

/// Machines whose agents wait for a task, by their workers' rows.
fn idle(workers: &[ObservedWorker]) -> Vec<InstanceId> {
    let idle = workers.iter().filter(|worker| worker.task.is_none());
    idle.filter_map(|worker| WorkerName::parse(&worker.id)).map(|name| name.instance).collect()
}

fn runs(machine: &CloudInstance) -> bool {
    matches!(machine.state, CloudState::Pending | CloudState::Running)
}

/// Listings during which ClearML names no worker: half an hour, when every agent has come.
const UNNAMED: std::ops::Range<u32> = 150..330;

/// For a while ClearML names no worker. `kills`: a machine without a worker is an orphan, and is ended.
struct WorkersUnnamed {
    kills: bool,
    listings: AtomicU32,
}

impl WorkersUnnamed {
    fn new(kills: bool) -> Self {
        Self { kills, listings: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Naive for WorkersUnnamed {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let machines = cloud.list(site.0, site.1).await?;
        let unnamed = UNNAMED.contains(&self.listings.fetch_add(1, Ordering::Relaxed));
        if self.kills && unnamed {
            let all: Vec<_> =
                machines.iter().filter(|machine| runs(machine)).map(|machine| machine.id.clone()).collect();
            cloud.terminate(site.1, &all).await?;
        }
        Ok(machines)
    }

    fn workers(&self, workers: Vec<ObservedWorker>) -> Vec<ObservedWorker> {
        if UNNAMED.contains(&self.listings.load(Ordering::Relaxed)) { Vec::new() } else { workers }
    }

    fn glanced(&self, workers: Vec<GlancedWorker>) -> Vec<GlancedWorker> {
        if UNNAMED.contains(&self.listings.load(Ordering::Relaxed)) { Vec::new() } else { workers }
    }
}

#[test]
fn row_02_a_machine_whose_worker_is_not_named_may_be_busy() {
    let lab = |world| Day { world, ..day(scenario(3, 120, 0, None), 4) }.live();
    let outcome = lab(|sim| behind(sim, WorkersUnnamed::new(false)));
    assert_clean(&outcome);
    assert_eq!((outcome.judgement.launched, done(&outcome)), (3, 3));
    let broken = lab(|sim| behind(sim, WorkersUnnamed::new(true)));
    assert!(broken.judgement.busy_kills > 0, "{broken:?}");
}

#[test]
fn row_03_what_cannot_be_known_for_a_while_is_decided_when_it_can() {
    let lab = |planner: Planner| {
        let mut unknown = scenario(1, 10, 0, Some(Fault::NeverRegister { machines: 1 }));
        unknown.faults.push(TimedFault { at: mins(5), fault: Fault::CloudDown { lasts: mins(40) } });
        Day { planner, ..set(day(unknown, 3), "max = 8", "max = 1") }
    };
    let outcome = lab(plan).live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 1);
    assert_eq!(done(&lab(waits_for_ever).live()), 0);
}

/// A stop that was accepted is done.
struct AcceptedIsDone;

#[async_trait]
impl Naive for AcceptedIsDone {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let mut machines = cloud.list(site.0, site.1).await?;
        for machine in machines.iter_mut().filter(|machine| machine.state == CloudState::ShuttingDown) {
            machine.state = CloudState::Terminated;
        }
        Ok(machines)
    }
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
    let broken = Day { world: |sim| behind(sim, AcceptedIsDone), ..lab() }.live();
    assert!(broken.judgement.limit_violations > 0, "{broken:?}");
}

fn on_spot(day: Day) -> Day {
    set(day, "ami =", "market = \"spot\"\nami =")
}

#[test]
fn row_11_the_task_of_a_machine_that_is_taken_back_runs_again() {
    let lab = || {
        let taken = at(20, Fault::SpotNotice { machine: Pick::Spot }, scenario(1, 60, 0, None));
        on_spot(day(taken, 4))
    };
    let outcome = lab().live();
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 1);
    assert_eq!(done(&set(lab(), "requeue:9", "never").live()), 0);
}

/// A machine that ended without our doing is an exception, and ends the pass.
#[derive(Default)]
struct ExpectsItsOwnEnds(Mutex<BTreeSet<InstanceId>>);

#[async_trait]
impl Naive for ExpectsItsOwnEnds {
    async fn list(&self, cloud: &dyn Cloud, _: &dyn Tracker, site: Site<'_>) -> Result<Vec<CloudInstance>, CloudError> {
        let machines = cloud.list(site.0, site.1).await?;
        let ours = self.0.lock().unwrap();
        match machines.iter().find(|machine| !runs(machine) && !ours.contains(&machine.id)) {
            None => Ok(machines),
            Some(machine) => Err(CloudError {
                class: ErrorClass::BadRequest,
                code: Some("InvalidInstanceID.NotFound".to_owned()),
                message: format!("The instance ID '{}' does not exist", machine.id),
                may_have_acted: false,
                quota: None,
                passed_over: Vec::new(),
            }),
        }
    }

    async fn terminate(&self, cloud: &dyn Cloud, region: &str, ids: &[InstanceId]) -> Result<(), CloudError> {
        self.0.lock().unwrap().extend(ids.iter().cloned());
        cloud.terminate(region, ids).await
    }
}

/// Three tasks, one an hour; the first's machine ends in its midst by no doing of ours.
fn ended_by_others(fault: Fault, world: fn(&Sim) -> tidegate::world::World) -> Outcome {
    let mut ended = at(20, fault, scenario(3, 30, 60, None));
    ended.cloud.listed_for = SignedDuration::from_hours(24);
    Day { world, ..on_spot(day(ended, 6)) }.live()
}

#[test]
fn row_12_a_dead_spot_machine_holds_up_no_other() {
    let taken = Fault::SpotNotice { machine: Pick::Spot };
    let outcome = ended_by_others(taken.clone(), Sim::world);
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 3);
    assert_eq!(done(&ended_by_others(taken, |sim| behind(sim, ExpectsItsOwnEnds::default()))), 0);
}

#[test]
fn row_37_a_machine_that_was_stopped_outside_is_gone_and_its_task_is_not() {
    let stopped = Fault::StoppedOutside { machine: Pick::Busy };
    let outcome = ended_by_others(stopped.clone(), Sim::world);
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 3);
    assert_eq!(done(&ended_by_others(stopped, |sim| behind(sim, ExpectsItsOwnEnds::default()))), 0);
}

/// The server keeps every worker's row for good.
#[derive(Default)]
struct Zombies(Mutex<Vec<ObservedWorker>>);

#[async_trait]
impl Naive for Zombies {
    fn workers(&self, workers: Vec<ObservedWorker>) -> Vec<ObservedWorker> {
        let mut rows = self.0.lock().unwrap();
        rows.retain(|row| workers.iter().all(|worker| worker.id != row.id));
        rows.extend(workers);
        rows.iter().cloned().map(|row| ObservedWorker { task: None, ..row }).collect()
    }

    fn glanced(&self, workers: Vec<GlancedWorker>) -> Vec<GlancedWorker> {
        let rows = self.0.lock().unwrap();
        let gone = rows.iter().map(|row| &row.id).filter(|id| workers.iter().all(|worker| worker.id != **id));
        let ids: Vec<_> = workers.iter().map(|worker| &worker.id).chain(gone).cloned().collect();
        ids.into_iter().map(|id| GlancedWorker { id, task: None }).collect()
    }
}

/// A worker is capacity, whether its machine is there or not.
fn trusts_workers(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut seen = seen.clone();
    let queues: Vec<_> = settings.queues.iter().map(|queue| queue.name.clone()).collect();
    let zombies = seen.ghosts.drain(..).map(|ghost| ForeignWorker {
        id: ghost.worker,
        queues: queues.clone(),
        task: None,
        last_report: Some(now),
        fresh: true,
    });
    seen.foreign.extend(zombies);
    plan(&seen, settings, ledger, now)
}

#[test]
fn row_13_the_worker_of_a_machine_that_is_gone_is_no_capacity() {
    let lab = |planner| {
        let lab = day(scenario(2, 5, 60, None), 4);
        Day { planner, world: |sim| behind(sim, Zombies::default()), ..lab }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    assert_eq!(done(&outcome), 2);
    assert_eq!(done(&lab(trusts_workers)), 1);
}

/// A machine is well for as long as the cloud says that it runs.
fn trusts_the_cloud(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut decided = plan(seen, settings, ledger, now);
    decided.actions.retain(|planned| planned.rule != Rule::Silent);
    decided
}

#[test]
fn row_14_a_machine_whose_agent_died_is_ended() {
    let lab = |planner| {
        let dead = at(20, Fault::AgentDies { machine: Pick::Idle }, scenario(1, 5, 0, None));
        let lab = set(day(dead, 6), "keep_alive = \"10m\"", "keep_alive = \"5h\"");
        Day { planner, ..lab }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    let broken = lab(trusts_the_cloud);
    assert!(broken.judgement.bill_microusd > 3 * outcome.judgement.bill_microusd, "{broken:?}");
}

/// Ends every machine whose worker says that it is idle: looks first, and kills then.
struct KillsTheIdle;

#[async_trait]
impl Naive for KillsTheIdle {
    async fn list(
        &self,
        cloud: &dyn Cloud,
        tracker: &dyn Tracker,
        site: Site<'_>,
    ) -> Result<Vec<CloudInstance>, CloudError> {
        let workers = tracker.workers(site.0).await.unwrap_or_default();
        cloud.terminate(site.1, &idle(&workers)).await?;
        cloud.list(site.0, site.1).await
    }
}

#[test]
fn row_17_an_idle_machine_is_asked_before_it_is_ended() {
    let lab = |world| {
        let mut slow = Day::default().scenario;
        // Between the pull and the start the worker's row still says idle.
        slow.agent.start_takes.median = SignedDuration::from_secs(4);
        Day { scenario: slow, world, hours: 2, ..Day::default() }.live()
    };
    assert_clean(&lab(Sim::world));
    let broken = lab(|sim| behind(sim, KillsTheIdle));
    assert!(broken.judgement.busy_kills > 0, "{broken:?}");
}

/// Says how many machines there should be less, not which.
struct EndsSoMany;

#[async_trait]
impl Naive for EndsSoMany {
    async fn terminate(&self, cloud: &dyn Cloud, region: &str, ids: &[InstanceId]) -> Result<(), CloudError> {
        let mut machines = cloud.list(&"lab".into(), region).await?;
        machines.retain(runs);
        machines.sort_by_key(|machine| (ids.contains(&machine.id), machine.launched));
        let ids: Vec<_> = machines.into_iter().take(ids.len()).map(|machine| machine.id).collect();
        cloud.terminate(region, &ids).await
    }
}

#[test]
fn row_18_the_machine_that_is_idle_is_ended_and_no_other() {
    let lab = |world| {
        let mut two = scenario(2, 90, 0, None);
        two.tasks[0].duration = mins(5);
        Day { world, ..day(two, 3) }.live()
    };
    assert_clean(&lab(Sim::world));
    let broken = lab(|sim| behind(sim, EndsSoMany));
    assert!(broken.judgement.busy_kills > 0, "{broken:?}");
}

/// A machine is capacity until it is gone.
fn counts_the_draining(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut seen = seen.clone();
    let leaving = |phase| matches!(phase, Phase::Draining | Phase::Stopping);
    for machine in seen.instances.iter_mut().filter(|machine| leaving(machine.phase)) {
        (machine.phase, machine.drain) = (Phase::Idle, None);
    }
    plan(&seen, settings, ledger, now)
}

#[test]
fn row_19_a_machine_that_leaves_is_no_capacity() {
    let lab = |planner| {
        let never_ends = Fault::Silence { call: Call::Terminate, times: 500, acted: false };
        let mut stuck = scenario(2, 5, 60, Some(never_ends));
        stuck.agent.drain_grace = SignedDuration::from_hours(24);
        Day { planner, ..day(stuck, 3) }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    assert_eq!((outcome.judgement.launched, done(&outcome)), (2, 2));
    assert_eq!(done(&lab(counts_the_draining)), 1);
}

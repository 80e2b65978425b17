//! Machines with several agents, and agents that are not the only ones of their name.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate::model::ids::InstanceId;
use tidegate::model::ledger::Ledger;
use tidegate::model::observed::ObservedWorker;
use tidegate::model::plan::{Plan, Rule};
use tidegate::model::settings::Settings;
use tidegate::model::snapshot::Snapshot;
use tidegate::plan::plan;
use tidegate::world::cloud::{Cloud, CloudError};
use tidegate::world::sim::scenario::{Fault, Pick, Scenario, TimedFault};

use super::faces::{Naive, behind};
use super::{day, done, mins, scenario, set};
use crate::main_job::rehearsal::{Day, assert_clean};

/// Four agents on each machine.
fn four(scenario: Scenario, hours: i64) -> Day {
    set(day(scenario, hours), "keep_alive", "agents_per_machine = 4\nkeep_alive")
}

fn at(minutes: i64, fault: Fault, scenario: Scenario) -> Scenario {
    Scenario { faults: vec![TimedFault { at: mins(minutes), fault }], ..scenario }
}

#[test]
fn tasks_share_machines_and_each_machine_ends_when_its_last_task_has() {
    for seed in 0..4 {
        let outcome = Day { seed, ..four(scenario(10, 30, 0, None), 3) }.live();
        assert_clean(&outcome);
        assert_eq!((outcome.judgement.launched, done(&outcome)), (3, 10), "seed {seed}");
        let outcome = Day { seed, ..four(scenario(12, 20, 3, None), 4) }.live();
        assert_clean(&outcome);
        assert_eq!(done(&outcome), 12, "seed {seed}");
        assert!(outcome.judgement.launched <= 4, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn every_task_of_a_machine_that_breaks_down_is_put_back() {
    for seed in 0..4 {
        let broken = at(20, Fault::MachineDies { machine: Pick::Busy }, scenario(4, 30, 0, None));
        let outcome = Day { seed, ..four(broken, 4) }.live();
        assert_clean(&outcome);
        assert_eq!((done(&outcome), outcome.judgement.launched), (4, 2), "seed {seed}");
    }
}

/// A drain is over when it is answered, and at no other time.
fn waits_for_the_answer(seen: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let mut decided = plan(seen, settings, ledger, now);
    decided.actions.retain(|planned| planned.rule != Rule::Silent);
    decided
}

/// The other side of row 14: three of four agents work on, and cannot speak for the one that hangs.
#[test]
fn a_machine_one_of_whose_agents_hangs_works_on_and_is_ended_when_nobody_needs_it() {
    let lab = |planner| {
        let hangs = at(25, Fault::AgentDies { machine: Pick::Idle }, scenario(7, 5, 15, None));
        Day { planner, ..set(four(hangs, 12), "keep_alive = \"10m\"", "keep_alive = \"40m\"") }.live()
    };
    let outcome = lab(plan);
    assert_clean(&outcome);
    assert_eq!((done(&outcome), outcome.judgement.launched), (7, 1), "{outcome:?}");
    let broken = lab(waits_for_the_answer);
    assert!(broken.judgement.bill_microusd > 3 * outcome.judgement.bill_microusd, "{broken:?}\n{outcome:?}");
}

/// Somebody started another agent by hand, on our machine and under the name of ours, as a user of his own. It has a task
/// for so long, and its row is behind and says that it is idle.
struct Another {
    /// As two rows, or as the one of the two that reported last.
    two_rows: bool,
    /// Machines that were ended while it had its task.
    killed: &'static AtomicU32,
    now: Mutex<Option<Timestamp>>,
}

const ITS_TASK: [&str; 2] = ["2026-11-02T08:15:00Z", "2026-11-02T10:30:00Z"];

impl Another {
    fn new(two_rows: bool, killed: &'static AtomicU32) -> Self {
        Self { two_rows, killed, now: Mutex::new(None) }
    }

    fn has_its_task(&self) -> bool {
        let [from, until] = ITS_TASK.map(|at| at.parse().unwrap());
        self.now.lock().unwrap().is_some_and(|now| now >= from && now < until)
    }
}

#[async_trait]
impl Naive for Another {
    fn workers(&self, mut workers: Vec<ObservedWorker>) -> Vec<ObservedWorker> {
        let newest = workers.iter().filter_map(|worker| worker.last_report).max();
        let mut now = self.now.lock().unwrap();
        *now = newest.max(*now);
        drop(now);
        if self.two_rows && self.has_its_task() {
            let others: Vec<_> = workers.iter().map(|worker| ObservedWorker { task: None, ..worker.clone() }).collect();
            workers.extend(others);
        }
        workers
    }

    async fn terminate(&self, cloud: &dyn Cloud, region: &str, ids: &[InstanceId]) -> Result<(), CloudError> {
        if self.has_its_task() {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        cloud.terminate(region, ids).await
    }
}

#[test]
fn row_26_a_machine_whose_agent_is_claimed_twice_is_left_alone() {
    static LEFT: AtomicU32 = AtomicU32::new(0);
    static KILLED: AtomicU32 = AtomicU32::new(0);
    let lab = |world| Day { world, ..day(scenario(1, 5, 0, None), 5) }.live();
    let outcome = lab(|sim| behind(sim, Another::new(true, &LEFT)));
    assert_clean(&outcome);
    assert_eq!(LEFT.load(Ordering::Relaxed), 0, "{outcome:?}");
    lab(|sim| behind(sim, Another::new(false, &KILLED)));
    assert_eq!(KILLED.load(Ordering::Relaxed), 1);
}

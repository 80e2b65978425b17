//! What must hold at the end, found out without the program's own code: by the tasks' traces, the server's statuses,
//! EC2's own times and the price file.

use std::collections::BTreeSet;

use tidegate::model::ids::TaskId;
use tidegate::world::sim::clearml::Status;

use super::Rig;

const PRICES: &str = include_str!("../../../../assets/prices.csv");

impl Rig {
    /// Waits until every task has ended.
    #[track_caller]
    pub(in crate::main_job) fn wait_for_tasks(&mut self, tasks: &[TaskId]) {
        self.wait("every task has ended", |rig| {
            tasks.iter().all(|task| !matches!(rig.served.status(task), Status::Queued | Status::InProgress))
        });
    }

    /// Waits until every machine is proved gone.
    #[track_caller]
    pub(in crate::main_job) fn wait_for_no_machine(&mut self) {
        self.wait("every machine is gone", |rig| rig.ask("status")["instances"] == 0);
    }

    /// Every task is done and every job ran once, but for those that ran `again` because their machine went.
    #[track_caller]
    pub(in crate::main_job) fn assert_nothing_lost(&self, tasks: &[TaskId], again: &[&str]) {
        for task in tasks {
            assert_eq!(self.served.status(task), Status::Completed, "{task}\n{}", self.report());
        }
        let runs = self.runs();
        assert_eq!(runs.len(), tasks.len(), "{}", self.report());
        for (job, (starts, ends)) in runs {
            let wanted = if again.contains(&job.as_str()) { 2 } else { 1 };
            assert_eq!((starts, ends), (wanted, 1), "{job}\n{}", self.report());
        }
    }

    /// The limit was reached and not passed, at any look of the hypervisor's.
    #[track_caller]
    pub(in crate::main_job) fn assert_peak(&self, wanted: usize) {
        assert_eq!(self.hypervisor.seen().peak, wanted, "{}", self.report());
    }

    /// The most machines that were up at once for a queue.
    pub(in crate::main_job) fn peak_of(&self, queue: &str) -> usize {
        self.hypervisor.seen().peaks.get(queue).copied().unwrap_or_default()
    }

    /// Machines that nobody ended but themselves.
    pub(in crate::main_job) fn own_ends(&self) -> usize {
        self.hypervisor.seen().own_ends.len()
    }

    /// What is billed for the machines that there are, however soon they end.
    pub(in crate::main_job) fn least_bill(&self) -> i64 {
        self.ec2.machines().iter().map(|machine| micros_of_an_hour(&machine.machine_type) / 60).sum()
    }

    /// The program's total is the bill of EC2's own times, to the micro-dollar, and no call of anyone's went nowhere.
    #[track_caller]
    pub(in crate::main_job) fn assert_bill_agrees(&self) {
        let machines = self.ec2.machines();
        let intents: BTreeSet<_> = machines.iter().map(|machine| &machine.intent).collect();
        assert_eq!(intents.len(), machines.len(), "an intent made two machines\n{}", self.report());
        let bill: i64 = machines.iter().map(bill).sum();
        assert!(bill > 0, "{}", self.report());
        assert_eq!(self.ask("status")["total_microusd"], bill, "{}", self.report());
        self.served.all_known();
    }
}

/// Whole milliseconds, sixty seconds at least, at the price of the hour; rounded down.
fn bill(machine: &crate::support::ec2::Listed) -> i64 {
    let end = machine.ended.unwrap_or_else(|| panic!("{machine:?} runs"));
    let millis = end.as_millisecond().max(machine.launched.as_millisecond()) - machine.launched.as_millisecond();
    micros_of_an_hour(&machine.machine_type) * millis.max(60_000) / 3_600_000
}

fn micros_of_an_hour(machine_type: &str) -> i64 {
    let line = PRICES.lines().find(|line| line.split(',').nth(2) == Some(machine_type));
    let price = line.and_then(|line| line.split(',').nth(5)).unwrap_or_else(|| panic!("no price of {machine_type}"));
    let (dollars, decimals) = price.split_once('.').unwrap();
    format!("{dollars}{decimals:0<6}").parse().unwrap()
}

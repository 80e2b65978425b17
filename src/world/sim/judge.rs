//! The judge: what was done, what was lost, what was broken, and the bill. It counts by its own means, from
//! what really happened, and knows nothing of the console's ledger, plans and settings.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::{IntentId, TaskId};
use crate::model::settings::Market;
use crate::world::sim::clearml::{Status, Task};
use crate::world::sim::cloud::{Cause, Machine};
use crate::world::sim::events::{Index, Millis, millis};
use crate::world::sim::state::State;

/// The cloud bills at least this long.
const LEAST_BILLED: Millis = 60_000;

const MILLIS_IN_AN_HOUR: i128 = 3_600_000;

/// A spot machine that the cloud takes back before this may be free.
const FIRST_HOUR: Millis = 3_600_000;

/// The verdict on a run, up to now. Every task is in exactly one of the counts from `tasks_done` to
/// `tasks_withdrawn`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub tasks_arrived: u64,
    pub tasks_done: u64,
    /// In a queue.
    pub tasks_waiting: u64,
    /// In the hands of a living agent.
    pub tasks_running: u64,
    /// Nobody runs it and no queue holds it, for longer than the scenario's `lost_after`.
    pub tasks_lost: u64,
    /// The same, for less long: there is still time to put it back.
    pub tasks_stranded: u64,
    /// Taken out of its queue by people: with the queue, for example.
    pub tasks_withdrawn: u64,
    pub launched: u64,
    /// Ended, whoever did it.
    pub stopped: u64,
    /// Ended by the terminate call.
    pub stopped_by_call: u64,
    /// Ended by their own guard.
    pub stopped_by_guard: u64,
    /// Of the machines launched, those whose launch passed a limit of the scenario; one for each limit passed.
    pub limit_violations: u64,
    /// Ended by the terminate call while a living agent had a task.
    pub busy_kills: u64,
    /// Machines more than one for an intent.
    pub double_launches: u64,
    /// Runs that ended because somebody put the task of a living agent back into a queue.
    pub interrupted_runs: u64,
    /// The most machines that existed at once.
    pub peak_machines: u64,
    pub bill_microusd: i64,
}

/// What cannot be counted afterwards.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) arrived: u64,
    pub(super) interrupted_runs: u64,
    limit_violations: u64,
    busy_kills: u64,
    double_launches: u64,
    peak: u64,
    intents: BTreeSet<IntentId>,
}

impl State {
    /// A new machine: an intent makes one at most.
    pub(super) fn judge_launch(&mut self, new: Index) {
        let Some(machine) = self.machines.get(new) else { return };
        if !self.counts.intents.insert(machine.intent.clone()) {
            self.counts.double_launches += 1;
        }
        self.judge_start(new);
    }

    /// Recounts everything that exists, the machine that was started included.
    pub(super) fn judge_start(&mut self, new: Index) {
        let Some(machine) = self.machines.get(new) else { return };
        let now = self.now;
        let existing: Vec<&Machine> =
            self.listed.iter().filter_map(|index| self.machines.get(*index)).filter(|one| one.exists(now)).collect();
        let count = |same: &dyn Fn(&Machine) -> bool| {
            u64::try_from(existing.iter().filter(|one| same(one)).count()).unwrap_or(u64::MAX)
        };
        let total = count(&|_| true);
        let limits = [
            (self.limits.total, total),
            (self.limits.queue.get(machine.home.as_str()).copied(), count(&|one| one.home == machine.home)),
            (self.limits.pool.get(machine.pool.as_str()).copied(), count(&|one| one.pool == machine.pool)),
        ];
        let passed = limits.iter().filter(|(limit, count)| limit.is_some_and(|limit| *count > u64::from(limit)));
        self.counts.limit_violations += u64::try_from(passed.count()).unwrap_or(u64::MAX);
        self.counts.peak = self.counts.peak.max(total);
    }

    /// A machine ends whose agents were these.
    pub(super) fn judge_end(&mut self, agents: &[Index], cause: Cause) {
        let alive = agents.iter().filter_map(|agent| self.agents.get(*agent)).filter(|agent| agent.alive);
        let busy = alive.filter_map(|agent| agent.doing.task()).any(|task| !self.is_hold(task));
        if busy && cause == Cause::Call {
            self.counts.busy_kills += 1;
        }
    }

    pub(super) fn judge(&self) -> Judgement {
        let mut verdict = Judgement {
            tasks_arrived: self.counts.arrived,
            launched: u64::try_from(self.machines.len()).unwrap_or(u64::MAX),
            limit_violations: self.counts.limit_violations,
            busy_kills: self.counts.busy_kills,
            double_launches: self.counts.double_launches,
            interrupted_runs: self.counts.interrupted_runs,
            peak_machines: self.counts.peak,
            ..Judgement::default()
        };
        self.judge_tasks(&mut verdict);
        for machine in &self.machines {
            verdict.bill_microusd = verdict.bill_microusd.saturating_add(self.bill(machine));
            let Some(end) = machine.end else { continue };
            verdict.stopped += 1;
            verdict.stopped_by_call += u64::from(end.cause == Cause::Call);
            verdict.stopped_by_guard += u64::from(end.cause == Cause::Guard);
        }
        verdict
    }

    fn judge_tasks(&self, verdict: &mut Judgement) {
        let in_hands: BTreeSet<&TaskId> =
            self.living.iter().filter_map(|index| self.agents.get(*index)?.doing.task()).collect();
        for (id, truth) in &self.tasks {
            let known = self.server.task(id).ok();
            if truth.done {
                verdict.tasks_done += 1;
            } else if known.is_some_and(Task::waits) {
                verdict.tasks_waiting += 1;
            } else if in_hands.contains(id) {
                verdict.tasks_running += 1;
            } else if known.is_none_or(|task| task.status == Status::Created) {
                verdict.tasks_withdrawn += 1;
            } else if truth.stranded.is_some_and(|since| self.now - since <= millis(self.scenario.lost_after)) {
                verdict.tasks_stranded += 1;
            } else {
                verdict.tasks_lost += 1;
            }
        }
    }

    fn bill(&self, machine: &Machine) -> i64 {
        let end = machine.end;
        if let Some(off) = machine.off {
            return machine.paid + charge_disks(machine.disks, off.at, end.map_or(self.now, |end| end.at));
        }
        let taken_back = end.is_some_and(|end| end.cause == Cause::Spot && end.at - machine.launched < FIRST_HOUR);
        if taken_back && machine.market == Market::Spot && self.scenario.cloud.first_spot_hour_free {
            return 0;
        }
        machine.paid + charge(machine.price, machine.launched, end.map_or(self.now, |end| end.at))
    }
}

/// Micro-dollars for a machine of this price an hour, from its launch to its end; a part is not billed.
pub(super) fn charge(price: i64, from: Millis, to: Millis) -> i64 {
    let billed = i128::from((to - from).max(LEAST_BILLED));
    i64::try_from((i128::from(price) * billed).div_euclid(MILLIS_IN_AN_HOUR)).unwrap_or(i64::MAX)
}

/// Micro-dollars for the disks of a machine that is off; they have no least time.
pub(super) fn charge_disks(price: i64, from: Millis, to: Millis) -> i64 {
    i64::try_from((i128::from(price) * i128::from(to - from)).div_euclid(MILLIS_IN_AN_HOUR)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_floored_once_over_whole_milliseconds_and_a_minute_is_the_least() {
        for (price, lasted, micros) in [
            (1_006_000, 3_600_000, 1_006_000),
            (1_006_000, 0, 16_766),
            (1_006_000, 59_999, 16_766),
            (1_006_000, 60_000, 16_766),
            (1_006_000, 60_004, 16_767),
            (1_000_001, 3_600_003, 1_000_001),
            (1_000_001, 3_600_004, 1_000_002),
            (402_400, 5_400_000, 603_600),
            (142_416_000, 31 * 24 * 3_600_000, 105_957_504_000),
            (0, 9_999_999, 0),
        ] {
            assert_eq!(charge(price, 1_793_232_000_123, 1_793_232_000_123 + lasted), micros, "{price} for {lasted} ms");
        }
    }
}

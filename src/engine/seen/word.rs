//! Whether ClearML's word on a task is younger than the end of the machine that ran it. A task that ended with its machine, or
//! just before, runs by an older word still, and is not lost.

use jiff::Timestamp;

use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::Sights;
use crate::model::ids::{InstanceId, WorkerName};
use crate::model::observed::{TaskRecord, TaskStatus};
use crate::model::record::Memory;

/// Since when the machine is seen to be gone, or to go.
fn gone_since(instance: &InstanceId, sights: &Sights, memory: &Memory) -> Option<Timestamp> {
    sights.ended_since(instance).or_else(|| memory.gone.get(instance).copied())
}

/// Whether the tasks were asked for since the machine was seen gone.
pub(super) fn is_fresh(instance: &InstanceId, facts: &Facts, sights: &Sights, memory: &Memory) -> bool {
    let gone = gone_since(instance, sights, memory);
    gone.is_none_or(|gone| facts.tasks_asked.is_some_and(|asked| asked > gone))
}

/// Whether the tasks are to be asked for: one of them ran on a machine that is seen gone since.
pub(in crate::engine) fn is_wanted(facts: &Facts, sights: &Sights, memory: &Memory) -> bool {
    let running =
        |task: &&TaskRecord| task.status == TaskStatus::InProgress && !memory.requeueing.contains_key(&task.id);
    let mut workers =
        facts.tasks.iter().filter(running).filter_map(|task| WorkerName::parse(task.last_worker.as_ref()?));
    workers.any(|worker| !is_fresh(&worker.instance, facts, sights, memory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::observed::CloudState;
    use crate::model::snapshot::Stray;

    fn lost(fleet: &Fleet) -> usize {
        let strays = fleet.snapshot().strays;
        strays.iter().filter(|stray| matches!(stray, Stray::OfGoneMachine { .. })).count()
    }

    /// A machine that runs a task by ClearML's last word, and is terminated.
    fn terminated() -> Fleet {
        let mut fleet = Fleet::idle();
        fleet.tasks = vec![Fleet::task("t", TaskStatus::InProgress, Some("i-1"))];
        fleet.live(10);
        fleet.workers.clear();
        fleet.last().state = CloudState::Terminated;
        fleet.asks_tasks = false;
        fleet.live(10);
        fleet
    }

    #[test]
    fn a_task_that_ended_before_its_machine_is_not_lost_by_an_older_word() {
        let wanted = |fleet: &Fleet| is_wanted(&fleet.facts, &fleet.sights, &fleet.memory);
        let mut fleet = terminated();
        assert!(wanted(&fleet));
        fleet.live(10);
        assert!(fleet.memory.gone.contains_key("i-1"));
        assert_eq!((lost(&fleet), wanted(&fleet)), (0, true), "nobody was asked since it went");
        fleet.tasks[0].status = TaskStatus::Other;
        fleet.asks_tasks = true;
        fleet.live(10);
        assert_eq!((lost(&fleet), wanted(&fleet)), (0, false));
    }

    #[test]
    fn a_task_that_runs_by_a_word_since_is_lost_as_soon_as_its_machine_is_proved_gone() {
        let mut fleet = terminated();
        fleet.asks_tasks = true;
        fleet.live(10);
        assert!(fleet.memory.gone.contains_key("i-1"));
        assert_eq!((lost(&fleet), is_wanted(&fleet.facts, &fleet.sights, &fleet.memory)), (1, false));
    }
}

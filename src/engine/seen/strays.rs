//! Tasks that nobody works on: those of machines that are gone, those that are in no queue, those that a machine stopped.

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::Facts;
use crate::engine::seen::join::is_gone;
use crate::engine::seen::sight::{Nowhere, Sights};
use crate::model::ids::{InstanceId, WorkerName};
use crate::model::observed::TaskStatus;
use crate::model::record::Memory;
use crate::model::settings::Settings;
use crate::model::snapshot::Stray;

/// How long a task must be in no queue, and at how many looks, before it is put back (GUARD.md section 4).
const NOWHERE_FOR: SignedDuration = SignedDuration::from_secs(90);
const NOWHERE_LOOKS: u32 = 2;

pub(super) fn strays(
    facts: &Facts,
    sights: &Sights,
    memory: &Memory,
    settings: &Settings,
    now: Timestamp,
) -> Vec<Stray> {
    let served = facts.queues.served(settings);
    let name_of = |id| served.get(id).map(|queue| queue.name.clone());
    let mut strays = Vec::new();
    for task in &facts.tasks {
        let Some(queue) = task.queue.as_ref().and_then(name_of) else { continue };
        match task.status {
            TaskStatus::InProgress if !memory.requeueing.contains_key(&task.id) => {
                let worker = task.last_worker.as_ref().filter(|worker| {
                    WorkerName::parse(worker).is_some_and(|name| {
                        let ours = name.fleet == settings.the_loop.fleet || memory.gone.contains_key(&name.instance);
                        ours && is_gone(&name.instance, sights, memory) && !is_old(&name.instance, facts, memory, now)
                    })
                });
                if let Some(worker) = worker
                    && let Some(name) = WorkerName::parse(worker)
                {
                    strays.push(Stray::OfGoneMachine {
                        task: task.id.clone(),
                        name: task.name.clone(),
                        queue,
                        worker: worker.clone(),
                        instance: name.instance,
                        started: task.started,
                        requeues: memory.requeues.get(&task.id).copied().unwrap_or_default(),
                    });
                }
            }
            TaskStatus::Queued => {
                let changed = task.status_changed.is_some_and(|at| now.duration_since(at) > NOWHERE_FOR);
                let seen = sights.nowhere(&task.id);
                let lasts =
                    |seen: &Nowhere| seen.looks >= NOWHERE_LOOKS && seen.last.duration_since(seen.since) > NOWHERE_FOR;
                if let Some(Nowhere { since, .. }) = seen.filter(lasts)
                    && changed
                {
                    strays.push(Stray::QueuedNowhere { task: task.id.clone(), name: task.name.clone(), queue, since });
                }
            }
            _ => {}
        }
    }
    strays.extend(stopped_by_machines(facts, sights, memory, settings));
    strays
}

/// Tasks that machines which are gone stopped and meant to enqueue again, by their mailboxes.
fn stopped_by_machines<'a>(
    facts: &'a Facts,
    sights: &'a Sights,
    memory: &'a Memory,
    settings: &'a Settings,
) -> impl Iterator<Item = Stray> + 'a {
    facts.mailboxes.values().flat_map(move |mailbox| {
        mailbox.requeues().filter_map(move |(task, queue)| {
            let queue = facts.queues.by_id(&queue).map(|queue| queue.name.clone())?;
            let ours = settings.queue(&queue).is_some() && is_gone(&mailbox.instance, sights, memory);
            let requeues = memory.requeues.get(&task).copied().unwrap_or_default();
            let open = ours && !memory.requeueing.contains_key(&task);
            open.then(|| Stray::StoppedByMachine { task, queue, instance: mailbox.instance.clone(), requeues })
        })
    })
}

/// Whether the tasks were last asked for before a machine was proved gone: since then its task may well have ended, as the
/// last one of a machine that was drained has.
fn is_old(instance: &InstanceId, facts: &Facts, memory: &Memory, now: Timestamp) -> bool {
    // A clock that was set back: what is to come says nothing of what was asked.
    let gone = memory.gone.get(instance).filter(|gone| **gone <= now);
    gone.is_some_and(|gone| facts.tasks_asked.is_none_or(|asked| asked < *gone))
}

/// Whether ClearML must be asked for the tasks before it can be said which of them were lost with their machines.
#[must_use]
pub fn must_ask(facts: &Facts, memory: &Memory, now: Timestamp) -> bool {
    let running = facts.tasks.iter().filter(|task| task.status == TaskStatus::InProgress && !memory.gone.is_empty());
    let mut machines = running.filter_map(|task| task.last_worker.as_ref().and_then(WorkerName::parse));
    machines.any(|name| is_old(&name.instance, facts, memory, now))
}

#[cfg(test)]
mod tests {
    use crate::engine::seen::example::Fleet;
    use crate::engine::seen::strays::must_ask;
    use crate::model::observed::{CloudState, TaskStatus};

    #[test]
    fn a_task_is_lost_with_its_machine_only_by_an_answer_that_is_newer_than_its_end() {
        for ended in [true, false] {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(Some("t"));
            fleet.tasks = vec![Fleet::task("t", TaskStatus::InProgress, Some("i-1"))];
            fleet.live(0);
            // The tasks are not asked for at every look.
            fleet.tasks_unasked = true;
            fleet.last().state = CloudState::Terminated;
            fleet.workers.clear();
            fleet.live(10);
            assert!(!must_ask(&fleet.facts, &fleet.memory, fleet.now), "it is not proved gone yet");
            fleet.live(10);
            assert_eq!(fleet.snapshot().strays, [], "it ran when it was last asked for");
            assert!(must_ask(&fleet.facts, &fleet.memory, fleet.now));
            if ended {
                fleet.tasks.clear();
            }
            fleet.tasks_unasked = false;
            fleet.live(10);
            assert_eq!(fleet.snapshot().strays.len(), usize::from(!ended));
            assert!(!must_ask(&fleet.facts, &fleet.memory, fleet.now));
        }
    }
}

//! The week as the engine's join would show it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::account::Owner;
use crate::model::ids::TaskId;
use crate::model::instance::{Instance, Phase, Power, RunningTask};
use crate::model::record::Learned;
use crate::replay::trace::{Job, Millis};
use crate::replay::week::{Doing, Machine, Week};

pub(super) fn task(job: usize) -> TaskId {
    format!("job-{job}").into()
}

/// Whose the jobs are that wait or run.
pub(super) fn owners(week: &Week<'_>) -> BTreeMap<TaskId, Owner> {
    let waiting = (0..week.trace.queues.len()).flat_map(|queue| week.waiting(queue).iter().copied());
    let running = week.machines().iter().filter_map(|machine| match machine.doing {
        Doing::Running(job) => Some(job),
        _ => None,
    });
    let owner = |job| {
        let job: &Job = week.trace.jobs.get(job)?;
        let user = week.trace.users.get(job.user).filter(|user| !user.is_empty());
        let project = job.project.and_then(|project| week.trace.projects.get(project));
        Some(Owner { user: user.map(|name| name.as_str().into()), project: project.map(|name| name.as_str().into()) })
    };
    waiting.chain(running).filter_map(|job| Some((task(job), owner(job)?))).collect()
}

/// What the machine teaches that was last seen otherwise.
pub(super) fn learn(learned: &mut Learned, instance: &Instance, machine: &Machine, millis: Millis, now: Timestamp) {
    let runs = |task: &RunningTask| matches!(machine.doing, Doing::Running(job) if task.id == self::task(job));
    if let Some(ended) = instance.task.as_ref().filter(|task| !runs(task)) {
        let took = now.duration_since(ended.since);
        learned.tasks.entry(instance.home.clone()).or_default().push(took);
    }
    if !instance.registered && machine.registers <= millis && machine.doing != Doing::Off {
        let boot = SignedDuration::from_millis(machine.registers - machine.called);
        let samples = if machine.stint > 0 { &mut learned.starts } else { &mut learned.boots };
        samples.entry(instance.pool.clone()).or_default().push(boot);
    }
}

/// A machine as the engine's join would show it.
pub(super) fn see(instance: &mut Instance, machine: &Machine, millis: Millis, now: Timestamp) {
    let draining = instance.drain.is_some();
    let phase = match machine.doing {
        _ if draining && machine.doing != Doing::Off => Phase::Draining,
        Doing::Booting if machine.runs > millis => Phase::Pending,
        Doing::Booting => Phase::Booting,
        Doing::Idle | Doing::Drained => Phase::Idle,
        Doing::Running(_) => Phase::Busy,
        Doing::Off => Phase::Stopped,
        Doing::Gone => Phase::Gone,
    };
    if machine.doing == Doing::Off && !instance.power.is_off() {
        (instance.power, instance.rate, instance.last_report) = (Power::Off { since: now }, None, None);
    }
    if instance.phase != phase {
        (instance.phase, instance.phase_since) = (phase, now);
    }
    if machine.doing == Doing::Off {
        instance.drain = None;
    }
    instance.registered = machine.registers <= millis && machine.doing != Doing::Off;
    instance.last_report = instance.registered.then_some(now);
    match machine.doing {
        Doing::Running(job) => {
            if instance.task.as_ref().is_none_or(|running| running.id != task(job)) {
                let queue = Some(instance.home.clone());
                instance.task = Some(RunningTask { id: task(job), name: String::new(), queue, since: now });
            }
        }
        _ => instance.task = None,
    }
    if machine.doing == Doing::Drained
        && let Some(drain) = instance.drain.as_mut().filter(|drain| drain.acknowledged.is_none())
    {
        drain.acknowledged = Some(now);
    }
}

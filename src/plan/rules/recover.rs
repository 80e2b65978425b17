//! Tasks that nobody works on and nobody will, and workers whose machines are gone.

use std::collections::HashSet;

use crate::model::ids::{InstanceId, QueueName, TaskId};
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::OnLost;
use crate::model::snapshot::Stray;
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn recover(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut cared_for: HashSet<&TaskId> = HashSet::new();
    for stray in &index.snapshot.strays {
        let (task, queue, instance) = match stray {
            Stray::OfGoneMachine { task, queue, instance, .. } => (task, queue, Some(instance)),
            Stray::QueuedNowhere { task, queue, .. } => (task, queue, None),
        };
        // A queue that the settings do not name is not ours to fill.
        let foreign = matches!(stray, Stray::QueuedNowhere { .. }) && index.queue(queue).is_none();
        if foreign || !cared_for.insert(task) {
            continue;
        }
        let answer = may_recover(pass, queue, instance).map_or_else(|| answer(pass, stray), Err);
        match answer {
            Ok((action, reason)) => pass.act(Rule::Recover, action, reason),
            Err(reason) => {
                pass.refuse(Rule::Recover, &About { queue: Some(queue), instance, ..About::default() }, reason);
            }
        }
    }
    for ghost in &index.snapshot.ghosts {
        match index.stale_clearml().or_else(|| alive(pass, &ghost.instance)) {
            None => pass.act(
                Rule::Recover,
                Action::Unregister { worker: ghost.worker.clone() },
                Reason::GhostWorker { instance: ghost.instance.clone() },
            ),
            Some(reason) => pass.refuse(Rule::Recover, &About::instance(&ghost.instance), reason),
        }
    }
}

fn may_recover(pass: &Pass<'_>, queue: &QueueName, instance: Option<&InstanceId>) -> Option<Reason> {
    let missing = || pass.index.queue(queue)?.missing();
    pass.index.stale_clearml().or_else(missing).or_else(|| alive(pass, instance?))
}

/// A machine that the snapshot still shows is not gone, whatever else says so.
fn alive(pass: &Pass<'_>, instance: &InstanceId) -> Option<Reason> {
    let machine = pass.machines.get(pass.index.instance_place(instance)?)?.seen;
    let task = machine.task.as_ref().map(|task| task.id.clone());
    machine.counts().then(|| Reason::Busy { instance: instance.clone(), task })
}

fn answer(pass: &Pass<'_>, stray: &Stray) -> Result<(Action, Reason), Reason> {
    match stray {
        Stray::OfGoneMachine { task, queue, worker, instance, started, requeues, .. } => {
            let allowed = match pass.index.queue(queue).map(|queue| queue.settings.on_lost) {
                Some(OnLost::Requeue(times)) => times,
                Some(OnLost::Never) | None => 0,
            };
            if *requeues >= allowed {
                return Err(Reason::RequeuesUsed { task: task.clone(), attempts: *requeues, allowed });
            }
            let attempt = requeues + 1;
            let action = Action::Requeue {
                task: task.clone(),
                queue: queue.clone(),
                worker: worker.clone(),
                instance: instance.clone(),
                started: *started,
                attempt,
            };
            Ok((action, Reason::MachineGone { instance: instance.clone(), attempt, allowed }))
        }
        Stray::QueuedNowhere { task, queue, since, .. } => {
            let since = pass.index.now.duration_since(*since);
            Ok((Action::Enqueue { task: task.clone(), queue: queue.clone() }, Reason::QueuedNowhere { since }))
        }
    }
}

//! Tasks that nobody works on and nobody will, and workers whose machines are gone.

use std::collections::HashSet;

use crate::model::ids::{InstanceId, QueueName, TaskId};
use crate::model::instance::Phase;
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
            Stray::OfGoneMachine { task, queue, instance, .. }
            | Stray::StoppedByMachine { task, queue, instance, .. } => (task, queue, Some(instance)),
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
        match index.stale_clearml().or_else(|| runs(pass, &ghost.instance)) {
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
    machine.is_there().then(|| Reason::Busy { instance: instance.clone(), task })
}

/// One that is off has no worker, unless somebody starts it, or may have since it was last seen.
fn runs(pass: &Pass<'_>, instance: &InstanceId) -> Option<Reason> {
    let machine = pass.machines.get(pass.index.instance_place(instance)?)?;
    let seen = machine.seen;
    if seen.phase == Phase::Stopped && !machine.started {
        return pass.index.stale_region(seen.provider, &seen.region);
    }
    alive(pass, instance)
}

fn answer(pass: &Pass<'_>, stray: &Stray) -> Result<(Action, Reason), Reason> {
    let (worker, started) = match stray {
        Stray::OfGoneMachine { worker, started, .. } => (Some(worker.clone()), *started),
        _ => (None, None),
    };
    match stray {
        Stray::OfGoneMachine { task, queue, instance, requeues, .. }
        | Stray::StoppedByMachine { task, queue, instance, requeues } => {
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
                worker,
                instance: instance.clone(),
                started,
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

#[cfg(test)]
mod tests {
    use crate::model::instance::Phase;
    use crate::model::plan::Action;
    use crate::model::settings::{OnIdle, OnLost};
    use crate::model::snapshot::{Ghost, Stray};
    use crate::plan::example::{World, ago, instance, off};

    fn lost(task: &str, requeues: u32) -> Stray {
        Stray::OfGoneMachine {
            task: task.into(),
            name: "bert".to_owned(),
            queue: "train".into(),
            worker: "lab:gpu:g5.xlarge:i-old".into(),
            instance: "i-old".into(),
            started: Some(ago(500)),
            requeues,
        }
    }

    fn nowhere(task: &str, queue: &str) -> Stray {
        Stray::QueuedNowhere { task: task.into(), name: "bert".to_owned(), queue: queue.into(), since: ago(95) }
    }

    fn world(strays: Vec<Stray>) -> World {
        let mut world = World::new().waiting("train", 0);
        world.snapshot.strays = strays;
        world
    }

    #[test]
    fn a_lost_task_is_enqueued_again_as_often_as_allowed() {
        for (on_lost, requeues, told) in [
            (
                OnLost::Requeue(1),
                0,
                "recover: enqueue task t-1 again on train: its machine i-old is gone: attempt 1 of 1",
            ),
            (
                OnLost::Requeue(3),
                2,
                "recover: enqueue task t-1 again on train: its machine i-old is gone: attempt 3 of 3",
            ),
            (OnLost::Requeue(1), 1, "NOT recover train i-old: task t-1 was enqueued again 1 time, on_lost allows 1"),
            (OnLost::Never, 0, "NOT recover train i-old: task t-1 was enqueued again 0 times, on_lost allows 0"),
        ] {
            world(vec![lost("t-1", requeues)]).set(|settings| settings.queues[0].on_lost = on_lost).expect(&[told]);
        }
        let plan = world(vec![lost("t-1", 0)]).plan();
        let Action::Requeue { worker, started, .. } = &plan.actions[0].action else { panic!("{plan:?}") };
        let of = (worker.as_ref().map(ToString::to_string), *started);
        assert_eq!(of, (Some("lab:gpu:g5.xlarge:i-old".to_owned()), Some(ago(500))), "only of that run of it");
    }

    #[test]
    fn a_task_that_its_own_machine_stopped_is_enqueued_again_once() {
        let stopped = |requeues| Stray::StoppedByMachine {
            task: "t-1".into(),
            queue: "train".into(),
            instance: "i-old".into(),
            requeues,
        };
        let told = "recover: enqueue task t-1 again on train: its machine i-old is gone: attempt 1 of 1";
        world(vec![stopped(0)]).expect(&[told]);
        // Its status is behind: running still, on the same machine.
        world(vec![lost("t-1", 0), stopped(0)]).expect(&[told]);
        world(vec![stopped(1)])
            .expect(&["NOT recover train i-old: task t-1 was enqueued again 1 time, on_lost allows 1"]);
    }

    #[test]
    fn a_task_in_no_queue_goes_into_its_own_once() {
        world(vec![nowhere("t-1", "train"), nowhere("t-1", "train"), nowhere("t-2", "someone's")])
            .expect(&["recover: enqueue task t-1 on train: queued for 1m35 and in no queue"]);
    }

    #[test]
    fn a_machine_that_is_still_there_keeps_its_task_and_its_worker() {
        let mut world = world(vec![lost("t-1", 0)]);
        world.snapshot.ghosts.push(Ghost {
            worker: "lab:gpu:g5.xlarge:i-old".into(),
            instance: "i-old".into(),
            task: None,
            last_report: None,
        });
        world.expect(&[
            "recover: enqueue task t-1 again on train: its machine i-old is gone: attempt 1 of 1",
            "recover: unregister lab:gpu:g5.xlarge:i-old: its machine i-old does not run",
        ]);
        world
            .clone()
            .with(instance("i-old", Phase::Stopping))
            .expect(&["NOT recover train i-old: i-old may have a task", "NOT recover i-old: i-old may have a task"]);
        world.last_heard("clearml", 61).expect(&[
            "NOT recover train i-old: clearml has not answered for 1m01, more than 1m00",
            "NOT recover i-old: clearml has not answered for 1m01, more than 1m00",
        ]);
    }

    #[test]
    fn the_row_of_what_is_off_goes_unless_it_may_run_again() {
        let mut world = world(Vec::new()).with(off("i-1", 60)).set(|settings| {
            (settings.pools[0].on_idle, settings.pools[0].max_stopped) = (OnIdle::Stop, 1);
        });
        world.snapshot.ghosts.push(Ghost {
            worker: "lab:gpu:g5.xlarge:i-1".into(),
            instance: "i-1".into(),
            task: None,
            last_report: None,
        });
        world.expect(&["recover: unregister lab:gpu:g5.xlarge:i-1: its machine i-1 does not run"]);
        let stale = "NOT recover i-1: aws us-east-1 has not answered for 1m01, more than 1m00";
        world.clone().last_heard("aws us-east-1", 61).expect(&[stale]);
        let mut started = world.intent("gpu", "train");
        started.snapshot.intents[0].starts = Some("i-1".into());
        assert_eq!(started.told()[0], "NOT recover i-1: i-1 may have a task");
    }

    #[test]
    fn a_queue_that_is_gone_is_not_created() {
        let mut world = world(vec![lost("t-1", 0)]);
        world.snapshot.queues[0].id = None;
        let missing = "the server has no queue `train`; it is not created";
        world.expect(&[&format!("NOT recover train i-old: {missing}"), &format!("NOT demand train: {missing}")]);
    }
}

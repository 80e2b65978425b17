//! A machine that answered its drain has no task and takes none: it is stopped, whatever the drain was for.

use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn stop(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        if !machine.acknowledged || matches!(machine.state(), State::Gone | State::Stopping) {
            continue;
        }
        let Some(drain) = &machine.seen.drain else { continue };
        let after = drain.acknowledged.map(|at| at.duration_since(drain.ordered)).unwrap_or_default();
        let id = &machine.seen.id;
        if let Some(reason) = refusal(pass, place) {
            pass.refuse(Rule::Drain, &About::instance(id), reason);
            continue;
        }
        if let Some(machine) = pass.machines.get_mut(place) {
            machine.stopped = true;
        }
        let stop = Action::Stop { instance: id.clone(), kill: false };
        pass.act(Rule::Drain, stop, Reason::Drained { after });
    }
}

fn refusal(pass: &Pass<'_>, place: usize) -> Option<Reason> {
    let machine = pass.machines.get(place)?;
    let seen = machine.seen;
    let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
    machine.held().or_else(stale).or_else(|| busy(machine))
}

/// The worker says otherwise than the answer: then there may be a task.
fn busy(machine: &Machine<'_>) -> Option<Reason> {
    let task = machine.seen.task.as_ref()?;
    Some(Reason::Busy { instance: machine.seen.id.clone(), task: Some(task.id.clone()) })
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Fault, Phase, RunningTask};
    use crate::plan::example::{World, ago, drain, hold, instance};

    #[test]
    fn an_answered_drain_is_stopped_and_no_other() {
        let mut machine = instance("i-1", Phase::Draining);
        for cause in [DrainCause::Surplus, DrainCause::Person, DrainCause::Exit, DrainCause::Stuck] {
            machine.drain = Some(drain(cause, 60, Some(42)));
            World::new()
                .with(machine.clone())
                .expect(&["drain: stop i-1: drained: it answered 18s after the order, and has no task"]);
        }
        machine.fault = Some(Fault::Lost);
        assert_eq!(World::new().with(machine.clone()).plan().actions.len(), 1, "the answer still holds");
        machine.fault = None;
        machine.drain = Some(drain(DrainCause::Surplus, 60, None));
        World::new().with(machine.clone()).expect(&[]);
        machine.drain = Some(drain(DrainCause::Surplus, 60, Some(42)));
        machine.drain.as_mut().unwrap().cancelled = true;
        World::new().with(machine).expect(&["NOT shrink gpu: 1 more than needed for 0s; one is drained at 10m00"]);
    }

    #[test]
    fn what_forbids_the_stop_is_said() {
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Person, 60, Some(42)));
        let world = World::new().with(machine.clone());
        world
            .clone()
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT drain i-1: aws us-east-1 has not answered for 1m01, more than 1m00"]);
        world.last_heard("clearml", 61).expect(&["NOT drain i-1: clearml has not answered for 1m01, more than 1m00"]);
        machine.hold = Some(hold(3_600));
        World::new().with(machine.clone()).expect(&["NOT drain i-1: held by ann until 2026-11-02 09:00Z: profiling"]);
        machine.hold = Some(hold(0));
        assert_eq!(World::new().with(machine.clone()).plan().actions.len(), 1, "the hold has run out");
        machine.task = Some(RunningTask { id: "t-1".into(), name: String::new(), queue: None, since: ago(1) });
        World::new().with(machine).expect(&["NOT drain i-1: i-1 runs task t-1"]);
    }
}

//! A machine that answered its drain has no task and takes none: it is ended, whatever the drain was for. One that was
//! only idle is switched off and kept instead, where its pool says so.

use crate::model::instance::{DrainCause, Fault};
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};
use crate::plan::rules::kept;

pub(in crate::plan) fn stop(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        if !machine.acknowledged || matches!(machine.state(), State::Gone | State::Stopping | State::Off) {
            continue;
        }
        let Some(drain) = &machine.seen.drain else { continue };
        let after = drain.acknowledged.map(|at| at.duration_since(drain.ordered)).unwrap_or_default();
        let id = &machine.seen.id;
        if let Some(reason) = refusal(pass, place) {
            pass.refuse(Rule::Drain, &About::instance(id), reason);
            continue;
        }
        let keep = drain.cause == DrainCause::Surplus && kept::has_room(pass, place);
        if let Some(machine) = pass.machines.get_mut(place) {
            (machine.stopped, machine.kept) = (true, keep);
        }
        let instance = id.clone();
        let action = if keep { Action::SwitchOff { instance } } else { Action::Stop { instance, kill: false } };
        pass.act(Rule::Drain, action, Reason::Drained { after });
    }
}

fn refusal(pass: &Pass<'_>, place: usize) -> Option<Reason> {
    let machine = pass.machines.get(place)?;
    let seen = machine.seen;
    let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
    machine.held().or_else(stale).or_else(|| claimed_twice(machine)).or_else(|| busy(machine))
}

/// Another than the one that answered may have a task there.
fn claimed_twice(machine: &Machine<'_>) -> Option<Reason> {
    let fault = machine.seen.fault.filter(|fault| *fault == Fault::ClaimedTwice)?;
    Some(Reason::Faulty { instance: machine.seen.id.clone(), fault })
}

/// The worker says otherwise than the answer: then there may be a task.
fn busy(machine: &Machine<'_>) -> Option<Reason> {
    let task = machine.seen.task.as_ref()?;
    Some(Reason::Busy { instance: machine.seen.id.clone(), task: Some(task.id.clone()) })
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Fault, Instance, Phase, Power, RunningTask};
    use crate::model::settings::{Market, OnIdle, PoolSettings};
    use crate::plan::example::{World, ago, drain, hold, instance, off};

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
    fn an_idle_machine_is_switched_off_where_its_pool_keeps_it_and_there_is_room() {
        let with = |cause, change: fn(&mut PoolSettings)| {
            let mut machine = instance("i-1", Phase::Draining);
            machine.drain = Some(drain(cause, 60, Some(42)));
            World::new().with(machine).set(|settings| {
                (settings.pools[0].on_idle, settings.pools[0].max_stopped) = (OnIdle::Stop, 1);
                change(&mut settings.pools[0]);
            })
        };
        let told = |world: World| world.plan().actions[0].action.to_string();
        let surplus = || with(DrainCause::Surplus, |_| {});
        assert_eq!(told(surplus()), "switch i-1 off and keep it");
        assert_eq!(told(with(DrainCause::Person, |_| {})), "stop i-1");
        assert_eq!(told(with(DrainCause::Surplus, |pool| pool.max_stopped = 0)), "stop i-1");
        assert_eq!(told(with(DrainCause::Surplus, |pool| pool.on_idle = OnIdle::Terminate)), "stop i-1");
        assert_eq!(told(surplus().with(off("i-2", 60))), "stop i-1");
        let mut going = instance("i-2", Phase::Stopping);
        going.power = Power::SwitchingOff { at: ago(5) };
        assert_eq!(told(surplus().with(going)), "stop i-1");
        let mut spot = surplus();
        spot.snapshot.instances[0].market = Market::Spot;
        assert_eq!(told(spot), "stop i-1");
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
        let claimed = Instance { fault: Some(Fault::ClaimedTwice), hold: None, ..machine.clone() };
        World::new()
            .with(claimed)
            .expect(&["NOT drain i-1: i-1 is claimed twice and may have a task: a person decides"]);
        machine.hold = Some(hold(0));
        assert_eq!(World::new().with(machine.clone()).plan().actions.len(), 1, "the hold has run out");
        machine.task = Some(RunningTask { id: "t-1".into(), name: String::new(), queue: None, since: ago(1) });
        World::new().with(machine).expect(&["NOT drain i-1: i-1 runs task t-1"]);
    }
}

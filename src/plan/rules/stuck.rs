//! Machines on which no worker registered in `pool.X.max_boot`: drained first, so that none can take a task at the
//! last moment, and stopped once the order has surely been read or there is nobody to read it.

use jiff::SignedDuration;

use crate::model::instance::{DrainCause, Fault};
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::GuardKind;
use crate::plan::machine::{Machine, Order, State};
use crate::plan::pass::{About, Pass};

/// A gate reads its mailbox every 15 s and takes nothing after it read the order. A worker that was not there when
/// ClearML was asked this long after the order came too late for any task.
const PROOF: SignedDuration = SignedDuration::from_secs(60);

pub(in crate::plan) fn end(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place).filter(|machine| is_stuck(machine)) else { continue };
        let decision = decide(pass, machine);
        let id = &machine.seen.id;
        match decision {
            Decision::Wait => {}
            Decision::Refuse(reason) => pass.refuse(Rule::Stuck, &About::instance(id), reason),
            Decision::Act(action, reason) => {
                if let Some(machine) = pass.machines.get_mut(place) {
                    match action {
                        Action::Stop { .. } => machine.stopped = true,
                        _ => machine.order_drain(),
                    }
                }
                pass.act(Rule::Stuck, action, reason);
            }
        }
    }
}

enum Decision {
    Act(Action, Reason),
    Refuse(Reason),
    /// The order is given and not yet proved.
    Wait,
}

fn is_stuck(machine: &Machine<'_>) -> bool {
    machine.overdue
        && machine.state() == State::Faulty
        && matches!(machine.seen.fault, None | Some(Fault::Stuck))
        && !machine.may_have_task()
        && !machine.acknowledged
}

fn decide(pass: &Pass<'_>, machine: &Machine<'_>) -> Decision {
    let (index, seen) = (pass.index, machine.seen);
    let Some(pool) = machine.pool.and_then(|pool| index.pools.get(pool)) else { return Decision::Wait };
    if let Some(stale) = index.stale_clearml().or_else(|| index.stale_region(seen.provider, &seen.region)) {
        return Decision::Refuse(stale);
    }
    if let Some(held) = machine.held() {
        return Decision::Refuse(held);
    }
    if pool.settings.guard == GuardKind::Off {
        return Decision::Refuse(Reason::Faulty { instance: seen.id.clone(), fault: Fault::Stuck });
    }
    let reason = Reason::NeverRegistered { age: seen.age(index.now), max_boot: pool.settings.max_boot };
    if machine.order != Order::Standing {
        return Decision::Act(Action::Drain { instance: seen.id.clone(), cause: DrainCause::Stuck }, reason);
    }
    let ordered = machine.standing().map(|drain| drain.ordered);
    let proved =
        ordered.zip(index.clearml_seen()).is_some_and(|(ordered, looked)| looked.duration_since(ordered) >= PROOF);
    if proved { Decision::Act(Action::Stop { instance: seen.id.clone(), kill: false }, reason) } else { Decision::Wait }
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Fault, Instance, Phase};
    use crate::model::settings::GuardKind;
    use crate::plan::example::{World, ago, drain, hold, instance};

    fn machine(age: i64, drain_age: Option<i64>) -> Instance {
        let mut machine = instance("i-1", Phase::Booting);
        machine.launched = ago(age);
        machine.drain = drain_age.map(|age| drain(DrainCause::Stuck, age, None));
        machine
    }

    #[test]
    fn a_machine_without_a_worker_is_drained_then_stopped_once_that_is_proved() {
        let why = "no worker 15m01 after its launch, max_boot is 15m00";
        let cooling = "NOT shrink gpu: 1 more than needed for 0s; one is drained at 10m00";
        for (age, drain_age, told) in [
            (900, None, cooling.to_owned()),
            (901, None, format!("stuck: drain i-1: {why}")),
            (901, Some(64), String::new()),
            (901, Some(65), format!("stuck: stop i-1: {why}")),
        ] {
            let told: Vec<_> = [told.as_str()].into_iter().filter(|told| !told.is_empty()).collect();
            // ClearML was asked 5 s ago: only what it said a minute after the order proves anything.
            World::new().with(machine(age, drain_age)).expect(&told);
        }
    }

    #[test]
    fn any_order_that_stands_will_do() {
        let mut machine = machine(901, Some(70));
        machine.drain = Some(drain(DrainCause::Surplus, 70, None));
        assert_eq!(World::new().with(machine.clone()).plan().actions[0].action.to_string(), "stop i-1");
        machine.drain.as_mut().unwrap().cancelled = true;
        assert_eq!(World::new().with(machine).plan().actions[0].action.to_string(), "drain i-1");
    }

    #[test]
    fn what_registered_late_is_left_to_its_drain() {
        let mut machine = machine(2_000, Some(500));
        (machine.registered, machine.phase) = (true, Phase::Draining);
        World::new().with(machine).expect(&[]);
    }

    #[test]
    fn what_forbids_it_is_said() {
        let world = |drain| World::new().with(machine(901, drain));
        world(Some(900))
            .last_heard("clearml", 61)
            .expect(&["NOT stuck i-1: clearml has not answered for 1m01, more than 1m00"]);
        world(None)
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT stuck i-1: aws us-east-1 has not answered for 1m01, more than 1m00"]);
        world(None)
            .set(|settings| settings.pools[0].guard = GuardKind::Off)
            .expect(&["NOT stuck i-1: i-1 is stuck and may have a task: a person decides"]);
        let mut held = machine(901, None);
        held.hold = Some(hold(3_600));
        World::new().with(held).expect(&["NOT stuck i-1: held by ann until 2026-11-02 09:00Z: profiling"]);
    }

    #[test]
    fn another_fault_is_a_person_s_matter() {
        let mut machine = machine(901, Some(70));
        machine.fault = Some(Fault::Interrupted);
        World::new().with(machine).expect(&[]);
    }
}

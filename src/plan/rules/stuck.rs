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
    let proved = machine
        .ordered()
        .zip(index.clearml_seen())
        .is_some_and(|(ordered, looked)| looked.duration_since(ordered) >= PROOF);
    if proved { Decision::Act(Action::Stop { instance: seen.id.clone(), kill: false }, reason) } else { Decision::Wait }
}

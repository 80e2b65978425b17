//! What people ask, answered in the order in which they ask it. A person may kill a task, which the loop never does;
//! limits and hard budgets bind the hand too.

use crate::model::ids::{Actor, InstanceId, PoolName, QueueName};
use crate::model::instance::{DrainCause, Hold};
use crate::model::plan::{Action, Planned, Rule};
use crate::model::reason::Reason;
use crate::model::settings::GuardKind;
use crate::model::snapshot::Ask;
use crate::plan::index::Index;
use crate::plan::launch::Want;
use crate::plan::machine::{Machine, Order, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn answer(pass: &mut Pass<'_>) {
    let index = pass.index;
    for order in &index.snapshot.orders {
        let by = &order.by;
        match &order.what {
            Ask::Drain(instance) => on_machine(pass, by, instance, drain),
            Ask::CancelDrain(instance) => on_machine(pass, by, instance, |_, machine| cancel(machine)),
            Ask::Stop { instance, kill: false } => on_machine(pass, by, instance, stop),
            Ask::Stop { instance, kill: true } => on_machine(pass, by, instance, |_, machine| kill(machine)),
            Ask::StopAll => stop_all(pass, by),
            Ask::Hold { instance, hold } => on_machine(pass, by, instance, |index, machine| keep(index, machine, hold)),
            Ask::Release(instance) => on_machine(pass, by, instance, |_, machine| release(machine)),
            Ask::Launch { pool, queue } => launch(pass, by, pool, queue),
        }
    }
}

type Answer = Result<Action, Reason>;

fn on_machine<'a>(
    pass: &mut Pass<'a>,
    by: &Actor,
    instance: &InstanceId,
    answer: impl FnOnce(&Index<'a>, &mut Machine<'a>) -> Answer,
) {
    let index = pass.index;
    let machine = index.instance_place(instance).and_then(|place| pass.machines.get_mut(place));
    let answer = match machine {
        None => Err(Reason::NoSuchInstance { instance: instance.clone() }),
        Some(machine) if machine.state() == State::Gone => already(machine, "is gone"),
        Some(machine) => answer(index, machine),
    };
    match answer {
        Ok(action) => {
            let reason = Reason::Asked { by: by.clone() };
            pass.actions.push(Planned { rule: Rule::Person, by: by.clone(), action, reason });
        }
        Err(reason) => pass.refuse_to(by, Rule::Person, &About::instance(instance), reason),
    }
}

fn already(machine: &Machine<'_>, is: &str) -> Answer {
    Err(Reason::Already { what: format!("{} {is}", machine.seen.id) })
}

fn drain(index: &Index<'_>, machine: &mut Machine<'_>) -> Answer {
    if machine.state() == State::Stopping {
        return already(machine, "is being stopped");
    }
    if machine.order == Order::Standing {
        return already(machine, "is being drained");
    }
    let pool = machine.pool.and_then(|pool| index.pools.get(pool));
    if let Some(pool) = pool.filter(|pool| pool.settings.guard == GuardKind::Off) {
        return Err(Reason::NoGuard { pool: pool.settings.name.clone() });
    }
    machine.order_drain();
    Ok(Action::Drain { instance: machine.seen.id.clone(), cause: DrainCause::Person })
}

fn cancel(machine: &mut Machine<'_>) -> Answer {
    match machine.order {
        _ if machine.state() == State::Stopping => already(machine, "is being stopped: it is too late"),
        Order::None => already(machine, "is not being drained"),
        Order::TakenBack => already(machine, "has its drain cancelled"),
        Order::Standing => {
            machine.take_back_drain();
            Ok(Action::CancelDrain { instance: machine.seen.id.clone() })
        }
    }
}

/// Only what surely has no task, and only on fresh word of that.
fn stop(index: &Index<'_>, machine: &mut Machine<'_>) -> Answer {
    let seen = machine.seen;
    if machine.state() == State::Stopping {
        return already(machine, "is being stopped");
    }
    if machine.may_have_task() {
        let task = seen.task.as_ref().map(|task| task.id.clone());
        return Err(Reason::Busy { instance: seen.id.clone(), task });
    }
    if let Some(stale) = index.stale_clearml().or_else(|| index.stale_region(seen.provider, &seen.region)) {
        return Err(stale);
    }
    machine.stopped = true;
    Ok(Action::Stop { instance: seen.id.clone(), kill: false })
}

fn kill(machine: &mut Machine<'_>) -> Answer {
    if machine.state() == State::Stopping {
        return already(machine, "is being stopped");
    }
    machine.stopped = true;
    Ok(Action::Stop { instance: machine.seen.id.clone(), kill: true })
}

fn stop_all(pass: &mut Pass<'_>, by: &Actor) {
    pass.all_stopped_by = Some(by.clone());
    let up = pass.machines.iter().filter(|machine| !matches!(machine.state(), State::Gone | State::Stopping));
    let up: Vec<_> = up.map(|machine| &machine.seen.id).collect();
    for instance in up {
        on_machine(pass, by, instance, |_, machine| kill(machine));
    }
}

fn keep<'a>(index: &Index<'a>, machine: &mut Machine<'a>, hold: &'a Hold) -> Answer {
    if machine.hold == Some(hold) {
        return already(machine, "is held so");
    }
    machine.hold = Some(hold).filter(|hold| hold.until > index.now);
    Ok(Action::Hold { instance: machine.seen.id.clone(), hold: hold.clone() })
}

fn release(machine: &mut Machine<'_>) -> Answer {
    if machine.hold.is_none() {
        return already(machine, "is not held");
    }
    machine.hold = None;
    Ok(Action::Release { instance: machine.seen.id.clone() })
}

fn launch(pass: &mut Pass<'_>, by: &Actor, pool: &PoolName, queue: &QueueName) {
    let about = About { queue: Some(queue), pool: Some(pool), instance: None, short_of: 1 };
    let (queue, pool) = match launchable(pass.index, pool, queue) {
        Ok(places) => places,
        Err(reason) => return pass.refuse_to(by, Rule::Person, &about, reason),
    };
    let reason = Reason::Asked { by: by.clone() };
    let launched = pass.launch(&Want { rule: Rule::Person, by, queue, pool, count: 1, reason: &reason });
    let about = About { short_of: 1 - launched.count, ..about };
    for reason in launched.refused {
        pass.refuse_to(by, Rule::Person, &about, reason);
    }
}

/// The places of the queue and the pool, or why nothing can be launched there.
fn launchable(index: &Index<'_>, pool: &PoolName, queue: &QueueName) -> Result<(usize, usize), Reason> {
    let pool_place = index.pool_place(pool).ok_or_else(|| Reason::NoSuchPool { pool: pool.clone() })?;
    let found = index.queue(queue).ok_or_else(|| Reason::NoSuchQueue { queue: queue.clone(), nearest: None })?;
    if let Some(reason) = index.stale_clearml().or_else(|| found.missing()) {
        return Err(reason);
    }
    if !found.pools.contains(&pool_place) {
        return Err(Reason::NotOffered { queue: queue.clone(), pool: pool.clone() });
    }
    Ok((found.place, pool_place))
}

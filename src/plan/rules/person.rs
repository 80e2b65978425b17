//! What people ask, answered in the order in which they ask it. A person may kill a task, which the loop never does;
//! limits and hard budgets bind the hand too.

use crate::model::ids::{Actor, InstanceId, PoolName, QueueName};
use crate::model::instance::{DrainCause, Hold};
use crate::model::plan::{Action, Planned, Rule};
use crate::model::reason::Reason;
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
            Ask::Replace(instance) => on_machine(pass, by, instance, |index, machine| replace(index, machine, by)),
            Ask::LetBe(instance) => on_machine(pass, by, instance, |_, machine| let_be(machine)),
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
    if machine.state() == State::Off {
        return already(machine, "is switched off");
    }
    if machine.order == Order::Standing {
        return already(machine, "is being drained");
    }
    if let Some(no) = machine.no_guard(index) {
        return Err(no);
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
            // It would be drained again as soon as it is idle.
            machine.replace_by = None;
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

/// Marks it; the rule that follows drains it.
fn replace<'a>(index: &Index<'a>, machine: &mut Machine<'a>, by: &'a Actor) -> Answer {
    if machine.state() == State::Stopping {
        return already(machine, "is being stopped");
    }
    if machine.replace_by.is_some() {
        return already(machine, "is to be replaced");
    }
    if let Some(no) = machine.no_guard(index) {
        return Err(no);
    }
    machine.replace_by = Some(by);
    Ok(Action::Replace { instance: machine.seen.id.clone() })
}

fn let_be(machine: &mut Machine<'_>) -> Answer {
    if machine.replace_by.is_none() {
        return already(machine, "is not to be replaced");
    }
    if machine.order == Order::Standing {
        return already(machine, "is being drained: cancel the drain");
    }
    machine.replace_by = None;
    Ok(Action::LetBe { instance: machine.seen.id.clone() })
}

fn launch(pass: &mut Pass<'_>, by: &Actor, pool: &PoolName, queue: &QueueName) {
    let about = About { queue: Some(queue), pool: Some(pool), instance: None, short_of: 1 };
    let (queue, pool) = match launchable(pass.index, pool, queue) {
        Ok(places) => places,
        Err(reason) => return pass.refuse_to(by, Rule::Person, &about, reason),
    };
    let reason = Reason::Asked { by: by.clone() };
    let (rule, count, on_demand) = (Rule::Person, 1, false);
    let launched = pass.launch(&Want { rule, by, queue, pool, count, on_demand, reason: &reason });
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

#[cfg(test)]
mod tests {
    use crate::model::breaker::{Breaker, Offering};
    use crate::model::ids::InstanceId;
    use crate::model::instance::DrainCause;
    use crate::model::instance::{Drain, Instance, Origin, Phase};
    use crate::model::settings::{BudgetScope, GuardKind, Provider};
    use crate::model::snapshot::{Ask, ErrorClass};
    use crate::plan::example::{World, ago, budget, drain, hold, instance};

    fn id() -> InstanceId {
        "i-1".into()
    }

    fn drained(acknowledged: Option<i64>, cancelled: bool) -> Instance {
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(Drain { cancelled, ..drain(DrainCause::Person, 60, acknowledged) });
        // What is answered is stopped by the loop; here only the answers to people matter.
        machine.hold = Some(hold(3_600));
        machine
    }

    fn held(until: i64) -> Instance {
        let mut machine = instance("i-1", Phase::Busy);
        machine.hold = Some(hold(until));
        machine
    }

    fn marked(drain: Option<Drain>) -> Instance {
        Instance { replace: Some("bo".into()), drain, ..instance("i-1", Phase::Busy) }
    }

    fn stop(kill: bool) -> Ask {
        Ask::Stop { instance: id(), kill }
    }

    #[test]
    fn every_order_on_a_machine_has_its_answer() {
        let busy = || instance("i-1", Phase::Busy);
        let booting = || instance("i-1", Phase::Booting);
        let stopping = || instance("i-1", Phase::Stopping);
        let gone = || instance("i-1", Phase::Gone);
        let keep = Ask::Hold { instance: id(), hold: hold(3_600) };
        let by = "ann asked";
        for (machine, ask, answer) in vec![
            (busy(), Ask::Drain(id()), format!("person: drain i-1: {by}")),
            (drained(None, true), Ask::Drain(id()), format!("person: drain i-1: {by}")),
            (drained(None, false), Ask::Drain(id()), "NOT person i-1: i-1 is being drained".to_owned()),
            (stopping(), Ask::Drain(id()), "NOT person i-1: i-1 is being stopped".to_owned()),
            (gone(), Ask::Drain(id()), "NOT person i-1: i-1 is gone".to_owned()),
            (busy(), Ask::Drain("i-2".into()), "NOT person i-2: there is no machine `i-2` in this fleet".to_owned()),
            (drained(None, false), Ask::CancelDrain(id()), format!("person: cancel the drain of i-1: {by}")),
            (drained(Some(5), false), Ask::CancelDrain(id()), format!("person: cancel the drain of i-1: {by}")),
            (drained(None, true), Ask::CancelDrain(id()), "NOT person i-1: i-1 has its drain cancelled".to_owned()),
            (busy(), Ask::CancelDrain(id()), "NOT person i-1: i-1 is not being drained".to_owned()),
            (stopping(), Ask::CancelDrain(id()), "NOT person i-1: i-1 is being stopped: it is too late".to_owned()),
            (busy(), stop(false), "NOT person i-1: i-1 runs task t-i-1".to_owned()),
            (instance("i-1", Phase::Idle), stop(false), "NOT person i-1: i-1 may have a task".to_owned()),
            (drained(Some(5), false), stop(false), format!("person: stop i-1: {by}")),
            (drained(Some(5), true), stop(false), "NOT person i-1: i-1 may have a task".to_owned()),
            (booting(), stop(false), format!("person: stop i-1: {by}")),
            (stopping(), stop(false), "NOT person i-1: i-1 is being stopped".to_owned()),
            (busy(), stop(true), format!("person: kill i-1: {by}")),
            (held(3_600), stop(true), format!("person: kill i-1: {by}")),
            (stopping(), stop(true), "NOT person i-1: i-1 is being stopped".to_owned()),
            (busy(), Ask::StopAll, format!("person: kill i-1: {by}")),
            (busy(), keep.clone(), format!("person: hold i-1 until 2026-11-02 09:00Z: {by}")),
            (held(3_600), keep, "NOT person i-1: i-1 is held so".to_owned()),
            (held(60), Ask::Release(id()), format!("person: release i-1: {by}")),
            (stopping(), Ask::Replace(id()), "NOT person i-1: i-1 is being stopped".to_owned()),
            (busy(), Ask::Replace(id()), format!("person: replace i-1 when it is idle: {by}")),
            (marked(None), Ask::Replace(id()), "NOT person i-1: i-1 is to be replaced".to_owned()),
            (marked(None), Ask::LetBe(id()), format!("person: let i-1 be: {by}")),
            (
                marked(Some(drain(DrainCause::Replaced, 9, None))),
                Ask::LetBe(id()),
                "NOT person i-1: i-1 is being drained: cancel the drain".to_owned(),
            ),
            (held(0), Ask::Release(id()), "NOT person i-1: i-1 is not held".to_owned()),
        ] {
            let told = World::new().with(machine.clone()).asked(ask.clone()).told();
            let person: Vec<_> = told.iter().filter(|told| told.contains("person")).collect();
            assert_eq!(person, [&answer], "{ask:?} on {machine:?}");
        }
    }

    #[test]
    fn the_second_of_two_orders_knows_the_first() {
        let world = World::new().with(instance("i-1", Phase::Busy));
        world.asked(Ask::Drain(id())).asked(Ask::Drain(id())).asked(stop(true)).asked(Ask::StopAll).expect(&[
            "person: drain i-1: ann asked",
            "person: kill i-1: ann asked",
            "NOT person i-1: i-1 is being drained",
        ]);
        // An order given anew is not proved by what was heard after the old one.
        let mut stuck = instance("i-1", Phase::Booting);
        (stuck.launched, stuck.drain) = (ago(2_000), Some(drain(DrainCause::Stuck, 500, None)));
        let world = World::new().with(stuck);
        world
            .asked(Ask::CancelDrain(id()))
            .asked(Ask::Drain(id()))
            .expect(&["person: cancel the drain of i-1: ann asked", "person: drain i-1: ann asked"]);
        let cancelled = World::new().with(drained(Some(5), false)).asked(Ask::CancelDrain(id()));
        cancelled.asked(stop(false)).expect(&[
            "person: cancel the drain of i-1: ann asked",
            "NOT person i-1: i-1 may have a task",
            "NOT shrink gpu: 1 more than needed for 0s; one is drained at 10m00",
        ]);
    }

    #[test]
    fn the_loop_works_around_what_people_ask() {
        let idle = || World::new().waiting("train", 1).with(instance("i-1", Phase::Idle));
        idle().asked(Ask::Drain(id())).expect(&[
            "person: drain i-1: ann asked",
            "grow: launch 1 x g5.xlarge in gpu for train: 1 waiting - 0 idle - 0 starting - 0 foreign idle = 1 needed",
        ]);
        idle().waiting("train", 0).surplus(&[900]).asked(Ask::Hold { instance: id(), hold: hold(3_600) }).expect(&[
            "person: hold i-1 until 2026-11-02 09:00Z: ann asked",
            "NOT shrink gpu i-1: held by ann until 2026-11-02 09:00Z: profiling",
        ]);
        let launch = Ask::Launch { pool: "gpu".into(), queue: "train".into() };
        World::new()
            .waiting("train", 1)
            .asked(launch)
            .expect(&["person: launch 1 x g5.xlarge in gpu for train: ann asked"]);
    }

    #[test]
    fn a_kill_needs_no_fresh_word_and_a_stop_does() {
        for source in ["clearml", "aws us-east-1"] {
            let world = World::new().with(instance("i-1", Phase::Booting)).last_heard(source, 61);
            let stale = format!("NOT person i-1: {source} has not answered for 1m01, more than 1m00");
            assert!(world.clone().asked(stop(false)).told().contains(&stale));
            assert_eq!(world.asked(stop(true)).plan().actions.len(), 1);
        }
    }

    #[test]
    fn without_a_guard_nothing_can_be_drained() {
        let world = World::new().with(instance("i-1", Phase::Busy)).asked(Ask::Drain(id()));
        world
            .set(|settings| settings.pools[0].guard = GuardKind::Off)
            .expect(&["NOT person i-1: machines of pool gpu run without a guard and cannot be drained"]);
        let world = World::new().with(instance("i-1", Phase::Busy)).asked(Ask::Drain(id()));
        world
            .set(|settings| settings.pools[0].provider = Provider::Kubernetes)
            .expect(&["NOT person i-1: pool gpu makes a pod for each waiting task, which ends with it"]);
        let mut theirs = instance("i-1", Phase::Busy);
        theirs.origin = Origin::BroughtOver;
        let world = World::new().with(theirs);
        for ask in [Ask::Drain(id()), Ask::Replace(id())] {
            world.clone().asked(ask).expect(&[
                "NOT person i-1: i-1 is another autoscaler's machine: it has no guard and cannot be drained",
            ]);
        }
        let killed = world.asked(Ask::Stop { instance: id(), kill: true }).plan();
        assert_eq!(killed.actions[0].action.to_string(), "kill i-1");
    }

    #[test]
    fn limits_and_hard_budgets_bind_the_hand_too() {
        let launch = |pool: &str, queue: &str| {
            World::new().waiting("train", 0).asked(Ask::Launch { pool: pool.into(), queue: queue.into() })
        };
        let of_gpu = || launch("gpu", "train");
        of_gpu().set(|settings| settings.queues[0].limits.max = Some(0)).expect(&[
            "NOT person train gpu (1 short): queue.train.max is 0: 0 instances used, one more needs 1 instance",
        ]);
        of_gpu()
            .set(|settings| settings.budgets = vec![budget("day", BudgetScope::All, "$1")])
            .expect(&["NOT person train gpu (1 short): budget \"day\" is $1.00: \
             $0.00 spent, $0.00 committed, $1.00 free, one more reserves $1.28"]);
        of_gpu()
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT person train gpu (1 short): aws us-east-1 has not answered for 1m01, more than 1m00"]);
        launch("gpx", "train").expect(&["NOT person train gpx (1 short): there is no pool `gpx`"]);
        launch("gpu", "trian")
            .expect(&["NOT person trian gpu (1 short): the server has no queue `trian`; it is not created"]);
        let mut second = of_gpu().set(|settings| settings.pools[0].types.push("m5.large".into()));
        second.snapshot.breakers.push(Breaker {
            on: Offering { machine_type: Some("g5.xlarge".into()), ..Offering::of_account("aws us-east-1") },
            since: ago(90),
            until: ago(-60),
            class: ErrorClass::Capacity,
            strikes: 3,
            at_most: 0,
            quota: None,
            message: "none".to_owned(),
        });
        let told = second.told();
        assert_eq!(told[0], "person: launch 1 x m5.large in gpu for train: ann asked");
        assert!(told[1].starts_with("NOT person train gpu: aws us-east-1 g5.xlarge backs off"), "{told:?}");
        let other = of_gpu().set(|settings| settings.queues[0].pools.clear());
        other.expect(&["NOT person train gpu (1 short): queue.train.pools does not name gpu"]);
        assert_eq!(ago(0), other.now);
    }
}

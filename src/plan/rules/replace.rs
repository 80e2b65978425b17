//! Machines that were made otherwise than one would be made now are drained once they are idle, where
//! `pool.X.replace_drifted` says so: one of a pool at a time, and none while another of it starts. So are those that a
//! person wants replaced. None goes that a waiting task needs; what the pool keeps up is started anew by the rules that
//! follow.

use jiff::Timestamp;

use crate::model::instance::DrainCause;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::ReplaceDrifted;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn replace(pass: &mut Pass<'_>) {
    let mut wanted: Vec<(bool, Timestamp, usize)> = Vec::new();
    for (place, machine) in pass.machines.iter().enumerate() {
        let by_hand = machine.replace_by.is_some();
        if is_due(machine) && (by_hand || drifts(pass, machine)) {
            wanted.push((!by_hand, machine.seen.launched, place));
        }
    }
    wanted.sort_unstable();
    for (.., place) in wanted {
        match decide(pass, place) {
            Decision::Act(action, reason) => pass.act(Rule::Replace, action, reason),
            Decision::Refuse(reason) => {
                if let Some(machine) = pass.machines.get(place) {
                    let instance = &machine.seen.id;
                    pass.refuse(Rule::Replace, &About::instance(instance), reason);
                }
            }
            Decision::Wait => {}
        }
    }
}

enum Decision {
    Act(Action, Reason),
    Refuse(Reason),
    /// A task is on its way to it.
    Wait,
}

/// It does nothing.
fn is_due(machine: &Machine<'_>) -> bool {
    matches!(machine.state(), State::Idle | State::Off) && !machine.started
}

fn drifts(pass: &Pass<'_>, machine: &Machine<'_>) -> bool {
    let pool = machine.pool.and_then(|pool| pass.index.pools.get(pool));
    !machine.seen.drift.is_empty() && pool.is_some_and(|pool| pool.settings.replace_drifted == ReplaceDrifted::WhenIdle)
}

fn decide(pass: &mut Pass<'_>, place: usize) -> Decision {
    let Some(machine) = pass.machines.get(place) else { return Decision::Wait };
    let (seen, doing, by, free) = (machine.seen, machine.state(), machine.replace_by, machine.free());
    let reason = match by {
        Some(by) => Reason::Asked { by: by.clone() },
        None => Reason::Drifted { drift: seen.drift.clone() },
    };
    let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
    if let Some(no) = machine.held().or_else(stale) {
        return Decision::Refuse(no);
    }
    let instance = seen.id.clone();
    if doing == State::Off {
        if let Some(machine) = pass.machines.get_mut(place) {
            machine.stopped = true;
        }
        return Decision::Act(Action::Stop { instance, kill: false }, reason);
    }
    let Some((at, pool)) = machine.pool.and_then(|at| Some((at, pass.index.pools.get(at)?))) else {
        return Decision::Refuse(Reason::NoSuchPool { pool: seen.pool.clone() });
    };
    if let Some(no) = machine.no_guard(pass.index) {
        return Decision::Refuse(no);
    }
    if by.is_none() {
        if let Some(other) = another(pass, at) {
            return Decision::Refuse(other);
        }
        // What a person wants goes, whatever can be had instead.
        let short = pass.demand.supply(at).up <= pool.settings.min;
        let queue = pool.first.filter(|_| short);
        if let Some(no) = queue.and_then(|queue| pass.no_replacement(queue, at)) {
            return Decision::Refuse(no);
        }
    }
    if !pass.demand.release_idle(at, free) {
        return Decision::Wait;
    }
    if let Some(machine) = pass.machines.get_mut(place) {
        machine.order_drain();
        machine.replaced = true;
    }
    Decision::Act(Action::Drain { instance, cause: DrainCause::Replaced }, reason)
}

/// Another machine of the pool is on its way in, or out for want of work or for this.
fn another(pass: &Pass<'_>, pool: usize) -> Option<Reason> {
    let name = &pass.index.pools.get(pool)?.settings.name;
    let moves = |machine: &&Machine<'_>| {
        let surplus = machine.standing().is_some_and(|drain| drain.cause == DrainCause::Surplus);
        let leaves = (machine.replaced || surplus) && machine.state() != State::Gone;
        let comes = matches!(machine.state(), State::Booting | State::Returning);
        machine.pool == Some(pool) && (leaves || comes)
    };
    let other = pass.machines.iter().find(moves).map(|machine| machine.seen.id.to_string());
    let intended = || {
        let intent = pass.index.snapshot.intents.iter().find(|intent| intent.pool == *name)?;
        Some(intent.id.to_string())
    };
    let other = other.or_else(intended)?;
    Some(Reason::OneAtATime { pool: name.clone(), other })
}

#[cfg(test)]
mod tests {
    use crate::model::breaker::{Breaker, Offering};
    use crate::model::drift::Drift;
    use crate::model::instance::{DrainCause, Instance, Phase, Power};
    use crate::model::settings::BudgetScope;
    use crate::model::settings::{GuardKind, ReplaceDrifted};
    use crate::model::snapshot::{Ask, ErrorClass};
    use crate::plan::example::{World, ago, budget, drain, hold, instance, interval};

    fn drifted(id: &str, phase: Phase) -> Instance {
        let drift = vec![Drift::Image { made: "ami-1".to_owned(), now: "ami-2".to_owned() }];
        Instance { drift, ..instance(id, phase) }
    }

    /// Drifted machines are replaced when they are idle.
    fn when_idle() -> World {
        World::new().waiting("train", 0).set(|settings| settings.pools[0].replace_drifted = ReplaceDrifted::WhenIdle)
    }

    const WHY: &str = "drifted: made of ami-1, later ones of ami-2";

    #[test]
    fn a_drifted_machine_is_drained_when_it_is_idle_and_the_pool_says_so() {
        when_idle().with(drifted("i", Phase::Idle)).expect(&[&format!("replace: drain i: {WHY}")]);
        for (what, machine) in [
            ("busy", drifted("i", Phase::Busy)),
            ("booting", drifted("i", Phase::Booting)),
            ("as it would be made now", instance("i", Phase::Idle)),
            ("draining", Instance { drain: Some(drain(DrainCause::Replaced, 9, None)), ..drifted("i", Phase::Idle) }),
        ] {
            let plan = when_idle().with(machine).plan();
            assert!(plan.actions.is_empty(), "{what}: {:?}", plan.actions);
        }
        let never = World::new().waiting("train", 0).with(drifted("i", Phase::Idle)).plan();
        assert!(never.actions.is_empty());
    }

    #[test]
    fn none_goes_that_a_task_needs_that_is_held_or_that_cannot_be_drained() {
        let world = when_idle().waiting("train", 1).with(drifted("i", Phase::Idle));
        assert!(world.plan().actions.is_empty(), "it is about to take a task");
        let held = Instance { hold: Some(hold(60)), ..drifted("i", Phase::Idle) };
        assert!(when_idle().with(held).plan().actions.is_empty());
        let world = when_idle().set(|settings| settings.pools[0].guard = GuardKind::Off);
        assert!(world.with(drifted("i", Phase::Idle)).plan().actions.is_empty());
        let world = when_idle().last_heard("clearml", 999).with(drifted("i", Phase::Idle));
        assert!(world.plan().actions.is_empty());
    }

    #[test]
    fn one_of_a_pool_goes_at_a_time_the_oldest_first() {
        let old = Instance { launched: ago(9_000), ..drifted("i-2", Phase::Idle) };
        let world = when_idle().with(drifted("i-1", Phase::Idle)).with(old);
        let told = world.told();
        assert_eq!(told[0], format!("replace: drain i-2: {WHY}"));
        assert_eq!(told[1], "NOT replace i-1: i-2 of pool gpu is replaced or starts: one at a time");
        for other in [
            Instance { drain: Some(drain(DrainCause::Replaced, 9, None)), ..instance("i-2", Phase::Idle) },
            Instance { drain: Some(drain(DrainCause::Replaced, 9, Some(5))), ..instance("i-2", Phase::Stopping) },
            instance("i-2", Phase::Booting),
        ] {
            let told = when_idle().with(drifted("i-1", Phase::Idle)).with(other).told();
            assert!(!told.iter().any(|line| line.starts_with("replace: ")), "{told:?}");
        }
        let told = when_idle().with(drifted("i-1", Phase::Idle)).intent("gpu", "train").told();
        assert!(!told.iter().any(|line| line.starts_with("replace: ")), "{told:?}");
    }

    #[test]
    fn the_pools_minimum_is_started_anew_and_nothing_goes_that_cannot_be() {
        let warm = || when_idle().set(|settings| settings.pools[0].min = 1).with(drifted("i", Phase::Idle));
        let told = warm().told();
        assert_eq!(told[0], format!("replace: drain i: {WHY}"));
        assert!(told[1].starts_with("warm: launch 1 x g5.xlarge in gpu for train"), "{told:?}");
        // At its limit the new one comes when the old one is gone.
        let told = warm().set(|settings| settings.pools[0].limits.max = Some(1)).told();
        assert_eq!(told[0], format!("replace: drain i: {WHY}"));
        let poor = warm().set(|settings| settings.budgets = vec![budget("day", BudgetScope::All, "$0.01")]).told();
        assert!(poor[0].starts_with("NOT replace i: budget \"day\""), "{poor:?}");
        let unpriced = warm().set(|settings| {
            settings.pools[0].types = vec!["u1.huge".into()];
            settings.budgets = vec![budget("day", BudgetScope::All, "$100")];
        });
        let why = "no price is known for u1.huge of pool gpu, and budget \"day\" covers it";
        assert_eq!(unpriced.told()[0], format!("NOT replace i: {why}"));
    }

    #[test]
    fn nothing_goes_while_the_machines_in_its_place_may_never_register() {
        let warm = || when_idle().set(|settings| settings.pools[0].min = 1).with(drifted("i", Phase::Idle));
        let mut failed = warm();
        failed.snapshot.boots_failed.insert("gpu".into(), 2);
        assert_eq!(failed.told()[0], format!("replace: drain i: {WHY}"));
        let leaving = Instance { drain: Some(drain(DrainCause::Person, 9, None)), ..instance("n", Phase::Booting) };
        let why = "the last 2 machines of pool gpu never registered: one at a time until one does, 1 starting";
        assert_eq!(failed.with(leaving).told()[0], format!("NOT replace i: {why}"));
        let mut narrow = warm();
        narrow.snapshot.breakers.push(Breaker {
            on: Offering::of_account("aws us-east-1"),
            since: ago(90),
            until: ago(-60),
            class: ErrorClass::Quota,
            strikes: 1,
            at_most: 1,
            quota: None,
            message: "VcpuLimitExceeded".to_owned(),
        });
        assert_eq!(narrow.told()[0], format!("replace: drain i: {WHY}"), "one may be asked for");
    }

    #[test]
    fn what_is_switched_off_is_ended_rather_than_started_again() {
        let mut kept = drifted("i", Phase::Stopped);
        kept.power = Power::Off { since: ago(60) };
        (kept.registered, kept.worker) = (false, None);
        let world = when_idle().waiting("train", 1).set(|settings| {
            settings.pools[0].on_idle = crate::model::settings::OnIdle::Stop;
            settings.pools[0].max_stopped = 2;
            settings.pools[0].stopped_for = jiff::SignedDuration::from_hours(9);
        });
        let told = world.with(kept).told();
        assert_eq!(told[0], format!("replace: stop i: {WHY}"));
        assert!(told[1].starts_with("grow: launch 1"), "{told:?}");
    }

    #[test]
    fn what_a_person_wants_replaced_goes_when_idle_whatever_else_moves() {
        let marked = |phase| Instance { replace: Some("ann".into()), ..instance("i", phase) };
        let world = || World::new().waiting("train", 0).set(|settings| settings.pools[0].min = 1);
        assert!(world().with(marked(Phase::Busy)).plan().actions.is_empty());
        let told = world().with(instance("n", Phase::Booting)).with(marked(Phase::Idle)).told();
        assert_eq!(told[0], "replace: drain i: ann asked");
        assert!(!told.iter().any(|line| line.starts_with("warm:")), "{told:?}");
        let told = world().with(marked(Phase::Idle)).told();
        assert!(told[1].starts_with("warm: launch 1 x g5.xlarge"), "{told:?}");
        // It comes before those that only drifted, however old.
        let old = Instance { launched: ago(9_000), ..drifted("o", Phase::Idle) };
        let told = when_idle().with(old).with(marked(Phase::Idle)).told();
        assert_eq!(told[0], "replace: drain i: ann asked");
        assert_eq!(told[1], "NOT replace o: i of pool gpu is replaced or starts: one at a time");
        // It is not taken back when a task comes.
        let drained = Instance { drain: Some(drain(DrainCause::Surplus, 9, None)), ..marked(Phase::Idle) };
        let told = World::new().waiting("train", 1).with(drained).told();
        assert!(told[0].starts_with("grow: launch 1"), "{told:?}");
    }

    #[test]
    fn a_mark_is_set_and_taken_off_and_a_cancelled_drain_takes_it_off() {
        let world = || World::new().waiting("train", 0).with(instance("i", Phase::Idle));
        let told = world().asked(Ask::Replace("i".into())).told();
        assert_eq!(told, ["person: replace i when it is idle: ann asked", "replace: drain i: ann asked"]);
        let marked = Instance { replace: Some("ann".into()), ..instance("b", Phase::Busy) };
        let told = world().with(marked.clone()).asked(Ask::LetBe("b".into())).told();
        assert_eq!(told[0], "person: let b be: ann asked");
        let told = world().asked(Ask::LetBe("i".into())).told();
        assert_eq!(told[0], "NOT person i: i is not to be replaced");
        let drained = Instance { drain: Some(drain(DrainCause::Replaced, 9, None)), ..marked };
        let told = World::new().waiting("train", 0).with(drained).asked(Ask::CancelDrain("b".into())).told();
        assert_eq!(told, ["person: cancel the drain of b: ann asked"]);
    }

    #[test]
    fn a_world_in_which_it_was_carried_out_changes_no_more() {
        let mut world = when_idle().set(|settings| settings.pools[0].min = 1).with(drifted("i", Phase::Idle));
        assert!(!world.plan().actions.is_empty());
        world.snapshot.instances.clear();
        world.ledger = crate::model::ledger::Ledger::default();
        let new = instance("n", Phase::Idle);
        world.ledger.open_interval(interval(&new));
        world.snapshot.instances.push(new);
        for _ in 0..20 {
            assert!(world.plan().actions.is_empty());
            world.now += jiff::SignedDuration::from_secs(1);
        }
    }
}

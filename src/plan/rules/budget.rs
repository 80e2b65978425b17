//! What a budget's step does with machines. From `stop-idle` on those that no task needs are drained, whatever their
//! pool's keep-alive and minimum; from `drain` on all are. So long after its drain was ordered as a `kill` step grants, the
//! task of a machine that still runs one is asked to write what it has and to go back to its queue; what runs five minutes
//! later is ended with it. An order that no step stands behind any more is taken back.

use jiff::Timestamp;

use crate::model::instance::DrainCause;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::ladder::{CHECKPOINT_TAKES, Step};
use crate::plan::machine::{Machine, Order, State};
use crate::plan::pass::{About, Pass};
use crate::plan::rules::grow;

/// Before what there is for the tasks is counted: what no step wants any more is taken back, and from `drain` on what is
/// there goes, needed or not.
pub(in crate::plan) fn act(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        let step = pass.step_over(machine);
        match step.and_then(|step| decide(pass, machine, step)) {
            Some(Decision::Drain) => drain(pass, place),
            Some(Decision::Checkpoint) => checkpoint(pass, place),
            Some(Decision::Await { asked }) => wait(pass, place, asked),
            Some(Decision::Kill) => kill(pass, place),
            // One that answered takes no task any more, and is ended.
            None if step < Some(Step::StopIdle) && ordered(machine).is_some() && !machine.acknowledged => {
                take_back(pass, place);
            }
            None => {}
        }
    }
}

/// After what is needed is known: from `stop-idle` on nothing else stays.
pub(in crate::plan) fn stop_idle(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        if pass.step_over(machine) != Some(Step::StopIdle) || forbidden(pass, machine).is_some() {
            continue;
        }
        let (pool, home, free) = (machine.pool, machine.home, machine.free());
        let unneeded = pool.is_some_and(|pool| match machine.state() {
            State::Idle => pass.demand.release_idle(pool, free),
            State::Booting => pass.demand.release_booting(home, pool, free),
            _ => false,
        });
        if unneeded {
            drain(pass, place);
        }
    }
}

/// When a budget ordered the drain that stands.
fn ordered(machine: &Machine<'_>) -> Option<Timestamp> {
    let standing = machine.standing().filter(|_| machine.state() == State::Draining);
    standing.filter(|drain| drain.cause == DrainCause::Budget).map(|drain| drain.ordered)
}

#[derive(Clone, Copy)]
enum Decision {
    Drain,
    /// Its tasks are to write what they have, and end.
    Checkpoint,
    /// They were told so then.
    Await {
        asked: Timestamp,
    },
    Kill,
}

fn decide(pass: &Pass<'_>, machine: &Machine<'_>, step: Step) -> Option<Decision> {
    let state = machine.state();
    let takes_tasks = matches!(state, State::Booting | State::Returning | State::Idle | State::Busy);
    let drain = match step {
        Step::Kill { after } if state == State::Draining && !machine.acknowledged => {
            if let Some(ordered) = ordered(machine) {
                let over = pass.index.now.duration_since(ordered) >= after;
                return over.then(|| end(machine, pass.index.now));
            }
            // One that drains for another reason gets this order in its place, and with it the whole grace.
            machine.order == Order::Standing
        }
        Step::Drain | Step::Kill { .. } => takes_tasks,
        Step::Warn | Step::CheapestOnly | Step::StopLaunching | Step::StopIdle => false,
    };
    drain.then_some(Decision::Drain)
}

/// How a machine ends whose grace is over. One that never registered has no task that could write anything.
fn end(machine: &Machine<'_>, now: Timestamp) -> Decision {
    match machine.seen.drain.as_ref().and_then(|drain| drain.end_asked) {
        Some(asked) if now.duration_since(asked) < CHECKPOINT_TAKES => Decision::Await { asked },
        None if machine.seen.registered => Decision::Checkpoint,
        _ => Decision::Kill,
    }
}

/// That its tasks were asked to write what they have, and by when it ends.
fn asked_reason(pass: &Pass<'_>, machine: &Machine<'_>, asked: Timestamp) -> Option<Reason> {
    let (step, purse) = pass.budgets().furthest(machine.home, machine.pool)?;
    let Step::Kill { after } = step else { return None };
    let by = asked.saturating_add(CHECKPOINT_TAKES).unwrap_or(Timestamp::MAX);
    Some(Reason::Checkpoint { name: purse.budget.name.clone(), after, asked, by })
}

/// What the budget with the furthest step over a machine says.
fn reason(pass: &Pass<'_>, machine: &Machine<'_>) -> Option<Reason> {
    let (_, purse) = pass.budgets().furthest(machine.home, machine.pool)?;
    purse.step_reason()
}

/// Why a machine is not drained.
fn forbidden(pass: &Pass<'_>, machine: &Machine<'_>) -> Option<Reason> {
    let gone = || machine.pool.is_none().then(|| Reason::NoSuchPool { pool: machine.seen.pool.clone() });
    machine.held().or_else(|| machine.no_guard(pass.index)).or_else(|| stale(pass, machine)).or_else(gone)
}

fn stale(pass: &Pass<'_>, machine: &Machine<'_>) -> Option<Reason> {
    let region = || pass.index.stale_region(machine.seen.provider, &machine.seen.region);
    pass.index.stale_clearml().or_else(region)
}

fn refuse(pass: &mut Pass<'_>, place: usize, no: Reason) {
    if let Some(id) = pass.machines.get(place).map(|machine| &machine.seen.id) {
        pass.refuse(Rule::Budget, &About::instance(id), no);
    }
}

fn drain(pass: &mut Pass<'_>, place: usize) {
    let Some(machine) = pass.machines.get(place) else { return };
    let Some(reason) = reason(pass, machine) else { return };
    if let Some(no) = forbidden(pass, machine) {
        refuse(pass, place, no);
        return;
    }
    let instance = machine.seen.id.clone();
    if let Some(machine) = pass.machines.get_mut(place) {
        machine.order_drain();
    }
    pass.act(Rule::Budget, Action::Drain { instance, cause: DrainCause::Budget }, reason);
}

/// Its task may have ended by now: on a word that is too old none is.
fn checkpoint(pass: &mut Pass<'_>, place: usize) {
    let Some(machine) = pass.machines.get(place) else { return };
    let Some(reason) = asked_reason(pass, machine, pass.index.now) else { return };
    if let Some(no) = machine.held().or_else(|| stale(pass, machine)) {
        refuse(pass, place, no);
        return;
    }
    let instance = machine.seen.id.clone();
    pass.act(Rule::Budget, Action::Checkpoint { instance }, reason);
}

fn wait(pass: &mut Pass<'_>, place: usize, asked: Timestamp) {
    let Some(machine) = pass.machines.get(place) else { return };
    let Some(reason) = asked_reason(pass, machine, asked) else { return };
    refuse(pass, place, reason);
}

/// It may have ended its task by now, or be gone: on a word that is too old none is ended.
fn kill(pass: &mut Pass<'_>, place: usize) {
    let Some(machine) = pass.machines.get(place) else { return };
    let asked = machine.seen.drain.as_ref().and_then(|drain| drain.end_asked);
    let asked = asked.and_then(|asked| asked_reason(pass, machine, asked));
    let Some(reason) = asked.or_else(|| reason(pass, machine)) else { return };
    if let Some(no) = machine.held().or_else(|| stale(pass, machine)) {
        refuse(pass, place, no);
        return;
    }
    let instance = machine.seen.id.clone();
    if let Some(machine) = pass.machines.get_mut(place) {
        machine.stopped = true;
    }
    pass.act(Rule::Budget, Action::Stop { instance, kill: true }, reason);
}

fn take_back(pass: &mut Pass<'_>, place: usize) {
    match pass.index.stale_clearml() {
        None => grow::keep(pass, Rule::Budget, place, &Reason::StepOver),
        Some(stale) => refuse(pass, place, stale),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{DrainCause, Instance, Phase};
    use crate::model::settings::{BudgetScope, GuardKind, Ladder, Market, OnIdle, Settings};
    use crate::plan::example::{World, ago, budget, drain, hold, instance, pool, queue};

    /// A soft budget of $1 a day over everything, of which machines have used more, with these steps.
    fn at(rungs: &[(&str, &str)]) -> World {
        let entries = rungs.iter().map(|(part, step)| ((*part).to_owned(), (*step).to_owned())).collect();
        let mut world = World::new().set(|settings| {
            let mut day = budget("day", BudgetScope::All, "$1");
            (day.at, day.hard) = (Ladder::read(&entries).unwrap(), false);
            settings.budgets = vec![day];
        });
        let mut old = crate::plan::example::interval(&instance("i-old", Phase::Gone));
        (old.start, old.end) = (ago(3_600), Some(ago(0)));
        world.ledger.add_closed(&old);
        world
    }

    /// What is done and refused, without what the budget says.
    fn acts(world: &World) -> Vec<String> {
        let without = |line: String| line.split(": budget \"day\"").next().unwrap_or_default().to_owned();
        world.told().into_iter().map(without).collect()
    }

    fn draining(phase: Phase, ordered: i64) -> Instance {
        let task = instance("i-1", phase).task;
        Instance { drain: Some(drain(DrainCause::Budget, ordered, None)), task, ..instance("i-1", Phase::Draining) }
    }

    #[test]
    fn a_step_that_is_not_reached_does_nothing() {
        let world = at(&[("80%", "warn"), ("120%", "drain")]).with(instance("i-1", Phase::Busy)).waiting("train", 0);
        world.expect(&[]);
    }

    #[test]
    fn a_warning_forbids_nothing() {
        let told = at(&[("100%", "warn"), ("120%", "drain")]).waiting("train", 2).told();
        assert!(told.len() == 1 && told[0].starts_with("grow: launch 2 x"), "{told:?}");
    }

    #[test]
    fn nothing_is_launched_from_stop_launching_on() {
        for step in ["stop-launching", "stop-idle", "drain", "kill after 1h"] {
            let why = format!("budget \"day\" is $1.00: $1.01 spent, and from 100% on it says {step}");
            let world = at(&[("100%", step)]).waiting("train", 2);
            world.expect(&[&format!("NOT grow train gpu (2 short): {why}")]);
            let warm = at(&[("100%", step)]).waiting("train", 0).set(|settings| settings.pools[0].min = 1);
            warm.expect(&[&format!("NOT warm train gpu (1 short): {why}")]);
        }
        let next = at(&[("100%", "drain")]).waiting("train", 2).plan().outlooks[0].next.clone().unwrap();
        assert_eq!(next.remedy().unwrap(), "it would not with budget.\"day\".limit = $1.01");
    }

    #[test]
    fn only_the_cheapest_is_launched() {
        use Market::{OnDemand, Spot};
        let three = |markets: [Market; 3]| {
            at(&[("100%", "cheapest-only")]).waiting("train", 1).set(|settings: &mut Settings| {
                let named = [("a", "g5.12xlarge"), ("b", "g5.xlarge"), ("c", "m5.large")];
                settings.pools = named.iter().map(|(name, kind)| pool(name, &[kind])).collect();
                for (pool, market) in settings.pools.iter_mut().zip(markets) {
                    pool.market = market;
                }
                settings.queues = vec![queue("train", &["a", "b", "c"])];
            })
        };
        let launched = |world: World| {
            let told = world.told().into_iter().filter(|line| line.starts_with("grow: launch"));
            told.map(|line| line.split(' ').nth(6).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(launched(three([OnDemand, OnDemand, OnDemand])), ["c"]);
        assert_eq!(launched(three([OnDemand, Spot, OnDemand])), ["b"]);
        assert_eq!(launched(three([Spot, Spot, OnDemand])), ["a"], "spot pools in their order");
    }

    #[test]
    fn idle_machines_that_no_task_needs_are_drained_whatever_keeps_them() {
        let kept = |waiting| {
            at(&[("100%", "stop-idle")])
                .waiting("train", waiting)
                .with(instance("i-1", Phase::Idle))
                .with(instance("i-2", Phase::Busy))
                .set(|settings| settings.pools[0].min = 2)
        };
        assert_eq!(acts(&kept(0)), ["budget: drain i-1"]);
        kept(1).expect(&[]);
        let idle = |step| at(&[("100%", step)]).waiting("train", 0).with(instance("i-1", Phase::Idle));
        assert!(acts(&idle("stop-launching"))[0].starts_with("NOT shrink gpu: 1 more than needed"));
        let booting = at(&[("100%", "stop-idle")]).waiting("train", 0).with(instance("i-1", Phase::Booting));
        assert_eq!(acts(&booting), ["budget: drain i-1"]);
        for change in [|i: &mut Instance| i.hold = Some(hold(60)), |i: &mut Instance| i.pool = "gone".into()] {
            let mut machine = instance("i-1", Phase::Idle);
            change(&mut machine);
            let told = acts(&at(&[("100%", "stop-idle")]).waiting("train", 0).with(machine));
            assert!(!told.iter().any(|told| told.starts_with("budget: ")), "{told:?}");
        }
    }

    #[test]
    fn every_machine_drains_and_is_taken_back_when_there_is_money_again() {
        let world = at(&[("100%", "drain")]).with(instance("i-1", Phase::Busy)).with(instance("i-2", Phase::Booting));
        assert_eq!(acts(&world), ["budget: drain i-1", "budget: drain i-2"]);
        let held = Instance { hold: Some(hold(60)), ..instance("i-1", Phase::Busy) };
        assert!(acts(&at(&[("100%", "drain")]).with(held))[0].starts_with("NOT budget i-1: held"));
        let off = at(&[("100%", "drain")]).set(|settings| settings.pools[0].guard = GuardKind::Off);
        assert!(acts(&off.with(instance("i-1", Phase::Busy)))[0].starts_with("NOT budget i-1: "));
        at(&[("100%", "drain")]).with(draining(Phase::Busy, 60)).expect(&[]);
        let over = at(&[("200%", "drain")]).with(draining(Phase::Busy, 60));
        over.expect(&["budget: cancel the drain of i-1: no budget's step wants it drained any more"]);
        let step = |step, machine| acts(&at(&[("100%", step)]).waiting("train", 0).with(machine));
        assert!(step("stop-idle", draining(Phase::Busy, 60)).is_empty(), "it would be drained again");
        let answered = Instance { drain: Some(drain(DrainCause::Budget, 60, Some(5))), ..draining(Phase::Idle, 60) };
        assert!(step("warn", answered)[0].starts_with("drain: stop i-1"), "it takes no task any more");
        let by_hand = Instance { drain: Some(drain(DrainCause::Person, 60, None)), ..draining(Phase::Busy, 60) };
        assert!(step("warn", by_hand).is_empty(), "a person's order is not the budget's");
        let stale = over.last_heard("clearml", 61);
        stale.expect(&["NOT budget i-1: clearml has not answered for 1m01, more than 1m00"]);
    }

    #[test]
    fn what_is_switched_off_is_ended_from_stop_idle_on_as_its_disks_cost() {
        let with = |step: &str| {
            let machine = crate::plan::example::off("i-1", 60);
            acts(&at(&[("100%", step)]).with(machine).waiting("train", 0).set(|settings| {
                (settings.pools[0].on_idle, settings.pools[0].max_stopped) = (OnIdle::Stop, 5);
            }))
        };
        assert_eq!(with("stop-idle"), ["kept: stop i-1"]);
        assert_eq!(with("kill after 1h"), ["kept: stop i-1"]);
        assert_eq!(with("stop-launching"), Vec::<String>::new());
    }

    #[test]
    fn what_still_runs_after_the_grace_is_ended_and_no_other() {
        let with = |machine| acts(&at(&[("100%", "kill after 30m")]).with(machine));
        assert_eq!(with(instance("i-1", Phase::Busy)), ["budget: drain i-1"]);
        assert!(with(draining(Phase::Busy, 29 * 60)).is_empty());
        assert_eq!(with(draining(Phase::Busy, 30 * 60)), ["budget: have i-1 checkpoint its task and end it"]);
        let asked = |phase, seconds: i64| {
            let mut machine = draining(phase, 40 * 60);
            machine.drain.as_mut().unwrap().end_asked = Some(ago(seconds));
            machine
        };
        let told = at(&[("100%", "kill after 30m")]).with(asked(Phase::Busy, 299)).told();
        let why = "budget \"day\" says kill after 30m00: asked to checkpoint at 07:55Z, ends by 08:00Z";
        assert_eq!(told, [format!("NOT budget i-1: {why}")], "its task has its time");
        let told = at(&[("100%", "kill after 30m")]).with(asked(Phase::Busy, 300)).told();
        assert_eq!(told, [format!("budget: kill i-1: {why}")]);
        let fresh = at(&[("100%", "kill after 30m")]).with(asked(Phase::Busy, 300)).last_heard("clearml", 61);
        assert!(acts(&fresh)[0].starts_with("NOT budget i-1: clearml has not answered"));
        let over = at(&[("200%", "kill after 30m")]).with(asked(Phase::Busy, 60));
        over.expect(&["budget: cancel the drain of i-1: no budget's step wants it drained any more"]);
        let mut done = asked(Phase::Idle, 60);
        (done.drain.as_mut().unwrap().acknowledged, done.task) = (Some(ago(5)), None);
        assert!(with(done)[0].starts_with("drain: stop i-1"), "it has answered: nothing runs there");
        let mut boots = draining(Phase::Booting, 30 * 60);
        (boots.registered, boots.task) = (false, None);
        assert_eq!(with(boots), ["budget: kill i-1"], "there is nobody to ask");
        let stale = at(&[("100%", "kill after 30m")]).with(draining(Phase::Busy, 30 * 60)).last_heard("clearml", 61);
        assert!(
            acts(&stale)[0].starts_with("NOT budget i-1: clearml has not answered"),
            "what is unknown is not destroyed"
        );
        let region =
            at(&[("100%", "kill after 30m")]).with(draining(Phase::Busy, 30 * 60)).last_heard("aws us-east-1", 61);
        assert!(acts(&region)[0].starts_with("NOT budget i-1: aws us-east-1 has not answered"));
        let mut answered = draining(Phase::Busy, 30 * 60);
        answered.drain = Some(drain(DrainCause::Budget, 30 * 60, Some(5)));
        assert!(with(answered)[0].starts_with("NOT drain i-1: i-1 runs task"), "it is not killed");
        let held = Instance { hold: Some(hold(60)), ..draining(Phase::Busy, 30 * 60) };
        assert!(with(held)[0].starts_with("NOT budget i-1: held"));
        // One that drains for another reason gets the budget's order, and with it the whole grace.
        let by_hand = Instance { drain: Some(drain(DrainCause::Person, 7_200, None)), ..draining(Phase::Busy, 0) };
        assert_eq!(with(by_hand), ["budget: drain i-1"]);
    }

    #[test]
    fn what_is_being_let_go_is_not_kept_for_a_task_where_all_drain() {
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Surplus, 9, None));
        let kept = |step| acts(&at(&[("100%", step)]).waiting("train", 1).with(machine.clone()));
        assert!(kept("stop-launching")[0].starts_with("grow: cancel the drain of i-1"));
        assert_eq!(kept("drain"), ["NOT grow train gpu (1 short)"]);
        let least = |step| {
            let world = at(&[("100%", step)]).waiting("train", 0).set(|settings| settings.pools[0].min = 1);
            acts(&world.with(machine.clone()))
        };
        assert_eq!(least("stop-launching"), ["warm: cancel the drain of i-1: pool.gpu.min is 1, 0 up"]);
        assert_eq!(least("stop-idle"), ["NOT warm train gpu (1 short)"], "a minimum keeps none that a budget ends");
    }

    #[test]
    fn a_queue_s_budget_acts_on_its_own_machines() {
        let mut world = at(&[("100%", "drain")]).set(|settings| {
            settings.queues.push(queue("eval", &["gpu"]));
            settings.budgets[0].scope = BudgetScope::Queue("train".into());
        });
        let other = Instance { home: "eval".into(), ..instance("i-2", Phase::Busy) };
        world = world.with(instance("i-1", Phase::Busy)).with(other);
        assert_eq!(acts(&world), ["budget: drain i-1"]);
    }
}

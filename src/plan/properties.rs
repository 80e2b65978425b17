//! The invariants, over worlds at random: each property judges the world that the plan would leave behind, counted
//! anew, and not the plan's own numbers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::check::{Invariant, check};
use super::example::{self, World, told};
use super::generated::world;
use crate::model::account::Coverage;
use crate::model::calendar;
use crate::model::ids::Actor;
use crate::model::instance::{Drain, DrainCause, Fault, Phase, Power};
use crate::model::money::{Money, Rate};
use crate::model::plan::{Action, Launch, Plan, Planned, Rule};
use crate::model::reason::Reason;
use crate::model::settings::Limits;
use crate::model::settings::ladder::Step;
use crate::model::snapshot::{Ask, Stray};

/// Each property over this many worlds, or as many as `PROPTEST_CASES` says: a run over mutants takes fewer.
fn many() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| default.cases);
    ProptestConfig { cases: asked.unwrap_or(10_000), ..default }
}

/// The world in which everything that was planned has been carried out, and nothing else has happened.
fn carried_out(world: &World, plan: &Plan) -> World {
    let mut after = world.clone();
    after.snapshot.orders.clear();
    after.snapshot.surplus.clone_from(&plan.surplus);
    after.snapshot.courses.clone_from(&plan.courses);
    for planned in &plan.actions {
        carry_out(&mut after, planned);
    }
    after
}

fn carry_out(world: &mut World, planned: &Planned) {
    let World { snapshot, settings, ledger, now } = world;
    let place = planned.action.subject().instance;
    let machine = snapshot.instances.iter_mut().find(|machine| Some(&machine.id) == place.as_ref());
    match (&planned.action, machine) {
        (Action::Launch(launch), _) => {
            for _ in 0..launch.count {
                let id = format!("new.{}", snapshot.intents.len());
                let mut intent = example::intent(&id, launch.pool.as_str(), launch.queue.as_str());
                (intent.machine_type, intent.market) = (launch.machine_type.clone(), launch.market);
                settings.pool(&launch.pool).unwrap().region.clone_into(&mut intent.region);
                (intent.vcpu, intent.gpu, intent.rate) = (launch.vcpu, launch.gpu, launch.rate);
                (intent.reservation, intent.choices) = (launch.reservation, launch.choices.clone());
                snapshot.intents.push(intent);
            }
        }
        (Action::Start { instance, launch }, Some(_)) => {
            let id = format!("new.{}", snapshot.intents.len());
            let mut intent = example::intent(&id, launch.pool.as_str(), launch.queue.as_str());
            intent.machine_type = launch.machine_type.clone();
            (intent.vcpu, intent.gpu, intent.rate) = (launch.vcpu, launch.gpu, launch.rate);
            (intent.reservation, intent.starts) = (launch.reservation, Some(instance.clone()));
            snapshot.intents.push(intent);
        }
        (Action::SwitchOff { .. }, Some(machine)) => {
            (machine.phase, machine.power) = (Phase::Stopping, Power::SwitchingOff { at: *now });
        }
        (Action::Drain { cause, .. }, Some(machine)) => {
            let (nonce, by, cause) = ("new".to_owned(), planned.by.clone(), *cause);
            let (acknowledged, cancelled, held, end_asked) = (None, false, false, None);
            machine.drain = Some(Drain { nonce, cause, by, ordered: *now, acknowledged, cancelled, held, end_asked });
        }
        (Action::Checkpoint { .. }, Some(machine)) => machine.drain.as_mut().unwrap().end_asked = Some(*now),
        (Action::CancelDrain { .. }, Some(machine)) => {
            machine.drain.as_mut().unwrap().cancelled = true;
            machine.replace = None;
        }
        (Action::Stop { .. }, Some(machine)) => (machine.phase, machine.off_outside) = (Phase::Stopping, None),
        (Action::Adopt { .. }, Some(machine)) => ledger.open_interval(example::interval(machine)),
        (Action::Hold { hold, .. }, Some(machine)) => machine.hold = Some(hold.clone()),
        (Action::Release { .. }, Some(machine)) => machine.hold = None,
        (Action::Replace { .. }, Some(machine)) => machine.replace = Some(planned.by.clone()),
        (Action::LetBe { .. }, Some(machine)) => machine.replace = None,
        (Action::Requeue { task, .. } | Action::Enqueue { task, .. }, _) => {
            snapshot.strays.retain(|stray| match stray {
                Stray::OfGoneMachine { task: lost, .. }
                | Stray::StoppedByMachine { task: lost, .. }
                | Stray::QueuedNowhere { task: lost, .. } => lost != task,
            });
        }
        (Action::Unregister { worker }, _) => snapshot.ghosts.retain(|ghost| ghost.worker != *worker),
        (action, None) => panic!("{action} is about a machine that nobody knows"),
    }
}

/// Instances, GPU, vCPU and micro-dollars per hour that `of` counts, of everything that may exist.
fn used(world: &World, of: impl Fn(&str, &str) -> bool) -> [i64; 4] {
    let up = world.snapshot.instances.iter().filter(|machine| machine.phase != Phase::Gone && !machine.power.is_off());
    let up = up.map(|machine| (&machine.home, &machine.pool, machine.gpu, machine.vcpu, machine.rate));
    let coming = world.snapshot.intents.iter();
    let coming = coming.map(|intent| (&intent.queue, &intent.pool, intent.gpu, intent.vcpu, intent.rate));
    up.chain(coming).filter(|(queue, pool, ..)| of(queue.as_str(), pool.as_str())).fold([0; 4], |sum, each| {
        let (_, _, gpu, vcpu, rate) = each;
        let hourly = rate.unwrap_or_default().micros_per_hour();
        [sum[0] + 1, sum[1] + i64::from(gpu), sum[2] + i64::from(vcpu), sum[3] + hourly]
    })
}

fn maxima(limits: &Limits) -> [Option<i64>; 4] {
    let hourly = limits.max_hourly.map(Rate::micros_per_hour);
    [limits.max.map(i64::from), limits.max_gpu.map(i64::from), limits.max_vcpu.map(i64::from), hourly]
}

fn passed(before: [i64; 4], after: [i64; 4], limits: &Limits) -> bool {
    let rows = before.into_iter().zip(after).zip(maxima(limits));
    rows.into_iter().any(|((before, after), max)| max.is_some_and(|max| after > max && after > before))
}

/// The launch that an action is, or is as good as.
fn launch_in(action: &Action) -> Option<&Launch> {
    match action {
        Action::Launch(launch) | Action::Start { launch, .. } => Some(launch),
        _ => None,
    }
}

fn launched_for(plan: &Plan, scope: &Coverage<'_>) -> bool {
    plan.actions
        .iter()
        .any(|planned| launch_in(&planned.action).is_some_and(|launch| scope.of_launch(&launch.pool, &launch.queue)))
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn no_limit_is_passed(seed in any::<u64>()) {
        let before = world(seed);
        let plan = before.plan();
        let after = carried_out(&before, &plan);
        let settings = &before.settings;
        prop_assert!(!passed(used(&before, |_, _| true), used(&after, |_, _| true), &settings.limits));
        for queue in &settings.queues {
            let of = |home: &str, _: &str| home == queue.name.as_str();
            prop_assert!(!passed(used(&before, of), used(&after, of), &queue.limits), "{:?}", told(&plan));
        }
        for pool in &settings.pools {
            let of = |_: &str, of: &str| of == pool.name.as_str();
            prop_assert!(!passed(used(&before, of), used(&after, of), &pool.limits), "{:?}", told(&plan));
        }
    }

    #[test]
    fn no_hard_budget_is_crossed_by_a_launch(seed in any::<u64>()) {
        let before = world(seed);
        let plan = before.plan();
        let after = carried_out(&before, &plan);
        for budget in before.settings.budgets.iter().filter(|budget| budget.hard) {
            let scope = budget.scope.among(&before.settings.pools);
            if !launched_for(&plan, &scope) {
                continue;
            }
            let start = calendar::bounds_of(budget.per, &before.settings.the_loop.time_zone, before.now).start;
            let spent = after.ledger.spent(&scope, start, after.now);
            let committed = after.ledger.committed(&scope, after.now);
            let intents = after.snapshot.intents.iter().filter(|intent| scope.of_launch(&intent.pool, &intent.queue));
            let unpriced = plan.actions.iter().any(|planned| {
                launch_in(&planned.action)
                    .is_some_and(|launch| launch.rate.is_none() && scope.of_launch(&launch.pool, &launch.queue))
            });
            let intents: Money = intents.map(|intent| intent.reservation).sum();
            prop_assert!(spent + committed + intents <= budget.limit && !unpriced, "{:?}", told(&plan));
        }
    }

    /// So that no limit and no budget is passed whichever it chooses.
    #[test]
    fn the_cloud_is_given_only_what_was_held_to_the_limits(seed in any::<u64>()) {
        let world = world(seed);
        for planned in world.plan().actions {
            let Action::Launch(launch) = planned.action else { continue };
            let pool = world.settings.pool(&launch.pool).unwrap();
            prop_assert_eq!(launch.choices.is_empty(), !pool.cloud_chooses(launch.market));
            for choice in &launch.choices {
                let come = launch.come_to(&choice.machine_type);
                prop_assert!(come.vcpu <= launch.vcpu && come.gpu <= launch.gpu && come.reservation <= launch.reservation);
                prop_assert!(come.rate <= launch.rate && (come.rate.is_some() || launch.choices.len() == 1));
                let benches = |breaker: &&crate::model::breaker::Breaker| {
                    let everywhere = breaker.on.zone.is_none() && breaker.at_most == 0 && breaker.until > world.now;
                    everywhere && breaker.on.covers(pool, &choice.machine_type, launch.market)
                };
                prop_assert_eq!(world.snapshot.breakers.iter().find(benches), None);
            }
        }
    }

    #[test]
    fn what_may_have_a_task_is_stopped_by_a_kill_only(seed in any::<u64>()) {
        let world = world(seed);
        let plan = world.plan();
        for planned in &plan.actions {
            let (instance, kill) = match &planned.action {
                Action::Stop { instance, kill } => (instance, kill),
                Action::SwitchOff { instance } => (instance, &false),
                _ => continue,
            };
            let machine = world.snapshot.instance(instance).unwrap();
            if *kill {
                let asked = |order: &crate::model::snapshot::Order| {
                    order.what == Ask::StopAll || order.what == Ask::Stop { instance: instance.clone(), kill: true }
                };
                let by_person = planned.by != Actor::the_loop() && world.snapshot.orders.iter().any(asked);
                let ordered = machine.drain.as_ref().filter(|drain| drain.cause == DrainCause::Budget && !drain.cancelled);
                let lasted = ordered.map(|drain| world.now.duration_since(drain.ordered));
                let by_budget = matches!(&planned.reason, Reason::Step { step: Step::Kill { after }, spent, limit, percent, .. }
                    if lasted >= Some(*after) && spent.micros() * 100 >= limit.micros() * i64::from(*percent) && !machine.registered)
                    || matches!(&planned.reason, Reason::Checkpoint { after, by, .. } if lasted >= Some(*after) && *by <= world.now);
                prop_assert!(by_person || (planned.rule == Rule::Budget && by_budget));
                continue;
            }
            if machine.off_outside.is_some() {
                // Nothing runs on what is off.
                continue;
            }
            let answered = machine.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_some() && !drain.cancelled);
            let for_long = |since: Option<jiff::Timestamp>| {
                since.is_some_and(|since| world.now.duration_since(since) >= example::secs(600))
            };
            let silent = match machine.fault {
                Some(Fault::Lost) => for_long(machine.silent_since),
                None | Some(Fault::AgentsMissing) => for_long(machine.agents.missing_since),
                Some(_) => false,
            };
            let silent = silent
                && machine.drain.as_ref().is_some_and(|drain| !drain.cancelled);
            let claimed = machine.fault == Some(Fault::ClaimedTwice) && planned.by == Actor::the_loop();
            prop_assert!(!claimed || machine.phase == Phase::Stopped, "claimed twice: {:?}", told(&plan));
            prop_assert!(machine.task.is_none() && (answered || !machine.registered || silent), "{:?}", told(&plan));
            let held = machine.hold.as_ref().is_some_and(|hold| hold.until > world.now);
            let released = plan.actions.iter().any(|other| other.action == Action::Release { instance: instance.clone() });
            let rehold = plan.actions.iter().any(|other| matches!(&other.action, Action::Hold { .. }));
            prop_assert!(planned.by != Actor::the_loop() || !held || released || rehold, "held: {:?}", told(&plan));
        }
    }

    #[test]
    fn nothing_is_done_by_the_loop_on_stale_word(seed in any::<u64>(), blind in 0_usize..3) {
        let mut world = world(seed);
        let names = ["clearml", "aws us-east-1", "aws eu-west-1"];
        world.snapshot.sources.retain(|source| source.name != names[blind]);
        let plan = world.plan();
        for planned in plan.actions.iter().filter(|planned| planned.by == Actor::the_loop()) {
            let region = match &planned.action {
                Action::Adopt { .. } => continue,
                Action::Launch(launch) => Some(&world.settings.pool(&launch.pool).unwrap().region),
                Action::Drain { instance, .. }
                | Action::Stop { instance, .. }
                | Action::Checkpoint { instance }
                | Action::SwitchOff { instance }
                | Action::Start { instance, .. } => {
                    Some(&world.snapshot.instance(instance).unwrap().region)
                }
                _ => None,
            };
            prop_assert!(blind != 0, "ClearML is not heard: {:?}", told(&plan));
            prop_assert!(region.is_none_or(|region| !names[blind].ends_with(region.as_str())), "{:?}", told(&plan));
        }
    }

    #[test]
    fn the_plan_of_a_world_in_which_the_plan_was_carried_out_is_empty(seed in any::<u64>()) {
        let mut before = world(seed);
        // Whoever stops everything pauses the loop, or it starts again what is needed.
        before.snapshot.orders.retain(|order| order.what != Ask::StopAll);
        let plan = before.plan();
        let after = carried_out(&before, &plan).plan();
        prop_assert!(after.actions.is_empty(), "first {:#?}\nthen {:#?}", told(&plan), told(&after));
    }

    #[test]
    fn a_dry_run_says_the_same_again(seed in any::<u64>()) {
        let mut world = world(seed);
        let plan = world.plan();
        world.snapshot.surplus.clone_from(&plan.surplus);
        world.snapshot.courses.clone_from(&plan.courses);
        let again = world.plan();
        prop_assert_eq!((plan.actions, plan.refusals), (again.actions, again.refusals));
    }

    #[test]
    fn planted_excess_is_found(seed in any::<u64>(), by in 1_u32..50) {
        let mut world = world(seed);
        let max = *world.settings.limits.max.get_or_insert(20);
        let mut plan = world.plan();
        let Some(place) = plan.actions.iter().position(|planned| matches!(planned.action, Action::Launch(_))) else {
            return Ok(());
        };
        let Action::Launch(launch) = &mut plan.actions[place].action else { unreachable!() };
        launch.count = max + by;
        let broken = check(&plan, &world.snapshot, &world.settings, &world.ledger, world.now);
        let found = broken.iter().any(|broken| broken.action == place && broken.invariant == Invariant::Limits);
        prop_assert!(found, "{broken:?}");
    }
}

/// Of all that the rules can say, what the worlds at random make them say.
#[test]
fn the_worlds_at_random_reach_every_action_and_reason() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for seed in 0..4_000 {
        let plan = world(seed).plan();
        let reasons = plan.actions.iter().map(|planned| &planned.reason);
        let reasons = reasons.chain(plan.refusals.iter().map(|refusal| &refusal.reason));
        seen.extend(reasons.map(|reason| name(&format!("{reason:?}"))));
        seen.extend(plan.actions.iter().map(|planned| name(&format!("{:?}", planned.action))));
        seen.extend(plan.outlooks.iter().filter_map(|outlook| Some(name(&format!("{:?}", outlook.next.as_ref()?)))));
    }
    let expected = [
        "Adopt",
        "Advised",
        "Already",
        "Asked",
        "BackOff",
        "BroughtOver",
        "Budget",
        "Busy",
        "Canary",
        "CancelDrain",
        "Checkpoint",
        "Cooling",
        "Drain",
        "Drained",
        "Drifted",
        "Enqueue",
        "Faulty",
        "Foreseen",
        "GhostWorker",
        "Held",
        "HeldBack",
        "Hold",
        "KeptLong",
        "KeptTooMany",
        "KeptWarm",
        "Launch",
        "LetBe",
        "Limit",
        "MachineGone",
        "NeverRegistered",
        "NoGuard",
        "NoPrice",
        "NoSuchInstance",
        "NoSuchPool",
        "NoSuchQueue",
        "NotOffered",
        "OffOutside",
        "OneAtATime",
        "OwnerSpent",
        "PartlySilent",
        "Phantoms",
        "PolicyFailed",
        "QueuedNowhere",
        "Release",
        "Replace",
        "Requeue",
        "RequeuesUsed",
        "Retry",
        "Rollback",
        "Served",
        "Silent",
        "SoonFree",
        "Stale",
        "Start",
        "Step",
        "StepOver",
        "Stop",
        "Surplus",
        "SwitchOff",
        "Unknown",
        "Unmeasured",
        "Unregister",
        "Waiting",
        "Warm",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

fn name(debug: &str) -> String {
    debug.chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn what_is_started_ahead_gets_around_no_limit_of_another_queue() {
    for seed in [10_044_813_703_843_232_033, 13_021_579_728_716_617_600] {
        let mut before = world(seed);
        before.snapshot.orders.retain(|order| order.what != Ask::StopAll);
        before.snapshot.advice.clear();
        let plan = before.plan();
        assert_eq!(told(&carried_out(&before, &plan).plan()).iter().find(|told| !told.starts_with("NOT")), None);
    }
}

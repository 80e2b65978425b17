//! Machines for the tasks that nothing serves, queue by queue in the order of priority. A machine of the queue's own
//! that is only just being let go is kept instead; then the queue's pools are asked in order, and what one cannot
//! take falls to the next.

use jiff::SignedDuration;

use crate::model::ids::Actor;
use crate::model::instance::DrainCause;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::ladder::Step;
use crate::plan::index::{Map, Queue};
use crate::plan::launch::Want;
use crate::plan::learned::Terms;
use crate::plan::learned::soon::{self, Until};
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn grow(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut retained = let_go(pass);
    for queue in &index.queues {
        let need = pass.demand.need(queue.place);
        if need.more == 0 {
            continue;
        }
        if let Some(no) = forbidden(pass) {
            refuse(pass, queue, None, need.more, no);
            continue;
        }
        let mut left = need.more;
        for pool in &queue.pools {
            for machine in retained.remove(&(queue.place, *pool)).unwrap_or_default() {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(pass.machines.get(machine).map_or(0, Machine::free));
                keep(pass, Rule::Grow, machine, &need.reason_of(queue, index.each(*pool)));
            }
        }
        let soon = soon_free(pass, queue, left);
        left -= soon.as_ref().map_or(0, |(tasks, _)| *tasks);
        let mut refused = retry(pass, queue, &mut left);
        for pool in &queue.order {
            if left == 0 {
                break;
            }
            let (served, no) = launch(pass, queue, *pool, (left, false), &need.reason_of(queue, index.each(*pool)));
            left -= served;
            for reason in no {
                if !refused.contains(&(*pool, reason.clone())) {
                    refused.push((*pool, reason));
                }
            }
        }
        let each = queue.pools.first().map_or(1, |pool| index.each(*pool));
        decide(pass, queue, need.reason_of(queue, each));
        ask(pass, queue, left + soon.as_ref().map_or(0, |(tasks, _)| *tasks));
        if let Some((tasks, reason)) = soon {
            if tasks == need.more {
                decide(pass, queue, reason.clone());
            }
            refuse(pass, queue, None, 0, reason);
        }
        for (pool, reason) in refused {
            refuse(pass, queue, Some(pool), left, reason);
        }
    }
}

/// Remembers for so many tasks that nothing was to be had for them.
fn ask(pass: &mut Pass<'_>, queue: &Queue<'_>, tasks: u32) {
    let Some(pool) = queue.pools.first() else { return };
    let machines = tasks.div_ceil(pass.index.each(*pool).max(1));
    if let Some(unmet) = pass.unmet.get_mut(*pool) {
        *unmet = unmet.saturating_add(machines);
    }
}

/// Of so many tasks those for which a machine is likely to be free before one that is started would be worth its money.
/// Only where no other queue takes the machines, and none of them has waited for that long already.
fn soon_free(pass: &Pass<'_>, queue: &Queue<'_>, tasks: u32) -> Option<(u32, Reason)> {
    let index = pass.index;
    let took = index.snapshot.learned.tasks.get(&queue.settings.name)?;
    let first = *queue.pools.first()?;
    let own = |pool: usize| index.pools.get(pool).is_some_and(|pool| pool.shared_by == 1);
    if tasks == 0 || !queue.pools.iter().all(|pool| own(*pool)) {
        return None;
    }
    let off = |machine: &Machine<'_>| machine.state() == State::Off && machine.pool == Some(first);
    let terms = Terms::new(index, index.pools.get(first)?, pass.machines.iter().any(off));
    let horizon = soon::horizon(&terms);
    let of_queue = |machine: &&Machine<'_>| machine.pool.is_some_and(|pool| queue.pools.contains(&pool));
    let until = |machine: &Machine<'_>| {
        let ready = terms.boot.saturating_sub(machine.seen.age(index.now)).max(SignedDuration::ZERO);
        let booting = (machine.state() == State::Booting).then_some(Until::Ready(ready));
        let tasks = machine.seen.tasks().filter(|_| machine.state() == State::Busy);
        let busy: Vec<_> = tasks.map(|task| Until::Busy(index.now.duration_since(task.since))).collect();
        busy.into_iter().chain(booting)
    };
    let free = soon::free(pass.machines.iter().filter(of_queue).flat_map(until), took, horizon)?;
    let waiting = queue.state?.waiting.iter();
    let young = waiting.filter(|entry| index.now.duration_since(entry.added) < horizon).count();
    let tasks = tasks.min(free).min(u32::try_from(young).unwrap_or(u32::MAX));
    (tasks > 0).then_some((tasks, Reason::SoonFree { tasks, free, horizon, boot: terms.boot }))
}

/// Launches machines for so many tasks; says how many of them are served, and why not all.
fn launch(
    pass: &mut Pass<'_>,
    queue: &Queue<'_>,
    pool: usize,
    (tasks, on_demand): (u32, bool),
    reason: &Reason,
) -> (u32, Vec<Reason>) {
    let (by, each) = (Actor::the_loop(), pass.index.each(pool));
    let count = tasks.div_ceil(each.max(1));
    let launched = pass.launch(&Want { rule: Rule::Grow, by: &by, queue: queue.place, pool, count, on_demand, reason });
    (launched.count.saturating_mul(each).min(tasks), launched.refused)
}

/// Starts machines on demand for tasks that were lost with theirs. What is refused.
fn retry(pass: &mut Pass<'_>, queue: &Queue<'_>, left: &mut u32) -> Vec<(usize, Reason)> {
    let mut need = pass.retries(queue, *left);
    let reason = Reason::Retry { retried: queue.retried(), need };
    let mut refused = Vec::new();
    for pool in pass.pools_of_retries(queue) {
        if need == 0 {
            break;
        }
        let (served, no) = launch(pass, queue, pool, (need, true), &reason);
        (need, *left) = (need - served, *left - served);
        refused.extend(no.into_iter().map(|reason| (pool, reason)));
    }
    refused
}

/// Why nothing at all is launched, if so.
pub(in crate::plan) fn forbidden(pass: &Pass<'_>) -> Option<Reason> {
    let all_stopped = || Some(Reason::Asked { by: pass.all_stopped_by.clone()? });
    pass.index.stale_clearml().or_else(all_stopped)
}

fn decide(pass: &mut Pass<'_>, queue: &Queue<'_>, reason: Reason) {
    if let Some(decided) = pass.decided.get_mut(queue.place) {
        *decided = Some(reason);
    }
}

fn refuse(pass: &mut Pass<'_>, queue: &Queue<'_>, pool: Option<usize>, short_of: u32, reason: Reason) {
    let pool = pool.and_then(|pool| pass.index.pools.get(pool)).map(|pool| &pool.settings.name);
    let about = About { queue: Some(&queue.settings.name), pool, instance: None, short_of };
    if short_of > 0 {
        decide(pass, queue, reason.clone());
    }
    pass.refuse(Rule::Grow, &about, reason);
}

/// Machines whose drain the loop ordered for want of work and may still take back, by home queue and pool.
fn let_go(pass: &Pass<'_>) -> Map<(usize, usize), Vec<usize>> {
    let mut machines: Map<_, Vec<_>> = Map::default();
    for (place, machine) in pass.machines.iter().enumerate().filter(|(_, machine)| may_keep(pass, machine)) {
        if let (Some(home), Some(pool)) = (machine.home, machine.pool) {
            machines.entry((home, pool)).or_default().push(place);
        }
    }
    machines
}

/// Before the answer nothing was stopped on the order's strength; once it is taken back nothing will be.
pub(in crate::plan) fn may_keep(pass: &Pass<'_>, machine: &Machine<'_>) -> bool {
    let seen = machine.seen;
    machine.state() == State::Draining
        && !machine.acknowledged
        && machine.replace_by.is_none()
        && seen.task.is_none()
        && machine.standing().is_some_and(|drain| drain.cause == DrainCause::Surplus)
        && pass.index.stale_region(seen.provider, &seen.region).is_none()
        && pass.step_over(machine) < Some(Step::Drain)
}

pub(in crate::plan) fn keep(pass: &mut Pass<'_>, rule: Rule, place: usize, reason: &Reason) {
    let Some(machine) = pass.machines.get_mut(place) else { return };
    machine.take_back_drain();
    let (instance, pool) = (machine.seen.id.clone(), machine.pool);
    if let Some(pool) = pool {
        pass.demand.raise(pool, 1);
    }
    pass.act(rule, Action::CancelDrain { instance }, reason.clone());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::breaker::{Breaker, Offering};
    use crate::model::instance::{DrainCause, Instance, Phase};
    use crate::model::plan::Action;
    use crate::model::reason::Reason;
    use crate::model::record::{Learned, Samples};
    use crate::model::settings::Market;
    use crate::model::snapshot::{Ask, ErrorClass, Quota};
    use crate::plan::example::{World, ago, drain, instance, off, pool, queue, secs};

    fn two_pools() -> World {
        World::new().set(|settings| {
            settings.pools = vec![pool("spot", &["g5.xlarge", "m5.large"]), pool("gpu", &["g5.xlarge"])];
            settings.queues = vec![queue("train", &["spot", "gpu"])];
        })
    }

    fn breaker(pool: &str, machine_type: &str, ends_in: i64) -> Breaker {
        Breaker {
            on: Offering {
                pool: Some(pool.into()),
                machine_type: Some(machine_type.into()),
                ..Offering::of_account("aws us-east-1")
            },
            since: ago(90),
            until: ago(-ends_in),
            class: ErrorClass::Capacity,
            strikes: 3,
            at_most: 0,
            quota: None,
            message: "InsufficientInstanceCapacity".to_owned(),
        }
    }

    const WAITING: &str = "5 waiting - 0 idle - 0 starting - 0 foreign idle = 5 needed";

    #[test]
    fn what_one_kind_cannot_take_falls_to_the_next() {
        let mut world = two_pools().waiting("train", 5).set(|settings| settings.pools[0].limits.max = Some(2));
        world.expect(&[
            &format!("grow: launch 2 x g5.xlarge in spot for train: {WAITING}"),
            &format!("grow: launch 3 x g5.xlarge in gpu for train: {WAITING}"),
            "NOT grow train spot: pool.spot.max is 2: 2 instances used, one more needs 1 instance",
        ]);
        world.snapshot.breakers = vec![breaker("spot", "g5.xlarge", 60), breaker("gpu", "g5.xlarge", 0)];
        let backs_off =
            "pool spot g5.xlarge backs off until 08:01:00Z (capacity, 3 in a row): InsufficientInstanceCapacity";
        world.expect(&[
            &format!("grow: launch 2 x m5.large in spot for train: {WAITING}"),
            &format!("grow: launch 3 x g5.xlarge in gpu for train: {WAITING}"),
            &format!("NOT grow train spot: {backs_off}"),
            "NOT grow train spot: pool.spot.max is 2: 2 instances used, one more needs 1 instance",
        ]);
    }

    #[test]
    fn a_quota_narrows_what_is_asked_for_those_on_their_way_included() {
        let mut narrow = breaker("gpu", "g5.xlarge", 60);
        (narrow.at_most, narrow.class) = (3, ErrorClass::Quota);
        narrow.quota = Some(Quota { limit: 32, in_use: 20, unit: "vCPU".to_owned() });
        let mut world = World::new().waiting("train", 5);
        world.snapshot.breakers = vec![narrow];
        let why = "pool gpu g5.xlarge is asked for at most 3 at once until 08:01:00Z (quota: 20 of 32 vCPU, 3 in a row): \
                   InsufficientInstanceCapacity";
        world.expect(&[
            &format!("grow: launch 3 x g5.xlarge in gpu for train: {WAITING}"),
            &format!("NOT grow train gpu (2 short): {why}"),
        ]);
        // Another market's, and other types of the same region, have their own quota.
        let mut spot = world.clone().intent("gpu", "train");
        spot.snapshot.intents[0].market = Market::Spot;
        assert!(spot.told()[0].starts_with("grow: launch 3 x g5.xlarge"));
        let others = world.clone().waiting("eval", 2).set(|settings| {
            settings.pools.push(pool("cpu", &["m5.large"]));
            settings.queues.insert(0, queue("eval", &["cpu"]));
        });
        assert!(others.told()[0].starts_with("grow: launch 2 x m5.large"));
        assert!(others.told()[1].starts_with("grow: launch 3 x g5.xlarge"));
        world.intent("gpu", "train").intent("gpu", "train").expect(&[
            "grow: launch 1 x g5.xlarge in gpu for train: 5 waiting - 0 idle - 2 starting - 0 foreign idle = 3 needed",
            &format!("NOT grow train gpu (2 short): {why}"),
        ]);
    }

    #[test]
    fn a_pool_whose_machines_never_registered_tries_one_at_a_time() {
        let failed = |count| {
            let mut world = World::new().waiting("train", 5);
            world.snapshot.boots_failed.insert("gpu".into(), count);
            world
        };
        failed(1).expect(&[&format!("grow: launch 5 x g5.xlarge in gpu for train: {WAITING}")]);
        let canary = "the last 2 machines of pool gpu never registered: one at a time until one does, 1 starting";
        failed(2).expect(&[
            &format!("grow: launch 1 x g5.xlarge in gpu for train: {WAITING}"),
            &format!("NOT grow train gpu (4 short): {canary}"),
        ]);
        failed(2).with(instance("i-1", Phase::Booting)).expect(&[&format!("NOT grow train gpu (4 short): {canary}")]);
        let next = failed(2).plan().outlooks[0].next.clone().unwrap();
        assert_eq!(next.remedy().unwrap(), "`tidegate reset gpu` forgives it the failed boots");
    }

    #[test]
    fn a_kind_is_blocked_where_every_zone_of_its_pool_is() {
        let zoned = |zones: &[&str]| {
            let zone = |zone: &&str| {
                let breaker = breaker("gpu", "g5.xlarge", 60);
                Breaker { on: Offering { zone: Some((*zone).into()), ..breaker.on.clone() }, ..breaker }
            };
            let mut world = World::new().waiting("train", 5);
            world.snapshot.breakers = zones.iter().map(zone).collect();
            world.set(|settings| settings.pools[0].launch.zones = vec!["a".to_owned(), "b".to_owned()])
        };
        zoned(&["a"]).expect(&[&format!("grow: launch 5 x g5.xlarge in gpu for train: {WAITING}")]);
        zoned(&["a", "b"])
            .expect(&["NOT grow train gpu (5 short): pool gpu g5.xlarge in a backs off until 08:01:00Z \
             (capacity, 3 in a row): InsufficientInstanceCapacity"]);
    }

    #[test]
    fn what_none_can_take_is_short_and_decides_the_outlook() {
        let world = World::new().waiting("train", 5).set(|settings| settings.limits.max = Some(4));
        world.expect(&[
            &format!("grow: launch 4 x g5.xlarge in gpu for train: {WAITING}"),
            "NOT grow train gpu (1 short): limits.max is 4: 4 instances used, one more needs 1 instance",
        ]);
        let next = world.plan().outlooks[0].next.clone().unwrap();
        assert_eq!(next.remedy().unwrap(), "it would with limits.max = 5");
    }

    #[test]
    fn a_stale_region_is_passed_over_and_a_stale_server_stops_all() {
        let world = two_pools().waiting("train", 5).set(|settings| settings.pools[0].region = "eu-west-1".to_owned());
        world.clone().last_heard("aws eu-west-1", 61).expect(&[
            &format!("grow: launch 5 x g5.xlarge in gpu for train: {WAITING}"),
            "NOT grow train spot: aws eu-west-1 has not answered for 1m01, more than 1m00",
        ]);
        world
            .last_heard("clearml", 61)
            .expect(&["NOT grow train (5 short): clearml has not answered for 1m01, more than 1m00"]);
    }

    #[test]
    fn a_machine_that_is_being_let_go_is_kept_rather_than_another_launched() {
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Surplus, 9, None));
        let why = "1 waiting - 0 idle - 0 starting - 0 foreign idle = 1 needed";
        let kept = format!("grow: cancel the drain of i-1: {why}");
        let launched = format!("grow: launch 1 x g5.xlarge in gpu for train: {why}");
        World::new().waiting("train", 1).with(machine.clone()).expect(&[&kept]);
        let mut other = machine.clone();
        other.drain = Some(drain(DrainCause::Person, 9, None));
        World::new().waiting("train", 1).with(other).expect(&[&launched]);
        let mut answered = machine.clone();
        answered.drain = Some(drain(DrainCause::Surplus, 9, Some(5)));
        World::new()
            .waiting("train", 1)
            .with(answered)
            .expect(&[&launched, "drain: stop i-1: drained: it answered 4s after the order, and has no task"]);
        let mut busy = machine;
        busy.task = instance("i-1", Phase::Busy).task;
        World::new().waiting("train", 1).with(busy).expect(&[&launched]);
    }

    /// Ten machines, whose tasks, or the last ten of so many, began a minute ago; those of the queue took up to 100 s.
    fn soon(phase: Phase, waiting: usize) -> World {
        let mut world = (0..10)
            .fold(World::new().waiting("train", waiting), |world, n| world.with(instance(&format!("i-{n}"), phase)));
        let took = Samples::from((1..=100).map(secs).collect::<Vec<_>>());
        world.snapshot.learned = Arc::new(Learned { tasks: [("train".into(), took)].into(), ..Learned::default() });
        world
    }

    /// How many are launched, how many tasks wait for a machine to be free instead, and for how many machines all asked.
    fn spared(world: &World) -> (u32, u32, u32) {
        let plan = world.plan();
        let launched = plan.actions.iter().map(|planned| match &planned.action {
            Action::Launch(launch) => launch.count,
            _ => 0,
        });
        let spared = plan.refusals.iter().map(|refusal| match refusal.reason {
            Reason::SoonFree { tasks, .. } => tasks,
            _ => 0,
        });
        (launched.sum(), spared.sum(), plan.courses["gpu"].asked.back().unwrap().1)
    }

    #[test]
    fn for_tasks_that_soon_find_a_machine_free_none_is_launched() {
        // A boot of 286 s, and half of what it is worth: 357 s. All ten are free by then.
        assert_eq!(spared(&soon(Phase::Busy, 14)), (4, 10, 24));
        assert_eq!(spared(&soon(Phase::Busy, 5)), (0, 5, 15));
        let next = soon(Phase::Busy, 5).plan().outlooks[0].next.clone().unwrap();
        assert!(matches!(next, Reason::SoonFree { .. }), "{next}");
        let next = soon(Phase::Busy, 14).plan().outlooks[0].next.clone().unwrap();
        assert!(matches!(next, Reason::Waiting { .. }), "{next}");
        assert_eq!(spared(&soon(Phase::Booting, 24)), (4, 10, 24), "after the task that each is there for");
        assert_eq!(spared(&soon(Phase::Idle, 20)).0, 10, "nothing is known of when they take theirs");
        let told = soon(Phase::Idle, 20).told();
        assert_eq!(told.len(), 1, "nothing is said of none: {told:?}");
        let two =
            soon(Phase::Busy, 10).waiting("eval", 0).set(|settings| settings.queues.push(queue("eval", &["gpu"])));
        assert_eq!(spared(&two).0, 10, "another queue may take them");
        let mut others = soon(Phase::Busy, 10).set(|settings| settings.pools.push(pool("other", &["g5.xlarge"])));
        for machine in &mut others.snapshot.instances {
            machine.pool = "other".into();
        }
        assert_eq!(spared(&others).0, 10, "another pool's are not the queue's");
        let waited = |seconds| {
            let mut world = soon(Phase::Busy, 10);
            for entry in world.snapshot.queues[0].waiting.iter_mut().skip(2) {
                entry.added = ago(seconds);
            }
            world
        };
        assert_eq!((spared(&waited(356)).1, spared(&waited(357)).1), (10, 2), "those that have waited so long do not");
        // One that is kept is there in a minute: 75 s.
        let off = |pool: &str| soon(Phase::Busy, 10).with(Instance { pool: pool.into(), ..off("i-off", 60) });
        assert_eq!((spared(&off("gpu")).1, spared(&off("other")).1), (0, 10));
    }

    #[test]
    fn none_is_kept_of_a_region_that_is_not_heard() {
        let mut machine = instance("i-1", Phase::Draining);
        machine.drain = Some(drain(DrainCause::Surplus, 9, None));
        let world = World::new().waiting("train", 1).with(machine).last_heard("aws us-east-1", 61);
        world.expect(&["NOT grow train gpu (1 short): aws us-east-1 has not answered for 1m01, more than 1m00"]);
    }

    #[test]
    fn nothing_starts_in_the_pass_that_stops_everything() {
        World::new()
            .waiting("train", 1)
            .with(instance("i-1", Phase::Busy))
            .asked(Ask::StopAll)
            .expect(&["person: kill i-1: ann asked", "NOT grow train (1 short): ann asked"]);
    }
}

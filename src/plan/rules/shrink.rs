//! Machines that were more than needed for the keep-alive are drained, one for each level of surplus that lasted.
//! Level k began when at least k machines of the pool were more than its queues need and its minimum asks for. One on
//! its way goes before one that is ready.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::model::instance::DrainCause;
use crate::model::money::Rate;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::{GuardKind, Provider};
use crate::plan::index::{Map, Pool};
use crate::plan::learned;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn shrink(pass: &mut Pass<'_>) {
    refuse_the_unsure(pass);
    if let Some(stale) = pass.index.stale_clearml() {
        stand_still(pass, &stale);
        return;
    }
    let index = pass.index;
    let mut expired = Map::default();
    // A pod goes with its task.
    let all = index.pools.iter().enumerate();
    for (place, pool) in all.filter(|(_, pool)| pool.settings.provider != Provider::Kubernetes) {
        let name = &pool.settings.name;
        let levels = levels(pass, place, pool);
        let Some(first) = levels.first() else {
            refuse_the_kept(pass, place, pool);
            continue;
        };
        let lasted = index.now.duration_since(*first);
        let (keep_alive, learned) = learned::keep_alive(index, pool);
        if lasted >= keep_alive {
            expired.insert(place, levels);
        } else {
            let over = first.saturating_add(keep_alive).unwrap_or(Timestamp::MAX);
            pass.due = Some(pass.due.map_or(over, |due| due.min(over)));
            let surplus = u32::try_from(levels.len()).unwrap_or(u32::MAX);
            refuse(pass, place, pool, Reason::Cooling { surplus, lasted, keep_alive, learned });
            pass.surplus.insert(name.clone(), levels);
        }
    }
    let mut candidates = candidates(pass, &expired);
    for (place, pool) in index.pools.iter().enumerate() {
        if let Some(mut levels) = expired.remove(&place) {
            let drained = let_go(pass, place, pool, &levels, candidates.remove(&place).unwrap_or_default());
            levels.rotate_left(drained);
            pass.surplus.insert(pool.settings.name.clone(), levels);
        }
    }
}

/// What is needed is not known: the levels stand as they were.
fn stand_still(pass: &mut Pass<'_>, stale: &Reason) {
    let index = pass.index;
    pass.surplus.clone_from(&index.snapshot.surplus);
    for pool in index.pools.iter().map(|pool| &pool.settings.name) {
        if index.snapshot.surplus.get(pool).is_some_and(|levels| !levels.is_empty()) {
            pass.refuse(Rule::Shrink, &About::pool(pool), stale.clone());
        }
    }
}

fn refuse(pass: &mut Pass<'_>, place: usize, pool: &Pool<'_>, reason: Reason) {
    note(pass, place, &reason);
    pass.refuse(Rule::Shrink, &About::pool(&pool.settings.name), reason);
}

/// Says it where machines that no task needs stay for the pool's minimum.
fn refuse_the_kept(pass: &mut Pass<'_>, place: usize, pool: &Pool<'_>) {
    let (min, supply) = (pool.settings.min, pass.demand.supply(place));
    let ahead = pass.ahead.get(place).copied().unwrap_or_default();
    if supply.surplus() > ahead {
        refuse(pass, place, pool, Reason::KeptWarm { pool: pool.settings.name.clone(), min, up: supply.up });
    }
}

/// Since when at least 1, 2, 3, ... machines have been more than needed; as many as are now.
fn levels(pass: &Pass<'_>, place: usize, pool: &Pool<'_>) -> Vec<Timestamp> {
    let supply = pass.demand.supply(place);
    let ahead = pass.ahead.get(place).copied().unwrap_or_default();
    let surplus = supply.surplus().saturating_sub(ahead).min(supply.up.saturating_sub(pool.settings.min));
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    let known = pass.index.snapshot.surplus.get(&pool.settings.name).into_iter().flatten();
    let mut levels: Vec<_> = known.take(surplus).map(|since| (*since).min(pass.index.now)).collect();
    levels.resize(surplus, pass.index.now);
    levels.sort_unstable();
    levels
}

/// The machines of pools whose surplus lasted, those first that are let go first.
fn candidates(pass: &Pass<'_>, expired: &Map<usize, Vec<Timestamp>>) -> Map<usize, Vec<usize>> {
    let mut candidates: Map<usize, Vec<usize>> = Map::default();
    if expired.is_empty() {
        return candidates;
    }
    for (place, machine) in pass.machines.iter().enumerate() {
        if let Some(pool) = machine.pool.filter(|pool| expired.contains_key(pool))
            && matches!(machine.state(), State::Booting | State::Idle)
        {
            candidates.entry(pool).or_default().push(place);
        }
    }
    for places in candidates.values_mut() {
        places.sort_by_cached_key(|place| pass.machines.get(*place).map(preference));
    }
    candidates
}

/// Booting before idle, the newest first; then those that were made otherwise than they would be now, then the dearest,
/// then the longest idle.
fn preference(machine: &Machine<'_>) -> (Reverse<Option<Timestamp>>, bool, Reverse<Option<Rate>>, Timestamp) {
    let newest = (machine.state() == State::Booting).then_some(machine.seen.launched);
    let stays = machine.seen.drift.is_empty() && machine.replace_by.is_none();
    (Reverse(newest), stays, Reverse(machine.seen.rate), machine.seen.phase_since)
}

/// Drains what may be drained of a pool; says how many.
fn let_go(pass: &mut Pass<'_>, place: usize, pool: &Pool<'_>, levels: &[Timestamp], candidates: Vec<usize>) -> usize {
    let now = pass.index.now;
    let name = &pool.settings.name;
    let (keep_alive, learned) = learned::keep_alive(pass.index, pool);
    let over = levels.iter().take_while(|since| now.duration_since(**since) >= keep_alive);
    let lasted: Vec<_> = over.map(|since| now.duration_since(*since)).collect();
    if pool.settings.guard == GuardKind::Off {
        refuse(pass, place, pool, Reason::NoGuard { pool: name.clone() });
        return 0;
    }
    let mut candidates = candidates.into_iter();
    let mut drained = 0;
    let mut refused: Vec<(Option<usize>, Reason)> = Vec::new();
    for (level, lasted) in (1..).zip(&lasted) {
        let Some(machine) = next(pass, place, &mut candidates, &mut refused) else { break };
        let reason = Reason::Surplus { level, lasted: *lasted, keep_alive, learned: learned.clone() };
        note(pass, place, &reason);
        order(pass, machine, reason);
        drained += 1;
    }
    for (machine, reason) in refused {
        let instance = machine.and_then(|machine| pass.machines.get(machine)).map(|machine| &machine.seen.id);
        note(pass, place, &reason);
        pass.refuse(Rule::Shrink, &About { pool: Some(name), instance, ..About::default() }, reason);
    }
    drained
}

/// The next machine that may be drained; those that may not be are refused on the way.
fn next(
    pass: &mut Pass<'_>,
    pool: usize,
    candidates: &mut impl Iterator<Item = usize>,
    refused: &mut Vec<(Option<usize>, Reason)>,
) -> Option<usize> {
    for place in candidates {
        let machine = pass.machines.get(place)?;
        if let Some(no) = machine.held().or_else(|| machine.no_guard(pass.index)) {
            refused.push((Some(place), no));
            continue;
        }
        if let Some(stale) = pass.index.stale_region(machine.seen.provider, &machine.seen.region) {
            if !refused.iter().any(|(_, reason)| *reason == stale) {
                refused.push((None, stale));
            }
            continue;
        }
        let free = match machine.state() {
            State::Idle => pass.demand.release_idle(pool, machine.free()),
            _ => pass.demand.release_booting(machine.home, pool, machine.free()),
        };
        if free {
            return Some(place);
        }
    }
    None
}

fn order(pass: &mut Pass<'_>, place: usize, reason: Reason) {
    let Some(machine) = pass.machines.get_mut(place) else { return };
    machine.order_drain();
    let instance = machine.seen.id.clone();
    pass.act(Rule::Shrink, Action::Drain { instance, cause: DrainCause::Surplus }, reason);
}

fn note(pass: &mut Pass<'_>, pool: usize, reason: &Reason) {
    if let Some(note) = pass.surplus_notes.get_mut(pool) {
        note.get_or_insert_with(|| reason.clone());
    }
}

/// Machines that would be surplus if anyone knew what they do: a person decides.
fn refuse_the_unsure(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut needed = vec![false; index.pools.len()];
    for queue in index.queues.iter().filter(|queue| pass.demand.need(queue.place).more > 0) {
        for pool in &queue.pools {
            if let Some(needed) = needed.get_mut(*pool) {
                *needed = true;
            }
        }
    }
    let mut refusals = Vec::new();
    for machine in pass.machines.iter().filter(|machine| machine.hold.is_none() && !machine.acknowledged) {
        let needed = machine.pool.and_then(|pool| needed.get(pool)).is_some_and(|needed| *needed);
        let reason = match (machine.state(), machine.seen.fault) {
            (State::Faulty, Some(fault)) if !machine.overdue && !machine.silent && !needed => {
                Reason::Faulty { instance: machine.seen.id.clone(), fault }
            }
            (State::Idle, _) if machine.pool.is_none() => Reason::NoSuchPool { pool: machine.seen.pool.clone() },
            _ => continue,
        };
        refusals.push((&machine.seen.id, reason));
    }
    for (instance, reason) in refusals {
        pass.refuse(Rule::Shrink, &About::instance(instance), reason);
    }
}

#[cfg(test)]
mod tests {
    use crate::model::drift::Drift;
    use crate::model::instance::{Drain, DrainCause, Fault, Instance, Origin, Phase};
    use crate::model::money::Rate;
    use crate::model::settings::{GuardKind, Provider};
    use crate::plan::example::{World, ago, drain, hold, instance, now};

    fn idle(count: usize) -> World {
        let machine = |place| instance(&format!("i-{place}"), Phase::Idle);
        (1..=count).fold(World::new().waiting("train", 0), |world, place| world.with(machine(place)))
    }

    #[test]
    fn each_level_of_surplus_has_its_own_keep_alive() {
        idle(1).surplus(&[599]).expect(&["NOT shrink gpu: 1 more than needed for 9m59; one is drained at 10m00"]);
        idle(1).surplus(&[600]).expect(&["shrink: drain i-1: 1 more than needed for 10m00, keep-alive is 10m00"]);
        let world = idle(3).surplus(&[900, 601, 10]);
        world.expect(&[
            "shrink: drain i-1: 1 more than needed for 15m00, keep-alive is 10m00",
            "shrink: drain i-2: 2 more than needed for 10m01, keep-alive is 10m00",
        ]);
        // What is left began when the third did; the levels of those that go stand last.
        assert_eq!(world.plan().surplus["gpu"], [ago(10), ago(900), ago(601)]);
        idle(1)
            .surplus(&[10, 900, 601])
            .expect(&["NOT shrink gpu: 1 more than needed for 10s; one is drained at 10m00"]);
    }

    #[test]
    fn a_new_level_begins_now_and_a_needed_machine_has_none() {
        let world = idle(3).surplus(&[50]);
        assert_eq!(world.plan().surplus["gpu"], [ago(50), now(), now()]);
        let world = idle(3).surplus(&[50]).waiting("train", 2);
        assert_eq!(world.plan().surplus["gpu"], [ago(50)]);
        assert!(idle(3).surplus(&[50]).waiting("train", 3).plan().surplus.is_empty());
        // The clock was set back.
        assert_eq!(idle(1).surplus(&[-50]).plan().surplus["gpu"], [now()]);
    }

    fn drained(world: &World) -> Vec<String> {
        world.plan().actions.iter().map(|planned| planned.action.to_string()).collect()
    }

    #[test]
    fn booting_machines_go_first_the_newest_of_them_then_the_dearest_then_the_longest_idle() {
        let machine = |id: &str, phase, change: fn(&mut Instance)| {
            let mut machine = instance(id, phase);
            change(&mut machine);
            machine
        };
        let world = World::new()
            .waiting("train", 0)
            .with(machine("i-idle", Phase::Idle, |_| {}))
            .with(machine("i-idle-longer", Phase::Idle, |machine| machine.phase_since = ago(400)))
            .with(machine("i-dear", Phase::Idle, |machine| machine.rate = Some(Rate::from_micros_per_hour(9_000_000))))
            .with(machine("i-booting", Phase::Booting, |_| {}))
            .with(machine("i-pending", Phase::Pending, |machine| machine.launched = ago(10)))
            .surplus(&[900, 900, 900, 900, 900]);
        assert_eq!(
            drained(&world),
            ["drain i-pending", "drain i-booting", "drain i-dear", "drain i-idle-longer", "drain i-idle"]
        );
        let mut drifted = world.clone();
        drifted.snapshot.instances[0].drift = vec![Drift::Image { made: "ami-1".to_owned(), now: "ami-2".to_owned() }];
        assert_eq!(drained(&drifted)[2], "drain i-idle", "made otherwise than it would be now");
        // One task waits: the idle machines will take it, and only they are not surplus.
        assert_eq!(drained(&world.waiting("train", 1)).len(), 4);
    }

    #[test]
    fn what_serves_a_task_is_not_drained_for_an_intent_that_does_not() {
        let world = World::new().waiting("train", 1).with(instance("i-1", Phase::Booting)).intent("gpu", "train");
        world.surplus(&[900]).expect(&[]);
    }

    #[test]
    fn what_has_not_heard_that_its_drain_was_taken_back_is_not_drained_again() {
        for phase in [Phase::Idle, Phase::Draining] {
            let drain = Drain { cancelled: true, ..drain(DrainCause::Surplus, 60, None) };
            let returns = Instance { drain: Some(drain), ..instance("i-1", phase) };
            World::new().waiting("train", 0).with(returns).surplus(&[900]).expect(&[]);
        }
    }

    #[test]
    fn the_minimum_stays_up() {
        let world = idle(3).surplus(&[900, 900, 900]).set(|settings| settings.pools[0].min = 2);
        world.expect(&["shrink: drain i-1: 1 more than needed for 15m00, keep-alive is 10m00"]);
        let least = idle(2).surplus(&[900]).set(|settings| settings.pools[0].min = 2);
        least.expect(&["NOT shrink gpu: 2 up, pool.gpu.min is 2"]);
        assert!(least.plan().surplus.is_empty(), "one more has its own keep-alive, however long these were idle");
        // Busy machines are up too.
        let world = world.with(instance("i-busy", Phase::Busy)).with(instance("i-busy-too", Phase::Busy));
        assert_eq!(drained(&world).len(), 3);
    }

    #[test]
    fn what_forbids_a_drain_is_said() {
        idle(1)
            .surplus(&[900])
            .set(|settings| settings.pools[0].guard = GuardKind::Off)
            .expect(&["NOT shrink gpu: machines of pool gpu run without a guard and cannot be drained"]);
        // Of pods nothing is asked: each ends with its task.
        idle(1).surplus(&[900]).set(|settings| settings.pools[0].provider = Provider::Kubernetes).expect(&[]);
        let mut held = instance("i-0", Phase::Idle);
        held.hold = Some(hold(3_600));
        let held_rate = || Some(Rate::from_micros_per_hour(9_000_000));
        held.rate = held_rate();
        idle(1).with(held).surplus(&[900]).expect(&[
            "shrink: drain i-1: 1 more than needed for 15m00, keep-alive is 10m00",
            "NOT shrink gpu i-0: held by ann until 2026-11-02 09:00Z: profiling",
        ]);
        let mut theirs = instance("i-0", Phase::Idle);
        theirs.origin = Origin::BroughtOver;
        theirs.rate = held_rate();
        idle(1).with(theirs).surplus(&[900]).expect(&[
            "shrink: drain i-1: 1 more than needed for 15m00, keep-alive is 10m00",
            "NOT shrink gpu i-0: i-0 is another autoscaler's machine: it has no guard and cannot be drained",
        ]);
        idle(2)
            .surplus(&[900, 900])
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT shrink gpu: aws us-east-1 has not answered for 1m01, more than 1m00"]);
    }

    #[test]
    fn on_stale_word_the_levels_stand_still() {
        let world = idle(1).surplus(&[900, 800]).last_heard("clearml", 61);
        world.expect(&["NOT shrink gpu: clearml has not answered for 1m01, more than 1m00"]);
        assert_eq!(world.plan().surplus, world.snapshot.surplus);
    }

    #[test]
    fn a_faulty_machine_that_nobody_needs_is_a_person_s_matter() {
        let mut lost = instance("i-1", Phase::Busy);
        lost.fault = Some(Fault::Lost);
        World::new()
            .waiting("train", 0)
            .with(lost.clone())
            .expect(&["NOT shrink i-1: i-1 is lost and may have a task: a person decides"]);
        let world = World::new().waiting("train", 1).with(lost.clone());
        assert!(world.plan().refusals.is_empty(), "needed: another is launched, and nobody misses this one");
        lost.hold = Some(hold(60));
        World::new().waiting("train", 0).with(lost).expect(&[]);
        let mut forgotten = instance("i-1", Phase::Idle);
        forgotten.pool = "old".into();
        World::new().with(forgotten).expect(&["NOT shrink i-1: there is no pool `old`"]);
    }
}

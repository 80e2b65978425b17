//! While more and more machines are asked for, those that are likely to be asked for within a boot's time are started
//! ahead of their tasks, and kept until that time is over. So is one that was let go, in time for the task that its queue
//! is likely to send.

use crate::model::course::{Course, Expected, Foreseen, Rise};
use crate::model::ids::Actor;
use crate::model::plan::Rule;
use crate::model::reason::Reason;
use crate::model::settings::Limits;
use crate::plan::index::{Pool, Queue};
use crate::plan::launch::Want;
use crate::plan::learned::{self, Terms, ahead, course};
use crate::plan::pass::{About, Pass};
use crate::plan::rules::grow;

pub(in crate::plan) fn start(pass: &mut Pass<'_>) {
    let index = pass.index;
    if index.stale_clearml().is_some() {
        pass.courses.clone_from(&index.snapshot.courses);
        return;
    }
    for (place, pool) in index.pools.iter().enumerate() {
        let name = &pool.settings.name;
        let supply = pass.demand.supply(place);
        let needed = supply.up.saturating_sub(supply.surplus());
        let asked = needed + pass.unmet.get(place).copied().unwrap_or_default();
        let mut course = index.snapshot.courses.get(name).cloned().unwrap_or_default();
        let again = course.at.replace(index.now) == Some(index.now);
        course::go_on(&mut course, name, needed, asked, index.now, &mut pass.lessons);
        course.expected.retain(|expected| expected.until > index.now);
        if !again {
            foresee(pass, pool, &mut course, needed, asked);
        }
        let rising = course.expected.iter().map(|expected| (expected.machines, expected.why.clone()));
        let returning = returning(pass, place, pool, &course);
        let most = rising.chain(returning.map(|why| (needed.saturating_add(why.more()), why)));
        let most = most.max_by_key(|(machines, _)| *machines);
        let machines = most.as_ref().map_or(0, |(machines, _)| *machines);
        if let Some(kept) = pass.ahead.get_mut(place) {
            *kept = machines.saturating_sub(needed);
        }
        pass.courses.insert(name.clone(), course);
        if let Some((_, why)) = most.filter(|_| machines > supply.up && !is_taken(pass, place, pool)) {
            let reason = Reason::Foreseen { pool: name.clone(), foreseen: why };
            launch(pass, place, pool, machines - supply.up, &reason);
        }
    }
}

/// Whether tasks of another queue would take what is started here, and get around that queue's own limits.
fn is_taken(pass: &Pass<'_>, place: usize, pool: &Pool<'_>) -> bool {
    let others = pass.index.queues.iter().filter(|queue| Some(queue.place) != pool.first);
    others
        .filter(|queue| waits(queue))
        .any(|queue| queue.pools.contains(&place) && queue.settings.limits != Limits::default())
}

fn waits(queue: &Queue<'_>) -> bool {
    queue.state.is_some_and(|state| !state.waiting.is_empty())
}

/// Adds what is to be expected of the rise that is under way.
fn foresee(pass: &Pass<'_>, pool: &Pool<'_>, course: &mut Course, needed: u32, asked: u32) {
    let index = pass.index;
    let Some(rises) = index.snapshot.learned.rises.get(&pool.settings.name) else { return };
    let rise = course::rise(course, asked, index.now);
    let Some(why) = ahead::foresee(rises, rise, &Terms::new(index, pool, false)) else { return };
    let machines = needed.saturating_add(why.more());
    // What is expected of less for a shorter time says nothing more.
    course.expected.retain(|other| other.machines > machines);
    let until = index.now.saturating_add(Rise::WITHIN).unwrap_or(index.now);
    course.expected.push(Expected { until, machines, why });
}

/// The machines that were let go and are likely to be needed again soon, if any. While tasks wait, for machines of other
/// pools perhaps, one more would be taken by them, and yet another be started in its place.
fn returning(pass: &Pass<'_>, place: usize, pool: &Pool<'_>, course: &Course) -> Option<Foreseen> {
    if course.fell.is_empty() || pass.index.queues.iter().any(|queue| queue.pools.contains(&place) && waits(queue)) {
        return None;
    }
    let again = learned::keep_alive(pass.index, pool).1?.again?;
    let now = pass.index.now;
    let ago = course.fell.iter().map(|fall| now.duration_since(fall.rose));
    let due: Vec<_> = ago.filter(|ago| (again.after..again.until).contains(ago)).collect();
    let more = u32::try_from(due.len()).unwrap_or(u32::MAX);
    due.first().map(|rose| Foreseen::Return { rose: *rose, again, more })
}

fn launch(pass: &mut Pass<'_>, place: usize, pool: &Pool<'_>, count: u32, reason: &Reason) {
    let Some(queue) = pool.first else { return };
    let has_a_say = |queue: &Queue<'_>| {
        queue.advice.is_some_and(|advice| advice.veto || advice.capacity.is_some() || !queue.order.contains(&place))
    };
    // What its policy wants ahead of its tasks is demand already.
    if pass.index.queues.get(queue).is_some_and(has_a_say) {
        return;
    }
    let name = pass.index.queues.get(queue).map(|queue| &queue.settings.name);
    let about = About { queue: name, pool: Some(&pool.settings.name), ..About::default() };
    if let Some(no) = grow::forbidden(pass) {
        pass.refuse(Rule::Ahead, &about, no);
        return;
    }
    let by = Actor::the_loop();
    let want = Want { rule: Rule::Ahead, by: &by, queue, pool: place, count, on_demand: false, reason };
    for no in pass.launch(&want).refused {
        pass.refuse(Rule::Ahead, &about, no);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;

    use crate::model::advice::{Advice, Advised};
    use crate::model::course::{Course, Expected, Fall, Foreseen, Lesson, Rise};
    use crate::model::instance::{Instance, Phase};
    use crate::model::record::{Learned, Samples};
    use crate::model::settings::{KeepAlive, PoolSettings};
    use crate::plan::example::{World, ago, instance, queue};

    /// Sweeps of eighty have come before, and single tasks; four tasks came just now.
    fn sweep() -> World {
        let mut world = World::new().waiting("train", 4);
        let sweep = Rise { over: 4, lately: 4, more: 76 };
        let rises = [Rise { over: 1, lately: 1, more: 0 }].repeat(100).into_iter().chain([sweep].repeat(25)).collect();
        let learned = Learned { rises: [("gpu".into(), rises)].into(), ..Learned::default() };
        world.snapshot.learned = Arc::new(learned);
        let course = Course { asked: [(ago(40), 0)].into(), ..Course::default() };
        world.snapshot.courses.insert("gpu".into(), course);
        world
    }

    #[test]
    fn what_a_sweep_is_likely_to_ask_for_is_started_ahead_within_the_limits() {
        let why = "4 more asked for in 5m00, 4 of them in 1m00: 20 of the 20 rises most like it went on by 76 or more";
        let grow =
            "grow: launch 4 x g5.xlarge in gpu for train: 4 waiting - 0 idle - 0 starting - 0 foreign idle = 4 needed";
        sweep().expect(&[grow, &format!("ahead: launch 76 x g5.xlarge in gpu for train: {why}")]);
        sweep().set(|settings| settings.limits.max = Some(10)).expect(&[
            grow,
            &format!("ahead: launch 6 x g5.xlarge in gpu for train: {why}"),
            "NOT ahead train gpu: limits.max is 10: 10 instances used, one more needs 1 instance",
        ]);
        sweep().set(|settings| settings.the_loop.price_of_waiting = crate::model::money::Rate::ZERO).expect(&[grow]);
        let single = sweep().waiting("train", 1);
        assert_eq!(single.plan().actions.len(), 1);
        // What is not carried out stands.
        let mut again = sweep();
        let plan = again.plan();
        again.snapshot.courses.clone_from(&plan.courses);
        assert_eq!(again.plan().actions, plan.actions);
    }

    #[test]
    fn nothing_is_started_ahead_that_tasks_of_a_queue_with_limits_would_take() {
        let mut other = queue("eval", &["gpu"]);
        other.limits.max = Some(0);
        let shared = sweep().set(|settings| settings.queues.push(other));
        assert!(shared.told().iter().any(|told| told.starts_with("ahead: launch")));
        let told = shared.waiting("eval", 2).told();
        assert!(!told.iter().any(|told| told.contains("ahead: launch")), "{told:?}");
    }

    #[test]
    fn tasks_that_wait_for_other_pools_take_nothing_here() {
        let mut other = queue("eval", &["other"]);
        other.limits.max = Some(0);
        let world = sweep().set(|settings| {
            settings.pools.push(PoolSettings { name: "other".into(), ..settings.pools[0].clone() });
            settings.queues.push(other);
        });
        let told = world.waiting("eval", 2).told();
        assert!(told.iter().any(|told| told.starts_with("ahead: launch")), "{told:?}");
    }

    #[test]
    fn where_a_queues_policy_has_a_say_nothing_is_started_ahead() {
        let starts = |advice: Advice| {
            let mut world = sweep().set(|settings| {
                settings.pools.push(PoolSettings { name: "other".into(), ..settings.pools[0].clone() });
                settings.queues[0].pools.push("other".into());
            });
            world.snapshot.advice.insert("train".into(), Advised::Wants(advice));
            world.told().iter().any(|told| told.starts_with("ahead: launch"))
        };
        let nothing = Advice::default;
        assert!(starts(nothing()));
        assert!(starts(Advice { pools: Some(vec!["gpu".into()]), ..nothing() }));
        assert!(!starts(Advice { veto: true, ..nothing() }));
        assert!(!starts(Advice { capacity: Some(50), ..nothing() }));
        assert!(!starts(Advice { pools: Some(vec!["other".into()]), ..nothing() }));
    }

    #[test]
    fn what_was_started_ahead_is_kept_until_its_time_is_over() {
        let mut world = sweep().waiting("train", 0).with(instance("i-1", Phase::Idle)).surplus(&[9_999]);
        let expected = |world: &mut World, until: i64| {
            let course = world.snapshot.courses.get_mut("gpu").unwrap();
            let why = Foreseen::Rise { rise: Rise::default(), alike: 20, went_on: 20, more: 1 };
            course.expected = vec![Expected { until: ago(-until), machines: 1, why }];
        };
        expected(&mut world, 10);
        assert_eq!(world.plan().actions, []);
        let stale = world.clone().last_heard("aws us-east-1", 61).told();
        assert!(!stale.iter().any(|told| told.contains("ahead")), "nothing was to be started: {stale:?}");
        expected(&mut world, 0);
        assert_eq!(world.plan().actions.len(), 1);
    }

    #[test]
    fn what_is_expected_stands_beside_more_alone() {
        let mut world = sweep();
        let why = Foreseen::Rise { rise: Rise::default(), alike: 20, went_on: 20, more: 1 };
        let expected = |machines| Expected { until: ago(-10), machines, why: why.clone() };
        let course = world.snapshot.courses.get_mut("gpu").unwrap();
        course.expected = [10, 80, 100].map(expected).into();
        let after = world.plan().courses["gpu"].expected.iter().map(|expected| expected.machines).collect::<Vec<_>>();
        assert_eq!(after, [100, 80], "four and 76 more");
    }

    #[test]
    fn what_is_not_known_teaches_nothing() {
        let world = sweep().last_heard("clearml", 61);
        let plan = world.plan();
        assert_eq!((plan.courses, plan.lessons), (world.snapshot.courses.clone(), Vec::new()));
    }

    #[test]
    fn a_machine_that_is_needed_again_teaches_how_long_it_was_not() {
        let mut world = World::new().waiting("train", 1).with(instance("i-1", Phase::Idle));
        let fell = vec![Fall { at: ago(90), rose: ago(100) }];
        let course = Course { fell, asked: [(ago(90), 0)].into(), ..Course::default() };
        world.snapshot.courses.insert("gpu".into(), course);
        let plan = world.plan();
        let gap = Lesson::Gap { pool: "gpu".into(), lasted: SignedDuration::from_secs(90) };
        let interval = Lesson::Interval { pool: "gpu".into(), lasted: SignedDuration::from_secs(100) };
        assert_eq!(plan.lessons, [gap, interval]);
    }

    /// A task came every ten minutes; the last came so long ago, and its machine is ended.
    fn every_ten_minutes(ago_s: i64) -> World {
        let mut world =
            World::new().waiting("train", 0).set(|settings| settings.pools[0].keep_alive = KeepAlive::Learned);
        let samples = |all: [i64; 40]| Samples::from(all.map(SignedDuration::from_secs).to_vec());
        let (gaps, intervals) = (samples([520; 40]), samples([600; 40]));
        world.snapshot.learned = Arc::new(Learned {
            gaps: [("gpu".into(), gaps)].into(),
            intervals: [("gpu".into(), intervals)].into(),
            ..Learned::default()
        });
        let fell = vec![Fall { at: ago(ago_s - 80), rose: ago(ago_s) }];
        world.snapshot.courses.insert("gpu".into(), Course { fell, ..Course::default() });
        world
    }

    #[test]
    fn what_comes_at_intervals_finds_a_machine_that_was_started_for_it() {
        every_ten_minutes(299).expect(&[]);
        let why = "last asked for 5m00 ago: of 40 times that no task came for 5m00, 40 times one came by 10m00";
        every_ten_minutes(300).expect(&[&format!("ahead: launch 1 x g5.xlarge in gpu for train: {why}")]);
        let machine = |phase| every_ten_minutes(599).with(instance("i-1", phase)).surplus(&[9_999]);
        assert_eq!(machine(Phase::Booting).plan().actions, [], "one is there, and kept");
        assert_eq!(machine(Phase::Idle).plan().actions, []);
        let late = every_ten_minutes(600).with(instance("i-1", Phase::Idle)).surplus(&[9_999]);
        let told = late.told().join("\n");
        let why =
            "learned: 40 of the last 40 gaps were longer; so it costs $0.083833 a gap, ending it at once $0.238809";
        assert!(told.contains(why), "it did not come: {told}");
    }

    /// Those of another pool are on their way for them; what was started here would be taken for one of these.
    #[test]
    fn no_machine_is_started_for_a_task_to_come_while_others_wait() {
        let mut world = every_ten_minutes(300).set(|settings| {
            settings.pools.push(PoolSettings { name: "other".into(), ..settings.pools[0].clone() });
            settings.queues[0].pools.push("other".into());
        });
        world.snapshot.courses.get_mut("gpu").unwrap().needed = 1;
        assert_eq!(world.plan().actions.len(), 1);
        let on_its_way = Instance { pool: "other".into(), ..instance("i-1", Phase::Booting) };
        assert_eq!(world.waiting("train", 1).with(on_its_way).plan().actions, []);
    }
}

//! Where tasks of spot pools get on-demand machines: when no spot machine was to be had for too long, and for the
//! retry of a task that was lost with its machine.

use super::index::{Index, Pool, Queue};
use super::machine::{Machine, State};
use super::pass::Pass;
use crate::model::reason::Reason;
use crate::model::settings::Market;

/// Why `need` machines of a spot pool are started on demand, if that is to be: every type of it backs off on the spot
/// market, and the queue's first task has waited since for as long as the pool's settings say.
pub(super) fn rollback(index: &Index<'_>, queue: &Queue<'_>, pool: &Pool<'_>, need: u32) -> Option<Reason> {
    let rollback = pool.settings.spot.rollback?;
    let rows: Option<Vec<_>> = pool.kinds.iter().map(|kind| Some(kind.blocked?.since)).collect();
    let without = rows?.into_iter().max()?.max(queue.oldest()?);
    let lasted = index.now.duration_since(without);
    let pool = pool.settings.name.clone();
    (lasted >= rollback).then_some(Reason::Rollback { pool, need, lasted, rollback })
}

impl Pass<'_> {
    /// For how many of the tasks that a queue needs room for machines are started on demand: as many as were lost with a
    /// machine, less the room of the on-demand machines that are on their way for it.
    pub(super) fn retries(&self, queue: &Queue<'_>, need: u32) -> u32 {
        let retried = queue.retried();
        if retried == 0 || !queue.pools.iter().any(|pool| self.is_spot_with_retry(*pool)) {
            return 0;
        }
        let starts = self.machines.iter().filter(|machine| {
            let on_demand = machine.seen.market == Market::OnDemand;
            // Of a pool that the queue named once it will serve nothing here.
            let serves = machine.pool.is_some_and(|pool| queue.pools.contains(&pool));
            on_demand && serves && machine.home == Some(queue.place) && machine.state() == State::Booting
        });
        let intents = self.index.snapshot.intents.iter();
        let intents = intents.filter(|one| one.market == Market::OnDemand && one.queue == queue.settings.name);
        let each = intents.map(|one| self.index.pool_place(&one.pool).map_or(1, |pool| self.index.each(pool)));
        let starting = starts.map(Machine::free).chain(each).fold(0, u32::saturating_add);
        retried.saturating_sub(starting).min(need)
    }

    /// The queue's pools that may give an on-demand machine for a retry, those first that give no other.
    pub(super) fn pools_of_retries(&self, queue: &Queue<'_>) -> Vec<usize> {
        let may = |pool: &&usize| !self.is_spot(**pool) || self.is_spot_with_retry(**pool);
        let (own, others): (Vec<usize>, Vec<usize>) =
            queue.order.iter().filter(may).partition(|pool| !self.is_spot(**pool));
        own.into_iter().chain(others).collect()
    }

    fn is_spot_with_retry(&self, pool: usize) -> bool {
        let settings = self.index.pools.get(pool).map(|pool| pool.settings);
        self.is_spot(pool) && settings.is_some_and(|pool| pool.spot.retry == Market::OnDemand)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use crate::model::breaker::{Breaker, Offering};
    use crate::model::instance::{Instance, Phase};
    use crate::model::plan::{Action, Planned};
    use crate::model::settings::Market;
    use crate::model::snapshot::ErrorClass;
    use crate::plan::example::{World, ago, instance, pool, queue};

    /// `train` on a spot pool, with `waiting` tasks since 100 s.
    fn spot(waiting: usize) -> World {
        World::new().waiting("train", waiting).set(|settings| settings.pools[0].market = Market::Spot)
    }

    fn without_spot(world: World, since: i64) -> World {
        let mut world = world;
        world.snapshot.breakers.push(Breaker {
            on: Offering { market: Some(Market::Spot), ..Offering::of_account("aws us-east-1") },
            since: ago(since),
            until: ago(-60),
            class: ErrorClass::Capacity,
            strikes: 3,
            at_most: 0,
            quota: None,
            message: "none".to_owned(),
        });
        world
    }

    fn rollback(world: World, seconds: i64) -> World {
        world.set(|settings| settings.pools[0].spot.rollback = Some(SignedDuration::from_secs(seconds)))
    }

    /// The pools and markets of what is launched.
    fn launched(world: &World) -> Vec<(String, Market, u32)> {
        let plan = world.plan();
        let launch = |planned: &Planned| match &planned.action {
            Action::Launch(launch) => Some((launch.pool.to_string(), launch.market, launch.count)),
            _ => None,
        };
        plan.actions.iter().filter_map(launch).collect()
    }

    fn markets(world: &World) -> Vec<(Market, u32)> {
        launched(world).into_iter().map(|(_, market, count)| (market, count)).collect()
    }

    #[test]
    fn on_demand_once_no_spot_machine_was_to_be_had_for_so_long() {
        assert_eq!(markets(&without_spot(spot(2), 900)), [], "never");
        assert_eq!(markets(&rollback(spot(2), 60)), [(Market::Spot, 2)], "spot is to be had");
        assert_eq!(markets(&rollback(without_spot(spot(2), 59), 60)), [], "not for long");
        assert_eq!(markets(&rollback(without_spot(spot(2), 900), 101)), [], "nobody waited so long");
        let world = rollback(without_spot(spot(2), 90), 60);
        world.expect(&[
            "grow: launch 2 x g5.xlarge in gpu for train: 2 needed, no spot machine for 1m30, pool.gpu.spot_rollback is \
             1m00: on-demand",
            "NOT grow train gpu: aws us-east-1 spot backs off until 08:01:00Z (capacity, 3 in a row): none",
        ]);
        let limited = world.set(|settings| settings.pools[0].limits.max = Some(1));
        assert_eq!(markets(&limited), [(Market::OnDemand, 1)], "limits bind it");
    }

    #[test]
    fn a_price_of_the_pool_is_its_own_market_s() {
        let mut world = rollback(without_spot(spot(1), 90), 60);
        world.settings.pools[0].price = Some("$0.40/h".parse().unwrap());
        let plan = world.plan();
        let Action::Launch(launch) = &plan.actions[0].action else { panic!("{plan:?}") };
        assert_eq!(launch.rate.unwrap().micros_per_hour(), 1_006_000);
    }

    fn retried(world: World, count: u32) -> World {
        let mut world = world;
        world.snapshot.queues[0].retried = count;
        world
    }

    #[test]
    fn the_retry_of_a_lost_task_is_on_demand() {
        assert_eq!(markets(&retried(spot(3), 1)), [(Market::OnDemand, 1), (Market::Spot, 2)]);
        let spot_again = retried(spot(3), 1).set(|settings| settings.pools[0].spot.retry = Market::Spot);
        assert_eq!(markets(&spot_again), [(Market::Spot, 3)]);
        let no_spot = retried(spot(3), 1).set(|settings| settings.pools[0].market = Market::OnDemand);
        assert_eq!(markets(&no_spot), [(Market::OnDemand, 3)], "as all are");
        let world = retried(spot(3), 2).set(|settings| {
            settings.pools.push(pool("own", &["g5.xlarge"]));
            settings.queues = vec![queue("train", &["gpu", "own"])];
        });
        let both = [("own".to_owned(), Market::OnDemand, 2), ("gpu".to_owned(), Market::Spot, 1)];
        assert_eq!(launched(&world), both, "of the pool that has no other");
        let limited = world.set(|settings| settings.pools[1].limits.max = Some(0));
        assert_eq!(markets(&limited), [(Market::OnDemand, 2), (Market::Spot, 1)], "else of its own");
    }

    #[test]
    fn what_is_on_its_way_on_demand_counts() {
        let booting = |market| Instance { market, ..instance("i-1", Phase::Booting) };
        assert_eq!(markets(&retried(spot(3), 1).with(booting(Market::OnDemand))), [(Market::Spot, 2)]);
        let elsewhere = Instance { pool: "other".into(), ..booting(Market::OnDemand) };
        let elsewhere =
            retried(spot(3), 1).set(|settings| settings.pools.push(pool("other", &["g5.xlarge"]))).with(elsewhere);
        assert_eq!(markets(&elsewhere), [(Market::OnDemand, 1), (Market::Spot, 2)], "not of a pool that serves it");
        let spot_only = retried(spot(3), 1).with(booting(Market::Spot));
        assert_eq!(markets(&spot_only), [(Market::OnDemand, 1), (Market::Spot, 1)]);
        let intended = |market, queue: &str| {
            let mut world = retried(spot(3), 1).waiting("eval", 1).intent("gpu", queue);
            world.snapshot.intents[0].market = market;
            world
        };
        assert_eq!(markets(&intended(Market::OnDemand, "train")), [(Market::Spot, 2)]);
        assert_eq!(markets(&intended(Market::Spot, "train")), [(Market::OnDemand, 1), (Market::Spot, 1)]);
        let others = intended(Market::OnDemand, "eval").set(|settings| settings.queues.push(queue("eval", &["gpu"])));
        assert_eq!(markets(&others), [(Market::OnDemand, 1), (Market::Spot, 2)], "another queue's");
    }

    #[test]
    fn where_none_is_to_be_had_on_demand_a_spot_machine_does() {
        let mut world = without_spot(retried(spot(1), 1), 9);
        world.snapshot.breakers[0].on.market = Some(Market::OnDemand);
        assert_eq!(markets(&world), [(Market::Spot, 1)]);
    }
}

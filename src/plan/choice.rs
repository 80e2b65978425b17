//! Launches whose type the cloud chooses. Each is of one machine, and may come to any type of the pool that no back-off
//! benches and that limits and budgets have room for; it takes of them the most that any of these types would, so that
//! none is passed whichever it comes to.

use super::index::{Kind, Pool, Queue};
use super::launch::{Launched, Want, back_off, reservation};
use super::limits::Candidate;
use super::pass::Pass;
use crate::model::catalogue::Offer;
use crate::model::plan::{Action, Choice, Launch, Planned};
use crate::model::reason::Reason;

impl Pass<'_> {
    /// Plans launches in one pool for one queue, one by one.
    pub(super) fn launch_chosen(
        &mut self,
        want: &Want<'_>,
        queue: &Queue<'_>,
        pool: &Pool<'_>,
        kinds: &[Kind<'_>],
        launched: &mut Launched,
    ) {
        while launched.count < want.count && self.unproved_room(want.pool, pool) > 0 {
            let Some(launch) = launch_among(queue, pool, self.choices(want, queue, pool, kinds)) else { break };
            let offer = Offer { vcpu: launch.vcpu, gpu: launch.gpu, rate: launch.rate };
            self.book(&Candidate { queue: want.queue, pool: want.pool, offer }, launch.reservation, 1);
            let (rule, by, reason) = (want.rule, want.by.clone(), want.reason.clone());
            self.actions.push(Planned { rule, by, action: Action::Launch(launch), reason });
            launched.count += 1;
        }
        for kind in kinds {
            let short = launched.count < want.count;
            let why = match kind.blocked {
                Some(breaker) => Some(back_off(pool, breaker)),
                None if short => self.why_not(want, queue, pool, kind),
                None => None,
            };
            if let Some(why) = why.filter(|why| !launched.refused.contains(why)) {
                launched.refused.push(why);
            }
        }
    }

    /// The types that one more machine may come to, in order of preference. A type whose size or price nobody knows stands
    /// alone: the cloud is not given it beside others.
    fn choices(&self, want: &Want<'_>, queue: &Queue<'_>, pool: &Pool<'_>, kinds: &[Kind<'_>]) -> Vec<Choice> {
        let open = kinds.iter().filter(|kind| kind.blocked.is_none() && self.narrow_room(pool, kind) > 0);
        let mut choices: Vec<Choice> = open
            .filter_map(|kind| {
                let Offer { vcpu, gpu, rate } = kind.offer;
                let reservation = reservation(self.index, queue, pool, rate);
                let candidate = Candidate { queue: want.queue, pool: want.pool, offer: kind.offer };
                let fits = self.room(&candidate, pool, kind, reservation, false).0 > 0;
                let machine_type = kind.machine_type.clone();
                fits.then_some(Choice { machine_type, vcpu, gpu, rate, reservation })
            })
            .collect();
        let is_known = |choice: &Choice| choice.rate.is_some() && choice.vcpu > 0;
        if choices.first().is_some_and(is_known) {
            choices.retain(is_known);
        } else {
            choices.truncate(1);
        }
        choices
    }

    fn why_not(&self, want: &Want<'_>, queue: &Queue<'_>, pool: &Pool<'_>, kind: &Kind<'_>) -> Option<Reason> {
        let candidate = Candidate { queue: want.queue, pool: want.pool, offer: kind.offer };
        let reservation = reservation(self.index, queue, pool, kind.offer.rate);
        let (room, why) = self.room(&candidate, pool, kind, reservation, true);
        if room == 0 { why } else { self.caution(want.pool, pool, kind) }
    }
}

/// One machine of one of these types; `None`: there are none.
fn launch_among(queue: &Queue<'_>, pool: &Pool<'_>, choices: Vec<Choice>) -> Option<Launch> {
    Some(Launch {
        pool: pool.settings.name.clone(),
        queue: queue.settings.name.clone(),
        machine_type: choices.first()?.machine_type.clone(),
        market: pool.settings.market,
        count: 1,
        vcpu: choices.iter().map(|choice| choice.vcpu).max()?,
        gpu: choices.iter().map(|choice| choice.gpu).max()?,
        rate: choices.iter().map(|choice| choice.rate).max()?,
        reservation: choices.iter().map(|choice| choice.reservation).max()?,
        choices,
    })
}

#[cfg(test)]
mod tests {
    use crate::model::breaker::{Breaker, Offering};
    use crate::model::money::Rate;
    use crate::model::plan::{Action, Launch};
    use crate::model::settings::{BudgetScope, Limits, Market, Settings, SpotStrategy};
    use crate::model::snapshot::ErrorClass;
    use crate::plan::example::{World, ago, budget, pool};

    /// A pool that leaves the type to the cloud, and as many waiting tasks.
    fn chosen(types: &[&str], waiting: usize) -> World {
        World::new().waiting("train", waiting).set(|settings| {
            settings.pools = vec![pool("gpu", types)];
            settings.pools[0].market = Market::Spot;
            settings.pools[0].launch.spot_strategy = SpotStrategy::PriceCapacityOptimized;
        })
    }

    const THREE: [&str; 3] = ["g5.xlarge", "g5.12xlarge", "m5.large"];

    fn launches(world: &World) -> Vec<Launch> {
        let launch = |action| if let Action::Launch(launch) = action { Some(launch) } else { None };
        world.plan().actions.into_iter().filter_map(|planned| launch(planned.action)).collect()
    }

    /// The types of each launch.
    fn types(world: &World) -> Vec<Vec<String>> {
        let types = |launch: &Launch| launch.choices.iter().map(|choice| choice.machine_type.to_string()).collect();
        launches(world).iter().map(types).collect()
    }

    fn limited(world: World, limits: Limits) -> World {
        world.set(|settings: &mut Settings| settings.limits = limits)
    }

    fn hourly(micros: i64) -> Limits {
        Limits { max_hourly: Some(Rate::from_micros_per_hour(micros)), ..Limits::default() }
    }

    fn breaker(machine_type: &str, at_most: u32) -> Breaker {
        let on = Offering {
            machine_type: Some(machine_type.into()),
            market: Some(Market::Spot),
            ..Offering::of_account("aws us-east-1")
        };
        let (since, until, class) = (ago(90), ago(-60), ErrorClass::Capacity);
        Breaker { on, since, until, class, strikes: 1, at_most, quota: None, message: "none".to_owned() }
    }

    #[test]
    fn a_launch_is_of_one_machine_and_takes_the_most_of_any_type_that_it_may_come_to() {
        let launches = launches(&chosen(&THREE, 2));
        assert_eq!(launches.len(), 2);
        for launch in launches {
            assert_eq!((launch.count, launch.machine_type.as_str()), (1, "g5.xlarge"));
            assert_eq!((launch.vcpu, launch.gpu, launch.rate.unwrap().micros_per_hour()), (48, 4, 5_672_000));
            let [small, large, cpu] = &launch.choices[..] else { panic!("{launch:?}") };
            assert_eq!([small, large, cpu].map(|choice| choice.vcpu), [4, 48, 2]);
            assert!(cpu.reservation < small.reservation && small.reservation < large.reservation);
            assert_eq!(launch.reservation, large.reservation);
            let come = launch.come_to(&"m5.large".into());
            assert_eq!((come.machine_type.as_str(), come.vcpu, come.reservation), ("m5.large", 2, cpu.reservation));
        }
        chosen(&THREE, 1).expect(&[
            "grow: launch 1 x g5.xlarge (or g5.12xlarge, m5.large) in gpu for train: 1 waiting - 0 idle - 0 starting - 0 foreign \
             idle = 1 needed",
        ]);
    }

    #[test]
    fn elsewhere_and_on_demand_the_type_stays_the_plans() {
        let in_order = chosen(&THREE, 2).set(|settings| {
            settings.pools[0].launch.spot_strategy = SpotStrategy::LowestPrice;
        });
        let on_demand = chosen(&THREE, 2).set(|settings| settings.pools[0].market = Market::OnDemand);
        for world in [in_order, on_demand] {
            let launches = launches(&world);
            assert_eq!((launches.len(), launches[0].count, launches[0].choices.len()), (1, 2, 0));
        }
    }

    #[test]
    fn each_limit_leaves_the_types_that_it_has_room_for() {
        let gpu = |max| Limits { max_gpu: Some(max), ..Limits::default() };
        let vcpu = |max| Limits { max_vcpu: Some(max), ..Limits::default() };
        for (limits, expected) in [
            (gpu(3), vec![vec!["g5.xlarge", "m5.large"]; 3]),
            (gpu(0), vec![vec!["m5.large"]; 3]),
            (vcpu(51), vec![THREE.to_vec(), vec!["m5.large"]]),
            (vcpu(6), vec![vec!["g5.xlarge", "m5.large"], vec!["m5.large"]]),
            (hourly(1_200_000), vec![vec!["g5.xlarge", "m5.large"], vec!["m5.large"], vec!["m5.large"]]),
            (Limits { max: Some(2), ..Limits::default() }, vec![THREE.to_vec(); 2]),
        ] {
            assert_eq!(types(&limited(chosen(&THREE, 3), limits)), expected, "{limits:?}");
        }
        let told = limited(chosen(&["g5.xlarge"], 2), hourly(1_200_000)).told();
        assert!(told[1].ends_with("limits.max_hourly is $1.20/h: $1.01/h used, one more needs $1.01/h"), "{told:?}");
    }

    #[test]
    fn a_hard_budget_leaves_the_types_whose_reservation_it_holds() {
        let within = |limit| {
            let world = chosen(&THREE, 2);
            types(&world.set(|settings| settings.budgets = vec![budget("day", BudgetScope::All, limit)]))
        };
        // Reservations of $7.20, $1.28 and $0.12.
        assert_eq!(within("$20"), [THREE.to_vec(), THREE.to_vec()]);
        assert_eq!(within("$8"), [THREE.to_vec(), vec!["m5.large"]]);
        assert_eq!(within("$2"), [vec!["g5.xlarge", "m5.large"], vec!["m5.large"]]);
        assert!(within("$0.05").is_empty());
    }

    #[test]
    fn what_backs_off_or_has_no_price_is_not_given_to_the_cloud() {
        let mut world = chosen(&["g5.xlarge", "u1.huge", "x9.unlisted", "m5.large"], 1);
        assert_eq!(types(&world), [["g5.xlarge", "m5.large"]]);
        world.snapshot.breakers = vec![breaker("g5.xlarge", 0)];
        assert_eq!(types(&world), [["u1.huge"]], "alone, as its price is not known");
        let told = world.told();
        assert!(told[1].contains("g5.xlarge spot backs off"), "{told:?}");
        world.snapshot.breakers.push(breaker("u1.huge", 0));
        world.snapshot.breakers.push(breaker("x9.unlisted", 0));
        assert_eq!(types(&world), [["m5.large"]]);
        world.snapshot.breakers.push(breaker("m5.large", 0));
        assert!(types(&world).is_empty());
    }

    #[test]
    fn what_keeps_it_from_more_is_said_only_where_more_is_wanted() {
        let two = Limits { max: Some(2), ..Limits::default() };
        let told = limited(chosen(&THREE, 2), two).told();
        assert_eq!((told.len(), types(&limited(chosen(&THREE, 2), two)).len()), (2, 2), "{told:?}");
        let told = limited(chosen(&THREE, 3), two).told();
        assert_eq!(
            told[2],
            "NOT grow train gpu (1 short): limits.max is 2: 2 instances used, one more needs 1 instance"
        );
    }

    #[test]
    fn where_machines_never_registered_one_is_tried_at_a_time() {
        let mut world = chosen(&THREE, 3);
        world.snapshot.boots_failed.insert("gpu".into(), 2);
        assert_eq!(types(&world), [THREE]);
        let told = world.told();
        let canary = "the last 2 machines of pool gpu never registered: one at a time until one does, 1 starting";
        assert_eq!(told[1..], [format!("NOT grow train gpu (2 short): {canary}")]);
    }

    #[test]
    fn a_narrow_quota_counts_every_launch_that_may_come_to_the_type() {
        let mut world = chosen(&["g5.xlarge", "m5.large"], 3);
        world.snapshot.breakers = vec![breaker("g5.xlarge", 2)];
        let both = vec!["g5.xlarge", "m5.large"];
        assert_eq!(types(&world), [both.clone(), both, vec!["m5.large"]]);
    }
}

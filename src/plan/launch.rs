//! Launching in one pool: its types in order, clipped by back-off, limits and budgets.

use jiff::SignedDuration;

use super::budgets::Purse;
use super::index::{Index, Kind, Pool, Queue};
use super::learned::keep_alive;
use super::limits::Candidate;
use super::machine::{Machine, State};
use super::pass::Pass;
use super::spot;
use crate::model::breaker::{Breaker, CANARY_AFTER};
use crate::model::ids::Actor;
use crate::model::money::{Money, Rate};
use crate::model::plan::{Action, Launch, Planned, Rule};
use crate::model::reason::Reason;
use crate::model::record::Intent;
use crate::model::settings::{Market, Provider};

/// A boot, until a pool has taught how long its own take: a minute and a half to a running system, and the agent is
/// installed in three minutes; nine of ten are assumed to be faster than this.
pub(super) const UNKNOWN_BOOT: SignedDuration = SignedDuration::from_secs(370);

/// What is wanted, for whom and why.
#[derive(Clone, Copy)]
pub(super) struct Want<'w> {
    pub(super) rule: Rule,
    pub(super) by: &'w Actor,
    pub(super) queue: usize,
    pub(super) pool: usize,
    pub(super) count: u32,
    /// On demand, whatever the pool's own market is.
    pub(super) on_demand: bool,
    pub(super) reason: &'w Reason,
}

/// What came of it.
pub(super) struct Launched {
    pub(super) count: u32,
    /// Why not all, each reason once.
    pub(super) refused: Vec<Reason>,
}

impl Pass<'_> {
    /// Plans launches in one pool for one queue.
    pub(super) fn launch(&mut self, want: &Want<'_>) -> Launched {
        let mut launched = Launched { count: 0, refused: Vec::new() };
        let index = self.index;
        let (Some(queue), Some(pool)) = (index.queues.get(want.queue), index.pools.get(want.pool)) else {
            return launched;
        };
        if pool.settings.provider == Provider::Kubernetes && want.rule != Rule::Grow {
            // A pod is made for a task that waits, and for nothing else.
            launched.refused.push(Reason::PodsForTasks { pool: pool.settings.name.clone() });
            return launched;
        }
        if let Some(stale) = index.stale_region(pool.settings.provider, &pool.settings.site()) {
            launched.refused.push(stale);
            return launched;
        }
        if let Some(step) = self.forbidden_by_step(want.queue, want.pool, want.on_demand) {
            launched.refused.push(step);
            return launched;
        }
        launched.count += self.start_kept(want, queue, pool);
        if want.on_demand {
            let kinds = if pool.settings.market == Market::OnDemand { &pool.kinds } else { &pool.on_demand };
            self.launch_kinds(want, queue, pool, kinds, &mut launched);
            return launched;
        }
        self.launch_kinds(want, queue, pool, &pool.kinds, &mut launched);
        if want.rule == Rule::Grow
            && self.forbidden_by_step(want.queue, want.pool, true).is_none()
            && let Some(reason) = spot::rollback(index, queue, pool, want.count)
        {
            self.launch_kinds(&Want { reason: &reason, ..*want }, queue, pool, &pool.on_demand, &mut launched);
        }
        launched
    }

    /// Why no machine of the pool could be had in place of another; limits apart, where that one makes room.
    pub(super) fn no_replacement(&self, queue: usize, place: usize) -> Option<Reason> {
        let (queue, pool) = (self.index.queues.get(queue)?, self.index.pools.get(place)?);
        let mut why = None;
        for kind in &pool.kinds {
            let no = self.no_replacement_of(queue, place, pool, kind);
            no.as_ref()?;
            why = why.or(no);
        }
        why
    }

    fn no_replacement_of(&self, queue: &Queue<'_>, place: usize, pool: &Pool<'_>, kind: &Kind<'_>) -> Option<Reason> {
        let reservation = reservation(self.index, queue, pool, kind.offer.rate);
        if let Some(breaker) = kind.blocked {
            return Some(back_off(pool, breaker));
        }
        if let Some(step) = self.forbidden_by_step(queue.place, place, false) {
            return Some(step);
        }
        let candidate = Candidate { queue: queue.place, pool: place, offer: kind.offer };
        if let Some(purse) = self.forbids_unpriced(&candidate, reservation) {
            return Some(purse.no_price(&pool.settings.name, kind.machine_type.as_str()));
        }
        match self.budgets().tightest(queue.place, place, reservation) {
            Some((0, purse)) => Some(purse.reason(reservation)),
            _ if self.unproved_room(place, pool) == 0 => self.caution(place, pool, kind),
            _ => None,
        }
    }

    fn launch_kinds(
        &mut self,
        want: &Want<'_>,
        queue: &Queue<'_>,
        pool: &Pool<'_>,
        kinds: &[Kind<'_>],
        launched: &mut Launched,
    ) {
        if kinds.first().is_some_and(|kind| pool.settings.cloud_chooses(kind.market)) {
            return self.launch_chosen(want, queue, pool, kinds, launched);
        }
        for kind in kinds {
            let left = want.count - launched.count;
            if left == 0 {
                break;
            }
            let (count, refused) = self.launch_kind(want, left, queue, pool, kind);
            launched.count += count;
            if let Some(refused) = refused.filter(|reason| !launched.refused.contains(reason)) {
                launched.refused.push(refused);
            }
        }
    }

    /// Machines of the pool that are switched off are started before others are launched, within the same limits and
    /// budgets; what these forbid the launches will say. Says how many.
    fn start_kept(&mut self, want: &Want<'_>, queue: &Queue<'_>, pool: &Pool<'_>) -> u32 {
        let (now, site) = (self.index.now, pool.settings.site());
        let may_start = |machine: &Machine<'_>| {
            let again = machine.seen.no_start_until.is_none_or(|until| until <= now);
            // A worker's row of before would be taken for a new one.
            machine.state() == State::Off
                && !machine.started
                && machine.hold.is_none()
                && again
                // What a one-time spot request gave is not started again.
                && (machine.seen.market, pool.settings.market) == (Market::OnDemand, Market::OnDemand)
                && machine.pool == Some(want.pool)
                // It counts in the limits of its home queue, by its tag too.
                && machine.home == Some(want.queue)
                && machine.seen.region == site
                && machine.seen.worker.is_none()
        };
        let kept = self.machines.iter().enumerate().filter(|(_, machine)| may_start(machine)).map(|(place, _)| place);
        let kept: Vec<usize> = kept.collect();
        let mut count = 0;
        for place in kept {
            let Some(seen) = self.machines.get(place).map(|machine| machine.seen).filter(|_| count < want.count) else {
                break;
            };
            let offer =
                self.index.snapshot.catalogue.offer(pool.settings, &seen.machine_type, seen.market, self.index.now);
            let machine_type = &seen.machine_type;
            let kind = Kind { machine_type, market: seen.market, offer, blocked: None, narrowed: None };
            let candidate = Candidate { queue: want.queue, pool: want.pool, offer };
            let reservation = reservation(self.index, queue, pool, offer.rate);
            let proved = self.unproved_room(want.pool, pool) > 0;
            if !proved || self.room(&candidate, pool, &kind, reservation, false).0 == 0 {
                continue;
            }
            self.book(&candidate, reservation, 1);
            if let Some(machine) = self.machines.get_mut(place) {
                machine.started = true;
            }
            let launch = launch_of(queue, pool, &kind, 1, reservation);
            let action = Action::Start { instance: seen.id.clone(), launch };
            let (rule, by, reason) = (want.rule, want.by.clone(), want.reason.clone());
            self.actions.push(Planned { rule, by, action, reason });
            count += 1;
        }
        count
    }

    fn launch_kind(
        &mut self,
        want: &Want<'_>,
        wanted: u32,
        queue: &Queue<'_>,
        pool: &Pool<'_>,
        kind: &Kind<'_>,
    ) -> (u32, Option<Reason>) {
        if let Some(breaker) = kind.blocked {
            return (0, Some(back_off(pool, breaker)));
        }
        let candidate = Candidate { queue: want.queue, pool: want.pool, offer: kind.offer };
        let reservation = reservation(self.index, queue, pool, kind.offer.rate);
        let (room, _) = self.room(&candidate, pool, kind, reservation, false);
        let count = room.min(wanted).min(self.unproved_room(want.pool, pool)).min(self.narrow_room(pool, kind));
        if count > 0 {
            self.book(&candidate, reservation, count);
            self.actions.push(Planned {
                rule: want.rule,
                by: want.by.clone(),
                action: Action::Launch(launch_of(queue, pool, kind, count, reservation)),
                reason: want.reason.clone(),
            });
        }
        // What is short is explained with the numbers as they are after what was just planned.
        let why = (count < wanted).then(|| {
            let (left, why) = self.room(&candidate, pool, kind, reservation, true);
            if left == 0 { why } else { self.caution(want.pool, pool, kind) }
        });
        (count, why.flatten())
    }

    /// How many machines may be started in a pool whose last ones never registered.
    pub(super) fn unproved_room(&self, place: usize, pool: &Pool<'_>) -> u32 {
        if pool.boots_failed < CANARY_AFTER { u32::MAX } else { 1_u32.saturating_sub(self.unproved(place)) }
    }

    /// Machines of a pool on their way, that may never register.
    fn unproved(&self, pool: usize) -> u32 {
        let starts = |machine: &&Machine<'_>| {
            let over = matches!(machine.state(), State::Gone | State::Stopping | State::Faulty | State::Off);
            machine.pool == Some(pool) && !machine.seen.registered && !machine.acknowledged && !over
        };
        let machines = self.machines.iter().filter(starts).count();
        let here = |intent: &&Intent| self.index.pool_place(&intent.pool) == Some(pool);
        let intents = self.index.snapshot.intents.iter().filter(here).count();
        let now = self.launched.iter().filter(|(_, place, _)| *place == pool).map(|(.., count)| count).sum::<u32>();
        u32::try_from(machines + intents).unwrap_or(u32::MAX).saturating_add(now)
    }

    /// How many may be asked for of a kind that a quota has refused in larger numbers: those on their way are asked for.
    pub(super) fn narrow_room(&self, pool: &Pool<'_>, kind: &Kind<'_>) -> u32 {
        let Some(breaker) = kind.narrowed else { return u32::MAX };
        let settings = pool.settings;
        let site = settings.site();
        let same = |provider, of: &str, market| provider == settings.provider && of == site && market == kind.market;
        let intents = self.index.snapshot.intents.iter();
        let intents = intents.filter(|one| same(one.provider, &one.region, one.market));
        let intents = intents.filter(|one| one.may_be(kind.machine_type)).count();
        let now = self.actions.iter().filter_map(|planned| match &planned.action {
            Action::Launch(launch) => {
                let of = self.index.pools.get(self.index.pool_place(&launch.pool)?)?.settings;
                let same = same(of.provider, &of.site(), launch.market) && launch.may_be(kind.machine_type);
                same.then_some(launch.count)
            }
            _ => None,
        });
        let asked = u32::try_from(intents).unwrap_or(u32::MAX).saturating_add(now.sum());
        breaker.at_most.saturating_sub(asked)
    }

    /// Why not more of a kind that limits and budgets have room for.
    pub(super) fn caution(&self, place: usize, pool: &Pool<'_>, kind: &Kind<'_>) -> Option<Reason> {
        if self.unproved_room(place, pool) == 0 {
            let (pool, failed) = (pool.settings.name.clone(), pool.boots_failed);
            return Some(Reason::Canary { pool, failed, starting: self.unproved(place) });
        }
        kind.narrowed.map(|breaker| back_off(pool, breaker))
    }

    /// The budget under which a machine is not launched since nobody knows what it costs.
    fn forbids_unpriced(&self, candidate: &Candidate, reservation: Money) -> Option<&Purse<'_>> {
        let budgets = || self.budgets().governing(candidate.queue, candidate.pool, reservation);
        if candidate.offer.rate.is_some() { None } else { budgets() }
    }

    /// How many more may be launched, and what keeps it from being more.
    pub(super) fn room(
        &self,
        candidate: &Candidate,
        pool: &Pool<'_>,
        kind: &Kind<'_>,
        reservation: Money,
        explain: bool,
    ) -> (u32, Option<Reason>) {
        let limit = self.usage.tightest(self.index, candidate);
        let by_limits = limit.map_or(u32::MAX, |limit| limit.room);
        let purse = self.budgets().tightest(candidate.queue, candidate.pool, reservation);
        let unpriced = self.forbids_unpriced(candidate, reservation);
        let by_budgets = match (unpriced, purse) {
            (Some(_), _) => 0,
            (None, Some((room, _))) => room,
            (None, None) => u32::MAX,
        };
        let why = match (unpriced, purse, limit) {
            _ if !explain => None,
            (Some(purse), ..) => Some(purse.no_price(&pool.settings.name, kind.machine_type.as_str())),
            (None, Some((_, purse)), _) if by_budgets <= by_limits => Some(purse.reason(reservation)),
            (.., Some(limit)) => limit.reason(self.index, candidate, kind.machine_type.as_str()),
            _ => None,
        };
        (by_limits.min(by_budgets), why)
    }
}

pub(super) fn back_off(pool: &Pool<'_>, breaker: &Breaker) -> Reason {
    Reason::BackOff { pool: pool.settings.name.clone(), breaker: Box::new(breaker.clone()) }
}

fn launch_of(queue: &Queue<'_>, pool: &Pool<'_>, kind: &Kind<'_>, count: u32, reservation: Money) -> Launch {
    Launch {
        pool: pool.settings.name.clone(),
        queue: queue.settings.name.clone(),
        machine_type: kind.machine_type.clone(),
        market: kind.market,
        count,
        vcpu: kind.offer.vcpu,
        gpu: kind.offer.gpu,
        rate: kind.offer.rate,
        reservation,
        choices: Vec::new(),
    }
}

/// What a launch sets aside: the boot, a long task and the idle time until the keep-alive ends it, or before the task that it
/// was started ahead of, at a price with its disks.
pub(super) fn reservation(index: &Index<'_>, queue: &Queue<'_>, pool: &Pool<'_>, rate: Option<Rate>) -> Money {
    let boot = index.boot_time(pool, UNKNOWN_BOOT);
    let (keep_alive, learned) = keep_alive(index, pool);
    let ahead = learned.and_then(|learned| learned.again).map(|again| again.until.saturating_sub(again.after));
    let idle = ahead.map_or(keep_alive, |ahead| keep_alive.max(ahead));
    let life = boot.saturating_add(index.task_time(queue)).saturating_add(idle);
    rate.unwrap_or_default().cost(life.max(crate::model::ledger::MINIMUM_BILLED))
}

#[cfg(test)]
mod tests {
    use crate::model::breaker::{Breaker, Offering};
    use crate::model::instance::{DrainCause, Instance, Origin, Phase};
    use crate::model::money::{Money, Rate};
    use crate::model::plan::Action;
    use crate::model::record::{Learned, Samples};
    use crate::model::settings::{BudgetScope, Ladder, Limits, Market, Per, Period, Settings};
    use crate::model::snapshot::ErrorClass;
    use crate::plan::example::{World, ago, budget, drain, instance, interval, pool, queue, secs};

    fn waiting(count: usize) -> World {
        World::new().waiting("train", count)
    }

    /// How many are launched, and why not more.
    fn outcome(world: &World) -> (u32, Vec<String>) {
        let plan = world.plan();
        let count = |action: &Action| if let Action::Launch(launch) = action { launch.count } else { 0 };
        let launched = plan.actions.iter().map(|planned| count(&planned.action)).sum();
        (launched, plan.refusals.iter().map(|refusal| refusal.reason.to_string()).collect())
    }

    #[test]
    fn every_limit_at_every_level_binds() {
        type Scope = fn(&mut Settings) -> &mut Limits;
        let scopes: [(&str, Scope); 3] = [
            ("limits", |settings| &mut settings.limits),
            ("queue.train", |settings| &mut settings.queues[0].limits),
            ("pool.gpu", |settings| &mut settings.pools[0].limits),
        ];
        let kinds: [(&str, Limits); 4] = [
            ("max is 3: 3 instances used, one more needs 1 instance", Limits { max: Some(3), ..Limits::default() }),
            ("max_gpu is 3: 3 GPU used, one more needs 1 GPU", Limits { max_gpu: Some(3), ..Limits::default() }),
            ("max_vcpu is 15: 12 vCPU used, one more needs 4 vCPU", Limits { max_vcpu: Some(15), ..Limits::default() }),
            (
                "max_hourly is $4.00/h: $3.02/h used, one more needs $1.01/h",
                Limits { max_hourly: Some(Rate::from_micros_per_hour(4_000_000)), ..Limits::default() },
            ),
        ];
        for (name, scope) in scopes {
            for (told, limits) in kinds {
                // A busy machine, an intent, and room for one more.
                let world = waiting(5).with(instance("i-1", Phase::Busy)).intent("gpu", "train");
                let world = world.set(|settings| *scope(settings) = limits);
                assert_eq!(outcome(&world), (1, vec![format!("{name}.{told}")]));
            }
        }
        assert_eq!(outcome(&waiting(5).set(|settings| settings.limits.max = Some(0))).0, 0);
        assert_eq!(outcome(&waiting(5).set(|settings| settings.limits.max = Some(5))), (5, vec![]), "nothing is short");
        // Lowered under what is up: nothing is launched, and nothing is killed for it.
        let world = waiting(5).with(instance("i-1", Phase::Busy)).with(instance("i-2", Phase::Busy));
        let lowered = world.set(|settings| settings.limits.max = Some(1));
        assert_eq!(
            outcome(&lowered),
            (0, vec!["limits.max is 1: 2 instances used, one more needs 1 instance".to_owned()])
        );
    }

    #[test]
    fn what_nobody_knows_is_not_launched_under_a_limit() {
        let of = |machine_type: &str, limits: Limits| {
            waiting(1).set(|settings| {
                settings.pools = vec![pool("gpu", &[machine_type])];
                settings.limits = limits;
            })
        };
        let hourly = Limits { max_hourly: Some(Rate::from_micros_per_hour(9_000_000)), ..Limits::default() };
        let told = "nobody knows the price of u1.huge of pool gpu, and limits.max_hourly is set";
        assert_eq!(outcome(&of("u1.huge", hourly)), (0, vec![told.to_owned()]));
        let price = Some(Rate::from_micros_per_hour(8_000_000));
        assert_eq!(outcome(&of("u1.huge", hourly).set(|settings| settings.pools[0].price = price)).0, 1);
        let gpu = Limits { max_gpu: Some(9), ..Limits::default() };
        let told = "nobody knows the size of x9.unlisted of pool gpu, and limits.max_gpu is set";
        assert_eq!(outcome(&of("x9.unlisted", gpu)), (0, vec![told.to_owned()]));
        assert_eq!(outcome(&of("x9.unlisted", Limits { max: Some(1), ..Limits::default() })).0, 1);
        // A machine without GPU takes nothing of their limit.
        assert_eq!(outcome(&of("m5.large", Limits { max_gpu: Some(0), ..Limits::default() })).0, 1);
    }

    #[test]
    fn a_hard_budget_counts_what_is_spent_committed_and_intended() {
        // One more reserves 370 s + 1 h + 10 min of $1.006/h.
        let reservation = "$1.28";
        let all = |limit| waiting(5).set(|settings| settings.budgets = vec![budget("day", BudgetScope::All, limit)]);
        assert_eq!(outcome(&all("$100")), (5, vec![]));
        let limited = all("$100").set(|settings| settings.limits.max = Some(2));
        let tighter = "limits.max is 2: 2 instances used, one more needs 1 instance";
        assert_eq!(outcome(&limited), (2, vec![tighter.to_owned()]));
        let told = |spent, committed, free| {
            format!(
                "budget \"day\" is $3.00: {spent} spent, {committed} committed, {free} free, one more reserves {reservation}"
            )
        };
        assert_eq!(outcome(&all("$3")), (2, vec![told("$0.00", "$2.55", "$0.45")]));
        // Up for 10 minutes, $1.30 set aside.
        let world = all("$3").with(instance("i-1", Phase::Busy));
        assert_eq!(outcome(&world), (1, vec![told("$0.17", "$2.41", "$0.42")]));
        assert_eq!(outcome(&world.intent("gpu", "train")), (0, vec![told("$0.17", "$2.43", "$0.40")]));
        let mut orphan = instance("i-1", Phase::Busy);
        orphan.origin = Origin::Orphan;
        let mut world = all("$3");
        world.snapshot.instances.push(orphan);
        assert_eq!(outcome(&world), (1, vec![told("$0.17", "$2.41", "$0.42")]), "not in the ledger yet");
    }

    #[test]
    fn a_budget_binds_its_queue_and_its_period_only() {
        let of = |scope, limit| waiting(5).set(|settings| settings.budgets = vec![budget("b", scope, limit)]);
        assert_eq!(outcome(&of(BudgetScope::Queue("train".into()), "$2")).0, 1);
        assert_eq!(outcome(&of(BudgetScope::Queue("eval".into()), "$0")), (5, vec![]));
        let soft = of(BudgetScope::All, "$0").set(|settings| settings.budgets[0].hard = false);
        assert_eq!(outcome(&soft), (5, vec![]));
        // $5 were spent yesterday, in this month.
        let mut world = of(BudgetScope::All, "$6");
        let mut yesterday = interval(&instance("i-old", Phase::Gone));
        (yesterday.start, yesterday.end) = (ago(18 * 3_600), Some(ago(13 * 3_600)));
        yesterday.rate = Some(Rate::from_micros_per_hour(1_000_000));
        world.ledger.add_closed(&yesterday);
        assert_eq!(outcome(&world).0, 4);
        assert_eq!(outcome(&world.clone().set(|settings| settings.budgets[0].per = Per::Calendar(Period::Month))).0, 0);
        let per = |per| outcome(&world.clone().set(|settings| settings.budgets[0].per = per)).0;
        assert_eq!(per(Per::Calendar(Period::Hour)), 4);
        assert_eq!(per(Per::Calendar(Period::Week)), 4, "this week began today");
        let rolling = |hours| per(Per::Rolling(jiff::SignedDuration::from_hours(hours)));
        assert_eq!(
            (rolling(13), rolling(14), rolling(24)),
            (4, 3, 0),
            "of $5, the last hour's $1 are in the last 14 hours"
        );
        // What was spent before the ledger began counts in the period in which that was.
        let before = |since: i64| {
            let mut world = of(BudgetScope::All, "$6").set(|settings| {
                settings.budgets[0].already_spent = "$5".parse().unwrap();
            });
            world.ledger.whole_since = Some(ago(since));
            outcome(&world).0
        };
        assert_eq!((before(3_600), before(24 * 3_600)), (0, 4));
        // In Hawaii it is still yesterday.
        let zone = jiff::tz::TimeZone::get("Pacific/Honolulu").unwrap();
        assert_eq!(outcome(&world.set(|settings| settings.the_loop.time_zone = zone)).0, 0);
    }

    /// A soft budget counts what has no price as $0: it would never come to its step.
    #[test]
    fn without_a_price_nothing_is_launched_under_a_soft_budget_that_acts() {
        let under = |rungs: &[(&str, &str)]| {
            let rungs = rungs.iter().map(|(percent, step)| ((*percent).to_owned(), (*step).to_owned())).collect();
            let world = waiting(1).set(|settings| {
                settings.pools[0].types = vec!["u1.huge".into()];
                settings.budgets = vec![budget("day", BudgetScope::All, "$100")];
                (settings.budgets[0].hard, settings.budgets[0].at) = (false, Ladder::read(&rungs).unwrap());
            });
            let priced = world.clone().set(|settings| settings.pools[0].price = Some(Rate::ZERO));
            assert_eq!(outcome(&priced), (1, vec![]));
            outcome(&world)
        };
        let no = "no price is known for u1.huge of pool gpu, and budget \"day\" covers it";
        assert_eq!(under(&[("100%", "stop-launching")]), (0, vec![no.to_owned()]));
        assert_eq!(under(&[("50%", "warn"), ("80%", "cheapest-only")]), (0, vec![no.to_owned()]));
        assert_eq!(under(&[("50%", "warn")]), (1, vec![]), "it only tells");
        assert_eq!(under(&[]), (1, vec![]));
    }

    #[test]
    fn a_quota_of_an_account_is_asked_for_what_it_holds() {
        let launched = |region: &str| {
            let mut world = waiting(5).set(|settings| settings.pools[0].account = Some("lab".into()));
            world.snapshot.breakers = vec![Breaker {
                on: Offering {
                    machine_type: Some("g5.xlarge".into()),
                    market: Some(Market::OnDemand),
                    ..Offering::of_account("aws lab@us-east-1")
                },
                since: ago(60),
                until: ago(-60),
                class: ErrorClass::Quota,
                strikes: 1,
                at_most: 2,
                quota: None,
                message: "full".to_owned(),
            }];
            let mut world = world.intent("gpu", "train").last_heard("aws lab@us-east-1", 0);
            region.clone_into(&mut world.snapshot.intents[0].region);
            outcome(&world).0
        };
        assert_eq!((launched("lab@us-east-1"), launched("us-east-1")), (1, 2), "one of two is asked for already");
    }

    #[test]
    fn without_a_price_nothing_is_launched_under_a_hard_budget() {
        let world = waiting(2).set(|settings| {
            settings.pools[0].types = vec!["u1.huge".into(), "m5.large".into()];
            settings.budgets = vec![budget("day", BudgetScope::All, "$100")];
        });
        world.expect(&[
            "grow: launch 2 x m5.large in gpu for train: 2 waiting - 0 idle - 0 starting - 0 foreign idle = 2 needed",
            "NOT grow train gpu: no price is known for u1.huge of pool gpu, and budget \"day\" covers it",
        ]);
        let free = world.set(|settings| settings.budgets.clear());
        assert!(free.told()[0].contains("2 x u1.huge"), "nothing asks for its price");
    }

    #[test]
    fn one_of_a_pool_whose_machines_never_registered_is_on_its_way_at_a_time() {
        let unregistered = |phase| Instance { registered: false, ..instance("i-1", phase) };
        let answered = || Some(drain(DrainCause::Person, 9, Some(5)));
        for (what, machine, launched) in [
            ("boots", instance("i-1", Phase::Booting), 0),
            ("drains, and may register", Instance { drain: None, ..unregistered(Phase::Draining) }, 0),
            ("answered", Instance { drain: answered(), ..unregistered(Phase::Draining) }, 1),
            ("registered", instance("i-1", Phase::Idle), 1),
            ("another pool's", Instance { pool: "other".into(), ..instance("i-1", Phase::Booting) }, 1),
            ("is being stopped", unregistered(Phase::Stopping), 1),
        ] {
            let mut world = waiting(5).with(machine);
            world.snapshot.boots_failed.insert("gpu".into(), 2);
            assert_eq!(outcome(&world).0, launched, "{what}");
        }
        for (pool, launched) in [("gpu", 0), ("other", 1)] {
            let mut world = waiting(5).intent(pool, "train");
            world.snapshot.boots_failed.insert("gpu".into(), 2);
            assert_eq!(outcome(&world).0, launched, "an intent of {pool}");
        }
        let mut two = waiting(5).waiting("eval", 5).set(|settings| settings.queues.push(queue("eval", &["gpu"])));
        two.snapshot.boots_failed.insert("gpu".into(), 2);
        assert_eq!(outcome(&two).0, 1, "of all its queues");
    }

    #[test]
    fn what_costs_nothing_is_launched_under_a_budget_that_is_spent_but_not_crossed() {
        let free = |spent: &str| {
            let mut world = waiting(1).set(|settings| {
                settings.pools[0].price = Some(Rate::ZERO);
                settings.budgets = vec![budget("day", BudgetScope::All, "$1")];
                settings.budgets[0].already_spent = spent.parse().unwrap();
            });
            world.ledger.whole_since = Some(ago(60));
            outcome(&world).0
        };
        assert_eq!((free("$1"), free("$1.01")), (1, 0));
    }

    #[test]
    fn a_reservation_is_boot_task_idle_tail_and_disk() {
        let reserved = |world: &World| match &world.plan().actions[0].action {
            Action::Launch(launch) => launch.reservation,
            other => panic!("{other}"),
        };
        let rate = Rate::from_micros_per_hour(1_006_000);
        let mut world = waiting(1);
        assert_eq!(reserved(&world), rate.cost(secs(370 + 3_600 + 600)));
        let taught = |seconds: &[i64]| {
            let mut samples = Samples::default();
            for sample in seconds {
                samples.push(secs(*sample));
            }
            samples
        };
        let learned = Learned {
            tasks: [("train".into(), taught(&(1..=30).collect::<Vec<_>>()))].into(),
            boots: [("gpu".into(), taught(&[100; 30]))].into(),
            ..Learned::default()
        };
        world.snapshot.learned = learned.into();
        assert_eq!(reserved(&world), rate.cost(secs(100 + 28 + 600)));
        let disk = Rate::from_micros_per_hour(100 * 80_000 / 730);
        let world = world.set(|settings| settings.pools[0].launch.disk_gb = Some(100));
        assert_eq!(reserved(&world), (rate + disk).cost(secs(728)));
        assert!(reserved(&world) > rate.cost(secs(728)) + Money::from_micros(2_000));
    }
}

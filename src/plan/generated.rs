//! Worlds at random: small ones, in which everything meets everything, contradictions included. One seed, one world.

use std::sync::Arc;

use jiff::SignedDuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::example::{self, World, ago, now, secs};
use crate::model::account::Owner;
use crate::model::advice::{Advice, Advised};
use crate::model::breaker::{Breaker, Offering};
use crate::model::course::{Course, Fall, Rise};
use crate::model::drift::Drift;
use crate::model::ids::{InstanceId, PoolName, QueueName};
use crate::model::instance::{
    Agents, Drain, DrainCause, Fault, Instance, OffOutside, Origin, Phase, Power, RunningTask,
};
use crate::model::ledger::Share;
use crate::model::money::{Money, Rate};
use crate::model::observed::QueueEntry;
use crate::model::record::{Learned, Samples};
use crate::model::settings::{
    Budget, BudgetScope, GuardKind, KeepAlive, Ladder, Limits, Market, OnIdle, OnLost, Per, Period, PoolSettings,
    Provider, QueueSettings, ReplaceDrifted, SpotStrategy,
};
use crate::model::snapshot::{Ask, ErrorClass, ForeignWorker, Ghost, Order, Phantom, Stray};

const TYPES: [&str; 5] = ["g5.xlarge", "g5.12xlarge", "m5.large", "u1.huge", "x9.unlisted"];
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
const ZONES: [&str; 3] = ["UTC", "Europe/Berlin", "America/Los_Angeles"];

/// The world of a seed.
pub(super) fn world(seed: u64) -> World {
    Dice(ChaCha8Rng::seed_from_u64(seed)).world()
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn up_to(&mut self, most: u32) -> u32 {
        self.0.random_range(0..=most)
    }

    fn seconds(&mut self, least: i64, most: i64) -> i64 {
        self.0.random_range(least..=most)
    }

    fn in_hundred(&mut self, percent: u32) -> bool {
        self.up_to(99) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let last = u32::try_from(from.len() - 1).unwrap();
        from[usize::try_from(self.up_to(last)).unwrap()].clone()
    }

    fn world(&mut self) -> World {
        let mut world = World::new();
        self.settings(&mut world);
        let pools: Vec<_> = world.settings.pools.iter().map(|pool| pool.name.clone()).chain(["gone".into()]).collect();
        let queues: Vec<_> =
            world.settings.queues.iter().map(|queue| queue.name.clone()).chain(["gone".into()]).collect();
        self.machines(&mut world, &pools, &queues);
        self.intents(&mut world);
        self.queues(&mut world);
        self.surroundings(&mut world, &pools, &queues);
        self.orders(&mut world, &pools, &queues);
        for queue in &queues {
            if self.in_hundred(15) {
                let advised = self.advised(&pools);
                world.snapshot.advice.insert(queue.clone(), advised);
            }
        }
        world
    }

    fn limits(&mut self) -> Limits {
        let hourly = i64::from(self.up_to(12)) * 1_006_000;
        Limits {
            max: self.in_hundred(35).then(|| self.up_to(8)),
            max_gpu: self.in_hundred(10).then(|| self.up_to(10)),
            max_vcpu: self.in_hundred(10).then(|| self.up_to(60)),
            max_hourly: self.in_hundred(10).then_some(Rate::from_micros_per_hour(hourly)),
        }
    }

    fn settings(&mut self, world: &mut World) {
        let settings = &mut world.settings;
        let pools: Vec<String> = (0..=self.up_to(2)).map(|place| format!("p{place}")).collect();
        settings.pools = pools.iter().map(|name| self.pool(name)).collect();
        settings.queues = (0..=self.up_to(3)).map(|place| self.queue(&format!("q{place}"), &pools)).collect();
        settings.limits = self.limits();
        settings.the_loop.count_foreign = self.in_hundred(70);
        let zone = self.pick(&ZONES);
        settings.the_loop.time_zone = jiff::tz::TimeZone::get(zone).unwrap();
        let names: Vec<_> = settings.queues.iter().map(|queue| queue.name.clone()).chain(["gone".into()]).collect();
        settings.budgets = (0..self.up_to(3).saturating_sub(1))
            .map(|place| Budget {
                name: format!("b{place}").as_str().into(),
                scope: self.scope(&names),
                per: if self.in_hundred(75) {
                    Per::Calendar(self.pick(&Period::ALL))
                } else {
                    Per::Rolling(SignedDuration::from_hours(self.pick(&[1, 24, 24 * 7])))
                },
                limit: Money::from_micros(self.seconds(0, 40_000_000)),
                hard: self.in_hundred(80),
                already_spent: Money::from_micros(if self.in_hundred(80) { 0 } else { self.seconds(0, 20_000_000) }),
                at: self.ladder(),
            })
            .collect();
    }

    fn ladder(&mut self) -> Ladder {
        let steps =
            ["warn", "cheapest-only", "stop-launching", "stop-idle", "drain", "kill after 30s", "kill after 1h"];
        let rungs = (0..self.up_to(4).saturating_sub(2))
            .map(|_| (self.pick(&["10%", "50%", "100%", "150%"]).to_owned(), self.pick(&steps).to_owned()));
        Ladder::read(&rungs.collect()).unwrap()
    }

    fn scope(&mut self, queues: &[QueueName]) -> BudgetScope {
        match self.up_to(9) {
            0..5 => BudgetScope::All,
            5 => BudgetScope::Provider(Provider::Aws),
            6 => BudgetScope::Pool("p0".into()),
            7 => self.pick(&[BudgetScope::User("ann".into()), BudgetScope::Project("vision".into())]),
            _ => BudgetScope::Queue(self.pick(queues)),
        }
    }

    fn pool(&mut self, name: &str) -> PoolSettings {
        let first = self.pick(&TYPES);
        let types = [first, self.pick(&TYPES)];
        let types = if types[0] == types[1] { &types[..1] } else { &types[..] };
        let mut pool = example::pool(name, types);
        self.pick(&REGIONS).clone_into(&mut pool.region);
        pool.limits = self.limits();
        pool.min = self.up_to(4).saturating_sub(2);
        pool.keep_alive = match self.up_to(4) {
            0 => KeepAlive::Learned,
            _ => KeepAlive::For(secs(self.pick(&[0, 60, 600]))),
        };
        pool.price = self.in_hundred(20).then_some(Rate::from_micros_per_hour(500_000));
        pool.guard = match self.up_to(6) {
            0 => GuardKind::Off,
            1 => GuardKind::Hold,
            _ => GuardKind::Gate,
        };
        pool.market = self.pick(&[Market::OnDemand, Market::OnDemand, Market::Spot]);
        pool.launch.spot_strategy = self.pick(&[SpotStrategy::InOrder, SpotStrategy::PriceCapacityOptimized]);
        pool.spot.rollback = self.pick(&[None, Some(0), Some(60), Some(3_600)]).map(secs);
        pool.spot.retry = self.pick(&[Market::OnDemand, Market::Spot]);
        pool.launch.zones = self.pick(&[vec![], vec!["a"], vec!["a", "b"]]).into_iter().map(str::to_owned).collect();
        pool.on_idle = if self.in_hundred(40) { OnIdle::Stop } else { OnIdle::Terminate };
        (pool.max_stopped, pool.stopped_for) = (self.up_to(3), secs(self.pick(&[60, 3_600, 100_000])));
        pool.launch.disk_gb = self.in_hundred(30).then_some(120);
        pool.agent.agents_per_machine = self.pick(&[1, 1, 1, 2, 4]);
        pool.replace_drifted = self.pick(&[ReplaceDrifted::Never, ReplaceDrifted::WhenIdle]);
        pool
    }

    fn queue(&mut self, name: &str, pools: &[String]) -> QueueSettings {
        let mut pools: Vec<&str> = pools.iter().map(String::as_str).collect();
        let kept = usize::try_from(self.up_to(2)).unwrap() + 1;
        while pools.len() > kept {
            pools.remove(self.0.random_range(0..pools.len()));
        }
        if self.in_hundred(50) {
            pools.reverse();
        }
        let mut queue = example::queue(name, &pools);
        queue.priority = self.pick(&[0, 0, 5, -5]);
        queue.limits = self.limits();
        queue.on_lost = self.pick(&[OnLost::Never, OnLost::Requeue(1), OnLost::Requeue(3)]);
        queue.expected_task = secs(self.pick(&[60, 3_600, 40_000]));
        queue
    }

    fn machines(&mut self, world: &mut World, pools: &[PoolName], queues: &[QueueName]) {
        for place in 0..self.up_to(9) {
            let instance = self.machine(&format!("i-{place}"), &world.settings.pools, pools, queues);
            let billed = instance.origin == Origin::Launched || self.in_hundred(50);
            if billed && !matches!(instance.phase, Phase::Gone | Phase::Stopped) {
                let mut interval = example::interval(&instance);
                if self.in_hundred(30) {
                    let owner =
                        Owner { project: None, user: Some(if self.in_hundred(50) { "ann" } else { "bob" }.into()) };
                    let share = Share { task: Some("t".into()), owner, ..Share::idle(ago(200), self.pick(queues)) };
                    interval.shares.push(share);
                }
                world.ledger.open_interval(interval);
            }
            if self.in_hundred(20) {
                let mut closed = example::interval(&instance);
                closed.instance = format!("old-{place}").as_str().into();
                let ended = self.pick(&[100, 20_000, 30_000, 2_000_000]);
                (closed.start, closed.end) = (ago(ended + self.seconds(10, 4_000)), Some(ago(ended)));
                closed.shares[0].from = closed.start;
                world.ledger.add_closed(&closed);
            }
            world.snapshot.instances.push(instance);
        }
    }

    fn machine(&mut self, id: &str, known: &[PoolSettings], pools: &[PoolName], queues: &[QueueName]) -> Instance {
        let phases = [Phase::Pending, Phase::Booting, Phase::Idle, Phase::Idle, Phase::Busy, Phase::Draining];
        let rare = [Phase::Stopping, Phase::Gone, Phase::Stopped];
        let phase = if self.in_hundred(18) { self.pick(&rare) } else { self.pick(&phases) };
        let mut instance = example::instance(id, phase);
        instance.pool = if self.in_hundred(95) { self.pick(&pools[..pools.len() - 1]) } else { self.pick(pools) };
        instance.market = self.pick(&[Market::OnDemand, Market::Spot]);
        instance.home = if self.in_hundred(95) { self.pick(&queues[..queues.len() - 1]) } else { self.pick(queues) };
        let region = known.iter().find(|pool| pool.name == instance.pool).map_or(REGIONS[0], |pool| &pool.region);
        region.clone_into(&mut instance.region);
        if self.in_hundred(5) {
            self.pick(&REGIONS).clone_into(&mut instance.region);
        }
        if self.in_hundred(30) {
            (instance.vcpu, instance.gpu, instance.rate) = (48, 4, Some(Rate::from_micros_per_hour(5_672_000)));
        }
        if self.in_hundred(10) {
            instance.rate = None;
        }
        let made = known.iter().find(|pool| pool.name == instance.pool).map_or(1, |pool| pool.agent.agents());
        let made = if self.in_hundred(90) { made } else { self.pick(&[1, 2, 4]) };
        self.agents(&mut instance, made);
        let most = self.pick(&[100, 1_000, 3_000, 100_000]);
        instance.launched = ago(self.seconds(0, most));
        instance.phase_since = instance.launched;
        if self.in_hundred(10) {
            instance.registered = !instance.registered;
        }
        if self.in_hundred(12) {
            let faults = [
                Fault::Stuck,
                Fault::Lost,
                Fault::NotPulling,
                Fault::Interrupted,
                Fault::StoppedOutside,
                Fault::AgentsMissing,
                Fault::ClaimedTwice,
            ];
            instance.fault = Some(self.pick(&faults));
            let silent = instance.fault == Some(Fault::Lost) && self.in_hundred(90);
            instance.silent_since = silent.then(|| ago(self.seconds(90, 4_000)));
        }
        if self.in_hundred(20) {
            instance.origin = self.pick(&[Origin::Orphan, Origin::BroughtOver]);
        }
        if self.in_hundred(30) {
            instance.drift = vec![Drift::Type("p3.2xlarge".into())];
        }
        instance.replace = self.in_hundred(10).then(|| "ann".into());
        if phase == Phase::Stopped {
            instance.registered = false;
            (instance.fault, instance.silent_since, instance.origin) = (None, None, Origin::Launched);
            instance.power = Power::Off { since: ago(self.seconds(0, 200_000)) };
            instance.no_start_until = self.in_hundred(20).then(|| ago(self.seconds(-300, 300)));
            if self.in_hundred(20) {
                instance.hold = Some(example::hold(self.seconds(-50, 500)));
            }
            return instance;
        }
        if phase == Phase::Stopping && self.in_hundred(40) {
            instance.power = Power::SwitchingOff { at: ago(10) };
        } else if phase == Phase::Stopping && self.in_hundred(50) {
            instance.off_outside = Some(OffOutside { since: ago(self.seconds(0, 300)), for_good: self.in_hundred(30) });
        }
        if phase == Phase::Draining || self.in_hundred(12) {
            instance.drain = self.drain();
        }
        if self.in_hundred(12) {
            instance.hold = Some(example::hold(self.seconds(-50, 500)));
        }
        instance
    }

    /// Some of the machine's agents have a task where one has, and some are not there.
    fn agents(&mut self, instance: &mut Instance, all: u32) {
        instance.agents = Agents::whole(all);
        if let Some(first) = instance.task.clone() {
            for agent in 0..self.up_to(all - 1) {
                instance.more_tasks.push(RunningTask { id: format!("t{agent}").as_str().into(), ..first.clone() });
            }
        }
        if all > 1 && instance.registered && self.in_hundred(20) {
            instance.agents.present = self.up_to(all - 1).max(1);
            instance.agents.missing_since = Some(ago(self.seconds(0, 4_000)));
        }
    }

    fn drain(&mut self) -> Option<Drain> {
        let cause = self.pick(&[
            DrainCause::Surplus,
            DrainCause::Surplus,
            DrainCause::Stuck,
            DrainCause::Silent,
            DrainCause::Replaced,
            DrainCause::Person,
            DrainCause::Budget,
            DrainCause::Exit,
        ]);
        let acknowledged = self.in_hundred(40).then_some(10);
        let mut drain = example::drain(cause, self.pick(&[11, 63, 70, 300]), acknowledged);
        drain.cancelled = self.in_hundred(25);
        drain.end_asked = self.in_hundred(30).then(|| ago(self.pick(&[10, 290, 310])));
        self.in_hundred(90).then_some(drain)
    }

    fn intents(&mut self, world: &mut World) {
        for place in 0..self.up_to(4).saturating_sub(1) {
            let queue = self.pick(&world.settings.queues);
            let pool = self.pick(&queue.pools);
            let mut intent = example::intent(&format!("n.{place}"), pool.as_str(), queue.name.as_str());
            intent.market = self.pick(&[Market::OnDemand, Market::Spot]);
            let off = world.snapshot.instances.iter().filter(|machine| machine.phase == Phase::Stopped);
            let off: Vec<_> = off.map(|machine| machine.id.clone()).collect();
            let begun = |id: &InstanceId| world.snapshot.intents.iter().any(|other| other.starts.as_ref() == Some(id));
            intent.starts = off.into_iter().find(|id| !begun(id)).filter(|_| self.in_hundred(60));
            world.snapshot.intents.push(intent);
        }
    }

    fn queues(&mut self, world: &mut World) {
        for queue in &world.settings.queues {
            let count = if self.in_hundred(35) { 0 } else { self.up_to(6) };
            let mut state = example::state(&queue.name, usize::try_from(count).unwrap());
            if self.in_hundred(8) {
                state.id = None;
            }
            if self.in_hundred(15) {
                let entry = QueueEntry { task: "phantom".into(), added: ago(60) };
                state.phantoms.push(Phantom { entry, status: None });
            }
            let known = self.in_hundred(80);
            for entry in state.waiting.iter().filter(|_| known) {
                let (user, project) = (self.pick(&["ann", "bob"]), self.pick(&[None, Some("vision".into())]));
                let owner = Owner { project, user: Some(user.into()) };
                Arc::make_mut(&mut world.snapshot.owners).insert(entry.task.clone(), owner);
            }
            state.retried = if self.in_hundred(30) { self.up_to(count) } else { 0 };
            if self.in_hundred(96) {
                world.snapshot.queues.push(state);
            }
        }
    }

    /// What a policy may answer, which may be anything.
    fn advised(&mut self, pools: &[PoolName]) -> Advised {
        let policy = "policies/x.rhai".to_owned();
        if self.in_hundred(15) {
            return Advised::Failed { error: format!("{policy}:1:1: no"), policy };
        }
        let capacities = [0, 1, 2, 5, 40, u32::MAX];
        Advised::Wants(Advice {
            policy,
            capacity: self.in_hundred(70).then(|| self.pick(&capacities)),
            pools: self.in_hundred(40).then(|| vec![self.pick(pools), self.pick(pools)]),
            veto: self.in_hundred(15),
            said: "so".to_owned(),
        })
    }

    fn surroundings(&mut self, world: &mut World, pools: &[PoolName], queues: &[QueueName]) {
        let snapshot = &mut world.snapshot;
        for source in &mut snapshot.sources {
            if self.in_hundred(10) {
                source.last_good = self.in_hundred(60).then(|| ago(61));
            }
        }
        if self.in_hundred(3) {
            snapshot.sources.pop();
        }
        for place in 0..self.up_to(3).saturating_sub(1) {
            snapshot.foreign.push(ForeignWorker {
                id: format!("host:{place}").as_str().into(),
                queues: queues.iter().filter(|_| self.in_hundred(60)).cloned().collect(),
                task: self.in_hundred(30).then(|| "t".into()),
                last_report: None,
                fresh: self.in_hundred(80),
            });
        }
        for place in 0..self.up_to(3).saturating_sub(1) {
            let instance: InstanceId = self.pick(&["i-0", "i-1", "i-90", "i-91"]).into();
            let (task, queue) = (format!("s{}", self.up_to(2)).as_str().into(), self.pick(queues));
            snapshot.ghosts.push(Ghost {
                worker: format!("lab:p0:g5.xlarge:{instance}").as_str().into(),
                instance: instance.clone(),
                task: None,
                last_report: None,
            });
            snapshot.strays.push(if self.in_hundred(30) {
                Stray::StoppedByMachine { task, queue, instance, requeues: self.up_to(2) }
            } else if place == 0 {
                Stray::OfGoneMachine {
                    task,
                    name: "bert".to_owned(),
                    queue,
                    worker: format!("lab:p0:g5.xlarge:{instance}").as_str().into(),
                    instance,
                    started: None,
                    requeues: self.up_to(3),
                }
            } else {
                Stray::QueuedNowhere { task, name: "bert".to_owned(), queue, since: ago(100) }
            });
        }
        for _ in 0..self.up_to(2).saturating_sub(1) {
            snapshot.breakers.push(Breaker {
                on: self.offering(pools),
                since: ago(self.seconds(20, 1_500)),
                until: ago(self.seconds(-100, 20)),
                class: ErrorClass::Capacity,
                strikes: 2,
                at_most: self.pick(&[0, 0, 1, 3]),
                quota: None,
                message: "InsufficientInstanceCapacity".to_owned(),
            });
        }
        if self.in_hundred(20) {
            let region = self.pick(&REGIONS);
            snapshot.breakers.push(Breaker {
                on: Offering { market: Some(Market::Spot), ..Offering::of_account(format!("aws {region}")) },
                since: ago(self.seconds(20, 1_500)),
                until: ago(-60),
                class: ErrorClass::Capacity,
                strikes: 4,
                at_most: 0,
                quota: None,
                message: "InsufficientInstanceCapacity".to_owned(),
            });
        }
        if self.in_hundred(25) {
            snapshot.boots_failed.insert(self.pick(pools), self.up_to(4));
        }
        for pool in pools {
            let levels = (0..self.up_to(5)).map(|_| ago(self.seconds(-30, 1_500))).collect();
            snapshot.surplus.insert(pool.clone(), levels);
        }
        if self.in_hundred(20) {
            let mut samples = Samples::default();
            (0..30).for_each(|sample| samples.push(SignedDuration::from_secs(sample * 100)));
            let tasks = queues.iter().map(|queue| (queue.clone(), samples.clone())).collect();
            let boots = pools.iter().map(|pool| (pool.clone(), samples.clone())).collect();
            let gaps = pools.iter().map(|pool| (pool.clone(), samples.clone())).collect();
            let minutes = (0..40).map(|place| SignedDuration::from_secs(600 + place)).collect::<Vec<_>>();
            let intervals = pools.iter().map(|pool| (pool.clone(), minutes.clone().into())).collect();
            let rise = |place: u32| Rise { over: place % 5, lately: place % 3, more: place % 7 };
            let rises = pools.iter().map(|pool| (pool.clone(), (0..40).map(rise).collect())).collect();
            snapshot.learned = Arc::new(Learned { tasks, boots, gaps, intervals, rises, ..Learned::default() });
            for pool in pools {
                let asked = (0..self.up_to(3)).map(|_| (ago(self.seconds(0, 300)), self.up_to(4))).collect();
                let fell = (0..self.up_to(3)).map(|_| ago(self.seconds(0, 3_000)));
                let fell: Vec<_> = fell.map(|at| Fall { at, rose: at }).collect();
                let course = Course { needed: self.up_to(4), fell, asked, ..Course::default() };
                snapshot.courses.insert(pool.clone(), course);
            }
        }
        assert_eq!(world.now, now());
        assert!(snapshot.instances.iter().all(|instance| instance.provider == Provider::Aws));
    }

    fn offering(&mut self, pools: &[PoolName]) -> Offering {
        let zone = self.in_hundred(30).then(|| self.pick(&["a", "b"]).into());
        Offering {
            pool: self.in_hundred(30).then(|| self.pick(pools)),
            machine_type: self.in_hundred(80).then(|| self.pick(&TYPES).into()),
            zone,
            market: self.in_hundred(50).then(|| self.pick(&[Market::OnDemand, Market::Spot])),
            ..Offering::of_account(format!("aws {}", self.pick(&REGIONS)))
        }
    }

    fn orders(&mut self, world: &mut World, pools: &[PoolName], queues: &[QueueName]) {
        let ids: Vec<InstanceId> =
            world.snapshot.instances.iter().map(|instance| instance.id.clone()).chain(["i-nobody".into()]).collect();
        for _ in 0..self.up_to(5).saturating_sub(2) {
            let instance = self.pick(&ids);
            let what = match self.up_to(10) {
                0 => Ask::Drain(instance),
                1 => Ask::CancelDrain(instance),
                2 => Ask::Stop { instance, kill: false },
                3 => Ask::Stop { instance, kill: true },
                4 => Ask::Hold { instance, hold: example::hold(self.seconds(-10, 100)) },
                5 => Ask::Release(instance),
                6 if self.in_hundred(20) => Ask::StopAll,
                7 => Ask::Replace(instance),
                8 => Ask::LetBe(instance),
                _ => Ask::Launch { pool: self.pick(pools), queue: self.pick(queues) },
            };
            world.snapshot.orders.push(Order { by: "ann".into(), what });
        }
    }
}

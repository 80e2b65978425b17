//! A judge of plans: invariants 1, 2, 3 and 6, written a second time and shorter. It shares nothing with the rules,
//! so that a mistake there is found here; the engine asks it before it acts, in release builds too, and drops what
//! is broken with an alarm.

use std::collections::{HashMap, HashSet};
use std::fmt;

use foldhash::fast::FixedState;
use jiff::{SignedDuration, Timestamp};

use crate::model::account::Coverage;
use crate::model::calendar;
use crate::model::calendar::{Bounds, Windows};
use crate::model::catalogue::Offer;
use crate::model::ids::{Actor, BudgetName, InstanceId, PoolName, QueueName};
use crate::model::instance::{Drain, DrainCause, Fault, Instance, Origin, Phase, Power};
use crate::model::ledger::{AccountMoney, Ledger, MINIMUM_BILLED};
use crate::model::money::{Money, Rate};
use crate::model::plan::{Action, Choice, Launch, Plan, Planned};
use crate::model::settings::ladder::{CHECKPOINT_TAKES, Step};
use crate::model::settings::{Budget, GuardKind, Limits, Market, PoolSettings, Provider, Settings};
use crate::model::snapshot::{Ask, Snapshot, Source};

/// An order to drain is surely read by then, or there is nobody to read it.
const SURELY_READ: SignedDuration = SignedDuration::from_secs(60);

/// A worker that lives reports every half minute.
const SURELY_SILENT: SignedDuration = SignedDuration::from_mins(10);

/// A task that was pulled is in progress by its status by then, or lies in no queue and was seen there.
const SURELY_IN_PROGRESS: SignedDuration = SignedDuration::from_secs(180);

/// The invariants that a plan is judged by; the numbers are those of `lib.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// 1: no limit is passed.
    Limits,
    /// 2: a hard budget is never crossed by a launch.
    Budgets,
    /// 3: a machine that has, or may have, a task is never stopped, unless a person chose "kill".
    Tasks,
    /// 6: unknown or stale is never a reason to act.
    Unknown,
}

impl Invariant {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Limits => 1,
            Self::Budgets => 2,
            Self::Tasks => 3,
            Self::Unknown => 6,
        }
    }
}

/// An action that may not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its position in [`Plan::actions`].
    pub action: usize,
    pub invariant: Invariant,
    /// What is wrong, in one sentence.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "action {} breaks invariant {}: {}", self.action, self.invariant.number(), self.what)
    }
}

/// Judges every action of a plan, in order; empty: all may be carried out.
#[must_use]
pub fn check(plan: &Plan, snapshot: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Vec<Broken> {
    let mut judge = Judge::new(snapshot, settings, ledger, now);
    let mut broken = Vec::new();
    for (action, planned) in plan.actions.iter().enumerate() {
        let mut found: Vec<(Invariant, String)> = Vec::new();
        judge.freshness(planned, &mut found);
        match &planned.action {
            Action::Launch(launch) => judge.launch(launch, &mut found),
            Action::Start { instance, launch } => {
                judge.start(instance, &mut found);
                judge.launch(launch, &mut found);
            }
            Action::Stop { instance, kill } => judge.stop(planned, instance, *kill, &mut found),
            Action::SwitchOff { instance } => judge.stop(planned, instance, false, &mut found),
            Action::Drain { instance, .. } | Action::CancelDrain { instance } | Action::Checkpoint { instance } => {
                judge.ordered_now.insert(instance.clone());
            }
            _ => {}
        }
        broken.extend(found.into_iter().map(|(invariant, what)| Broken { action, invariant, what }));
    }
    broken
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope<'a> {
    All,
    Queue(&'a QueueName),
    Pool(&'a PoolName),
}

type Map<K, V> = HashMap<K, V, FixedState>;

/// Instances, GPU, vCPU, micro-dollars per hour.
type Amounts = [u64; 4];

struct Judge<'a> {
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    ledger: &'a Ledger,
    now: Timestamp,
    instances: Map<&'a InstanceId, &'a Instance>,
    pools: Map<&'a PoolName, &'a PoolSettings>,
    limits: Map<Scope<'a>, Limits>,
    used: Map<Scope<'a>, Amounts>,
    /// For each hard budget by its scope, what is left of it; read at the first launch.
    left: Option<Vec<(Coverage<'a>, BudgetName, Money)>>,
    /// Machines whose drain is ordered or taken back by this very plan: their old answers count for nothing.
    ordered_now: HashSet<InstanceId>,
    /// Machines that this very plan starts.
    started: HashSet<InstanceId>,
}

impl<'a> Judge<'a> {
    fn new(snapshot: &'a Snapshot, settings: &'a Settings, ledger: &'a Ledger, now: Timestamp) -> Self {
        let queues = settings.queues.iter().map(|queue| (Scope::Queue(&queue.name), queue.limits));
        let pools = settings.pools.iter().map(|pool| (Scope::Pool(&pool.name), pool.limits));
        let mut judge = Self {
            snapshot,
            settings,
            ledger,
            now,
            instances: snapshot.instances.iter().map(|instance| (&instance.id, instance)).collect(),
            pools: settings.pools.iter().map(|pool| (&pool.name, pool)).collect(),
            limits: queues.chain(pools).chain([(Scope::All, settings.limits)]).collect(),
            used: Map::default(),
            left: None,
            ordered_now: HashSet::new(),
            started: HashSet::new(),
        };
        for instance in snapshot.instances.iter().filter(|instance| instance.phase != Phase::Gone) {
            if matches!(instance.power, Power::Off { .. }) {
                continue;
            }
            let amounts = amounts(instance.gpu, instance.vcpu, instance.rate, 1);
            judge.count(&instance.home, &instance.pool, amounts);
        }
        for intent in &snapshot.intents {
            judge.count(&intent.queue, &intent.pool, amounts(intent.gpu, intent.vcpu, intent.rate, 1));
        }
        judge
    }

    fn count(&mut self, queue: &'a QueueName, pool: &'a PoolName, amounts: Amounts) {
        for scope in [Scope::All, Scope::Queue(queue), Scope::Pool(pool)] {
            let used = self.used.entry(scope).or_default();
            for (used, more) in used.iter_mut().zip(amounts) {
                *used = used.saturating_add(more);
            }
        }
    }

    fn is_fresh(&self, source: &str) -> bool {
        self.snapshot.sources.iter().any(|found| {
            let age = found.last_good.map(|at| self.now.duration_since(at));
            found.name == source && age.is_some_and(|age| age <= found.stale_after)
        })
    }

    fn is_region_fresh(&self, provider: Provider, region: &str) -> bool {
        self.is_fresh(&Source::region(provider, region))
    }

    /// Invariant 6: what is done to what, on whose word.
    fn freshness(&self, planned: &Planned, found: &mut Vec<(Invariant, String)>) {
        let by_loop = planned.by == Actor::the_loop();
        let (instance, on_clearml, on_cloud) = match &planned.action {
            Action::Stop { instance, kill } => (Some(instance), !kill, !kill),
            Action::SwitchOff { instance } | Action::Start { instance, .. } | Action::Checkpoint { instance } => {
                (Some(instance), true, true)
            }
            Action::Drain { instance, .. } => (Some(instance), by_loop, by_loop),
            Action::CancelDrain { instance } => (Some(instance), by_loop, false),
            Action::Launch(_) | Action::Requeue { .. } | Action::Enqueue { .. } | Action::Unregister { .. } => {
                (None, true, false)
            }
            Action::Adopt { instance }
            | Action::Hold { instance, .. }
            | Action::Release { instance }
            | Action::Replace { instance }
            | Action::LetBe { instance } => (Some(instance), false, false),
        };
        let mut say = |what: String| found.push((Invariant::Unknown, what));
        if on_clearml && !self.is_fresh(Source::CLEARML) {
            say("what ClearML said is stale".to_owned());
        }
        if let Some(id) = instance {
            match self.instances.get(id) {
                None => say(format!("nobody knows a machine {id}")),
                Some(seen) if on_cloud && !self.is_region_fresh(seen.provider, &seen.region) => {
                    say(format!("what the cloud said of {id} is stale"));
                }
                Some(_) => {}
            }
        }
        if let Action::Requeue { instance, .. } = &planned.action
            && self.instances.get(instance).is_some_and(|seen| seen.phase != Phase::Gone)
        {
            say(format!("{instance} is not gone, its task may run"));
        }
    }

    /// Only what is off takes no place yet, and one intent starts it.
    fn start(&mut self, id: &InstanceId, found: &mut Vec<(Invariant, String)>) {
        let off = self
            .instances
            .get(id)
            .is_some_and(|seen| matches!(seen.power, Power::Off { .. }) && seen.phase == Phase::Stopped);
        let intended = self.snapshot.intents.iter().any(|intent| intent.starts.as_ref() == Some(id));
        if !off || intended || !self.started.insert(id.clone()) {
            found.push((Invariant::Limits, format!("{id} is not off, or is being started already")));
        }
    }

    /// Invariant 3.
    fn stop(&self, planned: &Planned, id: &InstanceId, kill: bool, found: &mut Vec<(Invariant, String)>) {
        let Some(seen) = self.instances.get(id) else { return };
        let by_loop = planned.by == Actor::the_loop();
        if kill {
            let asked = self.snapshot.orders.iter().any(|order| {
                order.by == planned.by
                    && (order.what == Ask::StopAll
                        || matches!(&order.what, Ask::Stop { instance, kill: true } if instance == id))
            });
            let by_budget = by_loop && self.budget_kills(seen);
            if !by_budget && (by_loop || !asked) {
                found.push((Invariant::Tasks, format!("nobody chose to kill {id}")));
            }
            return;
        }
        // Nothing runs on what is off.
        let off = seen.phase == Phase::Stopped || seen.off_outside.is_some();
        if off && !self.started.contains(id) {
            return;
        }
        let standing = seen.drain.as_ref().filter(|drain| !drain.cancelled && !self.ordered_now.contains(id));
        let answered = standing.is_some_and(|drain| drain.acknowledged.is_some());
        if let Some(task) = &seen.task {
            found.push((Invariant::Tasks, format!("{id} runs task {}", task.id)));
        } else if seen.registered && !answered && !self.is_surely_without_task(seen, standing) {
            found.push((Invariant::Tasks, format!("{id} may have a task: it has not answered a drain")));
        } else if by_loop && !answered && !standing.is_some_and(|drain| self.surely_read(drain.ordered)) {
            found.push((Invariant::Tasks, format!("{id} may register and take a task at any moment")));
        }
    }

    /// Whether a budget's own step ends it: its grace after the budget's drain is over, and as much is spent still.
    fn budget_kills(&self, seen: &Instance) -> bool {
        let standing = seen.drain.as_ref().filter(|drain| drain.cause == DrainCause::Budget && !drain.cancelled);
        let Some(drain) = standing else { return false };
        // What may have a task was asked to write what it has, and had the time for it.
        let asked = drain.end_asked.map(|asked| self.now.duration_since(asked));
        if seen.registered && asked < Some(CHECKPOINT_TAKES) {
            return false;
        }
        let zone = &self.settings.the_loop.time_zone;
        self.settings.budgets.iter().any(|budget| {
            let scope = budget.scope.among(&self.settings.pools);
            let start = calendar::bounds_of(budget.per, zone, self.now).start;
            let spent =
                self.ledger.spent(&scope, start, self.now) + budget.spent_before_ledger(start, self.ledger.whole_since);
            let unbilled = self.snapshot.instances.iter().filter(|other| self.is_unbilled(other));
            let unbilled = unbilled.filter(|other| scope.of_launch(&other.pool, &other.home));
            let unbilled = unbilled.map(|other| self.run_up(other, start));
            let spent = spent + unbilled.sum();
            let grace = budget.at.rungs().iter().find_map(|rung| match rung.step {
                Step::Kill { after } if spent >= rung.amount(budget.limit) => Some(after),
                _ => None,
            });
            scope.of_launch(&seen.pool, &seen.home)
                && grace.is_some_and(|grace| self.now.duration_since(drain.ordered) >= grace)
        })
    }

    fn surely_read(&self, ordered: Timestamp) -> bool {
        self.looked_since(ordered) >= SURELY_READ
    }

    /// Silent for long before an order that it would have read, or a task that it would have taken first, and for long after;
    /// or some of its agents are, and the others show no task.
    fn is_surely_without_task(&self, seen: &Instance, standing: Option<&Drain>) -> bool {
        let since = match seen.fault {
            Some(Fault::Lost) => seen.silent_since,
            None | Some(Fault::AgentsMissing) => seen.agents.missing_since,
            Some(_) => None,
        };
        let silent = since.map(|since| self.now.duration_since(since));
        let has_guard = self.pools.get(&seen.pool).is_some_and(|pool| pool.guard != GuardKind::Off);
        has_guard
            && seen.origin != Origin::BroughtOver
            && silent.is_some_and(|silent| silent >= SURELY_SILENT)
            && standing.is_some_and(|drain| self.looked_since(drain.ordered) >= SURELY_IN_PROGRESS)
    }

    /// How long after an instant ClearML was last heard.
    fn looked_since(&self, instant: Timestamp) -> SignedDuration {
        let clearml = self.snapshot.sources.iter().find(|source| source.name == Source::CLEARML);
        let looked = clearml.and_then(|source| source.last_good);
        looked.map_or(SignedDuration::MIN, |looked| looked.duration_since(instant))
    }

    /// Invariants 1, 2 and 6, by the catalogue's figures and not the plan's.
    fn launch(&mut self, launch: &'a Launch, found: &mut Vec<(Invariant, String)>) {
        let Some(pool) = self.pools.get(&launch.pool).copied() else {
            found.push((Invariant::Limits, format!("there is no pool {}", launch.pool)));
            return;
        };
        if !self.is_region_fresh(pool.provider, &pool.site()) {
            found.push((Invariant::Unknown, format!("what {} {} said is stale", pool.provider.word(), pool.site())));
        }
        let offer = self.most(launch, pool, found);
        if (launch.vcpu, launch.gpu, launch.rate) != (offer.vcpu, offer.gpu, offer.rate) {
            let what = format!("{} holds or costs other than the plan says", launch.machine_type);
            found.push((Invariant::Limits, what));
        }
        let may_be_on_demand = pool.spot.rollback.is_some() || pool.spot.retry == Market::OnDemand;
        if launch.market != pool.market && (pool.market == Market::OnDemand || !may_be_on_demand) {
            found.push((Invariant::Limits, format!("pool {} buys no {} machines", pool.name, launch.market.word())));
        }
        let one = amounts(offer.gpu, offer.vcpu, offer.rate, 1);
        self.count(&launch.queue, &launch.pool, amounts(offer.gpu, offer.vcpu, offer.rate, launch.count));
        for scope in [Scope::All, Scope::Queue(&launch.queue), Scope::Pool(&launch.pool)] {
            let Some(limits) = self.limits.get(&scope) else {
                found.push((Invariant::Limits, format!("{scope:?} is not in the settings")));
                continue;
            };
            let unknown = (offer.known_gpus().is_none() && limits.max_gpu.is_some())
                || (offer.known_vcpus().is_none() && limits.max_vcpu.is_some())
                || (offer.rate.is_none() && limits.max_hourly.is_some());
            if unknown {
                let what = format!("nobody knows how much of the limits of {scope:?} {} takes", launch.machine_type);
                found.push((Invariant::Limits, what));
            }
            let used = self.used.get(&scope).copied().unwrap_or_default();
            for ((used, max), each) in used.into_iter().zip(maxima(limits)).zip(one) {
                if let Some(max) = max.filter(|max| each > 0 && used > *max) {
                    found.push((Invariant::Limits, format!("{used} of {max} of {scope:?}")));
                }
            }
        }
        let least = offer.rate.unwrap_or_default().cost(pool.keep_alive.set().unwrap_or_default().max(MINIMUM_BILLED));
        if launch.reservation < least {
            found.push((Invariant::Budgets, format!("{} cannot be enough for a machine", launch.reservation)));
        }
        self.money(launch, found);
    }

    /// The most that one machine of the launch may hold and cost; where the cloud chooses its type, whichever it chooses.
    fn most(&self, launch: &Launch, pool: &PoolSettings, found: &mut Vec<(Invariant, String)>) -> Offer {
        let offer = |machine_type| self.snapshot.catalogue.offer(pool, machine_type, launch.market, self.now);
        let Some((first, others)) = launch.choices.split_first() else { return offer(&launch.machine_type) };
        let mut say = |invariant, what: String| found.push((invariant, what));
        if launch.count != 1 || first.machine_type != launch.machine_type || !pool.cloud_chooses(launch.market) {
            say(Invariant::Limits, format!("the cloud has no type to choose for {} machines", launch.count));
        }
        let mut most = offer(&first.machine_type);
        for choice in &launch.choices {
            let Choice { machine_type, reservation, .. } = choice;
            let of_it = offer(machine_type);
            if (choice.vcpu, choice.gpu, choice.rate) != (of_it.vcpu, of_it.gpu, of_it.rate) {
                say(Invariant::Limits, format!("{machine_type} holds or costs other than the plan says"));
            }
            if !pool.types.contains(machine_type) || (!others.is_empty() && (of_it.vcpu == 0 || of_it.rate.is_none())) {
                say(
                    Invariant::Limits,
                    format!("{machine_type} is not the pool's, or nobody knows what it holds or costs"),
                );
            }
            let least =
                of_it.rate.unwrap_or_default().cost(pool.keep_alive.set().unwrap_or_default().max(MINIMUM_BILLED));
            if *reservation < least || launch.reservation < *reservation {
                say(Invariant::Budgets, format!("{} cannot be enough for a {machine_type}", launch.reservation));
            }
            most = Offer {
                vcpu: most.vcpu.max(of_it.vcpu),
                gpu: most.gpu.max(of_it.gpu),
                rate: most.rate.max(of_it.rate),
            };
        }
        most
    }

    /// Invariant 2.
    fn money(&mut self, launch: &'a Launch, found: &mut Vec<(Invariant, String)>) {
        let mut left = self.left.take().unwrap_or_else(|| self.left());
        let reserved = Money::from_micros(launch.reservation.micros().saturating_mul(i64::from(launch.count)));
        for (coverage, budget, left) in &mut left {
            if !coverage.of_launch(&launch.pool, &launch.queue) {
                continue;
            }
            *left -= reserved;
            if *left < Money::ZERO {
                found.push((Invariant::Budgets, format!("budget \"{budget}\" falls short by {left}")));
            }
        }
        self.left = Some(left);
        if launch.rate.is_none() {
            found.extend(self.without_price(launch));
        }
    }

    /// A budget that stops launches, or acts by steps, must see what they cost.
    fn without_price(&self, launch: &Launch) -> Option<(Invariant, String)> {
        let acts = |budget: &Budget| budget.hard || budget.at.rungs().iter().any(|rung| rung.step != Step::Warn);
        let over = self.settings.budgets.iter().find(|budget| {
            let covers = || budget.scope.among(&self.settings.pools).of_launch(&launch.pool, &launch.queue);
            acts(budget) && budget.scope.holds_launches() && covers()
        });
        over.map(|budget| (Invariant::Budgets, format!("no price, under budget \"{}\"", budget.name)))
    }

    /// What is left of each hard budget before this plan, of those that launches are held to.
    fn left(&self) -> Vec<(Coverage<'a>, BudgetName, Money)> {
        let budgets = || self.settings.budgets.iter().filter(|budget| budget.hard && budget.scope.holds_launches());
        let windows = Windows::new(budgets(), &self.settings.the_loop.time_zone, self.now);
        let since = windows.starts();
        let ledger = self.ledger.by_account(since, self.now);
        let mut gone: Vec<(&PoolName, &QueueName, AccountMoney)> =
            ledger.into_iter().map(|(account, money)| (account.pool, account.queue, money)).collect();
        for intent in &self.snapshot.intents {
            let money = AccountMoney { spent: Vec::new(), committed: intent.reservation };
            gone.push((&intent.pool, &intent.queue, money));
        }
        for orphan in self.snapshot.instances.iter().filter(|instance| self.is_unbilled(instance)) {
            let spent = since.iter().map(|since| self.run_up(orphan, *since)).collect();
            let committed = (orphan.reservation - self.run_up(orphan, orphan.launched)).max(Money::ZERO);
            gone.push((&orphan.pool, &orphan.home, AccountMoney { spent, committed }));
        }
        let left = |(budget, bounds): (&'a Budget, &Bounds)| {
            let coverage = budget.scope.among(&self.settings.pools);
            let covered = gone.iter().filter(|(pool, queue, _)| coverage.of_launch(pool, queue));
            let gone: Money = covered.map(|(.., money)| windows.spent(*bounds, money) + money.committed).sum();
            let before = budget.spent_before_ledger(bounds.start, self.ledger.whole_since);
            (coverage, budget.name.clone(), budget.limit - gone - before)
        };
        budgets().zip(windows.bounds()).map(left).collect()
    }

    /// What a machine has cost since an instant; its first minute is billed whole.
    fn run_up(&self, machine: &Instance, since: Timestamp) -> Money {
        let until = |instant| machine.rate.unwrap_or_default().cost_between(machine.launched, instant);
        let minute = machine.launched.saturating_add(MINIMUM_BILLED).unwrap_or(machine.launched);
        until(self.now.max(minute)) - until(since)
    }

    /// It costs money that no ledger knows of yet.
    fn is_unbilled(&self, instance: &Instance) -> bool {
        let ending = matches!(instance.phase, Phase::Gone | Phase::Stopping);
        instance.origin != Origin::Launched && !ending && self.ledger.of(&instance.id).is_none()
    }
}

fn amounts(gpu: u32, vcpu: u32, rate: Option<Rate>, count: u32) -> Amounts {
    let hourly = rate.unwrap_or_default().micros_per_hour().max(0).unsigned_abs();
    let each = [1, u64::from(gpu), u64::from(vcpu), hourly];
    each.map(|each| each.saturating_mul(u64::from(count)))
}

fn maxima(limits: &Limits) -> [Option<u64>; 4] {
    let hourly = limits.max_hourly.map(|rate| rate.micros_per_hour().max(0).unsigned_abs());
    [limits.max.map(u64::from), limits.max_gpu.map(u64::from), limits.max_vcpu.map(u64::from), hourly]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::DrainCause;
    use crate::model::plan::Rule;
    use crate::model::reason::Reason;
    use crate::model::settings::{BudgetScope, Ladder, SpotStrategy};
    use crate::model::snapshot::Order;
    use crate::plan::example::{World, ago, budget, drain, instance, interval, off};

    fn launch(count: u32) -> Action {
        Action::Launch(Launch {
            pool: "gpu".into(),
            queue: "train".into(),
            machine_type: "g5.xlarge".into(),
            market: Market::OnDemand,
            count,
            vcpu: 4,
            gpu: 1,
            rate: Some(Rate::from_micros_per_hour(1_006_000)),
            reservation: Money::from_micros(1_000_000),
            choices: Vec::new(),
        })
    }

    fn changed(change: impl FnOnce(&mut Launch)) -> Action {
        let mut action = launch(1);
        if let Action::Launch(launch) = &mut action {
            change(launch);
        }
        action
    }

    /// The invariants that the actions break, each with the position of the action.
    fn judged(world: &World, by: &str, actions: &[Action]) -> Vec<(usize, u8)> {
        let mut plan = World::new().plan();
        plan.actions = actions
            .iter()
            .map(|action| Planned {
                rule: Rule::Grow,
                by: by.into(),
                action: action.clone(),
                reason: Reason::Asked { by: by.into() },
            })
            .collect();
        let broken = check(&plan, &world.snapshot, &world.settings, &world.ledger, world.now);
        let mut found: Vec<_> = broken.iter().map(|broken| (broken.action, broken.invariant.number())).collect();
        found.dedup();
        found
    }

    #[test]
    fn a_limit_passed_is_found_at_the_launch_that_passes_it() {
        let limited = |limits: Limits| {
            let world = World::new().with(instance("i-1", Phase::Busy)).intent("gpu", "train");
            world.set(|settings| settings.limits = limits)
        };
        let most = Limits { max: Some(4), ..Limits::default() };
        assert_eq!(judged(&limited(most), "loop", &[launch(2)]), []);
        assert_eq!(judged(&limited(most), "loop", &[launch(3)]), [(0, 1)]);
        assert_eq!(judged(&limited(most), "ann", &[launch(1), launch(1), launch(1)]), [(2, 1)]);
        for limits in [
            Limits { max_gpu: Some(2), ..Limits::default() },
            Limits { max_vcpu: Some(11), ..Limits::default() },
            Limits { max_hourly: Some(Rate::from_micros_per_hour(3_017_999)), ..Limits::default() },
        ] {
            assert_eq!(judged(&limited(limits), "loop", &[launch(1)]), [(0, 1)]);
        }
        let queue = World::new().set(|settings| settings.queues[0].limits.max = Some(1));
        assert_eq!(judged(&queue, "loop", &[launch(2)]), [(0, 1)]);
        let pool = World::new().set(|settings| settings.pools[0].limits.max = Some(1));
        assert_eq!(judged(&pool, "loop", &[launch(2)]), [(0, 1)]);
    }

    #[test]
    fn what_is_broken_is_told_in_a_line() {
        let broken = Broken { action: 2, invariant: Invariant::Unknown, what: "i-1 is not gone".to_owned() };
        assert_eq!(broken.to_string(), "action 2 breaks invariant 6: i-1 is not gone");
    }

    #[test]
    fn a_start_is_of_what_is_off_once_and_held_to_the_limits() {
        let Action::Launch(launch) = launch(1) else { panic!() };
        let start = |id: &str| Action::Start { instance: id.into(), launch: launch.clone() };
        let world = World::new().with(off("i-1", 60));
        let started = |id: &str| {
            let mut world = world.clone().intent("gpu", "train");
            world.snapshot.intents[0].starts = Some(id.into());
            world
        };
        let full = |max| world.clone().set(|settings| settings.limits.max = Some(max));
        let with = |phase, power| World::new().with(Instance { phase, power, ..off("i-1", 60) });
        for (what, world, broken) in [
            ("off", world.clone(), false),
            ("on", World::new().with(instance("i-1", Phase::Idle)), true),
            ("stopped, and not off", with(Phase::Stopped, Power::On), true),
            ("off, and on its way", with(Phase::Pending, off("i-1", 60).power), true),
            ("intended already", started("i-1"), true),
            ("another is intended", started("i-2"), false),
            ("what is off takes no place", full(1), false),
            ("no place for it", full(0), true),
        ] {
            let expected: &[_] = if broken { &[(0, 1)] } else { &[] };
            assert_eq!(judged(&world, "loop", &[start("i-1")]), expected, "{what}");
        }
        assert_eq!(judged(&world, "loop", &[start("i-1"), start("i-1")]), [(1, 1)], "twice");
        let two = world.with(off("i-2", 60));
        assert_eq!(judged(&two, "loop", &[start("i-1"), start("i-2")]), []);
    }

    /// A launch whose type the cloud chooses must be counted as the largest and dearest of them.
    #[test]
    fn what_the_cloud_may_choose_is_judged_by_the_most_of_it() {
        type Change<'a> = &'a dyn Fn(&mut Launch);
        let world = World::new().waiting("train", 1).set(|settings| {
            settings.pools[0].types = ["g5.xlarge", "g5.12xlarge", "u1.huge"].map(Into::into).into();
            settings.pools[0].market = Market::Spot;
            settings.pools[0].launch.spot_strategy = SpotStrategy::PriceCapacityOptimized;
        });
        let action = world.plan().actions.remove(0).action;
        let changed = |change: &dyn Fn(&mut Launch)| {
            let mut action = action.clone();
            let Action::Launch(launch) = &mut action else { panic!() };
            change(launch);
            judged(&world, "loop", &[action])
        };
        assert_eq!(changed(&|_| ()), []);
        let wrong: [(Change<'_>, u8); 8] = [
            (&|launch| launch.vcpu = 4, 1),
            (&|launch| launch.rate = launch.choices[0].rate, 1),
            (&|launch| launch.count = 2, 1),
            (&|launch| launch.choices[1].gpu = 1, 1),
            (&|launch| launch.choices[1].machine_type = "m5.large".into(), 1),
            (&|launch| launch.machine_type = "g5.12xlarge".into(), 1),
            (&|launch| launch.reservation = launch.choices[0].reservation, 2),
            (&|launch| launch.choices[1].reservation = Money::ZERO, 2),
        ];
        for (place, (change, invariant)) in wrong.into_iter().enumerate() {
            assert_eq!(changed(change), [(0, invariant)], "{place}");
        }
        let come_to = |machine_type: &str, vcpu, gpu, rate: Option<i64>| {
            changed(&|launch| {
                let rate = rate.map(Rate::from_micros_per_hour);
                launch.choices[1] =
                    Choice { machine_type: machine_type.into(), vcpu, gpu, rate, reservation: launch.reservation };
                (launch.vcpu, launch.gpu, launch.rate) = (vcpu.max(4), gpu.max(1), launch.choices[0].rate);
            })
        };
        assert_eq!(come_to("m5.large", 2, 0, Some(96_000)), [(0, 1)], "not of the pool");
        assert_eq!(come_to("u1.huge", 64, 8, None), [(0, 1)], "nobody knows its price");
        let in_order = world.clone().set(|settings| settings.pools[0].launch.spot_strategy = SpotStrategy::InOrder);
        assert_eq!(judged(&in_order, "loop", std::slice::from_ref(&action)), [(0, 1)]);
        let tight = world.clone().set(|settings| settings.limits.max_gpu = Some(3));
        assert_eq!(judged(&tight, "loop", std::slice::from_ref(&action)), [(0, 1)]);
    }

    #[test]
    fn figures_other_than_the_catalogue_s_are_found() {
        let world = World::new();
        for action in [
            changed(|launch| launch.vcpu = 2),
            changed(|launch| launch.gpu = 0),
            changed(|launch| launch.rate = None),
            changed(|launch| launch.pool = "gone".into()),
            changed(|launch| launch.queue = "gone".into()),
            changed(|launch| launch.market = Market::Spot),
        ] {
            assert_eq!(judged(&world, "loop", &[launch(1), action]), [(1, 1)]);
        }
        let unlisted = changed(|launch| {
            (launch.vcpu, launch.gpu, launch.rate) = (0, 0, None);
            launch.machine_type = "x9.unlisted".into();
        });
        assert_eq!(judged(&world, "loop", std::slice::from_ref(&unlisted)), []);
        for limits in [
            Limits { max_gpu: Some(9), ..Limits::default() },
            Limits { max_hourly: Some(Rate::from_micros_per_hour(9_000_000)), ..Limits::default() },
        ] {
            let world = World::new().set(|settings| settings.limits = limits);
            assert_eq!(judged(&world, "loop", std::slice::from_ref(&unlisted)), [(0, 1)]);
        }
    }

    #[test]
    fn a_budget_crossed_is_found() {
        let of = |scope| World::new().set(|settings| settings.budgets = vec![budget("day", scope, "$3")]);
        let all = of(BudgetScope::All);
        assert_eq!(judged(&all, "loop", &[launch(3)]), []);
        assert_eq!(judged(&all, "ann", &[launch(2), launch(1), launch(1)]), [(2, 2)]);
        assert_eq!(judged(&of(BudgetScope::Queue("train".into())), "loop", &[launch(4)]), [(0, 2)]);
        assert_eq!(judged(&of(BudgetScope::Queue("eval".into())), "loop", &[launch(4)]), []);
        // $1.30 for the machine, $1.30 for the intent.
        let busy = all.clone().with(instance("i-1", Phase::Busy)).intent("gpu", "train");
        assert_eq!(judged(&busy, "loop", &[launch(1)]), [(0, 2)]);
        let mut orphan = instance("i-1", Phase::Busy);
        orphan.origin = Origin::Orphan;
        let mut unknown = all.clone().intent("gpu", "train");
        unknown.snapshot.instances.push(orphan);
        assert_eq!(judged(&unknown, "loop", &[launch(1)]), [(0, 2)]);
        assert_eq!(judged(&all, "loop", &[changed(|launch| launch.reservation = Money::from_micros(9))]), [(0, 2)]);
        // $0.17 of the $1.30 that are set aside for it are spent.
        let mut exact = all.clone().set(|settings| settings.budgets[0].limit = "$2.30".parse().unwrap());
        exact.snapshot.instances.clone_from(&unknown.snapshot.instances);
        assert_eq!(judged(&exact, "loop", &[launch(1)]), []);
        let mut before = all.clone().set(|settings| settings.budgets[0].already_spent = "$1".parse().unwrap());
        before.ledger.whole_since = Some(ago(3_600));
        assert_eq!(judged(&before, "loop", &[launch(2), launch(1)]), [(1, 2)]);
        let unpriced = changed(|launch| {
            (launch.vcpu, launch.gpu, launch.rate) = (64, 8, None);
            launch.machine_type = "u1.huge".into();
        });
        assert_eq!(judged(&all, "loop", std::slice::from_ref(&unpriced)), [(0, 2)]);
        for (step, broken) in [("warn", vec![]), ("cheapest-only", vec![(0, 2)]), ("drain", vec![(0, 2)])] {
            let soft = all.clone().set(|settings| {
                let rungs = [("90%".to_owned(), step.to_owned())].into();
                (settings.budgets[0].hard, settings.budgets[0].at) = (false, Ladder::read(&rungs).unwrap());
            });
            assert_eq!(judged(&soft, "loop", std::slice::from_ref(&unpriced)), broken, "{step}");
        }
    }

    fn silence(machine: &mut Instance, seconds: i64, ordered: i64) {
        (machine.fault, machine.silent_since) = (Some(Fault::Lost), Some(ago(seconds)));
        machine.drain = Some(drain(DrainCause::Silent, ordered, None));
    }

    fn stop(kill: bool) -> Action {
        Action::Stop { instance: "i-1".into(), kill }
    }

    #[test]
    fn a_stop_that_could_end_a_task_is_found() {
        let with = |phase, change: fn(&mut Instance)| {
            let mut machine = instance("i-1", phase);
            change(&mut machine);
            World::new().with(machine)
        };
        let answered: fn(&mut Instance) = |i| i.drain = Some(drain(DrainCause::Surplus, 70, Some(60)));
        let read: fn(&mut Instance) = |i| i.drain = Some(drain(DrainCause::Stuck, 65, None));
        let not_read: fn(&mut Instance) = |i| i.drain = Some(drain(DrainCause::Stuck, 64, None));
        let taken_back: fn(&mut Instance) =
            |i| i.drain = Some(Drain { cancelled: true, ..drain(DrainCause::Surplus, 70, Some(60)) });
        let switched_off = |world: World| judged(&world, "loop", &[Action::SwitchOff { instance: "i-1".into() }]);
        assert_eq!(switched_off(with(Phase::Draining, answered)), []);
        assert_eq!(switched_off(with(Phase::Idle, |_| {})), [(0, 3)], "to switch it off is to stop it");
        for (what, world, by, broken) in vec![
            ("answered", with(Phase::Draining, answered), "loop", false),
            ("answered, asked for", with(Phase::Draining, answered), "ann", false),
            ("idle", with(Phase::Idle, |_| {}), "loop", true),
            ("idle, asked for", with(Phase::Idle, |_| {}), "ann", true),
            ("busy", with(Phase::Busy, |_| {}), "ann", true),
            ("busy though it answered", with(Phase::Busy, answered), "loop", true),
            ("lost", with(Phase::Busy, |i| i.fault = Some(Fault::Lost)), "loop", true),
            ("silent, proved", with(Phase::Draining, |i| silence(i, 600, 185)), "loop", false),
            ("silent for too short", with(Phase::Draining, |i| silence(i, 599, 185)), "loop", true),
            ("silent, order too young", with(Phase::Draining, |i| silence(i, 600, 184)), "loop", true),
            ("taken back", with(Phase::Draining, taken_back), "loop", true),
            ("not answered", with(Phase::Idle, not_read), "loop", true),
            ("never registered", with(Phase::Booting, |_| {}), "loop", true),
            ("never registered, asked for", with(Phase::Booting, |_| {}), "ann", false),
            ("never registered, order not surely read", with(Phase::Booting, not_read), "loop", true),
            ("never registered, order read", with(Phase::Booting, read), "loop", false),
        ] {
            let expected: &[_] = if broken { &[(0, 3)] } else { &[] };
            assert_eq!(judged(&world, by, &[stop(false)]), expected, "{what}");
        }
        let cancel = Action::CancelDrain { instance: "i-1".into() };
        assert_eq!(judged(&with(Phase::Draining, answered), "ann", &[cancel, stop(false)]), [(1, 3)]);
    }

    #[test]
    fn a_kill_that_nobody_chose_is_found() {
        let busy = || World::new().with(instance("i-1", Phase::Busy));
        let order = |what| Order { by: "ann".into(), what };
        assert_eq!(judged(&busy(), "ann", &[stop(true)]), [(0, 3)]);
        assert_eq!(
            judged(&busy().asked(Ask::Stop { instance: "i-1".into(), kill: false }), "ann", &[stop(true)]),
            [(0, 3)]
        );
        assert_eq!(
            judged(&busy().asked(Ask::Stop { instance: "i-2".into(), kill: true }), "ann", &[stop(true)]),
            [(0, 3)]
        );
        for what in [Ask::StopAll, Ask::Stop { instance: "i-1".into(), kill: true }] {
            let mut world = busy();
            world.snapshot.orders.push(order(what));
            assert_eq!(judged(&world, "ann", &[stop(true)]), []);
            assert_eq!(judged(&world, "bo", &[stop(true)]), [(0, 3)]);
            assert_eq!(judged(&world, "loop", &[stop(true)]), [(0, 3)]);
        }
    }

    #[test]
    fn a_budget_s_step_ends_what_it_drained_for_long_and_no_other() {
        // $1.01 were spent by others, and $0.17 by the machine; the day began 8 hours ago.
        let world = |limit: &str, change: fn(&mut World)| {
            let mut world = World::new().with(instance("i-1", Phase::Busy)).set(|settings| {
                let steps = [("100%".to_owned(), "kill after 30m".to_owned())].into_iter().collect();
                let at = Ladder::read(&steps).unwrap();
                settings.budgets = vec![Budget { at, hard: false, ..budget("day", BudgetScope::All, limit) }];
            });
            let mut old = interval(&instance("i-old", Phase::Gone));
            (old.start, old.end) = (ago(3_600), Some(ago(0)));
            world.ledger.add_closed(&old);
            let ordered = drain(DrainCause::Budget, 1_800, None);
            world.snapshot.instances[0].drain = Some(Drain { end_asked: Some(ago(300)), ..ordered });
            change(&mut world);
            world
        };
        let orphan: fn(&mut World) = |world| {
            let (origin, launched) = (Origin::Orphan, ago(20 * 3_600));
            world.snapshot.instances.push(Instance { origin, launched, ..instance("i-2", Phase::Busy) });
        };
        let newborn: fn(&mut World) = |world| {
            let (origin, launched) = (Origin::Orphan, ago(5));
            world.snapshot.instances.push(Instance { origin, launched, ..instance("i-2", Phase::Busy) });
        };
        let before: fn(&mut World) = |world| {
            world.settings.budgets[0].already_spent = "$1".parse().unwrap();
            world.ledger.whole_since = Some(ago(3_600));
        };
        for (what, limit, change, broken) in [
            ("as much is spent", "$1", (|_| ()) as fn(&mut World), false),
            ("less is spent", "$2", |_| (), true),
            ("less, but for what was spent before", "$2", before, false),
            // Of its 20 hours 8 are in this day.
            ("less, but for what is in no ledger", "$9", orphan, false),
            ("less, by what was in no ledger yesterday", "$10", orphan, true),
            // Its first minute is billed whole: $0.0168 after five seconds.
            ("less, but for the minute of what was just found", "$1.19", newborn, false),
            ("less, even with that minute", "$1.191", newborn, true),
            ("the grace is not over", "$1", |world| world.now = ago(1), true),
            (
                "it was not asked",
                "$1",
                |world| world.snapshot.instances[0].drain.as_mut().unwrap().end_asked = None,
                true,
            ),
            (
                "it has its time still",
                "$1",
                |world| world.snapshot.instances[0].drain.as_mut().unwrap().end_asked = Some(ago(299)),
                true,
            ),
            (
                "it never registered",
                "$1",
                |world| {
                    let machine = &mut world.snapshot.instances[0];
                    (machine.registered, machine.drain.as_mut().unwrap().end_asked) = (false, None);
                },
                false,
            ),
            (
                "drained for another reason",
                "$1",
                |world| world.snapshot.instances[0].drain = Some(drain(DrainCause::Person, 1_800, None)),
                true,
            ),
            (
                "the drain is taken back",
                "$1",
                |world| world.snapshot.instances[0].drain.as_mut().unwrap().cancelled = true,
                true,
            ),
            (
                "another queue's budget",
                "$0",
                |world| world.settings.budgets[0].scope = BudgetScope::Queue("eval".into()),
                true,
            ),
        ] {
            let expected: &[_] = if broken { &[(0, 3)] } else { &[] };
            assert_eq!(judged(&world(limit, change), "loop", &[stop(true)]), expected, "{what}");
        }
        assert_eq!(judged(&world("$1", |_| ()), "ann", &[stop(true)]), [(0, 3)], "ann did not ask");
    }

    #[test]
    fn an_act_on_stale_or_unknown_word_is_found() {
        let mut drained = instance("i-1", Phase::Draining);
        drained.drain = Some(drain(DrainCause::Surplus, 200, Some(180)));
        let world = World::new().with(drained);
        let order = Action::Drain { instance: "i-1".into(), cause: DrainCause::Surplus };
        let enqueue = Action::Enqueue { task: "t".into(), queue: "train".into() };
        let unregister = Action::Unregister { worker: "w".into() };
        let (no_clearml, no_cloud) =
            (world.clone().last_heard("clearml", 61), world.clone().last_heard("aws us-east-1", 61));
        for (action, on_clearml, on_cloud) in [
            (stop(false), true, true),
            (order.clone(), true, true),
            (launch(1), true, true),
            (enqueue, true, false),
            (unregister, true, false),
            (Action::Adopt { instance: "i-1".into() }, false, false),
        ] {
            let expected = |broken: bool| if broken { vec![(0, 6)] } else { vec![] };
            assert_eq!(judged(&world, "loop", std::slice::from_ref(&action)), []);
            assert_eq!(judged(&no_clearml, "loop", std::slice::from_ref(&action)), expected(on_clearml), "{action}");
            assert_eq!(judged(&no_cloud, "loop", std::slice::from_ref(&action)), expected(on_cloud), "{action}");
        }
        assert_eq!(
            judged(&no_cloud, "ann", std::slice::from_ref(&order)),
            [],
            "an order that a person may give blindly"
        );
        assert_eq!(judged(&no_cloud, "ann", &[stop(false)]), [(0, 6)]);
        assert_eq!(judged(&World::new(), "loop", &[order, stop(false)]), [(0, 6), (1, 6)], "nobody knows it");
        let requeue = |instance: &str| Action::Requeue {
            task: "t".into(),
            queue: "train".into(),
            worker: Some("w".into()),
            instance: instance.into(),
            started: None,
            attempt: 1,
        };
        assert_eq!(judged(&world, "loop", &[requeue("i-gone"), requeue("i-1")]), [(1, 6)], "it is still there");
    }
}

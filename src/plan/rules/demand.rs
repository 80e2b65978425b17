//! What waits against what is there for it. Only tasks that wait in a queue are demand, and not its
//! entries whose tasks run already, are done or are gone; each machine is supply once, for as many tasks as it has agents
//! without one, the nearest to being ready first:
//!
//! 1. An idle worker, a foreign one first, takes a task of the queue of highest priority that it listens to; one beside
//!    a busy agent of its machine comes before those of idle machines.
//! 2. A booting machine serves the queue it was launched for; one that this queue does not need serves the others
//!    that it will listen to, by priority.
//! 3. So does one that cannot be told anything yet: an intent, or a machine that has not heard that its drain was
//!    taken back.
//!
//! What is left over is the surplus of its pool.
//!
//! A queue's policy may want fewer tasks served than wait, or more: those that are not there yet are demand, too.

use crate::model::account::Owner;
use crate::model::advice::{Advice, MOST_AHEAD};
use crate::model::plan::Rule;
use crate::model::reason::{Kept, Reason, Wanted};
use crate::model::settings::{Budget, MOST_AGENTS};
use crate::plan::index::{Index, Map, Queue};
use crate::plan::machine::State;
use crate::plan::pass::{About, Pass};

#[derive(Default)]
pub(in crate::plan) struct Demand {
    queues: Vec<Need>,
    pools: Vec<Supply>,
    /// Booting machines that their own queue does not need.
    unneeded: ByHome,
}

/// A queue's tasks, and what is there for them.
#[derive(Clone, Copy, Default)]
pub(in crate::plan) struct Need {
    pub(in crate::plan) waiting: u32,
    /// Tasks of the queue that machines have, as far as its policy needs to know.
    running: u32,
    idle: u32,
    starting: u32,
    foreign: u32,
    /// Tasks for which nothing is there.
    pub(in crate::plan) more: u32,
}

/// A pool's machines.
#[derive(Clone, Copy, Default)]
pub(in crate::plan) struct Supply {
    /// Working, idle or on their way, intents and this pass's launches included.
    pub(in crate::plan) up: u32,
    /// For so many tasks more busy machines have an agent.
    beside: Free,
    idle: Free,
    booting: Free,
    unheard: Free,
}

impl Supply {
    /// Machines that no task needs.
    pub(in crate::plan) fn surplus(&self) -> u32 {
        self.idle.machines() + self.booting.machines() + self.unheard.machines()
    }
}

/// Room for tasks, and the machines that have it.
#[derive(Clone, Copy, Default)]
struct Free {
    tasks: u32,
    /// How many machines have room for 1, 2, 3, ... tasks.
    sizes: [u32; MOST_AGENTS as usize],
}

impl Free {
    fn add(&mut self, size: u32, machines: u32) {
        self.tasks = self.tasks.saturating_add(size.saturating_mul(machines));
        if let Some(count) = self.of_size(size) {
            *count += machines;
        }
    }

    fn join(&mut self, other: &Self) {
        self.tasks = self.tasks.saturating_add(other.tasks);
        for (count, more) in self.sizes.iter_mut().zip(other.sizes) {
            *count += more;
        }
    }

    fn of_size(&mut self, size: u32) -> Option<&mut u32> {
        self.sizes.get_mut(usize::try_from(size.checked_sub(1)?).ok()?)
    }

    /// How many machines could go with the room that is left: the most that fit in it.
    fn machines(&self) -> u32 {
        let mut left = self.tasks;
        let mut machines = 0;
        for (size, count) in (1_u32..).zip(self.sizes) {
            let going = count.min(left.checked_div(size).unwrap_or_default());
            (left, machines) = (left - going * size, machines + going);
        }
        machines
    }

    fn has(&self, size: u32) -> bool {
        size > 0 && self.tasks >= size
    }

    /// A machine goes, with its room.
    fn release(&mut self, size: u32) {
        self.tasks = self.tasks.saturating_sub(size);
        if let Some(count) = self.of_size(size) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Room by home queue and pool.
type ByHome = Map<(Option<usize>, usize), Free>;

impl Need {
    /// Why machines are launched that run `each` tasks at a time.
    pub(in crate::plan) fn reason(&self, each: u32) -> Reason {
        let Self { waiting, idle, starting, foreign, more, .. } = *self;
        Reason::Waiting { waiting, idle, starting, foreign, need: more, each }
    }

    /// Why none is.
    pub(in crate::plan) fn served(&self) -> Reason {
        let Self { waiting, idle, starting, foreign, .. } = *self;
        Reason::Served { waiting, idle, starting, foreign }
    }

    /// Why machines are launched for a queue: its policy's reason, where it has one.
    pub(in crate::plan) fn reason_of(&self, queue: &Queue<'_>, each: u32) -> Reason {
        let Some(advice) = queue.advice else { return self.reason(each) };
        let Self { waiting, running, idle, starting, foreign, more } = *self;
        Reason::Advised(Wanted {
            policy: advice.policy.clone(),
            said: advice.said.clone(),
            capacity: advice.capacity,
            waiting,
            running,
            idle,
            starting,
            foreign,
            need: more,
        })
    }

    /// Leaves of the tasks for which nothing is there those that the policy wants served now; says how many it holds back.
    fn hold_back(&mut self, advice: &Advice, closed: bool) -> u32 {
        let there = self.running.saturating_add(self.idle).saturating_add(self.starting).saturating_add(self.foreign);
        let room = advice.capacity.map_or(u32::MAX, |capacity| capacity.saturating_sub(there));
        let served = self.more.min(if closed { 0 } else { room });
        let held = self.more - served;
        self.more = served;
        held
    }

    fn take(&mut self, free: &mut Free) -> u32 {
        let taken = self.more.min(free.tasks);
        self.more -= taken;
        free.tasks -= taken;
        taken
    }
}

impl Demand {
    pub(in crate::plan) fn need(&self, queue: usize) -> Need {
        self.queues.get(queue).copied().unwrap_or_default()
    }

    pub(in crate::plan) fn supply(&self, pool: usize) -> Supply {
        self.pools.get(pool).copied().unwrap_or_default()
    }

    /// More of a pool are up from now on.
    pub(in crate::plan) fn raise(&mut self, pool: usize, count: u32) {
        if let Some(supply) = self.pools.get_mut(pool) {
            supply.up += count;
        }
    }

    /// One idle machine, with room for `size` tasks that no task needs, is let go.
    pub(in crate::plan) fn release_idle(&mut self, pool: usize, size: u32) -> bool {
        self.pools.get_mut(pool).is_some_and(|supply| release(&mut supply.idle, &mut supply.up, size))
    }

    /// One booting machine, with room for `size` tasks that no task needs, least of all its own queue's, is let go.
    pub(in crate::plan) fn release_booting(&mut self, home: Option<usize>, pool: usize, size: u32) -> bool {
        let Some(supply) = self.pools.get_mut(pool) else { return false };
        let Some(own) = self.unneeded.get_mut(&(home, pool)).filter(|own| own.has(size)) else { return false };
        let released = release(&mut supply.booting, &mut supply.up, size);
        if released {
            own.release(size);
        }
        released
    }
}

fn release(free: &mut Free, up: &mut u32, size: u32) -> bool {
    let enough = free.has(size);
    if enough {
        free.release(size);
        *up = up.saturating_sub(1);
    }
    enough
}

pub(in crate::plan) fn count(pass: &mut Pass<'_>) {
    let index = pass.index;
    let barred = barred(pass);
    let running = running(pass);
    let counted = |queue: &Queue<'_>| {
        let need = waiting(queue, barred.get(&queue.place).map_or(0, |(tasks, _)| *tasks));
        with_advice(need, queue, running.get(&queue.place).copied().unwrap_or_default())
    };
    let mut queues: Vec<Need> = index.queues.iter().map(counted).collect();
    let (mut pools, mut booting, mut unheard) = supply(pass);
    share_foreign(index, &mut queues);
    let at_once: [fn(&mut Supply) -> &mut Free; 2] = [|supply| &mut supply.beside, |supply| &mut supply.idle];
    for free in at_once {
        for (queue, need) in index.queues.iter().zip(&mut queues) {
            need.idle += take(&mut pools, queue, need, free);
        }
    }
    share_starting(index, &mut queues, &mut pools, &mut booting, |supply| &mut supply.booting);
    share_starting(index, &mut queues, &mut pools, &mut unheard, |supply| &mut supply.unheard);
    for (queue, need) in index.queues.iter().zip(&mut queues) {
        advise(pass, queue, need);
    }
    for queue in index.queues.iter().filter(|queue| queue.state.is_some()) {
        // Who never answered has not said that there is no such queue.
        if let Some(missing) = queue.missing().filter(|_| index.clearml_seen().is_some()) {
            pass.refuse(Rule::Demand, &About::queue(&queue.settings.name), missing.clone());
            if let Some(decided) = pass.decided.get_mut(queue.place) {
                *decided = Some(missing);
            }
        }
        if let Some((tasks, spent)) = barred.get(&queue.place) {
            let about = About { short_of: *tasks, ..About::queue(&queue.settings.name) };
            pass.refuse(Rule::Demand, &about, spent.clone());
            if let Some(decided) = pass.decided.get_mut(queue.place) {
                *decided = Some(spent.clone());
            }
        }
        if let Some(phantoms) = queue.phantoms() {
            pass.refuse(Rule::Demand, &About::queue(&queue.settings.name), phantoms.clone());
            if queue.waiting() == 0
                && let Some(decided) = pass.decided.get_mut(queue.place)
            {
                *decided = Some(phantoms);
            }
        }
    }
    pass.demand = Demand { queues, pools, unneeded: booting };
}

fn waiting(queue: &Queue<'_>, barred: u32) -> Need {
    let waiting = queue.waiting().saturating_sub(barred);
    Need { waiting, more: waiting, ..Need::default() }
}

/// Tasks on machines, by the queues that have a policy.
fn running(pass: &Pass<'_>) -> Map<usize, u32> {
    let index = pass.index;
    let mut running = Map::default();
    if index.snapshot.advice.is_empty() {
        return running;
    }
    for machine in &pass.machines {
        for task in machine.seen.tasks() {
            let queue = task.queue.as_ref().map_or(machine.home, |queue| index.queue_place(queue));
            if let Some(queue) = queue {
                *running.entry(queue).or_default() += 1;
            }
        }
    }
    running
}

/// Counts as demand what the queue's policy wants beyond the tasks that are there.
fn with_advice(need: Need, queue: &Queue<'_>, running: u32) -> Need {
    let Some(advice) = queue.advice.filter(|_| queue.exists()) else { return need };
    let there = running.saturating_add(queue.waiting());
    let wanted = advice.capacity.filter(|_| !advice.veto && !queue.order.is_empty()).unwrap_or_default();
    let ahead = wanted.saturating_sub(there).min(MOST_AHEAD);
    Need { running, more: need.more.saturating_add(ahead), ..need }
}

/// Holds back what the queue's policy does not want, and says so; or that it is not followed.
fn advise(pass: &mut Pass<'_>, queue: &Queue<'_>, need: &mut Need) {
    let about = About::queue(&queue.settings.name);
    if let Some(failed) = queue.policy_failed(pass.index.snapshot) {
        pass.refuse(Rule::Demand, &about, failed);
    }
    let Some(advice) = queue.advice else { return };
    let closed = advice.veto || queue.order.is_empty();
    let tasks = need.hold_back(advice, closed);
    if tasks == 0 {
        return;
    }
    let reason = Reason::HeldBack(Kept {
        policy: advice.policy.clone(),
        said: advice.said.clone(),
        capacity: advice.capacity.filter(|_| !closed),
        running: need.running,
        tasks,
    });
    if let Some(decided) = pass.decided.get_mut(queue.place) {
        *decided = Some(reason.clone());
    }
    pass.refuse(Rule::Demand, &About { short_of: tasks, ..about }, reason);
}

/// Waiting tasks by queue whose project's or user's hard budget is spent, and the first of these budgets.
fn barred(pass: &Pass<'_>) -> Map<usize, (u32, Reason)> {
    let (index, mut barred) = (pass.index, Map::default());
    let acts = |budget: &&Budget| budget.governs();
    if !index.settings.budgets.iter().filter(acts).any(|budget| !budget.scope.holds_launches()) {
        return barred;
    }
    let spent: Vec<_> = pass.budgets().spent_by_owners().collect();
    if spent.is_empty() {
        return barred;
    }
    for queue in &index.queues {
        let entries = queue.state.into_iter().flat_map(|state| &state.waiting);
        let owners = entries.filter_map(|entry| index.snapshot.owners.get(&entry.task));
        let purse = |owner: &Owner| spent.iter().find(|purse| purse.budget.scope.among(&[]).owns(owner));
        let barring: Vec<_> = owners.filter_map(purse).collect();
        if let Some(first) = barring.first() {
            let tasks = u32::try_from(barring.len()).unwrap_or(u32::MAX);
            barred.insert(queue.place, (tasks, first.owner_spent(tasks)));
        }
    }
    barred
}

/// Shares machines on their way: to their own queues first, then what is left by priority.
fn share_starting(
    index: &Index<'_>,
    queues: &mut [Need],
    pools: &mut [Supply],
    own: &mut ByHome,
    free: fn(&mut Supply) -> &mut Free,
) {
    for (queue, need) in index.queues.iter().zip(&mut *queues) {
        for pool in &queue.pools {
            if let Some(own) = own.get_mut(&(Some(queue.place), *pool)) {
                need.starting += need.take(own);
            }
        }
    }
    for ((_, pool), own) in own {
        if let Some(supply) = pools.get_mut(*pool) {
            free(supply).join(own);
        }
    }
    for (queue, need) in index.queues.iter().zip(queues) {
        need.starting += take(pools, queue, need, free);
    }
}

/// Takes from the pools of a queue what it needs; says how many.
fn take(pools: &mut [Supply], queue: &Queue<'_>, need: &mut Need, free: fn(&mut Supply) -> &mut Free) -> u32 {
    let mut taken = 0;
    for pool in &queue.least_shared {
        if need.more == 0 {
            break;
        }
        taken += pools.get_mut(*pool).map_or(0, |supply| need.take(free(supply)));
    }
    taken
}

/// What every pool has, idle machines counted; those on their way by home queue, booting or not yet to be told
/// anything.
fn supply(pass: &Pass<'_>) -> (Vec<Supply>, ByHome, ByHome) {
    let index = pass.index;
    let mut pools = vec![Supply::default(); index.pools.len()];
    let (mut booting, mut unheard) = (ByHome::default(), ByHome::default());
    for machine in &pass.machines {
        let Some(place) = machine.pool else { continue };
        let Some(supply) = pools.get_mut(place) else { continue };
        supply.up += u32::from(machine.is_up());
        match machine.state() {
            State::Busy => supply.beside.tasks += machine.free(),
            State::Idle => supply.idle.add(machine.free(), 1),
            // It is not waited for any longer; if it comes all the same, it is one too many.
            State::Booting if machine.late => {}
            State::Booting => booting.entry((machine.home, place)).or_default().add(machine.free(), 1),
            State::Returning => unheard.entry((machine.home, place)).or_default().add(machine.free(), 1),
            _ => {}
        }
    }
    let intents = index
        .snapshot
        .intents
        .iter()
        .filter_map(|intent| Some((index.queue_place(&intent.queue), index.pool_place(&intent.pool)?, 1)));
    let launched = pass.launched.iter().map(|(queue, pool, count)| (Some(*queue), *pool, *count));
    for (home, pool, count) in intents.chain(launched) {
        if let Some(supply) = pools.get_mut(pool) {
            supply.up += count;
            unheard.entry((home, pool)).or_default().add(index.each(pool), count);
        }
    }
    (pools, booting, unheard)
}

/// Workers of others, idle and fresh, on our queues.
fn share_foreign(index: &Index<'_>, queues: &mut [Need]) {
    if !index.settings.the_loop.count_foreign {
        return;
    }
    let mut workers_of = vec![Vec::new(); index.queues.len()];
    for (worker, foreign) in index.snapshot.foreign.iter().enumerate() {
        if !foreign.fresh || foreign.task.is_some() {
            continue;
        }
        for queue in foreign.queues.iter().filter_map(|queue| index.queue_place(queue)) {
            if let Some(workers) = workers_of.get_mut(queue) {
                workers.push(worker);
            }
        }
    }
    let mut taken = vec![false; index.snapshot.foreign.len()];
    for (need, workers) in queues.iter_mut().zip(workers_of) {
        for worker in workers {
            let Some(taken) = taken.get_mut(worker).filter(|taken| !**taken && need.more > 0) else { continue };
            *taken = true;
            need.more -= 1;
            need.foreign += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::account::Owner;
    use crate::model::advice::{Advice, Advised};
    use crate::model::instance::{Agents, DrainCause, Fault, Instance, Phase, RunningTask};
    use crate::model::ledger::Share;
    use crate::model::observed::QueueEntry;
    use crate::model::reason::Reason;
    use crate::model::record::{Learned, Samples};
    use crate::model::settings::BudgetScope;
    use crate::model::snapshot::{ForeignWorker, Phantom};
    use crate::plan::example::{World, ago, budget, drain, hold, instance, interval, pool, queue, secs};

    fn of(instance: Instance, change: impl FnOnce(&mut Instance)) -> Instance {
        let mut instance = instance;
        change(&mut instance);
        instance
    }

    /// `train` comes before `eval`, on one pool.
    fn shared() -> World {
        World::new().set(|settings| {
            settings.queues = vec![queue("eval", &["gpu"]), queue("train", &["gpu"])];
            settings.queues[1].priority = 10;
        })
    }

    fn needs(world: &World) -> Vec<(String, u32)> {
        world.plan().outlooks.into_iter().map(|outlook| (outlook.queue.to_string(), outlook.need)).collect()
    }

    #[test]
    fn tasks_of_a_user_whose_hard_budget_is_spent_are_no_demand() {
        let spent = |limit: &str, hard| {
            let mut world = World::new().waiting("train", 3).set(|settings| {
                settings.budgets = vec![budget("ann's day", BudgetScope::User("ann".into()), limit)];
                settings.budgets[0].hard = hard;
            });
            let ann = Owner { project: None, user: Some("ann".into()) };
            world.snapshot.owners =
                Arc::new([("w-train-0".into(), ann.clone()), ("w-train-2".into(), ann.clone())].into());
            let mut hour = interval(&instance("i-old", Phase::Gone));
            (hour.start, hour.end) = (ago(3_600), Some(ago(0)));
            hour.shares = vec![Share { owner: ann, ..Share::idle(ago(3_600), "train".into()) }];
            world.ledger.add_closed(&hour);
            world
        };
        let why = "budget \"ann's day\" is $1.00: $1.01 spent; 2 waiting tasks of theirs here do not count";
        let one =
            "grow: launch 1 x g5.xlarge in gpu for train: 1 waiting - 0 idle - 0 starting - 0 foreign idle = 1 needed";
        spent("$1", true).expect(&[one, &format!("NOT demand train (2 short): {why}")]);
        let all =
            "grow: launch 3 x g5.xlarge in gpu for train: 3 waiting - 0 idle - 0 starting - 0 foreign idle = 3 needed";
        spent("$2", true).expect(&[all]);
        spent("$1", false).expect(&[all]);
    }

    #[test]
    fn what_is_supply_and_what_is_not() {
        for (what, machine, need) in [
            ("idle", instance("i", Phase::Idle), 0),
            ("pending", instance("i", Phase::Pending), 0),
            ("booting", instance("i", Phase::Booting), 0),
            ("held: it still pulls", of(instance("i", Phase::Idle), |i| i.hold = Some(hold(60))), 0),
            ("busy", instance("i", Phase::Busy), 1),
            ("stopping", instance("i", Phase::Stopping), 1),
            ("gone", instance("i", Phase::Gone), 1),
            ("not pulling", of(instance("i", Phase::Idle), |i| i.fault = Some(Fault::NotPulling)), 1),
            ("interrupted", of(instance("i", Phase::Idle), |i| i.fault = Some(Fault::Interrupted)), 1),
            ("draining", of(instance("i", Phase::Idle), |i| i.drain = Some(drain(DrainCause::Person, 9, None))), 1),
            ("drains by itself", instance("i", Phase::Draining), 1),
            (
                "drain taken back",
                of(instance("i", Phase::Draining), |i| {
                    i.drain = Some(drain(DrainCause::Person, 9, None));
                    i.drain.as_mut().unwrap().cancelled = true;
                }),
                0,
            ),
            ("another pool's", of(instance("i", Phase::Idle), |i| i.pool = "gone".into()), 1),
            ("of a queue that left the settings", of(instance("i", Phase::Idle), |i| i.home = "gone".into()), 0),
        ] {
            let world = World::new().waiting("train", 1).with(machine);
            assert_eq!(needs(&world), [("train".to_owned(), need)], "{what}");
        }
        let world = World::new().waiting("train", 1).intent("gpu", "train");
        assert_eq!(needs(&world), [("train".to_owned(), 0)], "an intent");
    }

    #[test]
    fn what_boots_for_a_quarter_longer_than_any_did_is_not_waited_for() {
        let need = |boots: &[i64], age| {
            let booting = of(instance("i", Phase::Booting), |i| i.launched = ago(age));
            let mut world = World::new().waiting("train", 1).with(booting);
            let boots = Samples::from(boots.iter().map(|took| secs(*took)).collect::<Vec<_>>());
            world.snapshot.learned = Arc::new(Learned { boots: [("gpu".into(), boots)].into(), ..Learned::default() });
            needs(&world)[0].1
        };
        let five = [90, 100, 80, 60, 70];
        assert_eq!((need(&five, 125), need(&five, 126)), (0, 1));
        assert_eq!(need(&five[1..], 126), 0, "four boots say too little");
    }

    #[test]
    fn an_entry_without_a_waiting_task_is_no_demand() {
        let phantoms = |world: World| {
            let mut world = world;
            let entry = |task: &str| QueueEntry { task: task.into(), added: ago(60) };
            world.snapshot.queues[0].phantoms =
                ["p", "q"].map(|task| Phantom { entry: entry(task), status: None }).into();
            world
        };
        phantoms(World::new().waiting("train", 0))
            .expect(&["NOT demand train: 2 of 2 entries are no waiting tasks: nothing is launched for them"]);
        let next = |world: &World| world.plan().outlooks[0].next.clone();
        assert!(matches!(next(&phantoms(World::new().waiting("train", 0))), Some(Reason::Phantoms { .. })));
        let world = phantoms(World::new().waiting("train", 1));
        assert!(matches!(next(&world), Some(Reason::Waiting { .. })));
        assert_eq!(needs(&world), [("train".to_owned(), 1)]);
        assert_eq!(world.plan().actions.len(), 1);
    }

    #[test]
    fn an_idle_machine_serves_the_queue_of_highest_priority_whatever_its_home() {
        let mut idle = instance("i", Phase::Idle);
        idle.home = "eval".into();
        let world = shared().waiting("eval", 1).waiting("train", 1).with(idle);
        assert_eq!(needs(&world), [("eval".to_owned(), 1), ("train".to_owned(), 0)]);
    }

    #[test]
    fn a_booting_machine_serves_its_home_first_then_others() {
        let mut booting = instance("i", Phase::Booting);
        booting.home = "eval".into();
        let world = shared().waiting("eval", 1).waiting("train", 1).with(booting.clone());
        assert_eq!(needs(&world), [("eval".to_owned(), 0), ("train".to_owned(), 1)]);
        let world = shared().waiting("eval", 0).waiting("train", 1).with(booting);
        assert_eq!(needs(&world), [("eval".to_owned(), 0), ("train".to_owned(), 0)]);
    }

    #[test]
    fn what_others_can_use_too_is_left_to_them() {
        let world = World::new().set(|settings| {
            settings.pools = vec![pool("gpu", &["g5.xlarge"]), pool("own", &["g5.xlarge"])];
            settings.queues = vec![queue("train", &["gpu", "own"]), queue("eval", &["gpu"])];
        });
        let mut own = instance("i-own", Phase::Idle);
        own.pool = "own".into();
        let world = world.waiting("train", 1).waiting("eval", 1).with(own).with(instance("i", Phase::Idle));
        assert_eq!(needs(&world), [("train".to_owned(), 0), ("eval".to_owned(), 0)]);
    }

    #[test]
    fn foreign_workers_count_while_idle_fresh_and_wanted() {
        let worker = ForeignWorker {
            id: "host:gpu0".into(),
            queues: vec!["eval".into(), "train".into()],
            task: None,
            last_report: None,
            fresh: true,
        };
        let world = |worker: ForeignWorker| {
            let mut world = shared().waiting("eval", 1).waiting("train", 1);
            world.snapshot.foreign.push(worker);
            world
        };
        let need = |world: &World| needs(world).iter().map(|(_, need)| *need).collect::<Vec<_>>();
        assert_eq!(need(&world(worker.clone())), [1, 0], "once, for the first queue by priority");
        assert_eq!(need(&world(worker.clone()).set(|settings| settings.the_loop.count_foreign = false)), [1, 1]);
        assert_eq!(need(&world(ForeignWorker { fresh: false, ..worker.clone() })), [1, 1]);
        assert_eq!(need(&world(ForeignWorker { task: Some("t".into()), ..worker.clone() })), [1, 1]);
        assert_eq!(need(&world(ForeignWorker { queues: vec!["other".into()], ..worker })), [1, 1]);
    }

    #[test]
    fn every_number_of_the_reason_adds_up() {
        let mut world = World::new().waiting("train", 9).with(instance("i-1", Phase::Idle)).intent("gpu", "train");
        world.snapshot.foreign.push(ForeignWorker {
            id: "host:gpu0".into(),
            queues: vec!["train".into()],
            task: None,
            last_report: None,
            fresh: true,
        });
        world.with(instance("i-2", Phase::Pending)).expect(&["grow: launch 5 x g5.xlarge in gpu for train: \
             9 waiting - 1 idle - 2 starting - 1 foreign idle = 5 needed"]);
    }

    /// Machines of the pool run four tasks each.
    fn four() -> World {
        World::new().set(|settings| settings.pools[0].agent.agents_per_machine = 4)
    }

    /// A machine with four agents, so many of which have a task.
    fn with_four(id: &str, phase: Phase, tasks: usize) -> Instance {
        let mut machine = instance(id, phase);
        machine.agents = Agents::whole(4);
        let task = instance(id, Phase::Busy).task.unwrap();
        let more = |n: usize| RunningTask { id: format!("t{n}").as_str().into(), ..task.clone() };
        machine.more_tasks = (1..tasks).map(more).collect();
        machine
    }

    #[test]
    fn a_machine_has_room_for_as_many_tasks_as_it_has_agents_without_one() {
        for (what, machine, need) in [
            ("idle", with_four("i", Phase::Idle, 0), 2),
            ("booting", with_four("i", Phase::Booting, 0), 2),
            ("one runs", with_four("i", Phase::Busy, 1), 3),
            ("three run", with_four("i", Phase::Busy, 3), 5),
            ("all run", with_four("i", Phase::Busy, 4), 6),
            ("one is missing", of(with_four("i", Phase::Idle, 0), |i| i.agents.present = 3), 3),
            (
                "half are missing",
                of(with_four("i", Phase::Busy, 1), |i| {
                    (i.agents.present, i.fault) = (2, Some(Fault::AgentsMissing));
                }),
                5,
            ),
            ("claimed twice", of(with_four("i", Phase::Idle, 0), |i| i.fault = Some(Fault::ClaimedTwice)), 6),
            ("made with one agent", instance("i", Phase::Idle), 5),
        ] {
            let world = four().waiting("train", 6).with(machine);
            assert_eq!(needs(&world), [("train".to_owned(), need)], "{what}");
        }
        assert_eq!(needs(&four().waiting("train", 6).intent("gpu", "train")), [("train".to_owned(), 2)], "an intent");
    }

    #[test]
    fn machines_are_launched_for_groups_of_tasks() {
        let why =
            |count| format!("{count} waiting - 0 idle - 0 starting - 0 foreign idle = {count} needed, 4 on a machine");
        for (waiting, machines) in [(1, 1), (4, 1), (5, 2), (9, 3)] {
            let told = format!("grow: launch {machines} x g5.xlarge in gpu for train: {}", why(waiting));
            four().waiting("train", waiting).expect(&[&told]);
        }
        four().waiting("train", 9).set(|settings| settings.limits.max = Some(2)).expect(&[
            &format!("grow: launch 2 x g5.xlarge in gpu for train: {}", why(9)),
            "NOT grow train gpu (1 short): limits.max is 2: 2 instances used, one more needs 1 instance",
        ]);
    }

    #[test]
    fn a_machine_goes_when_no_task_needs_any_of_its_agents() {
        let world = |waiting| {
            let two = four().with(with_four("i-1", Phase::Idle, 0)).with(with_four("i-2", Phase::Idle, 0));
            two.surplus(&[900, 900]).waiting("train", waiting)
        };
        let drained = |world: World| world.plan().actions.len();
        for (waiting, goes) in [(0, 2), (1, 1), (4, 1), (5, 0), (8, 0)] {
            assert_eq!(drained(world(waiting)), goes, "{waiting} wait");
        }
        // What a busy machine has room for needs no idle one.
        assert_eq!(drained(world(5).with(with_four("i-3", Phase::Busy, 3))), 1);
        assert_eq!(drained(world(3).with(with_four("i-3", Phase::Busy, 1))), 2);
        // A small one fits where a large one does not.
        let mixed = four().with(with_four("i-1", Phase::Idle, 0)).with(instance("i-2", Phase::Idle));
        let plan = mixed.surplus(&[900]).waiting("train", 4).plan();
        assert_eq!(plan.actions.iter().map(|planned| planned.action.to_string()).collect::<Vec<_>>(), ["drain i-2"]);
    }

    #[test]
    fn the_most_machines_are_surplus_that_fit_in_the_room_that_is_left() {
        for (sizes, waiting, surplus) in
            [(vec![1, 4], 0, 2), (vec![1, 4], 1, 1), (vec![1, 1, 4], 0, 3), (vec![2, 4], 1, 1), (vec![2, 4], 5, 0)]
        {
            let machine =
                |size: &u32| of(instance(&format!("i-{size}"), Phase::Idle), |i| i.agents = Agents::whole(*size));
            let world = sizes.iter().map(machine).fold(four().waiting("train", waiting), World::with);
            let levels = world.plan().surplus.get("gpu").map_or(0, Vec::len);
            assert_eq!(levels, surplus, "{sizes:?}, {waiting} wait");
        }
    }

    #[test]
    fn a_queue_that_the_server_does_not_have_needs_nothing() {
        let mut world = World::new().waiting("train", 3);
        world.snapshot.queues[0].id = None;
        world.snapshot.queues[0].nearest = Some("training".into());
        world.expect(&["NOT demand train: the server has no queue `train`; it is not created"]);
        let next = world.plan().outlooks[0].next.clone().unwrap();
        assert_eq!(next.remedy().unwrap(), "did you mean `training`?");
    }

    #[test]
    fn before_clearmls_first_answer_no_queue_is_said_to_be_missing() {
        let mut world = World::new().waiting("train", 0);
        world.snapshot.queues[0].id = None;
        world.snapshot.sources[0].last_good = None;
        world.expect(&[]);
        let next = world.plan().outlooks[0].next.clone().unwrap();
        assert_eq!(next.to_string(), "clearml has not answered yet");
    }

    fn advised(world: World, advice: Advice) -> World {
        let mut world = world;
        let advice = Advice { policy: "p.rhai".to_owned(), said: "so".to_owned(), ..advice };
        world.snapshot.advice.insert("train".into(), Advised::Wants(advice));
        world
    }

    fn wants(capacity: u32) -> Advice {
        Advice { capacity: Some(capacity), ..Advice::default() }
    }

    #[test]
    fn a_policy_that_wants_less_than_waits_holds_the_others_back() {
        advised(World::new().waiting("train", 5), wants(3)).expect(&[
            "grow: launch 3 x g5.xlarge in gpu for train: 5 waiting, 0 running, 0 idle, 0 starting, 0 foreign idle: p.rhai \
             wants 3 at a time, 3 more: so",
            "NOT demand train (2 short): p.rhai wants 3 at a time, 0 run: 2 wait on: so",
        ]);
        // One runs, and one is on its way.
        let there = World::new().waiting("train", 5).with(instance("i-1", Phase::Busy)).intent("gpu", "train");
        let there = advised(there, wants(3)).told();
        assert!(there[0].starts_with("grow: launch 1 x") && there[1].contains("1 run: 3 wait on"), "{there:?}");
        let veto = Advice { veto: true, ..Advice::default() };
        let vetoed = advised(World::new().waiting("train", 5), veto);
        vetoed.expect(&["NOT demand train (5 short): p.rhai lets no machine be launched, 5 wait on: so"]);
    }

    #[test]
    fn a_policy_that_wants_more_than_waits_has_machines_kept_within_the_limits() {
        let world = || World::new().waiting("train", 0);
        advised(world(), wants(2)).expect(&[
            "grow: launch 2 x g5.xlarge in gpu for train: 0 waiting, 0 running, 0 idle, 0 starting, 0 foreign idle: p.rhai \
             wants 2 at a time, 2 more: so",
        ]);
        let idle =
            world().with(instance("i-1", Phase::Idle)).with(instance("i-2", Phase::Idle)).surplus(&[9_999, 9_999]);
        advised(idle, wants(2)).expect(&[]);
        let most = |max: Option<u32>| {
            let world = world().set(|settings| settings.pools[0].limits.max = max);
            advised(world, wants(u32::MAX)).told().remove(0)
        };
        assert!(most(Some(4)).starts_with("grow: launch 4 x"), "{}", most(Some(4)));
        assert!(most(None).starts_with("grow: launch 100 x"), "{}", most(None));
    }

    #[test]
    fn a_policy_names_the_pools_and_their_order_among_those_of_the_queue() {
        let world = || {
            World::new().waiting("train", 3).set(|settings| {
                settings.pools = vec![pool("a", &["g5.xlarge"]), pool("b", &["g5.xlarge"]), pool("c", &["g5.xlarge"])];
                settings.pools[1].limits.max = Some(2);
                settings.queues = vec![queue("train", &["a", "b"])];
            })
        };
        let pools = |pools: &[&str]| Advice {
            pools: Some(pools.iter().map(|pool| (*pool).into()).collect()),
            ..Advice::default()
        };
        let told = |names: &[&str]| advised(world(), pools(names)).told();
        let launched = |told: Vec<String>| -> Vec<String> {
            let launches = told.iter().filter_map(|line| line.strip_prefix("grow: launch "));
            launches.map(|line| line.split(" for ").next().unwrap().to_owned()).collect()
        };
        assert_eq!(launched(told(&["b", "a"])), ["2 x g5.xlarge in b", "1 x g5.xlarge in a"]);
        assert_eq!(launched(told(&["b"])), ["2 x g5.xlarge in b"]);
        assert!(launched(told(&["c"])).is_empty(), "the queue does not name it");
        assert_eq!(told(&[]), ["NOT demand train (3 short): p.rhai lets no machine be launched, 3 wait on: so"]);
    }

    #[test]
    fn where_a_policy_fails_the_plan_is_as_without_it_and_says_so() {
        let mut world = World::new().waiting("train", 2);
        let without = world.told();
        let failed = Advised::Failed { policy: "p.rhai".to_owned(), error: "p.rhai:1:1: no".to_owned() };
        world.snapshot.advice.insert("train".into(), failed);
        let mut told = world.told();
        assert_eq!(told.pop().as_deref(), Some("NOT demand train: p.rhai is not followed: p.rhai:1:1: no"));
        assert_eq!(told, without);
    }
}

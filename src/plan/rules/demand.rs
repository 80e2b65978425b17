//! What waits against what is there for it. Only tasks that wait in a queue are demand; each machine is supply once:
//!
//! 1. An idle worker, a foreign one first, takes a task of the queue of highest priority that it listens to.
//! 2. A machine on its way serves the queue it was launched for.
//! 3. One that its own queue does not need serves the others that it will listen to, by priority.
//!
//! What is left over of either is surplus of its pool.

use std::collections::HashMap;

use crate::model::plan::Rule;
use crate::model::reason::Reason;
use crate::plan::index::{Index, Queue};
use crate::plan::machine::State;
use crate::plan::pass::{About, Pass};

#[derive(Default)]
pub(in crate::plan) struct Demand {
    queues: Vec<Need>,
    pools: Vec<Supply>,
    /// Machines on their way that their own queue does not need, by queue and pool.
    unneeded: HashMap<(Option<usize>, usize), u32>,
}

/// A queue's tasks, and what is there for them.
#[derive(Clone, Copy, Default)]
pub(in crate::plan) struct Need {
    pub(in crate::plan) waiting: u32,
    idle: u32,
    starting: u32,
    foreign: u32,
    /// Machines more that the waiting tasks need.
    pub(in crate::plan) more: u32,
}

/// A pool's machines.
#[derive(Clone, Copy, Default)]
pub(in crate::plan) struct Supply {
    /// Working, idle or on their way, intents and this pass's launches included.
    pub(in crate::plan) up: u32,
    /// Not needed by any task.
    pub(in crate::plan) idle: u32,
    /// On their way, and not needed by any task.
    pub(in crate::plan) starting: u32,
    /// Not yet known to the cloud: nothing can be told to them.
    pub(in crate::plan) intended: u32,
}

impl Need {
    /// Why machines are launched.
    pub(in crate::plan) fn reason(&self) -> Reason {
        let Self { waiting, idle, starting, foreign, more } = *self;
        Reason::Waiting { waiting, idle, starting, foreign, need: more }
    }

    /// Why none is.
    pub(in crate::plan) fn served(&self) -> Reason {
        let Self { waiting, idle, starting, foreign, .. } = *self;
        Reason::Served { waiting, idle, starting, foreign }
    }

    fn take(&mut self, free: &mut u32) -> u32 {
        let taken = self.more.min(*free);
        self.more -= taken;
        *free -= taken;
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

    /// One idle machine that no task needs is let go.
    pub(in crate::plan) fn release_idle(&mut self, pool: usize) -> bool {
        self.pools.get_mut(pool).is_some_and(|supply| take_one(&mut supply.idle, &mut supply.up))
    }

    /// One machine on its way that no task needs, now or by its own queue, is let go.
    pub(in crate::plan) fn release_starting(&mut self, home: Option<usize>, pool: usize) -> bool {
        let Some(supply) = self.pools.get_mut(pool) else { return false };
        let Some(own) = self.unneeded.get_mut(&(home, pool)).filter(|own| **own > 0) else { return false };
        if supply.starting <= supply.intended {
            return false;
        }
        *own -= 1;
        take_one(&mut supply.starting, &mut supply.up)
    }
}

fn take_one(free: &mut u32, up: &mut u32) -> bool {
    let any = *free > 0;
    if any {
        *free -= 1;
        *up = up.saturating_sub(1);
    }
    any
}

pub(in crate::plan) fn count(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut queues: Vec<Need> = index.queues.iter().map(waiting).collect();
    let (mut pools, mut own) = supply(pass);
    share_foreign(index, &mut queues);
    for (queue, need) in index.queues.iter().zip(&mut queues) {
        need.idle = take_from(&mut pools, queue, need, |supply| &mut supply.idle);
    }
    for (queue, need) in index.queues.iter().zip(&mut queues) {
        for pool in &queue.pools {
            if let Some(free) = own.get_mut(&(Some(queue.place), *pool)) {
                need.starting += need.take(free);
            }
        }
    }
    for ((_, pool), free) in &own {
        if let Some(supply) = pools.get_mut(*pool) {
            supply.starting += free;
        }
    }
    for (queue, need) in index.queues.iter().zip(&mut queues) {
        need.starting += take_from(&mut pools, queue, need, |supply| &mut supply.starting);
    }
    for queue in index.queues.iter().filter(|queue| queue.state.is_some()) {
        if let Some(missing) = queue.missing() {
            pass.refuse(Rule::Demand, &About::queue(&queue.settings.name), missing.clone());
            if let Some(decided) = pass.decided.get_mut(queue.place) {
                *decided = Some(missing);
            }
        }
    }
    pass.demand = Demand { queues, pools, unneeded: own };
}

fn waiting(queue: &Queue<'_>) -> Need {
    let waiting = queue.waiting();
    Need { waiting, more: waiting, ..Need::default() }
}

fn take_from(pools: &mut [Supply], queue: &Queue<'_>, need: &mut Need, free: fn(&mut Supply) -> &mut u32) -> u32 {
    let mut taken = 0;
    for pool in &queue.least_shared {
        if need.more == 0 {
            break;
        }
        taken += pools.get_mut(*pool).map_or(0, |supply| need.take(free(supply)));
    }
    taken
}

/// Machines on their way, by home queue and pool.
type Starting = HashMap<(Option<usize>, usize), u32>;

fn supply(pass: &Pass<'_>) -> (Vec<Supply>, Starting) {
    let index = pass.index;
    let mut pools = vec![Supply::default(); index.pools.len()];
    let mut own = Starting::new();
    for machine in &pass.machines {
        let Some(place) = machine.pool else { continue };
        let Some(supply) = pools.get_mut(place) else { continue };
        supply.up += u32::from(machine.is_up());
        match machine.state() {
            State::Idle => supply.idle += 1,
            State::Starting => *own.entry((machine.home, place)).or_default() += 1,
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
            supply.intended += count;
            *own.entry((home, pool)).or_default() += count;
        }
    }
    (pools, own)
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

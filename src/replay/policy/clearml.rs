//! The peer: what ClearML's own `AutoScaler.supervisor()` does, step by step, its quirks included. For comparison only.

use std::collections::{BTreeMap, BTreeSet};

use super::Policy;
use crate::replay::trace::Millis;
use crate::replay::week::{Doing, Week};

/// A call of ClearML's API.
const CALL: Millis = 150;
/// The driver waits for the running machine by looking so often, and a little longer.
const WAITER: Millis = 15_000;
const AFTER_WAITER: Millis = 500;

/// ClearML's `AutoScaler`, with its three times.
#[derive(Debug, Clone)]
pub struct Clearml {
    /// It sleeps so long after each pass.
    pub poll: Millis,
    pub max_idle: Millis,
    pub max_spin_up: Millis,
    /// Since when each worker is thought to be idle. Those of dead machines stay in it.
    idle: BTreeMap<usize, Millis>,
    /// Machines that were launched and have not been seen as workers.
    spun: BTreeMap<usize, Millis>,
    seen: BTreeSet<usize>,
}

impl Default for Clearml {
    fn default() -> Self {
        let minute = 60_000;
        Self {
            poll: 5 * minute,
            max_idle: 15 * minute,
            max_spin_up: 30 * minute,
            idle: BTreeMap::new(),
            spun: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }
}

impl Clearml {
    /// With these times in place of its defaults.
    #[must_use]
    pub fn new(poll: Millis, max_idle: Millis) -> Self {
        Self { poll, max_idle, ..Self::default() }
    }
}

/// A queue's pool, by their places.
type Resource = (usize, usize);

/// A row of the server's list of workers.
struct Listed {
    machine: usize,
    resource: Resource,
    runs_a_job: bool,
    reported: Millis,
}

impl Policy for Clearml {
    fn act(&mut self, week: &mut Week<'_>) -> Millis {
        call(week);
        call(week);
        let workers = workers(week);
        for worker in workers.iter().map(|worker| worker.machine) {
            if !self.seen.contains(&worker) && self.spun.remove(&worker).is_some() {
                self.seen.insert(worker);
            }
        }
        self.end_the_stuck(week);
        self.watch_idle(&workers);
        let mut required = BTreeSet::new();
        let mut launches = Vec::new();
        for queue in 0..week.trace.queues.len() {
            call(week);
            self.want(week, queue, &workers, &mut required, &mut launches);
        }
        for (queue, pool) in launches {
            week.tally_mut().cloud_calls += 1;
            let Some((machine, pending)) = week.launch(queue, pool) else {
                week.advance(week.now() + week.cloud.call);
                continue;
            };
            // The launch call, the wait for the running machine, one machine after the other.
            let waited = (pending + WAITER - 1) / WAITER * WAITER;
            let spot = if week.cloud.spot.is_some() { WAITER } else { 0 };
            week.advance(week.now() + week.cloud.call + waited + spot + AFTER_WAITER);
            self.spun.insert(machine, week.now());
        }
        self.end_the_idle(week, &required);
        week.now() + self.poll
    }

    fn restart(&mut self, _week: &Week<'_>) {
        *self = Self::new(self.poll, self.max_idle);
    }
}

impl Clearml {
    fn end_the_stuck(&mut self, week: &mut Week<'_>) {
        let now = week.now();
        let stuck: Vec<_> =
            self.spun.iter().filter(|(_, at)| now - **at > self.max_spin_up).map(|(machine, _)| *machine).collect();
        for machine in stuck {
            self.spun.remove(&machine);
            terminate(week, machine);
        }
    }

    /// A worker's idle time counts from its last report before it was first seen idle; a job that ran between two looks
    /// changes nothing.
    fn watch_idle(&mut self, workers: &[Listed]) {
        if workers.is_empty() {
            self.idle.clear();
        }
        for worker in workers {
            if worker.runs_a_job {
                self.idle.remove(&worker.machine);
            } else {
                self.idle.entry(worker.machine).or_insert(worker.reported);
            }
        }
    }

    fn want(
        &self,
        week: &Week<'_>,
        queue: usize,
        workers: &[Listed],
        required: &mut BTreeSet<Resource>,
        launches: &mut Vec<Resource>,
    ) {
        let waiting = week.waiting(queue).len();
        if waiting == 0 {
            return;
        }
        let resource = |machine: &usize| week.machines().get(*machine).map(|machine| (machine.queue, machine.pool));
        let of_queue = |resource: &Resource| resource.0 == queue;
        let spun: Vec<Resource> = self.spun.keys().filter_map(resource).filter(of_queue).collect();
        let idle = self.idle.keys().filter_map(resource).filter(of_queue);
        let free: Vec<Resource> = idle.chain(spun.iter().copied()).collect();
        let count = waiting.saturating_sub(free.len());
        required.extend(free);
        let mut asked = 0;
        for (pool, cap) in week.caps(queue).iter().enumerate() {
            if asked >= count {
                break;
            }
            let here = |resource: &Resource| *resource == (queue, pool);
            let listed = workers.iter().filter(|worker| here(&worker.resource)).count();
            let spun = spun.iter().filter(|resource| here(resource)).count();
            let allowed = usize::try_from(*cap).unwrap_or(usize::MAX).saturating_sub(listed + spun);
            // As much again of each resource, whatever the others give.
            launches.extend(std::iter::repeat_n((queue, pool), count.min(allowed)));
            asked += count.min(allowed);
        }
    }

    fn end_the_idle(&mut self, week: &mut Week<'_>, required: &BTreeSet<Resource>) {
        for (machine, since) in self.idle.clone() {
            let resource = week.machines().get(machine).map(|machine| (machine.queue, machine.pool));
            if resource.is_some_and(|resource| required.contains(&resource)) || week.now() - since <= self.max_idle {
                continue;
            }
            call(week);
            if matches!(week.machines().get(machine).map(|machine| machine.doing), Some(Doing::Running(_))) {
                continue;
            }
            terminate(week, machine);
            self.idle.remove(&machine);
        }
    }
}

fn call(week: &mut Week<'_>) {
    week.tally_mut().clearml_calls += 1;
    week.advance(week.now() + CALL);
}

fn terminate(week: &mut Week<'_>, machine: usize) {
    week.tally_mut().cloud_calls += 1;
    week.terminate(machine);
}

/// The server's list of workers: registered ones, and for a while those of terminated machines.
fn workers(week: &Week<'_>) -> Vec<Listed> {
    let (now, cloud) = (week.now(), week.cloud);
    let listed = week.machines().iter().enumerate().filter(|(_, machine)| {
        machine.registers <= now
            && machine.ended.is_none_or(|ended| ended > machine.registers && now < ended + cloud.lists_the_dead_for())
    });
    listed
        .map(|(number, machine)| Listed {
            machine: number,
            resource: (machine.queue, machine.pool),
            runs_a_job: matches!(machine.doing, Doing::Running(_)),
            reported: machine.reported(now, cloud.report),
        })
        .collect()
}

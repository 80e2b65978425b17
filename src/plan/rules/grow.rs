//! Machines for the tasks that nothing serves, queue by queue in the order of priority. A machine of the queue's own
//! that is only just being let go is kept instead; then the queue's pools are asked in order, and what one cannot
//! take falls to the next.

use std::collections::HashMap;

use crate::model::ids::Actor;
use crate::model::instance::DrainCause;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::index::Queue;
use crate::plan::launch::Want;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn grow(pass: &mut Pass<'_>) {
    let index = pass.index;
    let mut retained = let_go(pass);
    for queue in &index.queues {
        let need = pass.demand.need(queue.place);
        if need.more == 0 {
            continue;
        }
        let reason = need.reason();
        if let Some(no) = forbidden(pass) {
            refuse(pass, queue, None, need.more, no);
            continue;
        }
        let mut left = need.more;
        for pool in &queue.pools {
            let machines = retained.remove(&(queue.place, *pool)).unwrap_or_default();
            for machine in machines.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                keep(pass, Rule::Grow, machine, &reason);
                left -= 1;
            }
        }
        let mut refused = Vec::new();
        for pool in &queue.pools {
            if left == 0 {
                break;
            }
            let by = Actor::the_loop();
            let want =
                Want { rule: Rule::Grow, by: &by, queue: queue.place, pool: *pool, count: left, reason: &reason };
            let launched = pass.launch(&want);
            left -= launched.count;
            refused.extend(launched.refused.into_iter().map(|reason| (*pool, reason)));
        }
        decide(pass, queue, reason);
        for (pool, reason) in refused {
            refuse(pass, queue, Some(pool), left, reason);
        }
    }
}

/// Why nothing at all is launched, if so.
pub(in crate::plan) fn forbidden(pass: &Pass<'_>) -> Option<Reason> {
    let all_stopped = || Some(Reason::Asked { by: pass.all_stopped_by.clone()? });
    pass.index.stale_clearml().or_else(all_stopped)
}

fn decide(pass: &mut Pass<'_>, queue: &Queue<'_>, reason: Reason) {
    if let Some(decided) = pass.decided.get_mut(queue.place) {
        *decided = Some(reason);
    }
}

fn refuse(pass: &mut Pass<'_>, queue: &Queue<'_>, pool: Option<usize>, short_of: u32, reason: Reason) {
    let pool = pool.and_then(|pool| pass.index.pools.get(pool)).map(|pool| &pool.settings.name);
    let about = About { queue: Some(&queue.settings.name), pool, instance: None, short_of };
    if short_of > 0 {
        decide(pass, queue, reason.clone());
    }
    pass.refuse(Rule::Grow, &about, reason);
}

/// Machines whose drain the loop ordered for want of work and may still take back, by home queue and pool.
fn let_go(pass: &Pass<'_>) -> HashMap<(usize, usize), Vec<usize>> {
    let mut machines: HashMap<_, Vec<_>> = HashMap::new();
    for (place, machine) in pass.machines.iter().enumerate().filter(|(_, machine)| may_keep(pass, machine)) {
        if let (Some(home), Some(pool)) = (machine.home, machine.pool) {
            machines.entry((home, pool)).or_default().push(place);
        }
    }
    machines
}

/// Before the answer nothing was stopped on the order's strength; once it is taken back nothing will be.
pub(in crate::plan) fn may_keep(pass: &Pass<'_>, machine: &Machine<'_>) -> bool {
    let seen = machine.seen;
    machine.state() == State::Draining
        && machine.ordered().is_some()
        && !machine.acknowledged
        && seen.task.is_none()
        && seen.drain.as_ref().is_some_and(|drain| drain.cause == DrainCause::Surplus)
        && pass.index.stale_region(seen.provider, &seen.region).is_none()
}

pub(in crate::plan) fn keep(pass: &mut Pass<'_>, rule: Rule, place: usize, reason: &Reason) {
    let Some(machine) = pass.machines.get_mut(place) else { return };
    machine.take_back_drain();
    let (instance, pool) = (machine.seen.id.clone(), machine.pool);
    if let Some(pool) = pool {
        pass.demand.raise(pool, 1);
    }
    pass.act(rule, Action::CancelDrain { instance }, reason.clone());
}

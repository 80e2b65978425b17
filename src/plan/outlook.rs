//! What happens next on each queue, and the reason that decides it.

use super::index::{Index, Queue};
use super::machine::{Machine, State};
use super::pass::Pass;
use crate::model::plan::Outlook;
use crate::model::reason::Reason;

/// A queue's machines as the snapshot has them, before anything is decided.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    running: u32,
    idle: u32,
    starting: u32,
    draining: u32,
    faults: u32,
}

/// Counts machines by home queue, tasks by the queue that they came from.
pub(super) fn seen(index: &Index<'_>, machines: &[Machine<'_>]) -> Vec<Seen> {
    let mut queues = vec![Seen::default(); index.queues.len()];
    for machine in machines {
        let state = machine.state();
        let from = machine.seen.task.as_ref().and_then(|task| task.queue.as_ref());
        let queue = match from.filter(|_| state == State::Busy) {
            Some(queue) => index.queue_place(queue),
            None => machine.home,
        };
        let Some(seen) = queue.and_then(|queue| queues.get_mut(queue)) else { continue };
        match state {
            State::Busy => seen.running += 1,
            // One that returns needs only its next look at the order.
            State::Idle | State::Returning => seen.idle += 1,
            State::Booting => seen.starting += 1,
            State::Draining => seen.draining += 1,
            State::Faulty => seen.faults += 1,
            State::Stopping | State::Gone => {}
        }
    }
    for intent in &index.snapshot.intents {
        if let Some(seen) = index.queue_place(&intent.queue).and_then(|queue| queues.get_mut(queue)) {
            seen.starting += 1;
        }
    }
    queues
}

/// In the order of the settings.
pub(super) fn outlooks(pass: &Pass<'_>, seen: &[Seen]) -> Vec<Outlook> {
    let stale = pass.index.stale_clearml();
    let mut outlooks: Vec<_> = pass
        .index
        .queues
        .iter()
        .zip(seen)
        .map(|(queue, seen)| {
            let need = pass.demand.need(queue.place);
            let outlook = Outlook {
                queue: queue.settings.name.clone(),
                waiting: need.waiting,
                oldest: queue.state.and_then(|state| state.waiting.iter().map(|entry| entry.added).min()),
                running: seen.running,
                idle: seen.idle,
                starting: seen.starting,
                draining: seen.draining,
                faults: seen.faults,
                need: need.more,
                next: stale.clone().or_else(|| next(pass, queue, *seen)),
            };
            (queue.written, outlook)
        })
        .collect();
    outlooks.sort_by_key(|(written, _)| *written);
    outlooks.into_iter().map(|(_, outlook)| outlook).collect()
}

fn next(pass: &Pass<'_>, queue: &Queue<'_>, seen: Seen) -> Option<Reason> {
    let decided = pass.decided.get(queue.place).cloned().flatten();
    let need = pass.demand.need(queue.place);
    if decided.is_some() || need.waiting > 0 {
        return decided.or_else(|| Some(need.served()));
    }
    let spare = seen.idle + seen.starting > 0;
    let notes = queue.pools.iter().filter_map(|pool| pass.surplus_notes.get(*pool)?.clone());
    notes.into_iter().find(|_| spare)
}

//! What happens next on each queue, and the reason that decides it.

use super::index::{Index, Queue};
use super::launch::UNKNOWN_BOOT;
use super::machine::{Machine, State};
use super::pass::Pass;
use crate::model::clear::{Backlog, ToClear};
use crate::model::ids::QueueName;
use crate::model::instance::Phase;
use crate::model::plan::Outlook;
use crate::model::reason::Reason;
use crate::model::record::Samples;

/// Each queue's machines as the snapshot has them, before anything is decided.
pub(super) struct Seen(Vec<Counts>);

#[derive(Clone, Copy, Default)]
struct Counts {
    running: u32,
    idle: u32,
    starting: u32,
    draining: u32,
    faults: u32,
}

impl Seen {
    pub(super) fn new(index: &Index<'_>) -> Self {
        let mut seen = Self(vec![Counts::default(); index.queues.len()]);
        for intent in &index.snapshot.intents {
            if let Some(counts) = index.queue_place(&intent.queue).and_then(|queue| seen.0.get_mut(queue)) {
                counts.starting += 1;
            }
        }
        seen
    }

    /// Counts a machine for its home queue, or the tasks on it for the queues that they came from.
    pub(super) fn count(&mut self, index: &Index<'_>, machine: &Machine<'_>) {
        let state = machine.state();
        let mut tasks = machine.seen.tasks().filter(|_| state == State::Busy);
        self.count_one(index, machine, state, tasks.next().and_then(|task| task.queue.as_ref()));
        for task in tasks {
            self.count_one(index, machine, state, task.queue.as_ref());
        }
    }

    fn count_one(&mut self, index: &Index<'_>, machine: &Machine<'_>, state: State, from: Option<&QueueName>) {
        let queue = from.map_or(machine.home, |queue| index.queue_place(queue));
        let Some(counts) = queue.and_then(|queue| self.0.get_mut(queue)) else { return };
        match state {
            // A pod has its task before it has a node.
            State::Busy if matches!(machine.seen.phase, Phase::Pending | Phase::Booting) => counts.starting += 1,
            State::Busy => counts.running += 1,
            // One that returns needs only its next look at the order.
            State::Idle | State::Returning => counts.idle += 1,
            State::Booting => counts.starting += 1,
            State::Draining => counts.draining += 1,
            State::Faulty => counts.faults += 1,
            State::Stopping | State::Off | State::Gone => {}
        }
    }
}

/// In the order of the settings.
pub(super) fn outlooks(pass: &Pass<'_>, seen: &Seen) -> Vec<Outlook> {
    let stale = pass.index.stale_clearml();
    let mut outlooks: Vec<_> = pass
        .index
        .queues
        .iter()
        .zip(&seen.0)
        .map(|(queue, seen)| {
            let need = pass.demand.need(queue.place);
            let outlook = Outlook {
                queue: queue.settings.name.clone(),
                waiting: need.waiting,
                oldest: queue.oldest(),
                running: seen.running,
                idle: seen.idle,
                starting: seen.starting,
                draining: seen.draining,
                faults: seen.faults,
                need: need.more,
                next: stale.clone().or_else(|| next(pass, queue, *seen)),
                to_clear: to_clear(pass, queue, need.waiting, need.more),
            };
            (queue.written, outlook)
        })
        .collect();
    outlooks.sort_by_key(|(written, _)| *written);
    outlooks.into_iter().map(|(_, outlook)| outlook).collect()
}

/// On machines as one would be launched now.
fn to_clear(pass: &Pass<'_>, queue: &Queue<'_>, tasks: u32, short_of: u32) -> Option<ToClear> {
    let index = pass.index;
    let pool = queue.pools.first().and_then(|pool| index.pools.get(*pool)).filter(|_| tasks > 0)?;
    let rate = pool.kinds.iter().find_map(|kind| kind.offer.rate)?;
    let each = pool.settings.agent.agents();
    let samples = index.snapshot.learned.tasks.get(&queue.settings.name);
    let backlog = Backlog {
        tasks,
        boots: short_of.div_ceil(each.max(1)),
        boot: index.boot_time(pool, UNKNOWN_BOOT),
        rate,
        each,
        past: samples.map(Samples::as_slice).unwrap_or_default(),
        expected: queue.settings.expected_task,
    };
    Some(backlog.to_clear())
}

fn next(pass: &Pass<'_>, queue: &Queue<'_>, seen: Counts) -> Option<Reason> {
    let decided = pass.decided.get(queue.place).cloned().flatten();
    let need = pass.demand.need(queue.place);
    if decided.is_some() || need.waiting > 0 {
        return decided.or_else(|| Some(need.served()));
    }
    let spare = seen.idle + seen.starting > 0;
    let notes = queue.pools.iter().filter_map(|pool| pass.surplus_notes.get(*pool)?.clone());
    notes.into_iter().find(|_| spare)
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{Drain, DrainCause, Fault, Instance, Phase};
    use crate::plan::example::{World, ago, drain, instance, queue};

    fn next(world: &World) -> String {
        world.plan().outlooks[0].next.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn what_waits_has_its_price() {
        let cost = |world: &World| world.plan().outlooks[0].to_clear.map(|cost| cost.likely.to_string());
        assert_eq!(cost(&World::new().waiting("train", 0)), None);
        // An hour of each at $1.006, and two boots of 370 s.
        assert_eq!(cost(&World::new().waiting("train", 2)).as_deref(), Some("$2.22"));
        assert_eq!(cost(&World::new().waiting("train", 2).with(instance("i", Phase::Idle))).as_deref(), Some("$2.12"));
        let unpriced =
            World::new().waiting("train", 2).set(|settings| settings.pools[0].types = vec!["u1.huge".into()]);
        assert_eq!(cost(&unpriced), None);
    }

    #[test]
    fn the_deciding_reason_is_the_first_that_holds() {
        let idle = || World::new().with(instance("i-1", Phase::Idle));
        let waiting = |count| World::new().waiting("train", count);
        let need = "2 waiting - 0 idle - 0 starting - 0 foreign idle = 2 needed";
        for (world, told) in [
            (waiting(0), ""),
            (waiting(2), need),
            (waiting(2).set(|settings| settings.limits.max = Some(2)), need),
            (
                waiting(2).set(|settings| settings.limits.max = Some(1)),
                "limits.max is 1: 1 instance used, one more needs 1 instance",
            ),
            (waiting(2).last_heard("clearml", 61), "clearml has not answered for 1m01, more than 1m00"),
            (waiting(0).last_heard("clearml", 61), "clearml has not answered for 1m01, more than 1m00"),
            (idle().waiting("train", 1), "1 waiting, 1 idle, 0 starting, 0 foreign idle: enough"),
            (idle().waiting("train", 0), "1 more than needed for 0s; one is drained at 10m00"),
            (idle().waiting("train", 0).surplus(&[900]), "1 more than needed for 15m00, keep-alive is 10m00"),
            (idle().waiting("train", 0).set(|settings| settings.pools[0].min = 1), "1 up, pool.gpu.min is 1"),
        ] {
            assert_eq!(next(&world), told);
        }
        let shared = idle().waiting("train", 0).waiting("eval", 0).set(|settings| {
            settings.queues.push(queue("eval", &["gpu"]));
        });
        assert_eq!(shared.plan().outlooks[1].next, None, "the idle machine is another queue's");
    }

    #[test]
    fn machines_count_at_home_and_tasks_where_they_came_from() {
        let with = |id: &str, phase, change: fn(&mut Instance)| {
            let mut machine = instance(id, phase);
            change(&mut machine);
            machine
        };
        let world = World::new()
            .set(|settings| {
                settings.queues = vec![queue("train", &["gpu"]), queue("eval", &["gpu"])];
                settings.queues[1].priority = 9;
            })
            .waiting("train", 3)
            .waiting("eval", 0)
            .with(with("i-1", Phase::Busy, |_| {}))
            .with(with("i-2", Phase::Busy, |i| i.task.as_mut().unwrap().queue = Some("eval".into())))
            .with(with("i-3", Phase::Idle, |_| {}))
            .with(with("i-4", Phase::Booting, |_| {}))
            .with(with("i-5", Phase::Draining, |i| i.drain = Some(drain(DrainCause::Person, 9, None))))
            .with(with("i-6", Phase::Idle, |i| i.fault = Some(Fault::NotPulling)))
            .with(with("i-7", Phase::Gone, |_| {}))
            .with(with("i-8", Phase::Busy, |i| i.task = None))
            .with(with("i-9", Phase::Busy, |i| {
                i.drain = Some(Drain { cancelled: true, ..drain(DrainCause::Person, 9, None) });
            }))
            .with(with("i-10", Phase::Pending, |i| i.task = instance("i-10", Phase::Busy).task))
            .intent("gpu", "train");
        let outlooks = world.plan().outlooks;
        let train = &outlooks[0];
        assert_eq!((train.queue.as_str(), train.waiting, train.oldest), ("train", 3, Some(ago(100))));
        assert_eq!((train.running, train.idle, train.starting, train.draining, train.faults), (3, 1, 3, 1, 1));
        assert_eq!((outlooks[1].queue.as_str(), outlooks[1].running), ("eval", 1), "in the order of the settings");
    }
}

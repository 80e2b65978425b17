//! How soon to look again: soon where an answer is awaited, or more and more tasks come; when a keep-alive is over; less
//! often else, for agents take their tasks without us, and machines boot for minutes. `replay --gates` says how many calls
//! to ClearML that comes to in a week.

use jiff::{SignedDuration, Timestamp};

use crate::model::instance::{Instance, Phase};
use crate::model::plan::{Action, Plan, Planned};
use crate::model::snapshot::Snapshot;

/// While something is about to be answered or was just begun.
pub const QUICK: SignedDuration = SignedDuration::from_secs(10);
/// While machines are on their way, when nothing moves, or what moved is settled.
pub const SLOW: SignedDuration = SignedDuration::from_secs(25);
/// By so much the pauses become longer when nothing moves.
pub const SLOWER: SignedDuration = SignedDuration::from_secs(5);

/// The time to the next look, after one that came `before` after its own last.
#[must_use]
pub fn pace(snapshot: &Snapshot, plan: &Plan, before: SignedDuration) -> SignedDuration {
    if !snapshot.intents.is_empty() || plan.actions.iter().any(begins) || snapshot.instances.iter().any(answers) {
        return QUICK;
    }
    let comes = snapshot.instances.iter().any(|instance| matches!(instance.phase, Phase::Pending | Phase::Booting));
    // Stops that follow an answer need no look of their own.
    let settled = !plan.actions.is_empty();
    let pause = if comes || settled { SLOW } else { (before + SLOWER).min(SLOW) };
    let due = |due: Timestamp| due.duration_since(plan.at).max(QUICK);
    plan.due.map_or(pause, |at| pause.min(due(at)))
}

/// Whether what was decided is soon to be followed by more.
fn begins(planned: &Planned) -> bool {
    match &planned.action {
        // A sweep comes in.
        Action::Launch(launch) => launch.count > 1,
        Action::Drain { .. } | Action::CancelDrain { .. } => true,
        _ => false,
    }
}

/// Whether the machine is about to answer: an order to drain, or to go on, while it has no task; to end the one that it has.
fn answers(instance: &Instance) -> bool {
    let drain = instance.drain.as_ref().filter(|_| instance.registered && instance.phase != Phase::Stopping);
    drain.is_some_and(|drain| drain.cancelled || drain.end_asked.is_some() || instance.task.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::DrainCause;
    use crate::plan::example::{World, drain, instance, secs};

    fn after(world: &World, before: i64) -> i64 {
        pace(&world.snapshot, &world.plan(), secs(before)).as_secs()
    }

    #[test]
    fn it_is_quick_while_answers_are_awaited_and_slow_when_nothing_moves() {
        let nothing = World::new().waiting("train", 0);
        assert_eq!([10, 15, 20, 25].map(|before| after(&nothing, before)), [15, 20, 25, 25]);
        assert_eq!(after(&World::new().waiting("train", 2), 25), 10, "a sweep");
        assert_eq!(after(&World::new().waiting("train", 1), 10), 25, "a single one");
        let surplus = World::new().waiting("train", 0).with(instance("i-1", Phase::Idle)).surplus(&[600]);
        assert_eq!(after(&surplus, 25), 10, "a drain begins");
        let booting = World::new().waiting("train", 1).with(instance("i-1", Phase::Booting));
        assert_eq!(after(&booting, 10), 25);
        let draining = |phase| {
            let mut machine = instance("i-1", phase);
            machine.drain = Some(drain(DrainCause::Surplus, 10, None));
            World::new().waiting("train", 0).with(machine)
        };
        assert_eq!(after(&draining(Phase::Draining), 25), 10);
        assert_eq!(after(&draining(Phase::Stopping), 25), 25);
        let mut busy = draining(Phase::Draining);
        busy.snapshot.instances[0].task = instance("i-1", Phase::Busy).task;
        assert_eq!(after(&busy, 25), 25, "its task takes as long as it takes");
        busy.snapshot.instances[0].drain.as_mut().unwrap().end_asked = Some(busy.now);
        assert_eq!(after(&busy, 25), 10, "it is asked to end");
    }

    #[test]
    fn it_looks_when_a_keep_alive_is_over() {
        let idle = |lasted| World::new().waiting("train", 0).with(instance("i-1", Phase::Idle)).surplus(&[lasted]);
        assert_eq!([0, 583, 597].map(|lasted| after(&idle(lasted), 25)), [25, 17, 10]);
    }
}

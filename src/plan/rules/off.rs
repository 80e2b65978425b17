//! Machines that are switched off, though nobody here did that: they switched themselves off, their cloud did, or a person.
//! Nothing runs there any more, their disks cost money, and their tasks wait for their end: they are ended. A person who
//! switched one off has a moment to switch it on again, or to hold it.

use jiff::SignedDuration;

use crate::model::instance::OffOutside;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::machine::State;
use crate::plan::pass::{About, Pass};

/// A moment for whoever switched it off.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

pub(in crate::plan) fn end(pass: &mut Pass<'_>) {
    let now = pass.index.now;
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place).filter(|machine| machine.state() == State::Stopping) else {
            continue;
        };
        let (seen, no_guard) = (machine.seen, machine.no_guard(pass.index));
        let Some(OffOutside { since, for_good }) = seen.off_outside else { continue };
        let off = now.duration_since(since);
        if !for_good && off < GRACE {
            continue;
        }
        let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
        if let Some(no) = machine.held().or(no_guard).or_else(stale) {
            pass.refuse(Rule::Kept, &About::instance(&seen.id), no);
            continue;
        }
        if let Some(machine) = pass.machines.get_mut(place) {
            machine.stopped = true;
        }
        pass.act(
            Rule::Kept,
            Action::Stop { instance: seen.id.clone(), kill: false },
            Reason::OffOutside { off, for_good },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Fault, Instance, Origin, Phase};
    use crate::plan::example::{World, ago, hold, instance};

    fn off(seconds: i64, for_good: bool) -> Instance {
        let off_outside = Some(OffOutside { since: ago(seconds), for_good });
        Instance { off_outside, fault: Some(Fault::StoppedOutside), ..instance("i-1", Phase::Stopping) }
    }

    #[test]
    fn what_is_off_and_not_by_us_is_ended_and_a_person_has_a_moment() {
        let told = |off: &str| format!("kept: stop i-1: switched off for {off}, and not by us");
        World::new().with(off(119, false)).expect(&[]);
        World::new().with(off(120, false)).expect(&[&told("2m00")]);
        let by_itself = "kept: stop i-1: switched off for 3s, by itself or its cloud";
        World::new().with(off(3, true)).expect(&[by_itself]);
        World::new().with(instance("i-1", Phase::Stopping)).expect(&[]);
        // Of one that ends already nobody asks again.
        let busy = Instance { task: instance("i-1", Phase::Busy).task, ..off(3, true) };
        World::new().with(busy).expect(&[by_itself]);
    }

    #[test]
    fn what_is_held_or_not_seen_or_another_s_is_left() {
        let held = Instance { hold: Some(hold(60)), ..off(300, true) };
        World::new().with(held).expect(&["NOT kept i-1: held by ann until 2026-11-02 08:01Z: profiling"]);
        let stale = World::new().with(off(300, true)).last_heard("aws us-east-1", 61);
        stale.expect(&["NOT kept i-1: aws us-east-1 has not answered for 1m01, more than 1m00"]);
        let brought = Instance { origin: Origin::BroughtOver, ..off(300, true) };
        assert!(World::new().with(brought).plan().actions.is_empty());
    }
}

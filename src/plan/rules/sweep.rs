//! Machines that carry our fleet's tag and are in no ledger: taken in, never stopped for that.

use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::pass::Pass;

pub(in crate::plan) fn adopt(pass: &mut Pass<'_>) {
    let now = pass.index.now;
    for instance in pass.unknown.clone() {
        let reason = Reason::Unknown { age: instance.age(now) };
        pass.act(Rule::Sweep, Action::Adopt { instance: instance.id.clone() }, reason);
    }
}

#[cfg(test)]
mod tests {
    use crate::model::instance::{Origin, Phase};
    use crate::plan::example::{World, instance};

    #[test]
    fn what_carries_our_tag_and_is_in_no_ledger_is_adopted() {
        let mut orphan = instance("i-1", Phase::Busy);
        orphan.origin = Origin::Orphan;
        let mut world = World::new();
        world.snapshot.instances.push(orphan.clone());
        world.expect(&["sweep: adopt i-1: our fleet's tag, 10m00 old, not in the store: adopted"]);
        World::new().with(orphan.clone()).expect(&[]);
        for phase in [Phase::Stopping, Phase::Gone] {
            // Its bill was closed, which takes it out of the open ones.
            orphan.phase = phase;
            let mut world = World::new();
            world.snapshot.instances.push(orphan.clone());
            world.expect(&[]);
        }
    }

    #[test]
    fn a_stale_cloud_does_not_keep_a_bill_out_of_the_ledger() {
        let mut world = World::new().last_heard("aws us-east-1", 100).last_heard("clearml", 100);
        let mut orphan = instance("i-1", Phase::Booting);
        orphan.origin = Origin::Orphan;
        world.snapshot.instances.push(orphan);
        assert_eq!(world.plan().actions.len(), 1);
    }
}

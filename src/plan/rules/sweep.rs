//! Machines that carry our fleet's tag and are in no ledger: taken in, never stopped for that.

use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::budgets::is_unknown;
use crate::plan::pass::Pass;

pub(in crate::plan) fn adopt(pass: &mut Pass<'_>) {
    let index = pass.index;
    for instance in index.snapshot.instances.iter().filter(|instance| is_unknown(instance, index.ledger)) {
        let age = instance.age(index.now);
        pass.act(Rule::Sweep, Action::Adopt { instance: instance.id.clone() }, Reason::Unknown { age });
    }
}

//! A machine that answered its drain has no task and takes none: it is stopped, whatever the drain was for.

use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

pub(in crate::plan) fn stop(pass: &mut Pass<'_>) {
    for place in 0..pass.machines.len() {
        let Some(machine) = pass.machines.get(place) else { continue };
        if !machine.acknowledged || matches!(machine.state(), State::Gone | State::Stopping) {
            continue;
        }
        let Some(drain) = &machine.seen.drain else { continue };
        let after = drain.acknowledged.map(|at| at.duration_since(drain.ordered)).unwrap_or_default();
        let id = &machine.seen.id;
        if let Some(reason) = refusal(pass, place) {
            pass.refuse(Rule::Drain, &About::instance(id), reason);
            continue;
        }
        if let Some(machine) = pass.machines.get_mut(place) {
            machine.stopped = true;
        }
        let stop = Action::Stop { instance: id.clone(), kill: false };
        pass.act(Rule::Drain, stop, Reason::Drained { after });
    }
}

fn refusal(pass: &Pass<'_>, place: usize) -> Option<Reason> {
    let machine = pass.machines.get(place)?;
    let seen = machine.seen;
    let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
    machine.held().or_else(stale).or_else(|| busy(machine))
}

/// The worker says otherwise than the answer: then there may be a task.
fn busy(machine: &Machine<'_>) -> Option<Reason> {
    let task = machine.seen.task.as_ref()?;
    Some(Reason::Busy { instance: machine.seen.id.clone(), task: Some(task.id.clone()) })
}

//! What a deed on many machines at once would do: one plan, and one question.

use jiff::Timestamp;

use super::consequence::{Proof, Question, plain, task};
use crate::engine::event::View;
use crate::model::eta::Eta;
use crate::model::ids::{InstanceId, QueueName};
use crate::model::instance::{Hold, Instance, Phase};
use crate::model::money::Rate;
use crate::model::tasks::{NamedTask, TaskDeed};
use crate::model::which::{Chosen, Which, can_drain};
use crate::tui::commands::{Id, Keymap};
use crate::tui::list::state_of;
use crate::tui::words::{plural, short};

/// More are counted.
const TASKS_SHOWN: usize = 6;

/// Those of the machines that are idle still.
pub(super) fn idle_of<'a>(ids: &[InstanceId], view: &'a View, now: Timestamp) -> Vec<&'a Instance> {
    let idle = Which::all_idle().to_drain(&view.snapshot, now).machines;
    idle.into_iter().filter(|machine| ids.contains(&machine.id)).collect()
}

/// Those of the machines whose drain can still be taken back.
pub(super) fn open_of<'a>(ids: &[InstanceId], view: &'a View) -> Vec<&'a Instance> {
    ids.iter().filter_map(|id| view.snapshot.instance(id)).filter(|machine| is_open(machine)).collect()
}

pub(super) fn drain_all(ids: &[InstanceId], view: &View, now: Timestamp) -> Result<Question, String> {
    let machines = idle_of(ids, view, now);
    if machines.is_empty() {
        return Err("none of them is idle any more: nothing was done".to_owned());
    }
    let chosen = Chosen { machines, held: Vec::new() };
    let count = plural(chosen.machines.len(), "idle machine", "idle machines");
    let lines = vec![
        format!("{}.", names(&chosen.machines)),
        "They take no more tasks; one that takes one meanwhile finishes it. Then they are stopped.".to_owned(),
        format!("{} less once they are gone.", chosen.rate()),
        "The loop starts others if tasks wait, or a pool's min asks for them.".to_owned(),
    ];
    Ok(plain(format!("Drain {count} now?"), lines, "drain them all"))
}

pub(super) fn cancel_all(ids: &[InstanceId], view: &View) -> Result<Question, String> {
    let open = open_of(ids, view);
    if open.is_empty() {
        return Err("each has answered, or is gone: it is too late".to_owned());
    }
    let count = plural(open.len(), "machine", "machines");
    let lines = vec![format!("{}.", names(&open)), "They take tasks again.".to_owned()];
    Ok(plain(format!("Cancel the drain of {count}?"), lines, "cancel it"))
}

/// Its drain was not answered yet, nor taken back.
pub(crate) fn is_open(machine: &Instance) -> bool {
    let open = machine.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_none() && !drain.cancelled);
    open && !is_ending(machine)
}

/// Whether its drain cannot be taken back any more: the cloud was told to end it.
pub(crate) fn is_ending(machine: &Instance) -> bool {
    machine.phase == Phase::Stopping
}

/// Those of the machines that can be drained now.
pub(super) fn drainable_of<'a>(ids: &[InstanceId], view: &'a View, now: Timestamp) -> Vec<&'a Instance> {
    there(ids, view).filter(|machine| can_drain(machine, now)).collect()
}

/// Those of the machines that are not being stopped yet.
fn stoppable_of<'a>(machines: &[(InstanceId, bool)], view: &'a View) -> Vec<&'a Instance> {
    let ids: Vec<_> = machines.iter().map(|(id, _)| id.clone()).collect();
    there(&ids, view).filter(|machine| machine.phase != Phase::Stopping).collect()
}

/// As the question tells them: which are stopped, and which are killed with a task. One that takes a task afterwards is
/// not ended with it.
pub(super) fn fates_of(machines: &[(InstanceId, bool)], view: &View) -> Vec<(InstanceId, bool)> {
    stoppable_of(machines, view).into_iter().map(|machine| (machine.id.clone(), machine.may_have_task())).collect()
}

fn there<'a>(ids: &[InstanceId], view: &'a View) -> impl Iterator<Item = &'a Instance> {
    ids.iter().filter_map(|id| view.snapshot.instance(id)).filter(|machine| machine.is_there())
}

/// Those that are there still.
pub(super) fn left_of(ids: &[InstanceId], view: &View) -> Vec<InstanceId> {
    there(ids, view).map(|machine| machine.id.clone()).collect()
}

/// One by its id, more by their number.
pub(crate) fn called(ids: &[InstanceId]) -> String {
    match ids {
        [one] => one.to_string(),
        more => plural(more.len(), "machine", "machines"),
    }
}

/// A note on machines that are there, which is as easily taken back.
fn note(
    ids: &[InstanceId],
    view: &View,
    asks: (&str, &str),
    line: String,
    verb: &'static str,
) -> Result<Question, String> {
    let machines: Vec<&Instance> = there(ids, view).collect();
    let (before, after) = asks;
    match (machines.as_slice(), ids) {
        ([], [one]) => Err(format!("{one} is gone: nothing was done")),
        ([], _) => Err("each of them is gone: nothing was done".to_owned()),
        ([one], _) => Ok(plain(format!("{before}{}{after}?", one.id), vec![line], verb)),
        (several, _) => {
            let count = plural(several.len(), "machine", "machines");
            Ok(plain(format!("{before}{count}{after}?"), vec![format!("{}.", names(several)), line], verb))
        }
    }
}

pub(super) fn hold(ids: &[InstanceId], hold: &Hold, view: &View, now: Timestamp) -> Result<Question, String> {
    let lasts = short(hold.until.duration_since(now));
    let line = format!("For {lasts} the loop neither drains nor stops what is held: {}.", hold.why);
    note(ids, view, ("Hold ", ""), line, "hold")
}

pub(super) fn replace(ids: &[InstanceId], view: &View) -> Result<Question, String> {
    let line = "Each is drained and ended once it is idle and no waiting task needs it; others are started for a pool's min, \
                or when a task waits.";
    note(ids, view, ("Replace ", ""), line.to_owned(), "replace")
}

pub(super) fn let_be(ids: &[InstanceId], view: &View) -> Result<Question, String> {
    let line = "It works on, and is not drained for another in its place.".to_owned();
    note(ids, view, ("Let ", " be"), line, "let be")
}

pub(super) fn release(ids: &[InstanceId], view: &View) -> Result<Question, String> {
    let line = "The loop may drain and stop them again: idle, each once it has been surplus for its keep-alive.";
    note(ids, view, ("End the hold of ", ""), line.to_owned(), "release")
}

fn rate_of(machines: &[&Instance]) -> Rate {
    machines.iter().filter_map(|machine| machine.rate).sum()
}

/// What becomes of tasks that are taken out, or put in again.
pub(super) fn tasks(queue: &QueueName, tasks: &[NamedTask], deed: TaskDeed) -> Question {
    let mut lines: Vec<_> = tasks.iter().take(TASKS_SHOWN).map(|task| format!("{task}.")).collect();
    if tasks.len() > TASKS_SHOWN {
        lines.push(format!("And {} more.", tasks.len() - TASKS_SHOWN));
    }
    let what = match tasks {
        [one] => one.name.clone(),
        several => plural(several.len(), "task", "tasks"),
    };
    if deed == TaskDeed::PutIn {
        lines.push(format!("Each waits at the end of {queue}, and runs in its turn; machines are started for it."));
        return plain(format!("Put {what} into {queue} again?"), lines, "put in");
    }
    lines.push("Each is again what it was before it was enqueued, and does not run until it is put in.".to_owned());
    lines.push("u puts it back, at the end of the queue. One that was just begun stays as it is.".to_owned());
    plain(format!("Take {what} out of {queue}?"), lines, "take out")
}

/// Whatever they do: those with a task finish it first.
pub(super) fn drain_these(ids: &[InstanceId], view: &View, now: Timestamp) -> Result<Question, String> {
    let machines = drainable_of(ids, view, now);
    if machines.is_empty() {
        return Err("none of them can be drained any more: nothing was done".to_owned());
    }
    let (busy, free): (Vec<&Instance>, Vec<&Instance>) = machines.iter().partition(|machine| machine.task.is_some());
    // What matters most comes first: a small screen shows no more.
    let less = rate_of(&machines);
    let mut lines = vec![format!("They take no more tasks, then they are stopped. {less} less once they are gone.")];
    if !free.is_empty() {
        lines.push(format!("Show no task now: {}.", names(&free)));
    }
    for machine in busy.iter().take(TASKS_SHOWN) {
        let eta = Eta::of(machine, &view.snapshot.learned, &view.settings, now);
        let eta = eta.map(|eta| format!("; done in {eta}")).unwrap_or_default();
        let waits = task(machine, now).unwrap_or_else(|| "a task that it may have".to_owned());
        lines.push(format!("{} finishes first: {waits}{eta}.", machine.id));
    }
    if busy.len() > TASKS_SHOWN {
        lines.push(format!("{} more finish their tasks first.", busy.len() - TASKS_SHOWN));
    }
    let left: Vec<&Instance> = there(ids, view).filter(|machine| !can_drain(machine, now)).collect();
    if !left.is_empty() {
        lines.push(format!("Left out, held or on their way out: {}.", names(&left)));
    }
    lines.push("The loop starts others if tasks wait, or a pool's min asks for them.".to_owned());
    let count = plural(machines.len(), "machine", "machines");
    Ok(plain(format!("Drain {count}?"), lines, "drain them all"))
}

/// Those that surely have no task are stopped; where one is killed with its task, the number is typed.
pub(super) fn stop_these(machines: &[(InstanceId, bool)], view: &View, keys: &Keymap) -> Result<Question, String> {
    let machines = stoppable_of(machines, view);
    if machines.is_empty() {
        return Err("each is gone, or is being stopped already: nothing was done".to_owned());
    }
    let (busy, free): (Vec<&Instance>, Vec<&Instance>) = machines.iter().partition(|machine| machine.may_have_task());
    let mut lines = Vec::new();
    if !free.is_empty() {
        lines.push(format!("Surely without a task: {}.", names(&free)));
    }
    if !busy.is_empty() {
        lines.push(format!("KILLED with the task that each has or may have: {}.", names(&busy)));
        let drain = keys.first(Id::Drain);
        lines.push(format!("Their tasks are lost, or enqueued again by each queue's on_lost; {drain} drains instead."));
    }
    lines.push(format!("{} less once they are gone.", rate_of(&machines)));
    let count = plural(machines.len(), "machine", "machines");
    let (title, verb, proof) = match busy.len() {
        0 => (format!("Stop {count}?"), "stop them all", Proof::Yes),
        killed => (
            format!("Stop {count}, {killed} of them with a task?"),
            "end them all",
            Proof::Type(format!("kill {killed}")),
        ),
    };
    Ok(Question { title, lines, verb, proof })
}

pub(super) fn names(machines: &[&Instance]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<_> =
        machines.iter().take(SHOWN).map(|instance| format!("{} ({})", instance.id, state_of(instance).1)).collect();
    let more = machines.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

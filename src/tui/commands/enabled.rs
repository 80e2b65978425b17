//! Why a command cannot be done now.

use jiff::tz::TimeZone;

use crate::model::instance::Instance;
use crate::model::settings::Provider;
use crate::model::tasks::{QueuedTask, TaskState};
use crate::model::which::{Which, can_drain};
use crate::tui::commands::Id;
use crate::tui::dialog::several::{is_ending, is_open};
use crate::tui::layout::Layout;
use crate::tui::list;
use crate::tui::state::State;
use crate::tui::state::place::{Page, Subject};

type Answer = Result<(), String>;

#[expect(clippy::unnecessary_wraps, reason = "a line of the table like any other")]
pub(super) fn always(_: &State) -> Answer {
    Ok(())
}

pub(super) fn seen(state: &State) -> Answer {
    state.live.as_ref().map(|_| ()).ok_or_else(|| "the loop has not looked yet".to_owned())
}

pub(super) fn leads(state: &State) -> Answer {
    state.can_order().map(|_| ())
}

fn machine(state: &State) -> Result<&Instance, String> {
    state.can_order()?;
    match state.subject() {
        Some(Subject::Instance(id)) => {
            let found = state.machine(&id).filter(|instance| instance.is_there());
            found.ok_or_else(|| format!("{id} is gone"))
        }
        _ => Err("select a machine first".to_owned()),
    }
}

/// `Ok` where an order can go to one of the marked machines at least; `None`: nothing is marked.
fn marked(state: &State, can: impl Fn(&Instance) -> bool, none: &str) -> Option<Answer> {
    let ids = state.marked_machines();
    if ids.is_empty() {
        return None;
    }
    if let Err(why) = state.can_order() {
        return Some(Err(why));
    }
    let any = ids.iter().filter_map(|id| state.machine(id)).any(can);
    Some(if any { Ok(()) } else { Err(none.to_owned()) })
}

pub(super) fn drain(state: &State) -> Answer {
    let can = |machine: &Instance| state.live.as_ref().is_some_and(|view| can_drain(machine, view.at));
    if let Some(answer) = marked(state, can, "none of the marked machines can be drained") {
        return answer;
    }
    let machine = machine(state)?;
    if machine.provider == Provider::Kubernetes {
        return Err("a pod ends with its task".to_owned());
    }
    match &machine.drain {
        Some(drain) if !drain.cancelled => {
            let zone = state.live.as_ref().map_or(TimeZone::UTC, |view| view.settings.the_loop.time_zone.clone());
            let since = drain.ordered.to_zoned(zone).strftime("%H:%M").to_string();
            Err(format!("already draining since {since}; {} cancels", state.keys.first(Id::CancelDrain)))
        }
        _ => Ok(()),
    }
}

pub(super) fn drain_idle(state: &State) -> Answer {
    let view = state.can_order()?;
    let chosen = Which::all_idle().to_drain(&view.snapshot, view.at);
    match (chosen.machines.is_empty(), chosen.held.is_empty()) {
        (false, _) => Ok(()),
        (true, false) => Err("the idle machines are held".to_owned()),
        (true, true) => Err("no machine is idle".to_owned()),
    }
}

pub(super) fn cancel_drain(state: &State) -> Answer {
    if let Some(answer) = marked(state, is_open, "none of the marked machines has a drain that can be taken back") {
        return answer;
    }
    let machine = machine(state)?;
    match &machine.drain {
        Some(drain) if !drain.cancelled && is_ending(machine) => Err("it is being stopped: it is too late".to_owned()),
        Some(drain) if !drain.cancelled => Ok(()),
        Some(_) => Err("it is cancelled already".to_owned()),
        None => Err("it is not draining".to_owned()),
    }
}

pub(super) fn stop(state: &State) -> Answer {
    let can = |machine: &Instance| machine.phase != crate::model::instance::Phase::Stopping;
    if let Some(answer) = marked(state, can, "the marked machines are being stopped already") {
        return answer;
    }
    let machine = machine(state)?;
    if machine.phase == crate::model::instance::Phase::Stopping {
        return Err("it is being stopped already".to_owned());
    }
    Ok(())
}

pub(super) fn why(state: &State) -> Answer {
    seen(state)?;
    if state.subject() == Some(Subject::All) {
        Err("select a queue, a machine or a budget first".to_owned())
    } else {
        Ok(())
    }
}

/// Of one that is gone, too, and of the one that is selected, whatever is marked.
pub(super) fn boot_log(state: &State) -> Answer {
    seen(state)?;
    match state.subject() {
        Some(Subject::Instance(_)) => Ok(()),
        Some(other) => Err(format!("a {} has no boot log", other.kind())),
        None => Err("select a machine first".to_owned()),
    }
}

pub(super) fn machine_up(state: &State) -> Answer {
    if let Some(answer) = marked(state, Instance::is_there, "the marked machines are gone") {
        return answer;
    }
    machine(state).map(|_| ())
}

pub(super) fn back_off(state: &State) -> Answer {
    let view = state.can_order()?;
    if view.snapshot.breakers.is_empty() && view.snapshot.boots_failed.is_empty() {
        Err("nothing backs off".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn undo(state: &State) -> Answer {
    state.can_order()?;
    if state.undo.is_empty() { Err("nothing was done here that could be undone".to_owned()) } else { Ok(()) }
}

pub(super) fn sorts(state: &State) -> Answer {
    if list::sorts(&state.place) { Ok(()) } else { Err("the journal is a line of time".to_owned()) }
}

pub(super) fn inverts(state: &State) -> Answer {
    sorts(state)?;
    if state.look().sort.is_some() { Ok(()) } else { Err(format!("{} sorts first", state.keys.first(Id::Sort))) }
}

pub(super) fn up(state: &State) -> Answer {
    let marked = !state.marks.is_empty() || state.range_from.is_some();
    if state.place.up().is_some() || !state.look().filter.is_empty() || marked {
        Ok(())
    } else {
        Err("this is the top".to_owned())
    }
}

pub(super) fn previous(state: &State) -> Answer {
    if state.back.is_empty() { Err("nothing was seen before".to_owned()) } else { Ok(()) }
}

pub(super) fn next(state: &State) -> Answer {
    if state.forward.is_empty() { Err("nothing was seen after".to_owned()) } else { Ok(()) }
}

pub(super) fn opens(state: &State) -> Answer {
    if state.place.page == Page::Charts {
        let fits = Layout::of(state, state.size).is_some_and(|layout| layout.fits_all_charts());
        return if fits { Ok(()) } else { Err("a larger screen shows all of the charts at once".to_owned()) };
    }
    match (state.place.page, state.subject()) {
        (Page::Queues | Page::Instances | Page::Why | Page::Journal | Page::Tasks, Some(_)) if state.is_table() => {
            Ok(())
        }
        (Page::Settings | Page::Pools, Some(Subject::Queue(_) | Subject::Pool(_))) => Ok(()),
        _ => Err("there is nothing below".to_owned()),
    }
}

pub(super) fn has_problems(state: &State) -> Answer {
    let lasting = state.view().is_some_and(|view| !crate::tui::state::lasting(view).is_empty());
    if lasting || !state.errors.is_empty() { Ok(()) } else { Err("there are no errors".to_owned()) }
}

pub(super) fn any_row(state: &State) -> Answer {
    if state.list.rows.is_empty() { Err("there is no row".to_owned()) } else { Ok(()) }
}

pub(super) fn markable(state: &State) -> Answer {
    match state.subject() {
        Some(Subject::Task(..)) => Ok(()),
        Some(Subject::Instance(id)) if state.machine(&id).is_some_and(Instance::is_there) => Ok(()),
        Some(Subject::Instance(id)) => Err(format!("{id} is gone")),
        Some(other) => Err(format!("a {} takes no orders", other.kind())),
        None => Err("there is no row".to_owned()),
    }
}

pub(super) fn searches(state: &State) -> Answer {
    if state.look().filter.is_empty() {
        Err(format!("{} looks for something first", state.keys.first(Id::Filter)))
    } else {
        Ok(())
    }
}

pub(super) fn has_log(state: &State) -> Answer {
    crate::tui::doc::log_text(state).map(|_| ()).ok_or_else(|| "there is nothing to save".to_owned())
}

pub(super) fn queue_alone(state: &State) -> Answer {
    seen(state)?;
    match state.subject() {
        Some(Subject::Queue(_)) => Ok(()),
        _ => Err(format!("select a queue first: {} shows them", state.keys.first(Id::Go(Page::Queues)))),
    }
}

/// The tasks that an order goes to.
fn tasks(state: &State) -> Vec<&QueuedTask> {
    let Some(Subject::Queue(queue)) = &state.place.about else { return Vec::new() };
    let known = state.tasks.get(queue).and_then(|tasks| tasks.as_ref().ok());
    let (marked, subject) = (state.marked_tasks(), state.subject());
    let meant = |task: &&QueuedTask| match &subject {
        _ if !marked.is_empty() => marked.contains(&task.id),
        Some(Subject::Task(_, id)) => task.id == *id,
        _ => false,
    };
    known.into_iter().flatten().filter(meant).collect()
}

/// The tasks that an order would go to, where one can be given.
fn ordered(state: &State) -> Result<Vec<&QueuedTask>, String> {
    let view = state.can_order()?;
    let tasks = tasks(state);
    match (tasks.is_empty(), view.mode.armed) {
        (true, _) => Err(format!("select a task first: {} shows those of a queue", state.keys.first(Id::Tasks))),
        (false, false) => Err(format!("this is a dry run: {} arms the loop", state.keys.first(Id::Arm))),
        (false, true) => Ok(tasks),
    }
}

pub(super) fn waits(state: &State) -> Answer {
    let tasks = ordered(state)?;
    match tasks.iter().find(|task| !task.is_waiting()) {
        Some(task) => Err(format!("{} is {}, it does not wait", task.name, task.state.word())),
        None => Ok(()),
    }
}

pub(super) fn stopped(state: &State) -> Answer {
    let tasks = ordered(state)?;
    match tasks.iter().find(|task| task.state != TaskState::Stopped) {
        Some(task) if task.state == TaskState::Failed => {
            let why = "failed: ClearML takes it again only once it is reset there, which clears its outputs";
            Err(format!("{} {why}", task.name))
        }
        Some(task) => Err(format!("{} is {}", task.name, task.state.word())),
        None => Ok(()),
    }
}

pub(super) fn has_task(state: &State) -> Answer {
    match state.subject() {
        Some(Subject::Task(..)) => Ok(()),
        Some(Subject::Instance(id)) => {
            let task = state.machine(&id).and_then(|machine| machine.task.as_ref());
            task.map(|_| ()).ok_or_else(|| format!("{id} shows no task"))
        }
        _ => Err("select a task, or a machine that runs one".to_owned()),
    }
}

pub(super) fn priced(state: &State) -> Answer {
    let priced = list::columns(&state.place).iter().any(|column| column.name == list::PRICE);
    if priced { Ok(()) } else { Err("nothing here has a price".to_owned()) }
}

//! What a deed would do: the task that is waited for or lost, the money, and what the loop does next.

use jiff::Timestamp;

use super::deed::Deed;
use super::edits;
use super::several::{self, names};
use crate::engine::event::{Leader, View};
use crate::model::breaker::{Breaker, Reset};
use crate::model::eta::Eta;
use crate::model::ids::{InstanceId, PoolName, QueueName};
use crate::model::instance::{Instance, RunningTask};
use crate::model::money::Rate;
use crate::model::settings::{OnExit, OnLost};
use crate::model::snapshot::Stray;
use crate::tui::commands::{Id, Keymap};
use crate::tui::list::{charged, notes, state_of};
use crate::tui::state::read_only;
use crate::tui::words::{plural, short, time_or_day};

/// What a person must do to agree. Enter alone never agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Press `y`.
    Yes,
    /// Type this in full.
    Type(String),
}

/// A deed's dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub title: String,
    pub lines: Vec<String>,
    /// What agreeing is called.
    pub verb: &'static str,
    pub proof: Proof,
}

pub(super) fn plain(title: impl Into<String>, lines: Vec<String>, verb: &'static str) -> Question {
    Question { title: title.into(), lines, verb, proof: Proof::Yes }
}

pub(super) fn of(deed: &Deed, view: &View, keys: &Keymap, now: Timestamp) -> Result<Question, String> {
    match deed {
        Deed::Quit(on_exit) => return Ok(quit(view, on_exit.unwrap_or(view.settings.the_loop.on_exit), keys)),
        Deed::Detach => return Ok(detach(view)),
        Deed::Suspend => return Ok(suspend()),
        _ => {}
    }
    if let Leader::Other(who) = &view.leader
        && !view.reaches_leader
    {
        return Err(match view.read_only() {
            Some(_) => read_only(view),
            None => format!("{who} leads now: this console only watches"),
        });
    }
    match deed {
        Deed::Drain(id) => drain(&machine(view, id)?, view, now),
        Deed::DrainAll(ids) => several::drain_all(ids, view, now),
        Deed::DrainThese(ids) => several::drain_these(ids, view, now),
        Deed::StopThese(ids) => several::stop_these(ids, view, keys),
        Deed::CancelDrain(id) => cancel_drain(&machine(view, id)?),
        Deed::CancelAll(ids) => several::cancel_all(ids, view),
        Deed::Stop(id) => stop(&machine(view, id)?, view, now),
        Deed::Kill(id) => kill(&machine(view, id)?, view, keys),
        Deed::Hold { machines, hold } => several::hold(machines, hold, view, now),
        Deed::Replace(ids) => match ids.as_slice() {
            [one] => Ok(replace(&machine(view, one)?, view)),
            _ => several::replace(ids, view),
        },
        Deed::LetBe(ids) => several::let_be(ids, view),
        Deed::Release(ids) => match ids.as_slice() {
            [one] => {
                let machine = machine(view, one)?;
                let lines = notes(&machine, view, now).into_iter().chain([replacement_of_idle(&machine)]).collect();
                Ok(plain(format!("End the hold of {one}?"), lines, "release"))
            }
            _ => several::release(ids, view),
        },
        Deed::Launch { pool, queue } => Ok(launch(view, pool, queue)),
        Deed::Pause => Ok(pause(view)),
        Deed::Resume => Ok(begin("Resume?", "The loop acts again", "resume", view)),
        Deed::Arm => Ok(begin("Arm the loop?", "The loop acts from now on", "arm", view)),
        Deed::Disarm => Ok(disarm(view)),
        Deed::StopAll => Ok(stop_all(view)),
        Deed::Set { edits, .. } => Ok(edits::set(edits, view)),
        Deed::TakeBack { undone, .. } => Ok(edits::take_back(undone, view)),
        Deed::Write(whole) => Ok(whole.question()),
        Deed::Tasks { queue, tasks, deed } => Ok(several::tasks(queue, tasks, *deed)),
        Deed::ResetBackOff(what) => Ok(plain(format!("Try {what} again?"), back_offs_ended(what, view, now), "try")),
        Deed::Quit(_) | Deed::Detach | Deed::Suspend => Err("this is asked elsewhere".to_owned()),
    }
}

/// What a reset ends.
fn back_offs_ended(what: &Reset, view: &View, now: Timestamp) -> Vec<String> {
    let meant = view.snapshot.breakers.iter().filter(|breaker| match what {
        Reset::All => true,
        Reset::Pool(pool) => view.settings.pool(pool).is_some_and(|pool| breaker.on.touches(pool)),
        Reset::One(on) => breaker.on == *on,
    });
    let left = |breaker: &Breaker| {
        format!("{} backs off for {} more ({}).", breaker.on, short(breaker.until.duration_since(now)), breaker.row())
    };
    let mut lines: Vec<String> = meant.map(left).collect();
    lines.push("That ends now; the next failure begins another.".to_owned());
    lines
}

fn machine(view: &View, id: &InstanceId) -> Result<Instance, String> {
    let found = view.snapshot.instance(id).filter(|instance| instance.is_there());
    found.cloned().ok_or_else(|| format!("{id} is gone: nothing was done"))
}

pub(super) fn task(instance: &Instance, now: Timestamp) -> Option<String> {
    let told = |task: &RunningTask| {
        format!("{} ({}), for {} so far", task.name, task.id, short(now.duration_since(task.since)))
    };
    let tasks: Vec<_> = instance.tasks().map(told).collect();
    (!tasks.is_empty()).then(|| tasks.join("; "))
}

pub(super) fn less(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "Its price is not known.".to_owned(), |rate| format!("{rate} less once it is gone."))
}

/// What the loop does when this machine is no more.
fn replacement(instance: &Instance, view: &View) -> String {
    let up = |pool: &PoolName| {
        let same = view.snapshot.instances.iter().filter(|other| other.counts() && other.pool == *pool);
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    };
    if let Some(pool) = view.settings.pool(&instance.pool).filter(|pool| up(&pool.name) <= pool.min) {
        return format!("The loop will replace it: pool.{}.min is {}.", pool.name, pool.min);
    }
    let queue = charged(instance);
    if !view.snapshot.knows_clearml() {
        return "Whether the loop replaces it is not known: ClearML has not answered yet.".to_owned();
    }
    let waiting =
        view.plan.outlooks.iter().find(|outlook| outlook.queue == *queue).map_or(0, |outlook| outlook.waiting);
    if waiting > 0 {
        let limit = view.settings.queue(queue).and_then(|queue| queue.limits.max);
        let limit = limit.map(|max| format!("; queue.{queue}.max is {max}")).unwrap_or_default();
        let tasks = plural(usize::try_from(waiting).unwrap_or(usize::MAX), "task waits", "tasks wait");
        return format!("The loop may replace it: {tasks} on {queue}{limit}.");
    }
    format!("The loop will not replace it: nothing waits on {queue}.")
}

fn replacement_of_idle(instance: &Instance) -> String {
    format!("Idle, it is drained once it has been surplus for {}'s keep-alive.", instance.pool)
}

fn drain(instance: &Instance, view: &View, now: Timestamp) -> Result<Question, String> {
    if let Some(drain) = instance.drain.as_ref().filter(|drain| !drain.cancelled) {
        let since = short(now.duration_since(drain.ordered));
        return Err(format!("{} is draining already, for {since}", instance.id));
    }
    let eta = Eta::of(instance, &view.snapshot.learned, &view.settings, now);
    let eta = eta.map(|eta| format!("; done in {eta}")).unwrap_or_default();
    let first = match task(instance, now) {
        Some(task) => format!("It takes no more tasks. Waited for: {task}{eta}."),
        None => "It takes no more tasks; it shows none now.".to_owned(),
    };
    let then = if instance.is_held(now) { "Then it is stopped, once the hold is over." } else { "Then it is stopped." };
    let mut lines = vec![first, then.to_owned(), less(instance.rate), replacement(instance, view)];
    if let Some(hold) = instance.hold.as_ref().filter(|_| instance.is_held(now)) {
        let until = time_or_day(hold.until, now, &view.settings.the_loop.time_zone);
        lines.insert(0, format!("It is held until {until} by {}: {}. It is drained all the same.", hold.by, hold.why));
    }
    Ok(plain(format!("Drain {}?", instance.id), lines, "drain"))
}

/// In what it differs, and what comes in its place.
fn replace(machine: &Instance, view: &View) -> Question {
    let id = &machine.id;
    let mut lines = machine.replaced_told();
    lines.push("Once it is idle and no waiting task needs it, it is drained and ended.".to_owned());
    let min = view.settings.pool(&machine.pool).map_or(0, |pool| pool.min);
    lines.push(if min > 0 {
        format!("Another is started then for pool.{}.min = {min}, within limits and budgets.", machine.pool)
    } else {
        "Another is started when a task waits for it.".to_owned()
    });
    plain(format!("Replace {id}?"), lines, "replace")
}

fn cancel_drain(instance: &Instance) -> Result<Question, String> {
    match &instance.drain {
        None => Err(format!("{} is not draining", instance.id)),
        Some(drain) if drain.cancelled => Err(format!("the drain of {} is cancelled already", instance.id)),
        Some(_) if several::is_ending(instance) => Err(format!("{} is being stopped: it is too late", instance.id)),
        Some(drain) => {
            let lines = vec![
                format!("Ordered by {}. It takes tasks again.", drain.by),
                "If it is surplus, the loop drains it again after its keep-alive.".to_owned(),
            ];
            Ok(plain(format!("Cancel the drain of {}?", instance.id), lines, "cancel it"))
        }
    }
}

fn stop(instance: &Instance, view: &View, now: Timestamp) -> Result<Question, String> {
    if instance.may_have_task() {
        return Err(format!("{} has or may have a task now: nothing was done", instance.id));
    }
    let (_, word, _) = state_of(instance);
    let lasted = short(now.duration_since(instance.phase_since));
    let lines = vec![
        format!("It is {word}, for {lasted}, and surely has no task."),
        less(instance.rate),
        replacement(instance, view),
    ];
    Ok(plain(format!("Stop {}?", instance.id), lines, "stop"))
}

fn kill(instance: &Instance, view: &View, keys: &Keymap) -> Result<Question, String> {
    if !instance.may_have_task() {
        return Err(format!("{} has no task any more: {} stops it", instance.id, keys.first(Id::Stop)));
    }
    let tasks: Vec<_> = instance.tasks().map(|task| format!("task {} ({})", task.id, task.name)).collect();
    let first = match tasks.as_slice() {
        [] => "It may have a task; it is ended with it.".to_owned(),
        [task] => format!("It runs {task}; it is ended with it."),
        tasks => format!("It runs {}; they are ended with it.", tasks.join(" and ")),
    };
    let queue = charged(instance);
    let after = match view.settings.queue(queue).map(|queue| queue.on_lost) {
        Some(OnLost::Requeue(times)) => {
            format!("A killed task is enqueued again, at most {} (queue.{queue}.on_lost).", times_word(times))
        }
        _ => format!("A killed task is not enqueued again (queue.{queue}.on_lost)."),
    };
    let gently = format!("{} drains it: it ends after its task.", keys.first(Id::Drain));
    Ok(Question {
        title: format!("Kill {}?", instance.id),
        lines: vec![first, after, less(instance.rate), gently],
        verb: "kill",
        proof: Proof::Type(instance.id.to_string()),
    })
}

fn times_word(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

fn launch(view: &View, pool: &PoolName, queue: &QueueName) -> Question {
    let settings = view.settings.pool(pool);
    let first_type = settings.and_then(|pool| pool.types.first().map(|machine_type| (pool, machine_type)));
    let offer = first_type.map(|(pool, machine_type)| {
        let rate = view.snapshot.catalogue.offer(pool, machine_type, pool.market, view.at).rate;
        let rate = rate.map_or_else(|| "at a price that is not known".to_owned(), |rate| format!("{rate} more"));
        format!("One {machine_type} of pool {pool}: {rate}.", pool = pool.name)
    });
    let waiting =
        view.plan.outlooks.iter().find(|outlook| outlook.queue == *queue).map_or(0, |outlook| outlook.waiting);
    let waits = if view.snapshot.knows_clearml() {
        format!("{waiting} wait there")
    } else {
        "what waits there is not known yet".to_owned()
    };
    let lines = vec![
        offer.unwrap_or_else(|| format!("One machine of pool {pool}.")),
        format!("It serves {queue} first and is charged to it; {waits}."),
        "Limits and budgets hold; what does not fit is refused, with the reason in the journal.".to_owned(),
        "Unused, it is drained after the keep-alive.".to_owned(),
    ];
    plain(format!("Launch one machine for {queue}?"), lines, "launch")
}

fn pause(view: &View) -> Question {
    let lines = vec![
        "The loop plans and shows, but acts on nothing except people's orders.".to_owned(),
        format!("What is up stays up and costs {}.", view.spend.rate),
        planned(view, "Not done then: "),
    ];
    plain("Pause the loop?", lines, "pause")
}

fn disarm(view: &View) -> Question {
    let lines = vec![
        "Back to the dry run: the loop plans and shows, but acts on nothing at all.".to_owned(),
        format!("What is up stays up and costs {}.", view.spend.rate),
    ];
    plain("Disarm the loop?", lines, "disarm")
}

/// The plan's actions in one sentence.
fn planned(view: &View, before: &str) -> String {
    let actions: Vec<_> = view.plan.actions.iter().map(|planned| planned.action.to_string()).collect();
    if actions.is_empty() {
        "At present there is nothing to do.".to_owned()
    } else {
        format!("{before}{}.", actions.join(", "))
    }
}

fn begin(title: &str, what: &str, verb: &'static str, view: &View) -> Question {
    const SHOWN: usize = 6;
    let actions = &view.plan.actions;
    let mut lines = vec![format!("{what}, beginning with:")];
    if actions.is_empty() {
        lines = vec![format!("{what}; at present there is nothing to do.")];
    }
    lines.extend(actions.iter().take(SHOWN).map(|planned| format!("  {}: {}", planned.action, planned.reason)));
    if actions.len() > SHOWN {
        lines.push(format!("  and {} more; the plan shows them all", actions.len() - SHOWN));
    }
    plain(title, lines, verb)
}

fn stop_all(view: &View) -> Question {
    let up = up(view);
    let tasks = up.iter().filter(|instance| instance.may_have_task()).count();
    Question {
        title: format!("EMERGENCY STOP of {}?", view.fleet),
        lines: vec![
            format!("All {} are ended at once.", plural(up.len(), "machine", "machines")),
            format!("{tasks} of them have or may have a task, which is lost or enqueued again by on_lost."),
            format!("{} less. The loop is paused.", view.spend.rate),
        ],
        verb: "end them all",
        // Few keys in an emergency; the number is read off this dialog.
        proof: Proof::Type(up.len().to_string()),
    }
}

fn up(view: &View) -> Vec<&Instance> {
    view.snapshot.instances.iter().filter(|instance| instance.is_there()).collect()
}

fn detach(view: &View) -> Question {
    let line = format!("The loop of {} goes on without this screen.", view.fleet);
    plain("Leave?", vec![line], "leave")
}

fn suspend() -> Question {
    let lines = vec![
        "Suspending stops scaling: the loop sleeps with the program.".to_owned(),
        "Machines that are up go on and cost money; nothing is launched, drained or stopped.".to_owned(),
    ];
    plain("Suspend?", lines, "suspend")
}

/// The word of the settings.
pub(crate) fn exit_word(on_exit: OnExit) -> &'static str {
    match on_exit {
        OnExit::Leave => "leave",
        OnExit::StopIdle => "stop-idle",
        OnExit::StopAll => "stop-all",
    }
}

fn quit(view: &View, on_exit: OnExit, keys: &Keymap) -> Question {
    let up = up(view);
    let tasks = up.iter().filter(|instance| instance.may_have_task()).count();
    let mut first = format!("{}, {}", plural(up.len(), "machine is up", "machines are up"), view.spend.rate);
    if !view.snapshot.intents.is_empty() {
        first = format!("{first}; {} on the way", view.snapshot.intents.len());
    }
    if !view.acts.is_empty() {
        first = format!("{first}; {} under way", plural(view.acts.len(), "call", "calls"));
    }
    let mut lines = vec![format!("{first}.")];
    if let Leader::Other(who) = &view.leader {
        lines.push(match view.read_only() {
            Some(_) => format!("{}.", read_only(view)),
            None => format!("{who} leads and goes on: this console stops nothing."),
        });
        return plain("Quit?", lines, "quit");
    }
    let by = if on_exit == view.settings.the_loop.on_exit { "as loop.on_exit says" } else { "this time" };
    // Line by line its words are typed.
    let change = if keys.is_spoken() { "" } else { " Tab changes it." };
    lines.push(format!("On exit: {} ({by}).{change}", exit_word(on_exit)));
    let fates = fates(&up, on_exit);
    lines.extend(fates);
    let strays = view.snapshot.strays.iter().filter(|stray| matches!(stray, Stray::OfGoneMachine { .. })).count();
    if strays > 0 {
        lines.push(format!("{} of gone machines stay as they are.", plural(strays, "task", "tasks")));
    }
    let proof = if on_exit == OnExit::StopAll && tasks > 0 { Proof::Type(view.fleet.to_string()) } else { Proof::Yes };
    Question { title: "Quit?".to_owned(), lines, verb: "quit", proof }
}

/// What becomes of each machine, those of one fate in one line.
fn fates(up: &[&Instance], on_exit: OnExit) -> Vec<String> {
    let (stays, goes): (Vec<&Instance>, Vec<&Instance>) = up.iter().copied().partition(|instance| match on_exit {
        OnExit::Leave => true,
        OnExit::StopIdle => instance.task.is_some() || instance.hold.is_some(),
        OnExit::StopAll => false,
    });
    let how = match on_exit {
        OnExit::StopAll => "ended, with any task",
        _ => "drained and ended",
    };
    let mut lines = Vec::new();
    if !goes.is_empty() {
        lines.push(format!("{how}: {}", names(&goes)));
    }
    if !stays.is_empty() {
        lines.push(format!("up to their own max_life stay up: {}", names(&stays)));
    }
    lines
}

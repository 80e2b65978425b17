//! Why something is as it is: the reason, the number that would change it, the plan's steps, and what was done before.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Line, heading, wrapped};
use crate::engine::event::{UNSURE, View};
use crate::model::clear::ToClear;
use crate::model::ids::{PoolName, QueueName};
use crate::model::journal::Entry;
use crate::model::plan::Outlook;
use crate::model::snapshot::QueueState;
use crate::tui::list::{notes, state_of, steps_about};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::usage::Usage;
use crate::tui::words::{cents, short, time_or_day};

pub(super) fn lines(
    view: &View,
    subject: &Subject,
    journal: &VecDeque<Entry>,
    width: usize,
    now: Timestamp,
) -> Vec<Line> {
    let mut lines = wrapped(&stands(view, subject, now), Tone::Plain, width);
    lines.push(Line::default());
    if let Subject::Queue(name) = subject {
        lines.extend(decides(view, name, width));
    }
    for note in notes_of(view, subject, now) {
        lines.extend(wrapped(&note, Tone::Warn, width));
    }
    lines.push(heading("The last pass"));
    lines.extend(steps(view, subject, width));
    lines.push(Line::default());
    lines.push(heading("Before"));
    lines.extend(before(view, subject, journal, width, now));
    lines
}

/// How it stands, in one sentence.
fn stands(view: &View, subject: &Subject, now: Timestamp) -> String {
    match subject {
        Subject::Queue(name) => match outlook(view, name) {
            Some(outlook) => queue_stands(view, outlook, now),
            None => format!("The settings name no queue {name}."),
        },
        Subject::Instance(id) => match view.snapshot.instance(id) {
            Some(instance) => {
                let lasted = short(now.duration_since(instance.phase_since));
                format!(
                    "{id} is {} for {lasted}, in pool {}, for queue {}.",
                    state_of(instance).1,
                    instance.pool,
                    instance.home
                )
            }
            None => format!("{id} is gone."),
        },
        Subject::Pool(name) => {
            let usage = Usage::of(view, subject);
            let max = view.settings.pool(name).and_then(|pool| pool.limits.max);
            let max = max.map_or_else(|| "no limit of its own".to_owned(), |max| format!("pool.{name}.max is {max}"));
            format!("Pool {name}: {} up or on the way, {}; {max}.", usage.instances, usage.rate)
        }
        Subject::Intent(id) => format!(
            "{id} was written down before it was asked for. It counts against limits until its machine is seen, or surely is not."
        ),
        Subject::Foreign(id) => {
            let counts = if view.settings.the_loop.count_foreign { "is" } else { "is not" };
            format!("{id} is not of this fleet. Idle and fresh, it {counts} counted as capacity; it is never acted on.")
        }
        Subject::Ghost(id) => {
            format!("The server still lists {id}; its machine is gone. It is unregistered, and its task recovered.")
        }
        Subject::Budget(name) => match view.spend.budgets.iter().find(|budget| budget.name == *name) {
            Some(budget) => format!(
                "Budget \"{name}\" is {}: {} spent, {} set aside by what is up or on the way.",
                budget.limit, budget.spent, budget.committed
            ),
            None => format!("Budget \"{name}\" has not been counted yet."),
        },
        Subject::Task(queue, id) => format!("Task {id} of queue {queue}; its console shows what it writes."),
        Subject::All | Subject::Step(_) | Subject::Line(..) => subject.name(),
    }
}

fn outlook<'a>(view: &'a View, name: &QueueName) -> Option<&'a Outlook> {
    view.plan.outlooks.iter().find(|outlook| outlook.queue == *name)
}

fn queue_stands(view: &View, outlook: &Outlook, now: Timestamp) -> String {
    let oldest = outlook.oldest.map(|oldest| format!(" (oldest {})", short(now.duration_since(oldest))));
    let of = view.settings.queue(&outlook.queue).and_then(|queue| queue.limits.max);
    let of = of.map(|max| format!(" of {max}")).unwrap_or_default();
    let used = Usage::of(view, &Subject::Queue(outlook.queue.clone())).instances;
    let waits = if view.snapshot.knows_clearml() {
        format!("{} wait{}", outlook.waiting, oldest.unwrap_or_default())
    } else {
        "ClearML has not answered yet, so that nobody knows what waits".to_owned()
    };
    let mut parts = vec![format!("{waits}, {used}{of} up or on the way")];
    for (count, word) in [
        (outlook.running, "running"),
        (outlook.idle, "idle"),
        (outlook.starting, "starting"),
        (outlook.draining, "draining"),
        (outlook.faults, "with a fault"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let need = if outlook.need > 0 { format!("; {} more needed", outlook.need) } else { String::new() };
    let cost = outlook.to_clear.map(|cost| format!(" {}", to_clear(&cost, &outlook.queue))).unwrap_or_default();
    format!("{}: {}{need}.{cost}", outlook.queue, parts.join(", "))
}

/// `What waits costs $402.00, likely $310.00 to $494.00, by 83 past durations.`
fn to_clear(cost: &ToClear, queue: &QueueName) -> String {
    let ToClear { low, likely, high, samples } = cost;
    let basis = match samples {
        0 => format!("by queue.{queue}.expected_task alone"),
        samples => format!("by {samples} past durations"),
    };
    let (low, likely, high) = (cents(*low), cents(*likely), cents(*high));
    if low == high {
        return format!("What waits costs ${likely}, {basis}.");
    }
    format!("What waits costs ${likely}, likely ${low} to ${high}, {basis}.")
}

/// The deciding reason of a queue, and what would change it.
fn decides(view: &View, name: &QueueName, width: usize) -> Vec<Line> {
    let Some(outlook) = outlook(view, name) else { return Vec::new() };
    let Some(reason) = &outlook.next else {
        let knows = view.snapshot.knows_clearml();
        let text = if knows { "Nothing waits and nothing changes." } else { "Nothing is known of it yet." };
        return vec![Line::of(text, Tone::Dim), Line::default()];
    };
    let mut lines: Vec<Line> =
        view.mode.holds_back().into_iter().flat_map(|why| wrapped(why, Tone::Warn, width)).collect();
    lines.extend(wrapped(&reason.to_string(), Tone::Strong, width));
    if let Some(remedy) = view.remedy(reason) {
        lines.extend(wrapped(&remedy, Tone::Active, width));
    }
    lines.push(Line::default());
    lines
}

/// A queue's why for the pane under the table.
pub(crate) fn in_short(view: &View, name: &QueueName, now: Timestamp, width: usize) -> Vec<Line> {
    let Some(outlook) = outlook(view, name) else { return Vec::new() };
    let mut lines = wrapped(&queue_stands(view, outlook, now), Tone::Plain, width);
    let is_missing = |queue: &&QueueState| queue.id.is_none() && view.snapshot.knows_clearml();
    let missing = view.snapshot.queue(name).filter(is_missing);
    if let Some(missing) = missing {
        let nearest = missing.nearest.as_ref().map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        lines.extend(wrapped(
            &format!("The server has no queue {name}; it is not created.{nearest}"),
            Tone::Bad,
            width,
        ));
        return lines;
    }
    if let Some(told) = phantoms(view, name) {
        lines.extend(wrapped(&told, Tone::Warn, width));
    }
    if let Some(reason) = &outlook.next {
        let remedy = view.remedy(reason).map(|remedy| format!("; {remedy}")).unwrap_or_default();
        lines.extend(wrapped(&format!("{reason}{remedy}"), Tone::Active, width));
    }
    lines
}

fn notes_of(view: &View, subject: &Subject, now: Timestamp) -> Vec<String> {
    match subject {
        Subject::Instance(id) => {
            view.snapshot.instance(id).map(|instance| notes(instance, view, now)).unwrap_or_default()
        }
        Subject::Pool(name) => {
            let pods = view.snapshot.pods_told(|instance| instance.pool == *name);
            cautions(view, std::slice::from_ref(name), now).into_iter().chain(pods).collect()
        }
        Subject::Queue(name) => {
            let pools = view.settings.queue(name).map(|queue| queue.pools.clone()).unwrap_or_default();
            let pods = view.snapshot.pods_told(|instance| instance.home == *name);
            let unsure = view.is_unsure().then(|| UNSURE.to_owned());
            phantoms(view, name).into_iter().chain(unsure).chain(cautions(view, &pools, now)).chain(pods).collect()
        }
        _ => Vec::new(),
    }
}

/// Entries of a queue that are no waiting tasks.
fn phantoms(view: &View, name: &QueueName) -> Option<String> {
    view.snapshot.queue(name)?.phantoms_told()
}

/// What keeps machines of the pools from being launched, each once.
fn cautions(view: &View, pools: &[PoolName], now: Timestamp) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for pool in pools.iter().filter_map(|name| view.settings.pool(name)) {
        let new: Vec<_> = view.snapshot.cautions(pool, now).into_iter().filter(|line| !told.contains(line)).collect();
        told.extend(new);
    }
    told
}

/// The plan's steps about something.
pub(super) fn steps(view: &View, subject: &Subject, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps_about(view, subject) {
        let (word, tone) = step.word();
        lines.push(Line::of(format!("{word:<8}"), tone).and(step.what(), Tone::Plain));
        let why = step
            .remedy(view)
            .map_or_else(|| step.reason().to_string(), |remedy| format!("{}; {remedy}", step.reason()));
        for part in crate::tui::words::wrap(&why, width.saturating_sub(8)) {
            lines.push(Line::plain(format!("        {part}")));
        }
    }
    if lines.is_empty() {
        lines.push(Line::of("decided nothing about it and refused nothing.", Tone::Dim));
    }
    lines
}

/// The journal's newest lines about it.
pub(super) fn before(
    view: &View,
    subject: &Subject,
    journal: &VecDeque<Entry>,
    width: usize,
    now: Timestamp,
) -> Vec<Line> {
    const SHOWN: usize = 12;
    let names = |entry: &Entry| match subject {
        Subject::Queue(name) => entry.subject.queue.as_ref() == Some(name),
        Subject::Pool(name) => entry.subject.pool.as_ref() == Some(name),
        Subject::Instance(id) => entry.subject.instance.as_ref() == Some(id),
        Subject::Task(_, id) => entry.subject.task.as_ref() == Some(id),
        _ => false,
    };
    let zone = &view.settings.the_loop.time_zone;
    let lines: Vec<_> = journal
        .iter()
        .filter(|entry| names(entry))
        .take(SHOWN)
        .flat_map(|entry| {
            let reason = if entry.reason.is_empty() { String::new() } else { format!(": {}", entry.reason) };
            let text = format!("{} {} {}{reason}", time_or_day(entry.at, now, zone), entry.by, entry.text);
            wrapped(&text, Tone::Plain, width)
        })
        .collect();
    if lines.is_empty() { vec![Line::of("the journal has nothing about it.", Tone::Dim)] } else { lines }
}

//! Every machine, ours and others': what is up, what is on its way, foreign workers and ghosts.

use jiff::Timestamp;

use super::{Cell, Column, Data, FILL, Row, Unit};
use crate::engine::event::View;
use crate::model::ids::QueueName;
use crate::model::instance::{Instance, Origin};
use crate::model::record::{Intent, IntentOutcome};
use crate::model::snapshot::{ForeignWorker, Ghost};
use crate::tui::state::place::Subject;
use crate::tui::theme::{FAULT, FOREIGN, GHOST, INTENDED, Tone, phase_glyph};
use crate::tui::words::{age, rate, short};

pub(super) const COLUMNS: [Column; 10] = [
    Column::left("INSTANCE", [13, 19, 20, 21]).name(),
    Column::left("STATE", [11, 13, 15, 15]),
    Column::right("FOR", [6, 6, 7, 7]).of(Unit::Span),
    Column::left("QUEUE", [FILL, 9, 12, 16]),
    Column::left("POOL", [0, 0, 10, 14]),
    Column::left("TYPE", [0, 0, 0, 14]),
    Column::left("ZONE", [0, 0, 0, 11]),
    Column::right("AGE", [0, 6, 6, 7]).of(Unit::Span),
    Column::right("$/H", [0, 6, 7, 7]).of(Unit::Money),
    Column::left("TASK, NOTE", [0, FILL, FILL, FILL]),
];

pub(super) fn rows(data: &Data<'_>, about: Option<&Subject>) -> Vec<Row> {
    let snapshot = &data.view.snapshot;
    let queue_or_pool = |queues: &[&QueueName], pool: Option<&str>| match about {
        Some(Subject::Queue(queue)) => queues.contains(&queue),
        Some(Subject::Pool(wanted)) => pool == Some(wanted.as_str()),
        _ => true,
    };
    let mut rows = Vec::new();
    for (at, instance) in snapshot.instances.iter().enumerate() {
        if queue_or_pool(&[super::charged(instance), &instance.home], Some(instance.pool.as_str())) {
            rows.push(Row { subject: Subject::Instance(instance.id.clone()), at });
        }
    }
    for (at, intent) in snapshot.intents.iter().enumerate() {
        if queue_or_pool(&[&intent.queue], Some(intent.pool.as_str())) {
            rows.push(Row { subject: Subject::Intent(intent.id.clone()), at });
        }
    }
    for (at, worker) in snapshot.foreign.iter().enumerate() {
        if queue_or_pool(&worker.queues.iter().collect::<Vec<_>>(), None) {
            rows.push(Row { subject: Subject::Foreign(worker.id.clone()), at });
        }
    }
    if about.is_none() {
        let ghosts = snapshot.ghosts.iter().enumerate();
        rows.extend(ghosts.map(|(at, ghost)| Row { subject: Subject::Ghost(ghost.worker.clone()), at }));
    }
    rows
}

pub(super) fn cell(data: &Data<'_>, row: &Row, column: &str) -> Option<Cell> {
    let snapshot = &data.view.snapshot;
    match &row.subject {
        Subject::Instance(_) => Some(of_instance(snapshot.instances.get(row.at)?, data, column)),
        Subject::Intent(_) => Some(of_intent(snapshot.intents.get(row.at)?, data.now, column)),
        Subject::Foreign(_) => Some(of_foreign(snapshot.foreign.get(row.at)?, data.now, column)),
        Subject::Ghost(_) => Some(of_ghost(snapshot.ghosts.get(row.at)?, data.now, column)),
        _ => None,
    }
}

/// A machine's state: a shape, a word and a tone. A fault comes before the phase.
pub(crate) fn state_of(instance: &Instance) -> (&'static str, &'static str, Tone) {
    if let Some(fault) = instance.fault {
        return (FAULT, fault.word(), Tone::Bad);
    }
    let (glyph, tone) = phase_glyph(instance.phase);
    (glyph, instance.phase.word(), tone)
}

fn state(glyph: &str, word: &str, tone: Tone, rank: i64) -> Cell {
    Cell::number(&format!("{glyph} {word}"), rank).toned(tone)
}

fn span(since: Option<Timestamp>, now: Timestamp) -> Cell {
    since.map_or_else(Cell::none, |since| {
        let lasted = now.duration_since(since);
        Cell::number(&age(lasted), lasted.as_secs())
    })
}

fn of_instance(instance: &Instance, data: &Data<'_>, column: &str) -> Cell {
    match column {
        "INSTANCE" => Cell::text(&instance.id),
        "STATE" => {
            let (glyph, word, tone) = state_of(instance);
            let rank = if instance.fault.is_some() { -1 } else { instance.phase as i64 };
            state(glyph, word, tone, rank)
        }
        "FOR" => span(Some(instance.phase_since), data.now),
        "QUEUE" => Cell::text(&super::charged(instance)),
        "POOL" => Cell::text(&instance.pool),
        "TYPE" => Cell::text(&instance.machine_type),
        "ZONE" => instance.zone.as_ref().map_or_else(Cell::none, Cell::text),
        "AGE" => span(Some(instance.launched), data.now),
        "$/H" => match instance.rate {
            Some(price) => Cell::number(&rate(price), price.micros_per_hour()),
            None if instance.lacks_price() => Cell::unknown("?"),
            None => Cell::none(),
        },
        _ => {
            let only_boots = notes(instance, data.view, data.now).len() == usize::from(instance.boot.is_some());
            let tone = if only_boots { Tone::Plain } else { Tone::Warn };
            Cell::text(&told(instance, data.view, data.now)).toned(tone)
        }
    }
}

/// What it runs: of a machine with several agents how many of them do, and the first.
pub(crate) fn tasks_told(instance: &Instance) -> Option<String> {
    let first = instance.task.as_ref().map(|task| task.name.clone());
    match (instance.load_told().filter(|_| instance.registered), first) {
        (Some(load), Some(first)) => Some(format!("{load}: {first}")),
        (load, first) => load.or(first),
    }
}

/// In one line: how far its drain has come, what it runs, and what else a person should know of it.
pub(crate) fn told(instance: &Instance, view: &View, now: Timestamp) -> String {
    let progress = view.progress(instance, now).and_then(|progress| progress.in_short(now));
    let does: Vec<String> = progress.into_iter().chain(tasks_told(instance)).collect();
    // What it does is long, and the hold is not to be cut off behind it.
    let held = instance.hold.as_ref().filter(|_| instance.is_held(now) && !does.is_empty());
    let held = held.map(|hold| format!("held {}", short(hold.until.duration_since(now))));
    held.into_iter().chain(does).chain(notes(instance, view, now)).collect::<Vec<_>>().join("; ")
}

/// Who holds it, for how long and why.
pub(crate) fn held_told(instance: &Instance, now: Timestamp) -> Option<String> {
    let hold = instance.hold.as_ref().filter(|_| instance.is_held(now))?;
    Some(format!("held by {} for {} more: {}", hold.by, short(hold.until.duration_since(now)), hold.why))
}

/// What a person should know of a machine besides its state and the progress of its drain.
pub(crate) fn notes(instance: &Instance, view: &View, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    if instance.fault.is_some() {
        notes.push(instance.phase.word().to_owned());
    }
    notes.extend(instance.fault_why.clone());
    notes.extend(instance.agents_told());
    notes.extend(instance.boot.clone());
    if let Some(drain) = &instance.drain {
        let order = match (drain.cancelled, drain.acknowledged) {
            (true, _) => "drain cancelled",
            (false, None) if drain.end_asked.is_some() => "asked to checkpoint",
            (false, None) => "drain ordered",
            (false, Some(_)) => "drained",
        };
        notes.push(format!("{order} by {}", drain.by));
    }
    notes.extend(held_told(instance, now));
    notes.extend(instance.replaced_told());
    match instance.origin {
        Origin::Launched => {}
        Origin::Orphan => notes.push("orphan, adopted".to_owned()),
        Origin::BroughtOver => notes.push("brought over: no guard, stopped by hand".to_owned()),
    }
    notes.extend(instance.kept_told());
    if instance.lacks_price() {
        notes.push("no price known".to_owned());
    }
    let acts = view.acts.iter().filter(|act| act.instance.as_ref() == Some(&instance.id));
    notes.extend(acts.map(|act| format!("under way: {}", act.what)));
    notes
}

fn of_intent(intent: &Intent, now: Timestamp, column: &str) -> Cell {
    match column {
        "INSTANCE" => Cell::text(&intent.id),
        "STATE" => state(INTENDED, "intended", Tone::Active, 100),
        "QUEUE" => Cell::text(&intent.queue),
        "POOL" => Cell::text(&intent.pool),
        "TYPE" => Cell::text(&intent.machine_type),
        "FOR" | "AGE" => span(Some(intent.opened), now),
        "$/H" => intent.rate.map_or_else(Cell::none, |price| Cell::number(&rate(price), price.micros_per_hour())),
        "ZONE" => Cell::none(),
        _ => match intent.outcome {
            IntentOutcome::Open => {
                let choice = intent.choice().map(|choice| format!("; {choice}")).unwrap_or_default();
                Cell::text(&format!("asked for{choice}"))
            }
            IntentOutcome::Unknown => Cell::text("the cloud's answer was lost: it may exist").toned(Tone::Warn),
        },
    }
}

fn of_foreign(worker: &ForeignWorker, now: Timestamp, column: &str) -> Cell {
    match column {
        "INSTANCE" => Cell::text(&worker.id),
        "STATE" => state(FOREIGN, "foreign", Tone::Plain, 101),
        "FOR" => span(worker.last_report, now),
        "QUEUE" => Cell::text(&worker.queues.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        "POOL" | "TYPE" | "ZONE" | "AGE" | "$/H" => Cell::none(),
        _ => {
            let task = worker.task.as_ref().map(|task| format!("task {task}"));
            let silent = (!worker.fresh).then(|| "silent".to_owned());
            let tone = if worker.fresh { Tone::Plain } else { Tone::Warn };
            let idle = "idle".to_owned();
            let parts: Vec<_> = [Some(task.unwrap_or(idle)), silent].into_iter().flatten().collect();
            Cell::text(&parts.join("; ")).toned(tone)
        }
    }
}

fn of_ghost(ghost: &Ghost, now: Timestamp, column: &str) -> Cell {
    match column {
        "INSTANCE" => Cell::text(&ghost.instance),
        "STATE" => state(GHOST, "ghost", Tone::Bad, -2),
        "FOR" => span(ghost.last_report, now),
        "QUEUE" | "POOL" | "TYPE" | "ZONE" | "AGE" | "$/H" => Cell::none(),
        _ => {
            let task = ghost.task.as_ref().map(|task| format!("; task {task}")).unwrap_or_default();
            Cell::text(&format!("its machine is gone{task}")).toned(Tone::Warn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;
    use crate::model::instance::{Agents, RunningTask};

    #[test]
    fn a_machine_with_several_agents_says_how_many_have_a_task() {
        let view = view();
        let mut machine = view.snapshot.instances[0].clone();
        assert_eq!(tasks_told(&machine).as_deref(), Some("train bert"));
        machine.agents = Agents::whole(4);
        let first = machine.task.clone().unwrap();
        machine.more_tasks = vec![RunningTask { id: "t-2".into(), name: "other".to_owned(), ..first }];
        assert_eq!(tasks_told(&machine).as_deref(), Some("2/4 tasks: train bert"));
        assert!(!notes(&machine, &view, view.at).join("; ").contains("report"));
        machine.agents.present = 3;
        assert!(notes(&machine, &view, view.at).contains(&"3 of 4 agents report".to_owned()));
        (machine.task, machine.more_tasks) = (None, Vec::new());
        assert_eq!(tasks_told(&machine).as_deref(), Some("0/4 tasks"));
        machine.registered = false;
        assert_eq!(tasks_told(&machine), None);
    }
}

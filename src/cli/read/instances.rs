//! `instances`: every machine, ours and others', and launches whose machines are not known yet.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Form, or_dash, short, tell, view};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::table::{Side, table};
use crate::engine::event::View;
use crate::model::drift;
use crate::model::eta::Eta;
use crate::model::instance::{Instance, Origin};
use crate::model::money::Rate;
use crate::model::record::{Intent, IntentOutcome};
use crate::model::snapshot::{ForeignWorker, Ghost};

/// Show every machine: ours, those that are on their way, foreign workers and ghosts
#[derive(Debug, Args)]
pub(in crate::cli) struct Instances {
    #[command(flatten)]
    form: Form,
}

impl Instances {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let view = view(place).await?;
        let rows = rows(&view);
        tell(&self.form, &view, "instances", &rows, &text(&rows))
    }
}

/// A line of `instances --json`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::cli) struct Row {
    /// The cloud's id; for a launch on its way its intent, for a foreign worker its name.
    id: String,
    /// A phase, or `intended`, `foreign`, `ghost`.
    phase: &'static str,
    seconds_in_phase: Option<i64>,
    age_seconds: Option<i64>,
    /// The step that a booting machine last reached, in its own words.
    boot: Option<String>,
    fault: Option<&'static str>,
    pool: Option<String>,
    #[serde(rename = "type")]
    machine_type: Option<String>,
    zone: Option<String>,
    queue: Option<String>,
    /// Of several the one that began first.
    task: Option<String>,
    /// All of them.
    tasks: Vec<String>,
    /// So many tasks it can run at a time; so many agents report.
    agents: Option<u32>,
    agents_present: Option<u32>,
    worker: Option<String>,
    rate_microusd_per_hour: Option<i64>,
    /// Takes no more tasks; the machine has said so.
    drained: bool,
    /// How much longer a machine that drains is likely to run its task.
    drained_in_seconds: Option<i64>,
    /// What that rests on: `p50 of 34 tasks`.
    drained_in_by: Option<String>,
    /// By when it ends, whatever runs there.
    ends_at_latest: Option<Timestamp>,
    /// What ends it then: its `max_life`, or a budget's `kill` step.
    ends_at_latest_by: Option<String>,
    /// In what it differs from a machine that would be made now, in one sentence.
    drift: Option<String>,
    /// Who wants it replaced once it is idle.
    replace_by: Option<String>,
    notes: Vec<String>,
}

pub(super) fn rows(view: &View) -> Vec<Row> {
    let snapshot = &view.snapshot;
    let ours = snapshot.instances.iter().map(|instance| of_instance(instance, view));
    let intents = snapshot.intents.iter().map(|intent| of_intent(intent, view));
    let foreign = snapshot.foreign.iter().map(of_foreign);
    let ghosts = snapshot.ghosts.iter().map(of_ghost);
    ours.chain(intents).chain(foreign).chain(ghosts).collect()
}

fn of_instance(instance: &Instance, view: &View) -> Row {
    let eta = eta(instance, view);
    let deadline = view.deadline(instance, view.at);
    Row {
        id: instance.id.to_string(),
        phase: instance.phase.word(),
        seconds_in_phase: Some(view.at.duration_since(instance.phase_since).as_secs()),
        age_seconds: Some(instance.age(view.at).as_secs()),
        boot: instance.boot.clone(),
        fault: instance.fault.map(crate::model::instance::Fault::word),
        pool: Some(instance.pool.to_string()),
        machine_type: Some(instance.machine_type.to_string()),
        zone: instance.zone.as_ref().map(ToString::to_string),
        queue: Some(instance.home.to_string()),
        task: instance.task.as_ref().map(|task| task.id.to_string()),
        tasks: instance.tasks().map(|task| task.id.to_string()).collect(),
        agents: Some(instance.agents.all),
        agents_present: Some(instance.agents.present),
        worker: instance.worker.as_ref().map(ToString::to_string),
        rate_microusd_per_hour: instance.rate.map(Rate::micros_per_hour),
        drained: instance.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_some()),
        drained_in_seconds: eta.as_ref().map(|eta| eta.left.as_secs()),
        drained_in_by: eta.map(|eta| eta.by.to_string()),
        ends_at_latest: deadline.as_ref().map(|deadline| deadline.at),
        ends_at_latest_by: deadline.map(|deadline| deadline.by.to_string()),
        drift: drift::told(&instance.drift),
        replace_by: instance.replace.as_ref().map(ToString::to_string),
        notes: notes(instance, view),
    }
}

fn eta(instance: &Instance, view: &View) -> Option<Eta> {
    Eta::of_drain(instance, &view.snapshot.learned, &view.settings, view.at)
}

/// What a person should know of a machine besides its phase.
pub(super) fn notes(instance: &Instance, view: &View) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(instance.load_told().filter(|_| instance.registered));
    notes.extend(instance.agents_told());
    notes.extend(instance.boot.clone());
    notes.extend(instance.fault.map(|fault| match &instance.fault_why {
        Some(why) => format!("{}: {why}", fault.word()),
        None => fault.word().to_owned(),
    }));
    if let Some(drain) = &instance.drain {
        let order = match (drain.cancelled, drain.end_asked) {
            (true, _) => "drain cancelled",
            (false, Some(_)) => "asked to checkpoint",
            (false, None) => "drain ordered",
        };
        notes.push(format!("{order} by {}", drain.by));
    }
    notes.extend(eta(instance, view).map(|eta| format!("drained in {eta}")));
    if let Some(hold) = instance.hold.as_ref().filter(|_| instance.is_held(view.at)) {
        let left = short(hold.until.duration_since(view.at));
        notes.push(format!("held by {} for {left} more: {}", hold.by, hold.why));
    }
    notes.extend(instance.replaced_told());
    match instance.origin {
        Origin::Launched => {}
        Origin::Orphan => notes.push("adopted".to_owned()),
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

fn of_intent(intent: &Intent, view: &View) -> Row {
    Row {
        id: intent.id.to_string(),
        phase: "intended",
        age_seconds: Some(view.at.duration_since(intent.opened).as_secs()),
        pool: Some(intent.pool.to_string()),
        machine_type: Some(intent.machine_type.to_string()),
        queue: Some(intent.queue.to_string()),
        rate_microusd_per_hour: intent.rate.map(Rate::micros_per_hour),
        notes: match intent.outcome {
            IntentOutcome::Open => intent.choice().into_iter().collect(),
            IntentOutcome::Unknown => vec!["the cloud's answer was lost: it may exist".to_owned()],
        },
        ..Row::default()
    }
}

fn of_foreign(worker: &ForeignWorker) -> Row {
    let queues: Vec<_> = worker.queues.iter().map(ToString::to_string).collect();
    Row {
        id: worker.id.to_string(),
        phase: "foreign",
        queue: Some(queues.join(",")),
        task: worker.task.as_ref().map(ToString::to_string),
        worker: Some(worker.id.to_string()),
        notes: if worker.fresh { Vec::new() } else { vec!["silent".to_owned()] },
        ..Row::default()
    }
}

fn of_ghost(ghost: &Ghost) -> Row {
    Row {
        id: ghost.instance.to_string(),
        phase: "ghost",
        task: ghost.task.as_ref().map(ToString::to_string),
        worker: Some(ghost.worker.to_string()),
        notes: vec!["its machine is gone".to_owned()],
        ..Row::default()
    }
}

pub(super) fn text(rows: &[Row]) -> String {
    let head = [
        ("INSTANCE", Side::Left),
        ("PHASE", Side::Left),
        ("FOR", Side::Right),
        ("POOL", Side::Left),
        ("TYPE", Side::Left),
        ("QUEUE", Side::Left),
        ("TASK", Side::Left),
        ("$/H", Side::Right),
        ("AGE", Side::Right),
        ("NOTE", Side::Left),
    ];
    let span = |seconds: Option<i64>| or_dash(seconds.map(|seconds| short(SignedDuration::from_secs(seconds))));
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.id.clone(),
                row.phase.to_owned(),
                span(row.seconds_in_phase),
                or_dash(row.pool.as_ref()),
                or_dash(row.machine_type.as_ref()),
                or_dash(row.queue.as_ref()),
                or_dash(row.task.as_ref()),
                or_dash(row.rate_microusd_per_hour.map(Rate::from_micros_per_hour)),
                span(row.age_seconds),
                row.notes.join("; "),
            ]
        })
        .collect();
    table(head, &rows)
}

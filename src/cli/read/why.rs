//! `why`: what happens next to a queue, a machine or a pool, in the numbers that decide it.

use std::fmt::Write;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::plan::{Step, lines, steps};
use super::{Form, instances, short, tell, view};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::table::plain;
use crate::engine::event::View;
use crate::model::attempt::Told;
use crate::model::cluster::Cluster;
use crate::model::instance::Instance;
use crate::model::nearest::did_you_mean;
use crate::model::plan::Outlook;
use crate::model::settings::Provider;
use crate::model::snapshot::QueueState;

/// Say why a queue, a machine or a pool is as it is, and what would change it
#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    /// A queue, a machine's id or a pool; without it, every queue
    name: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Why {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let view = view(place).await?;
        let explained = explain(&view, self.name.as_deref())?;
        tell(&self.form, &view, "why", &explained, &text(&explained))
    }
}

/// A part of `why --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Explained {
    name: String,
    /// `queue`, `instance` or `pool`.
    kind: &'static str,
    /// How it stands, in one sentence.
    state: String,
    /// The deciding reason, where there is one.
    reason: Option<String>,
    /// What would turn it round.
    remedy: Option<String>,
    notes: Vec<String>,
    /// What happened to it, the oldest first, where it is a pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    story: Vec<String>,
    /// What the pool's cluster says of its nodes, where it is one of pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cluster: Vec<String>,
    /// The parts of the plan that are about it.
    plan: Vec<Step>,
}

/// Explains one name, or every queue.
pub(super) fn explain(view: &View, name: Option<&str>) -> Result<Vec<Explained>, Failure> {
    let Some(name) = name else {
        return Ok(view.plan.outlooks.iter().map(|outlook| of_queue(view, outlook)).collect());
    };
    let queue = view.plan.outlooks.iter().find(|outlook| outlook.queue.as_str() == name);
    let unseen = view.settings.queues.iter().find(|other| other.name.as_str() == name && queue.is_none());
    let instance = view.snapshot.instances.iter().find(|instance| instance.id.as_str() == name);
    let pool = view.settings.pools.iter().find(|pool| pool.name.as_str() == name);
    let found: Vec<_> = [
        queue.map(|outlook| of_queue(view, outlook)),
        unseen.map(|_| of_unseen_queue(view, name)),
        instance.map(|instance| of_instance(view, instance)),
        pool.map(|_| of_pool(view, name)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() { Err(unknown(view, name)) } else { Ok(found) }
}

fn unknown(view: &View, name: &str) -> Failure {
    let queues = view.plan.outlooks.iter().map(|outlook| outlook.queue.as_str());
    let instances = view.snapshot.instances.iter().map(|instance| instance.id.as_str());
    let pools = view.settings.pools.iter().map(|pool| pool.name.as_str());
    let hint = did_you_mean(name, queues.chain(instances).chain(pools));
    Failure::Usage(format!("no queue, machine or pool is called `{name}`{hint}"))
}

fn about(view: &View, name: &str) -> Vec<Step> {
    steps(view).into_iter().filter(|step| step.is_about(name)).collect()
}

/// A loop that has just begun has planned nothing yet.
fn of_unseen_queue(view: &View, name: &str) -> Explained {
    Explained {
        name: name.to_owned(),
        kind: "queue",
        state: "not looked at yet: the loop has just begun".to_owned(),
        reason: None,
        remedy: None,
        notes: Vec::new(),
        story: Vec::new(),
        cluster: Vec::new(),
        plan: about(view, name),
    }
}

fn of_queue(view: &View, outlook: &Outlook) -> Explained {
    let oldest = outlook.oldest.map(|oldest| format!(", the oldest for {}", short(view.at.duration_since(oldest))));
    let waiting = if view.snapshot.knows_clearml() {
        format!("{} waiting{}", outlook.waiting, oldest.unwrap_or_default())
    } else {
        "ClearML has not answered yet, so that nobody knows what waits".to_owned()
    };
    Explained {
        name: outlook.queue.to_string(),
        kind: "queue",
        state: format!(
            "{waiting}; {} running, {} idle, {} starting, {} draining, {} with a fault; {} more needed",
            outlook.running, outlook.idle, outlook.starting, outlook.draining, outlook.faults, outlook.need
        ),
        reason: outlook.next.as_ref().map(ToString::to_string),
        remedy: outlook.next.as_ref().and_then(|reason| view.remedy(reason)),
        notes: {
            let phantoms = view.snapshot.queue(&outlook.queue).and_then(QueueState::phantoms_told);
            let pods = view.snapshot.pods_told(|instance| instance.home == outlook.queue);
            let held = outlook.next.as_ref().and_then(|_| view.mode.holds_back()).map(str::to_owned);
            held.into_iter().chain(phantoms).chain(pods).collect()
        },
        story: Vec::new(),
        cluster: Vec::new(),
        plan: about(view, outlook.queue.as_str()),
    }
}

fn of_instance(view: &View, instance: &Instance) -> Explained {
    let lasted = short(view.at.duration_since(instance.phase_since));
    let tasks = instance.tasks().map(|task| {
        let queue = task.queue.as_ref().map(|queue| format!(" of {queue}")).unwrap_or_default();
        format!(", runs task {} ({}){queue}", task.id, task.name)
    });
    let tasks: String = tasks.collect();
    let rate = instance.rate.map_or_else(|| "price unknown".to_owned(), |rate| rate.to_string());
    Explained {
        name: instance.id.to_string(),
        kind: "instance",
        state: format!(
            "{} for {lasted}, {} of pool {} for queue {}, {rate}, up for {}{}",
            instance.phase.word(),
            instance.machine_type,
            instance.pool,
            instance.home,
            short(instance.age(view.at)),
            tasks
        ),
        reason: None,
        remedy: None,
        notes: instances::notes(instance, view),
        story: instance.pod.iter().flat_map(|pod| &pod.story).map(|told| story(told, view)).collect(),
        cluster: Vec::new(),
        plan: about(view, instance.id.as_str()),
    }
}

fn of_pool(view: &View, name: &str) -> Explained {
    let up =
        view.snapshot.instances.iter().filter(|instance| instance.counts() && instance.pool.as_str() == name).count();
    let intended = view.snapshot.intents.iter().filter(|intent| intent.pool.as_str() == name).count();
    let settings = view.settings.pools.iter().find(|pool| pool.name.as_str() == name);
    let max = settings.and_then(|pool| pool.limits.max).map(|max| format!(", pool.{name}.max is {max}"));
    Explained {
        name: name.to_owned(),
        kind: "pool",
        state: format!("{up} up, {intended} intended{}", max.unwrap_or_default()),
        reason: None,
        remedy: None,
        notes: {
            let cautions = settings.map(|pool| view.snapshot.cautions(pool, view.at)).unwrap_or_default();
            let pods = view.snapshot.pods_told(|instance| instance.pool.as_str() == name);
            cautions.into_iter().chain(pods).collect()
        },
        story: Vec::new(),
        cluster: settings
            .filter(|pool| pool.provider == Provider::Kubernetes)
            .and_then(|pool| view.snapshot.clusters.get(&pool.site()))
            .map(Cluster::told)
            .unwrap_or_default(),
        plan: about(view, name),
    }
}

/// `19:04:30 cluster-autoscaler: TriggeredScaleUp: ...`.
fn story(told: &Told, view: &View) -> String {
    let at = told.at.to_zoned(view.settings.the_loop.time_zone.clone());
    format!("{} {}: {}", at.strftime("%H:%M:%S"), told.by, told.what)
}

pub(super) fn text(explained: &[Explained]) -> String {
    let mut text = String::new();
    for (index, part) in explained.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let _ = writeln!(text, "{} {}: {}", part.kind, plain(&part.name), plain(&part.state));
        let told = part.reason.iter().chain(&part.remedy).chain(&part.notes).chain(&part.story).chain(&part.cluster);
        for line in told {
            let _ = writeln!(text, "  {}", plain(line));
        }
        if !part.plan.is_empty() {
            for line in lines(part.plan.iter()).lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    if text.is_empty() { "the settings name no queue\n".to_owned() } else { text }
}

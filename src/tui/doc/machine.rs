//! Everything about one machine.

use jiff::Timestamp;

use super::{Line, drain, fact, heading, why, wrapped};
use crate::engine::event::View;
use crate::model::eta::Eta;
use crate::model::extras::{self, Extras};
use crate::model::instance::Instance;
use crate::model::money::Rate;
use crate::model::settings::Market;
use crate::tui::commands::Keymap;
use crate::tui::list::{charged, notes, state_of};
use crate::tui::state::place::Subject;
use crate::tui::theme::Tone;
use crate::tui::words::{clock, short};

pub(super) fn lines(view: &View, about: Option<&Subject>, keys: &Keymap, width: usize, now: Timestamp) -> Vec<Line> {
    let Some(Subject::Instance(id)) = about else { return Vec::new() };
    let Some(instance) = view.snapshot.instance(id) else {
        return vec![Line::of(format!("{id} is gone. The journal tells what became of it."), Tone::Dim)];
    };
    let (glyph, word, tone) = state_of(instance);
    let lasted = short(now.duration_since(instance.phase_since));
    let phase = if instance.fault.is_some() { format!("  {}", instance.phase.word()) } else { String::new() };
    let mut lines = vec![Line::of(format!("{glyph} {word}"), tone).and(format!("{phase} for {lasted}"), Tone::Plain)];
    for note in notes(instance, view, now) {
        lines.push(Line::of(format!("  {note}"), Tone::Warn));
    }
    lines.push(Line::default());
    let progress = drain::lines(instance, view, keys, width, now);
    if !progress.is_empty() {
        lines.push(heading("Drain"));
        lines.extend(progress);
        lines.push(Line::default());
    }
    for (name, value) in facts(instance, view, now) {
        lines.extend(fact(name, &value, width));
    }
    lines.push(Line::default());
    if let Some(pod) = &instance.pod {
        lines.push(heading("What happened"));
        let zone = &view.settings.the_loop.time_zone;
        for told in &pod.story {
            let text = format!("{} {}: {}", clock(told.at, zone), told.by, told.what);
            lines.extend(wrapped(&text, Tone::Plain, width));
        }
        lines.push(Line::default());
    }
    lines.push(heading("Why"));
    lines.extend(why::steps(view, &Subject::Instance(id.clone()), width));
    lines
}

fn facts(instance: &Instance, view: &View, now: Timestamp) -> Vec<(&'static str, String)> {
    let zone = &view.settings.the_loop.time_zone;
    let dash = || "-".to_owned();
    let ago = |at: Timestamp| format!("{} ({} ago)", clock(at, zone), short(now.duration_since(at)));
    let tasks: Vec<_> = instance
        .tasks()
        .map(|task| format!("{} ({}), here for {}", task.name, task.id, short(now.duration_since(task.since))))
        .collect();
    let task = if !tasks.is_empty() {
        let eta = Eta::of(instance, &view.snapshot.learned, &view.settings, now);
        let eta = eta.map(|eta| format!(", done in {eta}")).unwrap_or_default();
        let load = instance.load_told().map(|load| format!("{load}: ")).unwrap_or_default();
        format!("{load}{}{eta}", tasks.join("; "))
    } else if instance.may_have_task() {
        "none seen; it may have one".to_owned()
    } else {
        "none".to_owned()
    };
    vec![
        ("task", task),
        ("queue", format!("{}, launched for {}", charged(instance), instance.home)),
        ("pool", instance.pool.to_string()),
        ("type", format!("{}, {} vCPU, {} GPU", instance.machine_type, instance.vcpu, instance.gpu)),
        ("place", place(instance)),
        ("price", price(view, instance)),
        ("launched", ago(instance.launched)),
        ("worker", instance.worker.as_ref().map_or_else(dash, ToString::to_string)),
        ("reported", instance.last_report.map_or_else(dash, ago)),
        ("intent", instance.intent.as_ref().map_or_else(dash, ToString::to_string)),
    ]
}

/// Its zone, else its region; of a pod its node too.
fn place(instance: &Instance) -> String {
    let place = instance.zone.as_ref().map_or_else(|| instance.region.clone(), ToString::to_string);
    let node = instance.pod.as_ref().and_then(|pod| pod.node.as_ref());
    node.map_or_else(|| place.clone(), |node| format!("{place}, on {node}"))
}

/// `$1.02/h, of it disks and address $0.02/h (list prices of us-east-1, 2026-09); told by the cloud, 2026-11-02 02:00Z`.
fn price(view: &View, instance: &Instance) -> String {
    let Some(rate) = instance.rate else { return "not known; it counts as nothing".to_owned() };
    let Some(pool) = view.settings.pool(&instance.pool) else { return rate.to_string() };
    let catalogue = &view.snapshot.catalogue;
    let of_extras = extras::source(pool, catalogue);
    if instance.power.is_off() {
        return format!("{rate} for its disks while it is off; {of_extras}");
    }
    let extras = Extras::within(pool, catalogue, Some(rate));
    let beside = || format!(", of it disks and address {extras} ({of_extras})");
    let beside = if extras == Rate::ZERO { String::new() } else { beside() };
    let spec = catalogue.spec(instance.provider, &instance.region, &instance.machine_type);
    let source = if instance.pod.is_some() && pool.price.is_none() {
        catalogue.pod_source(&pool.name).map(|_| "its part of its node".to_owned())
    } else if pool.price.is_some() && instance.market == pool.market {
        Some(format!("pool.{}.price", pool.name))
    } else {
        spec.and_then(|spec| {
            let spot = spec.spot_source.as_ref().filter(|_| instance.market == Market::Spot);
            spot.or(Some(&spec.source)).filter(|source| !source.is_empty()).cloned()
        })
    };
    format!("{rate}{beside}{}", source.map(|source| format!("; {source}")).unwrap_or_default())
}

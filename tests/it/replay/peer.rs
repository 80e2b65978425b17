//! The peer's model against the peer: ClearML's own `AutoScaler`, as pip installs it, on the project's own weeks.

use std::path::Path;

use serde_json::{Value, json};
use tidegate::model::money::Rate;
use tidegate::replay::contest::{PolicySpec, Terms, played};
use tidegate::replay::generate;
use tidegate::replay::model::{CloudModel, Fault};
use tidegate::replay::policy::first_look;
use tidegate::replay::trace::{Millis, Trace};
use tidegate::replay::week::Week;

use crate::support::{process, python};

const SCRIPT: &str = include_str!("autoscaler.py");
const MINUTE: Millis = 60_000;

/// More machines of a queue than any policy starts.
const BOOTS: u64 = 6_000;

fn week(kind: &str, seed: u64) -> Trace {
    let kinds = generate::kinds();
    let (name, habits) = kinds.iter().find(|(name, _)| *name == kind).unwrap();
    generate::week(name, habits, seed)
}

/// What ClearML's code makes of the week, with the same boots.
fn autoscaler(directory: &Path, trace: &Trace, cloud: &CloudModel, seed: u64, poll: Millis, idle: Millis) -> Value {
    let playing = Week::new(trace, cloud, seed);
    let queues = trace.queues.iter().enumerate().map(|(place, queue)| {
        let class = &cloud.classes[playing.class(place)];
        let boots = (0..BOOTS).map(|k| cloud.boot(seed, &queue.name, k)).map(|boot| [boot.pending, boot.starting]);
        let boots: Vec<_> = boots.collect();
        json!({ "name": queue.name, "cap": class.cap, "rate": class.rate.micros_per_hour(), "boots": boots })
    });
    let given = json!({
        "jobs": trace.jobs.iter().map(|job| json!([job.submitted, job.duration, job.queue])).collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "first_look": first_look(&playing),
        "poll": poll,
        "idle": idle,
        "lingers": if cloud.fault == Some(Fault::Zombie) { 600_000 } else { cloud.lingers },
    });
    let file = directory.join(format!("{}-{seed}-{poll}.json", trace.name));
    process::write(&file, &given.to_string());
    serde_json::from_str(&python::print(SCRIPT, &[&file])).unwrap()
}

#[test]
fn the_peer_costs_and_waits_what_clearmls_own_code_does() {
    let directory = tempfile::tempdir().unwrap();
    let zombies = CloudModel { fault: Some(Fault::Zombie), ..CloudModel::default() };
    for (kind, cloud, poll, idle) in [
        ("even", CloudModel::default(), 5 * MINUTE, 15 * MINUTE),
        ("sweeps", CloudModel::default(), 5 * MINUTE, 15 * MINUTE),
        ("sweeps", CloudModel::default(), MINUTE / 2, MINUTE),
        ("rare", zombies.clone(), 5 * MINUTE, 15 * MINUTE),
        ("sweeps", zombies, 5 * MINUTE, 15 * MINUTE),
    ] {
        let trace = week(kind, 7);
        let policy: PolicySpec = format!("clearml:poll={}s,idle={}s", poll / 1_000, idle / 1_000).parse().unwrap();
        let waiting = Rate::from_micros_per_hour(2_000_000);
        let tally = played(&trace, &policy, 0, Terms { cloud: &cloud, seeds: 1, waiting }).unwrap().into_tally();
        let theirs = autoscaler(directory.path(), &trace, &cloud, 0, poll, idle);
        for (what, ours, theirs) in [
            ("total", tally.money.total.as_dollars(), &theirs["total"]),
            ("mean wait", tally.mean_wait(), &theirs["wait"]),
            ("launches", f64::from(tally.launches), &theirs["launches"]),
        ] {
            let theirs = theirs.as_f64().unwrap();
            let apart = (ours / theirs - 1.0).abs();
            assert!(apart < 0.03, "{what} of {kind} at {poll}/{idle}: {ours} here, {theirs} there");
        }
    }
}

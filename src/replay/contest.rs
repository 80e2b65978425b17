//! Policies on a trace, seed by seed: every policy meets the same luck.

use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::model::CloudModel;
use super::policy::{Clearml, Own, Policy, field, play};
use super::score::{Score, least_wait_hours};
use super::trace::{Millis, Trace};
use super::week::{Tally, Week};
use crate::model::money::Rate;
use crate::model::nearest::did_you_mean;
use crate::model::span;

/// Who is to decide, as people write it: `tidegate:keep_alive=1m`, `clearml:poll=30s,idle=60s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySpec {
    written: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// With these fields of every pool.
    Own(Vec<(String, String)>),
    /// The same, with a policy of the user's for every queue, as `loop.policy` names one.
    Users(String),
    Clearml {
        poll: Millis,
        max_idle: Millis,
    },
}

impl PolicySpec {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    fn policy(&self, week: &Week<'_>, waiting: Rate) -> Result<Box<dyn Policy>, String> {
        Ok(match &self.kind {
            Kind::Own(options) => Box::new(Own::new(week, options, waiting)?),
            Kind::Users(policy) => Box::new(Own::new(week, &[], waiting)?.with_policy(policy)),
            Kind::Clearml { poll, max_idle } => Box::new(Clearml::new(*poll, *max_idle)),
        })
    }
}

impl std::str::FromStr for PolicySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        if name == "script" || name == "exec" {
            if options.is_empty() {
                return Err(format!("`{name}:` is without a file"));
            }
            let kind = Kind::Users(if name == "exec" { text } else { options }.to_owned());
            return Ok(Self { written: text.to_owned(), kind });
        }
        let options = options
            .split(',')
            .filter(|option| !option.is_empty())
            .map(|option| option.split_once('=').ok_or_else(|| format!("`{option}` is not `NAME=VALUE`")));
        let options: Vec<(&str, &str)> = options.collect::<Result<_, _>>()?;
        let kind = match name {
            "tidegate" => own(&options)?,
            "clearml" => clearml(&options)?,
            _ => {
                let hint = did_you_mean(name, ["tidegate", "clearml", "script", "exec"]);
                return Err(format!(
                    "there is no policy `{name}`{hint}: it is `tidegate`, `clearml`, `script:FILE` or `exec:FILE`"
                ));
            }
        };
        Ok(Self { written: text.to_owned(), kind })
    }
}

fn own(options: &[(&str, &str)]) -> Result<Kind, String> {
    for (name, value) in options {
        let (_, field) = field(name)?;
        field.read(value).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(Kind::Own(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()))
}

fn clearml(options: &[(&str, &str)]) -> Result<Kind, String> {
    let standard = Clearml::default();
    let (mut poll, mut max_idle) = (standard.poll, standard.max_idle);
    for (name, value) in options {
        let time = span::parse(value).map_err(|error| format!("{name}: {error}"))?;
        let time = Millis::try_from(SignedDuration::as_millis(&time)).unwrap_or(Millis::MAX);
        match *name {
            "poll" if time > 0 => poll = time,
            "poll" => return Err("poll: it must be longer than nothing".to_owned()),
            "idle" => max_idle = time,
            _ => return Err(format!("ClearML's autoscaler has `poll` and `idle`, not `{name}`")),
        }
    }
    Ok(Kind::Clearml { poll, max_idle })
}

/// What came of all policies on one trace.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Contest {
    pub trace: String,
    pub policies: Vec<Score>,
}

/// What is played, and for whom it is scored.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    pub cloud: &'a CloudModel,
    /// So many runs of each policy.
    pub seeds: u64,
    /// What an hour of one job's waiting is worth.
    pub waiting: Rate,
}

/// What tells how far it has come.
pub struct Watch<'a> {
    /// Reads a running clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Is told that one run more is over.
    pub ran: &'a (dyn Fn() + Sync),
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// One run: what came of it, and how long it took.
type Run = (Tally, f64);

/// Plays a trace under each policy with each seed, from 0 on, on as many threads as the machine has; what comes out is the
/// same on any.
///
/// # Errors
/// A policy's option does not fit, or it failed.
pub fn contest(trace: &Trace, policies: &[PolicySpec], terms: Terms<'_>, watch: &Watch<'_>) -> Result<Contest, String> {
    let jobs: Vec<(&PolicySpec, u64)> =
        policies.iter().flat_map(|policy| (0..terms.seeds).map(move |seed| (policy, seed))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((place, (policy, seed))) = take(&jobs, &next) {
            let run = run(trace, policy, *seed, terms, watch);
            if run.is_err() {
                // Nothing is scored where one failed: no other run is begun.
                next.store(jobs.len(), Ordering::Relaxed);
            }
            done.push((place, run));
            (watch.ran)();
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(jobs.len());
    let mut runs: Vec<(usize, Result<Run, String>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut runs = work();
        for other in others {
            match other.join() {
                Ok(done) => runs.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        runs
    });
    runs.sort_by_key(|(place, _)| *place);
    let mut runs = runs.into_iter().map(|(_, run)| run).collect::<Result<Vec<Run>, String>>()?.into_iter();
    let least = least_wait_hours(trace, terms.cloud);
    let mut scores = Vec::new();
    for policy in policies {
        let of_policy = runs.by_ref().take(usize::try_from(terms.seeds).unwrap_or(usize::MAX));
        let (tallies, took): (Vec<Tally>, Vec<f64>) = of_policy.unzip();
        #[expect(clippy::cast_precision_loss, reason = "a statistic")]
        let wall = took.iter().sum::<f64>() / took.len().max(1) as f64;
        scores.push(Score::new(policy.written.clone(), &tallies, least, terms.waiting, wall));
    }
    Ok(Contest { trace: trace.name.clone(), policies: scores })
}

fn take<'a, T>(jobs: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, jobs.get(place)?))
}

fn run(trace: &Trace, policy: &PolicySpec, seed: u64, terms: Terms<'_>, watch: &Watch<'_>) -> Result<Run, String> {
    let began = (watch.clock)();
    let week = played(trace, policy, seed, terms)?;
    Ok((week.into_tally(), (watch.clock)().duration_since(began).as_secs_f64()))
}

/// A week that was played to its end.
///
/// # Errors
/// The policy's option does not fit.
pub fn played<'a>(trace: &'a Trace, policy: &PolicySpec, seed: u64, terms: Terms<'a>) -> Result<Week<'a>, String> {
    let mut week = Week::new(trace, terms.cloud, seed);
    let mut policy = policy.policy(&week, terms.waiting)?;
    play(&mut week, policy.as_mut());
    if let Some(failure) = policy.failure() {
        return Err(failure);
    }
    Ok(week)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::trace::{Job, TraceQueue};

    #[test]
    fn after_a_run_that_failed_no_other_is_begun() {
        let job = Job { submitted: 0, duration: 600_000, queue: 0, user: 0, project: None };
        let queues = vec![TraceQueue { name: "small".to_owned(), gpus: 1 }];
        let (users, jobs) = (vec![String::new()], vec![job]);
        let trace = Trace { name: "short".to_owned(), queues, users, projects: Vec::new(), jobs };
        let cloud = CloudModel::default();
        let terms = Terms { cloud: &cloud, seeds: 200, waiting: Rate::from_micros_per_hour(1) };
        let ran = AtomicUsize::new(0);
        let count = || {
            ran.fetch_add(1, Ordering::Relaxed);
        };
        let watch = Watch { clock: &|| Timestamp::UNIX_EPOCH, ran: &count };
        let policies = ["script:/nonexistent/policy.rhai", "tidegate"].map(|policy| policy.parse().unwrap());
        let why = contest(&trace, &policies, terms, &watch).unwrap_err();
        assert!(why.contains("it cannot be read"), "{why}");
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        assert!(ran.into_inner() <= threads, "no more than were under way");
    }
}

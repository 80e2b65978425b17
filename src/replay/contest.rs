//! Policies on a trace, seed by seed: every policy meets the same luck.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::model::CloudModel;
use super::policy::{Clearml, Own, Policy, play};
use super::score::{Score, least_wait_hours};
use super::trace::{Millis, Trace};
use super::week::{Tally, Week};
use crate::model::money::Rate;
use crate::model::nearest::did_you_mean;
use crate::model::settings::fields;
use crate::model::settings::key::Part;
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

    fn policy(&self, week: &Week<'_>) -> Result<Box<dyn Policy>, String> {
        Ok(match &self.kind {
            Kind::Own(options) => Box::new(Own::new(week, options)?),
            Kind::Clearml { poll, max_idle } => Box::new(Clearml::new(*poll, *max_idle)),
        })
    }
}

impl std::str::FromStr for PolicySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let options = options
            .split(',')
            .filter(|option| !option.is_empty())
            .map(|option| option.split_once('=').ok_or_else(|| format!("`{option}` is not `NAME=VALUE`")));
        let options: Vec<(&str, &str)> = options.collect::<Result<_, _>>()?;
        let kind = match name {
            "tidegate" => own(&options)?,
            "clearml" => clearml(&options)?,
            _ => {
                let hint = did_you_mean(name, ["tidegate", "clearml"]);
                return Err(format!("there is no policy `{name}`{hint}: it is `tidegate` or `clearml`"));
            }
        };
        Ok(Self { written: text.to_owned(), kind })
    }
}

fn own(options: &[(&str, &str)]) -> Result<Kind, String> {
    for (name, value) in options {
        let field = fields::find(Part::Pool, name).map_err(|error| error.to_string())?;
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contest {
    pub trace: String,
    pub policies: Vec<Score>,
}

/// Plays a trace under each policy with each seed, from 0 on. `waiting`: what an hour of one job's waiting is worth.
/// `clock` reads a running clock.
///
/// # Errors
/// A policy's option does not fit.
pub fn contest(
    trace: &Trace,
    cloud: &CloudModel,
    policies: &[PolicySpec],
    seeds: u64,
    waiting: Rate,
    clock: &dyn Fn() -> Timestamp,
) -> Result<Contest, String> {
    let least = least_wait_hours(trace, cloud);
    let mut scores = Vec::new();
    for spec in policies {
        let began = clock();
        let mut tallies: Vec<Tally> = Vec::new();
        for seed in 0..seeds {
            let mut week = Week::new(trace, cloud, seed);
            let mut policy = spec.policy(&week)?;
            play(&mut week, policy.as_mut());
            tallies.push(week.into_tally());
        }
        let took = clock().duration_since(began).as_secs_f64();
        scores.push(Score::new(spec.written.clone(), &tallies, least, waiting, took));
    }
    Ok(Contest { trace: trace.name.clone(), policies: scores })
}

//! The gates that decisions are held to, on every trace of a folder: what was reached, what is asked, and whether that is
//! enough. Ratios over several traces are geometric means.

mod honest;
mod reference;
mod runs;

use schemars::JsonSchema;
use serde::Serialize;

use super::contest::Watch;
use super::score::Score;
use super::trace::Trace;
use crate::model::money::Rate;
use runs::Runs;

/// One line of the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Gate {
    pub gate: &'static str,
    pub what: String,
    pub reached: String,
    pub asked: String,
    /// What the best policy that was known reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_known: Option<&'static str>,
    pub verdict: Verdict,
}

/// Whether a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Pass,
    Fail,
    /// The gate is an open question: not reached, and no worse than the best that is known.
    Open,
    /// The gate is an open question: worse than the best that is known.
    Worse,
}

impl Verdict {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Open => "open",
            Self::Worse => "open, worse than known",
        }
    }
}

/// How the gates are judged.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    pub seeds: u64,
    /// What an hour of one job's waiting is worth.
    pub waiting: Rate,
    /// So many machines are kept switched off in each pool where some are.
    pub stopped: u32,
}

/// How many runs there will be.
#[must_use]
pub fn runs_of(traces: usize, seeds: u64) -> u64 {
    let traces = u64::try_from(traces).unwrap_or(u64::MAX);
    traces * (runs::EACH * seeds + honest::EACH * honest::SEEDS) + honest::GENERATED * honest::SEEDS
}

/// Judges all traces.
///
/// # Errors
/// A policy does not fit a trace.
pub fn judge(traces: &[Trace], judge: Judge, watch: &Watch<'_>) -> Result<Vec<Gate>, String> {
    let runs = traces.iter().map(|trace| Runs::new(trace, judge, watch)).collect::<Result<Vec<_>, _>>()?;
    let mut gates = reference::gates(&runs);
    gates.extend(against_default(&runs));
    gates.extend(against_tuned(&runs));
    gates.extend(stopped(&runs));
    gates.extend(faults(&runs));
    gates.extend(spot(&runs));
    gates.extend(always(&runs));
    gates.extend(honest::gates(traces, judge, watch)?);
    gates.push(calls(&runs));
    Ok(gates)
}

/// A figure that must not be more than `most`.
fn at_most(
    gate: &'static str,
    what: impl Into<String>,
    reached: f64,
    most: f64,
    best: Option<(&'static str, f64)>,
) -> Gate {
    let verdict = match best {
        _ if reached <= most => Verdict::Pass,
        Some((_, known)) if reached <= known => Verdict::Open,
        Some(_) => Verdict::Worse,
        None => Verdict::Fail,
    };
    let (reached, asked) = (format!("{reached:.2}x"), format!("<= {most:.2}x"));
    Gate { gate, what: what.into(), reached, asked, best_known: best.map(|(best, _)| best), verdict }
}

/// The geometric mean of a ratio over all traces.
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn mean(runs: &[Runs], of: impl Fn(&Runs) -> f64) -> f64 {
    (runs.iter().map(|runs| of(runs).ln()).sum::<f64>() / runs.len().max(1) as f64).exp()
}

fn worst(runs: &[Runs], of: impl Fn(&Runs) -> f64) -> (f64, String) {
    let each = runs.iter().map(|runs| (of(runs), runs.trace.clone()));
    each.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
}

fn ratio(of: fn(&Score) -> f64, own: &Score, peer: &Score) -> f64 {
    of(own) / of(peer)
}

const OVERHEAD: fn(&Score) -> f64 = |score| score.overhead_usd;
const WAIT: fn(&Score) -> f64 = |score| score.wait_mean_s;
const SCORE: fn(&Score) -> f64 = Score::score;

fn against_default(runs: &[Runs]) -> Vec<Gate> {
    let of = |figure| mean(runs, |runs| ratio(figure, &runs.own, &runs.peer));
    let (score, trace) = worst(runs, |runs| ratio(SCORE, &runs.own, &runs.peer));
    let closed = |what: String, reached, most, known| Gate {
        best_known: Some(known),
        ..at_most("G1", what, reached, most, None)
    };
    vec![
        closed("overhead against ClearML's default".to_owned(), of(OVERHEAD), 0.33, "0.35"),
        closed("mean wait against ClearML's default".to_owned(), of(WAIT), 0.68, "0.70"),
        closed(format!("S against ClearML's default, the worst: {trace}"), score, 0.48, "0.50"),
    ]
}

fn against_tuned(runs: &[Runs]) -> Vec<Gate> {
    let (score, trace) = worst(runs, |runs| ratio(SCORE, &runs.own, &runs.tuned));
    let all = mean(runs, |runs| ratio(SCORE, &runs.own, &runs.tuned));
    vec![
        at_most("G2", "S against ClearML tuned", all, 0.70, Some(("0.72", 0.72))),
        at_most("G2", format!("S against ClearML tuned, the worst: {trace}"), score, 1.0, Some(("1.17", 1.17))),
    ]
}

fn stopped(runs: &[Runs]) -> Vec<Gate> {
    let of = |figure| mean(runs, |runs| ratio(figure, &runs.stopped, &runs.peer));
    vec![
        at_most("G3", "overhead with stopped machines", of(OVERHEAD), 0.18, Some(("0.19", 0.19))),
        at_most("G3", "mean wait with stopped machines", of(WAIT), 0.50, Some(("0.52", 0.52))),
        at_most("G3", "S with stopped machines", of(SCORE), 0.25, Some(("0.26", 0.26))),
    ]
}

fn faults(runs: &[Runs]) -> Vec<Gate> {
    let Some(first) = runs.first() else { return Vec::new() };
    let each = first.faults.iter().enumerate().map(|(place, (fault, _))| {
        let of = |runs: &Runs| runs.faults.get(place).map_or(0.0, |(_, score)| score.wait_p99_s / runs.own.wait_p99_s);
        let (reached, trace) = worst(runs, of);
        at_most("G4", format!("p99 wait with {}, the worst: {trace}", fault.word()), reached, 2.0, None)
    });
    each.collect()
}

fn spot(runs: &[Runs]) -> Vec<Gate> {
    let total = mean(runs, |runs| runs.spot.total_usd / runs.peer.total_usd);
    let wait = mean(runs, |runs| ratio(WAIT, &runs.spot, &runs.peer));
    vec![
        at_most("G5", "total on spot against ClearML's default on demand", total, 0.39, Some(("0.39", 0.39))),
        at_most("G5", "mean wait on spot against ClearML's default on demand", wait, 1.15, Some(("1.23", 1.23))),
    ]
}

fn always(runs: &[Runs]) -> Vec<Gate> {
    let count = |what: &str, of: fn(&Score) -> u64| {
        let sum: u64 = runs.iter().flat_map(Runs::all_own).map(of).sum();
        let verdict = if sum == 0 { Verdict::Pass } else { Verdict::Fail };
        let (what, reached, asked) = (what.to_owned(), sum.to_string(), "0".to_owned());
        Gate { gate: "always", what, reached, asked, best_known: None, verdict }
    };
    vec![
        count("limits passed", |score| score.violations.into()),
        count("busy machines killed", |score| score.busy_kills.into()),
        count("jobs unfinished", |score| u64::try_from(score.unfinished).unwrap_or(u64::MAX)),
        same_again(runs),
    ]
}

/// The same seed played twice.
fn same_again(runs: &[Runs]) -> Gate {
    let others = runs.iter().filter(|runs| !runs.same_again).count();
    let verdict = if others == 0 { Verdict::Pass } else { Verdict::Fail };
    let what = "traces on which the same seed is played otherwise the second time".to_owned();
    Gate { gate: "always", what, reached: others.to_string(), asked: "0".to_owned(), best_known: None, verdict }
}

const WEEK: f64 = 7.0 * 86_400.0;
const MOST_CALLS: f64 = 60_000.0;

fn calls(runs: &[Runs]) -> Gate {
    let (reached, trace) = worst(runs, |runs| runs.own.clearml_calls / (runs.own.lasted_s / WEEK).max(1.0));
    let verdict = if reached <= MOST_CALLS { Verdict::Pass } else { Verdict::Fail };
    Gate {
        gate: "calls",
        what: format!("ClearML calls in a week, the worst: {trace}"),
        reached: format!("{reached:.0}"),
        asked: format!("<= {MOST_CALLS:.0}"),
        best_known: None,
        verdict,
    }
}

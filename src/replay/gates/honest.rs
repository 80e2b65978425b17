//! Whether what was chosen holds where it was not looked for: a choice that is made on all traces but one, on that one; on
//! weeks that were made up with other rates and lengths; and whether the policy decides by what it can know.

use super::runs::{OWN, TUNED, play};
use super::{Gate, Judge, Verdict, at_most};
use crate::replay::contest::{PolicySpec, Terms, Watch};
use crate::replay::generate;
use crate::replay::honest::is_blind_to_the_future;
use crate::replay::model::CloudModel;
use crate::replay::trace::Trace;

/// What there is to choose: the price of waiting that it decides by, whatever waiting is worth in the score.
const CHOICES: [&str; 5] = [
    "tidegate:price_of_waiting=$0.50/h",
    "tidegate:price_of_waiting=$1/h",
    "tidegate:price_of_waiting=$2/h",
    "tidegate:price_of_waiting=$4/h",
    "tidegate:price_of_waiting=$8/h",
];

/// Fewer seeds than for the gates themselves: there is much to play.
pub(super) const SEEDS: u64 = 2;

/// So many policies are played on each trace.
pub(super) const EACH: u64 = 6;

/// And on all weeks that are made up.
pub(super) const GENERATED: u64 = 8;

pub(super) fn gates(traces: &[Trace], judge: Judge, watch: &Watch<'_>) -> Result<Vec<Gate>, String> {
    let judge = Judge { seeds: SEEDS, ..judge };
    let mut gates = Vec::new();
    gates.extend(left_out(traces, judge, watch)?);
    gates.push(made_up(judge, watch)?);
    gates.push(blind(traces, judge)?);
    Ok(gates)
}

/// S of each choice on a trace, against the peer tuned.
fn scores(trace: &Trace, judge: Judge, watch: &Watch<'_>) -> Result<Vec<f64>, String> {
    let cloud = CloudModel::default();
    let tuned = play(trace, TUNED, &cloud, judge, watch)?.score();
    CHOICES.iter().map(|choice| Ok(play(trace, choice, &cloud, judge, watch)?.score() / tuned)).collect()
}

/// The price that is best on the other traces, against the best on the one that is left out.
fn left_out(traces: &[Trace], judge: Judge, watch: &Watch<'_>) -> Result<Option<Gate>, String> {
    if traces.len() < 2 {
        return Ok(None);
    }
    let all = traces.iter().map(|trace| scores(trace, judge, watch)).collect::<Result<Vec<_>, _>>()?;
    let mut worst = (0.0, String::new());
    for (out, (trace, here)) in traces.iter().zip(&all).enumerate() {
        let others = || all.iter().enumerate().filter(|(place, _)| *place != out).map(|(_, scores)| scores);
        let on_others =
            |choice: usize| others().filter_map(|scores| scores.get(choice)).map(|score| score.ln()).sum::<f64>();
        let chosen = (0..CHOICES.len()).min_by(|one, other| on_others(*one).total_cmp(&on_others(*other)));
        let Some((chosen, score)) = chosen.and_then(|chosen| Some((CHOICES.get(chosen)?, here.get(chosen)?))) else {
            continue;
        };
        let best = here.iter().copied().fold(f64::INFINITY, f64::min);
        if (score / best).is_nan() || score / best > worst.0 {
            worst = (score / best, format!("{chosen} on {}", trace.name));
        }
    }
    let (reached, which) = worst;
    let what = format!(
        "S of the price to decide by that is chosen on the other traces against the best one here, the worst: {which}"
    );
    Ok(Some(at_most("honest", what, reached, 1.05, None)))
}

/// S against the peer tuned on weeks of other habits.
fn made_up(judge: Judge, watch: &Watch<'_>) -> Result<Gate, String> {
    let cloud = CloudModel::default();
    let mut worst = (0.0, "");
    for (name, habits) in generate::kinds() {
        let week = generate::week(name, &habits, 1);
        let score = |policy| Ok::<_, String>(play(&week, policy, &cloud, judge, watch)?.score());
        let ratio = score(OWN)? / score(TUNED)?;
        if ratio.is_nan() || ratio > worst.0 {
            worst = (ratio, name);
        }
    }
    let (reached, week) = worst;
    Ok(at_most("honest", format!("S against ClearML tuned on made-up weeks, the worst: {week}"), reached, 1.0, None))
}

fn blind(traces: &[Trace], judge: Judge) -> Result<Gate, String> {
    let cloud = CloudModel::default();
    let terms = Terms { cloud: &cloud, seeds: 1, waiting: judge.waiting };
    let own: PolicySpec = OWN.parse()?;
    let mut seeing = 0;
    for trace in traces {
        seeing += u32::from(!is_blind_to_the_future(trace, &own, terms)?);
    }
    Ok(Gate {
        gate: "honest",
        what: "traces on which another future changes what was decided before".to_owned(),
        reached: seeing.to_string(),
        asked: "0".to_owned(),
        best_known: None,
        verdict: if seeing == 0 { Verdict::Pass } else { Verdict::Fail },
    })
}

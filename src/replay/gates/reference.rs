//! The peer against figures of an independent model of it, which agrees within 1 to 3 % with ClearML's unmodified code under
//! a virtual clock. Only the weeks that it was run on have them; they are known by what their jobs cost.

use super::runs::Runs;
use super::{Gate, Verdict};
use crate::replay::score::Score;

/// Total and overhead in dollars, and the mean wait in seconds.
type Figures = [f64; 3];

/// By what the jobs of the week cost: the peer's default, the peer tuned, and the default among zombies.
const REFERENCE: [(f64, [Figures; 3]); 3] = [
    (8_229.85, [[8_741.0, 511.0, 170.0], [8_441.0, 211.0, 267.0], [8_701.0, 471.0, 436.0]]),
    (12_769.98, [[13_867.0, 1_097.0, 1_315.0], [13_104.0, 334.0, 1_296.0], [13_803.0, 1_033.0, 1_382.0]]),
    (2_143.17, [[2_302.0, 159.0, 318.0], [2_200.0, 57.0, 292.0], [2_279.0, 136.0, 1_406.0]]),
];

/// How far a figure may be from its reference, in percent.
const APART: f64 = 3.0;

pub(super) fn gates(runs: &[Runs]) -> Vec<Gate> {
    runs.iter().filter_map(gate).collect()
}

fn gate(runs: &Runs) -> Option<Gate> {
    let (_, reference) = REFERENCE.iter().find(|(compute, _)| (runs.compute - compute).abs() < 0.05)?;
    let played = [&runs.peer, &runs.tuned, &runs.peer_among_zombies];
    let apart = played.into_iter().zip(reference).map(|(score, expected)| farthest(score, expected));
    let names = ["5 min / 15 min", "0.5 / 1", "zombies"];
    let all: Vec<(f64, &str, &str)> =
        apart.zip(names).map(|((apart, figure), setting)| (apart, figure, setting)).collect();
    let (apart, figure, setting) = all.into_iter().max_by(|one, other| one.0.total_cmp(&other.0))?;
    let verdict = if apart <= APART { Verdict::Pass } else { Verdict::Fail };
    Some(Gate {
        gate: "peer",
        what: format!(
            "ClearML's autoscaler against its reference on {}, the farthest: {figure} at {setting}",
            runs.trace
        ),
        reached: format!("{apart:.1} %"),
        asked: format!("<= {APART:.0} %"),
        best_known: None,
        verdict,
    })
}

/// How many seeds the reference has.
const SEEDS: f64 = 5.0;

/// How far the farthest figure is, in percent. Of the mean wait only what two standard errors do not explain: among zombies
/// it is a matter of luck.
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn farthest(score: &Score, expected: &Figures) -> (f64, &'static str) {
    let noise = 2.0 * score.wait_spread_s * (1.0 / SEEDS + 1.0 / score.seeds.max(1) as f64).sqrt();
    let figures = [
        (score.total_usd, 0.0, "total"),
        (score.overhead_usd, 0.0, "overhead"),
        (score.wait_mean_s, noise, "mean wait"),
    ];
    let apart = figures.into_iter().zip(expected).map(|((reached, noise, name), expected)| {
        (((reached - expected).abs() - noise).max(0.0) / expected * 100.0, name)
    });
    apart.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
}

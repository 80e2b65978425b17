//! What is played of each trace for the gates.

use super::Judge;
use crate::replay::contest::{Contest, PolicySpec, Terms, Watch, contest, played};
use crate::replay::model::{CloudModel, Fault, Spot};
use crate::replay::score::Score;
use crate::replay::trace::Trace;

/// So many policies are played on each trace.
pub(super) const EACH: u64 = 6 + 6 + 1;

/// One trace.
pub(super) struct Runs {
    pub(super) trace: String,
    /// What its jobs cost, in dollars, however they are scheduled: by this it is known.
    pub(super) compute: f64,
    pub(super) own: Score,
    pub(super) peer: Score,
    pub(super) tuned: Score,
    pub(super) peer_among_zombies: Score,
    pub(super) faults: Vec<(Fault, Score)>,
    pub(super) stopped: Score,
    pub(super) spot: Score,
    pub(super) same_again: bool,
}

pub(super) const OWN: &str = "tidegate";
pub(super) const PEER: &str = "clearml";
pub(super) const TUNED: &str = "clearml:poll=30s,idle=60s";

/// The machines that the cloud takes back.
const SPOT: Spot = Spot { price_percent: 40, hazard: 0.05, mixed: false };

impl Runs {
    pub(super) fn new(trace: &Trace, judge: Judge, watch: &Watch<'_>) -> Result<Self, String> {
        let clean = CloudModel::default();
        let play = |policy: &str, cloud: &CloudModel| play(trace, policy, cloud, judge, watch);
        let own = play(OWN, &clean)?;
        let with = |fault| CloudModel { fault: Some(fault), ..clean.clone() };
        let faults = Fault::ALL.into_iter().map(|fault| Ok((fault, play(OWN, &with(fault))?)));
        Ok(Self {
            trace: trace.name.clone(),
            compute: own.total_usd - own.overhead_usd,
            peer: play(PEER, &clean)?,
            tuned: play(TUNED, &clean)?,
            peer_among_zombies: play(PEER, &with(Fault::Zombie))?,
            faults: faults.collect::<Result<_, String>>()?,
            stopped: play(OWN, &CloudModel { stopped: judge.stopped, ..clean.clone() })?,
            spot: play(OWN, &CloudModel { spot: Some(SPOT), ..clean.clone() })?,
            same_again: is_same_again(trace, &clean, judge)?,
            own,
        })
    }

    /// Every run of our own policy.
    pub(super) fn all_own(&self) -> impl Iterator<Item = &Score> {
        [&self.own, &self.stopped, &self.spot].into_iter().chain(self.faults.iter().map(|(_, score)| score))
    }
}

/// One policy with all seeds.
pub(super) fn play(
    trace: &Trace,
    policy: &str,
    cloud: &CloudModel,
    judge: Judge,
    watch: &Watch<'_>,
) -> Result<Score, String> {
    let terms = Terms { cloud, seeds: judge.seeds, waiting: judge.waiting };
    let policy: PolicySpec = policy.parse()?;
    let Contest { policies, .. } = contest(trace, &[policy], terms, watch)?;
    policies.into_iter().next().ok_or_else(|| "nothing was played".to_owned())
}

fn is_same_again(trace: &Trace, cloud: &CloudModel, judge: Judge) -> Result<bool, String> {
    let terms = Terms { cloud, seeds: 1, waiting: judge.waiting };
    let policy: PolicySpec = OWN.parse()?;
    let once = || Ok::<_, String>(played(trace, &policy, 0, terms)?.into_tally());
    Ok(once()? == once()?)
}

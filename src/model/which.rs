//! Which machines: chosen by what they are, for an order to many of them at once.

use jiff::{SignedDuration, Timestamp};

use crate::model::ids::PoolName;
use crate::model::instance::{Instance, Phase};
use crate::model::money::Rate;
use crate::model::settings::Provider;
use crate::model::snapshot::Snapshot;

/// Which machines; each part that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Which {
    /// They run no task and wait for one.
    pub idle: bool,
    pub pool: Option<PoolName>,
    pub older_than: Option<SignedDuration>,
    /// A machine of unknown price is not dearer than anything.
    pub dearer_than: Option<Rate>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chosen<'a> {
    pub machines: Vec<&'a Instance>,
    /// They would be, but a person holds them.
    pub held: Vec<&'a Instance>,
}

impl Which {
    /// Every machine waiting for work.
    #[must_use]
    pub fn all_idle() -> Self {
        Self { idle: true, ..Self::default() }
    }

    /// The machines that can be drained and are not yet. Those that are held are left to whoever holds them.
    #[must_use]
    pub fn to_drain<'a>(&self, snapshot: &'a Snapshot, now: Timestamp) -> Chosen<'a> {
        let chosen = snapshot.instances.iter().filter(|machine| can_be_drained(machine) && self.takes(machine, now));
        let (held, machines) = chosen.partition(|machine| machine.is_held(now));
        Chosen { machines, held }
    }

    fn takes(&self, machine: &Instance, now: Timestamp) -> bool {
        (!self.idle || machine.phase == Phase::Idle)
            && self.pool.as_ref().is_none_or(|pool| machine.pool == *pool)
            && self.older_than.is_none_or(|age| machine.age(now) > age)
            && self.dearer_than.is_none_or(|least| machine.rate.is_some_and(|rate| rate > least))
    }
}

impl Chosen<'_> {
    /// What they cost together, as far as their prices are known.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.machines.iter().filter_map(|machine| machine.rate).sum()
    }
}

/// Whether an order to drain would be taken: it is up, not draining and not held, and no pod, which ends with its task.
#[must_use]
pub fn can_drain(machine: &Instance, now: Timestamp) -> bool {
    can_be_drained(machine) && !machine.is_held(now)
}

fn can_be_drained(machine: &Instance) -> bool {
    let draining = machine.drain.as_ref().is_some_and(|drain| !drain.cancelled);
    let up = matches!(machine.phase, Phase::Pending | Phase::Booting | Phase::Idle | Phase::Busy);
    up && !draining && machine.provider != Provider::Kubernetes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;

    #[test]
    fn each_part_that_is_given_must_hold() {
        let view = view();
        let mut snapshot = (*view.snapshot).clone();
        let mut idle = snapshot.instances[2].clone();
        (idle.id, idle.hold, idle.pool) = ("i-idle".into(), None, "other".into());
        (idle.launched, idle.rate) = (view.at - SignedDuration::from_secs(60), Some(Rate::from_micros_per_hour(5)));
        let pod = Instance { id: "pod".into(), provider: Provider::Kubernetes, ..idle.clone() };
        snapshot.instances.extend([idle, pod]);
        let ids = |machines: &[&Instance]| machines.iter().map(|one| one.id.to_string()).collect::<Vec<_>>();
        let dear = |micros| Which { dearer_than: Some(Rate::from_micros_per_hour(micros)), ..Which::default() };
        let older = |seconds| Which { older_than: Some(SignedDuration::from_secs(seconds)), ..Which::default() };
        let pool = |pool: &str| Which { pool: Some(pool.into()), ..Which::default() };
        for (which, machines, held) in [
            (Which::all_idle(), vec!["i-idle"], vec!["i-held"]),
            (Which::default(), vec!["i-busy", "i-stuck", "i-idle"], vec!["i-held"]),
            (dear(5), vec!["i-busy"], vec!["i-held"]),
            (dear(4), vec!["i-busy", "i-idle"], vec!["i-held"]),
            (older(60), vec!["i-busy", "i-stuck"], vec!["i-held"]),
            (older(7_200), vec![], vec![]),
            (pool("other"), vec!["i-idle"], vec![]),
            (Which { idle: true, ..pool("p4d") }, vec![], vec!["i-held"]),
        ] {
            let chosen = which.to_drain(&snapshot, view.at);
            assert_eq!((ids(&chosen.machines), ids(&chosen.held)), (str(&machines), str(&held)), "{which:?}");
        }
        assert_eq!(dear(4).to_drain(&snapshot, view.at).rate(), Rate::from_micros_per_hour(21_957_647));
    }

    fn str(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}

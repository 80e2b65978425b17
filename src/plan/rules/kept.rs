//! Machines that are switched off and kept: so many in a pool, each for so long. Then they are ended; so are all under a
//! budget's step from `stop-idle` on, as their disks cost.

use crate::model::instance::Power;
use crate::model::plan::{Action, Rule};
use crate::model::reason::Reason;
use crate::model::settings::ladder::Step;
use crate::model::settings::{Market, OnIdle};
use crate::plan::machine::{Machine, State};
use crate::plan::pass::{About, Pass};

/// Whether one more machine of this one's pool may be kept.
pub(in crate::plan) fn has_room(pass: &Pass<'_>, place: usize) -> bool {
    let Some(machine) = pass.machines.get(place).filter(|machine| machine.seen.market == Market::OnDemand) else {
        return false;
    };
    let kept = pass.machines.iter().filter(|other| other.pool == machine.pool && is_kept(other)).count();
    u32::try_from(kept).unwrap_or(u32::MAX) < most(pass, machine)
}

fn is_kept(machine: &Machine<'_>) -> bool {
    machine.kept || machine.state() == State::Off
}

/// How many its pool keeps; none that the settings do not know.
fn most(pass: &Pass<'_>, machine: &Machine<'_>) -> u32 {
    let pool = machine.pool.and_then(|pool| pass.index.pools.get(pool));
    pool.filter(|pool| pool.settings.on_idle == OnIdle::Stop).map_or(0, |pool| pool.settings.max_stopped)
}

pub(in crate::plan) fn end(pass: &mut Pass<'_>) {
    let now = pass.index.now;
    let mut off: Vec<_> =
        pass.machines.iter().enumerate().filter_map(|(place, machine)| since(place, machine)).collect();
    off.sort_unstable();
    for (since, place) in off {
        let Some(machine) = pass.machines.get(place) else { continue };
        let seen = machine.seen;
        let kept = pass.machines.iter().filter(|other| other.seen.pool == seen.pool && is_kept(other)).count();
        let (kept, max_stopped) = (u32::try_from(kept).unwrap_or(u32::MAX), most(pass, machine));
        let off = now.duration_since(since);
        let stopped_for =
            machine.pool.and_then(|pool| pass.index.pools.get(pool)).map(|pool| pool.settings.stopped_for);
        let step = pass.step_over(machine).filter(|step| *step >= Step::StopIdle);
        let step = step.and_then(|_| pass.budgets().furthest(machine.home, machine.pool)?.1.step_reason());
        let long = stopped_for.filter(|stopped_for| off >= *stopped_for);
        let reason = match (long, step) {
            (Some(stopped_for), _) => Reason::KeptLong { off, stopped_for },
            (None, Some(step)) => step,
            (None, None) if kept > max_stopped => Reason::KeptTooMany { pool: seen.pool.clone(), kept, max_stopped },
            (None, None) => continue,
        };
        let stale = || pass.index.stale_clearml().or_else(|| pass.index.stale_region(seen.provider, &seen.region));
        if let Some(no) = machine.held().or_else(stale) {
            pass.refuse(Rule::Kept, &About::instance(&seen.id), no);
            continue;
        }
        if let Some(machine) = pass.machines.get_mut(place) {
            machine.stopped = true;
        }
        pass.act(Rule::Kept, Action::Stop { instance: seen.id.clone(), kill: false }, reason);
    }
}

/// Since when a machine is off that is not to be started.
fn since(place: usize, machine: &Machine<'_>) -> Option<(jiff::Timestamp, usize)> {
    match machine.seen.power {
        Power::Off { since } if machine.state() == State::Off && !machine.started => Some((since, place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::ids::InstanceId;
    use crate::model::instance::{Instance, Phase};
    use crate::model::money::Rate;
    use crate::model::record::{Learned, Samples};
    use crate::model::settings::{KeepAlive, Market, OnIdle, PoolSettings};
    use crate::model::snapshot::Ask;
    use crate::plan::example::{World, ago, hold, instance, off, secs};

    fn keeping(max_stopped: u32) -> World {
        World::new().set(|settings| {
            (settings.pools[0].on_idle, settings.pools[0].max_stopped) = (OnIdle::Stop, max_stopped);
        })
    }

    #[test]
    fn what_is_off_for_long_or_too_many_is_ended_the_oldest_first() {
        keeping(2).with(off("i-1", 60)).with(off("i-2", 86_399)).expect(&[]);
        keeping(2)
            .with(off("i-1", 60))
            .with(off("i-2", 86_400))
            .expect(&["kept: stop i-2: switched off for 1d00h, stopped_for is 1d00h"]);
        keeping(1)
            .with(off("i-1", 60))
            .with(off("i-2", 61))
            .expect(&["kept: stop i-2: 2 are switched off, pool.gpu keeps 1"]);
        World::new().with(off("i-1", 60)).expect(&["kept: stop i-1: 1 are switched off, pool.gpu keeps 0"]);
        let mut held = off("i-1", 60);
        held.hold = Some(hold(60));
        keeping(0).with(held).expect(&["NOT kept i-1: held by ann until 2026-11-02 08:01Z: profiling"]);
        keeping(0)
            .with(off("i-1", 60))
            .last_heard("aws us-east-1", 61)
            .expect(&["NOT kept i-1: aws us-east-1 has not answered for 1m01, more than 1m00"]);
    }

    const WHY: &str = "2 waiting - 0 idle - 0 starting - 0 foreign idle = 2 needed";

    #[test]
    fn what_is_off_is_started_before_another_is_launched_and_counts_as_one() {
        let start = format!("grow: start i-1 again for train: {WHY}");
        let launch = format!("grow: launch 1 x g5.xlarge in gpu for train: {WHY}");
        let world = keeping(2).waiting("train", 2).with(off("i-1", 60));
        world.expect(&[&start, &launch]);
        world.clone().set(|settings| settings.limits.max = Some(1)).expect(&[
            &start,
            "NOT grow train gpu (1 short): limits.max is 1: 1 instance used, one more needs 1 instance",
        ]);
        let told = |change: fn(&mut crate::model::instance::Instance)| {
            let mut machine = off("i-1", 60);
            change(&mut machine);
            keeping(2).waiting("train", 2).with(machine).told()
        };
        let both = format!("grow: launch 2 x g5.xlarge in gpu for train: {WHY}");
        assert_eq!(told(|machine| machine.no_start_until = Some(ago(-1)))[0], both, "the cloud had no room");
        assert_eq!(told(|machine| machine.no_start_until = Some(ago(0)))[0], start);
        assert_eq!(told(|machine| machine.worker = Some("lab:gpu:g5.xlarge:i-1".into()))[0], both, "its old row");
        assert_eq!(told(|machine| machine.hold = Some(hold(60)))[0], both);
        assert_eq!(told(|machine| machine.pool = "other".into())[0], both);
        assert_eq!(told(|machine| machine.home = "eval".into())[0], both, "it counts in another queue's limits");
        // An intent that starts it: it is on its way, and not started twice.
        let mut world = world.intent("gpu", "train");
        world.snapshot.intents[0].starts = Some(InstanceId::from("i-1"));
        world.expect(&["grow: launch 1 x g5.xlarge in gpu for train: \
             2 waiting - 0 idle - 1 starting - 0 foreign idle = 1 needed"]);
    }

    #[test]
    fn what_an_account_keeps_is_started_there_alone() {
        let here = |region: &str| {
            let world = keeping(2).waiting("train", 1).with(Instance { region: region.to_owned(), ..off("i-1", 60) });
            let world = world.set(|settings| settings.pools[0].account = Some("lab".into()));
            let world = world.last_heard("aws lab@us-east-1", 0);
            world.told().iter().any(|told| told.starts_with("grow: start i-1"))
        };
        assert!(here("lab@us-east-1"));
        assert!(!here("us-east-1") && !here("other@us-east-1") && !here("lab@eu-west-1"));
    }

    /// Gaps of 170 s are worth three minutes of idling where a boot follows, and none where a start of what was kept does.
    #[test]
    fn a_machine_that_will_be_kept_idles_for_as_long_as_a_start_is_worth() {
        let stop = |pool: &mut PoolSettings| (pool.on_idle, pool.max_stopped) = (OnIdle::Stop, 1);
        let goes = |change: fn(&mut PoolSettings), other: Option<Instance>| {
            let mut world = World::new().waiting("train", 0).with(instance("i-1", Phase::Idle)).surplus(&[60]);
            let gaps = Samples::from(vec![secs(170); 100]);
            world.snapshot.learned = Arc::new(Learned { gaps: [("gpu".into(), gaps)].into(), ..Learned::default() });
            let world = other.into_iter().fold(world, World::with).set(|settings| {
                let pool = &mut settings.pools[0];
                (pool.keep_alive, pool.price) = (KeepAlive::Learned, Some(Rate::from_micros_per_hour(1_006_000)));
                stop(pool);
                change(pool);
            });
            world.told().iter().any(|told| told.starts_with("shrink: "))
        };
        assert!(goes(|_| (), None));
        assert!(!goes(|pool| pool.max_stopped = 0, None));
        assert!(!goes(|pool| pool.on_idle = OnIdle::Terminate, None));
        assert!(!goes(|pool| pool.market = Market::Spot, None), "it would not be kept");
        assert!(goes(|_| (), Some(off("i-2", 60))), "one is kept already, and will be started");
    }

    #[test]
    fn no_more_are_started_than_are_wanted_and_one_where_none_registers() {
        let starts = |waiting, failed| {
            let mut world = keeping(2).waiting("train", waiting).with(off("i-1", 60)).with(off("i-2", 60));
            world.snapshot.boots_failed.insert("gpu".into(), failed);
            let told = world.told();
            told.iter().filter(|told| told.starts_with("grow: ")).count()
        };
        assert_eq!([starts(1, 0), starts(2, 0), starts(2, 2)], [1, 2, 1]);
    }

    #[test]
    fn a_person_ends_it_and_cannot_drain_it() {
        let world = keeping(2).with(off("i-1", 60));
        let stop = Ask::Stop { instance: "i-1".into(), kill: false };
        world.clone().asked(stop).expect(&["person: stop i-1: ann asked"]);
        world.clone().asked(Ask::StopAll).expect(&["person: kill i-1: ann asked"]);
        world.asked(Ask::Drain("i-1".into())).expect(&["NOT person i-1: i-1 is switched off"]);
    }
}

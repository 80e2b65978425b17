//! When the cloud shows that a bill has ended, and what goes on costing: the disks of a machine that is off.

use jiff::{SignedDuration, Timestamp};

use crate::model::bound;
use crate::model::ledger::Interval;
use crate::model::observed::{CloudInstance, CloudState};
use crate::model::record::Record;

/// When a machine's bill ended, if the cloud shows that it did.
pub(super) fn bill_ends(shown: &CloudInstance, now: Timestamp) -> Option<Timestamp> {
    match shown.state {
        CloudState::Pending | CloudState::Running => None,
        CloudState::ShuttingDown | CloudState::Stopping => shown.ended,
        CloudState::Stopped | CloudState::Terminated => Some(shown.ended.unwrap_or(now)),
    }
}

/// When the bill of a machine that is absent ended: with the first listing without it; or, where its own clock ended it
/// while nobody looked, then.
pub(super) fn absent_from(
    bill: &Interval,
    max_life: Option<SignedDuration>,
    listed: Option<Timestamp>,
    absent_since: Timestamp,
) -> Timestamp {
    let by_itself = |max_life| bound::billed_until(bill.start, max_life).max(listed.unwrap_or(bill.start));
    max_life.map(by_itself).map_or(absent_since, |end| end.min(absent_since))
}

/// What the disks of a machine go on costing whose own bill has ended: one that is switched off, whoever did it.
pub(super) fn disks_billed(bill: &Interval, shown: &CloudInstance, from: Timestamp) -> Option<Record> {
    let off = matches!(shown.state, CloudState::Stopping | CloudState::Stopped);
    off.then(|| Record::DisksBilled(Box::new(bill.switched_off(from.max(bill.start)))))
}

/// A machine that was off has ended, and its disks with it. The cloud may still tell of when it was switched off.
pub(super) fn disks_end(off: &Interval, shown: &CloudInstance, now: Timestamp) -> Option<Record> {
    let ended = shown.ended.filter(|ended| *ended > off.start);
    let over = (shown.state == CloudState::Terminated).then_some(now);
    Some(Record::Closed { instance: off.instance.clone(), end: ended.or(over)?.max(off.start) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::instance::Power;
    use crate::model::money::{Money, Rate};

    /// 100 GB of gp3: $8 a month.
    const DISKS: Rate = Rate::from_micros_per_hour(10_958);

    /// A machine that was switched off, and when.
    fn off() -> (Fleet, Timestamp) {
        let mut fleet = Fleet::new();
        let (pool, _) = fleet.settings.pools.split_first_mut().unwrap();
        pool.launch.disk_gb = Some(100);
        pool.public_address = true;
        let mut fleet = fleet.machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        let power = Power::SwitchingOff { at: fleet.now };
        fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power });
        let at = fleet.now + SignedDuration::from_millis(1_234);
        (fleet.last().state, fleet.last().ended) = (CloudState::Stopping, Some(at));
        fleet.live(10);
        fleet.last().state = CloudState::Stopped;
        fleet.live(10);
        (fleet, at)
    }

    fn rate(fleet: &Fleet) -> Rate {
        fleet.memory.ledger.off().values().filter_map(|interval| interval.rate).sum()
    }

    fn since(fleet: &Fleet, off: Timestamp) -> Money {
        let up = Rate::from_micros_per_hour(1_000_000);
        fleet.memory.ledger.total(fleet.now) - up.cost_between(off - SignedDuration::from_millis(1_801_234), off)
    }

    #[test]
    fn what_is_off_goes_on_costing_its_disks_and_not_its_address() {
        let (mut fleet, at) = off();
        assert_eq!((rate(&fleet), fleet.memory.ledger.open().len()), (DISKS, 0));
        assert_eq!(fleet.snapshot().instances[0].rate, Some(DISKS), "a person sees it");
        fleet.live(7_200);
        assert_eq!(since(&fleet, at), DISKS.cost_between(at, fleet.now));
        // It is started again: its own bill begins, that of its disks has ended.
        let again = fleet.now;
        (fleet.last().state, fleet.last().launched, fleet.last().ended) = (CloudState::Running, again, None);
        fleet.live(3_600);
        assert_eq!((rate(&fleet), fleet.memory.ledger.open().len()), (Rate::ZERO, 1));
        let up = Rate::from_micros_per_hour(1_015_958);
        assert_eq!(since(&fleet, at), DISKS.cost_between(at, again) + up.cost_between(again, fleet.now));
    }

    #[test]
    fn its_disks_end_with_it_when_the_cloud_says_so_or_when_it_is_seen() {
        for (told, known) in [(true, true), (false, false)] {
            let (mut fleet, at) = off();
            fleet.live(3_600);
            let ended = fleet.now;
            fleet.last().state = CloudState::ShuttingDown;
            if told {
                fleet.last().ended = Some(ended);
            }
            fleet.live(60);
            assert_eq!(rate(&fleet) == Rate::ZERO, known, "{told}: of when it was switched off it may tell still");
            fleet.last().state = CloudState::Terminated;
            fleet.live(60);
            let end = if told { ended } else { fleet.now };
            fleet.live(3_600);
            assert_eq!(since(&fleet, at), DISKS.cost_between(at, end), "{told}");
        }
        let (mut fleet, at) = off();
        fleet.machines.clear();
        fleet.workers.clear();
        let absent = fleet.now + SignedDuration::from_secs(60);
        for _ in 0..8 {
            fleet.live(60);
        }
        assert_eq!(since(&fleet, at), DISKS.cost_between(at, absent), "it is gone");
    }

    #[test]
    fn one_that_others_started_and_that_ended_before_the_next_look_is_billed_for_both() {
        let (mut fleet, at) = off();
        let again = fleet.now + SignedDuration::from_secs(600);
        let shown = fleet.last();
        (shown.state, shown.launched) = (CloudState::Terminated, again);
        shown.ended = Some(again + SignedDuration::from_secs(300));
        fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power: Power::Off { since: at } });
        fleet.live(1_800);
        fleet.live(10);
        let up = Rate::from_micros_per_hour(1_015_958).cost(SignedDuration::from_secs(300));
        assert_eq!(since(&fleet, at), DISKS.cost_between(at, again) + up);
    }

    #[test]
    fn a_machine_that_others_switched_off_costs_its_disks_and_so_does_one_of_an_older_store() {
        let (mut fleet, at) = off();
        fleet.memory.apply(&Record::Closed { instance: "i-1".into(), end: at });
        assert_eq!(rate(&fleet), Rate::ZERO);
        fleet.live(10);
        assert_eq!((rate(&fleet), since(&fleet, at)), (DISKS, DISKS.cost_between(at, fleet.now)));
        let mut fleet = Fleet::new().machine("i-1", CloudState::Stopped, 30);
        fleet.settings.pools[0].launch.disk_gb = Some(100);
        fleet.live(10);
        fleet.live(10);
        assert_eq!(rate(&fleet), DISKS, "of a lost store");
    }
}

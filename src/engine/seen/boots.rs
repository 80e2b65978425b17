//! Machines that never register: their pool's strikes.

use crate::engine::seen::bill::bill_ends;
use crate::engine::seen::notice::Known;
use crate::engine::words::line;
use crate::model::breaker::CANARY_AFTER;
use crate::model::instance::{Origin, Power};
use crate::model::journal::EntryKind;
use crate::model::observed::CloudInstance;
use crate::model::record::{KnownInstance, Record};
use crate::model::span::Short;

impl Known<'_> {
    /// That a machine never registered, once: it is overdue, or it ended before, and nobody stopped it. `failed`: so many
    /// of its pool in a row did not before it.
    pub(super) fn of_boot(&self, machine: &KnownInstance, failed: &mut usize) -> Vec<Record> {
        let of_pool = self.memory.boots_failed.get(&machine.pool);
        let counted = of_pool.is_some_and(|of_pool| of_pool.contains(&machine.id));
        // What was switched off is registered nowhere because of that; it boots again once it is started.
        let by_us = machine.stop_sent.is_some() || machine.power != Power::On;
        if machine.registered || machine.origin != Origin::Launched || by_us || counted {
            return Vec::new();
        }
        let age = self.now.duration_since(machine.launched);
        let ended = self.facts.machines.get(&machine.id).filter(|shown| ended_by_itself(machine, shown, self));
        let late = self.settings.pool(&machine.pool).is_some_and(|pool| age > pool.max_boot);
        let why = match ended {
            Some(_) => format!("it ended by itself {} after its launch", Short(age)),
            None if late => format!("no worker {} after its launch", Short(age)),
            None => return Vec::new(),
        };
        *failed += 1;
        let text = format!("{} never registered: {failed} in a row in pool {}", machine.id, machine.pool);
        let alarming = u32::try_from(*failed).is_ok_and(|failed| failed >= CANARY_AFTER);
        let kind = if alarming { EntryKind::Alarm } else { EntryKind::Seen };
        let told = line(self.now, kind, text).about_machine(machine).because(&why).record();
        vec![Record::BootFailed { pool: machine.pool.clone(), instance: machine.id.clone() }, told]
    }
}

/// Somebody at the cloud's own console, and the cloud that takes a spot machine back, say nothing about a boot; nor does a
/// list that is behind, which shows a machine as it was before it was started again.
fn ended_by_itself(machine: &KnownInstance, shown: &CloudInstance, known: &Known<'_>) -> bool {
    let reason = shown.state_reason.as_deref().unwrap_or_default();
    let before = machine.started_again && shown.launched < machine.launched;
    bill_ends(shown, known.now).is_some() && !before && !reason.contains("UserInitiated") && !reason.contains("Spot")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::observed::CloudState;

    fn failed(records: &[Record]) -> usize {
        records.iter().filter(|record| matches!(record, Record::BootFailed { .. })).count()
    }

    /// A machine that had a worker, was switched off and is.
    fn off() -> Fleet {
        let mut fleet = Fleet::idle();
        fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power: Power::SwitchingOff { at: fleet.now } });
        let now = fleet.now;
        (fleet.last().state, fleet.last().ended) = (CloudState::Stopped, Some(now));
        fleet.workers.clear();
        fleet
    }

    #[test]
    fn a_machine_boots_only_while_it_is_on() {
        let at = Fleet::new().now;
        for (power, shown, expected) in [
            (Power::On, CloudState::Running, 1),
            (Power::On, CloudState::Stopped, 1),
            (Power::SwitchingOff { at }, CloudState::Running, 0),
            (Power::SwitchingOff { at }, CloudState::Stopped, 0),
            (Power::Off { since: at }, CloudState::Stopped, 0),
            (Power::Off { since: at }, CloudState::Running, 0),
        ] {
            let mut fleet = Fleet::new().machine("i-1", shown, 30).known();
            fleet.memory.apply(&Record::PowerSet { instance: "i-1".into(), power });
            assert_eq!(failed(&fleet.live(0)), expected, "{power:?} {shown:?}");
        }
        let mut fleet = off();
        for _ in 0..100 {
            assert_eq!(failed(&fleet.live(60)), 0, "kept for long");
        }
    }

    #[test]
    fn the_boot_of_a_machine_that_is_started_again_counts_from_then() {
        let mut fleet = off();
        fleet.live(3_600);
        let (before, now) = (fleet.last().clone(), fleet.now);
        (fleet.last().state, fleet.last().launched, fleet.last().ended) = (CloudState::Running, now, None);
        assert_eq!(failed(&fleet.live(10)), 0);
        let after = std::mem::replace(fleet.last(), before);
        assert_eq!(failed(&fleet.live(10)), 0, "the list is behind");
        *fleet.last() = after;
        assert_eq!(failed(&fleet.live(9 * 60)), 0, "max_boot is 10m");
        assert_eq!(failed(&fleet.live(60)), 1);
        // It ends by itself instead.
        let mut fleet = off();
        fleet.live(3_600);
        let now = fleet.now;
        (fleet.last().state, fleet.last().launched, fleet.last().ended) = (CloudState::Running, now, None);
        fleet.live(10);
        fleet.last().state = CloudState::Terminated;
        fleet.last().ended = Some(now + SignedDuration::from_secs(20));
        assert_eq!(failed(&fleet.live(20)), 1);
    }

    #[test]
    fn several_in_one_look_are_told_one_after_the_other() {
        let mut fleet = Fleet::new();
        for id in ["i-1", "i-2", "i-3"] {
            fleet = fleet.machine(id, CloudState::Running, 30).known();
        }
        let look = fleet.look();
        let told: Vec<_> = fleet
            .notice(&look)
            .into_iter()
            .filter_map(|record| match record {
                Record::Journal(entry) if entry.text.contains("never registered") => Some((entry.kind, entry.text)),
                _ => None,
            })
            .collect();
        let line = |kind, row| (kind, format!("i-{row} never registered: {row} in a row in pool gpu"));
        assert_eq!(told, [line(EntryKind::Seen, 1), line(EntryKind::Alarm, 2), line(EntryKind::Alarm, 3)]);
        // The second of them registers: the row begins anew.
        let mut fleet = fleet.worker(None);
        fleet.workers[0].id = "lab:gpu:g5.xlarge:i-2".into();
        fleet.memory.apply(&Record::BootFailed { pool: "gpu".into(), instance: "i-0".into() });
        let look = fleet.look();
        let rows = fleet.notice(&look).into_iter().filter_map(|record| match record {
            Record::Journal(entry) => entry.text.split_once(" in a row").map(|(text, _)| text.to_owned()),
            _ => None,
        });
        assert_eq!(rows.collect::<Vec<_>>(), ["i-1 never registered: 2", "i-3 never registered: 1"]);
    }
}

//! What becomes of an order to drain: a machine answers it, takes a task all the same, or takes tasks again.

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::agents::Row;
use crate::engine::seen::hold::{Held, RELEASED_LOOKS};
use crate::engine::seen::join;
use crate::engine::seen::notice::{Known, drained};
use crate::engine::words::line;
use crate::model::instance::Drain;
use crate::model::journal::EntryKind;
use crate::model::ledger::Share;
use crate::model::record::{KnownInstance, Record};
use crate::model::span::Short;
use crate::model::waste::Standing;

/// A cancelled drain that the machine never answered is over after this: its gate reads every 15 s.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(60);

impl Known<'_> {
    pub(super) fn of_drain(&self, machine: &KnownInstance, rows: &[Row<'_>]) -> Vec<Record> {
        let Some(drain) = &machine.drain else { return Vec::new() };
        let mailbox = self.facts.mailboxes.get(&machine.id);
        let drained = mailbox.and_then(|mailbox| mailbox.drained()) == Some(drain.nonce.as_str());
        let set = |drain| Record::DrainSet { instance: machine.id.clone(), drain };
        let held = Held::ordered(machine, drain, self.facts, self.settings);
        if drain.cancelled {
            let back = mailbox.and_then(|mailbox| mailbox.running_again()) == Some(drain.nonce.as_str());
            // As long as the order is in its mailbox, the machine may still read it.
            let want = mailbox.and_then(|mailbox| mailbox.metadata.get("want"));
            let withdrawn = want.is_none_or(|want| want.strip_prefix("drain:") != Some(drain.nonce.as_str()));
            let sight = self.sights.of(&machine.id);
            let since = sight.cancelled.filter(|(nonce, _)| *nonce == drain.nonce).map(|(_, since)| since);
            let long = since.is_some_and(|since| self.now.duration_since(since) > UNANSWERED);
            let never = !drained && withdrawn && long;
            let released = !held.is_wanted(self.sights) || sight.released_looks >= RELEASED_LOOKS;
            if (back || never) && released {
                let text = format!("{} takes tasks again", machine.id);
                return vec![set(None), line(self.now, EntryKind::Done, text).about_machine(machine).record()];
            }
            return Vec::new();
        }
        let proved = held.is_proved(self.now);
        match drain.acknowledged {
            None if drained || proved => {
                let acknowledged = Drain { acknowledged: Some(self.now), held: !drained, ..drain.clone() };
                // Of a row of hold tasks the first is told.
                let told = (!drain.held).then(|| {
                    let after = Short(self.now.duration_since(drain.ordered));
                    let id = &machine.id;
                    let text = format!("{id} is drained: it has no task and takes none ({after} after the order)");
                    let line = line(self.now, EntryKind::Done, text).about_machine(machine).by(&drain.by);
                    if drained { line.record() } else { line.because(&"a hidden task holds it").record() }
                });
                std::iter::once(set(Some(acknowledged))).chain(self.drained(machine)).chain(told).collect()
            }
            // Its gate broke, or somebody runs another agent there: it is asked anew, and what it answered before is void.
            Some(answered)
                if !drain.held && machine.stop_sent.is_none() && self.took_since(machine, rows, answered) =>
            {
                let text = format!(
                    "{} runs a task that it took after it had answered its drain: it is asked again",
                    machine.id
                );
                let asked = Drain { nonce: format!("{}+", drain.nonce), acknowledged: None, ..drain.clone() };
                vec![set(Some(asked)), line(self.now, EntryKind::Alarm, text).about_machine(machine).record()]
            }
            Some(_)
                if drain.held
                    && !drained
                    && !proved
                    && !self.facts.machines.get(&machine.id).is_some_and(join::ends) =>
            {
                vec![set(Some(Drain { acknowledged: None, ..drain.clone() }))]
            }
            _ => Vec::new(),
        }
    }

    /// Whether it runs a task that it was first seen with after that time.
    fn took_since(&self, machine: &KnownInstance, rows: &[Row<'_>], at: Timestamp) -> bool {
        let sight = self.sights.of(&machine.id);
        let tasks = rows.iter().filter_map(|row| row.worker.task.as_ref());
        tasks.filter_map(|task| sight.since(&task.id)).any(|since| since > at)
    }

    /// From now on its time is spent on being drained: it has no task, whether its worker still says so or is gone.
    fn drained(&self, machine: &KnownInstance) -> Option<Record> {
        let interval = self.memory.ledger.open().get(&machine.id)?;
        let charged = interval.shares.last().filter(|charged| charged.task.is_some() || !drained(charged))?;
        let from = self.now.max(interval.start).max(charged.from);
        let share = Share { standing: Standing::Drained, ..Share::idle(from, machine.home.clone()) };
        Some(Record::Charged { instance: machine.id.clone(), share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::instance::DrainCause;
    use crate::model::observed::ObservedTask;

    fn drain(nonce: &str) -> Drain {
        Drain {
            nonce: nonce.to_owned(),
            cause: DrainCause::Person,
            by: "ann".into(),
            ordered: Timestamp::UNIX_EPOCH,
            acknowledged: None,
            cancelled: false,
            held: false,
            end_asked: None,
        }
    }

    fn cancelled(nonce: &str) -> Drain {
        Drain { cancelled: true, ..drain(nonce) }
    }

    fn set(drain: Drain) -> Record {
        Record::DrainSet { instance: "i-1".into(), drain: Some(drain) }
    }

    #[test]
    fn it_is_acknowledged_by_its_own_nonce_and_over_when_the_machine_runs_again() {
        let mut fleet = Fleet::idle();
        fleet.memory.apply(&set(drain("new")));
        fleet.mail("drained:old");
        assert_eq!(fleet.live(10), []);
        fleet.mail("drained:new");
        let at = fleet.now + SignedDuration::from_secs(10);
        let acknowledged = set(Drain { acknowledged: Some(at), ..drain("new") });
        assert!(matches!(fleet.live(10).as_slice(), [first, Record::Charged { .. }] if *first == acknowledged));
        assert_eq!(fleet.standing(), Standing::Drained);
        fleet.memory.apply(&set(cancelled("new")));
        for _ in 0..20 {
            assert_eq!(fleet.live(10), [], "drained still: it has not read that it may go on");
        }
        fleet.mail("run:new");
        assert_eq!(fleet.standing(), Standing::Drained);
        assert_eq!(fleet.live(10), [Record::DrainSet { instance: "i-1".into(), drain: None }]);
        assert!(matches!(fleet.live(10).as_slice(), [Record::Charged { .. }]));
        assert_eq!(fleet.standing(), Standing::Idle);
        // Never answered at all: over after a while.
        fleet.memory.apply(&set(cancelled("third")));
        let over = (0..9).position(|_| !fleet.live(10).is_empty());
        assert_eq!(over, Some(7));
    }

    #[test]
    fn a_drained_machine_that_takes_a_task_all_the_same_is_asked_again() {
        let running = |id: &str| Some(ObservedTask { id: id.into(), name: String::new(), queue: None });
        let is_set = |record: &Record| matches!(record, Record::DrainSet { .. });
        let mut fleet = Fleet::idle();
        fleet.memory.apply(&set(drain("n")));
        // Its row may still show the task that it had before it answered.
        fleet.workers[0].task = running("t");
        fleet.live(10);
        fleet.mail("drained:n");
        let answered = fleet.live(10);
        assert!(answered.contains(&set(Drain { acknowledged: Some(fleet.now), ..drain("n") })), "{answered:?}");
        assert!(!fleet.live(10).iter().any(is_set));
        fleet.workers[0].task = running("u");
        let asked = fleet.live(10);
        assert!(asked.contains(&set(drain("n+"))), "{asked:?}");
        fleet.workers[0].task = None;
        assert!(!fleet.live(10).iter().any(is_set), "the old answer is void");
        fleet.mail("drained:n+");
        let answered = fleet.live(10);
        assert!(answered.contains(&set(Drain { acknowledged: Some(fleet.now), ..drain("n+") })), "{answered:?}");
    }
}

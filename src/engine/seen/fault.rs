//! What is wrong with a machine, by what cloud, ClearML and the machine itself say.

use jiff::Timestamp;

use crate::engine::seen::agents::{Count, Row, claimed_twice};
use crate::engine::seen::facts::Facts;
use crate::engine::seen::join::{ends, is_ended};
use crate::engine::seen::sight::{IDLE_LOOKS, Sight, is_fresh};
use crate::model::ids::mailbox_queue;
use crate::model::instance::{Fault, Power};
use crate::model::observed::{CloudInstance, Mailbox};
use crate::model::record::KnownInstance;
use crate::model::settings::{GuardKind, Settings};
use crate::model::span::Short;

/// A machine as it is seen.
pub(super) struct Seen<'a> {
    pub(super) known: &'a KnownInstance,
    pub(super) machine: Option<&'a CloudInstance>,
    pub(super) rows: &'a [Row<'a>],
    pub(super) count: Count,
    pub(super) sight: &'a Sight,
}

/// What is wrong with it, and who says so.
pub(super) fn fault(seen: &Seen<'_>, facts: &Facts, settings: &Settings, now: Timestamp) -> Option<(Fault, String)> {
    let Seen { known, machine, rows, count, sight } = *seen;
    let mailbox = facts.mailboxes.get(&known.id);
    let own_words = mailbox.and_then(Mailbox::gone).map(|words| format!("it switched itself off: {words}"));
    if known.power != Power::On && !machine.is_some_and(is_ended) {
        // We switch it off, or have.
        return None;
    }
    let interrupted = mailbox.is_some_and(|mailbox| mailbox.is_interrupted() || mailbox.requeues().next().is_some());
    if let Some(machine) = machine
        && known.stop_sent.is_none()
        && ends(machine)
    {
        let fault = if machine.is_interrupted() || interrupted { Fault::Interrupted } else { Fault::StoppedOutside };
        let why = own_words.or_else(|| machine.state_reason.clone());
        return Some((fault, why.unwrap_or_else(|| "nobody here asked for it".to_owned())));
    }
    if known.stop_sent.is_none() && interrupted {
        return Some((Fault::Interrupted, "it heard that the cloud takes it back".to_owned()));
    }
    if !facts.knows_clearml() {
        // Nobody was asked yet: no worker is missing.
        return None;
    }
    if !known.registered {
        let max_boot = settings.pool(&known.pool).map(|pool| pool.max_boot)?;
        // The launch is by the cloud's clock: where ours is wrong, only our own looks say for how long it boots.
        let (since, what) =
            if facts.is_clock_off() { (sight.on_since?, "it was first seen") } else { (known.launched, "its launch") };
        let age = now.duration_since(since);
        let why = || format!("no worker {} after {what}, max_boot is {}", Short(age), Short(max_boot));
        return (age > max_boot).then(|| (Fault::Stuck, why()));
    }
    if let Some(why) = claimed_twice(rows, facts) {
        return Some((Fault::ClaimedTwice, why));
    }
    if !rows.iter().any(|row| is_fresh(row.worker, facts)) {
        let silent = sight.silent_since.map(|since| format!("silent for {}", Short(now.duration_since(since))));
        let why = own_words.or(silent).unwrap_or_else(|| "its worker is not listed".to_owned());
        return Some((Fault::Lost, why));
    }
    if known.drain.is_none() && facts.lost_mailbox(&known.id) {
        // An agent without a gate asks that very queue, by an id that does not come back.
        let held = settings.pool(&known.pool).is_some_and(|pool| pool.guard == GuardKind::Hold);
        let until = if held { "any more: stop it by hand" } else { "until a drain makes another" };
        let why = format!("its mailbox {} was deleted: it takes no task {until}", mailbox_queue(&known.id));
        return Some((Fault::NotPulling, why));
    }
    // Only a report that is younger than the first of those looks says that it is idle still.
    let idle_now = rows.iter().filter(|row| row.worker.task.is_none()).filter_map(|row| row.worker.last_report).max();
    let idle_now = idle_now.map(|at| facts.by_our_clock(at));
    let idle = sight.idle_looks > IDLE_LOOKS && sight.idle_since < idle_now;
    if known.drain.is_none() && idle {
        let why = format!("idle at {} looks while a task waits in its queue", sight.idle_looks);
        return Some((Fault::NotPulling, why));
    }
    let half_missing = count.is_short() && count.reporting.saturating_mul(2) <= count.all;
    half_missing.then(|| (Fault::AgentsMissing, format!("{} of {} agents report", count.reporting, count.all)))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::observed::CloudState;
    use crate::model::record::Record;

    #[test]
    fn a_worker_is_silent_by_the_server_s_clock() {
        for ahead in [-3_600, -91, 0, 91, 3_600].map(SignedDuration::from_secs) {
            let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
            fleet.memory.apply(&Record::Registered("i-1".into()));
            fleet.ahead = Some(ahead);
            fleet.workers[0].last_report = Some(fleet.now + ahead - SignedDuration::from_secs(80));
            fleet.look();
            assert_eq!(fleet.instance("i-1").unwrap().fault, None, "{ahead}");
            fleet.now += SignedDuration::from_secs(11);
            fleet.look();
            let seen = fleet.instance("i-1").unwrap();
            assert_eq!(
                (seen.fault, seen.fault_why.as_deref()),
                (Some(Fault::Lost), Some("silent for 1m31")),
                "{ahead}"
            );
            // Nobody tells how far it is ahead this time: it is as before.
            fleet.ahead = None;
            fleet.workers[0].last_report = Some(fleet.now + ahead);
            fleet.look();
            assert_eq!(fleet.instance("i-1").unwrap().fault, None, "{ahead}");
        }
    }

    #[test]
    fn a_boot_is_timed_by_our_own_looks_where_our_clock_is_wrong() {
        // `max_boot` is ten minutes; the cloud's clock is right, and ours an hour ahead.
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 61).known();
        fleet.ahead = Some(SignedDuration::from_hours(-1));
        let fault = |fleet: &Fleet| fleet.instance("i-1").unwrap().fault_why;
        fleet.cloud_down = true;
        fleet.look();
        assert_eq!(fault(&fleet), None, "it was not seen yet");
        fleet.cloud_down = false;
        fleet.look();
        fleet.now += SignedDuration::from_mins(10);
        fleet.look();
        assert_eq!(fault(&fleet), None);
        fleet.now += SignedDuration::from_mins(1);
        fleet.look();
        let why = "no worker 11m00 after it was first seen, max_boot is 10m00";
        assert_eq!(fault(&fleet).as_deref(), Some(why));
        // One that was off boots anew.
        fleet.last().state = CloudState::Stopped;
        fleet.look();
        fleet.last().state = CloudState::Running;
        fleet.look();
        assert_eq!(fault(&fleet), None);
    }
}

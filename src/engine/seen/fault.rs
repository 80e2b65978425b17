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
        let age = now.duration_since(known.launched);
        let why = || format!("no worker {} after its launch, max_boot is {}", Short(age), Short(max_boot));
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
    let idle = sight.idle_looks > IDLE_LOOKS && sight.idle_since < idle_now;
    if known.drain.is_none() && idle {
        let why = format!("idle at {} looks while a task waits in its queue", sight.idle_looks);
        return Some((Fault::NotPulling, why));
    }
    let half_missing = count.is_short() && count.reporting.saturating_mul(2) <= count.all;
    half_missing.then(|| (Fault::AgentsMissing, format!("{} of {} agents report", count.reporting, count.all)))
}

//! WHAT SHOULD BE DONE. Pure: no I/O, no clock, no async, no logging; it cannot fail.
//!
//! [`plan`] asks its rules in order; each adds actions and refusals with the numbers that decided them, and each
//! sees what the rules before it decided. [`check::check`] is a judge that shares nothing with the rules.

pub mod attempt;
mod budgets;
pub mod check;
mod choice;
mod index;
mod launch;
mod learned;
mod limits;
mod machine;
mod outlook;
pub mod pace;
mod pass;
mod rules;
mod spot;
mod step;

#[cfg(test)]
mod example;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod properties;

use jiff::Timestamp;

use crate::model::ledger::Ledger;
use crate::model::plan::Plan;
use crate::model::settings::Settings;
use crate::model::snapshot::Snapshot;
use index::Index;
use pass::Pass;
use rules::{ahead, budget, demand, drain, grow, kept, off, person, recover, replace, shrink, stuck, sweep, warm};

/// The rules, in the order in which they are asked; actions are carried out in that order too.
const RULES: [fn(&mut Pass<'_>); 15] = [
    // Take every machine that carries our tag into the ledger.
    sweep::adopt,
    // Do what people ask; the loop then works around it.
    person::answer,
    // Put tasks that nobody works on back into their queues, and take dead workers off the list.
    recover::recover,
    // Drain, then stop, machines that never registered.
    stuck::end,
    // Drain and end what the steps of budgets say, and take back what they do not say any more.
    budget::act,
    // Share what is free or on its way among the tasks that wait.
    demand::count,
    // Drain idle machines that were made otherwise than one would be made now, or that a person wants replaced.
    replace::replace,
    // Start machines for the tasks that are left, in the first pool that may and can.
    grow::grow,
    // Start machines for those that are likely to come soon.
    ahead::start,
    // Keep each pool's minimum up.
    warm::warm,
    // Drain machines that no task needs where a budget's step says so.
    budget::stop_idle,
    // Drain machines that were more than needed for the keep-alive.
    shrink::shrink,
    // Stop machines that answered their drain.
    drain::stop,
    // End machines that have been off for long, or are more than their pool keeps.
    kept::end,
    // End machines that were switched off outside.
    off::end,
];

/// Decides one pass: what to do, what not to do, and why.
#[must_use]
pub fn plan(snapshot: &Snapshot, settings: &Settings, ledger: &Ledger, now: Timestamp) -> Plan {
    let index = Index::new(snapshot, settings, ledger, now);
    let mut pass = Pass::new(&index);
    for rule in RULES {
        rule(&mut pass);
    }
    pass.into_plan()
}

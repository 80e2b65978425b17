//! A machine of the week.

use super::super::model::CloudModel;
use super::super::trace::Millis;

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Booting,
    Idle,
    Running(usize),
    /// It answered a drain: it has no job and takes none.
    Drained,
    /// It is switched off and kept.
    Off,
    Gone,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The place of its queue in the trace.
    pub queue: usize,
    /// Of the queue's pools, the place of its own.
    pub pool: usize,
    /// How often it was switched off and started again.
    pub stint: u32,
    /// When it was launched, or started again.
    pub called: Millis,
    /// When it begins to run, and to cost.
    pub runs: Millis,
    /// When its agent registers.
    pub registers: Millis,
    pub doing: Doing,
    /// Since when.
    pub since: Millis,
    /// When it was terminated.
    pub ended: Option<Millis>,
    pub(super) drain: Option<u32>,
    pub(super) orders: u32,
    pub(super) run: u32,
}

impl Machine {
    /// Whether it was told to take no more jobs.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// The last time its worker reported before `now`: from its registration on, at even steps.
    pub fn reported(&self, now: Millis, every: Millis) -> Millis {
        let until = self.ended.unwrap_or(now).min(now);
        self.registers + (until - self.registers).max(0) / every * every
    }
}

/// The next time that an idle agent looks for a job, from `now` on.
pub(super) fn next_look(machine: &Machine, now: Millis, cloud: &CloudModel) -> Millis {
    let first = machine.since + cloud.settle;
    if now <= first {
        return first;
    }
    first + (now - first + cloud.poll - 1) / cloud.poll * cloud.poll
}

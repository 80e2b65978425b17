//! What the loop's state lets it do of a plan. Pure.

use jiff::Timestamp;

use crate::engine::tend::Delivered;
use crate::model::ids::{Actor, InstanceId};
use crate::model::plan::{Action, Planned, Rule};
use crate::model::record::{KnownInstance, Memory};

/// How the loop stands, beside what its memory says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stance {
    /// A guardrail keeps it from acting.
    pub read_only: bool,
    /// It leads, and that is lately confirmed.
    pub surely_leads: bool,
    /// It is about to end.
    pub ends: bool,
}

impl Stance {
    /// A dry run does nothing on the world, a pause only what a person asks, to its end: the stop of a machine that a
    /// person has drained, too.
    pub(super) fn allows(self, planned: &Planned, memory: &Memory, delivered: &Delivered, now: Timestamp) -> bool {
        let known = |instance: &InstanceId| memory.known.get(instance);
        match &planned.action {
            // They change the memory only.
            Action::Adopt { .. }
            | Action::Hold { .. }
            | Action::Release { .. }
            | Action::Replace { .. }
            | Action::LetBe { .. } => true,
            _ if !memory.armed => false,
            _ if self.read_only => false,
            // Who leads is not known for certain: only what a person wants stopped is stopped.
            _ if !self.surely_leads => planned.rule == Rule::Person && matches!(planned.action, Action::Stop { .. }),
            Action::Launch(_) | Action::Start { .. } if self.ends => false,
            _ if planned.rule == Rule::Person => true,
            Action::Stop { instance, .. }
                if matches!(planned.rule, Rule::Stuck | Rule::Silent)
                    && !known(instance).is_some_and(|known| was_read(known, delivered, now)) =>
            {
                false
            }
            Action::Stop { instance, .. } if known(instance).is_some_and(is_drained_by_hand) => true,
            _ => !memory.paused,
        }
    }
}

fn was_read(known: &KnownInstance, delivered: &Delivered, now: Timestamp) -> bool {
    known.drain.as_ref().is_some_and(|drain| delivered.was_read(drain, now))
}

fn is_drained_by_hand(known: &KnownInstance) -> bool {
    known.drain.as_ref().is_some_and(|drain| !drain.cancelled && drain.by != Actor::the_loop())
}

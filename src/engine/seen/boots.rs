//! Machines that never register: their pool's strikes.

use crate::engine::seen::bill::bill_ends;
use crate::engine::seen::notice::Known;
use crate::engine::words::line;
use crate::model::breaker::CANARY_AFTER;
use crate::model::instance::Origin;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudInstance;
use crate::model::record::{KnownInstance, Record};
use crate::model::span::Short;

impl Known<'_> {
    /// That a machine never registered, once: it is overdue, or it ended before, and nobody stopped it.
    pub(super) fn of_boot(&self, machine: &KnownInstance) -> Vec<Record> {
        let failed = self.memory.boots_failed.get(&machine.pool);
        let counted = failed.is_some_and(|failed| failed.contains(&machine.id));
        if machine.registered || machine.origin != Origin::Launched || machine.stop_sent.is_some() || counted {
            return Vec::new();
        }
        let age = self.now.duration_since(machine.launched);
        let ended = self.facts.machines.get(&machine.id).filter(|shown| ended_by_itself(shown, self));
        let late = self.settings.pool(&machine.pool).is_some_and(|pool| age > pool.max_boot);
        let why = match ended {
            Some(_) => format!("it ended by itself {} after its launch", Short(age)),
            None if late => format!("no worker {} after its launch", Short(age)),
            None => return Vec::new(),
        };
        let row = failed.map_or(0, std::collections::BTreeSet::len) + 1;
        let text = format!("{} never registered: {row} in a row in pool {}", machine.id, machine.pool);
        let alarming = u32::try_from(row).is_ok_and(|row| row >= CANARY_AFTER);
        let kind = if alarming { EntryKind::Alarm } else { EntryKind::Seen };
        let told = line(self.now, kind, text).about_machine(machine).because(&why).record();
        vec![Record::BootFailed { pool: machine.pool.clone(), instance: machine.id.clone() }, told]
    }
}

/// Somebody at the cloud's own console, and the cloud that takes a spot machine back, say nothing about a boot.
fn ended_by_itself(shown: &CloudInstance, known: &Known<'_>) -> bool {
    let reason = shown.state_reason.as_deref().unwrap_or_default();
    bill_ends(shown, known.now).is_some() && !reason.contains("UserInitiated") && !reason.contains("Spot")
}

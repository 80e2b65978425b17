//! What befalls the loop from without: people, restarts, clocks, other consoles.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Stepper, nothing_planned};
use crate::engine::act::breakers::Breakers;
use crate::engine::act::retry::Retries;
use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::Sights;
use crate::engine::tend::Delivered;
use crate::model::catalogue::Catalogue;
use crate::model::ids::Term;
use crate::model::record::{IntentOutcome, Memory, Record};
use crate::model::settings::Edit;
use crate::model::snapshot::Snapshot;
use crate::plan::pace::QUICK;
use crate::store::settings::SettingsFile;

impl Stepper {
    /// Whether it dies before it writes the next thing that it decides to do.
    pub(crate) fn set_dies(&mut self, dies: bool) {
        self.dies = dies;
    }

    pub(crate) fn set_store_fails(&mut self, fails: bool) {
        self.store_fails = fails;
    }

    /// Another price list is live from now on.
    pub(crate) fn set_catalogue(&mut self, catalogue: Arc<Catalogue>) {
        self.catalogue = catalogue;
    }

    /// A person edits the settings.
    ///
    /// # Errors
    /// They would not be valid: nothing changes.
    pub(crate) fn edit(&mut self, edits: &[Edit]) -> Result<(), String> {
        self.settings = self.file.edit(edits, None).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The settings were written anew.
    ///
    /// # Errors
    /// They are not valid: what ran before runs on.
    pub(crate) fn reread(&mut self, text: &str) -> Result<(), String> {
        self.file = SettingsFile::in_memory(text).map_err(|problems| problems.to_string())?;
        self.settings = self.file.settings();
        Ok(())
    }

    /// Whether nothing can be done at present, or everything is being stopped.
    pub(crate) fn is_stuck(&self) -> bool {
        self.store_fails || self.stop_all.is_some()
    }

    /// A person arms the loop, or makes it a dry run.
    pub(crate) fn arm(&mut self, armed: bool) {
        self.commit(vec![Record::Armed(armed)]);
        self.end_stop_all();
    }

    pub(crate) fn pause(&mut self, paused: bool) {
        self.commit(vec![Record::Paused(paused)]);
        self.end_stop_all();
    }

    fn end_stop_all(&mut self) {
        if !self.memory.armed || !self.memory.paused {
            self.stop_all = None;
        }
    }

    /// The process ended, and another one begins from what was written down.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.facts = Facts::default();
        self.sights = Sights::default();
        self.breakers = Breakers::default();
        self.retries = Retries::default();
        self.delivered = Delivered::default();
        self.surplus.clear();
        self.courses.clear();
        self.snapshot = Snapshot::default();
        self.plan = nothing_planned(&self.settings, now);
        self.under_way.clear();
        self.dies = false;
        self.interval = QUICK;
        self.looked_deep_at = None;
        self.stop_all = None;
        self.term = Term(self.term.0 + 1);
        if self.leads {
            self.doubt_open_intents();
        }
    }

    /// The same, and what was written down is lost.
    pub(crate) fn lose_store(&mut self, now: Timestamp) {
        self.memory = Memory::default();
        self.restart(now);
    }

    /// Another console leads: this one only watches.
    pub(crate) fn follow(&mut self) {
        self.leads = false;
        self.stop_all = None;
        self.delivered.forget_all();
    }

    /// It leads again, after another did.
    pub(crate) fn take_over(&mut self) {
        self.leads = true;
        self.term = Term(self.term.0 + 2);
        self.facts.distrust();
        self.looked_deep_at = None;
        let ordered = self.memory.known.values().filter(|known| known.drain.is_some() || known.stop_sent.is_some());
        let withdrawn = ordered.map(|known| Record::Withdrawn(known.id.clone())).collect();
        self.commit(withdrawn);
        self.doubt_open_intents();
    }

    /// The clock was set.
    pub(crate) fn jumped(&mut self, now: Timestamp) {
        self.facts.distrust();
        self.surplus.clear();
        self.courses.clear();
        self.sights = Sights::default();
        self.retries.clear();
        self.breakers.rebase(now);
        self.delivered.rebase(now);
        self.looked_deep_at = None;
    }

    fn doubt_open_intents(&mut self) {
        let calling = self.calling();
        let open = self.memory.intents.values();
        let open = open.filter(|intent| intent.outcome == IntentOutcome::Open && !calling.contains(&intent.id));
        let doubted = open.map(|intent| Record::IntentUnknown(intent.id.clone())).collect();
        self.commit(doubted);
    }
}

//! Orders to drain, to end what runs, and to go on: what is written down of them, and what is then sent. Pure.

use crate::engine::act::decide::{Decision, Ground};
use crate::engine::act::deed::Deed;
use crate::engine::act::naming::Naming;
use crate::engine::seen::hold::Held;
use crate::engine::words::Line;
use crate::model::ids::{Actor, InstanceId};
use crate::model::instance::{Drain, DrainCause};
use crate::model::record::Record;

impl Ground<'_> {
    pub(super) fn drain(
        &self,
        instance: &InstanceId,
        cause: DrainCause,
        by: &Actor,
        told: Line,
        naming: &mut Naming,
    ) -> Option<Decision> {
        let known = self.memory.known.get(instance)?;
        let nonce = naming.nonce();
        let drain = Drain {
            nonce: nonce.clone(),
            cause,
            by: by.clone(),
            ordered: self.now,
            acknowledged: None,
            cancelled: false,
            held: false,
            end_asked: None,
        };
        let hold = Held::ordered(known, &drain, self.facts, self.settings).is_wanted(self.sights);
        let set = Record::DrainSet { instance: instance.clone(), drain: Some(drain) };
        let deed = Deed::Drain { instance: instance.clone(), nonce, hold };
        Some(Decision { records: vec![set, told.about_machine(known).record()], deed: Some(deed) })
    }

    pub(super) fn checkpoint(&self, instance: &InstanceId, told: Line) -> Option<Decision> {
        let known = self.memory.known.get(instance)?;
        let drain = Drain { end_asked: Some(self.now), ..known.drain.clone()? };
        let nonce = drain.nonce.clone();
        let set = Record::DrainSet { instance: instance.clone(), drain: Some(drain) };
        let deed = Deed::AskEnd { instance: instance.clone(), nonce };
        Some(Decision { records: vec![set, told.about_machine(known).record()], deed: Some(deed) })
    }

    pub(super) fn cancel_drain(&self, instance: &InstanceId, told: Line) -> Option<Decision> {
        let known = self.memory.known.get(instance)?;
        let hold = Held::of(known, self.facts, self.settings)?.is_wanted(self.sights);
        let drain = Drain { cancelled: true, ..known.drain.clone()? };
        let nonce = drain.nonce.clone();
        let set = Record::DrainSet { instance: instance.clone(), drain: Some(drain) };
        // It would be drained again as soon as it is idle.
        let let_be = known.replace.as_ref().map(|_| Record::ReplaceSet { instance: instance.clone(), by: None });
        let records = std::iter::once(set).chain(let_be).chain([told.about_machine(known).record()]).collect();
        let deed = Deed::CancelDrain { instance: instance.clone(), nonce, hold };
        Some(Decision { records, deed: Some(deed) })
    }
}

//! What the back-off learns from the world, and from people.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::act::breakers::Breakers;
use crate::engine::event::Answer;
use crate::engine::run::{EngineError, Loop};
use crate::engine::words::line;
use crate::model::breaker::{BOOTS_FAILED, Reset, account};
use crate::model::ids::{Actor, PoolName};
use crate::model::journal::{EntryKind, Subject};
use crate::model::record::{Memory, Record};
use crate::model::settings::Settings;

/// What these records, which are not written yet, say about launches: a machine that ended leaves its quota to
/// others, one that never registered is a strike of its pool.
pub(super) fn heed(records: &[Record], memory: &Memory, settings: &Settings, breakers: &mut Breakers, now: Timestamp) {
    let mut failed: BTreeMap<&PoolName, usize> = BTreeMap::new();
    for record in records {
        match record {
            Record::Closed { instance, .. } => {
                // What is off has left its quota before.
                if let Some(known) = memory.known.get(instance).filter(|known| !known.power.is_off()) {
                    let account = account(known.provider, &known.region);
                    breakers.ended(&account, known.machine_type.quota_family(), known.market);
                }
            }
            Record::BootFailed { pool, .. } => {
                let before = || memory.boots_failed.get(pool).map_or(0, BTreeSet::len);
                *failed.entry(pool).or_insert_with(before) += 1;
            }
            Record::BootsForgiven(pool) => {
                failed.insert(pool, 0);
                breakers.registered(pool);
            }
            _ => {}
        }
    }
    for (name, failed) in failed {
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        if let Some(pool) = settings.pool(name).filter(|_| failed >= BOOTS_FAILED) {
            breakers.boots_failed(pool, failed, now);
        }
    }
}

impl Loop {
    /// A person ends back-offs.
    pub(super) async fn reset(&mut self, by: &Actor, what: &Reset) -> Result<Result<Answer, String>, EngineError> {
        if let Err(error) = self.may_change() {
            return Ok(Err(error));
        }
        if let Reset::Pool(pool) = what
            && self.settings.pool(pool).is_none()
        {
            return Ok(Err(format!("there is no pool `{pool}`")));
        }
        let now = self.setup.clock.now();
        let ended = self.breakers.reset(what, &self.settings, now);
        let forgiven: Vec<PoolName> = self
            .memory
            .boots_failed
            .keys()
            .filter(|pool| match what {
                Reset::All => true,
                Reset::Pool(name) => name == *pool,
                Reset::One(on) => on.pool.as_ref() == Some(*pool) && on.machine_type.is_none(),
            })
            .cloned()
            .collect();
        if ended.is_empty() && forgiven.is_empty() {
            return Ok(Ok(Answer::Said(format!("{what}: nothing backs off"))));
        }
        let mut told: Vec<String> = ended.iter().map(|on| format!("{on} is tried again")).collect();
        told.extend(forgiven.iter().map(|pool| format!("the failed boots of pool {pool} are forgiven")));
        let text = told.join(", ");
        let pool = match what {
            Reset::Pool(pool) => Some(pool.clone()),
            Reset::One(on) => on.pool.clone(),
            Reset::All => None,
        };
        let subject = Subject { pool, ..Subject::default() };
        let mut records: Vec<Record> = forgiven.into_iter().map(Record::BootsForgiven).collect();
        records.push(line(now, EntryKind::Edited, &text).by(by).about(subject).record());
        self.commit(records).await;
        self.replan(Vec::new()).await?;
        self.publish();
        Ok(Ok(Answer::Said(text)))
    }
}

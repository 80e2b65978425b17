//! A store that forgets at the end: for the demo, the replay and tests.

use std::collections::VecDeque;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::model::glance::{Glance, thinned};
use crate::model::journal::{Entry, JournalFilter};
use crate::model::record::{Memory, Record};
use crate::store::{Keep, Pruned, Store, StoreError};

/// Keeps the records in memory only.
#[derive(Debug, Default)]
pub struct MemoryStore {
    memory: Memory,
    journal: Vec<Entry>,
    glances: VecDeque<Glance>,
}

/// A year that is replayed has more.
const GLANCES_KEPT: usize = 20_000;

/// It begins with what another store remembered, but for the journal.
impl From<Memory> for MemoryStore {
    fn from(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&mut self) -> Result<Memory, StoreError> {
        Ok(self.memory.clone())
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        for record in records {
            self.memory.apply(record);
            match record {
                Record::Journal(entry) => self.journal.push(entry.clone()),
                Record::Glanced(glance) => {
                    self.glances.push_back(glance.as_ref().clone());
                    if self.glances.len() > GLANCES_KEPT {
                        self.glances.pop_front();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError> {
        let mut lines: Vec<_> = self.journal.iter().rev().filter(|entry| filter.wants(entry)).collect();
        lines.sort_by_key(|entry| std::cmp::Reverse(entry.at));
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        Ok(lines.into_iter().take(limit).cloned().collect())
    }

    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError> {
        Ok(thinned(self.glances.iter().filter(|glance| (from..to).contains(&glance.at)), every))
    }

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        self.glances.retain(|glance| glance.at >= keep.lines);
        self.journal.retain(|entry| entry.at >= keep.lines);
        self.memory.forget_before(keep.lines);
        Ok(Pruned::default())
    }
}

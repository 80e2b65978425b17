//! A store that forgets at the end: for the demo, the replay and tests.

use async_trait::async_trait;

use crate::model::journal::{Entry, JournalFilter};
use crate::model::record::{Memory, Record};
use crate::store::{Keep, Pruned, Store, StoreError};

/// Keeps the records in memory only.
#[derive(Debug, Default)]
pub struct MemoryStore {
    memory: Memory,
    journal: Vec<Entry>,
}

/// It begins with what another store remembered, but for the journal.
impl From<Memory> for MemoryStore {
    fn from(memory: Memory) -> Self {
        Self { memory, journal: Vec::new() }
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
            if let Record::Journal(entry) = record {
                self.journal.push(entry.clone());
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

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        self.journal.retain(|entry| entry.at >= keep.lines);
        self.memory.forget_before(keep.lines);
        Ok(Pruned::default())
    }
}

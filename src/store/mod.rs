//! WHAT WE REMEMBER: settings in TOML; intents, ledger and journal in SQL.

use async_trait::async_trait;

use crate::model::journal::{Entry, JournalFilter};
use crate::model::record::{Memory, Record};

/// Keeps the records. One writer: the engine.
#[async_trait]
pub trait Store: Send {
    /// Everything remembered, as the records gave it.
    async fn load(&mut self) -> Result<Memory, StoreError>;

    /// Writes the records, all or none; they are on disk when this returns.
    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError>;

    /// The newest journal lines that match, newest first.
    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError>;
}

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {message}")]
    Open { path: std::path::PathBuf, message: String },
    #[error("{path} is kept by another console (process {holder})")]
    Taken { path: std::path::PathBuf, holder: String },
    #[error("the store's {what} cannot be read: {message}")]
    Damaged { what: String, message: String },
    #[error("the store cannot be written: {0}")]
    Write(String),
}

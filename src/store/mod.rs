//! WHAT WE REMEMBER: settings in TOML; intents, ledger and journal in SQL.

pub mod directory;
pub mod lock;
pub mod memory;
pub mod moving;
pub mod postgres;
pub mod settings;
pub mod sqlite;
pub mod whole;

use std::path::PathBuf;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::model::glance::Glance;
use crate::model::ids::Term;
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

    /// What looks came to from `from` until before `to`, the oldest first: the newest of each stretch that is `every` long.
    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError>;

    /// Forgets journal lines, glances, ended intents and machines proved gone before `before`, and samples that newer ones
    /// have pushed out. Money is kept for good.
    async fn prune(&mut self, before: Timestamp) -> Result<(), StoreError>;

    /// This console leads now, in this term. Where consoles share the store it is told what they wrote, and from here on it
    /// alone writes; before that it does not. `None`: the store is this console's own.
    async fn lead(&mut self, _term: Term) -> Result<Option<Memory>, StoreError> {
        Ok(None)
    }

    /// Another console leads. Where consoles share the store, this one writes no more.
    fn follow(&mut self) {}

    /// What is remembered now, where consoles share the store: another may have written, or a write that failed may
    /// have been done all the same. `None`: the store is this console's own.
    async fn refresh(&mut self) -> Result<Option<Memory>, StoreError> {
        Ok(None)
    }
}

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {message}")]
    Open { path: PathBuf, message: String },
    #[error("no directory for the state is known: name one with --state-dir or TIDEGATE_STATE_DIR")]
    NoDirectory,
    #[error("{path} can be written by others (mode {mode:o}): run `chmod go-w {path}`")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} is not a store of Tidegate ({message}): move it away, or name another directory with --state-dir")]
    Foreign { path: PathBuf, message: String },
    #[error("{path} was written by a newer Tidegate ({message}): run that one, or name another directory")]
    Newer { path: PathBuf, message: String },
    #[error(
        "{path} is damaged ({what}: {message}): move it away and start again, the fleet is then adopted from its tags and \
         earlier spending is missing"
    )]
    Damaged { path: PathBuf, what: String, message: String },
    #[error("{path} cannot be written: {message}")]
    Write { path: PathBuf, message: String },
    #[error("the shared store: {message}")]
    Shared { message: String },
    #[error("the shared store is led in term {leads}, this console's was {ours}: it writes no more")]
    Superseded { ours: Term, leads: Term },
}

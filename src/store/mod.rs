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
use crate::model::posted::{Fate, Posted};
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

    /// Forgets some of what is older than it is kept: journal lines, glances, ended intents, machines proved gone, bills; and
    /// samples that newer ones have pushed out. What bills came to stays in the total.
    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError>;

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

    /// Journal lines that other consoles wrote since this was asked last, the oldest first; some of them, where there are
    /// many. The first time none: what was written before is asked of the journal, which from then on ends where this did.
    async fn heard(&mut self) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether other consoles may have this store too. Only then are orders posted and taken.
    fn is_shared(&self) -> bool {
        false
    }

    /// Writes an order to whoever leads.
    async fn post(&mut self, _order: &Posted) -> Result<(), StoreError> {
        Err(StoreError::Own)
    }

    /// Takes the oldest order that nobody took, as the leader: each is taken once, whatever becomes of who took it. Those that
    /// an earlier leader took and did not answer are answered with `lost`.
    async fn take_posted(&mut self, _lost: &str) -> Result<Option<Posted>, StoreError> {
        Ok(None)
    }

    /// Answers an order that was taken.
    async fn answer_posted(&mut self, _id: &str, _answer: &str) -> Result<(), StoreError> {
        Err(StoreError::Own)
    }

    /// What has become of an order; once it was answered, that is forgotten.
    async fn fate_of_posted(&mut self, _id: &str) -> Result<Fate, StoreError> {
        Err(StoreError::Own)
    }

    /// Takes an order back; `false`: it was taken before.
    async fn withdraw_posted(&mut self, _id: &str) -> Result<bool, StoreError> {
        Err(StoreError::Own)
    }

    /// Writes back what is only buffered, and lets go of the file or the connection. Nothing is lost without it.
    async fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// How old tables are, for people.
fn version_told(version: Option<i64>, newest: i64) -> String {
    match version {
        None => "without tables yet: the first loop makes them".to_owned(),
        Some(version) if version < newest => {
            format!("its tables are of version {version}; the next loop brings them to {newest}")
        }
        Some(version) => format!("its tables are of version {version}, this program's own"),
    }
}

/// From when on things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Journal lines, ended intents, machines that are gone.
    pub lines: Timestamp,
    /// Bills that are closed; `None`: for good.
    pub bills: Option<Timestamp>,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// There is more to forget.
    pub more: bool,
    /// So many bills.
    pub bills: u64,
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
    /// Nobody answers where it is.
    #[error("the shared store: {message}")]
    Unreached { message: String },
    #[error("no other console has this store: there is nobody to order anything of")]
    Own,
    #[error("the shared store is led in term {leads}, this console's was {ours}: it writes no more")]
    Superseded { ours: Term, leads: Term },
}

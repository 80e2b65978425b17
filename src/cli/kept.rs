//! The fleet's memory, in its own file or in the database that the team shares.

use std::path::Path;

use jiff::Timestamp;

use super::failure::Failure;
use crate::engine::EngineError;
use crate::model::ledger::Interval;
use crate::model::record::Memory;
use crate::model::settings::Settings;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{FILE, SqliteStore};
use crate::store::{Store, StoreError};
use crate::world::clock::Clock;
use crate::world::secret::{self, Secret};

/// An open store.
pub(super) enum Kept {
    Own(SqliteStore),
    Shared(Box<PostgresStore>),
}

impl Kept {
    /// Opens the store that the settings name, or begins it.
    pub(super) async fn open(settings: &Settings, directory: &Path, now: Timestamp) -> Result<Self, EngineError> {
        match shared(settings).await? {
            Some(shared) => Ok(Self::Shared(Box::new(shared))),
            None => Ok(Self::Own(SqliteStore::open(directory, now).await?)),
        }
    }

    /// Opens it to be read; `None`: there is nothing that was remembered. Without settings it is the directory's own.
    pub(super) async fn find(
        settings: Option<&Settings>,
        directory: &Path,
        now: Timestamp,
    ) -> Result<Option<Self>, Failure> {
        if let Some(settings) = settings
            && let Some(shared) = shared(settings).await?
        {
            return Ok(Some(Self::Shared(Box::new(shared))));
        }
        let is_there = directory.join(FILE).exists();
        Ok(if is_there { Some(Self::Own(SqliteStore::open(directory, now).await?)) } else { None })
    }

    pub(super) fn store(self) -> Box<dyn Store> {
        match self {
            Self::Own(store) => Box::new(store),
            Self::Shared(store) => store,
        }
    }

    /// Shows every interval that bills some of the time from `from` to `to`, with its shares; none is held.
    pub(super) async fn each_interval(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        visit: impl FnMut(Interval),
    ) -> Result<(), StoreError> {
        match self {
            Self::Own(store) => store.each_interval(from, to, visit).await,
            Self::Shared(store) => store.each_interval(from, to, visit).await,
        }
    }

    /// What stands now: intents, machines and their open bills.
    pub(super) async fn standing(&mut self) -> Result<Memory, StoreError> {
        match self {
            Self::Own(store) => store.standing().await,
            Self::Shared(store) => store.standing().await,
        }
    }
}

/// Says what the store of the settings is, without making or changing anything.
pub(super) async fn check(settings: &Settings, directory: &Path) -> Result<String, EngineError> {
    match address(settings)? {
        Some(address) => Ok(PostgresStore::check(address.expose(), &settings.the_loop.fleet).await?),
        None => Ok(SqliteStore::check(directory).await?),
    }
}

fn address(settings: &Settings) -> Result<Option<Secret>, EngineError> {
    let Some(place) = &settings.the_loop.store else { return Ok(None) };
    secret::text(place).map(Some).map_err(|error| EngineError::Settings(format!("loop.store: {error}")))
}

/// The database of the settings, if they name one.
pub(super) async fn shared(settings: &Settings) -> Result<Option<PostgresStore>, EngineError> {
    let Some(address) = address(settings)? else { return Ok(None) };
    let fleet = &settings.the_loop.fleet;
    Ok(Some(PostgresStore::open(address.expose(), fleet, || Clock::Wall.now()).await?))
}

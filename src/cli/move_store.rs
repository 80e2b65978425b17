//! `move-store`: from this console's own file into the team's database.

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::kept::shared;
use super::live::{Ground, Lead};
use super::say::say;
use crate::store::moving;
use crate::store::sqlite::{FILE, SqliteStore};
use crate::world::clock::Clock;

/// Move what this console remembers into the database that `loop.store` names
///
/// The loop must not run. Everything is copied in one transaction into a store that is empty; the file is kept beside, as
/// tidegate.sqlite.moved.
#[derive(Debug, Args)]
pub(super) struct MoveStore {}

impl MoveStore {
    pub(super) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let ground = Ground::find(place)?;
        let (settings, directory) = (ground.settings.settings(), ground.directory.clone());
        let file = directory.join(FILE);
        if !file.exists() {
            return Err(Failure::NotReachable(format!("there is nothing to move: no {}", file.display())));
        }
        let _lead = match ground.take_lead()? {
            Lead::Ours(lead) => lead,
            Lead::Theirs { holder, .. } => {
                let who = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                return Err(Failure::Refused(format!("{who} runs the loop: end it first")));
            }
        };
        let Some(mut to) = shared(&settings).await? else {
            return Err(Failure::Usage("loop.store names no database to move to".to_owned()));
        };
        let mut from = SqliteStore::open(&directory, Clock::Wall.now()).await?;
        let rows = moving::copy(&mut from, &mut to).await?;
        from.close().await?;
        let kept = file.with_extension("sqlite.moved");
        std::fs::rename(&file, &kept).map_err(|error| {
            Failure::Failed(format!("all is moved, but {} cannot be renamed: {error}", file.display()))
        })?;
        say(&format!("{rows} rows moved; the file is kept as {}\n", kept.display()))
    }
}

//! One look at the world where no loop runs: what a loop would see and plan, and nothing done.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::Place;
use super::failure::Failure;
use super::kept::Kept;
use super::live::{Ground, price_table, world};
use crate::engine::act::crash::CrashPoints;
use crate::engine::act::naming::Naming;
use crate::engine::event::{Event, Leader, View};
use crate::engine::{Setup, run};
use crate::model::settings::Settings;
use crate::store::memory::MemoryStore;
use crate::world::clock::Clock;

/// What a loop that only watches sees at its first look, with what the fleet's store remembers.
pub(super) async fn look(place: &Place) -> Result<Arc<View>, Failure> {
    let Ground { settings, directory } = Ground::called(place)?;
    let (world, warnings) = world(&settings.settings(), settings.path())?;
    let world = world.with_pseudonyms(settings.pseudonyms());
    let store = Box::new(remembered(&settings.settings(), &directory).await?);
    let setup = Setup {
        settings,
        world,
        store,
        clock: Clock::Wall,
        catalogue: Arc::new(price_table()?),
        leader: Leader::Other("nobody (no loop runs, this is one look)".to_owned()),
        candidate: None,
        naming: Naming::random(),
        planner: crate::plan::plan,
        policy: None,
        crash: CrashPoints::default(),
        socket: None,
        warnings,
    };
    let (_requests, asked) = mpsc::channel(1);
    let events = broadcast::Sender::new(64);
    let heard = events.subscribe();
    let view = tokio::select! {
        ended = run(setup, asked, events) => Err(ended.err().map_or_else(never_looked, Failure::from)),
        view = first_look(heard) => view.ok_or_else(never_looked),
    }?;
    let silent = view.snapshot.sources.iter().all(|source| source.last_good.is_none());
    if silent { Err(Failure::NotReachable(errors(&view))) } else { Ok(view) }
}

async fn first_look(mut events: broadcast::Receiver<Event>) -> Option<Arc<View>> {
    loop {
        match events.recv().await {
            Ok(Event::View(view)) if has_looked(&view) => return Some(view),
            Err(RecvError::Closed) => return None,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
        }
    }
}

/// Before the first look no source has said anything.
fn has_looked(view: &View) -> bool {
    view.snapshot.sources.iter().any(|source| source.last_good.is_some() || source.error.is_some())
}

fn never_looked() -> Failure {
    Failure::Failed("the loop ended before it had looked".to_owned())
}

fn errors(view: &View) -> String {
    let said = view
        .snapshot
        .sources
        .iter()
        .filter_map(|source| source.error.as_ref().map(|error| format!("{}: {error}", source.name)));
    said.collect::<Vec<_>>().join("; ")
}

/// The fleet's memory, if it has one; the store itself is left as it is.
async fn remembered(settings: &Settings, directory: &Path) -> Result<MemoryStore, Failure> {
    let found = Kept::find(Some(settings), directory, Clock::Wall.now()).await?;
    let Some(found) = found else { return Ok(MemoryStore::default()) };
    let memory = found.store().load().await?;
    Ok(MemoryStore::from(memory))
}

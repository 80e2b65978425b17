//! The console: the screen with its embedded loop; or, where another process leads, the same screen watching that loop.

use std::path::PathBuf;
use std::sync::Arc;

use super::Place;
use super::attach;
use super::failure::Failure;
use super::live::{Ground, Lead, Running};
use super::reach::person;
use crate::engine::Handle;
use crate::tui::theme::Theme;
use crate::tui::{self, Ending, Link, Options};
use crate::world::clock::Clock;

pub(super) fn run(place: &Place, theme: Option<Theme>) -> Result<(), Failure> {
    match Ground::find(place)?.take_lead()? {
        Lead::Ours(leading) => {
            let Running { handle, directory, held } = leading.start()?;
            let shown = show(handle, Clock::Wall, Some(directory), None, theme);
            drop(held);
            shown
        }
        Lead::Theirs { directory, holder } => attach::watch(directory, holder.as_ref(), theme),
    }
}

/// Shows an embedded loop until it is left; then the loop has ended, too, unless a person would not wait for it.
pub(super) fn show(
    handle: Handle,
    clock: Clock,
    log: Option<PathBuf>,
    speed: Option<u32>,
    theme: Option<Theme>,
) -> Result<(), Failure> {
    let Handle { requests, events, life } = handle;
    let options = Options { theme, ..options(clock, log, speed) };
    let left = tui::run(Link { requests, events }, &options).map_err(|error| Failure::Failed(error.to_string()));
    if matches!(left, Ok(Ending::Forced)) && !life.has_ended() {
        return Err(Failure::Failed("left before the loop had ended; machines stay as they are".to_owned()));
    }
    life.join()?;
    left.map(drop)
}

pub(super) fn options(clock: Clock, log: Option<PathBuf>, speed: Option<u32>) -> Options {
    Options { now: Arc::new(move || clock.now()), by: person(), theme: None, log, speed, attached: None }
}

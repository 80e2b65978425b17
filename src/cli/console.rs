//! The console: the screen with its embedded loop; or, where another process leads, the same screen watching that loop.

use std::path::Path;
use std::sync::Arc;

use super::Place;
use super::attach;
use super::failure::Failure;
use super::live::{Ground, Lead, Running};
use super::looks::Looks;
use super::reach::person;
use crate::engine::Handle;
use crate::tui::{self, Ending, Kept, Link, Options};
use crate::world::clock::Clock;

pub(super) fn run(place: &Place, looks: &Looks) -> Result<(), Failure> {
    let ground = Ground::find(place)?;
    let keys = ground.settings.settings().keys.clone();
    let options = Options { keys, ..looked(looks, Clock::Wall) };
    can_show(looks)?;
    match ground.take_lead()? {
        Lead::Ours(leading) => {
            let Running { handle, directory, held } = leading.start()?;
            let kept = Some(kept(&directory));
            let shown = show(handle, &Options { log: Some(directory), kept, ..options });
            drop(held);
            shown
        }
        Lead::Theirs { directory, holder } => attach::watch(directory, holder.as_ref(), options),
    }
}

/// Refuses to start anything for a screen that cannot be.
pub(super) fn can_show(looks: &Looks) -> Result<(), Failure> {
    if looks.plain { Ok(()) } else { tui::ready().map_err(|error| Failure::Usage(error.to_string())) }
}

/// Shows an embedded loop until it is left; then the loop has ended, too, unless a person would not wait for it.
pub(super) fn show(handle: Handle, options: &Options) -> Result<(), Failure> {
    let Handle { requests, events, life } = handle;
    let left = tui::run(Link { requests, events }, options).map_err(|error| Failure::Failed(error.to_string()));
    if matches!(left, Ok(Ending::Forced)) && !life.has_ended() {
        return Err(Failure::Failed("left before the loop had ended; machines stay as they are".to_owned()));
    }
    life.join()?;
    left.map(drop)
}

/// A screen of this person's, by this clock.
pub(super) fn options(clock: Clock) -> Options {
    Options { editor: editor(), ..Options::new(person(), Arc::new(move || clock.now())) }
}

/// The same, as the arguments want it to look.
pub(super) fn looked(looks: &Looks, clock: Clock) -> Options {
    Options { theme: looks.theme(), ascii: looks.ascii, plain: looks.plain, ..options(clock) }
}

/// The file of the state directory that has what the screen was like.
pub(super) fn kept(directory: &Path) -> Kept {
    let path = directory.join("screen.json");
    let text = std::fs::read_to_string(&path).ok();
    Kept { text, keep: Arc::new(move |text| crate::store::whole::write(&path, text)) }
}

/// As every program finds it.
fn editor() -> String {
    let named =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.trim().is_empty()));
    named.unwrap_or_else(|| "vi".to_owned())
}

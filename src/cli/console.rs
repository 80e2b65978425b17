//! The console: the screen with its embedded loop; or, where another process leads, the same screen watching that loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use super::Place;
use super::failure::Failure;
use super::live::{Ground, Lead, Running};
use super::looks::Looks;
use super::reach::person;
use crate::engine::Handle;
use crate::engine::event::{Event, Leader, View};
use crate::engine::socket::Client;
use crate::store::lock::Holder;
use crate::tui::{self, Ending, Kept, Link, Options};
use crate::world::clock::Clock;

/// Requests and events that may be on their way to and from a loop elsewhere.
const ON_THE_WAY: usize = 1024;

pub(super) fn run(place: &Place, looks: &Looks) -> Result<(), Failure> {
    let ground = Ground::find(place)?;
    let keys = ground.settings.settings().keys.clone();
    let options = Options { theme: looks.theme(), plain: looks.plain, keys, ..options(Clock::Wall) };
    match ground.take_lead()? {
        Lead::Ours(leading) => {
            let Running { handle, directory, held } = leading.start()?;
            let kept = Some(kept(&directory));
            let shown = show(handle, &Options { log: Some(directory), kept, ..options });
            drop(held);
            shown
        }
        Lead::Theirs { directory, holder } => watch(&directory, holder.as_ref(), options),
    }
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
    Options {
        now: Arc::new(move || clock.now()),
        by: person(),
        theme: None,
        keys: BTreeMap::new(),
        log: None,
        editor: editor(),
        kept: None,
        speed: None,
        attached: false,
        plain: false,
    }
}

/// The file of the state directory that has what the screen was like.
fn kept(directory: &Path) -> Kept {
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

/// Shows the loop that leads, from outside: it acts, this screen watches and says who leads.
fn watch(directory: &Path, holder: Option<&Holder>, options: Options) -> Result<(), Failure> {
    let who = holder.map_or_else(|| "another process".to_owned(), Holder::to_string);
    let runtime = super::runtime()?;
    let client = runtime.block_on(Client::connect(directory))?;
    let (requests, asked) = mpsc::channel(ON_THE_WAY);
    let events = broadcast::Sender::new(ON_THE_WAY);
    let link = Link { requests, events: events.subscribe() };
    let relay = std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        runtime.block_on(client.relay(asked, |event| {
            // The screen may be gone.
            let _ = events.send(as_watched(event, &who));
        }))
    });
    relay.map_err(|error| Failure::Failed(format!("no thread: {error}")))?;
    let options = Options { attached: true, log: Some(directory.to_owned()), kept: Some(kept(directory)), ..options };
    tui::run(link, &options).map(drop).map_err(|error| Failure::Failed(error.to_string()))
}

/// What the leader tells, as one who watches shows it.
fn as_watched(event: Event, who: &str) -> Event {
    match event {
        Event::View(view) => {
            let leader = Leader::Other(who.to_owned());
            Event::View(Arc::new(View { leader, ..Arc::unwrap_or_clone(view) }))
        }
        event => event,
    }
}

//! The screen's own loop: messages to `update`, its effects done, a frame when something has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ratatui::layout::Rect;
use terminal_colorsaurus::{QueryOptions, ThemeMode, theme_mode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc};

use super::chart::Markers;
use super::commands::Keymap;
use super::inbox::Inbox;
use super::message::{Effect, Ending, Message};
use super::panics::Watch;
use super::state::{Setup, State};
use super::terminal::{Terminal, lacking};
use super::theme::{Abilities, Theme};
use super::update::update;
use super::view;
use super::{kept, plain};
use crate::engine::command::Request;
use crate::engine::event::Event;
use crate::model::ids::Actor;
use crate::model::keys::Keys;

/// At most 60 frames a second.
const BETWEEN_FRAMES: Duration = Duration::from_millis(16);
/// But who pressed a key sees what it did as soon as this after the frame before.
const AFTER_A_KEY: Duration = Duration::from_millis(4);
/// A flood of messages does not keep a frame back for longer than this many of them.
const MOST_AT_ONCE: u32 = 1_000;
/// How long the terminal may take to tell its background.
const COLOUR_PATIENCE: Duration = Duration::from_millis(100);

/// The two ends that join the screen to a loop.
#[derive(Debug)]
pub struct Link {
    pub requests: mpsc::Sender<Request>,
    pub events: broadcast::Receiver<Event>,
}

/// Keeps a text.
pub type Keep = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// What outlives a screen.
#[derive(Clone)]
pub struct Kept {
    /// What was kept the last time.
    pub text: Option<String>,
    /// Keeps a text for the next time.
    pub keep: Keep,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("text", &self.text).finish_non_exhaustive()
    }
}

/// How the screen is to be.
#[derive(Clone)]
pub struct Options {
    /// The loop's clock, which in the demo is not the wall's: ages are counted by it.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Who sits in front of it, for the journal.
    pub by: Actor,
    /// `None`: what suits the terminal, `NO_COLOR` and the locale.
    pub theme: Option<Theme>,
    /// Only signs that any terminal has, whatever the terminal has.
    pub ascii: bool,
    /// Keys of commands, by their names, until the loop tells its settings.
    pub keys: BTreeMap<String, Keys>,
    /// The log's file, or the directory that has one for each day.
    pub log: Option<PathBuf>,
    /// What opens a text for the person, with its arguments, as `EDITOR` has it.
    pub editor: String,
    /// What the screen was like when it was left the last time, and how that is kept.
    pub kept: Option<Kept>,
    /// How many times faster than the wall the loop's clock runs.
    pub speed: Option<u32>,
    /// Where the loop runs, if elsewhere: leaving the screen does not end it.
    pub attached: Option<String>,
    /// Line by line, for screen readers.
    pub plain: bool,
}

impl Options {
    /// A screen of this person's, with nothing else said: the look that suits the terminal, no log, no editor.
    #[must_use]
    pub fn new(by: Actor, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            now,
            by,
            theme: None,
            ascii: false,
            keys: BTreeMap::new(),
            log: None,
            editor: "vi".to_owned(),
            kept: None,
            speed: None,
            attached: None,
            plain: false,
        }
    }

    /// Keeps what the screen is like for the next time.
    fn keep(&self, state: &State) {
        if let Some(kept) = &self.kept
            && let Err(error) = (kept.keep)(&kept::text(state))
        {
            tracing::warn!(%error, "what the screen was like is not kept");
        }
    }

    /// The state that a screen begins with.
    pub(super) fn state(&self, theme: Theme, markers: Markers, size: Rect) -> State {
        let Self { by, speed, log, attached, .. } = self;
        let setup = Setup { by: by.clone(), speed: *speed, has_log: log.is_some(), attached: attached.clone() };
        let mut state = State::new(setup, theme, size);
        state.charts.markers = markers;
        state.keys = Keymap::of(&self.keys);
        if let Some(Kept { text: Some(text), .. }) = &self.kept {
            // What was chosen elsewhere is not for a terminal that cannot show it.
            let can_less = Abilities::of(term().as_deref()) != Abilities::default();
            kept::take_up(&mut state, text, self.theme.is_some() || can_less);
        }
        state.theme.ascii |= self.ascii;
        state
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now: _, by, theme, ascii, keys, log, editor, kept, speed, attached, plain } = self;
        f.debug_struct("Options")
            .field("by", by)
            .field("theme", theme)
            .field("ascii", ascii)
            .field("keys", keys)
            .field("log", log)
            .field("editor", editor)
            .field("kept", kept)
            .field("speed", speed)
            .field("attached", attached)
            .field("plain", plain)
            .finish_non_exhaustive()
    }
}

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    #[error(
        "the screen needs a terminal, and {0}: `--plain` goes line by line without one, `run --headless` and `demo --headless` \
         need nobody, and `tidegate status` says how things are"
    )]
    NoTerminal(&'static str),
    #[error("the terminal cannot be used: {0}; `tidegate status` needs none")]
    Terminal(#[source] io::Error),
    #[error("the screen's runtime or its signals: {0}")]
    System(#[source] io::Error),
}

/// Whether a screen can be drawn here: to be asked before anything is started for one.
///
/// # Errors
/// [`ScreenError::NoTerminal`].
pub fn ready() -> Result<(), ScreenError> {
    lacking().map_or(Ok(()), |why| Err(ScreenError::NoTerminal(why)))
}

/// Shows a loop until the person leaves, the loop ends, or the system says so. The terminal is as before afterwards.
pub fn run(link: Link, options: &Options) -> Result<Ending, ScreenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ScreenError::System)?;
    let only_lines = only_lines(options);
    let ending = if options.plain || only_lines.is_some() {
        runtime.block_on(plain::run(link, options, only_lines))
    } else {
        ready()?;
        let theme = options.theme.unwrap_or_else(detect);
        runtime.block_on(screen(link, options, theme))
    };
    // A reading of the log that hangs is left behind.
    runtime.shutdown_background();
    ending
}

fn term() -> Option<String> {
    std::env::var("TERM").ok()
}

/// What is told where a person sits at a terminal that has no screen. Who asks for colours or signs says that it has.
fn only_lines(options: &Options) -> Option<String> {
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let asked = options.plain || options.theme.is_some() || options.ascii;
    if asked || !at_terminal {
        return None;
    }
    let term = term().unwrap_or_default();
    let why = if term.is_empty() { "TERM is not set".to_owned() } else { format!("TERM is {term}") };
    Abilities::of(Some(&term))
        .only_lines
        .then(|| format!("{why}: this terminal has no screen, so it goes line by line."))
}

/// Asked before the alternate screen is entered.
fn detect() -> Theme {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let mut query = QueryOptions::default();
    query.timeout = COLOUR_PATIENCE;
    let can = Abilities::of(term().as_deref());
    let no_color = no_color || can.no_colour;
    let light = !no_color && matches!(theme_mode(query), Ok(ThemeMode::Light));
    let theme = Theme::fitting(no_color, light, locale.as_deref());
    Theme { ascii: theme.ascii || can.few_signs, ..theme }
}

async fn screen(link: Link, options: &Options, theme: Theme) -> Result<Ending, ScreenError> {
    let (_watch, panics) = Watch::start(true);
    let mut inbox = Inbox::open(link.events, panics).map_err(ScreenError::System)?;
    let mut terminal = Terminal::enter().map_err(ScreenError::Terminal)?;
    let size = terminal.size().map_err(ScreenError::Terminal)?;
    let mut state = options.state(theme, Markers::fitting(term().as_deref()), size);
    loop {
        draw(&mut terminal, &mut state, &mut inbox, options);
        if let Some(ending) = between_frames(&mut inbox, &mut state, &mut terminal, &link.requests, options).await {
            options.keep(&state);
            return Ok(ending);
        }
    }
}

/// Handles messages until a frame is due. Some: the screen is left.
async fn between_frames(
    inbox: &mut Inbox,
    state: &mut State,
    terminal: &mut Terminal,
    requests: &mpsc::Sender<Request>,
    options: &Options,
) -> Option<Ending> {
    let (rest, short_rest) = (tokio::time::sleep(BETWEEN_FRAMES), tokio::time::sleep(AFTER_A_KEY));
    tokio::pin!(rest, short_rest);
    let (mut handled, mut pressed) = (0, false);
    loop {
        let message = tokio::select! {
            biased;
            message = inbox.next(), if handled < MOST_AT_ONCE => message,
            () = &mut short_rest, if state.dirty && pressed => return None,
            () = &mut rest, if state.dirty => return None,
        };
        handled += 1;
        pressed |= matches!(message, Message::Key(_));
        if matches!(message, Message::Resumed) && terminal.is_open() {
            // It was stopped without being asked, and others have used the terminal since.
            let _ = terminal.reenter();
        }
        if matches!(message, Message::Resize(..)) {
            // One that was smaller for a moment has lost what it showed, whatever its size is by now.
            terminal.damaged();
        }
        if matches!(message, Message::Edited(_)) {
            inbox.take_keys();
            let _ = terminal.reenter();
        }
        let mut todo = update(state, message, (options.now)());
        while !todo.is_empty() {
            let mut troubles = Vec::new();
            for effect in todo {
                match perform(effect, inbox, terminal, requests, options) {
                    Ok(Some(ending)) => return Some(ending),
                    Ok(None) => {}
                    Err(trouble) => troubles.push(trouble),
                }
            }
            todo = troubles.into_iter().flat_map(|trouble| update(state, *trouble, (options.now)())).collect();
        }
    }
}

fn draw(terminal: &mut Terminal, state: &mut State, inbox: &mut Inbox, options: &Options) {
    if !std::mem::take(&mut state.dirty) || !terminal.is_open() {
        return;
    }
    let now = (options.now)();
    // It may have changed while nobody listened.
    if let Ok(size) = terminal.size()
        && size != state.size
    {
        update(state, Message::Resize(size.width, size.height), now);
        state.dirty = false;
    }
    if let Err(error) = terminal.draw(|frame| view::draw(frame, state, now)) {
        tracing::warn!(%error, "the terminal is gone");
        inbox.terminal_gone();
    }
}

fn perform(
    effect: Effect,
    inbox: &mut Inbox,
    terminal: &mut Terminal,
    requests: &mpsc::Sender<Request>,
    options: &Options,
) -> Result<Option<Ending>, Box<Message>> {
    let trouble = |what: &str, error: &dyn fmt::Display| Box::new(Message::Trouble(format!("{what}: {error}")));
    match effect {
        Effect::Send(request) => match requests.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => {
                return Err(Box::new(Message::Unsent(request.id, "the loop is too busy to listen")));
            }
            Err(TrySendError::Closed(request)) => {
                return Err(Box::new(Message::Unsent(request.id, "the loop has ended")));
            }
        },
        Effect::Copy(text) => Terminal::copy(&text).map_err(|error| trouble("copy", &error))?,
        Effect::Mouse(taken) => terminal.take_mouse(taken).map_err(|error| trouble("mouse", &error))?,
        Effect::ReadLog => {
            if let Some(place) = &options.log {
                inbox.read_log(place.clone());
            }
        }
        Effect::Save { name, text } => inbox.save(name, text),
        Effect::Edit(text) => {
            inbox.edit(options.editor.clone(), text);
            terminal.close().map_err(|error| trouble("edit-file", &error))?;
        }
        Effect::Suspend => terminal.suspend().map_err(|error| trouble("suspend", &error))?,
        Effect::CloseScreen => {
            inbox.stop_keys();
            // A terminal that is gone cannot be put back.
            let _ = terminal.close();
        }
        Effect::Leave(ending) => return Ok(Some(ending)),
    }
    Ok(None)
}

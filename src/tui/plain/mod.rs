//! The linear mode, for screen readers and for terminals that can do nothing but lines: the same state and the same
//! commands, told in sentences from top to bottom and asked for by their names. Nothing is ever drawn over.

mod said;
pub(super) mod told;

use std::io::{self, Write};

use jiff::Timestamp;
use ratatui::layout::Rect;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::chart::Markers;
use super::inbox::Inbox;
use super::message::{Effect, Ending, Message, Signal};
use super::panics::Watch;
use super::run::{Link, Options, ScreenError};
use super::state::{Asked, State};
use super::theme::{Palette, Theme};
use super::update::update;
use crate::engine::command::Request;
use said::Said;
use told::Ear;

/// As many rows are told at once as this leaves room for.
const SIZE: Rect = Rect { x: 0, y: 0, width: 100, height: 40 };

/// Reads lines and tells what comes of them, until the person leaves, the loop ends, or the system says so.
///
/// `why`: where the terminal has no screen, and nobody asked for lines.
pub(super) async fn run(link: Link, options: &Options, why: Option<String>) -> Result<Ending, ScreenError> {
    let (_watch, panics) = Watch::start(false);
    let inbox = Inbox::without_keys(link.events, panics).map_err(ScreenError::System)?;
    let mut begun = options.state(Theme { palette: Palette::Mono, ascii: false }, Markers::Ascii, SIZE);
    begun.keys = begun.keys.spoken();
    let mut linear =
        Linear { state: begun, inbox, requests: link.requests, options, ear: Ear::default(), ending: None };
    linear.say(why.as_slice());
    linear.say(&["Tidegate, line by line. `help` tells the commands, an empty line tells where you are.".to_owned()]);
    let mut lines = Lines { reading: None, over: false };
    loop {
        let heard = tokio::select! {
            biased;
            heard = lines.next(linear.listens()) => heard,
            message = linear.inbox.next() => Heard::Message(Box::new(message)),
        };
        match heard {
            Heard::Line(text) => linear.obey(&text),
            Heard::Message(message) => linear.tell(*message),
            // Nobody types any more: as if the terminal were gone.
            Heard::End => linear.tell(Message::Signal(Signal::Hup)),
        }
        linear.report();
        if let Some(ending) = linear.ending {
            return Ok(ending);
        }
    }
}

enum Heard {
    Line(String),
    Message(Box<Message>),
    End,
}

/// What is typed, line by line; no line is read before the last one was obeyed.
struct Lines {
    reading: Option<JoinHandle<io::Result<String>>>,
    over: bool,
}

impl Lines {
    /// The next line, where one is listened to.
    async fn next(&mut self, listens: bool) -> Heard {
        if self.over || (!listens && self.reading.is_none()) {
            return std::future::pending().await;
        }
        let reading = self.reading.get_or_insert_with(|| {
            tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                io::stdin().read_line(&mut line).map(|_| line)
            })
        });
        let read = reading.await;
        self.reading = None;
        match read {
            Ok(Ok(line)) if !line.is_empty() => Heard::Line(line),
            _ => {
                self.over = true;
                Heard::End
            }
        }
    }
}

struct Linear<'a> {
    state: State,
    inbox: Inbox,
    requests: mpsc::Sender<Request>,
    options: &'a Options,
    ear: Ear,
    ending: Option<Ending>,
}

impl Linear<'_> {
    /// Whether lines are for this console, and not for an editor that is open or about to be.
    fn listens(&self) -> bool {
        self.state.editing.is_none() && !self.state.asked.values().any(|asked| *asked == Asked::SettingsText)
    }

    fn now(&self) -> Timestamp {
        (self.options.now)()
    }

    fn tell(&mut self, message: Message) {
        let mut todo = vec![message];
        while let Some(message) = todo.pop() {
            for effect in update(&mut self.state, message, (self.options.now)()) {
                todo.extend(self.perform(effect));
            }
        }
    }

    /// What comes of it at once, if anything.
    fn perform(&mut self, effect: Effect) -> Option<Message> {
        match effect {
            Effect::Send(request) => {
                return self.requests.try_send(request).err().map(|error| {
                    Message::Unsent(error.into_inner().id, "the loop is too busy to listen, or has ended")
                });
            }
            Effect::ReadLog => {
                if let Some(place) = &self.options.log {
                    self.inbox.read_log(place.clone());
                }
            }
            Effect::Save { name, text } => self.inbox.save(name, text),
            Effect::Edit(text) => self.inbox.edit(self.options.editor.clone(), text),
            Effect::Leave(ending) => self.ending = Some(ending),
            Effect::Suspend => {
                let stopped = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP);
                return stopped.err().map(|error| Message::Trouble(format!("suspend: {error}")));
            }
            // There is no clipboard, no mouse and no screen in lines; what was copied is told.
            Effect::Copy(_) | Effect::Mouse(_) | Effect::CloseScreen => {}
        }
        None
    }

    /// Does what a line says, and tells what is there then.
    fn obey(&mut self, text: &str) {
        let now = self.now();
        match said::said(&self.state, text) {
            Said::Messages(messages) => {
                let before = self.state.place.clone();
                // The same answer to another line is told again.
                self.state.notice = None;
                self.ear.forget_notice();
                for message in messages {
                    self.tell(message);
                }
                // Each line is a command of its own.
                if let Some(closes) = said::closes(&self.state) {
                    self.tell(closes);
                    if self.state.notice.is_none() {
                        self.state.inform(said::MORE);
                    }
                }
                if self.state.place != before && self.state.dialog.is_none() {
                    self.ear.turn();
                }
            }
            Said::Row(number) => {
                let last = self.state.list.rows.len();
                if number == 0 || number > last {
                    return self.say(&[format!("There is no row {number}: there are {last}.")]);
                }
                self.state.go(super::state::Move::Top, now);
                self.state.go(super::state::Move::By(i64::try_from(number).unwrap_or(1) - 1), now);
                self.tell(Message::Tick);
                let row = told::selected(&self.state, now);
                self.say(&row);
            }
            Said::Again => self.ear.turn(),
            Said::Help => {
                let lines = told::help(&self.state);
                self.say(&lines);
            }
            Said::Nothing(why) => self.say(&[why]),
        }
    }

    /// Tells what is new.
    fn report(&mut self) {
        let now = self.now();
        let lines = self.ear.hear(&self.state, now);
        self.say(&lines);
    }

    /// Where nobody listens any more it is as if the terminal were gone.
    fn say(&mut self, lines: &[String]) {
        let mut out = io::stdout().lock();
        let mut write = || -> io::Result<()> {
            for line in lines {
                // No control letter of a name from elsewhere reaches the terminal.
                let clean: String = line.chars().filter(|letter| !letter.is_control()).collect();
                writeln!(out, "{clean}")?;
            }
            out.flush()
        };
        if write().is_err() && self.state.leaving.is_none() {
            self.inbox.terminal_gone();
        }
    }
}

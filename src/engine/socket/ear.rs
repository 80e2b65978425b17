//! What a client hears: events again, whether the views come whole or as changes.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::SocketError;
use super::delta::Change;
use super::line::{Line, Speech};
use crate::engine::event::{Event, View};

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    Event(Event),
    /// A change is missing before the one that came: the view must be asked for whole.
    Missed,
}

/// How the other end is spoken with.
#[derive(Debug, PartialEq, Eq)]
enum Understanding {
    /// Views come whole.
    Unasked,
    /// A hello is on its way.
    Asked,
    /// Views come as changes.
    Changes,
    /// Views come whole, and why.
    Not(String),
}

/// Reads the lines of a loop.
pub(super) struct Ear {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    understanding: Understanding,
    /// The newest view, as it was told, and its number; no view: a whole one is awaited.
    newest: Option<Arc<View>>,
    number: u64,
}

impl Ear {
    pub(super) fn new(reader: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        let reader = BufReader::new(reader);
        Self { reader, understanding: Understanding::Unasked, newest: None, number: 0 }
    }

    /// A hello was sent.
    pub(super) fn expect_hello(&mut self) {
        self.understanding = Understanding::Asked;
    }

    pub(super) async fn next(&mut self) -> Result<Heard, SocketError> {
        loop {
            let line = match self.read().await {
                // Older programs know no hello.
                Err(SocketError::Refused(_)) if self.understanding == Understanding::Asked => {
                    self.differ("an older Tidegate");
                    continue;
                }
                line => line?,
            };
            let event = match line {
                Line::View(view) => self.keep(view),
                Line::Whole { number, view } => {
                    self.number = number;
                    self.keep(view)
                }
                Line::Hello { speech, number } => {
                    if speech == Speech::own() {
                        (self.understanding, self.number) = (Understanding::Changes, number);
                    } else {
                        self.differ(&speech.to_string());
                    }
                    continue;
                }
                Line::Change { number, change } => {
                    let Some(view) = &mut self.newest else { continue };
                    let follows = self.number.checked_add(1) == Some(number);
                    if !follows || (*change).apply(Arc::make_mut(view)).is_err() {
                        self.newest = None;
                        return Ok(Heard::Missed);
                    }
                    self.number = number;
                    Event::View(Arc::clone(view))
                }
                Line::Journal(entry) => Event::Journal(entry),
                Line::Answer { id, result } => Event::Answer { id, result },
                Line::Lost => Event::Lost,
                Line::Ended => Event::Ended,
            };
            return Ok(Heard::Event(event));
        }
    }

    fn differ(&mut self, other: &str) {
        self.understanding = Understanding::Not(format!(
            "the loop is {other}, this screen {}: every view comes whole; start the loop anew with the newer program",
            Speech::own()
        ));
    }

    /// A whole view. Who watches is told of a loop that speaks otherwise.
    fn keep(&mut self, view: Arc<View>) -> Event {
        if let Understanding::Not(why) = &self.understanding {
            let mut view = Arc::unwrap_or_clone(view);
            view.warnings.push(why.clone());
            return Event::View(Arc::new(view));
        }
        self.newest = Some(Arc::clone(&view));
        Event::View(view)
    }

    async fn read(&mut self) -> Result<Line, SocketError> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).await.map_err(|error| SocketError::Lost(error.to_string()))?;
        if read == 0 {
            return Err(SocketError::Lost("the connection was closed".to_owned()));
        }
        serde_json::from_str(&line).map_err(|error| complaint(&line, &error))
    }
}

/// The server's complaint about what we sent, or ours about what it sent.
fn complaint(line: &str, error: &serde_json::Error) -> SocketError {
    const SHOWN: usize = 200;
    let said = serde_json::from_str::<serde_json::Value>(line).ok();
    match said.as_ref().and_then(|said| said.get("error")).and_then(serde_json::Value::as_str) {
        Some(said) => SocketError::Refused(said.to_owned()),
        None => {
            SocketError::Unreadable { line: line.trim_end().chars().take(SHOWN).collect(), message: error.to_string() }
        }
    }
}

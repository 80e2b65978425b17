//! The screen without a terminal: it watches a loop for a while, is pressed keys, and its frame is a picture.

use std::future::Future;
use std::time::Duration;

use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use tokio::sync::broadcast;
use tokio::sync::mpsc;

use super::chart::Markers;
use super::inbox;
use super::message::{Effect, Message};
use super::run::{Link, Options};
use super::state::State;
use super::theme::{Palette, Theme};
use super::update::update;
use super::{svg, typed_keys, view};
use crate::engine::command::Request;
use crate::engine::event::Event;

/// How long the loop may take to answer a key.
const AFTER_KEY: Duration = Duration::from_secs(2);

/// What picture is taken.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Columns and rows.
    pub size: (u16, u16),
    /// How long the loop is watched before the keys.
    pub after: Duration,
    /// As `2jj<Enter>`.
    pub keys: String,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("{0}")]
    Keys(String),
    #[error("the frame could not be drawn: {0}")]
    Frame(String),
}

/// Watches the loop, presses the keys, and takes the picture as SVG. Its time is the runtime's.
pub async fn picture(link: Link, options: &Options, shot: &Shot) -> Result<String, PictureError> {
    let keys = typed_keys::keys(&shot.keys).map_err(PictureError::Keys)?;
    let theme = options.theme.unwrap_or(Theme { palette: Palette::Dark, ascii: options.ascii });
    let size = Rect::new(0, 0, shot.size.0, shot.size.1);
    let mut camera = Camera {
        state: options.state(theme, Markers::Braille, size),
        requests: link.requests,
        events: Some(link.events),
        options,
    };
    camera.watch(tokio::time::sleep(shot.after)).await;
    for key in keys {
        camera.tell(Message::Key(key));
        camera.watch(tokio::time::sleep(AFTER_KEY)).await;
    }
    camera.frame()
}

struct Camera<'a> {
    state: State,
    requests: mpsc::Sender<Request>,
    events: Option<broadcast::Receiver<Event>>,
    options: &'a Options,
}

impl Camera<'_> {
    async fn watch(&mut self, until: impl Future<Output = ()>) {
        tokio::pin!(until);
        loop {
            let message = tokio::select! {
                biased;
                message = inbox::told(&mut self.events) => message,
                () = &mut until => return,
            };
            if matches!(message, Message::LoopGone) {
                self.events = None;
            }
            self.tell(message);
        }
    }

    /// Of its effects only requests leave: there is no terminal, and the disk is nobody's.
    fn tell(&mut self, message: Message) {
        let mut todo = vec![message];
        while let Some(message) = todo.pop() {
            for effect in update(&mut self.state, message, (self.options.now)()) {
                let Effect::Send(request) = effect else { continue };
                if let Err(error) = self.requests.try_send(request) {
                    let id = error.into_inner().id;
                    todo.push(Message::Unsent(id, "the loop does not listen"));
                }
            }
        }
    }

    fn frame(&self) -> Result<String, PictureError> {
        let failed = |error: &dyn std::fmt::Display| PictureError::Frame(error.to_string());
        let size = self.state.size;
        let mut terminal =
            ratatui::Terminal::new(TestBackend::new(size.width, size.height)).map_err(|error| failed(&error))?;
        let now = (self.options.now)();
        let drawn = terminal.draw(|frame| view::draw(frame, &self.state, now)).map_err(|error| failed(&error))?;
        Ok(svg::svg(drawn.buffer, self.state.theme.palette))
    }
}

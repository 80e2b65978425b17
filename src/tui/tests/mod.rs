//! The screen without a terminal: keys in, effects and cells out.

mod agreed;
mod answers;
mod back;
mod chance;
mod charts;
mod desk;
mod drains;
mod editing;
mod forms;
mod hidden;
mod keys;
mod known;
mod logs;
mod look;
mod marks;
mod mouse;
mod outcome;
mod pasted;
mod pods;
mod pty;
mod seen;
mod spoken;
mod stored;
mod table;
mod told;
mod triples;
mod unseen;
mod watching;

use std::sync::Arc;

use crossterm::event::KeyEvent;
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::message::{Effect, Message};
use super::state::{Setup, State};
use super::theme::{Palette, Theme};
use super::update::update;
use super::view;
use crate::engine::command::{Command, Request};
use crate::engine::event::{Event, View};

pub(super) const DARK: Theme = Theme { palette: Palette::Dark, ascii: false };

/// A person in front of a screen.
pub(super) struct Person {
    pub state: State,
    pub now: Timestamp,
    /// What the screen wanted done since the beginning.
    pub effects: Vec<Effect>,
}

impl Person {
    /// Nothing has been seen yet.
    pub(super) fn new() -> Self {
        let setup = Setup { by: "ann".into(), speed: None, has_log: true, attached: None };
        let state = State::new(setup, DARK, Rect::new(0, 0, 80, 24));
        let mut person = Self { state, now: crate::example::view().at, effects: Vec::new() };
        person.tell(Message::Resize(80, 24));
        person
    }

    /// In front of the example.
    pub(super) fn seeing(view: View) -> Self {
        let mut person = Self::new();
        person.see(view);
        person
    }

    pub(super) fn see(&mut self, view: View) {
        self.tell(Message::Engine(Event::View(Arc::new(view))));
    }

    pub(super) fn tell(&mut self, message: Message) {
        self.effects.extend(update(&mut self.state, message, self.now));
    }

    /// Presses keys: letters as they are, others as `<Enter>`, `<C-c>`.
    pub(super) fn press(&mut self, keys: &str) -> &mut Self {
        for key in keys_of(keys) {
            self.tell(Message::Key(key));
        }
        self
    }

    /// The commands sent since the beginning.
    pub(super) fn sent(&self) -> Vec<&Command> {
        self.requests().into_iter().map(|request| &request.command).collect()
    }

    pub(super) fn requests(&self) -> Vec<&Request> {
        let requests = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send(request) => Some(request),
            _ => None,
        });
        requests.collect()
    }

    pub(super) fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        self.tell(Message::Resize(width, height));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view::draw(frame, &self.state, self.now)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen as text, without spaces at the ends of lines.
    pub(super) fn screen(&mut self, width: u16, height: u16) -> String {
        text(&self.buffer(width, height))
    }
}

pub(super) fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0_usize;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

pub(super) fn keys_of(text: &str) -> Vec<KeyEvent> {
    super::typed_keys::keys(text).unwrap()
}

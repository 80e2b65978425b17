//! What is written on the socket, a line of JSON each.
//!
//! Who says nothing is told every view whole. Who says [`Word::Hello`] in the same [`Speech`] is told the view that it
//! has last once more by its number, and after that only what changes, each change with the next number; who misses one
//! says [`Word::Whole`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::delta::ViewChange;
use crate::engine::event::{Answer, Event, View};
use crate::model::journal::Entry;

/// What the loop's end says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    View(Arc<View>),
    Journal(Entry),
    Answer {
        id: u64,
        result: Result<Answer, String>,
    },
    Lost,
    Ended,
    /// The answer to a hello; the view that was told last is the one of this number.
    Hello {
        speech: Speech,
        number: u64,
    },
    Whole {
        number: u64,
        view: Arc<View>,
    },
    /// How the view of the number before became the one of this number.
    Change {
        number: u64,
        change: Box<ViewChange>,
    },
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        match event {
            Event::View(view) => Self::View(view),
            Event::Journal(entry) => Self::Journal(entry),
            Event::Answer { id, result } => Self::Answer { id, result },
            Event::Lost => Self::Lost,
            Event::Ended => Self::Ended,
        }
    }
}

/// What the other end says besides requests.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// Changes are understood.
    Hello(Speech),
    /// A change was missed.
    Whole,
}

/// What a program speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Speech {
    /// The program's.
    version: String,
    /// How changes are told.
    changes: u32,
}

impl Speech {
    /// Ours.
    pub(super) fn own() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), changes: 1 }
    }
}

impl fmt::Display for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tidegate {} (changes {})", self.version, self.changes)
    }
}

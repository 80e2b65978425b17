//! What comes in and what goes out. `update` turns the one into the other.

use crossterm::event::{KeyEvent, MouseEvent};

use crate::engine::command::Request;
use crate::engine::event::Event;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Key(KeyEvent),
    Paste(String),
    Mouse(MouseEvent),
    Resize(u16, u16),
    /// Once a second of wall time.
    Tick,
    Engine(Event),
    /// So many events came too fast to be seen.
    Missed(u64),
    /// The loop's end of the channel is closed.
    LoopGone,
    /// A request could not be sent, and why.
    Unsent(u64, &'static str),
    /// The newest lines of the log.
    Log(Result<Vec<String>, String>),
    /// The editor has ended: the text as it is left, or why there is none.
    Edited(Result<String, String>),
    /// A log was saved as this file, or why not.
    Saved(Result<String, String>),
    /// Back from being suspended.
    Resumed,
    Signal(Signal),
    /// Something in the background went wrong.
    Trouble(String),
}

/// What the system tells the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `kill`.
    Term,
    /// The terminal is gone.
    Hup,
    Int,
    /// Stop until continued.
    Tstp,
}

impl Signal {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Tstp => "TSTP",
        }
    }
}

/// Something to be done outside the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Send(Request),
    /// To the terminal's clipboard (OSC 52).
    Copy(String),
    ReadLog,
    /// Writes a text into a new file of this name, without its ending.
    Save {
        name: String,
        text: String,
    },
    /// Opens this text in the person's editor; the terminal is its own meanwhile.
    Edit(String),
    /// Takes the mouse, or leaves it to the terminal, which can select text with it then.
    Mouse(bool),
    /// Gives the terminal back and stops the program until it is continued.
    Suspend,
    /// Gives the terminal back while the loop ends.
    CloseScreen,
    Leave(Ending),
}

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The loop ended as asked.
    Ended,
    /// The loop goes on elsewhere: this screen was only attached.
    Detached,
    /// Left before the loop had ended, or after it had died.
    Forced,
}

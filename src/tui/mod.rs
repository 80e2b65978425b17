//! The screen. Messages in, effects out: `update` changes the state, `view` draws it; only `run` and `terminal` touch
//! the terminal and the loop's channels. It knows the loop by its commands and events alone, so that the same screen
//! sits on a loop in another process.

mod chart;
mod commands;
mod dialog;
mod doc;
mod editor;
mod inbox;
mod kept;
mod layout;
mod list;
mod merge;
mod message;
mod panics;
mod picture;
mod plain;
mod run;
mod state;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
mod typed_keys;
mod update;
mod usage;
mod view;
mod words;

pub use message::{Ending, Signal};
pub use picture::{PictureError, Shot, picture};
pub use run::{Keep, Kept, Link, Options, ScreenError, ready, run};

//! The console as a person meets it: the program itself in a terminal of its own.

mod counted;
mod editor;
mod ended;
#[cfg(feature = "aws")]
mod first;
mod pictures;
mod plain;
pub(crate) mod terminal;

//! The console as a person meets it: the program itself in a terminal of its own.

mod counted;
mod pictures;
pub(crate) mod terminal;

//! What the program writes. Whoever reads may stop reading (`| head`): that is not an error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use super::failure::Failure;
use crate::engine::event::View;

/// The shape of every `--json` output. It rises when a field changes its meaning or goes away.
pub(super) const VERSION: u32 = 1;

/// Writes text to standard output.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    say_on(text).map(drop)
}

/// Writes to standard output; `false`: nobody reads it any more.
pub(super) fn say_on(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

/// Writes a line to standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// One answer for programs: a line of JSON with the version of its shape, the fleet, and when the loop looked.
pub(super) fn as_json(view: &View, name: &str, value: &impl Serialize) -> String {
    let line = json!({ "version": VERSION, "fleet": view.fleet, "at": view.at, name: value });
    format!("{line}\n")
}

/// Whether a person can be asked.
pub(super) fn has_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a person on standard error; the answer is what was typed.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{question} ");
    let _ = out.flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
    Ok(answer.trim().to_owned())
}

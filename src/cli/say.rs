//! What the program writes. Whoever reads may stop reading (`| head`): that is not an error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::failure::Failure;
use crate::engine::event::View;

/// The shape of every `--json` output. It rises when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// [`VERSION`], as each answer for programs has it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(VERSION)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "const": VERSION,
            "description": "Of the answer's shape. It rises when a field changes its meaning or goes away, not when one is added.",
        })
    }
}

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
    let line = json!({ "version": Version, "fleet": view.fleet, "at": view.at, name: value });
    format!("{line}\n")
}

/// Says one answer to programs, as a line of JSON.
pub(super) fn say_json(answer: &impl Serialize) -> Result<(), Failure> {
    say(&json_line(answer)?)
}

/// One answer for programs, with the end of its line.
pub(super) fn json_line(answer: &impl Serialize) -> Result<String, Failure> {
    let line =
        serde_json::to_string(answer).map_err(|error| Failure::Failed(format!("the answer as JSON: {error}")))?;
    Ok(line + "\n")
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

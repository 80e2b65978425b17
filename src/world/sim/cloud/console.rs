//! What a machine writes on its console, as far as it has come.

use std::fmt::Write;

use crate::world::sim::cloud::Machine;
use crate::world::sim::events::{Millis, SECOND};

/// The boot's lines, each at its share of the time that its phase takes, in percent.
const SYSTEM: [(i64, &str); 5] = [
    (0, "Linux version 6.8.0-1018-aws (buildd@lcy02-amd64-080)"),
    (6, "systemd[1]: Detected virtualization amazon."),
    (31, "cloud-init[612]: running 'init' modules"),
    (58, "systemd[1]: Reached target network-online.target - Network is Online."),
    (96, "cloud-init[1044]: running 'modules:final'"),
];

const AGENT: [(i64, &str); 3] = [
    (0, "tidegate guard: power-off armed"),
    (4, "Collecting clearml-agent"),
    (88, "Successfully installed clearml-agent"),
];

/// Everything up to now, the newest last.
pub(super) fn output(machine: &Machine, now: Millis) -> String {
    let until = machine.end.map_or(now, |end| end.at.min(now));
    let phases =
        [(machine.runs_from(), machine.boot.os, &SYSTEM[..]), (machine.up_from(), machine.boot.agent, &AGENT[..])];
    let boot = phases.into_iter().flat_map(|(from, takes, lines)| {
        lines.iter().map(move |(share, line)| (from.saturating_add(takes.saturating_mul(*share) / 100), *line))
    });
    let said = machine.said.iter().map(|(at, line)| (*at, line.as_str()));
    let mut text = String::new();
    for (at, line) in boot.chain(said).filter(|(at, _)| *at <= until) {
        let since = at - machine.runs_from();
        let (seconds, rest) = (since.div_euclid(SECOND), since.rem_euclid(SECOND));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{seconds:>7}.{rest:03}] {line}");
    }
    text
}

//! `replay --gates`: the verdict on every trace of a folder, in one table.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::progress::Progress;
use super::{Replay, open};
use crate::cli::failure::Failure;
use crate::cli::say::{Version, say, say_json};
use crate::cli::table::{Side, table};
use crate::replay::gates::{Gate, Judge, Verdict, judge, runs_of};

/// So many machines are kept switched off where some are, unless it is said.
const STOPPED: u32 = 4;

/// What `replay --gates --json` says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Told<'a> {
    version: Version,
    seeds: u64,
    traces: Vec<String>,
    gates: &'a [Gate],
}

impl Replay {
    pub(super) fn judge(&self, folder: &Path) -> Result<(), Failure> {
        let traces = open(&files(folder)?)?;
        let stopped = self.world.stopped.unwrap_or(STOPPED);
        let rules = Judge { seeds: self.seeds, waiting: self.waiting, stopped };
        let progress = Progress::new(runs_of(traces.len(), self.seeds));
        let gates = judge(&traces, rules, &progress.watch()).map_err(Failure::Failed)?;
        progress.done();
        if self.json {
            let traces = traces.iter().map(|trace| trace.name.clone()).collect();
            say_json(&Told { version: Version, seeds: self.seeds, traces, gates: &gates })?;
        } else {
            say(&text(&gates))?;
        }
        let failed = gates.iter().filter(|gate| gate.verdict == Verdict::Fail).count();
        if failed == 0 {
            return Ok(());
        }
        Err(Failure::Failed(format!("{failed} of {} gates fail", gates.len())))
    }
}

/// The traces of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(|error| failed(&error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| failed(&error))?.path();
        if file.extension().is_some_and(|extension| extension == "csv") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(failed(&"there is no trace in it: a trace is a file NAME.csv"));
    }
    files.sort();
    Ok(files)
}

fn text(gates: &[Gate]) -> String {
    let head = [
        ("GATE", Side::Left),
        ("WHAT", Side::Left),
        ("REACHED", Side::Right),
        ("ASKED", Side::Right),
        ("BEST KNOWN", Side::Right),
        ("VERDICT", Side::Left),
    ];
    let rows: Vec<_> = gates
        .iter()
        .map(|gate| {
            [
                gate.gate.to_owned(),
                gate.what.clone(),
                gate.reached.clone(),
                gate.asked.clone(),
                gate.best_known.unwrap_or("-").to_owned(),
                gate.verdict.word().to_owned(),
            ]
        })
        .collect();
    table(head, &rows)
}

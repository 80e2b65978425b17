//! How far a long replay has come, for people: a bar on the terminal, and nothing anywhere else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::replay::contest::Watch;
use crate::world::clock::Clock;

/// A bar, if there is a terminal to show it on.
pub(super) struct Progress {
    bar: ProgressBar,
    ran: Box<dyn Fn() + Sync>,
}

impl Progress {
    /// For so many runs.
    pub(super) fn new(runs: u64) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(runs) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} runs, {eta} left") {
            bar.set_style(style);
        }
        let told = bar.clone();
        Self { bar, ran: Box::new(move || told.inc(1)) }
    }

    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { clock: &now, ran: self.ran.as_ref() }
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn now() -> Timestamp {
    Clock::Wall.now()
}

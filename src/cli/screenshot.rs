//! Pictures of the demo, out of the program's own frames: the same seed, keys and size are the same picture.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use tokio::sync::{broadcast, mpsc};

use super::failure::Failure;
use super::looks::Looks;
use crate::engine::{self, Setup};
use crate::model::span;
use crate::tui::{Link, Options, Shot, picture};
use crate::world::clock::Clock;
use crate::world::sim::Sim;
use crate::world::sim::scenario::Scenario;

/// Requests and events that may be on their way.
const ON_THE_WAY: usize = 1024;

/// What picture is taken.
#[derive(Debug, Args)]
pub(super) struct Take {
    /// Write a picture of the screen (SVG) into this file instead of opening it
    #[arg(long, value_name = "FILE", conflicts_with = "headless")]
    pub(super) screenshot: Option<std::path::PathBuf>,
    /// How long the demo runs before the keys, such as 2h
    #[arg(long, value_name = "SPAN", default_value = "2h", value_parser = span::parse, requires = "screenshot")]
    after: SignedDuration,
    /// Keys that are pressed then, such as `2jj<Enter>`
    #[arg(long, value_name = "KEYS", default_value = "", requires = "screenshot")]
    keys: String,
    /// Columns and rows
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "100x30", value_parser = size, requires = "screenshot")]
    size: (u16, u16),
}

/// `100x30`
fn size(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is not a size such as 100x30");
    let (columns, rows) = text.split_once('x').ok_or_else(wrong)?;
    let number = |text: &str| text.parse().ok().filter(|number| (1..=500).contains(number)).ok_or_else(wrong);
    Ok((number(columns)?, number(rows)?))
}

impl Take {
    /// Runs the demo on time that jumps from one thing that happens to the next.
    pub(super) fn run<M, F>(
        &self,
        file: &Path,
        scenario: Scenario,
        seed: u64,
        looks: &Looks,
        make: M,
    ) -> Result<(), Failure>
    where
        M: FnOnce(Sim, Clock) -> F,
        F: Future<Output = Result<Setup, engine::EngineError>>,
    {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let after = Duration::try_from(self.after).map_err(|error| failed(&error))?;
        let shot = Shot { size: self.size, after, keys: self.keys.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| failed(&error))?;
        let drawn = runtime.block_on(async {
            let clock = Clock::simulated(scenario.start, 1);
            let setup = make(Sim::new(scenario, seed, clock), clock).await?;
            let (requests, heard) = mpsc::channel(ON_THE_WAY);
            let events = broadcast::Sender::new(ON_THE_WAY);
            let link = Link { requests, events: events.subscribe() };
            let now = Arc::new(move || clock.now());
            let options = Options { now, by: "ann".into(), ..super::console::looked(looks, clock) };
            tokio::select! {
                ended = engine::run(setup, heard, events) => {
                    ended?;
                    Err(Failure::Failed("the loop ended before the picture was taken".to_owned()))
                }
                drawn = picture(link, &options, &shot) => drawn.map_err(|error| failed(&error)),
            }
        })?;
        let unwritten = |error| Failure::Failed(format!("{}: the picture cannot be written: {error}", file.display()));
        crate::store::whole::write(file, &drawn).map_err(unwritten)
    }
}

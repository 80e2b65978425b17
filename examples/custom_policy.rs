//! A policy of one's own in Rust, tried on a simulated day of the demo's: judged, or with `--screen` watched.
//!
//! `cargo run --example custom_policy --no-default-features` and `... -- --screen`.

#![allow(clippy::print_stdout, reason = "it speaks to whoever runs it")]

use std::sync::Arc;

use jiff::SignedDuration;
use tidegate::engine::start;
use tidegate::replay::{Outcome, rehearse};
use tidegate::store::settings::SettingsFile;
use tidegate::tui::{self, Link, Options};
use tidegate::world::clock::Clock;
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::Scenario;

// --- the policy
use tidegate::{Advice, Policy, Question, Setup};

/// The dear queue is a night's: by day it has one machine, and its tasks that have waited for two hours are not held up.
#[derive(Debug)]
struct Nights {
    queue: &'static str,
}

impl Policy for Nights {
    fn name(&self) -> &'static str {
        "nights"
    }

    fn advise(&mut self, question: &Question<'_>) -> Result<Option<Advice>, String> {
        if question.queue.name.as_str() != self.queue {
            return Ok(None); // as the loop would
        }
        let local = question.now.to_zoned(question.settings.the_loop.time_zone.clone());
        if !(8..20).contains(&local.hour()) {
            return Ok(None);
        }
        let waited = |since| question.now.duration_since(since).as_hours() >= 2;
        let late = question.waiting().iter().filter(|entry| waited(entry.added)).count();
        let capacity = u32::try_from(late.max(1)).map_err(|error| error.to_string())?;
        let reason = format!("by day one at a time, and those that have waited for two hours: {late}");
        Ok(Some(Advice { capacity: Some(capacity), ..Advice::because(reason) }))
    }
}
// --- the end of the policy

type Failure = Box<dyn std::error::Error>;

const SETTINGS: &str = include_str!("../assets/demo/settings.toml");

/// A simulated day of so many hours, with the policy or without.
pub fn day(hours: i64, with_policy: bool) -> Result<Outcome, Failure> {
    let make = |sim: Sim, clock| async move {
        let settings = SettingsFile::in_memory(SETTINGS).map_err(|error| setup_error(&error))?;
        let mut setup = Setup::new(settings, sim.world(), clock)?.armed().await?;
        setup.naming = tidegate::engine::act::naming::Naming::seeded(1);
        if with_policy {
            setup.policy = Some(Box::new(Nights { queue: "gpu-large" }));
        }
        Ok(setup)
    };
    Ok(rehearse(Scenario::demo()?, 1, SignedDuration::from_hours(hours), make)?)
}

fn setup_error(error: &dyn std::fmt::Display) -> tidegate::engine::EngineError {
    tidegate::engine::EngineError::Setup(error.to_string())
}

/// The same on the screen, a minute a second.
fn screen() -> Result<(), Failure> {
    let scenario = Scenario::demo()?;
    let (tell, clock) = std::sync::mpsc::channel();
    let handle = start(move || async move {
        let clock = Clock::simulated(scenario.start, 60);
        // Nobody waits for it when the screen could not be opened.
        let _ = tell.send(clock);
        let settings = SettingsFile::in_memory(SETTINGS).map_err(|error| setup_error(&error))?;
        let mut setup = Setup::new(settings, Sim::new(scenario, 1, clock).world(), clock)?.armed().await?;
        setup.policy = Some(Box::new(Nights { queue: "gpu-large" }));
        Ok(setup)
    })?;
    let clock = clock.recv()?;
    let now = Arc::new(move || clock.now());
    let options = Options { speed: Some(60), ..Options::new("me".into(), now) };
    tui::run(Link { requests: handle.requests, events: handle.events }, &options)?;
    Ok(handle.life.join()?)
}

pub fn main() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == "--screen") {
        return screen();
    }
    for (name, with_policy) in [("the loop alone", false), ("with the policy", true)] {
        let Outcome { judgement, spent_microusd, .. } = day(12, with_policy)?;
        let dollars = spent_microusd / 1_000_000;
        let (done, passed) = (judgement.tasks_done, judgement.limit_violations);
        println!("{name}: {done} tasks done for ${dollars}, limits passed {passed} times");
    }
    Ok(())
}

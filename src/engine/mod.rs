//! THE LOOP: observe, plan, check, act, record. Commands in, events out.
//!
//! One task owns the memory, the store and the settings (`run`, `pass`, `orders`); looks at the world and deeds on it are
//! tasks of their own with deadlines, and the loop never waits for one.

pub mod act;
pub mod advise;
mod attempts;
mod backoff;
mod became;
mod clocks;
pub mod command;
mod ending;
pub mod event;
mod foresee;
mod http;
mod keep;
mod lead;
pub mod notices;
mod orders;
mod pass;
mod people;
mod post;
mod pricing;
mod publish;
mod run;
mod schedules;
pub mod seen;
pub mod socket;
mod spend;
mod stance;
mod start;
pub(crate) mod step;
mod tasks;
mod tell;
mod tend;
#[cfg(test)]
mod trials;
mod words;

pub use lead::{Candidate, Times};
pub use run::EngineError;
pub(crate) use run::{LEASED_EVERY, WHOLE_EVERY};
pub use spend::spend;
pub use start::{Handle, Life, Planner, Setup, run, start};

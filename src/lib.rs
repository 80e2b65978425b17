//! Tidegate: an operator's console for ClearML queues on rented machines.
//!
//! # The map
//!
//! | folder | what it answers |
//! |---|---|
//! | [`model`] | plain values shared by all |
//! | [`plan`] | what should be done: pure, no I/O, no clock; it cannot fail |
//! | [`world`] | what is out there: the only code that talks to a network |
//! | [`store`] | what we remember: settings, intents, ledger, journal |
//! | [`engine`] | the loop: observe, plan, check, act, record; commands in, events out |
//! | [`replay`] | what would have happened: virtual time |
//! | [`tui`] | the screen: state, message, update, one command table; `view` has a file a region |
//! | [`cli`] | one file a subcommand: each speaks to people and, with `--json`, to programs |
//!
//! Imports point one way: `model <- plan <- engine -> world, store`; `replay -> engine, world::sim`; `tui -> model` and the
//! engine's commands and events only; `cli` starts anything. A test checks the arrows.
//!
//! # Invariants
//!
//! 1. Limits count intents and everything not yet proved gone. No limit is passed at any step, during live edits too.
//! 2. A hard budget is never crossed by a launch: spent + committed + the reservation of the new one is at most
//!    the limit, decided in the same single-writer step that writes the intent.
//! 3. A machine that has, or may have, a task is never stopped, unless a person chose "kill".
//! 4. One intent makes at most one machine, across a crash at any instruction: the intent and its idempotency
//!    token are on disk before the call.
//! 5. Every machine that carries our fleet's tag is in the ledger, from its launch time, within one pass of being
//!    visible; none is forgotten until it is gone.
//! 6. Unknown or stale is never a reason to destroy. "I cannot see it" is not "it is gone".
//! 7. Steady inputs, no action: the plan of a world in which the plan was carried out is empty.
//! 8. Every action, and every refusal to act, has a reason with numbers, an intent id where it makes a machine,
//!    and the revision of the settings, and is recorded first.
//! 9. Settings on disk always parse, and are what runs; when they are not, the screen says so. Comments and order
//!    survive an edit.
//! 10. Two consoles on one fleet: one acts, the other watches and says who leads.
//! 11. No secret in a log, a journal, an error, a panic or a screenshot; no long-lived secret in user data.
//! 12. No frame waits for a network or a disk.
//! 13. The ledger equals the simulator's own bill to the micro-dollar.
//! 14. The first start of a fleet is a dry run until a person arms it; with no settings nothing is acted on.

//!
//! # As a library
//!
//! Three small traits are where other code comes in, and the loop, the limits, the budgets and the screen are the same around it:
//!
//! | trait | whose place it takes | see |
//! |---|---|---|
//! | [`Policy`] | a queue's rules, as a script or a program in the settings does | `examples/custom_policy.rs` |
//! | [`Cloud`] | a provider of machines; its comments are the contract, `provider = "exec"` the same for other languages | `examples/custom_cloud.rs` |
//! | [`Tracker`] | a ClearML server | [`world::sim`] has one that is simulated |
//!
//! [`Setup::new`] puts a loop together from settings, a [`World`] of clouds and a tracker, and a [`Clock`](world::clock::Clock);
//! [`engine::start`] runs it on a thread of its own. What it returns is its face: requests in, events out. [`tui::run`] puts the
//! screen on it; without it the loop is a service. [`replay::rehearse`] runs the same loop in a simulated world, as fast as the
//! computer can: the way to test a policy or a cloud, for the simulator keeps a bill of its own and judges lost tasks and
//! passed limits itself.
//!
//! [`World::with_pseudonyms`] and [`SettingsFile::with_pseudonyms`](store::settings::SettingsFile::with_pseudonyms), both with the
//! same [`Pseudonyms`](model::pseudonym::Pseudonyms), keep the names of users and tasks out of all that the loop stores and tells.
//!
//! A policy cannot pass a limit or a budget: what it wants enters `plan` as data. A planner of one's own
//! ([`engine::Planner`]) is held by the check before each act.
//!
//! ## What is stable
//!
//! Until 1.0 a minor version may break what uses the library, and the changes say how; a patch does not. Counted as the
//! library's face are what this page names by a link, the values that the traits' methods take and return, the settings' file, the
//! `version` of each `--json`, of a policy's world and of the protocol of `exec`. The other modules are public so that they can be read,
//! tested and tried out; they change without notice.

pub mod cli;
pub mod engine;
#[cfg(test)]
mod example;
pub mod model;
pub mod plan;
pub mod replay;
pub mod store;
pub mod tui;
pub mod world;

pub use engine::Setup;
pub use engine::advise::{Policy, Question};
pub use model::advice::Advice;
pub use world::World;
pub use world::cloud::Cloud;
pub use world::tracker::Tracker;

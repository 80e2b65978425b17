//! WHAT WOULD HAVE HAPPENED: the loop on simulated time in a simulated world.

pub mod contest;
pub mod gates;
pub mod generate;
pub mod history;
pub mod honest;
pub mod model;
pub mod policy;
mod rehearsal;
pub mod scenario;
pub mod score;
pub mod soak;
pub mod sweep;
pub mod trace;
pub mod week;

pub use rehearsal::{Outcome, rehearse};

//! WHAT WOULD HAVE HAPPENED: the loop on simulated time in a simulated world.

mod rehearsal;

pub use rehearsal::{Outcome, rehearse};

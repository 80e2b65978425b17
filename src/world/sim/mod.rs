//! The simulated world: what is out there, without being out there.

pub mod clearml;
pub mod scenario;

//! THE LOOP: observe, plan, check, act, record. Commands in, events out.

pub mod command;
pub mod event;
pub mod socket;

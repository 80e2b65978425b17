//! What is done: a plan's actions become records, written first, and deeds (`decide`, `drains`); a `deed` is done with a
//! deadline, and what became of it is records again (`outcome`).

pub(super) mod breakers;
pub mod crash;
pub(super) mod decide;
pub(crate) mod deed;
mod drains;
pub(crate) mod fence;
pub mod naming;
pub(super) mod outcome;
pub(crate) mod pods;
pub(super) mod retry;
mod start;

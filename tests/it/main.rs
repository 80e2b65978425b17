//! Integration tests: one binary, a module per capability.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod clearml;
mod cli;
mod console;
mod custom;
#[cfg(feature = "aws")]
mod ec2;
#[cfg(feature = "gce")]
mod gce;
mod guard;
mod house;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod main_job;
mod money;
mod real_parts;
mod replay;
mod sim;
mod store;
#[allow(dead_code, reason = "each of its parts serves some of the modules")]
mod support;

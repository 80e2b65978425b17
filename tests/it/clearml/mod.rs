//! The ClearML client against recorded answers and against a server that misbehaves.

mod cleanup;
mod requeue;
mod simulated;
mod stub;
mod wire;

//! Subcommands that change something: orders to the running loop, under the rules that hold on the screen.

pub(super) mod arm;
pub(super) mod confirm;
pub(super) mod drain;
pub(super) mod hold;
pub(super) mod launch;
pub(super) mod pause;
pub(super) mod replace;
pub(super) mod reset;
pub(super) mod set;
pub(super) mod stop;

use super::Place;
use super::failure::Failure;
use super::reach::Loop;
use crate::engine::command::Command;

/// Sends one order to the running loop and says what became of it.
async fn order(place: &Place, command: Command) -> Result<(), Failure> {
    Loop::connect(place).await?.order(command).await
}

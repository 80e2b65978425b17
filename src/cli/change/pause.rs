//! `pause` and `resume`: whether the loop acts by itself.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::engine::command::Command;

/// Let the loop plan and show, but act on nothing except people's orders
#[derive(Debug, Args)]
pub(in crate::cli) struct Pause {}

/// Let a paused loop act again
#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {}

impl Pause {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        super::order(place, Command::Pause).await
    }
}

impl Resume {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        super::order(place, Command::Resume).await
    }
}

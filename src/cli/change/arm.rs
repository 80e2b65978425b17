//! `arm` and `disarm`: whether the loop acts.

use clap::Args;

use super::confirm::{Deed, Proof, confirm};
use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::reach::Loop;
use crate::engine::command::Command;
use crate::engine::event::View;

/// Let the loop act: until then everything is a dry run
///
/// On a terminal it first shows what the loop would do at once.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arm {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Back to the dry run: the loop plans and shows, but acts on nothing
#[derive(Debug, Args)]
pub(in crate::cli) struct Disarm {}

impl Arm {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let mut the_loop = Loop::connect(place).await?;
        let view = the_loop.view().await?;
        if !view.mode.armed {
            confirm(&deed(&view), self.yes)?;
        }
        the_loop.order(Command::Arm).await
    }
}

impl Disarm {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        super::order(place, Command::Disarm).await
    }
}

fn deed(view: &View) -> Deed {
    let actions: Vec<_> = view.plan.actions.iter().map(|planned| format!("\n  {}", planned.action)).collect();
    let consequence = if actions.is_empty() {
        format!("The loop of {} acts from now on; at present there is nothing to do.", view.fleet)
    } else {
        format!("The loop of {} acts from now on, beginning with:{}", view.fleet, actions.concat())
    };
    Deed { consequence, proof: Proof::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;

    #[test]
    fn arming_shows_what_comes_first() {
        insta::assert_snapshot!(deed(&view()).consequence);
    }
}

//! `policy`: what IAM must allow, ready to paste.

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::live::Ground;
use super::say::{complain, say};
use crate::world::policy;

/// Print the least IAM policy for the settings in use, ready to paste
///
/// What is ended and tagged is so by the fleet's own tag only. The machines need no rights of their own: give their instance
/// profile what your tasks need, and nothing else.
#[derive(Debug, Args)]
pub(super) struct Policy {}

impl Policy {
    #[expect(clippy::unused_self, reason = "each subcommand is run the same way")]
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let settings = Ground::find(place)?.settings.settings();
        let text = serde_json::to_string_pretty(&policy::console(&settings));
        say(&format!("{}\n", text.map_err(|error| Failure::Failed(error.to_string()))?))?;
        if settings.pools.iter().any(|pool| pool.launch.instance_profile.is_some()) {
            complain(
                "the role is taken to have its instance profile's name: mend GiveMachinesTheirRole where it has another",
            );
        }
        Ok(())
    }
}

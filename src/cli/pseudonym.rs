//! `pseudonym`: what users and tasks are called by the key of the settings.

use clap::Args;

use super::Place;
use super::failure::Failure;
use super::live::Ground;
use super::say::say;
use crate::model::ids::UserName;

/// Print what users, or tasks, are called by the key of `loop.pseudonyms`, a line each
///
/// For budgets, scripts and filters that shall hold no names. Whoever may read the key can run it; nothing leads back from a
/// pseudonym to its name.
#[derive(Debug, Args)]
pub(super) struct Pseudonym {
    /// Names, as ClearML has them
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// They are names of tasks
    #[arg(long)]
    task: bool,
}

impl Pseudonym {
    pub(super) fn run(&self, place: &Place) -> Result<(), Failure> {
        let ground = Ground::called(place)?;
        let names = ground.settings.pseudonyms();
        if names.tag().is_none() {
            let why = "the settings name no key, so names are as they are: set loop.pseudonyms";
            return Err(Failure::Usage(why.to_owned()));
        }
        let user = |name: &String| names.user(&UserName::new(name.as_str())).to_string();
        let called = |name: &String| if self.task { names.task(name) } else { user(name) };
        say(&self.names.iter().map(|name| called(name) + "\n").collect::<String>())
    }
}

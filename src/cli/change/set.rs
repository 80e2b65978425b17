//! `set`: one setting, on disk and in the running loop at once.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::engine::command::{Command, Edit};

/// Change a setting: the running loop checks it, writes it to the file and obeys it within one pass
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// The setting, such as `queue.train.max` or `budget."team month".limit`
    key: String,
    /// Its value as the file has it, such as `3`, `90m` or `$2500`
    #[arg(required_unless_present = "unset", conflicts_with = "unset")]
    value: Option<String>,
    /// Remove the line: back to the default
    #[arg(long)]
    unset: bool,
}

impl Set {
    pub(in crate::cli) async fn run(&self, place: &Place) -> Result<(), Failure> {
        let edit = Edit { key: self.key.clone(), value: self.value.clone() };
        super::order(place, Command::Set { edits: vec![edit], seen: None }).await
    }
}

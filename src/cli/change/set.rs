//! `set`: one setting, on disk and in the running loop at once.

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::live::Ground;
use crate::cli::reach::Loop;
use crate::cli::say::say;
use crate::engine::command::{Command, Edit};
use crate::model::settings::key::Key;

/// Change a setting: the running loop checks it, writes it to the file and obeys it within one pass
///
/// Without a running loop the file is changed, by the same checks.
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
        match Loop::connect(place).await {
            Ok(mut the_loop) => the_loop.order(Command::Set { edits: vec![edit], seen: None }).await,
            Err(Failure::NotReachable(_)) => edit_file(place, &edit),
            Err(failure) => Err(failure),
        }
    }
}

fn edit_file(place: &Place, edit: &Edit) -> Result<(), Failure> {
    let mut settings = Ground::find(place)?.settings;
    if let Some(from) = settings.read_only() {
        return Err(Failure::Refused(format!(
            "read only, by the guardrails of {from}: nothing can be changed from here"
        )));
    }
    settings.edit(std::slice::from_ref(edit), None).map_err(|error| Failure::Refused(error.to_string()))?;
    let path = settings.path().map(|path| path.display().to_string()).unwrap_or_default();
    let key = Key::parse(&edit.key).map(|key| key.to_string()).unwrap_or_default();
    let guarded = settings.guarded().iter().find(|guarded| guarded.key == key);
    let guarded = guarded.map(|guarded| format!("{guarded}\n")).unwrap_or_default();
    say(&format!("written to {path}; no loop of yours is running\n{guarded}"))
}

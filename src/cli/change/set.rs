//! `set`: one setting, on disk and in the running loop at once.

use std::sync::Arc;

use clap::Args;

use crate::cli::Place;
use crate::cli::failure::Failure;
use crate::cli::live::Ground;
use crate::cli::reach::Loop;
use crate::cli::say::say;
use crate::engine::command::{Command, Edit};
use crate::model::settings::Settings;
use crate::model::settings::key::Key;
use crate::store::settings::EditError;

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
        let key = read(&edit)?;
        match Loop::connect(place).await {
            Ok(mut the_loop) => {
                let settings = Arc::clone(&the_loop.view().await?.settings);
                let done = the_loop.order(Command::Set { edits: vec![edit], seen: None }).await;
                done.map_err(|failure| match failure {
                    Failure::Refused(said) if is_of_nothing(&key, &settings) => Failure::Usage(said),
                    other => other,
                })
            }
            Err(Failure::NotReachable(_)) => edit_file(place, &edit),
            Err(failure) => Err(failure),
        }
    }
}

/// A key that is none, and a value that it cannot have, were typed wrongly: nobody need be asked.
fn read(edit: &Edit) -> Result<Key, Failure> {
    let key = Key::parse(&edit.key).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(typed) = &edit.value {
        key.field
            .read(typed)
            .map_err(|wrong| Failure::Usage(EditError::Value { key: key.to_string(), wrong }.to_string()))?;
    }
    Ok(key)
}

/// Whether it is of a queue, a pool or the like that the settings do not have.
fn is_of_nothing(key: &Key, settings: &Settings) -> bool {
    !settings.sections().contains(&key.section)
}

/// What was typed wrongly is usage, what the settings as a whole do not allow is refused.
fn failure(error: &EditError) -> Failure {
    match error {
        EditError::Key(_) | EditError::Value { .. } | EditError::NoSuch { .. } => Failure::Usage(error.to_string()),
        EditError::Broken(_) => Failure::Settings(error.to_string()),
        _ => Failure::Refused(error.to_string()),
    }
}

fn edit_file(place: &Place, edit: &Edit) -> Result<(), Failure> {
    let mut settings = Ground::find(place)?.settings;
    if let Some(from) = settings.read_only() {
        return Err(Failure::Refused(format!(
            "read only, by the guardrails of {from}: nothing can be changed from here"
        )));
    }
    settings.edit(std::slice::from_ref(edit), None).map_err(|error| failure(&error))?;
    let path = settings.path().map(|path| path.display().to_string()).unwrap_or_default();
    let key = Key::parse(&edit.key).map(|key| key.to_string()).unwrap_or_default();
    let guarded = settings.guarded().iter().find(|guarded| guarded.key == key);
    let guarded = guarded.map(|guarded| format!("{guarded}\n")).unwrap_or_default();
    say(&format!("written to {path}; no loop of yours is running\n{guarded}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::settings::reference;
    use crate::store::settings::SettingsFile;

    #[test]
    fn what_is_typed_wrongly_is_usage_and_what_the_settings_do_not_allow_is_refused() {
        for (key, value, code) in [
            ("nosuch.key", "3", 2),
            ("queue.train.nosuch", "3", 2),
            ("queue.train.max", "9x", 2),
            ("queue.nosuch.max", "3", 2),
            ("pool.g5.min", "5", 5),
        ] {
            let edit = Edit { key: key.to_owned(), value: Some(value.to_owned()) };
            let mut file = SettingsFile::in_memory(&reference::toml()).unwrap();
            let made = file.edit(std::slice::from_ref(&edit), None).map_err(|error| failure(&error));
            assert_eq!(made.unwrap_err().code(), code, "{key} = {value}");
            // By the running loop it is the same.
            let by_loop = match read(&edit) {
                Err(failure) => failure.code(),
                Ok(key) if is_of_nothing(&key, &file.settings()) => 2,
                Ok(_) => 5,
            };
            assert_eq!(by_loop, code, "{key} = {value}");
        }
    }
}

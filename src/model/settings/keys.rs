//! Which keys do what on the screen. The commands and the keys that they have where the settings say nothing are the
//! field table's rows of `[keys]`.

use std::collections::BTreeMap;

use crate::model::keys::{Key, Keys};
use crate::model::settings::Settings;
use crate::model::settings::check::Complaint;
use crate::model::settings::fields::{self, Field};
use crate::model::settings::key::{Part, Section};

/// Commands without which nobody gets on, or out: each keeps a key.
const NEEDED: [&str; 3] = ["back", "palette", "quit"];

/// The keys of a command: those of the settings, else its own.
#[must_use]
pub fn keys_of(settings: &BTreeMap<String, Keys>, command: &Field) -> Keys {
    let own = || command.example.parse().unwrap_or_default();
    settings.get(command.name).cloned().unwrap_or_else(own)
}

/// Keys that two commands have, and commands that need one and have none.
pub(super) fn complaints(settings: &Settings) -> Vec<Complaint> {
    let complaint = |field: &'static str, message| Complaint { section: Section::Keys, field: Some(field), message };
    let mut complaints = Vec::new();
    let mut taken: BTreeMap<Key, &'static str> = BTreeMap::new();
    for command in fields::of(Part::Keys) {
        let keys = keys_of(&settings.keys, command).0;
        if keys.is_empty() && NEEDED.contains(&command.name) {
            let message = format!("`{}` must have a key: without one the screen cannot be used", command.name);
            complaints.push(complaint(command.name, message));
        }
        for key in keys {
            let Some(other) = taken.insert(key, command.name) else { continue };
            // It is told of the command that the settings gave the key to.
            let (given, has) =
                if settings.keys.contains_key(command.name) { (command.name, other) } else { (other, command.name) };
            complaints.push(complaint(
                given,
                if given == has {
                    format!("`{key}` is there twice")
                } else {
                    format!("`{key}` is a key of `{has}` already: give `{has}` another one, or `{given}`")
                },
            ));
        }
    }
    complaints
}

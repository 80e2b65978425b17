//! Edits of a settings text: what people asked for, checked, and turned into splices.

use std::path::PathBuf;

use crate::model::ids::Revision;
use crate::model::nearest::did_you_mean;
use crate::model::settings::fields::{self, Unset, Wrong};
use crate::model::settings::key::{Key, KeyError, Part, Section};
use crate::model::settings::{Edit, Settings};
use crate::store::settings::problem::SettingsProblems;
use crate::store::settings::splice;

/// Why an edit was not made; the file is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{key}: {wrong}")]
    Value { key: String, wrong: Wrong },
    #[error("there is no {part} `{name}` in the settings{hint}; a new one needs {needs}")]
    NoSuch { part: &'static str, name: String, hint: String, needs: String },
    #[error("the settings would not be valid: {0}")]
    Invalid(SettingsProblems),
    #[error("the settings file does not parse: mend it first: {0}")]
    Broken(SettingsProblems),
    #[error("read only, by the guardrails of {from}: nothing can be changed from here")]
    ReadOnly { from: String },
    #[error("the settings were changed since you looked (they were {seen}, they are {now}): look again")]
    Changed { seen: Revision, now: Revision },
    #[error("{} was written by another hand at the same moment: try again", .path.display())]
    Overtaken { path: PathBuf },
    #[error("{} cannot be written: {message}", .path.display())]
    Write { path: PathBuf, message: String },
}

/// The text after the edits. What they make of the settings as a whole is for the parser to say.
pub(super) fn apply(text: &str, settings: &Settings, edits: &[Edit]) -> Result<String, EditError> {
    let keys = edits.iter().map(|edit| Key::parse(&edit.key)).collect::<Result<Vec<_>, _>>()?;
    let known = settings.sections();
    for key in keys.iter().filter(|key| !known.contains(&key.section)) {
        refuse_half_a_section(key, &keys, &known)?;
    }
    let mut text = text.to_owned();
    for (key, edit) in keys.iter().zip(edits) {
        let value = match &edit.value {
            Some(typed) => {
                let wrong = |wrong| EditError::Value { key: key.to_string(), wrong };
                Some(key.field.read(typed).map_err(wrong)?)
            }
            None => None,
        };
        text = splice::set(&text, key, value.as_ref()).map_err(EditError::Broken)?;
    }
    Ok(text)
}

/// A section that is not there begins with an edit, if all that it needs comes with it; else its name was a slip.
fn refuse_half_a_section(key: &Key, keys: &[Key], known: &[Section]) -> Result<(), EditError> {
    let part = key.section.part();
    let name = key.section.name().unwrap_or_default();
    let needed = fields::of(part).filter(|field| field.unset == Unset::Required);
    // A budget's name comes with the key.
    let needed: Vec<_> = needed.map(|field| field.name).filter(|field| *field != "name").collect();
    let comes = |field: &&str| keys.iter().any(|other| other.section == key.section && other.field.name == *field);
    if needed.iter().all(comes) {
        return Ok(());
    }
    let alike = known.iter().filter(|section| section.part() == part).filter_map(Section::name);
    let hint = did_you_mean(name, alike);
    let hint = hint.trim_end_matches('?').to_owned();
    let part = match part {
        Part::Budget => "budget",
        Part::Pool => "pool",
        Part::Schedule => "schedule",
        _ => "queue",
    };
    Err(EditError::NoSuch { part, name: name.to_owned(), hint, needs: needed.join(", ") })
}

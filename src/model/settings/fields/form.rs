//! A section as a form shows it: every field with its present value as text.

use super::{Field, Key, Settings, Unset, of, value};
use crate::model::settings::key::Section;

/// One field of a section, with its present value.
#[derive(Debug, Clone)]
pub struct Line {
    pub key: Key,
    /// As people write it; empty for none.
    pub text: String,
    /// Whether this is what would hold without a line in the file.
    pub is_default: bool,
}

impl Line {
    #[must_use]
    pub fn field(&self) -> &'static Field {
        self.key.field
    }
}

/// The fields of a section with their present values.
#[must_use]
pub fn form(settings: &Settings, section: &Section) -> Vec<Line> {
    let lines = of(section.part()).map(|field| {
        let key = section.key(field);
        let written = value(settings, &key);
        let is_default = match field.unset {
            Unset::Required => false,
            Unset::Is(text) => written.as_ref() == Some(&field.kind.written(text)),
            Unset::Means(_) => written.as_ref().is_none_or(|written| *written == field.kind.written("")),
        };
        Line { key, text: written.map(|written| written.to_string()).unwrap_or_default(), is_default }
    });
    lines.collect()
}

//! A value that no log, error, panic or screen shows.

use std::fmt;

use crate::model::settings::{SecretRef, SecretText};

/// A secret text. It prints as `***`, whatever asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a secret is not where the settings say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("the variable {0} is not set")]
    NoVariable(String),
    #[error("{path} cannot be read: {message}")]
    NoFile { path: String, message: String },
}

/// The one text that is kept there, without spaces around it.
///
/// # Errors
/// There is none.
pub fn read(place: &SecretRef) -> Result<Secret, SecretError> {
    match place {
        SecretRef::Env(name) => match std::env::var(name) {
            Ok(value) if !value.trim().is_empty() => Ok(Secret::new(value.trim())),
            _ => Err(SecretError::NoVariable(name.clone())),
        },
        SecretRef::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Secret::new(text.trim())),
            Err(error) => Err(SecretError::NoFile { path: path.display().to_string(), message: error.to_string() }),
        },
    }
}

/// The text itself, wherever it stands.
///
/// # Errors
/// It is not where the settings say.
pub fn text(of: &SecretText) -> Result<Secret, SecretError> {
    match of {
        SecretText::Here(text) => Ok(Secret::new(text.as_str())),
        SecretText::Kept(place) => read(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    }
}

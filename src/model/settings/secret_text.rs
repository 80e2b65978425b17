//! A text that holds a secret, or may: where it stands, in the settings themselves or elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::settings::SecretRef;

/// An address with a password or a token in it, such as a webhook's or a database's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretText {
    /// It stands in the settings.
    Here(String),
    /// The place where it is.
    Kept(SecretRef),
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Here(***)"),
            Self::Kept(place) => f.debug_tuple("Kept").field(place).finish(),
        }
    }
}

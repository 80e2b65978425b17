//! How long a machine that has no task is kept, and what then becomes of it.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::model::span::Exact;

/// How long a machine too many is kept idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeepAlive {
    /// For as long as costs least, by what was seen of the pool's need for machines.
    Learned,
    For(SignedDuration),
}

impl KeepAlive {
    /// The time that is set for it; none where it is learned.
    #[must_use]
    pub fn set(self) -> Option<SignedDuration> {
        match self {
            Self::Learned => None,
            Self::For(time) => Some(time),
        }
    }
}

/// As the settings write it.
impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learned => f.pad(Self::WORD),
            Self::For(time) => Exact(*time).fmt(f),
        }
    }
}

impl KeepAlive {
    /// How the settings write that it is learned.
    pub const WORD: &str = "learned";
}

/// What becomes of an idle machine once it is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnIdle {
    Terminate,
    /// Switched off and kept; started again before another is launched.
    Stop,
}

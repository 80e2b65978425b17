//! Who is told of what happens.

use serde::{Deserialize, Serialize};

use crate::model::ids::NotifyName;
use crate::model::notice::NoticeKind;
use crate::model::settings::{SecretRef, SecretText};

/// Someone who is told of some events: a webhook or a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifySettings {
    pub name: NotifyName,
    /// The events that are told.
    pub on: Vec<NoticeKind>,
    /// The notice is posted there as JSON.
    pub url: Option<SecretText>,
    /// Where the value of the header `Authorization` is.
    pub authorization: Option<SecretRef>,
    /// A program and its arguments; no shell reads them. The notice is its input, as JSON.
    pub command: Vec<String>,
}

impl NotifySettings {
    /// Nothing but the name.
    #[must_use]
    pub fn blank(name: NotifyName) -> Self {
        Self { name, on: Vec::new(), url: None, authorization: None, command: Vec::new() }
    }
}

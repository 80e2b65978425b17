//! What the machines are of a provider that is a program of the user's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The region of a pool that names none.
pub(super) const PLACE: &str = "local";

/// What the program is told of a machine, and what it cannot be asked: how large it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecSettings {
    pub vcpu: u32,
    pub gpus: u32,
    /// Given to the program as they are.
    pub options: BTreeMap<String, String>,
}

//! Accounts of a cloud's, beside the one that every tool would use.

use serde::{Deserialize, Serialize};

use crate::model::ids::AccountName;
use crate::model::settings::SecretRef;

/// Who we are in an account, of AWS or a project of Google's. Without a profile and credentials: as every tool of the cloud's
/// would be; with a role: that role, assumed by whoever we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSettings {
    pub name: AccountName,
    /// A profile of the AWS files.
    pub profile: Option<String>,
    /// Where a key is.
    pub credentials: Option<SecretRef>,
    pub role_arn: Option<String>,
    /// What the role's owner wants to hear.
    pub external_id: Option<String>,
    /// Google's project.
    pub project: Option<String>,
    /// The program that has the machines, for pools of `exec`; an absolute path.
    #[serde(default)]
    pub program: Option<String>,
}

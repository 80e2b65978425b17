//! What a machine of a pool is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a machine of EC2 is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaunchSettings {
    /// Required for `aws`.
    pub ami: String,
    /// Subnets, tried in order; with `zones` matched one to one. Empty: the zone's default subnet.
    pub subnets: Vec<String>,
    pub zones: Vec<String>,
    pub security_groups: Vec<String>,
    pub key_name: Option<String>,
    /// Name or ARN.
    pub instance_profile: Option<String>,
    pub disk_gb: Option<u32>,
    /// Device of the root disk, such as `/dev/sda1`.
    pub disk_device: String,
    pub tags: BTreeMap<String, String>,
}

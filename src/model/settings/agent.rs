//! What runs on a machine of a pool.

use serde::{Deserialize, Serialize};

/// How a machine is prepared, and how clearml-agent is started there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentSettings {
    /// Shell, run as root before the agent starts.
    pub init_script: Option<String>,
    /// Exact version of clearml-agent that the machine installs.
    pub agent_version: String,
    /// Extra arguments of `clearml-agent daemon`.
    pub agent_arguments: Vec<String>,
}

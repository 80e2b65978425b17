//! How a pool's machines are bought on the spot market, and when they are not.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// What a pool of spot machines does about a market that gives none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SpotSettings {
    /// For so long no spot machine is tried after a failed try; `None`: as the failure's own back-off has it.
    pub blackout: Option<SignedDuration>,
}

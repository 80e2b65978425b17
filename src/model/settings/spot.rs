//! How a pool's machines are bought on the spot market, and when they are not.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::model::settings::Market;

/// What a pool of spot machines does about a market that gives none, or takes them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpotSettings {
    /// Tasks that waited so long while no spot machine was to be had get one on demand; `None`: never.
    pub rollback: Option<SignedDuration>,
    /// For so long no spot machine is tried after a failed try; `None`: as the failure's own back-off has it.
    pub blackout: Option<SignedDuration>,
    /// Where a task is run again that was lost with its machine.
    pub retry: Market,
}

impl Default for SpotSettings {
    fn default() -> Self {
        Self { rollback: None, blackout: None, retry: Market::OnDemand }
    }
}

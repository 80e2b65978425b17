//! Who wants what, when.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::world::sim::scenario::Spread;

/// A queue of the server and the tasks that come to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueDemand {
    pub name: String,
    /// Tasks an hour at the busiest time of a working day; 0: none but those of the scenario's list.
    #[serde(default)]
    pub per_hour: f64,
    /// The share of that at the dead of night.
    #[serde(default = "whole")]
    pub night: f64,
    /// The share of that on Saturdays and Sundays.
    #[serde(default = "whole")]
    pub weekend: f64,
    #[serde(default)]
    pub sweeps: Option<Sweeps>,
    #[serde(default = "an_hour")]
    pub duration: Spread,
    #[serde(default)]
    pub users: Vec<String>,
    #[serde(default)]
    pub projects: Vec<String>,
    /// Names of tasks; `{lr}`, `{seed}` and `{fold}` are filled in.
    #[serde(default)]
    pub names: Vec<String>,
}

fn whole() -> f64 {
    1.0
}

fn an_hour() -> Spread {
    Spread::new(3_600_000, 0.0)
}

/// Many tasks at once: somebody tries out parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeps {
    /// At the rate of the busiest time.
    pub per_day: f64,
    pub least: u32,
    pub most: u32,
    /// They are enqueued within this.
    pub within: SignedDuration,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedTask {
    /// From the start of the scenario.
    pub at: SignedDuration,
    pub queue: String,
    pub name: String,
    pub duration: SignedDuration,
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub project: String,
}

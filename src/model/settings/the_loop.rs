//! How the loop itself behaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::ids::FleetId;
use crate::model::money::Rate;
use crate::model::settings::{SecretRef, SecretText};

/// How the loop itself behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoopSettings {
    pub fleet: FleetId,
    pub poll: Poll,
    /// Idle workers of others on our queues are capacity.
    pub count_foreign: bool,
    /// What an hour of one task's waiting is worth.
    pub price_of_waiting: Rate,
    pub on_exit: OnExit,
    /// Budgets per day and month begin at midnight here.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub time_zone: TimeZone,
    /// Metadata of every machine of Google's, beneath its pool's own.
    #[serde(default)]
    pub gce_metadata: BTreeMap<String, String>,
    /// ClearML's own pages say why tasks wait.
    #[serde(default)]
    pub tell_waiting: bool,
    /// The script that is asked about every queue that names none itself.
    #[serde(default)]
    pub policy: Option<String>,
    /// Where metrics and probes are served; `None`: nowhere.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// The database that a team shares; `None`: a file of this console's own.
    #[serde(default)]
    pub store: Option<SecretText>,
    /// How long journal lines, ended launches and machines that are gone are remembered.
    pub keep: SignedDuration,
    /// How long bills are, at least those that are asked for still; `None`: for good.
    pub keep_bills: Option<SignedDuration>,
    /// Where the key is by which users and tasks have pseudonyms; `None`: they have their names.
    #[serde(default)]
    pub pseudonyms: Option<SecretRef>,
    /// Where the key is that was that before.
    #[serde(default)]
    pub pseudonyms_before: Option<SecretRef>,
}

/// How often the loop looks at the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Poll {
    /// 10 s while an answer is awaited, 30 s while machines boot, up to 40 s when nothing moves.
    Auto,
    Every(SignedDuration),
}

/// What becomes of the machines when the console is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExit {
    Leave,
    StopIdle,
    StopAll,
}

//! Orders of consoles that only watch, on their way to the one that leads.

use jiff::Timestamp;

use crate::model::ids::Actor;

/// An order in the store that consoles share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// New and random for each.
    pub id: String,
    /// `ann@host`.
    pub by: Actor,
    /// By the clock of who posted it.
    pub at: Timestamp,
    /// As JSON: the store keeps what it does not read.
    pub command: String,
}

/// What has become of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nobody has taken it.
    Waits,
    /// A leader has, and has not answered yet.
    Taken,
    /// As JSON.
    Answered(String),
}

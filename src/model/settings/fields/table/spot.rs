//! Rows of pools: the spot market.

use jiff::SignedDuration;

use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const SPOT: &[Field] = &[Field {
    name: "spot_blackout",
    kind: Kind::Span { min: SignedDuration::from_secs(1), max: SignedDuration::from_hours(24), word: None },
    unset: Unset::Means("as long as each failure's own back-off"),
    takes: Takes::AtOnce,
    doc: "After a spot machine was refused, no spot machine of that type is tried for at least so long.",
    example: "10m",
    later: &[],
    lens: at!(Pool, spot.blackout),
}];

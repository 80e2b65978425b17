//! Rows of pools: the spot market.

use jiff::SignedDuration;

use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const SPOT: &[Field] = &[
    Field {
        name: "spot_rollback",
        kind: Kind::Span { min: SignedDuration::ZERO, max: SignedDuration::from_hours(24 * 7), word: None },
        unset: Unset::Means("never"),
        takes: Takes::AtOnce,
        doc: "Tasks that waited so long while no spot machine was to be had get one of this pool on demand.",
        example: "15m",
        later: &[],
        lens: at!(Pool, spot.rollback),
    },
    Field {
        name: "spot_blackout",
        kind: Kind::Span { min: SignedDuration::from_secs(1), max: SignedDuration::from_hours(24), word: None },
        unset: Unset::Means("as long as each failure's own back-off"),
        takes: Takes::AtOnce,
        doc: "After a spot machine was refused, no spot machine of that type is tried for at least so long.",
        example: "10m",
        later: &[],
        lens: at!(Pool, spot.blackout),
    },
    Field {
        name: "spot_retry",
        kind: Kind::Choice(&["on-demand", "spot"]),
        unset: Unset::Is("on-demand"),
        takes: Takes::AtOnce,
        doc: "What is started for a task that was lost with its machine: an on-demand machine, of another pool of its queue \
              or of this one, or a spot machine again.",
        example: "spot",
        later: &[],
        lens: at!(Pool, spot.retry),
    },
];

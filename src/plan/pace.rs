//! How soon to look again: quickly while something moves, slower and slower when nothing does.

use jiff::SignedDuration;

use crate::model::instance::Phase;
use crate::model::plan::Plan;
use crate::model::snapshot::Snapshot;

/// While something waits, boots, drains or ends.
pub const QUICK: SignedDuration = SignedDuration::from_secs(10);
/// When nothing moves.
pub const SLOW: SignedDuration = SignedDuration::from_secs(60);

/// The time to the next look, after one that came `before` after its own last.
#[must_use]
pub fn pace(snapshot: &Snapshot, plan: &Plan, before: SignedDuration) -> SignedDuration {
    let moving = plan.outlooks.iter().any(|outlook| outlook.waiting > 0)
        || !snapshot.intents.is_empty()
        || snapshot.instances.iter().any(|instance| {
            // A drain that was taken back stands until the machine has heard of it.
            instance.drain.is_some()
                || matches!(instance.phase, Phase::Pending | Phase::Booting | Phase::Draining | Phase::Stopping)
        });
    if moving { QUICK } else { (before + QUICK).min(SLOW) }
}

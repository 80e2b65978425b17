//! What may become of a call in a scripted world.

/// What becomes of a call that is not simply done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Done, after this many seconds.
    Slow(i64),
    /// Never answered, not done.
    Hangs,
    /// Refused for certain.
    Refused,
    /// Done, and the answer is lost.
    Lost,
    Panics,
}

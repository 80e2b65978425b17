//! The points at which a crash hurts most, named, so that a test can crash at each of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where in a deed the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Decided; nothing is written.
    BeforeIntent,
    /// Written down; nothing is sent.
    AfterIntent,
    /// Sent and done; the answer is not in.
    AfterCall,
    /// The answer is in; nothing of it is written.
    AfterReply,
    /// All is written.
    AfterRecord,
}

impl Point {
    pub const ALL: [Self; 5] =
        [Self::BeforeIntent, Self::AfterIntent, Self::AfterCall, Self::AfterReply, Self::AfterRecord];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before-intent",
            Self::AfterIntent => "after-intent",
            Self::AfterCall => "after-call",
            Self::AfterReply => "after-reply",
            Self::AfterRecord => "after-record",
        }
    }
}

/// A kind of deed and a point in it: `launch:after-call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    pub deed: DeedKind,
    pub point: Point,
}

/// The kinds of deeds on the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeedKind {
    Launch,
    Start,
    Stop,
    /// Switching a machine off to keep it.
    StopKeep,
    Drain,
    CancelDrain,
    Requeue,
    Enqueue,
    Unregister,
}

impl DeedKind {
    pub const ALL: [Self; 9] = [
        Self::Launch,
        Self::Start,
        Self::Stop,
        Self::StopKeep,
        Self::Drain,
        Self::CancelDrain,
        Self::Requeue,
        Self::Enqueue,
        Self::Unregister,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::StopKeep => "stop-keep",
            Self::Drain => "drain",
            Self::CancelDrain => "cancel-drain",
            Self::Requeue => "requeue",
            Self::Enqueue => "enqueue",
            Self::Unregister => "unregister",
        }
    }
}

impl fmt::Display for CrashAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.deed.word(), self.point.word())
    }
}

/// Why a text names no crash point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a crash point: write it as `launch:after-call`")]
pub struct NoCrashPoint(String);

impl FromStr for CrashAt {
    type Err = NoCrashPoint;

    fn from_str(text: &str) -> Result<Self, NoCrashPoint> {
        let read = || {
            let (deed, point) = text.split_once(':')?;
            let deed = DeedKind::ALL.into_iter().find(|known| known.word() == deed)?;
            let point = Point::ALL.into_iter().find(|known| known.word() == point)?;
            Some(Self { deed, point })
        };
        read().ok_or_else(|| NoCrashPoint(text.to_owned()))
    }
}

/// Told of every point as it is passed. Answers whether to go on: `false` is a crash here.
pub type Watch = Arc<dyn Fn(CrashAt) -> bool + Send + Sync>;

/// Where crashes happen: nowhere, or where a test wants.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Watch>);

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CrashPoints").field(&self.0.is_some()).finish()
    }
}

impl CrashPoints {
    #[must_use]
    pub fn watched(watch: Watch) -> Self {
        Self(Some(watch))
    }

    /// Passes a point.
    ///
    /// # Errors
    /// The test wants the loop dead here.
    pub fn pass(&self, deed: DeedKind, point: Point) -> Result<(), Crashed> {
        match &self.0 {
            Some(watch) if !watch(CrashAt { deed, point }) => Err(Crashed),
            _ => Ok(()),
        }
    }
}

/// The loop is to be dead from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("crashed where a test wanted it")]
pub struct Crashed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_read_back() {
        for deed in DeedKind::ALL {
            for point in Point::ALL {
                let at = CrashAt { deed, point };
                assert_eq!(at.to_string().parse(), Ok(at));
            }
        }
        for wrong in ["", "launch", "launch:", "launch:never", "x:after-call"] {
            assert!(wrong.parse::<CrashAt>().is_err(), "{wrong}");
        }
    }
}

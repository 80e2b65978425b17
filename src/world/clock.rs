//! The one place that reads a clock. Everything else is given `now`.

use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Time as the engine lives it: the wall's, or a simulated one that starts at a fixed date and may run faster.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    Wall,
    Simulated {
        start: Timestamp,
        origin: Instant,
        /// Simulated seconds in one of the runtime's; under a paused runtime 1.
        speed: u32,
    },
}

impl Clock {
    /// A simulated clock that shows `start` now. Call it inside a runtime.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn simulated(start: Timestamp, speed: u32) -> Self {
        Self::Simulated { start, origin: Instant::now(), speed: speed.max(1) }
    }

    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall => Timestamp::now(),
            Self::Simulated { start, origin, speed } => {
                let elapsed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                start
                    .saturating_add(elapsed.saturating_mul(i32::try_from(*speed).unwrap_or(i32::MAX)))
                    .unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Waits for `span` of this clock's time.
    pub async fn sleep(&self, span: SignedDuration) {
        tokio::time::sleep(self.runtime_time(span)).await;
    }

    /// The work's answer, or `None` when it takes longer than `deadline` of this clock's time.
    pub async fn deadline<T>(&self, deadline: SignedDuration, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.runtime_time(deadline), work).await.ok()
    }

    /// This clock's time between two moments of the runtime.
    fn lived(&self, from: Instant, to: Instant) -> SignedDuration {
        let passed = SignedDuration::try_from(to - from).unwrap_or(SignedDuration::MAX);
        match self {
            Self::Wall => passed,
            Self::Simulated { speed, .. } => passed.saturating_mul(i32::try_from(*speed).unwrap_or(i32::MAX)),
        }
    }

    fn runtime_time(&self, span: SignedDuration) -> Duration {
        let span = Duration::try_from(span).unwrap_or_default();
        match self {
            Self::Wall => span,
            Self::Simulated { speed, .. } => span / *speed,
        }
    }
}

/// How long it has been since a moment: by the wall's clock, which may be set, and by a steady one, which may stand
/// still while the computer sleeps.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    clock: Clock,
    wall: Timestamp,
    steady: Instant,
}

impl Stopwatch {
    /// Starts now. Call it inside a runtime.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn start(clock: Clock) -> Self {
        Self { clock, wall: clock.now(), steady: Instant::now() }
    }

    /// So much has passed for certain.
    #[must_use]
    pub fn at_least(&self) -> SignedDuration {
        self.steady().min(self.by_wall())
    }

    /// No more than this has passed.
    #[must_use]
    pub fn at_most(&self) -> SignedDuration {
        self.steady().max(self.by_wall())
    }

    fn by_wall(&self) -> SignedDuration {
        self.clock.now().duration_since(self.wall).max(SignedDuration::ZERO)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    fn steady(&self) -> SignedDuration {
        self.clock.lived(self.steady, Instant::now())
    }
}

/// Notices when the wall clock was set, or stood still for us while the machine slept.
#[derive(Debug)]
pub struct JumpWatch {
    clock: Clock,
    wall: Timestamp,
    steady: Instant,
}

/// A smaller step is the daily work of a time service.
const SMALLEST_JUMP: SignedDuration = SignedDuration::from_secs(20);

impl JumpWatch {
    /// Watches from now on. Call it inside a runtime.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn new(clock: Clock) -> Self {
        Self { clock, wall: clock.now(), steady: Instant::now() }
    }

    /// By how much the wall clock has jumped since the last look, if it has.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn look(&mut self) -> Option<SignedDuration> {
        let (wall, steady) = (self.clock.now(), Instant::now());
        let expected = self.clock.lived(self.steady, steady);
        let jump = wall.duration_since(self.wall) - expected;
        (self.wall, self.steady) = (wall, steady);
        (jump.abs() > SMALLEST_JUMP).then_some(jump)
    }
}

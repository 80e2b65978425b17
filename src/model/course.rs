//! How the need for a pool's machines went lately, as far as the next pass must know it, and what it teaches: for how long
//! a machine that is not needed any more stays so, and how far a need that rises goes on to rise.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ids::PoolName;
use crate::model::money::Money;
use crate::model::span::Short;

/// Of every pool.
pub type Courses = BTreeMap<PoolName, Course>;

/// Of one pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Course {
    /// So many machines were needed at the last look.
    pub needed: u32,
    /// Since when one machine is needed, two, and so on, as far as it was seen.
    pub rose: Vec<Timestamp>,
    /// When the need fell below one machine more than that, is the last; below two more, the one before; and so on. A
    /// machine that was ended meanwhile has its place here too.
    pub fell: Vec<Fall>,
    /// Machines that tasks asked for, whether they may be had or not: since when how many, for as long as a rise is
    /// looked back on.
    pub asked: VecDeque<(Timestamp, u32)>,
    /// Rises of it whose end is not known yet, the oldest first.
    pub rises: VecDeque<OpenRise>,
    /// What is foreseen, and not over.
    pub expected: Vec<Expected>,
    /// When it was last gone on with.
    pub at: Option<Timestamp>,
}

/// A machine is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    pub at: Timestamp,
    /// Since when it had been needed; since when it fell, where that was not seen.
    pub rose: Timestamp,
}

/// So many machines are likely to be needed, until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    pub until: Timestamp,
    pub machines: u32,
    pub why: Foreseen,
}

/// A rise that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRise {
    pub at: Timestamp,
    /// So many were asked for then.
    pub from: u32,
    pub rise: Rise,
}

/// How a need rose, and how it went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Rise {
    /// By so many machines in [`Rise::WITHIN`].
    pub over: u32,
    /// By so many of them in [`Rise::LATELY`].
    pub lately: u32,
    /// By so many more at most in the [`Rise::WITHIN`] that followed.
    pub more: u32,
}

impl Rise {
    /// About the time that a machine takes to be ready: what comes later can be waited for.
    pub const WITHIN: SignedDuration = SignedDuration::from_mins(5);
    pub const LATELY: SignedDuration = SignedDuration::from_secs(60);
    /// Newer ones push out older ones.
    pub const KEPT: usize = 1_000;
}

/// What a pass learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lesson {
    /// A machine of the pool that was not needed any more was needed again after so long, or was not for longer than
    /// any machine is kept.
    Gap {
        pool: PoolName,
        lasted: SignedDuration,
    },
    /// One was needed again so long after it came to be needed before, or was not in the longest time that counts.
    Interval {
        pool: PoolName,
        lasted: SignedDuration,
    },
    Rise {
        pool: PoolName,
        rise: Rise,
    },
}

/// How a learned keep-alive was chosen: what it costs for each time that a machine falls idle, boots that it does not
/// save and the waiting for them included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weighed {
    /// So many times that a machine fell idle were looked at, the newest.
    pub gaps: usize,
    /// So many of them lasted longer than it.
    pub longer: usize,
    pub cost: Money,
    /// What it costs to end the machine at once.
    pub at_once: Money,
    pub again: Option<Again>,
}

/// A machine that was let go is started again in time for the task that is likely to come: many queues get their tasks at
/// about the same intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Again {
    /// So long after it came to be needed before.
    pub after: SignedDuration,
    /// It is kept until so long after that.
    pub until: SignedDuration,
    /// So many intervals lasted until `after`,
    pub lasted: usize,
    /// and so many of these ended before `until`.
    pub ended: usize,
}

/// As it follows a keep-alive: `in the last 200 gaps 31 were longer: $0.041 each, ending it at once $0.094`.
impl std::fmt::Display for Weighed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gaps, longer, cost, at_once, again } = self;
        if *gaps == 0 {
            return f.write_str("learned: too few gaps are known yet");
        }
        let exact = crate::model::money::Exact;
        write!(
            f,
            "learned: {longer} of the last {gaps} gaps were longer; so it costs {} a gap, ending it at once {}",
            exact(*cost),
            exact(*at_once)
        )?;
        let Some(Again { after, until, ended, .. }) = again else { return Ok(()) };
        write!(
            f,
            "; {ended} times one was needed {} to {} after it was before: it is started for that",
            Short(*after),
            Short(*until)
        )
    }
}

/// Why machines are started ahead of their tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Foreseen {
    /// More and more are asked for.
    Rise {
        rise: Rise,
        /// So many rises that were most like this one were looked at.
        alike: usize,
        /// So many of them went on by as many machines as are foreseen.
        went_on: usize,
        /// So many machines more.
        more: u32,
    },
    /// What was not needed any more is likely to be needed again soon.
    Return {
        /// It came to be needed so long ago before.
        rose: SignedDuration,
        again: Again,
        /// So many machines more.
        more: u32,
    },
}

impl Foreseen {
    /// So many machines more than are needed now.
    #[must_use]
    pub fn more(&self) -> u32 {
        match self {
            Self::Rise { more, .. } | Self::Return { more, .. } => *more,
        }
    }
}

impl std::fmt::Display for Foreseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rise { rise, alike, went_on, more } => write!(
                f,
                "{} more asked for in {}, {} of them in {}: {went_on} of the {alike} rises most like it went on by {more} or more",
                rise.over,
                Short(Rise::WITHIN),
                rise.lately,
                Short(Rise::LATELY)
            ),
            Self::Return { rose, again: Again { after, until, lasted, ended }, .. } => write!(
                f,
                "last asked for {} ago: of {lasted} times that no task came for {}, {ended} times one came by {}",
                Short(*rose),
                Short(*after),
                Short(*until)
            ),
        }
    }
}

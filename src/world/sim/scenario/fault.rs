//! What goes wrong (FAILURES.md section 1), by order of a test or at a time of the scenario.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A fault at a time of the scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedFault {
    /// From the start of the scenario.
    pub at: SignedDuration,
    #[serde(flatten)]
    pub fault: Fault,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// The ClearML server does not answer, neither us nor the agents.
    TrackerDown { lasts: SignedDuration },
    /// Every call to the cloud is answered with HTTP 500 and does nothing.
    CloudDown { lasts: SignedDuration },
    /// The next `times` calls of this kind get no answer; `acted`: what they ask for is done all the same.
    Silence {
        call: Call,
        times: u32,
        #[serde(default)]
        acted: bool,
    },
    /// The next `times` calls of this kind are throttled; `acted`: what they ask for is done all the same.
    Throttle {
        call: Call,
        times: u32,
        #[serde(default)]
        acted: bool,
    },
    /// A zone, or every one, has only `left` machines more of a type.
    NoCapacity {
        machine_type: String,
        #[serde(default)]
        zone: Option<String>,
        lasts: SignedDuration,
        #[serde(default)]
        left: u32,
    },
    /// Somebody ends a machine in the cloud's own console.
    StoppedOutside { machine: Pick },
    /// The machine breaks down.
    MachineDies { machine: Pick },
    /// The agent falls silent, its task with it; the machine lives on.
    AgentDies { machine: Pick },
    /// The cloud takes the machine back in two minutes.
    SpotNotice { machine: Pick },
    /// The cloud's list leaves the machine out for a while.
    Unlisted { machine: Pick, lasts: SignedDuration },
    /// The next `machines` machines that are launched never register.
    NeverRegister { machines: u32 },
    /// Somebody makes new images: a name or a parameter is of another from now on.
    ImagesMade,
    /// A queue lists entries whose tasks do not wait: never enqueued, done, and deleted by turns.
    PhantomEntries { queue: String, entries: u32 },
    /// Somebody deletes a queue, whatever waits in it.
    QueueDeleted { queue: String },
}

/// Which machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The one of this id.
    Id(String),
    /// The oldest that runs a task.
    Busy,
    /// The oldest whose agent waits for a task.
    Idle,
    /// The oldest on the spot market.
    Spot,
    /// The oldest of a pool.
    Pool(String),
}

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    List,
    Launch,
    Terminate,
    Stop,
    Start,
    Console,
    /// Reads of the ClearML server.
    Read,
    /// Orders, leases, mailboxes.
    Write,
    /// The two that put tasks back into queues.
    Requeue,
}

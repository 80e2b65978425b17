//! The one line of time: what is to happen, in order.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// Milliseconds since 1970: the grain of the simulation's time, and of its bills.
pub(crate) type Millis = i64;

pub(super) const SECOND: Millis = 1_000;

pub(super) fn millis(span: SignedDuration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}

pub(super) fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

/// Numbers of machines, agents and queues in the lists of the state.
pub(super) type Index = usize;

/// What happens by itself. Numbers that may have gone out of date by then carry what tells: the run, the wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The next task of a queue's own stream of them.
    Arrival(Index),
    /// A person starts a sweep of tasks on a queue.
    Sweep(Index),
    /// One task of a sweep.
    SweepTask {
        queue: Index,
        sweep: u64,
    },
    /// A task of the scenario's list.
    Planned(Index),
    /// A machine has booted: its guard starts the agent.
    Boots(Index),
    ForeignComes(Index),
    Polls(Index),
    Starts {
        agent: Index,
        run: u64,
    },
    Finishes {
        agent: Index,
        run: u64,
    },
    /// The agent notices that its task is not its own any more.
    Aborts {
        agent: Index,
        run: u64,
    },
    /// The guard looks whether the drain that it acknowledged still stands.
    DrainGrace(Index),
    /// The guard reads that it is to end its tasks.
    EndAsked(Index),
    /// The guard looks whether the console still lives.
    LeaseCheck(Index),
    /// A guard that cannot start its agent ends the machine.
    GivesUp {
        machine: Index,
        why: &'static str,
    },
    EndOfLife(Index),
    AgentDies(Index),
    MachineDies(Index),
    SpotNotice(Index),
    SpotEnd(Index),
    /// A fault of the scenario's list.
    Fault(Index),
    /// The ClearML server answers again.
    TrackerUp,
    /// The ClearML server looks for tasks without a sign of life.
    Watchdog,
}

/// Events by time; those of one instant in the order in which they were made, and polls after them, by agent: however many
/// polls that find nothing are left out, each agent sees the same.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: BTreeMap<(Millis, Turn), Event>,
    made: u64,
    /// What happens now; `None`: all of this instant has happened.
    turn: Option<Turn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Made(u64),
    Polls(Index),
}

impl Events {
    pub(super) fn at(&mut self, at: Millis, event: Event) {
        self.made += 1;
        let turn = if let Event::Polls(agent) = event { Turn::Polls(agent) } else { Turn::Made(self.made) };
        self.line.insert((at, turn), event);
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<(Millis, Event)> {
        self.turn = None;
        let first = self.line.first_entry()?;
        let (at, turn) = *first.key();
        (at <= now).then(|| {
            self.turn = Some(turn);
            (at, first.remove())
        })
    }

    /// Whether an agent's poll at this very instant is still to come.
    pub(super) fn may_poll_yet(&self, agent: Index) -> bool {
        self.turn.is_some_and(|turn| turn < Turn::Polls(agent))
    }
}

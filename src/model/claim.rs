//! A console's claim on the lead of a fleet, as it stands on the ClearML server for every console to read.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::model::ids::{FleetId, QueueId, QueueName, Term, leader_queue};

/// What a claim says in the place of a heartbeat when its console has given the lead away.
const RELEASED: &str = "released";

/// A hidden queue of a unique name, and who created it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub queue: QueueId,
    pub term: Term,
    pub note: ClaimNote,
}

/// Which claim it is. A server that was restored, or whose hidden queues somebody removed, can have a second one of the same
/// term, which is another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimId {
    pub term: Term,
    pub queue: QueueId,
}

/// What the claimant wrote. Empty until it has written anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimNote {
    /// One host and one state directory, which a lock keeps to one process.
    pub console: String,
    /// The same for people: `ann@host, process 12`.
    pub holder: String,
    pub since: Option<Timestamp>,
    /// Another value with every sign of life.
    pub beat: String,
    /// The fleet's mode, which outlives its leader; `None`: never said.
    pub armed: Option<bool>,
    pub paused: bool,
}

impl Claim {
    /// Reads a hidden queue; `None`: it is no claim on this fleet.
    #[must_use]
    pub fn read(
        fleet: &FleetId,
        queue: QueueId,
        name: &QueueName,
        metadata: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let term = term(fleet, name.as_str())?;
        let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        let flag = |key: &str| metadata.get(key).and_then(|value| value.parse().ok());
        let note = ClaimNote {
            console: text("console"),
            holder: text("holder"),
            since: metadata.get("since").and_then(|since| since.parse().ok()),
            beat: text("beat"),
            armed: flag("armed"),
            paused: flag("paused").unwrap_or_default(),
        };
        Some(Self { queue, term, note })
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> ClaimId {
        ClaimId { term: self.term, queue: self.queue.clone() }
    }

    /// Whether its console has given the lead away.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.note.beat == RELEASED
    }
}

impl ClaimNote {
    /// The same, with the lead given away.
    #[must_use]
    pub fn released(self) -> Self {
        Self { beat: RELEASED.to_owned(), ..self }
    }

    /// As it is written into the queue's metadata.
    #[must_use]
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|since| ("since", since.to_string()));
        let armed = self.armed.map(|armed| ("armed", armed.to_string()));
        let always = [
            ("console", self.console.clone()),
            ("holder", self.holder.clone()),
            ("beat", self.beat.clone()),
            ("paused", self.paused.to_string()),
        ];
        always.into_iter().chain(since).chain(armed).collect()
    }
}

/// `ann@host, process 12 (term 3 since 2026-11-02 08:00:00Z)`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder =
            if self.note.holder.is_empty() { "a console that has not said its name" } else { &self.note.holder };
        write!(f, "{holder} (term {}", self.term)?;
        if let Some(since) = self.note.since {
            write!(f, " since {}", since.strftime("%Y-%m-%d %H:%M:%SZ"))?;
        }
        write!(f, ")")
    }
}

/// The term that a queue of this name claims the fleet's lead for; `None`: it is no claim on this fleet.
#[must_use]
pub fn term(fleet: &FleetId, queue: &str) -> Option<Term> {
    queue.strip_prefix(&prefix(fleet))?.parse().ok().map(Term)
}

/// What the names of a fleet's claims begin with.
#[must_use]
pub fn prefix(fleet: &FleetId) -> String {
    leader_queue(fleet, Term(0)).as_str().trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        let note = ClaimNote {
            console: "a1".to_owned(),
            holder: "ann@host, process 12".to_owned(),
            since: Some("2026-11-02T08:00:00Z".parse().unwrap()),
            beat: "7".to_owned(),
            armed: Some(true),
            paused: true,
        };
        let metadata = note.metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let (fleet, queue) = (FleetId::new("lab0"), QueueId::new("q"));
        let read = |name: &str| Claim::read(&fleet, queue.clone(), &name.into(), &metadata);
        let claim = read("tidegate:lab0:leader:10").unwrap();
        assert_eq!((claim.term, &claim.note, claim.is_released()), (Term(10), &note, false));
        assert_eq!(claim.to_string(), "ann@host, process 12 (term 10 since 2026-11-02 08:00:00Z)");
        for other in ["tidegate:lab0", "tidegate:lab:leader:1", "tidegate:lab0:leader:", "tidegate:lab0:leader:x", "a"]
        {
            assert_eq!(read(other), None, "{other}");
        }
        let bare = Claim::read(&fleet, queue.clone(), &"tidegate:lab0:leader:1".into(), &BTreeMap::new()).unwrap();
        assert_eq!(bare.note, ClaimNote::default());
        assert!(Claim { note: note.released(), ..bare }.is_released());
    }
}

//! What keeps a console that lost the lead without noticing, because it was stopped or cut off, from acting: before
//! every deed the ClearML server is asked who leads.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;

use crate::engine::lead::Times;
use crate::model::claim::ClaimId;
use crate::model::ids::FleetId;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::tracker::Tracker;

/// A lead by one claim, and how sure it is. Clones are the same lead.
#[derive(Clone)]
pub(in crate::engine) struct Fence(Option<Arc<Inner>>);

struct Inner {
    fleet: FleetId,
    claim: ClaimId,
    times: Times,
    clock: Clock,
    /// Since the server last said that this claim is the highest.
    confirmed: Mutex<Option<Stopwatch>>,
    /// Deeds that begin together ask once.
    asking: tokio::sync::Mutex<()>,
}

/// Why a deed is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeptBack {
    /// Another console leads.
    Deposed(String),
    /// Nobody knows who leads.
    Unconfirmed(String),
}

impl fmt::Display for KeptBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposed(who) => write!(f, "{who} leads"),
            Self::Unconfirmed(why) => write!(f, "ClearML does not confirm that this console still leads: {why}"),
        }
    }
}

impl Fence {
    /// Nobody else can lead.
    #[must_use]
    pub(in crate::engine) fn none() -> Self {
        Self(None)
    }

    /// A lead that was confirmed at the stopwatch's start.
    #[must_use]
    pub(in crate::engine) fn new(
        fleet: FleetId,
        claim: ClaimId,
        times: Times,
        clock: Clock,
        confirmed: Stopwatch,
    ) -> Self {
        let (confirmed, asking) = (Mutex::new(Some(confirmed)), tokio::sync::Mutex::new(()));
        Self(Some(Arc::new(Inner { fleet, claim, times, clock, confirmed, asking })))
    }

    /// The server said that this claim is the highest, when the stopwatch was started or later.
    pub(in crate::engine) fn confirm(&self, at: Stopwatch) {
        if let Some(inner) = self.0.as_ref().filter(|inner| at.at_most() < inner.age()) {
            *inner.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        }
    }

    /// Whether the server said so lately that a beat need not ask again.
    #[must_use]
    pub(in crate::engine) fn is_fresh(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.age() <= inner.times.fresh())
    }

    /// What was confirmed is not to be believed any more: the clock jumped.
    pub(in crate::engine) fn doubt(&self) {
        if let Some(inner) = &self.0 {
            *inner.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether it is so lately confirmed that nobody can have taken over since.
    #[must_use]
    pub(in crate::engine) fn is_sure(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.age() <= inner.times.sure())
    }

    /// Asks the server, unless it said a moment ago that we lead.
    pub(in crate::engine) async fn pass(&self, tracker: &dyn Tracker) -> Result<(), KeptBack> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let _one_at_a_time = inner.asking.lock().await;
        if inner.age() <= inner.times.moment() {
            return Ok(());
        }
        let asked = Stopwatch::start(inner.clock);
        let answer = inner.clock.deadline(inner.times.answer(), tracker.claims(&inner.fleet)).await;
        let claims = match answer {
            Some(Ok(claims)) => claims,
            Some(Err(error)) => return Err(KeptBack::Unconfirmed(error.to_string())),
            None => return Err(KeptBack::Unconfirmed("it does not answer".to_owned())),
        };
        match claims.last() {
            // The answer may have come long after it was true.
            Some(claim) if claim.id() == inner.claim && asked.at_most() <= inner.times.sure() => {
                self.confirm(asked);
                Ok(())
            }
            Some(claim) if claim.id() == inner.claim => Err(KeptBack::Unconfirmed("its answer came late".to_owned())),
            Some(claim) => Err(KeptBack::Deposed(claim.to_string())),
            None => Err(KeptBack::Deposed("nobody".to_owned())),
        }
    }
}

impl Inner {
    fn age(&self) -> SignedDuration {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.map_or(SignedDuration::MAX, |at| at.at_most())
    }
}

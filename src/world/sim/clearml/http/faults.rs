//! Planted faults: what goes wrong between a client and a server that works.

use std::fmt;

use jiff::SignedDuration;
use serde_json::Value;

/// What happens to a call instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and this HTTP status is answered without an envelope, as a proxy does.
    Answer(u16),
    /// It is not done, and never answered.
    Hang,
    /// It is not done, and the connection breaks.
    Cut,
    /// It is done, and the connection breaks before anyone learns of it.
    Lost,
    /// It takes so long to arrive, and its answer so long to come back. What was sent arrives, whatever becomes of its
    /// sender.
    Late { there: SignedDuration, back: SignedDuration },
}

type Choice = dyn Fn(&str, &Value) -> Option<Fault> + Send + Sync;

/// Which calls a fault befalls.
pub(super) struct Rule(Box<Choice>);

impl Rule {
    pub(super) fn new(choice: impl Fn(&str, &Value) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self(Box::new(choice))
    }

    pub(super) fn of(&self, endpoint: &str, body: &Value) -> Option<Fault> {
        (self.0)(endpoint, body)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule")
    }
}

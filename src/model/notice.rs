//! What people are told outside the screen: by a webhook or a command.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::ids::{BudgetName, FleetId};
use crate::model::journal::Subject;

/// The version of a notice's shape.
pub const VERSION: u32 = 1;

/// What sort of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A budget's step or its limit was reached.
    Budget,
    /// A machine whose agent did not register in time.
    Stuck,
    /// A machine whose agents are silent.
    Lost,
    /// A machine with the fleet's tag that the store did not know.
    Orphan,
    /// A worker that ClearML lists and whose machine is gone.
    Ghost,
    /// Launches fail, and are not tried for a while.
    Capacity,
    /// The settings on disk are not those that run.
    Settings,
    /// Any line of the journal that a person should look at.
    Alarm,
}

impl NoticeKind {
    pub const ALL: [Self; 8] =
        [Self::Budget, Self::Stuck, Self::Lost, Self::Orphan, Self::Ghost, Self::Capacity, Self::Settings, Self::Alarm];

    /// As the settings and the notices write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Stuck => "stuck",
            Self::Lost => "lost",
            Self::Orphan => "orphan",
            Self::Ghost => "ghost",
            Self::Capacity => "capacity",
            Self::Settings => "settings",
            Self::Alarm => "alarm",
        }
    }

    /// Of its word; `None`: there is no such event.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One event, as it is told. `text` is a whole sentence: chat programs that take `{"text": ...}` show it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// See [`VERSION`].
    pub version: u32,
    pub at: Timestamp,
    pub fleet: FleetId,
    pub event: NoticeKind,
    pub text: String,
    pub budget: Option<BudgetName>,
    #[serde(flatten)]
    pub subject: Subject,
}

//! What can be asked of the engine: by the screen, by the command line, over the socket.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::breaker::Reset;
use crate::model::ids::{Actor, InstanceId, QueueName, Revision, TaskId};
use crate::model::journal::JournalFilter;
pub use crate::model::settings::Edit;
use crate::model::settings::{OnExit, Settings};
use crate::model::snapshot::Ask;
use crate::model::tasks::{NamedTask, TaskDeed};
use crate::store::settings;

/// A command with its sender. The engine answers each with the same `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub by: Actor,
    pub command: Command,
}

/// What the engine is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Acts on the world from now on; before that, everything is a dry run.
    Arm,
    /// Back to the dry run.
    Disarm,
    /// Plans and shows, but acts on nothing but a person's orders.
    Pause,
    Resume,
    /// Looks at the world at once.
    Refresh,
    /// Deeds on machines; they enter the next plan, which runs at once.
    Ask(Vec<Ask>),
    /// Writes settings, all or none, and lives by them.
    Set {
        edits: Vec<Edit>,
        /// Refused if the settings are not this revision any more.
        seen: Option<Revision>,
    },
    /// The settings as they are written; also what does not parse.
    SettingsText,
    /// Writes the settings as a whole, and lives by them, if they are right and the file still holds `was`.
    Write {
        text: String,
        was: String,
    },
    /// What the plan would be with these settings; changes nothing.
    Preview(Vec<Edit>),
    /// Tries launches again before their back-off ends.
    ResetBackOff(Reset),
    /// What a machine wrote on its console.
    BootLog(InstanceId),
    /// The tasks of a queue.
    Tasks(QueueName),
    /// Does something with tasks of a queue.
    TaskDeed {
        queue: QueueName,
        tasks: Vec<NamedTask>,
        deed: TaskDeed,
    },
    /// What a task wrote.
    TaskLog(TaskId),
    /// Journal lines, newest first.
    Journal(JournalFilter),
    /// What looks came to, for charts, the oldest first.
    History,
    /// Ends the loop gracefully: by `loop.on_exit`, or as given.
    Quit {
        on_exit: Option<OnExit>,
    },
}

impl Command {
    /// Whether it changes the fleet, or how the loop acts: that is the business of the console that leads.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Arm
            | Self::Disarm
            | Self::Pause
            | Self::Resume
            | Self::Ask(_)
            | Self::Set { .. }
            | Self::Write { .. }
            | Self::ResetBackOff(_)
            | Self::TaskDeed { .. } => true,
            Self::Refresh
            | Self::SettingsText
            | Self::Preview(_)
            | Self::BootLog(_)
            | Self::Tasks(_)
            | Self::TaskLog(_)
            | Self::Journal(_)
            | Self::History
            | Self::Quit { .. } => false,
        }
    }
}

/// The settings that a text says; `None` where it does not run. What is wrong with it is told when it is to be written.
#[must_use]
pub fn settings_of(text: &str) -> Option<Settings> {
    settings::parse(text, Path::new("settings")).ok()
}

//! The one table of commands: keys, help, footer, palette and action menu are all made from it.

mod enabled;
mod keymap;
mod table;

use super::doc::is_log;
use super::state::State;
use super::state::place::{Page, Subject};
use crate::model::settings::fields::{self, Field};
use crate::model::settings::key::Part;

pub(crate) use crate::model::keys::Key;
pub(crate) use keymap::{Keymap, as_event, pressed};
pub(crate) use table::TABLE;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Id {
    Down,
    Up,
    PageDown,
    PageUp,
    HalfDown,
    HalfUp,
    Top,
    Bottom,
    Open,
    Leave,
    Previous,
    Next,
    Last,
    Mark,
    MarkRange,
    MarkAll,
    CopyCell,
    Tasks,
    TaskUp,
    TaskDown,
    TaskFront,
    TaskBack,
    TakeOut,
    PutIn,
    TaskLog,
    NextMatch,
    PreviousMatch,
    Wrap,
    SaveLog,
    ZoomIn,
    ZoomOut,
    PanLeft,
    PanRight,
    Markers,
    Go(Page),
    Why,
    Edit,
    EditFile,
    Drain,
    DrainIdle,
    CancelDrain,
    Replace,
    Stop,
    Hold,
    Launch,
    BootLog,
    TryAgain,
    Pause,
    Arm,
    EmergencyStop,
    Undo,
    Palette,
    Filter,
    Sort,
    Invert,
    Dearest,
    Actions,
    Refresh,
    Copy,
    Freeze,
    Theme,
    Mouse,
    Problems,
    Suspend,
    Quit,
}

/// Where a command makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everywhere,
    /// The charts.
    Charts,
    /// Pages with rows.
    Rows,
    /// Logs.
    Log,
    /// Pages with rows, and logs.
    Searched,
    /// Pages whose rows can be marked.
    Marked,
    /// A machine is selected or shown, or some are marked.
    Machine,
    /// A task of a queue is selected, or some are marked.
    Task,
    /// A queue is selected.
    Queue,
    /// Something with limits or budgets is selected.
    Limited,
    /// Anything that has a name is selected or shown.
    Subject,
}

impl Scope {
    /// `Err`: what is missing.
    fn holds(self, state: &State) -> Result<(), String> {
        let subject = state.subject();
        let key = |page| state.keys.first(Id::Go(page));
        match self {
            Self::Everywhere => Ok(()),
            Self::Charts if state.place.page == Page::Charts => Ok(()),
            Self::Charts => Err(format!("{} shows the charts", key(Page::Charts))),
            Self::Rows if state.is_table() => Ok(()),
            Self::Rows => Err("this page has no rows".to_owned()),
            Self::Log if is_log(&state.place) => Ok(()),
            Self::Log => Err(format!("this page is no log: {} shows the program's", key(Page::Logs))),
            Self::Searched if state.is_table() || is_log(&state.place) => Ok(()),
            Self::Searched => Err("this page has no rows and is no log".to_owned()),
            Self::Marked if state.can_mark() => Ok(()),
            Self::Marked => {
                let (machines, tasks) = (key(Page::Instances), state.keys.first(Id::Tasks));
                Err(format!("rows are marked among machines and tasks: {machines} and {tasks} show them"))
            }
            Self::Machine if !state.marked_machines().is_empty() => Ok(()),
            Self::Machine if matches!(subject, Some(Subject::Instance(_))) => Ok(()),
            Self::Machine => Err(format!("select a machine first: {} shows them", key(Page::Instances))),
            Self::Task if !state.marked_tasks().is_empty() => Ok(()),
            Self::Task if matches!(subject, Some(Subject::Task(..))) => Ok(()),
            Self::Task => Err(format!("select a task first: {} shows those of a queue", state.keys.first(Id::Tasks))),
            Self::Queue if matches!(subject, Some(Subject::Queue(_) | Subject::Pool(_))) => Ok(()),
            Self::Queue => Err(format!("select a queue first: {} shows them", key(Page::Queues))),
            Self::Limited
                if matches!(
                    subject,
                    Some(Subject::All | Subject::Queue(_) | Subject::Pool(_) | Subject::Budget(_))
                ) =>
            {
                Ok(())
            }
            Self::Limited => {
                Err(format!("select a queue, a pool or a budget first: {} shows them", key(Page::Settings)))
            }
            Self::Subject if subject.is_some() => Ok(()),
            Self::Subject => Err("select a row first".to_owned()),
        }
    }
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Command {
    pub id: Id,
    /// For the palette and the settings; unique.
    pub name: &'static str,
    pub scope: Scope,
    /// For the footer; `None`: not shown there.
    hint: Option<&'static str>,
    /// Besides the scope; `Err`: why not now.
    when: fn(&State) -> Result<(), String>,
}

impl Command {
    /// Its row of the settings' table: its own keys, and what it does.
    pub(crate) fn field(&self) -> Option<&'static Field> {
        fields::find(Part::Keys, self.name).ok()
    }

    /// What it does, without a full stop.
    pub(crate) fn doc(&self) -> &'static str {
        let doc = self.field().map(|field| field.doc).unwrap_or_default();
        doc.strip_suffix('.').unwrap_or(doc)
    }

    /// Whether it can be done now, and if not, why.
    pub(crate) fn enabled(&self, state: &State) -> Result<(), String> {
        self.scope.holds(state)?;
        (self.when)(state)
    }

    pub(crate) fn in_scope(&self, state: &State) -> bool {
        self.scope.holds(state).is_ok()
    }

    /// What the footer calls it now.
    pub(crate) fn shown_hint(&self, state: &State) -> Option<&'static str> {
        let mode = state.live.as_ref().map(|view| view.mode);
        match (self.id, mode) {
            (Id::Pause, Some(mode)) if mode.paused => Some("resume"),
            (Id::Arm, Some(mode)) if mode.armed => Some("disarm"),
            (Id::Hold, _) if state.releases() => Some("release"),
            _ => self.hint,
        }
    }
}

pub(crate) fn find(id: Id) -> Option<&'static Command> {
    TABLE.iter().find(|command| command.id == id)
}

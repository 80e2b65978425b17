//! The one table of commands: keys, help, footer, palette and action menu are all made from it.

mod enabled;
mod table;

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::State;
use super::state::place::{Page, Subject};

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
    ZoomIn,
    ZoomOut,
    PanLeft,
    PanRight,
    Go(Page),
    Why,
    Edit,
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

/// A key as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub code: KeyCode,
    pub ctrl: bool,
}

impl Key {
    pub(crate) const fn of(letter: char) -> Self {
        Self { code: KeyCode::Char(letter), ctrl: false }
    }

    pub(crate) const fn ctrl(letter: char) -> Self {
        Self { code: KeyCode::Char(letter), ctrl: true }
    }

    pub(crate) const fn named(code: KeyCode) -> Self {
        Self { code, ctrl: false }
    }
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        Self { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(letter) if self.ctrl => format!("Ctrl-{}", letter.to_ascii_uppercase()),
            KeyCode::Char(letter) => letter.to_string(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            other => format!("{other:?}"),
        };
        f.pad(&name)
    }
}

/// Where a command makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everywhere,
    /// The charts.
    Charts,
    /// Pages with rows.
    Rows,
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
    fn holds(self, state: &State) -> Result<(), &'static str> {
        let subject = state.subject();
        match self {
            Self::Everywhere => Ok(()),
            Self::Charts if state.place.page == Page::Charts => Ok(()),
            Self::Charts => Err("9 shows the charts"),
            Self::Rows if state.is_table() => Ok(()),
            Self::Rows => Err("this page has no rows"),
            Self::Marked if state.can_mark() => Ok(()),
            Self::Marked => Err("rows are marked among machines and tasks: 2 and T show them"),
            Self::Machine if !state.marked_machines().is_empty() => Ok(()),
            Self::Machine if matches!(subject, Some(Subject::Instance(_))) => Ok(()),
            Self::Machine => Err("select a machine first: 2 shows them"),
            Self::Task if !state.marked_tasks().is_empty() => Ok(()),
            Self::Task if matches!(subject, Some(Subject::Task(..))) => Ok(()),
            Self::Task => Err("select a task first: T shows those of a queue"),
            Self::Queue if matches!(subject, Some(Subject::Queue(_) | Subject::Pool(_))) => Ok(()),
            Self::Queue => Err("select a queue first: 1 shows them"),
            Self::Limited
                if matches!(
                    subject,
                    Some(Subject::All | Subject::Queue(_) | Subject::Pool(_) | Subject::Budget(_))
                ) =>
            {
                Ok(())
            }
            Self::Limited => Err("select a queue, a pool or a budget first: 6 shows them"),
            Self::Subject if subject.is_some() => Ok(()),
            Self::Subject => Err("select a row first"),
        }
    }
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Command {
    pub id: Id,
    /// The first one is shown.
    pub keys: &'static [Key],
    /// For the palette; unique.
    pub name: &'static str,
    pub doc: &'static str,
    pub scope: Scope,
    /// For the footer; `None`: not shown there.
    hint: Option<&'static str>,
    /// Besides the scope; `Err`: why not now.
    when: fn(&State) -> Result<(), String>,
}

impl Command {
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
            _ => self.hint,
        }
    }

    /// Its keys, as help and menus show them.
    pub(crate) fn shown_keys(&self) -> String {
        self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn find(id: Id) -> Option<&'static Command> {
    TABLE.iter().find(|command| command.id == id)
}

/// The command of a key.
pub(crate) fn by_key(key: Key) -> Option<&'static Command> {
    TABLE.iter().find(|command| command.keys.contains(&key))
}

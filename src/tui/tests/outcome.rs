//! What each command is to bring about, so that a random run can tell that it did.

use crate::engine::command::Command;
use crate::model::snapshot::Ask;
use crate::model::tasks::TaskDeed;
use crate::tui::commands::Id;
use crate::tui::message::Effect;

/// Where the effect of a command is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The screen itself is another one.
    Screen,
    /// Something leaves the screen.
    Outside,
}

fn ask(effect: &Effect, is: impl Fn(&Ask) -> bool) -> bool {
    matches!(effect, Effect::Send(request) if matches!(&request.command, Command::Ask(asks) if asks.iter().all(is)))
}

fn sends(effect: &Effect, is: impl Fn(&Command) -> bool) -> bool {
    matches!(effect, Effect::Send(request) if is(&request.command))
}

fn moves(effect: &Effect, wanted: TaskDeed) -> bool {
    sends(effect, |command| matches!(command, Command::TaskDeed { deed, .. } if *deed == wanted))
}

/// Whether the effect is what this command is for.
pub(super) fn is_its(id: Id, effect: &Effect) -> bool {
    match id {
        Id::Drain | Id::DrainIdle => ask(effect, |ask| matches!(ask, Ask::Drain(_))),
        Id::CancelDrain => ask(effect, |ask| matches!(ask, Ask::CancelDrain(_))),
        Id::Stop => ask(effect, |ask| matches!(ask, Ask::Stop { .. })),
        Id::Hold => ask(effect, |ask| matches!(ask, Ask::Hold { .. } | Ask::Release(_))),
        Id::Replace => ask(effect, |ask| matches!(ask, Ask::Replace(_) | Ask::LetBe(_))),
        Id::Launch => ask(effect, |ask| matches!(ask, Ask::Launch { .. })),
        Id::EmergencyStop => ask(effect, |ask| matches!(ask, Ask::StopAll)),
        Id::BootLog => sends(effect, |command| matches!(command, Command::BootLog(_))),
        Id::Tasks => sends(effect, |command| matches!(command, Command::Tasks(_))),
        Id::TaskLog => sends(effect, |command| matches!(command, Command::TaskLog(_))),
        Id::TaskFront => moves(effect, TaskDeed::ToFront),
        Id::TaskBack => moves(effect, TaskDeed::ToBack),
        Id::TaskUp => moves(effect, TaskDeed::Forward),
        Id::TaskDown => moves(effect, TaskDeed::Backward),
        Id::TakeOut => moves(effect, TaskDeed::TakeOut),
        Id::PutIn => moves(effect, TaskDeed::PutIn),
        Id::Pause => sends(effect, |command| matches!(command, Command::Pause | Command::Resume)),
        Id::Arm => sends(effect, |command| matches!(command, Command::Arm | Command::Disarm)),
        Id::EditFile => sends(effect, |command| *command == Command::SettingsText),
        Id::Edit | Id::Palette => sends(effect, |command| matches!(command, Command::Set { .. })),
        Id::Undo => {
            let set = sends(effect, |command| matches!(command, Command::Set { .. }));
            set || moves(effect, TaskDeed::PutIn) || ask(effect, |ask| matches!(ask, Ask::CancelDrain(_)))
        }
        Id::Refresh => sends(effect, |command| *command == Command::Refresh),
        Id::TryAgain => sends(effect, |command| matches!(command, Command::ResetBackOff(_))),
        Id::Copy | Id::CopyCell => matches!(effect, Effect::Copy(_)),
        Id::SaveLog => matches!(effect, Effect::Save { .. }),
        Id::Mouse => matches!(effect, Effect::Mouse(_)),
        Id::Suspend => matches!(effect, Effect::Suspend),
        Id::Quit => {
            matches!(effect, Effect::Leave(_)) || sends(effect, |command| matches!(command, Command::Quit { .. }))
        }
        _ => false,
    }
}

/// Where this command's effect is seen.
pub(super) fn outcome(id: Id) -> Outcome {
    match id {
        Id::Down
        | Id::Up
        | Id::PageDown
        | Id::PageUp
        | Id::HalfDown
        | Id::HalfUp
        | Id::Top
        | Id::Bottom
        | Id::Open
        | Id::Leave
        | Id::Previous
        | Id::Next
        | Id::Last
        | Id::Mark
        | Id::MarkRange
        | Id::MarkAll
        | Id::ZoomIn
        | Id::ZoomOut
        | Id::PanLeft
        | Id::PanRight
        | Id::Markers
        | Id::Go(_)
        | Id::Why
        | Id::Filter
        | Id::Sort
        | Id::Invert
        | Id::Dearest
        | Id::Actions
        | Id::Freeze
        | Id::NextMatch
        | Id::PreviousMatch
        | Id::Wrap
        | Id::Theme
        | Id::Problems => Outcome::Screen,
        Id::Drain
        | Id::DrainIdle
        | Id::CancelDrain
        | Id::Replace
        | Id::Stop
        | Id::Hold
        | Id::Launch
        | Id::BootLog
        | Id::Tasks
        | Id::TaskLog
        | Id::TaskUp
        | Id::TaskDown
        | Id::TaskFront
        | Id::TaskBack
        | Id::TakeOut
        | Id::PutIn
        | Id::TryAgain
        | Id::Pause
        | Id::Arm
        | Id::EmergencyStop
        | Id::Undo
        | Id::Edit
        | Id::EditFile
        | Id::Palette
        | Id::Refresh
        | Id::Copy
        | Id::CopyCell
        | Id::Mouse
        | Id::SaveLog
        | Id::Suspend
        | Id::Quit => Outcome::Outside,
    }
}

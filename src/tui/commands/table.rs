//! What each command does and when it can be done. Names, keys and words are the settings' table of [keys], in the same
//! order; the footer shows its hints in this order.

use super::enabled::{self, always, leads, seen};
use super::{Command, Id, Scope};
use crate::tui::state::State;
use crate::tui::state::place::Page;

const fn on(
    scope: Scope,
    id: Id,
    name: &'static str,
    hint: Option<&'static str>,
    when: fn(&State) -> Result<(), String>,
) -> Command {
    Command { id, name, scope, hint, when }
}

const fn go(page: Page, name: &'static str) -> Command {
    on(Scope::Everywhere, Id::Go(page), name, None, always)
}

use Scope::{Charts, Everywhere, Limited, Log, Machine, Marked, Queue, Rows, Searched, Subject, Task};

/// Every command.
pub(crate) static TABLE: &[Command] = &[
    on(Everywhere, Id::Open, "open", Some("open"), enabled::opens),
    on(Limited, Id::Edit, "edit", Some("limits"), leads),
    on(Everywhere, Id::EditFile, "edit-file", None, leads),
    on(Machine, Id::Drain, "drain", Some("drain"), enabled::drain),
    on(Machine, Id::CancelDrain, "cancel-drain", Some("cancel drain"), enabled::cancel_drain),
    on(Machine, Id::Stop, "stop", Some("stop"), enabled::stop),
    on(Machine, Id::Hold, "hold", Some("hold"), enabled::machine_up),
    on(Machine, Id::Replace, "replace", None, enabled::machine_up),
    on(Everywhere, Id::DrainIdle, "drain-idle", Some("drain idle"), enabled::drain_idle),
    on(Machine, Id::BootLog, "boot-log", Some("log"), enabled::boot_log),
    on(Queue, Id::Launch, "launch", Some("launch"), leads),
    on(Subject, Id::Tasks, "tasks", Some("tasks"), enabled::queue_alone),
    on(Task, Id::TaskFront, "to-front", Some("first"), enabled::waits),
    on(Task, Id::TaskBack, "to-end", Some("last"), enabled::waits),
    on(Task, Id::TaskUp, "task-up", Some("up"), enabled::waits),
    on(Task, Id::TaskDown, "task-down", Some("down"), enabled::waits),
    on(Task, Id::TakeOut, "take-out", Some("take out"), enabled::waits),
    on(Task, Id::PutIn, "put-in", Some("put in"), enabled::stopped),
    on(Subject, Id::TaskLog, "console", Some("console"), enabled::has_task),
    on(Subject, Id::Why, "why", Some("why"), enabled::why),
    on(Everywhere, Id::Pause, "pause", Some("pause"), leads),
    on(Everywhere, Id::Arm, "arm", Some("arm"), leads),
    on(Searched, Id::Filter, "filter", Some("filter"), always),
    on(Log, Id::NextMatch, "next-match", Some("next"), enabled::searches),
    on(Log, Id::PreviousMatch, "previous-match", None, enabled::searches),
    on(Log, Id::Wrap, "wrap", Some("wrap"), always),
    on(Log, Id::SaveLog, "save-log", Some("save"), enabled::has_log),
    on(Everywhere, Id::Palette, "palette", Some("do"), always),
    on(Everywhere, Id::Go(Page::Help), "help", Some("help"), always),
    on(Everywhere, Id::Undo, "undo", Some("undo"), enabled::undo),
    on(Marked, Id::Mark, "mark", Some("mark"), enabled::markable),
    on(Marked, Id::MarkRange, "mark-range", None, enabled::any_row),
    on(Marked, Id::MarkAll, "mark-all", None, enabled::any_row),
    on(Rows, Id::Sort, "sort", Some("sort"), enabled::sorts),
    on(Rows, Id::Dearest, "dearest-first", None, enabled::priced),
    on(Rows, Id::Invert, "invert", None, enabled::inverts),
    on(Everywhere, Id::Actions, "actions", Some("actions"), always),
    on(Everywhere, Id::Refresh, "refresh", None, seen),
    on(Subject, Id::Copy, "copy", None, always),
    on(Rows, Id::CopyCell, "copy-cell", None, enabled::any_row),
    on(Everywhere, Id::Freeze, "freeze", None, seen),
    on(Everywhere, Id::TryAgain, "try-again", Some("try again"), enabled::back_off),
    on(Everywhere, Id::Problems, "errors", None, enabled::has_problems),
    on(Everywhere, Id::Theme, "theme", None, always),
    on(Everywhere, Id::Mouse, "mouse", None, always),
    on(Everywhere, Id::EmergencyStop, "emergency-stop", None, leads),
    go(Page::Queues, "queues"),
    go(Page::Instances, "instances"),
    go(Page::Spend, "spend"),
    go(Page::Why, "plan"),
    go(Page::Journal, "journal"),
    go(Page::Settings, "settings"),
    go(Page::Logs, "logs"),
    go(Page::Charts, "charts"),
    go(Page::Pools, "pools"),
    on(Charts, Id::PanLeft, "earlier", Some("earlier"), seen),
    on(Charts, Id::PanRight, "later", None, seen),
    on(Charts, Id::ZoomIn, "zoom-in", Some("closer"), seen),
    on(Charts, Id::ZoomOut, "zoom-out", None, seen),
    on(Charts, Id::Markers, "markers", Some("markers"), always),
    on(Everywhere, Id::Down, "down", None, always),
    on(Everywhere, Id::Up, "up", None, always),
    on(Everywhere, Id::PageDown, "page-down", None, always),
    on(Everywhere, Id::PageUp, "page-up", None, always),
    on(Everywhere, Id::HalfDown, "half-page-down", None, always),
    on(Everywhere, Id::HalfUp, "half-page-up", None, always),
    on(Everywhere, Id::Top, "top", None, always),
    on(Everywhere, Id::Bottom, "bottom", None, always),
    on(Everywhere, Id::Leave, "back", None, enabled::up),
    on(Everywhere, Id::Previous, "previous", None, enabled::previous),
    on(Everywhere, Id::Next, "next", None, enabled::next),
    on(Everywhere, Id::Last, "last", None, enabled::previous),
    on(Everywhere, Id::Suspend, "suspend", None, always),
    on(Everywhere, Id::Quit, "quit", None, always),
];

//! The table itself. The footer shows its hints in this order.

use crossterm::event::KeyCode;

use super::enabled::{self, always, leads, seen};
use super::{Command, Id, Key, Scope};
use crate::tui::state::State;
use crate::tui::state::place::Page;

const fn on(
    scope: Scope,
    id: Id,
    keys: &'static [Key],
    name: &'static str,
    hint: Option<&'static str>,
    when: fn(&State) -> Result<(), String>,
    doc: &'static str,
) -> Command {
    Command { id, keys, name, doc, scope, hint, when }
}

const fn go(page: Page, key: &'static [Key], name: &'static str, doc: &'static str) -> Command {
    on(Scope::Everywhere, Id::Go(page), key, name, None, always, doc)
}

use Scope::{Everywhere, Limited, Machine, Marked, Queue, Rows, Subject};

const fn k(letter: char) -> Key {
    Key::of(letter)
}

const fn n(code: KeyCode) -> Key {
    Key::named(code)
}

/// Every command.
pub(crate) static TABLE: &[Command] = &[
    on(Everywhere, Id::Open, &[n(KeyCode::Enter)], "open", Some("open"), enabled::opens, "Open what is selected"),
    on(
        Limited,
        Id::Edit,
        &[k('e')],
        "edit",
        Some("limits"),
        leads,
        "Edit limits and budgets, with a preview of what the loop will do",
    ),
    on(
        Machine,
        Id::Drain,
        &[k('d')],
        "drain",
        Some("drain"),
        enabled::drain,
        "Take no more tasks, finish the present one, stop",
    ),
    on(
        Machine,
        Id::CancelDrain,
        &[k('D')],
        "cancel-drain",
        Some("cancel drain"),
        enabled::cancel_drain,
        "Let a draining machine take tasks again",
    ),
    on(
        Machine,
        Id::Stop,
        &[k('x')],
        "stop",
        Some("stop"),
        enabled::stop,
        "End the machine; one that may have a task is killed, and its id must be typed",
    ),
    on(
        Machine,
        Id::Hold,
        &[k('h')],
        "hold",
        Some("hold"),
        enabled::machine_up,
        "Let the loop leave the machine alone for a while, or end that",
    ),
    on(
        Machine,
        Id::Replace,
        &[k('R')],
        "replace",
        None,
        enabled::machine_up,
        "Drain the machine once it is idle, for another in its place, or let it be",
    ),
    on(
        Everywhere,
        Id::DrainIdle,
        &[k('I')],
        "drain-idle",
        Some("drain idle"),
        enabled::drain_idle,
        "Drain every machine that is idle now, but for held ones; the list is shown first",
    ),
    on(Machine, Id::BootLog, &[k('l')], "boot-log", Some("log"), seen, "Show what the machine wrote on its console"),
    on(
        Queue,
        Id::Launch,
        &[k('L')],
        "launch",
        Some("launch"),
        leads,
        "Launch one machine, whatever waits, within limits and budgets",
    ),
    on(
        Subject,
        Id::Why,
        &[k('w')],
        "why",
        Some("why"),
        enabled::why,
        "Say why it is as it is, and what would change it",
    ),
    on(Everywhere, Id::Pause, &[k('P')], "pause", Some("pause"), leads, "Pause the loop, or let it act again"),
    on(Everywhere, Id::Arm, &[k('A')], "arm", Some("arm"), leads, "Let the loop act, or go back to the dry run"),
    on(
        Rows,
        Id::Filter,
        &[k('/')],
        "filter",
        Some("filter"),
        always,
        "Show only rows with these words; !word shuts rows out, state=idle cost>2 age>1h ask columns",
    ),
    on(Everywhere, Id::Palette, &[k(':')], "palette", Some("do"), always, "Do anything by its name, or set KEY VALUE"),
    on(Everywhere, Id::Go(Page::Help), &[k('?')], "help", Some("help"), always, "Show every key"),
    on(
        Everywhere,
        Id::Undo,
        &[k('u')],
        "undo",
        Some("undo"),
        enabled::undo,
        "Take back the last edit, or a drain that was not answered yet",
    ),
    on(
        Marked,
        Id::Mark,
        &[k(' ')],
        "mark",
        Some("mark"),
        enabled::markable,
        "Mark the machine, or take the mark off; orders go to all that are marked",
    ),
    on(
        Marked,
        Id::MarkRange,
        &[k('v')],
        "mark-range",
        None,
        enabled::any_row,
        "Begin a range at this row; again: mark the rows up to here",
    ),
    on(
        Marked,
        Id::MarkAll,
        &[k('*')],
        "mark-all",
        None,
        enabled::any_row,
        "Mark every row that passes the filter, or none of them",
    ),
    on(Rows, Id::Sort, &[k('s')], "sort", Some("sort"), enabled::sorts, "Choose the column to sort by"),
    on(Rows, Id::Invert, &[k('S')], "invert", None, enabled::inverts, "Turn the order round"),
    on(
        Everywhere,
        Id::Actions,
        &[k('a')],
        "actions",
        Some("actions"),
        always,
        "Show everything that can be done here, and why not",
    ),
    on(Everywhere, Id::Refresh, &[k('r'), Key::ctrl('r')], "refresh", None, seen, "Look at the world at once"),
    on(Subject, Id::Copy, &[k('y')], "copy", None, always, "Copy the name or id to the terminal's clipboard"),
    on(
        Rows,
        Id::CopyCell,
        &[k('Y')],
        "copy-cell",
        None,
        enabled::any_row,
        "Choose a cell of the row, and copy it to the terminal's clipboard",
    ),
    on(
        Everywhere,
        Id::Freeze,
        &[k('f')],
        "freeze",
        None,
        seen,
        "Hold the screen still, or let it go on; the loop goes on",
    ),
    on(
        Everywhere,
        Id::TryAgain,
        &[k('b')],
        "try-again",
        Some("try again"),
        enabled::back_off,
        "End a back-off: try what failed again at once",
    ),
    on(Everywhere, Id::Problems, &[k('!')], "errors", None, enabled::has_problems, "Read the errors and warnings"),
    on(Everywhere, Id::Theme, &[k('t')], "theme", None, always, "Choose the colours and signs; each is shown at once"),
    on(
        Everywhere,
        Id::EmergencyStop,
        &[k('X')],
        "emergency-stop",
        None,
        leads,
        "End every machine of the fleet; its name must be typed",
    ),
    go(Page::Queues, &[k('1')], "queues", "What waits, and what happens next?"),
    go(Page::Instances, &[k('2')], "instances", "What is up?"),
    go(Page::Spend, &[k('3')], "spend", "What does it cost?"),
    go(Page::Why, &[k('4')], "plan", "What did the last pass decide, and why?"),
    go(Page::Journal, &[k('5')], "journal", "Who did what?"),
    go(Page::Settings, &[k('6')], "settings", "What is allowed?"),
    go(Page::Logs, &[k('7')], "logs", "What does the program itself report?"),
    go(Page::Pools, &[k('8')], "pools", "What can be rented, at what price, and what backs off?"),
    on(Everywhere, Id::Down, &[n(KeyCode::Down), k('j')], "down", None, always, "One line down"),
    on(Everywhere, Id::Up, &[n(KeyCode::Up), k('k')], "up", None, always, "One line up"),
    on(Everywhere, Id::PageDown, &[n(KeyCode::PageDown)], "page-down", None, always, "One page down"),
    on(Everywhere, Id::PageUp, &[n(KeyCode::PageUp)], "page-up", None, always, "One page up"),
    on(Everywhere, Id::HalfDown, &[Key::ctrl('d')], "half-page-down", None, always, "Half a page down"),
    on(Everywhere, Id::HalfUp, &[Key::ctrl('u')], "half-page-up", None, always, "Half a page up"),
    on(Everywhere, Id::Top, &[k('g'), n(KeyCode::Home)], "top", None, always, "To the first line"),
    on(Everywhere, Id::Bottom, &[k('G'), n(KeyCode::End)], "bottom", None, always, "To the last line"),
    on(
        Everywhere,
        Id::Leave,
        &[n(KeyCode::Esc)],
        "back",
        None,
        enabled::up,
        "Close the dialog, else clear the filter, else the marks, else one level up",
    ),
    on(Everywhere, Id::Previous, &[k('[')], "previous", None, enabled::previous, "To the view before"),
    on(Everywhere, Id::Next, &[k(']')], "next", None, enabled::next, "To the view after"),
    on(Everywhere, Id::Last, &[k('-')], "last", None, enabled::previous, "To the view before, and back again"),
    on(
        Everywhere,
        Id::Suspend,
        &[Key::ctrl('z')],
        "suspend",
        None,
        always,
        "Stop the program until the shell continues it; the loop stops, too",
    ),
    on(Everywhere, Id::Quit, &[k('q'), Key::ctrl('c')], "quit", None, always, "End the loop and leave"),
];

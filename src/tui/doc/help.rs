//! Help: made from the command table, so that it cannot lie.

use unicode_width::UnicodeWidthStr;

use super::{Line, heading, wrapped};
use crate::tui::commands::{Command, Id, Keymap, Scope, TABLE};
use crate::tui::theme::Tone;
use crate::tui::words::wrap;

/// Whether a command belongs in a section.
type Holds = fn(&Command) -> bool;

pub(super) fn lines(keys: &Keymap, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let sections: [(&str, Holds); 4] = [
        ("What is selected", |command| {
            matches!(command.scope, Scope::Machine | Scope::Task | Scope::Queue | Scope::Limited | Scope::Subject)
        }),
        ("The loop and the screen", |command| {
            matches!(
                command.scope,
                Scope::Everywhere | Scope::Rows | Scope::Log | Scope::Searched | Scope::Marked | Scope::Charts
            ) && !moves(command)
                && !is_page(command)
        }),
        ("Views", is_page),
        ("Moving", moves),
    ];
    for (title, holds) in sections {
        lines.push(heading(title));
        for command in TABLE.iter().filter(|command| holds(command)) {
            lines.extend(told(command, keys, width));
        }
        lines.push(Line::default());
    }
    lines.push(heading("In a dialog"));
    lines.extend(wrapped(
        "Esc or Enter cancels; y agrees. What destroys a task asks for a name or a number to be typed. In a form Tab \
         goes to the next field and Ctrl-S applies.",
        Tone::Plain,
        width,
    ));
    lines.push(Line::default());
    lines.push(heading("Signs"));
    for (glyph, word) in [
        ("●", "busy: runs a task"),
        ("◌", "idle"),
        ("◐", "pending or booting; ◔ intended: not known to exist yet"),
        ("▼", "draining: takes no more tasks, finishes the present one"),
        ("■", "stopping"),
        (
            "✖",
            "a fault: stuck, lost, not pulling, interrupted, stopped outside, agents missing, claimed twice; or a ghost",
        ),
        ("◇", "foreign: a worker of others; never acted on"),
    ] {
        let parts = wrap(word, width.saturating_sub(2)).into_iter().enumerate();
        lines.extend(parts.map(|(at, part)| {
            let glyph = if at == 0 { glyph } else { " " };
            Line::of(format!("{glyph} "), Tone::Key).and(part, Tone::Plain)
        }));
    }
    lines
}

fn moves(command: &Command) -> bool {
    matches!(
        command.id,
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
    )
}

fn is_page(command: &Command) -> bool {
    matches!(command.id, Id::Go(_))
}

/// Its keys, its name where there is room, and what it does, wrapped under itself.
fn told(command: &Command, keys: &Keymap, width: usize) -> Vec<Line> {
    const NAMED: usize = 60;
    let keys = format!("{:<8} ", keys.all(command.id));
    let name = if width < NAMED { String::new() } else { format!("{:<16}", command.name) };
    let room = width.saturating_sub(keys.width() + name.width());
    let parts = wrap(command.doc(), room).into_iter().enumerate();
    let line = |(at, part): (usize, String)| {
        if at > 0 {
            return Line::plain(format!("{}{part}", " ".repeat(keys.width() + name.width())));
        }
        Line::of(keys.clone(), Tone::Key).and(name.clone(), Tone::Strong).and(part, Tone::Plain)
    };
    parts.map(line).collect()
}

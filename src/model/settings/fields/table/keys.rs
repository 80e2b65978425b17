//! Rows of the screen's commands: the name of each, its keys where the settings give it no others, and what it does.
//! What each does to the screen is the screen's own table, in the same order.

use super::super::rules::KEYS_RULE;
use super::super::{Field, Kind, Takes, Unset};
use crate::model::settings::fields::place::Lens;

macro_rules! command {
    ($name:literal, $keys:literal, $doc:literal) => {
        Field {
            name: $name,
            kind: Kind::Text(KEYS_RULE),
            unset: Unset::Means(concat!("`", $keys, "`")),
            takes: Takes::AtOnce,
            doc: $doc,
            example: $keys,
            later: &[],
            lens: Lens::Keys($name),
        }
    };
}

pub(super) const KEYS: &[Field] = &[
    command!("open", "Enter", "Open what is selected."),
    command!("edit", "e", "Edit limits and budgets, with a preview of what the loop will do."),
    command!(
        "edit-file",
        "E",
        "Open the settings' file in your editor; what it is left as is checked before it is applied."
    ),
    command!("drain", "d", "Take no more tasks, finish the present one, stop."),
    command!("cancel-drain", "D", "Let a draining machine take tasks again."),
    command!("stop", "x", "End the machine; one that may have a task is killed, and its id must be typed."),
    command!("hold", "h", "Let the loop leave the machine alone for a while, or end that."),
    command!("replace", "R", "Drain the machine once it is idle, for another in its place, or let it be."),
    command!("drain-idle", "I", "Drain every machine that is idle now, but for held ones; the list is shown first."),
    command!("boot-log", "l", "Show what the machine wrote on its console."),
    command!("launch", "L", "Launch one machine, whatever waits, within limits and budgets."),
    command!("tasks", "T", "Show the tasks of the queue: those that wait, in their order, and those that run."),
    command!("to-front", "<", "Move the task to the front of its queue."),
    command!("to-end", ">", "Move the task to the end of its queue."),
    command!("task-up", "K", "Move the task one place forward."),
    command!("task-down", "J", "Move the task one place back."),
    command!("take-out", "o", "Take the task out of its queue: it does not run until it is put in again."),
    command!("put-in", "i", "Put a task that was stopped into its queue again, at the end."),
    command!("console", "c", "Show what the task writes on its console."),
    command!("why", "w", "Say why it is as it is, and what would change it."),
    command!("pause", "P", "Pause the loop, or let it act again."),
    command!("arm", "A", "Let the loop act, or go back to the dry run."),
    command!(
        "filter",
        "/",
        "Show only rows with these words; !word shuts rows out, state=idle cost>2 age>1h ask columns. In a log: look for it."
    ),
    command!("next-match", "n", "In a log: to the next line that has what / looks for."),
    command!("previous-match", "N", "In a log: to the line before that has it."),
    command!("wrap", "W", "In a log: let long lines go on below, or cut them."),
    command!("save-log", "Ctrl-S", "Save the log that is shown as a file in the present directory."),
    command!("palette", ":", "Do anything by its name, or set KEY VALUE."),
    command!("help", "?", "Show every key."),
    command!("undo", "u", "Take back the last edit, or a drain that was not answered yet."),
    command!("mark", "Space", "Mark the row, or take the mark off; orders go to all that are marked."),
    command!("mark-range", "v", "Begin a range at this row; again: mark the rows up to here."),
    command!("mark-all", "*", "Mark every row that passes the filter, or none of them."),
    command!("sort", "s", "Choose the column to sort by."),
    command!("dearest-first", "$", "Sort by price, and go to the dearest."),
    command!("invert", "S", "Turn the order round."),
    command!("actions", "a", "Show everything that can be done here, and why not."),
    command!("refresh", "r Ctrl-R", "Look at the world at once."),
    command!("copy", "y", "Copy the name or id to the terminal's clipboard."),
    command!("copy-cell", "Y", "Choose a cell of the row, and copy it to the terminal's clipboard."),
    command!("freeze", "f", "Hold the screen still, or let it go on; the loop goes on."),
    command!("try-again", "b", "End a back-off: try what failed again at once."),
    command!("errors", "!", "Read the errors and warnings."),
    command!("theme", "t", "Choose the colours and signs; each is shown at once."),
    command!("mouse", "M", "Use the mouse here, or leave it to the terminal, which selects text with it."),
    command!("emergency-stop", "X", "End every machine of the fleet; how many they are must be typed."),
    command!("queues", "1", "What waits, and what happens next?"),
    command!("instances", "2", "What is up?"),
    command!("spend", "3", "What does it cost?"),
    command!("plan", "4", "What did the last pass decide, and why?"),
    command!("journal", "5", "Who did what?"),
    command!("settings", "6", "What is allowed?"),
    command!("logs", "7", "What does the program itself report?"),
    command!("charts", "9", "How did it go, and where does it lead?"),
    command!("pools", "8", "What can be rented, at what price, and what backs off?"),
    command!("earlier", "Left", "Move the charts' cursor back in time."),
    command!("later", "Right", "Move the charts' cursor towards now."),
    command!("zoom-in", "+ =", "Show less time around the cursor, twice as large."),
    command!("zoom-out", "_", "Show twice as much time."),
    command!("markers", "#", "Draw the charts' lines with braille, with blocks, or with ASCII signs."),
    command!("down", "Down j", "One line down."),
    command!("up", "Up k", "One line up."),
    command!("page-down", "PgDn", "One page down."),
    command!("page-up", "PgUp", "One page up."),
    command!("half-page-down", "Ctrl-D", "Half a page down."),
    command!("half-page-up", "Ctrl-U", "Half a page up."),
    command!("top", "g Home", "To the first line."),
    command!("bottom", "G End", "To the last line."),
    command!(
        "back",
        "Esc",
        "Close the dialog, else clear the filter, else the marks, else back to where this was opened, or one level up."
    ),
    command!("previous", "[", "To the view before."),
    command!("next", "]", "To the view after."),
    command!("last", "-", "To the view before, and back again."),
    command!("suspend", "Ctrl-Z", "Stop the program until the shell continues it; the loop stops, too."),
    command!("quit", "q Ctrl-C", "End the loop and leave."),
];

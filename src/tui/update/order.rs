//! Requests to the loop, each with its id and what its answer is for.

use crate::engine::command::{Command, Request};
use crate::model::tasks::TaskDeed;
use crate::tui::dialog::deed::Deed;
use crate::tui::message::{Effect, Ending};
use crate::tui::state::{Asked, State, Undo};

/// Sends a command, and keeps what its answer is for.
pub(super) fn send(state: &mut State, command: Command, asked: Asked, effects: &mut Vec<Effect>) -> u64 {
    let id = state.next_id;
    state.next_id += 1;
    state.asked.insert(id, asked);
    effects.push(Effect::Send(Request { id, by: state.setup.by.clone(), command }));
    id
}

/// Does a deed that was agreed to.
pub(super) fn perform(state: &mut State, deed: &Deed, effects: &mut Vec<Effect>) {
    match deed {
        Deed::Detach => {
            let ending = if state.setup.attached.is_some() { Ending::Detached } else { Ending::Forced };
            effects.push(Effect::Leave(ending));
        }
        Deed::Suspend => effects.push(Effect::Suspend),
        Deed::Quit(on_exit) => super::leave::end_loop(state, *on_exit, effects),
        Deed::Write(whole) => {
            forget_undone(state, deed);
            super::editor::send(state, whole, effects);
        }
        deed => {
            if let Some(command) = deed.command() {
                forget_undone(state, deed);
                if deed.is_for_marked() {
                    state.unmark();
                }
                let asked = Asked::Deed { what: deed.what(), undo: deed.undo() };
                send(state, command, asked, effects);
                state.inform(format!("{}: asked", deed.what()));
            }
        }
    }
}

/// What is taken back now is not taken back again.
fn forget_undone(state: &mut State, deed: &Deed) {
    let undoes = match (deed, state.undo.last()) {
        (Deed::CancelDrain(instance), Some(Undo::Drain(drained))) => drained.as_slice() == [instance.clone()],
        (Deed::CancelAll(machines), Some(Undo::Drain(drained))) => {
            machines.iter().all(|machine| drained.contains(machine))
        }
        (Deed::Tasks { tasks, deed: TaskDeed::PutIn, .. }, Some(Undo::Tasks(_, taken))) => tasks == taken,
        (Deed::TakeBack { undone, .. }, Some(Undo::Edits { back, done })) => {
            (&undone.back, &undone.done) == (back, done)
        }
        (Deed::Write(whole), Some(Undo::Text(written))) => {
            whole.is_back && (&whole.draft.was, &whole.draft.text) == (&written.text, &written.was)
        }
        _ => false,
    };
    if undoes {
        state.undo.pop();
    }
}

//! Leaving: the loop is ended as the settings or the person say, and waited for; Ctrl-C leaves it behind.

use super::order;
use crate::engine::command::Command;
use crate::model::settings::OnExit;
use crate::tui::commands::Key;
use crate::tui::dialog::deed::Deed;
use crate::tui::message::{Effect, Ending, Signal};
use crate::tui::state::{Asked, Leaving, State};

/// How long the loop may take to end, in seconds: alone, and where it has machines to end.
const PATIENCE: u32 = 15;
const PATIENCE_WITH_MACHINES: u32 = 120;

/// A person wants to leave: asks where something is at stake.
pub(super) fn wanted(state: &mut State, effects: &mut Vec<Effect>) {
    let deed = if state.setup.attached.is_some() || state.loop_gone { Deed::Detach } else { Deed::Quit(None) };
    let at_stake = state.live.as_ref().is_some_and(|view| {
        let up = view.snapshot.instances.iter().any(crate::model::instance::Instance::counts);
        up || view.mode.armed || !view.acts.is_empty() || !view.snapshot.intents.is_empty()
    });
    if at_stake && deed != Deed::Detach {
        state.ask_person(deed);
    } else {
        order::perform(state, &deed, effects);
    }
}

/// Tells the loop to end, and waits for it.
pub(super) fn end_loop(state: &mut State, on_exit: Option<OnExit>, effects: &mut Vec<Effect>) {
    let settled = state.live.as_ref().map_or(OnExit::Leave, |view| view.settings.the_loop.on_exit);
    let on_exit_now = on_exit.unwrap_or(settled);
    let seconds_left = if on_exit_now == OnExit::Leave { PATIENCE } else { PATIENCE_WITH_MACHINES };
    state.dialog = None;
    state.leaving = Some(Leaving { on_exit: on_exit_now, seconds_left, waited: 0 });
    order::send(state, Command::Quit { on_exit }, Asked::Quit, effects);
}

/// While the loop ends.
pub(super) fn press(_: &mut State, key: Option<Key>, effects: &mut Vec<Effect>) {
    if key == Some(Key::ctrl('c')) {
        effects.push(Effect::Leave(Ending::Forced));
    }
}

pub(super) fn tick(state: &mut State, effects: &mut Vec<Effect>) {
    if let Some(leaving) = &mut state.leaving {
        leaving.waited += 1;
        leaving.seconds_left = leaving.seconds_left.saturating_sub(1);
        if leaving.seconds_left == 0 {
            effects.push(Effect::Leave(Ending::Forced));
        }
    }
}

/// The system says so: nobody is asked.
pub(super) fn signalled(state: &mut State, signal: Signal, effects: &mut Vec<Effect>) {
    // Ctrl-C in an editor is told to all who share the terminal.
    if signal == Signal::Int && state.editing.is_some() {
        return;
    }
    if signal == Signal::Tstp {
        effects.push(Effect::Suspend);
        return;
    }
    effects.push(Effect::CloseScreen);
    // A terminal that is gone is told of by the system, by its keys and by a frame that fails.
    if signal == Signal::Hup && state.leaving.is_some() {
        return;
    }
    if state.setup.attached.is_some() {
        effects.push(Effect::Leave(Ending::Detached));
    } else if state.leaving.is_some() || state.loop_gone {
        effects.push(Effect::Leave(Ending::Forced));
    } else {
        end_loop(state, None, effects);
    }
}

//! Keys in the palette.

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent};
use jiff::Timestamp;
use tui_input::backend::crossterm::EventHandler;

use super::{dialogs, obey, order};
use crate::engine::command::Edit;
use crate::model::settings::change::Weight;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::edits::weight;
use crate::tui::dialog::palette::{Palette, What, offers};
use crate::tui::dialog::picker::Choice;
use crate::tui::message::Effect;
use crate::tui::state::State;

pub(super) fn press(
    state: &mut State,
    mut palette: Palette,
    event: KeyEvent,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let offers = offers(state, palette.input.value());
    let chosen = offers.get(palette.at);
    match event.code {
        KeyCode::Down => palette.at = (palette.at + 1).min(offers.len().saturating_sub(1)),
        KeyCode::Up => palette.at = palette.at.saturating_sub(1),
        KeyCode::Tab => {
            if let Some(offer) = chosen {
                let text = match &offer.what {
                    What::Type(text) => text.clone(),
                    What::Set(..) | What::Say(_) | What::Nothing => palette.input.value().to_owned(),
                    What::Command(_) | What::Visit(_) => offer.label.clone(),
                };
                palette = Palette { input: text.as_str().into(), at: 0 };
            }
        }
        KeyCode::Enter => {
            let Some(offer) = chosen else {
                state.inform(format!("nothing is called {}", palette.input.value()));
                return;
            };
            if let Some(why) = &offer.off {
                state.inform(format!("{}: {why}", offer.label));
                state.dialog = Some(Dialog::Palette(palette));
                return;
            }
            match offer.what.clone() {
                What::Command(id) => dialogs::choose(state, Choice::Command(id), now, effects),
                What::Visit(place) => obey::visit(state, place, effects),
                What::Type(text) => {
                    state.dialog = Some(Dialog::Palette(Palette { input: text.as_str().into(), at: 0 }));
                }
                What::Set(edit, back) => set(state, edit, back, effects),
                What::Say(hint) => {
                    state.inform(hint);
                    state.dialog = Some(Dialog::Palette(palette));
                }
                What::Nothing => {}
            }
            return;
        }
        _ => {
            palette.input.handle_event(&TerminalEvent::Key(event));
            palette.at = 0;
        }
    }
    state.dialog = Some(Dialog::Palette(palette));
}

/// What lets more be spent is asked about first, as it stands beside what is there now.
fn set(state: &mut State, edit: Edit, back: Edit, effects: &mut Vec<Effect>) {
    let Some(view) = state.live.clone() else { return };
    let deed = Deed::set(vec![edit.clone()], vec![back], &view);
    if weight(&view, &[edit]) > Weight::Light {
        state.ask_person(deed);
    } else {
        order::perform(state, &deed, effects);
    }
}

//! What a typed line means, as the messages that the same person would send with keys.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::model::nearest::did_you_mean;
use crate::model::settings::OnExit;
use crate::tui::commands::{Id, Key, TABLE, as_event};
use crate::tui::dialog::consequence::{Proof, exit_word};
use crate::tui::dialog::deed::Deed;
use crate::tui::dialog::form::Form;
use crate::tui::dialog::palette::{What, offers};
use crate::tui::dialog::picker::Picker;
use crate::tui::dialog::{Confirm, Dialog};
use crate::tui::message::Message;
use crate::tui::state::State;

/// The meaning of a line.
#[derive(Debug)]
pub(super) enum Said {
    Messages(Vec<Message>),
    /// The row of this number, from 1.
    Row(usize),
    /// Tell again what is there.
    Again,
    Help,
    /// It means nothing, and why.
    Nothing(String),
}

fn key(code: KeyCode) -> Message {
    Message::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn escape() -> Said {
    Said::Messages(vec![key(KeyCode::Esc)])
}

/// What is said where a line was only the beginning of a command.
pub(super) const MORE: &str = "type a command's whole line, as in `set limits.max 4`; `help` tells what there is";

/// What closes the palette where a line was refused or did not end in it: the next line would be taken for Esc.
pub(super) fn closes(state: &State) -> Option<Message> {
    matches!(state.dialog, Some(Dialog::Palette(_))).then(|| key(KeyCode::Esc))
}

/// A text typed into the field that is open, in the place of what is there.
fn field(text: &str) -> [Message; 3] {
    let clear = |letter| Message::Key(as_event(Key::ctrl(letter)));
    // To the end of the line, then all before it.
    [clear('e'), clear('u'), Message::Paste(text.to_owned())]
}

pub(super) fn said(state: &State, line: &str) -> Said {
    let line = line.trim();
    match &state.dialog {
        _ if state.leaving.is_some() && line == "leave" => Said::Messages(vec![Message::Key(as_event(Key::ctrl('c')))]),
        _ if state.leaving.is_some() => Said::Nothing("The loop is ending; `leave` does not wait for it.".to_owned()),
        Some(Dialog::Confirm(confirm)) => confirming(state, confirm, line),
        Some(Dialog::Picker(picker)) => picking(picker, line),
        Some(Dialog::Form(form)) => filling(form, line),
        Some(Dialog::Problems { .. } | Dialog::Palette(_) | Dialog::Filter { .. } | Dialog::Gone(_)) => escape(),
        None => command(state, line),
    }
}

/// Only the agreed word agrees; anything else is Cancel.
fn confirming(state: &State, confirm: &Confirm, line: &str) -> Said {
    let question =
        state.live.as_ref().and_then(|view| confirm.question(view, &state.keys, state.shown_at(view.at)).ok());
    if let (Deed::Quit(chosen), Some(wanted)) = (&confirm.deed, exit_of_word(line)) {
        return choose_exit(state, *chosen, wanted);
    }
    match question.map(|question| question.proof) {
        Some(Proof::Yes) if matches!(line, "y" | "yes") => Said::Messages(vec![key(KeyCode::Char('y'))]),
        Some(Proof::Type(text)) if line == text => {
            Said::Messages(field(&text).into_iter().chain([key(KeyCode::Enter)]).collect())
        }
        _ => escape(),
    }
}

const EXITS: [OnExit; 3] = [OnExit::Leave, OnExit::StopIdle, OnExit::StopAll];

fn exit_of_word(word: &str) -> Option<OnExit> {
    EXITS.into_iter().find(|exit| exit_word(*exit) == word)
}

/// What becomes of the machines, which a key goes through in turn.
fn choose_exit(state: &State, chosen: Option<OnExit>, wanted: OnExit) -> Said {
    let settled = state.live.as_ref().map_or(OnExit::Leave, |view| view.settings.the_loop.on_exit);
    let place = |exit: OnExit| EXITS.iter().position(|one| *one == exit).unwrap_or(0);
    let steps = (place(wanted) + EXITS.len() - place(chosen.unwrap_or(settled))) % EXITS.len();
    if steps == 0 {
        return Said::Nothing(format!("It is {} already.", exit_word(wanted)));
    }
    Said::Messages(std::iter::repeat_n(key(KeyCode::Tab), steps).collect())
}

fn picking(picker: &Picker, line: &str) -> Said {
    let by_number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let by_name = || picker.items.iter().position(|item| item.label.trim() == line);
    match by_number.filter(|at| *at < picker.items.len()).or_else(by_name) {
        Some(at) => {
            let ups = std::iter::repeat_n(KeyCode::Up, picker.at);
            let keys = ups.chain(std::iter::repeat_n(KeyCode::Down, at)).chain([KeyCode::Enter]);
            Said::Messages(keys.map(key).collect())
        }
        None if line.is_empty() || line == "cancel" => escape(),
        None => Said::Nothing(format!("`{line}` is none of them; `cancel` leaves.")),
    }
}

/// `max 8` fills the field in, `apply` sends, `cancel` leaves.
fn filling(form: &Form, line: &str) -> Said {
    match line {
        "" => return Said::Again,
        "cancel" => return escape(),
        "apply" => return Said::Messages(vec![Message::Key(as_event(Key::ctrl('s')))]),
        _ => {}
    }
    let found = form.fields.iter().enumerate().filter_map(|(at, field)| {
        let rest = line.strip_prefix(field.label.as_str())?;
        (rest.is_empty() || rest.starts_with(' ')).then_some((at, rest.trim()))
    });
    // A name may begin as another one does.
    let Some((at, text)) = found.max_by_key(|(at, _)| form.fields.get(*at).map_or(0, |field| field.label.len())) else {
        let names: Vec<_> = form.fields.iter().map(|field| field.label.as_str()).collect();
        return Said::Nothing(format!("Fields are {}; `apply` sends, `cancel` leaves.", names.join(", ")));
    };
    let ups = std::iter::repeat_n(KeyCode::Up, form.fields.len());
    let downs = std::iter::repeat_n(KeyCode::Down, at);
    Said::Messages(ups.chain(downs).map(key).chain(field(text)).collect())
}

fn command(state: &State, line: &str) -> Said {
    if line.is_empty() {
        return Said::Again;
    }
    if let Ok(number) = line.parse() {
        return Said::Row(number);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "help" => return Said::Help,
        "more" => return command(state, "page-down"),
        "filter" => {
            let opens = state.keys.keys(Id::Filter).first().map(|key| Message::Key(as_event(*key)));
            let keys = opens.into_iter().chain(field(rest)).chain([key(KeyCode::Enter)]);
            return if state.is_table() {
                Said::Messages(keys.collect())
            } else {
                Said::Nothing("filter: this page has no rows".to_owned())
            };
        }
        _ => {}
    }
    // By its whole name, or by the beginning of one: nothing that could destroy is guessed.
    let all = offers(state, line);
    let exact = all.iter().position(|offer| offer.label == line || matches!(offer.what, What::Set(..)));
    let begun: Vec<usize> =
        (0..all.len()).filter(|at| all.get(*at).is_some_and(|one| one.label.starts_with(line))).collect();
    let at = exact.or(if let [only] = begun.as_slice() { Some(*only) } else { None });
    match (at, word) {
        (Some(at), _) => Said::Messages(by_name(state, line, at)),
        (None, "set") => {
            let why = all.first().map(|offer| offer.off.clone().unwrap_or_else(|| offer.doc.clone()));
            Said::Nothing(why.unwrap_or_else(|| "set KEY VALUE changes a setting".to_owned()))
        }
        (None, _) => {
            let hint = did_you_mean(line, TABLE.iter().map(|command| command.name));
            Said::Nothing(format!("Nothing is called `{line}`{hint}; `help` tells what there is."))
        }
    }
}

/// Through the palette, as by keys.
fn by_name(state: &State, line: &str, at: usize) -> Vec<Message> {
    let opens = state.keys.keys(Id::Palette).first().map(|key| Message::Key(as_event(*key)));
    let downs = std::iter::repeat_n(KeyCode::Down, at).map(key);
    let typed = opens.into_iter().chain([Message::Paste(line.to_owned())]);
    typed.chain(downs).chain([key(KeyCode::Enter)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tests::Person;

    fn line(person: &mut Person, line: &str) {
        let Said::Messages(messages) = said(&person.state, line) else { panic!("{line}") };
        for message in messages {
            person.tell(message);
        }
        if let Some(closes) = closes(&person.state) {
            person.tell(closes);
        }
    }

    #[test]
    fn the_line_after_a_refused_one_is_a_command_of_its_own() {
        for refused in ["drain", "palette", "set"] {
            let mut person = Person::seeing(crate::example::view());
            line(&mut person, refused);
            assert!(person.state.dialog.is_none(), "{refused}");
            line(&mut person, "instances");
            assert_eq!(person.state.place.crumbs(), ["Instances"], "{refused}");
        }
        let mut person = Person::seeing(crate::example::view());
        line(&mut person, "drain");
        let told = person.state.notice.map(|notice| notice.text);
        assert!(told.is_some_and(|text| text.contains("select a machine first")));
    }
}

//! Any keys, sizes and events in any order: nothing panics, and nothing is done that was not agreed to.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::seen::{large, rich};
use super::{Person, keys_of};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, Foresight, Leader, View};
use crate::example::view;
use crate::model::tasks::TaskDeed;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::consequence::Proof;
use crate::tui::message::{Effect, Message};
use crate::tui::view as draw;

/// A share of what is run now and then: `TIDEGATE_EVENTS=1000000 cargo test --lib chance`.
const EVENTS: u32 = 100_000;
const VARIABLE: &str = "TIDEGATE_EVENTS";

/// Keys that do much, more often than others.
const LIKELY: &str = "jkgG12345678?wexdhLPAXuyq:/sSafrtb!lDynnv* Y-2v*TTo<>JKci1o9+_9=GT9";

fn key(chance: &mut ChaCha8Rng) -> KeyEvent {
    let named = ["Enter", "Esc", "Tab", "BackTab", "Up", "Down", "Left", "Right", "PgUp", "PgDn", "Home", "End", "BS"];
    match chance.random_range(0..10) {
        0..5 => {
            let letters: Vec<char> = LIKELY.chars().collect();
            KeyEvent::new(KeyCode::Char(letters[chance.random_range(0..letters.len())]), KeyModifiers::NONE)
        }
        5..7 => keys_of(&format!("<{}>", named[chance.random_range(0..named.len())]))[0],
        7 => {
            let letter = char::from(chance.random_range(b'a'..=b'z'));
            KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)
        }
        8 => KeyEvent::new(KeyCode::Char(char::from(chance.random_range(b' '..=b'~'))), KeyModifiers::NONE),
        _ => KeyEvent::new(KeyCode::Char(chance.random()), KeyModifiers::NONE),
    }
}

fn mouse(chance: &mut ChaCha8Rng) -> MouseEvent {
    let kinds = [
        MouseEventKind::Down(MouseButton::Left),
        MouseEventKind::Down(MouseButton::Right),
        MouseEventKind::ScrollDown,
        MouseEventKind::ScrollUp,
    ];
    MouseEvent {
        kind: kinds[chance.random_range(0..kinds.len())],
        column: chance.random_range(0..200),
        row: chance.random_range(0..60),
        modifiers: KeyModifiers::NONE,
    }
}

/// What an open dialog may send at this key; `None`: nothing.
fn allowed(person: &Person, key: KeyEvent) -> Option<Vec<Command>> {
    let enter = key.code == KeyCode::Enter;
    let y = key.code == KeyCode::Char('y') && key.modifiers.is_empty();
    let control_s = key.code == KeyCode::Char('s') && key.modifiers == KeyModifiers::CONTROL;
    match person.state.dialog.as_ref()? {
        Dialog::Confirm(confirm) => {
            let view = person.state.live.as_ref()?;
            let question = confirm.deed.question(view, person.now).ok()?;
            let agreed = match question.proof {
                Proof::Yes => y,
                Proof::Type(text) => enter && confirm.typed.value() == text,
            };
            agreed.then(|| confirm.deed.as_seen(view, person.now).command().into_iter().collect())
        }
        Dialog::Form(form) if enter || control_s => {
            let set = Command::Set { edits: form.edits(), seen: form.seen.clone() };
            let hold = form.held(person.now).and_then(|(until, why)| match &form.purpose {
                crate::tui::dialog::form::Purpose::Hold(instance) => {
                    crate::tui::dialog::deed::Deed::hold(instance.clone(), until, "ann".into(), why).command()
                }
                crate::tui::dialog::form::Purpose::Edit(_) => None,
            });
            Some([Some(set), hold].into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn is_harmless(command: &Command) -> bool {
    matches!(
        command,
        Command::Refresh
            | Command::Preview(_)
            | Command::BootLog(_)
            | Command::Journal(_)
            | Command::Tasks(_)
            | Command::TaskLog(_)
    ) || is_move(command)
}

/// As easily taken back as done.
fn is_move(command: &Command) -> bool {
    matches!(command, Command::TaskDeed { deed, .. } if !matches!(deed, TaskDeed::TakeOut | TaskDeed::PutIn))
}

fn views() -> Vec<Arc<View>> {
    let mut watching = rich();
    watching.leader = Leader::Other("bo@host".to_owned());
    let mut empty = view();
    Arc::make_mut(&mut empty.snapshot).instances.clear();
    Arc::make_mut(&mut empty.plan).outlooks.clear();
    vec![Arc::new(view()), Arc::new(rich()), Arc::new(large(60, 90)), Arc::new(watching), Arc::new(empty)]
}

fn answer(chance: &mut ChaCha8Rng) -> Result<Answer, String> {
    match chance.random_range(0..8) {
        0 => Ok(Answer::Done),
        5 | 6 => Ok(Answer::Tasks(super::desk::tasks())),
        7 => Ok(Answer::TaskLog("a\n\u{1b}]52;c;x\u{7}".to_owned())),
        1 => Ok(Answer::Said("so it is".to_owned())),
        2 => {
            let view = rich();
            let budgets = view.spend.budgets.clone();
            Ok(Answer::Preview(Box::new(Foresight { plan: view.plan.as_ref().clone(), budgets })))
        }
        3 => Ok(Answer::BootLog("a\nb\u{1b}[31m\n".to_owned())),
        _ => Err("no".to_owned()),
    }
}

#[test]
fn nothing_panics_and_nothing_is_done_unasked() {
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let views = views();
    let mut person = Person::seeing(rich());
    let mut agreed = 0;
    let events = std::env::var(VARIABLE).ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS);
    for step in 0..events {
        let message = match chance.random_range(0..40) {
            0 => Message::Engine(Event::View(views[chance.random_range(0..views.len())].clone())),
            1 => Message::Resize(chance.random_range(1..200), chance.random_range(1..60)),
            2 => Message::Tick,
            3 => match person.state.asked.keys().next() {
                Some(id) => Message::Engine(Event::Answer { id: *id, result: answer(&mut chance) }),
                None => Message::Tick,
            },
            6 => Message::Mouse(mouse(&mut chance)),
            4 => Message::Paste("i-busy\n".to_owned()),
            5 if step % 50 == 0 => Message::Missed(3),
            _ => Message::Key(key(&mut chance)),
        };
        let may = if let Message::Key(key) = &message { allowed(&person, *key) } else { None };
        let setting =
            matches!(&person.state.dialog, Some(Dialog::Palette(palette)) if palette.input.value().starts_with("set "));
        let before = person.effects.len();
        person.tell(message.clone());
        for effect in &person.effects[before..] {
            if let Effect::Send(request) = effect {
                let command = &request.command;
                let asked = may.as_ref().is_some_and(|may| may.contains(command));
                let set_by_name = setting && matches!(command, Command::Set { .. });
                assert!(is_harmless(command) || asked || set_by_name, "{message:?} sent {command:?}");
                agreed += u32::from(asked);
            }
        }
        person.effects.clear();
        if person.state.leaving.is_some() {
            person = Person::seeing(rich());
        }
        if step % 31 == 0 {
            let size = person.state.size;
            let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
            terminal.draw(|frame| draw::draw(frame, &person.state, person.now)).unwrap();
        }
    }
    assert!(agreed > 50, "only {agreed} deeds were agreed to: the keys do not reach them");
}

//! Any keys, sizes and events in any order: nothing panics, nothing is done that was not agreed to, every state is a known
//! one, and every command does what it is for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::known::unknown;
use super::outcome::{Outcome, is_its, outcome};
use super::seen::{large, rich};
use super::triples::{Scenario, TRIPLES};
use super::{Person, answers, keys_of};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, Foresight, Leader, View};
use crate::example::view;
use crate::model::tasks::TaskDeed;
use crate::tui::commands::{Id, TABLE, as_event, pressed};
use crate::tui::dialog::Dialog;
use crate::tui::dialog::consequence::Proof;
use crate::tui::dialog::palette::{What, offers};
use crate::tui::dialog::picker::Choice;
use crate::tui::message::{Effect, Message};
use crate::tui::view as draw;

/// A share of what is run now and then: `TIDEGATE_EVENTS=1000000 cargo test --lib chance`.
const EVENTS: u32 = 120_000;
const VARIABLE: &str = "TIDEGATE_EVENTS";

/// Each command is dispatched so often at least, and has done what it is for once at least.
const DISPATCHES: u32 = 100;

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
            let question = confirm.deed.question(view, &person.state.keys, person.now).ok()?;
            let agreed = match question.proof {
                Proof::Yes => y,
                Proof::Type(text) => enter && confirm.typed.value() == text,
            };
            agreed.then(|| confirm.deed.as_seen(view, person.now).command().into_iter().collect())
        }
        Dialog::Form(form) if enter || control_s => {
            let set = Command::Set { edits: form.edits(), seen: form.seen.clone() };
            let hold = form.held(person.now).and_then(|(until, why)| match &form.purpose {
                crate::tui::dialog::form::Purpose::Hold(machines) => {
                    crate::tui::dialog::deed::Deed::hold(machines.clone(), until, "ann".into(), why).command()
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
            | Command::History
            | Command::Tasks(_)
            | Command::TaskLog(_)
            | Command::SettingsText
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
        4 if chance.random() => Ok(Answer::History(vec![view().glance(); 3])),
        5 | 6 => Ok(Answer::Tasks(super::desk::tasks())),
        7 => Ok(Answer::TaskLog("a\n\u{1b}]52;c;x\u{7}".to_owned())),
        1 if chance.random() => Ok(Answer::Text("[loop]\n".to_owned())),
        1 if chance.random() => Ok(Answer::Overtaken("[limits]\n".to_owned())),
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

/// How often each command was dispatched, and how often it did what it is for.
#[derive(Default)]
struct Report {
    dispatched: BTreeMap<Id, u32>,
    confirmed: BTreeMap<Id, u32>,
}

impl Report {
    fn of(&self, id: Id) -> (u32, u32) {
        let count = |counts: &BTreeMap<Id, u32>| counts.get(&id).copied().unwrap_or(0);
        (count(&self.dispatched), count(&self.confirmed))
    }

    /// Commands that were not dispatched often enough, or whose effect was not seen.
    fn lacking(&self) -> Vec<Id> {
        let lacks = |id: &Id| {
            let (dispatched, confirmed) = self.of(*id);
            dispatched < DISPATCHES || confirmed == 0
        };
        TABLE.iter().map(|command| command.id).filter(lacks).collect()
    }

    fn told(&self) -> String {
        TABLE.iter().fold(String::new(), |mut text, command| {
            let (dispatched, confirmed) = self.of(command.id);
            let _ = writeln!(text, "{:<16} dispatched {dispatched:>6}, confirmed {confirmed:>6}", command.name);
            text
        })
    }
}

/// The command that this key does, by itself or by what it chooses.
fn dispatches(person: &Person, key: KeyEvent) -> Option<Id> {
    let state = &person.state;
    let enter = key.code == KeyCode::Enter;
    let id = match &state.dialog {
        _ if state.leaving.is_some() => return None,
        None => state.keys.command(pressed(key)?)?.id,
        Some(Dialog::Palette(palette)) if enter => match offers(state, palette.input.value()).get(palette.at)?.what {
            What::Command(id) => id,
            _ => return None,
        },
        Some(Dialog::Picker(picker)) if enter => match picker.chosen()? {
            item if item.off.is_some() => return None,
            item => match item.choice {
                Choice::Command(id) => id,
                _ => return None,
            },
        },
        Some(_) => return None,
    };
    TABLE.iter().find(|command| command.id == id)?.enabled(state).is_ok().then_some(id)
}

/// Everything that a command of the screen alone can change, but for its dialog.
fn face(person: &Person) -> String {
    let state = &person.state;
    let (place, look, charts) = (&state.place, state.look(), &state.charts);
    format!(
        "{place:?} {look:?} {:?} {charts:?} {:?} {:?} {} {} {:?}",
        state.theme,
        state.marks,
        state.range_from,
        state.frozen.is_some(),
        state.read.len() + state.errors.len(),
        state.dialog.as_ref().map(std::mem::discriminant),
    )
}

/// What is on its way: a command that was dispatched, and the face that it began with.
struct OnItsWay {
    id: Id,
    face: String,
}

struct Run {
    chance: ChaCha8Rng,
    views: Vec<Arc<View>>,
    person: Person,
    report: Report,
    on_its_way: Option<OnItsWay>,
    /// What is going to be done to reach a command that lacks.
    aimed: VecDeque<Message>,
    agreed: u32,
    events: u32,
}

impl Run {
    /// The way to a command, as a person would go it: away from whatever is open, then the keys of its triple.
    fn aim(&mut self) {
        let lacking = self.report.lacking();
        let Some(id) = lacking.choose(&mut self.chance) else { return };
        let Some((id, scenario, before, after, _)) = TRIPLES.iter().find(|(of, ..)| of == id) else { return };
        let own = self.person.state.keys.keys(*id).first().map(|key| as_event(*key));
        let charts = if *scenario == Scenario::Watched { "9" } else { "" };
        let keys = keys_of("<Esc><Esc><Esc><Esc>1g").into_iter().chain(keys_of(charts)).chain(keys_of(before));
        let keys = keys.chain(own).chain(keys_of(after)).map(Message::Key);
        // Filters and orders that were left behind lead elsewhere: mostly another person sits down.
        if self.chance.random_range(0..4) > 0 {
            self.person = Person::seeing(scenario.view());
            self.on_its_way = None;
        }
        self.aimed.push_back(Message::Resize(100, 30));
        for ago in [600, 300, 0] {
            let mut view = scenario.view();
            view.at -= jiff::SignedDuration::from_secs(ago);
            self.aimed.push_back(Message::Engine(Event::View(Arc::new(view))));
        }
        let lines = (0..100).map(|line| format!("DEBUG look {line}")).collect();
        self.aimed.push_back(Message::Log(Ok(lines)));
        self.aimed.extend(keys);
    }

    fn message(&mut self, step: u32) -> Message {
        let chance = &mut self.chance;
        if self.person.state.editing.is_some() && chance.random_bool(0.5) {
            let texts = ["[loop]\n", "[loop]\nfleet = \"x\"\n", ""];
            return Message::Edited(Ok(texts[chance.random_range(0..texts.len())].to_owned()));
        }
        match chance.random_range(0..40) {
            0 => {
                let mut view = self.views[chance.random_range(0..self.views.len())].as_ref().clone();
                view.at += jiff::SignedDuration::from_secs(i64::from(step % 600));
                Message::Engine(Event::View(Arc::new(view)))
            }
            1 => Message::Resize(chance.random_range(1..200), chance.random_range(1..60)),
            2 => Message::Tick,
            3 => match self.person.state.asked.keys().next() {
                Some(id) => Message::Engine(Event::Answer { id: *id, result: answer(chance) }),
                None => Message::Tick,
            },
            6 => Message::Mouse(mouse(chance)),
            4 => Message::Paste("i-busy\n".to_owned()),
            5 if step.is_multiple_of(50) => Message::Missed(3),
            _ => Message::Key(key(chance)),
        }
    }

    fn step(&mut self, step: u32) {
        // At first only now and then; in the end all that lacks.
        if self.aimed.is_empty() && (step.is_multiple_of(4) || step > self.events / 2) {
            self.aim();
        }
        let is_aimed = !self.aimed.is_empty();
        let message = match self.aimed.pop_front() {
            // Now and then something else happens in between.
            Some(aimed) if self.chance.random_range(0..50) > 0 => aimed,
            _ => self.message(step),
        };
        let person = &mut self.person;
        let key = if let Message::Key(key) = &message { Some(*key) } else { None };
        let may = key.and_then(|key| allowed(person, key));
        let setting =
            matches!(&person.state.dialog, Some(Dialog::Palette(palette)) if palette.input.value().starts_with("set "));
        let chooses = matches!(&person.state.dialog, Some(Dialog::Picker(picker))
            if matches!(picker.chosen().map(|item| &item.choice), Some(Choice::Write(_))))
            && key.is_some_and(|key| key.code == KeyCode::Enter);
        if let Some(id) = key.and_then(|key| dispatches(person, key)) {
            *self.report.dispatched.entry(id).or_default() += 1;
            self.on_its_way = Some(OnItsWay { id, face: face(person) });
        }
        let before = person.effects.len();
        person.tell(message.clone());
        let effects = person.effects.split_off(before);
        for effect in &effects {
            let its = self.on_its_way.as_ref().is_some_and(|on| is_its(on.id, effect));
            if let Effect::Send(request) = effect {
                let command = &request.command;
                let asked = may.as_ref().is_some_and(|may| may.contains(command));
                let set_by_name = setting && matches!(command, Command::Set { .. });
                // What a person saved in an editor.
                let saved = matches!(command, Command::Write { .. });
                let by_editor = matches!(message, Message::Edited(_)) || chooses;
                if saved && by_editor {
                    continue;
                }
                assert!(is_harmless(command) || asked || set_by_name, "{message:?} sent {command:?}");
                // What is dangerous is the effect of the command that was begun, and of no other.
                let begun = self.on_its_way.as_ref().map(|on| on.id);
                assert!(is_harmless(command) || its, "{begun:?} sent {command:?}");
                self.agreed += u32::from(asked);
            }
            if let (true, Some(on)) = (its, &self.on_its_way) {
                *self.report.confirmed.entry(on.id).or_default() += 1;
            }
        }
        person.effects.clear();
        if let Some(on) = &self.on_its_way
            && key.is_some()
            && outcome(on.id) == Outcome::Screen
            && face(person) != on.face
        {
            *self.report.confirmed.entry(on.id).or_default() += 1;
        }
        if person.state.dialog.is_none() {
            self.on_its_way = None;
        }
        if let Some(what) = unknown(person) {
            panic!("{what} after {message:?}");
        }
        if person.state.leaving.is_some() {
            *person = Person::seeing(rich());
            self.on_its_way = None;
        } else if is_aimed {
            answers::answer(person);
            person.effects.clear();
        }
        if step.is_multiple_of(31) {
            let size = person.state.size;
            let mut terminal = Terminal::new(TestBackend::new(size.width, size.height)).unwrap();
            terminal.draw(|frame| draw::draw(frame, &person.state, person.now)).unwrap();
        }
    }
}

#[test]
fn nothing_panics_nothing_is_done_unasked_and_every_command_does_what_it_is_for() {
    let events = std::env::var(VARIABLE).ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS);
    let mut run = Run {
        chance: ChaCha8Rng::seed_from_u64(7),
        views: views(),
        person: Person::seeing(rich()),
        report: Report::default(),
        on_its_way: None,
        aimed: VecDeque::new(),
        agreed: 0,
        events,
    };
    for step in 0..events {
        run.step(step);
    }
    let told = run.report.told();
    println!("{events} events, {} deeds agreed to\n{told}", run.agreed);
    assert!(run.report.lacking().is_empty(), "{:?}\n{told}", run.report.lacking());
}

//! (scenario, keys, screen) for every command: what it changes on the screen, and what it has done.

use std::fmt::Write;
use std::sync::Arc;

use super::seen::{large, rich};
use super::{Person, answers, charts, drains, keys_of};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::example::view;
use crate::model::keys::Key;
use crate::tui::commands::{Id, TABLE, as_event};
use crate::tui::message::{Effect, Message};
use crate::tui::state::place::Page;

/// What is seen when the keys are pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A fleet that acts, with budgets and everything read.
    Rich,
    /// The same with three machines that are idle.
    Idle,
    /// A dry run with a source that fails and settings that do not parse.
    Broken,
    /// Four hundred machines.
    Large,
    /// Ten minutes of samples.
    Watched,
}

impl Scenario {
    pub(super) fn view(self) -> View {
        match self {
            Self::Rich | Self::Watched => rich(),
            Self::Idle => drains::three_idle(),
            Self::Broken => view(),
            Self::Large => large(60, 400),
        }
    }

    pub(super) fn person(self) -> Person {
        let mut person = match self {
            Self::Watched => charts::watched(),
            other => Person::seeing(other.view()),
        };
        let mut lines = ["WARN the cloud is slow", "INFO the loop looks"].map(str::to_owned).to_vec();
        lines.extend((0..98).map(|number| format!("DEBUG look {number}")));
        person.tell(Message::Log(Ok(lines)));
        answers::answer(&mut person);
        person
    }
}

/// Keys before the command's own, keys after it, and what is on the screen then.
pub(super) type Triple = (Id, Scenario, &'static str, &'static str, &'static str);

use Scenario::{Broken, Idle, Large, Rich, Watched};

pub(super) const TRIPLES: &[Triple] = &[
    (Id::Open, Rich, "2", "", "Instances > i-busy"),
    (Id::Edit, Rich, "", "", "Limits and budgets of train"),
    (Id::EditFile, Rich, "", "", "Queues"),
    (Id::Drain, Rich, "2", "y", "drain i-busy: done"),
    (Id::CancelDrain, Rich, "2jjj", "y", "cancel the drain of i-drained: done"),
    (Id::Stop, Rich, "2", "i-busy<Enter>", "kill i-busy: done"),
    (Id::Hold, Rich, "2", "<C-s>", "hold i-busy"),
    (Id::Replace, Rich, "2", "y", "replace i-busy when it is idle: done"),
    (Id::DrainIdle, Idle, "", "y", "drain 3 idle machines: done"),
    (Id::BootLog, Rich, "2", "", "agent starts"),
    (Id::Launch, Rich, "", "y", "launch one in p4d for train: done"),
    (Id::Tasks, Rich, "", "", "train bert"),
    (Id::TaskFront, Rich, "Tj", "", "eval b"),
    (Id::TaskBack, Rich, "T", "", "eval a"),
    (Id::TaskUp, Rich, "Tj", "", "eval b"),
    (Id::TaskDown, Rich, "T", "", "eval a"),
    (Id::TakeOut, Rich, "T", "y", "eval a"),
    (Id::PutIn, Rich, "Tjjj", "y", "old run"),
    (Id::TaskLog, Rich, "2", "", "epoch 2"),
    (Id::NextMatch, Rich, "7/look 5<Enter>", "", "/look 5 (11 lines have it)"),
    (Id::PreviousMatch, Rich, "7/look 5<Enter>", "", "/look 5 (11 lines have it)"),
    (Id::Wrap, Rich, "7", "", "long lines are wrapped"),
    (Id::SaveLog, Rich, "7", "", "WARN the cloud is slow"),
    (Id::Why, Rich, "", "", "5 wait (oldest"),
    (Id::Pause, Rich, "", "y", "pause: done"),
    (Id::Arm, Rich, "", "y", "disarm: done"),
    (Id::Filter, Rich, "2", "held<Enter>", "/held (1 of 7)"),
    (Id::Palette, Rich, "", "set queue.train.max 4<Enter>", "set queue.train.max = 4: done"),
    (Id::Undo, Rich, "e5<C-s>", "y", "done"),
    (Id::Mark, Rich, "2", "", "1 marked"),
    (Id::MarkRange, Rich, "2", "jjv", "3 marked"),
    (Id::MarkAll, Rich, "2", "", "4 marked"),
    (Id::Sort, Rich, "2", "j<Enter>", "by INSTANCE, rising"),
    (Id::Dearest, Rich, "2", "", "by $/H, falling"),
    (Id::Invert, Rich, "2sj<Enter>", "", "by INSTANCE, falling"),
    (Id::Actions, Rich, "2", "", "cancel-drain"),
    (Id::Refresh, Rich, "", "", "refresh: done"),
    (Id::Copy, Rich, "2", "", "copied i-busy"),
    (Id::CopyCell, Rich, "2", "j<Enter>", "copied"),
    (Id::Freeze, Rich, "", "", "FROZEN"),
    (Id::TryAgain, Rich, "", "<Enter>y", "done"),
    (Id::Problems, Broken, "", "", "aws us-east-1: did not answer in time"),
    (Id::Theme, Rich, "", "j<Enter>", "colours: light"),
    (Id::Mouse, Rich, "", "", "the mouse works for the terminal"),
    (Id::EmergencyStop, Rich, "", "4<Enter>", "done"),
    (Id::Go(Page::Queues), Rich, "2", "", "Queues"),
    (Id::Go(Page::Instances), Rich, "", "", "i-drained"),
    (Id::Go(Page::Spend), Rich, "", "", "Budgets"),
    (Id::Go(Page::Why), Rich, "", "", "plan of"),
    (Id::Go(Page::Journal), Rich, "", "", "drain i-drained"),
    (Id::Go(Page::Settings), Rich, "", "", "team month"),
    (Id::Go(Page::Logs), Rich, "", "", "WARN the cloud is slow"),
    (Id::Go(Page::Help), Rich, "", "", "What is selected"),
    (Id::Go(Page::Pools), Rich, "", "", "p4d.24xlarge"),
    (Id::Go(Page::Charts), Watched, "1", "", "Machines by state"),
    (Id::PanLeft, Watched, "<Left>", "", "07:59"),
    (Id::PanRight, Watched, "<Left><Left>", "", "07:59"),
    (Id::ZoomIn, Watched, "", "", "07:55"),
    (Id::ZoomOut, Watched, "++", "", "07:55"),
    (Id::Markers, Watched, "", "", "lines are drawn with blocks"),
    (Id::Down, Rich, "2", "", ">i-stuck"),
    (Id::Up, Rich, "2j", "", ">i-busy"),
    (Id::PageDown, Large, "2", "", ">i-0000000000000000f"),
    (Id::PageUp, Large, "2<PgDn>", "", ">i-00000000000000000"),
    (Id::HalfDown, Large, "2", "", ">i-0"),
    (Id::HalfUp, Large, "2<PgDn>", "", ">i-0"),
    (Id::Top, Large, "2G", "", ">i-00000000000000000"),
    (Id::Bottom, Large, "2", "", ">i-old"),
    (Id::Leave, Rich, "2", "", "Queues"),
    (Id::Previous, Rich, "3", "", "Queues"),
    (Id::Next, Rich, "3[", "", "Spend"),
    (Id::Last, Rich, "23", "", "Instances"),
    (Id::Suspend, Rich, "", "y", "Queues"),
    (Id::Quit, Rich, "", "y", "The loop is ending"),
];

/// The lines of the second screen that are not those of the first one.
fn changed(before: &str, after: &str) -> String {
    let mut text = String::new();
    for (number, (was, is)) in before.lines().zip(after.lines()).enumerate() {
        if was != is {
            let _ = writeln!(text, "{:>2} {is}", number + 1);
        }
    }
    text
}

/// What was done outside the screen, but for reading.
fn done(effects: &[Effect]) -> Vec<String> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Send(request) => match &request.command {
            Command::Journal(_) | Command::History | Command::Preview(_) | Command::Tasks(_) | Command::TaskLog(_) => {
                None
            }
            Command::Ask(asks) => Some(format!("{asks:?}")),
            Command::TaskDeed { tasks, deed, .. } => Some(format!("{deed:?} {}", tasks[0].id)),
            other => Some(format!("{other:?}")),
        },
        Effect::ReadLog => None,
        other => Some(format!("{other:?}")),
    });
    told.collect()
}

pub(super) fn press(person: &mut Person, keys: &str) {
    for key in keys_of(keys) {
        person.tell(Message::Key(key));
        answers::answer(person);
    }
}

/// Presses the first key of a command.
pub(super) fn do_it(person: &mut Person, id: Id) -> Key {
    let key = person.state.keys.keys(id)[0];
    person.tell(Message::Key(as_event(key)));
    answers::answer(person);
    key
}

#[test]
fn every_command_has_its_triple() {
    let mut all = String::new();
    for command in TABLE {
        let mut its = TRIPLES.iter().filter(|(id, ..)| *id == command.id).peekable();
        assert!(its.peek().is_some(), "{} has no (scenario, keys, screen)", command.name);
        for (id, scenario, before, after, shown) in its {
            let mut person = scenario.person();
            press(&mut person, before);
            let was = person.screen(80, 24);
            person.effects.clear();
            assert_eq!(command.enabled(&person.state), Ok(()), "{}", command.name);
            let key = do_it(&mut person, *id);
            press(&mut person, after);
            let is = person.screen(80, 24);
            assert!(is.contains(shown), "{}: no `{shown}` in\n{is}", command.name);
            let changed = changed(&was, &is);
            let done = done(&person.effects);
            assert!(!changed.is_empty() || !done.is_empty(), "{} changes nothing", command.name);
            let _ = writeln!(all, "== {} ({scenario:?}: {before} {key} {after})", command.name);
            for line in done {
                let _ = writeln!(all, "-> {line}");
            }
            all.push_str(&changed);
        }
    }
    insta::assert_snapshot!("triples", all);
}

#[test]
fn every_key_of_a_command_does_the_same() {
    for command in TABLE {
        let Some((id, scenario, before, after, shown)) = TRIPLES.iter().find(|(id, ..)| *id == command.id) else {
            continue;
        };
        for key in scenario.person().state.keys.keys(*id).to_vec() {
            let mut person = scenario.person();
            press(&mut person, before);
            person.tell(Message::Key(as_event(key)));
            answers::answer(&mut person);
            press(&mut person, after);
            assert!(person.screen(80, 24).contains(shown), "{} by {key}", command.name);
        }
    }
}

#[test]
fn an_order_that_is_refused_stays_on_the_screen_until_it_is_read() {
    let mut person = Rich.person();
    person.press("2dy");
    let id = *person.state.asked.keys().last().unwrap();
    person.tell(Message::Engine(Event::Answer { id, result: Err::<Answer, _>("no right to".to_owned()) }));
    person.tell(Message::Engine(Event::View(Arc::new(rich()))));
    for _ in 0..20 {
        person.tell(Message::Tick);
    }
    assert!(person.screen(80, 24).contains("drain i-busy: no right to"));
    person.press("!<Esc>");
    assert!(!person.screen(80, 24).contains("no right to"));
}

//! The mouse, which agrees to nothing.

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::Person;
use super::drains::three_idle;
use crate::engine::command::Command;
use crate::tui::dialog::Dialog;
use crate::tui::message::{Effect, Message};
use crate::tui::state::place::{Page, Subject};

fn send(person: &mut Person, kind: MouseEventKind, column: u16, row: u16) {
    person.tell(Message::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
}

/// The line that shows this.
fn line_of(person: &mut Person, text: &str) -> u16 {
    let shown = person.screen(100, 30);
    let found = shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {shown}"));
    u16::try_from(found).unwrap()
}

const LEFT: MouseEventKind = MouseEventKind::Down(MouseButton::Left);

#[test]
fn a_click_selects_another_opens_and_one_on_a_heading_sorts() {
    let mut person = Person::seeing(three_idle());
    person.press("2");
    let row = line_of(&mut person, "i-held");
    send(&mut person, LEFT, 3, row);
    assert_eq!(person.state.subject(), Some(Subject::Instance("i-held".into())));
    send(&mut person, MouseEventKind::Down(MouseButton::Right), 3, row);
    assert!(matches!(person.state.dialog, Some(Dialog::Picker(_))), "what can be done with it");
    person.press("<Esc>");
    send(&mut person, LEFT, 3, row);
    assert_eq!(person.state.place.page, Page::Machine);
    person.press("<Esc>");
    let head = line_of(&mut person, "INSTANCE");
    let column = person.screen(100, 30).lines().nth(usize::from(head)).unwrap().find("STATE").unwrap();
    send(&mut person, LEFT, u16::try_from(column).unwrap(), head);
    assert_eq!(person.state.look().sort, Some("STATE"));
    send(&mut person, LEFT, u16::try_from(column).unwrap(), head);
    assert!(person.state.look().inverted);
}

#[test]
fn the_wheel_scrolls_and_no_click_agrees() {
    let mut person = Person::seeing(three_idle());
    person.press("2");
    send(&mut person, MouseEventKind::ScrollDown, 3, 9);
    assert_eq!(person.state.look().row, 3);
    person.press("gx");
    for (column, row) in (0..100).flat_map(|column| (0..30).map(move |row| (column, row))) {
        send(&mut person, LEFT, column, row);
    }
    assert!(matches!(person.state.dialog, Some(Dialog::Confirm(_))));
    assert!(person.sent().iter().all(|command| !matches!(command, Command::Ask(_))));
}

#[test]
fn text_is_left_to_the_terminal_and_m_leaves_it_everything() {
    let mut person = Person::seeing(three_idle());
    let whose = |person: &Person| {
        let told = person.effects.iter().rev().find_map(|effect| match effect {
            Effect::Mouse(ours) => Some(*ours),
            _ => None,
        });
        told.unwrap()
    };
    assert!(whose(&person));
    person.press("?");
    assert!(!whose(&person));
    person.press("2");
    assert!(whose(&person));
    person.press("M");
    assert!(!whose(&person));
}

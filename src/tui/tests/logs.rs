//! Logs: searched, wrapped, saved, followed; and what is kept of a screen for the next time.

use super::Person;
use super::seen::rich;
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event};
use crate::tui::kept;
use crate::tui::message::{Effect, Message};
use crate::tui::state::place::Page;
use crate::tui::theme::{Palette, Theme};

fn log(lines: usize) -> String {
    (0..lines)
        .map(|line| if line % 40 == 7 { format!("{line} ERROR disk\n") } else { format!("{line} fine\n") })
        .collect::<Vec<_>>()
        .concat()
}

/// In front of the boot log of `i-busy`.
fn person(lines: usize) -> Person {
    let mut person = Person::seeing(rich());
    person.press("2l");
    told(&mut person, Ok(Answer::BootLog(log(lines))));
    person
}

fn told(person: &mut Person, result: Result<Answer, String>) {
    let is_boot_log = |command: &Command| matches!(command, Command::BootLog(_));
    let id = person.requests().iter().rev().find(|request| is_boot_log(&request.command)).unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result }));
}

fn asked(person: &Person) -> usize {
    person.sent().into_iter().filter(|command| matches!(command, Command::BootLog(_))).count()
}

#[test]
fn a_boot_log_is_followed_while_it_is_looked_at() {
    let mut person = person(100);
    assert!(person.screen(80, 24).contains("99 fine"), "its end is what is new");
    assert_eq!(asked(&person), 1);
    for _ in 0..10 {
        person.tell(Message::Tick);
    }
    assert_eq!(asked(&person), 2);
    told(&mut person, Ok(Answer::BootLog(log(130))));
    assert!(person.screen(80, 24).contains("129 fine"));
    // Who reads further up is left there, and a cloud that does not answer takes nothing away.
    person.press("g");
    for _ in 0..10 {
        person.tell(Message::Tick);
    }
    told(&mut person, Err("throttled".to_owned()));
    let shown = person.screen(80, 24);
    assert!(shown.contains("0 fine") && shown.contains("boot log: throttled"), "{shown}");
    person.press("<Esc>");
    for _ in 0..20 {
        person.tell(Message::Tick);
    }
    assert_eq!(asked(&person), 3, "what nobody looks at is not read");
}

#[test]
fn a_log_is_searched_forth_and_back() {
    let mut person = person(100);
    person.press("g/error<Enter>");
    let shown = person.screen(80, 24);
    assert!(shown.contains("/error (3 lines have it)") && shown.contains("7 ERROR disk"), "{shown}");
    for (key, top) in [("n", 7), ("n", 47), ("n", 79), ("N", 47), ("N", 7)] {
        person.press(key);
        assert_eq!(person.state.look().top, top, "{key}");
    }
    person.press("<Esc>");
    assert!(!person.screen(80, 24).contains("/error"), "Esc clears it");
    person.press("n");
    assert!(person.screen(80, 24).contains("next-match: / looks for something first"));
    person.press("/nothing<Enter>");
    assert!(person.screen(80, 24).contains("no line has nothing"));
}

#[test]
fn long_lines_are_cut_or_wrapped_and_the_whole_is_saved() {
    let mut person = Person::seeing(rich());
    let long = format!("begin {} end", "word ".repeat(60));
    person.press("7");
    person.tell(Message::Log(Ok(vec![long.clone(), "last".to_owned()])));
    assert!(!person.screen(80, 24).contains(" end"));
    person.press("W");
    let shown = person.screen(80, 24);
    assert!(shown.contains(" end") && shown.contains("long lines are wrapped"), "{shown}");
    person.press("<C-s>");
    let saved = Effect::Save { name: "tidegate-log".to_owned(), text: format!("{long}\nlast\n") };
    assert_eq!(person.effects.last(), Some(&saved));
    person.tell(Message::Saved(Ok("tidegate-log.log".to_owned())));
    assert!(person.screen(80, 24).contains("saved as tidegate-log.log"));
    person.tell(Message::Saved(Err("no space left".to_owned())));
    for _ in 0..5 {
        person.tell(Message::Tick);
    }
    assert!(person.screen(80, 24).contains("save-log: no space left"));
    person.press("1<C-s>");
    assert!(person.screen(80, 24).contains("save-log: this page is no log: 7 shows the program's"));
}

#[test]
fn a_screen_is_taken_up_where_it_was_left() {
    let mut person = Person::seeing(rich());
    person.press("tj<Enter>2$7W6sj<Enter>2<Enter>M");
    assert_eq!(person.state.place.page, Page::Machine);
    let text = kept::text(&person.state);
    let mut next = Person::new();
    kept::take_up(&mut next.state, &text, false);
    next.see(rich());
    // Not the machine, which may be gone.
    assert_eq!(next.state.place.page, Page::Queues);
    assert_eq!(next.state.theme, Theme { palette: Palette::Light, ascii: false });
    assert!(!next.state.wants_mouse);
    next.press("2");
    assert!(next.screen(100, 30).contains("by $/H, falling"));
    next.press("7");
    assert!(next.state.look().wrap);
    // An option goes before what was kept, and rubbish is nothing.
    let mut told = Person::new();
    kept::take_up(&mut told.state, &text, true);
    assert_eq!(told.state.theme.palette, Palette::Dark);
    for rubbish in
        ["", "{", "[]", "{\"view\":\"Nowhere\",\"sorts\":{\"Queues\":[\"NO\",true],\"Journal\":[\"TIME\",true]}}"]
    {
        let mut person = Person::new();
        kept::take_up(&mut person.state, rubbish, false);
        person.see(rich());
        assert_eq!(person.state.place.page, Page::Queues, "{rubbish}");
        person.press("5");
        assert!(person.state.look().sort.is_none());
    }
    let mut spend = Person::seeing(rich());
    spend.press("3");
    let mut next = Person::new();
    kept::take_up(&mut next.state, &kept::text(&spend.state), false);
    assert_eq!(next.state.place.page, Page::Spend);
    assert!(!next.state.chose_theme, "what the terminal decided is decided again");
}

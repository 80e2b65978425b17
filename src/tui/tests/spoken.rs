//! Line by line: nothing that is told speaks of keys, and every question can be answered in words.

use super::answers;
use super::triples::{Scenario, TRIPLES};
use super::{Person, keys_of};
use crate::tui::commands::as_event;
use crate::tui::message::Message;
use crate::tui::plain::told::tests::all;
use crate::tui::state::place::Page;

/// A word that is a key: its name, or a letter that stands alone.
fn speaks_of_a_key(line: &str) -> Option<String> {
    const NAMES: [&str; 7] = ["Tab", "Enter", "Esc", "Space", "PgDn", "PgUp", "Escape"];
    let words: Vec<&str> = line.split(|letter: char| letter.is_whitespace() || ",;.:()`\"".contains(letter)).collect();
    let found = words.iter().enumerate().find(|(at, word)| {
        // A question is agreed to with one; counts are told as `2 x g5.xlarge`.
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        let begins = before.is_none_or(|word| word.is_empty());
        let counts = before.is_some_and(|word| word.parse::<u32>().is_ok());
        let is_told = matches!((**word, begins, counts), ("a" | "y", ..) | ("A", true, _) | ("x", _, true));
        let is_letter = word.chars().count() == 1 && word.chars().all(char::is_alphabetic) && !is_told;
        NAMES.contains(word) || word.starts_with("Ctrl-") || is_letter
    });
    found.map(|(_, word)| (*word).to_owned())
}

fn linear(scenario: Scenario) -> Person {
    let mut person = Person::seeing(scenario.view());
    person.state.keys = person.state.keys.clone().spoken();
    answers::answer(&mut person);
    person
}

#[test]
fn no_command_tells_of_a_key_line_by_line() {
    for (id, scenario, before, ..) in TRIPLES {
        let mut person = linear(*scenario);
        for key in keys_of(before) {
            person.tell(Message::Key(key));
            answers::answer(&mut person);
        }
        if let Some(key) = person.state.keys.keys(*id).first().copied() {
            person.tell(Message::Key(as_event(key)));
        }
        // The page of all keys is about keys.
        if person.state.place.page == Page::Help {
            continue;
        }
        for line in all(&person.state, person.now) {
            assert_eq!(speaks_of_a_key(&line), None, "{id:?} after {before}: {line}");
        }
    }
}

#[test]
fn what_becomes_of_the_machines_is_told_with_the_question_and_the_words_that_choose_it() {
    let mut person = linear(Scenario::Rich);
    person.press("q");
    let told = all(&person.state, person.now).join("\n");
    assert!(told.contains("On exit: leave (as loop.on_exit says).\n"), "{told}");
    assert!(told.contains("leave, stop-idle or stop-all to choose what becomes of the machines"), "{told}");
}

//! Line by line: what is told speaks of no keys, and a question is answered in words.

use super::Person;
use super::answers;
use super::triples::{Scenario, TRIPLES, do_it, press};
use crate::tui::plain::told::tests::all;

fn linear(scenario: Scenario) -> Person {
    let mut person = Person::seeing(scenario.view());
    person.state.keys = person.state.keys.clone().spoken();
    answers::answer(&mut person);
    person
}

#[test]
fn what_becomes_of_the_machines_is_told_with_the_question_and_the_words_that_choose_it() {
    let mut person = linear(Scenario::Rich);
    person.press("q");
    let told = all(&person.state, person.now).join("\n");
    assert!(told.contains("On exit: leave (as loop.on_exit says).\n"), "{told}");
    assert!(told.contains("leave, stop-idle or stop-all to choose what becomes of the machines"), "{told}");
}

/// What a screen reader would spell or skip, and words of keys that nobody can press there.
fn unspeakable(line: &str) -> Option<String> {
    let drawn =
        |letter: &char| matches!(letter, '\u{2190}'..='\u{21ff}' | '\u{2500}'..='\u{28ff}') || letter.is_control();
    let key = ["<C-", "Ctrl", "Esc", "Enter", "Tab ", "PgDn"].into_iter().find(|key| line.contains(key));
    line.chars().find(drawn).map(|letter| letter.to_string()).or(key.map(str::to_owned))
}

#[test]
fn whatever_is_done_nothing_told_of_it_is_a_drawing_or_a_key() {
    let mut wrong = Vec::new();
    for (id, scenario, before, after, _) in TRIPLES {
        let mut person = scenario.person();
        person.state.keys = person.state.keys.clone().spoken();
        let mut told = Vec::new();
        press(&mut person, before);
        told.extend(all(&person.state, person.now));
        do_it(&mut person, *id);
        told.extend(all(&person.state, person.now));
        press(&mut person, after);
        told.extend(all(&person.state, person.now));
        assert!(!told.is_empty(), "{id:?}: nothing is told");
        let unspeakable = told.iter().filter_map(|line| Some(format!("{}: {line}", unspeakable(line)?)));
        wrong.extend(unspeakable.map(|line| format!("{id:?} of {scenario:?}: {line}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

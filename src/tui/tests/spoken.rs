//! Line by line: what is told speaks of no keys, and a question is answered in words.

use super::Person;
use super::answers;
use super::triples::Scenario;
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

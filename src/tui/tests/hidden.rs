//! What a filter hides.

use super::Person;
use super::drains::three_idle;
use crate::engine::command::Command;

#[test]
fn what_a_filter_hides_is_neither_opened_nor_acted_on() {
    let mut person = Person::seeing(three_idle());
    person.press("2/nobody<Enter>");
    assert!(person.screen(80, 24).contains("No row passes the filter"));
    person.press("<Enter>");
    assert!(person.screen(80, 24).contains("open: there is nothing below"));
    person.press("dxRh");
    let shown = person.screen(80, 24);
    let asked = person.sent().into_iter().any(|command| matches!(command, Command::Ask(_)));
    assert!(!asked && !shown.contains("Cancel"), "{shown}");
}

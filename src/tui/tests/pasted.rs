//! What is pasted.

use super::Person;
use crate::engine::command::Command;
use crate::example::view;
use crate::tui::message::Message;

#[test]
fn a_megabyte_that_is_pasted_fills_a_field_and_no_more() {
    for keys in ["/", ":", "e", "X"] {
        let mut person = Person::seeing(view());
        person.press(keys);
        person.tell(Message::Paste("x".repeat(1 << 20)));
        let told = person.state.notice.as_ref().map(|notice| notice.text.as_str());
        assert_eq!(told, Some("only the first 2000 letters were pasted"), "{keys}");
        assert!(person.state.look().filter.len() <= 2_000);
        assert!(person.sent().iter().all(|command| matches!(command, Command::Journal(_) | Command::Preview(_))));
    }
}

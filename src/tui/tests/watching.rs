//! A console that watches, where what it is asked reaches the one that leads.

use super::Person;
use crate::engine::command::Command;
use crate::engine::event::Leader;
use crate::example::view;
use crate::model::snapshot::Ask;

#[test]
fn what_a_watcher_orders_goes_to_who_leads_where_it_reaches_that() {
    let mut watching = view();
    watching.mode.armed = true;
    (watching.leader, watching.reaches_leader) = (Leader::Other("bo@host".to_owned()), true);
    for (keys, ordered) in [("Py", Command::Pause), ("2dy", Command::Ask(vec![Ask::Drain("i-busy".into())]))] {
        let mut person = Person::seeing(watching.clone());
        person.press(keys);
        assert!(person.sent().contains(&&ordered), "{keys}");
    }
}

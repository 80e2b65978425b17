//! The ways back.

use super::Person;
use crate::example::view;
use crate::tui::state::place::{Page, Place};

#[test]
fn esc_leads_back_to_where_a_page_was_opened_and_in_the_end_to_the_queues() {
    let mut view = view();
    view.mode.armed = true;
    let mut person = Person::seeing(view);
    let page = |person: &Person| person.state.place.page;
    person.press("w<Esc>");
    assert_eq!(page(&person), Page::Queues, "the why of a queue was asked for there");
    person.press("2?<Esc>");
    assert_eq!(page(&person), Page::Instances, "the help was read");
    person.press("<Enter>w<Esc>");
    assert_eq!(page(&person), Page::Machine);
    person.press("<Esc>");
    assert_eq!(page(&person), Page::Instances);
    // However one went around, there is an end of it.
    person.press("1<Enter><Enter>w2<Enter>wl?<Esc><Esc><Esc><Esc><Esc><Esc><Esc><Esc>");
    assert_eq!(person.state.place, Place::of(Page::Queues));
}

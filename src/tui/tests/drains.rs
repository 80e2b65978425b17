//! Drains of many machines at once.

use std::sync::Arc;

use super::Person;
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::example::view;
use crate::model::instance::Phase;
use crate::model::snapshot::Ask;
use crate::tui::message::Message;

/// The example, acting, with three machines more that are idle.
pub(super) fn three_idle() -> View {
    let mut view = view();
    view.mode.armed = true;
    let snapshot = Arc::make_mut(&mut view.snapshot);
    for id in ["i-1", "i-2", "i-3"] {
        let mut idle = snapshot.instances[2].clone();
        (idle.id, idle.hold) = (id.into(), None);
        snapshot.instances.push(idle);
    }
    view
}

/// What was ordered last.
fn ordered(person: &Person) -> Vec<Ask> {
    let asked = person.sent().into_iter().rev().find_map(|command| match command {
        Command::Ask(asks) => Some(asks.clone()),
        _ => None,
    });
    asked.unwrap_or_default()
}

fn drains(ids: &[&str]) -> Vec<Ask> {
    ids.iter().map(|id| Ask::Drain((*id).into())).collect()
}

#[test]
fn all_idle_machines_are_drained_at_once_with_their_names_and_their_money_shown_first() {
    let mut person = Person::seeing(three_idle());
    person.press("I");
    let shown = person.screen(100, 30);
    for word in ["Drain 3 idle machines now?", "i-1 (idle), i-2 (idle), i-3 (idle)", "$65.87/h less", "Esc"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!shown.contains("i-held ("), "{shown}");
    person.press("<Enter>");
    assert_eq!(ordered(&person), [], "Enter cancels");
    person.press("Iy");
    assert_eq!(ordered(&person), drains(&["i-1", "i-2", "i-3"]));
}

#[test]
fn one_that_took_a_task_meanwhile_is_left_out() {
    let mut person = Person::seeing(three_idle());
    person.press("I");
    let mut view = three_idle();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    snapshot.instances[5].phase = Phase::Busy;
    person.see(view.clone());
    assert!(person.screen(100, 30).contains("Drain 2 idle machines now?"));
    person.press("y");
    assert_eq!(ordered(&person), drains(&["i-1", "i-3"]));
    for machine in &mut Arc::make_mut(&mut view.snapshot).instances {
        machine.phase = Phase::Busy;
    }
    person.press("I");
    person.see(view);
    assert!(person.screen(100, 30).contains("none of them is idle any more"));
}

#[test]
fn what_was_drained_at_once_is_taken_back_at_once_where_it_still_can_be() {
    let mut person = Person::seeing(three_idle());
    person.press("Iy");
    let id = person.requests().last().unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result: Ok(Answer::Done) }));
    let mut view = three_idle();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    let answered = snapshot.instances[3].drain.clone().unwrap();
    for (place, acknowledged) in [(4, None), (5, answered.acknowledged), (6, None)] {
        let drain = crate::model::instance::Drain { acknowledged, ..answered.clone() };
        (snapshot.instances[place].drain, snapshot.instances[place].phase) = (Some(drain), Phase::Draining);
    }
    person.see(view);
    person.press("u");
    assert!(person.screen(100, 30).contains("Cancel the drain of 2 machines?"));
    person.press("y");
    assert_eq!(ordered(&person), ["i-1", "i-3"].map(|id| Ask::CancelDrain(id.into())));
}

/// The example's machine that has a task, drained for ten minutes.
fn draining() -> View {
    let mut view = three_idle();
    let ago = |minutes| view.at - jiff::SignedDuration::from_mins(minutes);
    let (ordered, began, ends) = (ago(10), ago(20), ago(-90));
    let snapshot = Arc::make_mut(&mut view.snapshot);
    let order = snapshot.instances[3].drain.clone().unwrap();
    let machine = &mut snapshot.instances[0];
    machine.drain = Some(crate::model::instance::Drain { ordered, acknowledged: None, ..order });
    (machine.phase, machine.ends_by) = (Phase::Draining, Some(ends));
    machine.task.as_mut().unwrap().since = began;
    view
}

#[test]
fn a_drain_says_how_far_it_is_what_it_waits_for_by_when_it_ends_and_how_it_is_taken_back() {
    let mut person = Person::seeing(draining());
    person.press("2");
    let told = [
        "40m00 left",
        "20%, about 40m00 left (queue.train.expected_task)",
        "ordered by ann at 07:50:00, 10m00 ago; waits for train bert (t-1)",
        "ends by 09:30:00 at the latest, in 1h30: its max_life; D takes it back",
    ];
    let unwrapped = |shown: &str| shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for (size, bar) in [((80, 24), "drain ██░░░░░░░░ 20%"), ((140, 40), "drain ████░░░░░░░░░░░░░░░░ 20%")]
    {
        let shown = unwrapped(&person.screen(size.0, size.1));
        for words in told.into_iter().chain([bar]) {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }
    person.press("<Enter>");
    let page = unwrapped(&person.screen(80, 24));
    assert!(told[1..].iter().all(|words| page.contains(words)), "{page}");
    // What was answered is at its end; what was taken back has no deadline to show.
    let mut view = draining();
    let machine = &mut Arc::make_mut(&mut view.snapshot).instances[0];
    machine.task = None;
    machine.drain.as_mut().unwrap().acknowledged = Some(view.at);
    person.see(view);
    let page = unwrapped(&person.screen(80, 24));
    assert!(page.contains("answered: it has no task and takes none") && !page.contains("at the latest"), "{page}");
}

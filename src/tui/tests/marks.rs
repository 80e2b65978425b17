//! Marks, ranges and typed filters: one order to many machines, with one question.

use std::sync::Arc;

use super::Person;
use super::drains::three_idle;
use crate::engine::command::Command;
use crate::model::snapshot::Ask;
use crate::tui::message::Effect;
use crate::tui::state::place::{Page, Subject};
use crate::tui::theme::Palette;

fn marked(person: &Person) -> Vec<String> {
    person.state.marks.iter().map(Subject::name).collect()
}

fn ordered(person: &Person) -> Vec<Ask> {
    let asked = person.sent().into_iter().rev().find_map(|command| match command {
        Command::Ask(asks) => Some(asks.clone()),
        _ => None,
    });
    asked.unwrap_or_default()
}

fn stop(id: &str, kill: bool) -> Ask {
    Ask::Stop { instance: id.into(), kill }
}

#[test]
fn space_v_and_star_mark_and_esc_takes_the_marks_off() {
    for (keys, marks) in [
        ("2 ", vec!["i-busy"]),
        // The cursor goes on.
        ("2  ", vec!["i-busy", "i-stuck"]),
        ("2 k ", vec![]),
        ("2vjjv", vec!["i-busy", "i-held", "i-stuck"]),
        // Upwards, and with Space for its end.
        ("2jjjvk ", vec!["i-drained", "i-held"]),
        ("2/state=idle<Enter>*", vec!["i-1", "i-2", "i-3", "i-held"]),
        ("2/state=idle<Enter>**", vec![]),
        ("2/state=idle !held<Enter>*<Esc>", vec!["i-1", "i-2", "i-3"]),
        // Esc: first the filter, then the marks, then up.
        ("2/state=idle<Enter>*<Esc><Esc>", vec![]),
        ("2v<Esc>", vec![]),
    ] {
        let mut person = Person::seeing(three_idle());
        person.press(keys);
        assert_eq!(marked(&person), marks, "{keys}");
        assert_eq!(person.state.place.page, Page::Instances, "{keys}");
    }
    // Another's worker takes no orders.
    let mut person = Person::seeing(three_idle());
    person.press("2/foreign<Enter> ");
    assert!(person.screen(100, 30).contains("mark: a foreign worker takes no orders"));
    assert_eq!(marked(&person), Vec::<String>::new());
}

#[test]
fn the_marked_are_drained_by_one_order_that_names_each_and_what_it_waits_for() {
    let mut person = Person::seeing(three_idle());
    person.press("2*d");
    let shown = person.screen(100, 40);
    for word in [
        "Drain 5 machines?",
        "i-busy finishes first: train bert (t-1), for 12m03 so far",
        "i-1 (idle), i-2 (idle), i-3 (idle)",
        "$87.83/h less",
        "Left out, held or on their way out: i-drained (draining), i-held (idle)",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    person.press("<Enter>");
    assert_eq!(ordered(&person), [], "Enter cancels");
    assert_eq!(marked(&person).len(), 7, "and keeps the marks");
    person.press("dy");
    let drains = ["i-1", "i-2", "i-3", "i-busy", "i-stuck"].map(|id| Ask::Drain(id.into()));
    assert_eq!(ordered(&person), drains);
    assert_eq!(marked(&person), Vec::<String>::new());
}

#[test]
fn where_a_task_would_die_the_number_is_typed_and_only_those_that_were_shown_with_one_are_killed() {
    let mut person = Person::seeing(three_idle());
    person.press("2/i-drained<Enter>*<Esc>/i-busy<Enter>*<Esc>x");
    let shown = person.screen(100, 40);
    assert!(shown.contains("Stop 2 machines, 1 of them with a task?") && shown.contains("i-busy (busy)"), "{shown}");
    person.press("y<Enter>");
    assert_eq!(ordered(&person), []);
    person.press("<C-u>kill 1<Enter>");
    assert_eq!(ordered(&person), [stop("i-busy", true), stop("i-drained", false)]);

    // Two that are drained, and surely have no task.
    let mut view = three_idle();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    snapshot.instances[4] = crate::model::instance::Instance { id: "i-1".into(), ..snapshot.instances[3].clone() };
    let mut person = Person::seeing(view.clone());
    person.press("2/i-drained<Enter>*<Esc>/i-1<Enter>*<Esc>x");
    assert!(person.screen(100, 40).contains("Stop 2 machines?"));
    // The drain of one is taken back while the question stands: another question.
    Arc::make_mut(&mut view.snapshot).instances[4].drain = None;
    person.see(view);
    person.press("y");
    assert_eq!(ordered(&person), []);
    assert!(person.screen(100, 40).contains("Stop 2 machines, 1 of them with a task?"));
}

#[test]
fn what_is_gone_is_not_marked_and_notes_go_to_all_that_are() {
    let mut person = Person::seeing(three_idle());
    person.press("2*");
    let mut view = three_idle();
    Arc::make_mut(&mut view.snapshot).instances.truncate(2);
    person.see(view);
    assert_eq!(marked(&person), ["i-busy", "i-stuck"]);
    let shown = person.screen(100, 30);
    assert!(shown.contains("2 marked") && shown.contains(">*i-busy"), "{shown}");
    person.press("h");
    assert!(person.screen(100, 30).contains("Hold 2 machines"));
    person.press("<C-s>");
    let held: Vec<String> = ordered(&person).iter().map(|ask| format!("{ask:?}")).collect();
    assert!(held.len() == 2 && held[0].starts_with("Hold { instance: InstanceId(\"i-busy\")"), "{held:?}");
    assert_eq!(marked(&person), Vec::<String>::new(), "what was done is not marked any more");
    person.press("*R");
    let shown = person.screen(100, 30);
    assert!(shown.contains("Replace 2 machines?") && shown.contains("i-busy (busy), i-stuck (stuck)"), "{shown}");
    person.press("y");
    assert_eq!(ordered(&person), [Ask::Replace("i-busy".into()), Ask::Replace("i-stuck".into())]);
}

#[test]
fn found_letters_are_marked_and_a_wrong_question_is_told() {
    let mut person = Person::seeing(three_idle());
    person.press("2/state=idle cost>2<Enter>");
    assert!(person.screen(100, 30).contains("/state=idle cost>2 (4 of 10)"));
    person.press("/<C-u>age>old<Enter>");
    let shown = person.screen(100, 30);
    assert!(shown.contains("age>old: a span such as 90m or 1h30m") && shown.contains("(0 of 10)"), "{shown}");
    person.press("/<C-u>held<Enter>");
    let buffer = person.buffer(100, 30);
    let row = (0..30).find(|y| buffer[(0, *y)].symbol() == ">").unwrap();
    let found: String = (0..20)
        .filter(|x| buffer[(*x, row)].modifier.contains(ratatui::style::Modifier::UNDERLINED))
        .map(|x| buffer[(x, row)].symbol().to_owned())
        .collect();
    assert_eq!(found, "held");
}

#[test]
fn a_look_is_tried_on_and_given_back() {
    let mut person = Person::seeing(three_idle());
    person.press("t<Down><Down>");
    assert_eq!(person.state.theme.palette, Palette::ColourBlind, "shown while it is chosen");
    person.press("<Esc>");
    assert_eq!(person.state.theme.palette, Palette::Dark);
    person.press("t<Down><Enter>");
    assert_eq!(person.state.theme.palette, Palette::Light);
}

#[test]
fn any_cell_is_copied_and_minus_goes_back_and_forth() {
    let mut person = Person::seeing(three_idle());
    person.press("2Y<Down><Down><Down><Enter>");
    assert!(
        matches!(person.effects.last(), Some(Effect::Copy(text)) if text == "train"),
        "{:?}",
        person.effects.last()
    );
    person.press("-");
    assert_eq!(person.state.place.page, Page::Queues);
    person.press("-");
    assert_eq!(person.state.place.page, Page::Instances);
}

#[test]
fn a_frozen_screen_marks_nothing_that_is_gone() {
    let mut person = Person::seeing(three_idle());
    person.press("2f");
    let mut fewer = three_idle();
    Arc::make_mut(&mut fewer.snapshot).instances.retain(|machine| machine.id.as_str() != "i-busy");
    person.see(fewer);
    person.press("g ");
    assert!(person.screen(100, 30).contains("mark: i-busy is gone"));
    person.press("*");
    assert!(!marked(&person).contains(&"i-busy".to_owned()) && marked(&person).len() > 3);
    // With marks, what is about one thing is about the selected one still.
    person.press("f/foreign<Enter>l");
    assert_eq!(person.state.place.page, Page::Instances);
    assert!(person.screen(100, 30).contains("boot-log: a foreign worker has no boot log"));
}

#[test]
fn where_all_that_are_marked_are_held_the_hold_ends() {
    let mut view = three_idle();
    for machine in &mut Arc::make_mut(&mut view.snapshot).instances {
        let until = view.at + jiff::SignedDuration::from_hours(1);
        machine.hold = Some(crate::model::instance::Hold { until, by: "bo".into(), why: "why".to_owned() });
    }
    let mut person = Person::seeing(view);
    person.press("2  h");
    assert!(person.screen(100, 30).contains("End the hold of 2 machines?"));
    person.press("y");
    assert_eq!(ordered(&person), [Ask::Release("i-busy".into()), Ask::Release("i-stuck".into())]);
}

#[test]
fn what_another_leader_took_over_is_not_asked_about() {
    let mut person = Person::seeing(three_idle());
    person.press("b");
    let mut watching = three_idle();
    watching.leader = crate::engine::event::Leader::Other("bo@host".to_owned());
    person.see(watching);
    person.press("<Enter>");
    assert!(person.state.dialog.is_none(), "a question that nobody sees takes the keys");
    assert!(person.screen(100, 30).contains("bo@host leads now"));
}

//! The charts: what was seen, drawn and told exactly.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Person;
use super::seen::rich;
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::model::glance::{Glance, States};
use crate::model::instance::Phase;
use crate::model::likely::Likely;
use crate::model::money::Money;
use crate::tui::chart::{Markers, Which, plot, window};
use crate::tui::message::Message;
use crate::tui::theme::Palette;

/// Ten minutes in which one machine after another begins a task.
pub(super) fn watched() -> Person {
    let mut person = Person::new();
    let start = person.now - SignedDuration::from_mins(10);
    for minute in 0..=10_usize {
        let mut view = rich();
        view.at = start + SignedDuration::from_mins(i64::try_from(minute).unwrap());
        let snapshot = Arc::make_mut(&mut view.snapshot);
        let model = snapshot.instances[0].clone();
        snapshot.intents.clear();
        snapshot.instances = (0..10)
            .map(|at| {
                let mut machine = model.clone();
                machine.id = format!("i-{at}").into();
                machine.phase = if at < minute { Phase::Busy } else { Phase::Idle };
                machine
            })
            .collect();
        Arc::make_mut(&mut view.plan).outlooks[0].waiting = u32::try_from(10 - minute).unwrap();
        person.see(view);
    }
    person.press("9");
    person
}

fn live(person: &Person) -> Arc<View> {
    person.state.live.clone().unwrap()
}

fn told(person: &Person, which: Which) -> String {
    let plot = plot(&person.state, &live(person), which);
    plot.values.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_values_under_the_cursor_are_those_of_that_moment() {
    let mut person = watched();
    assert_eq!(told(&person, Which::Machines), "08:00:00, █ busy 10, ░ idle 0, ▒ starting 0, ▼ leaving 0, ✖ faulty 0");
    person.press("<Left><Left><Left><Left>");
    // A fortieth of ten minutes each.
    assert_eq!(told(&person, Which::Machines), "07:59:00, █ busy 9, ░ idle 1, ▒ starting 0, ▼ leaving 0, ✖ faulty 0");
    assert!(
        told(&person, Which::Queues).starts_with("07:59:00, tasks waiting 1, oldest"),
        "{}",
        told(&person, Which::Queues)
    );
    assert!(person.screen(100, 30).contains("busy 9"));
    person.press("g");
    assert!(told(&person, Which::Machines).starts_with("07:50:00, █ busy 0, ░ idle 10"));
    person.press("G");
    assert!(told(&person, Which::Machines).starts_with("08:00:00, █ busy 10"));
}

#[test]
fn zoom_and_pan_stay_within_what_is_known() {
    let mut person = watched();
    let whole = |person: &Person| window(&person.state, &live(person), Which::Machines);
    let span = |person: &Person| whole(person).1.duration_since(whole(person).0).as_secs();
    assert_eq!(span(&person), 600);
    person.press("+");
    assert_eq!(span(&person), 300);
    person.press("++++++++++++++++");
    for _ in 0..500 {
        person.press("<Left>");
        let (from, to) = whole(&person);
        assert!(from >= person.now - SignedDuration::from_mins(10) && to <= person.now && from <= to);
    }
    person.press("____________________");
    assert_eq!(span(&person), 600);
}

#[test]
fn the_spend_chart_ends_where_the_forecast_does() {
    let person = watched();
    let view = live(&person);
    let spend = plot(&person.state, &view, Which::Spend);
    let budget = view.spend.budgets.iter().find(|budget| spend.title.ends_with(budget.name.as_str())).unwrap();
    let ahead = spend.series.iter().find(|series| series.name == "at this rate").unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
    let projected = budget.forecast(view.at).projected.micros() as f64 / 1_000_000.0;
    assert!((ahead.parts[0][1].1 - projected).abs() < 1e-9, "{ahead:?}");
    assert!(told(&person, Which::Spend).contains(&format!("spent {}", budget.spent)));
}

#[test]
fn the_spend_chart_says_between_which_ends_the_period_is_likely_to_come_out() {
    let mut person = watched();
    let mut view = View::clone(&live(&person));
    let tightest = view.spend.tightest().unwrap().name.clone();
    let (least, most) = (Money::from_micros(90_000_000), Money::from_micros(3_000_000_000));
    let likely = Likely { earliest: None, latest: None, least, most, hours: 100 };
    view.spend
        .budgets
        .iter_mut()
        .filter(|budget| budget.name == tightest)
        .for_each(|budget| budget.likely = Some(likely));
    person.see(view.clone());
    let spend = plot(&person.state, &view, Which::Spend);
    let band = spend.series.iter().find(|series| series.name == "8 of 10 such").unwrap();
    let ends: Vec<f64> = band.parts.iter().map(|part| part[1].1).collect();
    assert_eq!(ends, [90.0, 3_000.0]);
    assert!(spend.y[1] > 3_000.0, "all of it is on the chart");
    assert!(told(&person, Which::Spend).ends_with("likely $90.00 to $3000.00"), "{}", told(&person, Which::Spend));
}

#[test]
fn each_chart_is_drawn_at_each_size_and_says_its_values_where_there_is_no_room_for_lines() {
    for keys in ["", "j", "jj", "jjj", "<Enter>"] {
        let mut person = watched();
        person.press(keys);
        for (width, height) in [(140, 40), (100, 30), (80, 24), (40, 12), (40, 10)] {
            let shown = person.screen(width, height);
            assert!(shown.contains("Machines by state") || !keys.is_empty(), "{shown}");
            assert!(shown.lines().count() == usize::from(height));
        }
    }
    let mut person = watched();
    let shown = person.screen(40, 12);
    assert!(shown.contains("busy 10") && shown.contains("faulty 0"), "{shown}");
    // Braille where the terminal has it, and something of ASCII where not.
    assert!(person.screen(140, 40).chars().any(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter)));
    person.state.theme.ascii = true;
    let shown = person.screen(140, 40);
    assert!(shown.is_ascii() && shown.contains('*'), "{shown}");
}

/// Answers what the charts ask of the loop.
fn recalled(person: &mut Person, kept: Vec<Glance>) {
    let asked = person.requests().into_iter().rev().find(|request| request.command == Command::History);
    let id = asked.unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result: Ok(Answer::History(kept)) }));
}

#[test]
fn what_was_before_the_screen_is_asked_of_the_loop_and_shown() {
    let mut person = watched();
    let now = person.now;
    let kept = |minutes: i64, busy| Glance {
        at: now - SignedDuration::from_mins(minutes),
        states: States { busy, ..States::default() },
        ..live(&Person::seeing(rich())).glance()
    };
    recalled(&mut person, (1..=600).rev().map(|minutes| kept(minutes * 2, 7)).collect());
    // Six hours at first, and all of the twenty when one goes back as far.
    let hours = |person: &Person| {
        let (from, to) = window(&person.state, &live(person), Which::Machines);
        to.duration_since(from).as_hours()
    };
    assert_eq!(hours(&person), 6);
    person.press("_____");
    assert_eq!(hours(&person), 20);
    person.press("g");
    assert!(told(&person, Which::Machines).contains("busy 7, ░ idle 0"), "{}", told(&person, Which::Machines));
    let asked = |person: &Person| person.sent().into_iter().filter(|command| **command == Command::History).count();
    person.see(rich());
    assert_eq!(asked(&person), 1, "once");
    person.tell(Message::Engine(Event::Lost));
    person.see(rich());
    assert_eq!(asked(&person), 2, "what went by meanwhile");
}

#[test]
fn a_time_that_nobody_saw_is_not_drawn() {
    let mut person = watched();
    let now = person.now;
    let kept = |minutes: i64| Glance {
        at: now - SignedDuration::from_mins(minutes),
        states: States { busy: 7, ..States::default() },
        ..live(&Person::seeing(rich())).glance()
    };
    recalled(&mut person, (100..=200).rev().map(kept).collect());
    let plot = plot(&person.state, &live(&person), Which::Machines);
    #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
    let at = |minutes: i64| plot.series[0].at((now - SignedDuration::from_mins(minutes)).as_second() as f64);
    assert_eq!((at(150), at(50), at(1)), (Some(7.0), None, Some(9.0)));
}

#[test]
fn layers_are_told_apart_without_colour_and_lines_are_drawn_with_what_was_chosen() {
    let mut person = watched();
    person.state.theme.palette = Palette::Mono;
    let shown = person.screen(100, 30);
    let cells = |shown: &str, sign: char| shown.chars().filter(|letter| *letter == sign).count();
    assert!(cells(&shown, '█') > 100 && cells(&shown, '░') > 100, "busy and idle are half of it each: {shown}");
    person.press("j");
    let braille = |shown: &str| shown.chars().any(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter));
    assert!(braille(&person.screen(100, 30)));
    person.press("#");
    let shown = person.screen(100, 30);
    assert!(!braille(&shown) && shown.contains('▀'), "{shown}");
    person.press("#");
    let shown = person.screen(100, 30);
    assert!(!braille(&shown) && !shown.contains('▀') && cells(&shown, '*') > 20, "{shown}");
    let kept = crate::tui::kept::text(&person.state);
    let mut next = Person::new();
    crate::tui::kept::take_up(&mut next.state, &kept, false);
    assert_eq!(next.state.charts.markers, Markers::Ascii);
}

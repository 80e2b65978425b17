//! What cannot be seen is not agreed to, and what nobody has said is not told.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Person;
use super::drains::three_idle;
use super::keys::{armed, ask, orders};
use super::seen::rich;
use crate::engine::event::View;
use crate::model::instance::{Drain, DrainCause, Hold};
use crate::model::snapshot::{Ask, Source};
use crate::tui::commands::{Id, find};

#[test]
fn a_question_without_room_takes_no_yes() {
    for (keys, agree) in [("2d", "y"), ("2x", "i-busy<Enter>")] {
        for (width, height) in [(5, 3), (1, 1), (80, 5), (16, 30)] {
            let mut person = Person::seeing(armed());
            person.press(keys);
            let small = person.screen(width, height);
            assert!(!small.contains("Cancel"), "{small}");
            assert!(small.contains('t'), "{small}");
            person.press(agree);
            assert_eq!(orders(&person), [], "{keys} at {width}x{height}");
            assert!(person.state.dialog.is_some());
            // With room again it is asked as before.
            assert!(person.screen(80, 24).contains("i-busy?"));
            person.screen(width, height);
            person.press("n");
            assert!(person.state.dialog.is_none(), "{keys} at {width}x{height}");
        }
    }
    let mut person = Person::seeing(armed());
    person.press("2d");
    assert_eq!(person.screen(5, 3).lines().take(2).collect::<Vec<_>>(), ["too", "small"]);
    person.press("<Esc>");
    assert!(person.state.dialog.is_none());
    // As small as it can be read.
    let mut person = Person::seeing(armed());
    person.press("2d");
    let shown = person.screen(40, 8);
    assert!(
        shown.contains("Drain i-busy?") && shown.contains("y drain") && shown.contains("…more: lines 1 to 3"),
        "{shown}"
    );
    person.press("y");
    assert_eq!(orders(&person), [ask(Ask::Drain("i-busy".into()))]);
}

#[test]
fn marked_rows_that_are_not_seen_are_told() {
    let mut person = Person::seeing(three_idle());
    person.press("2/state=idle !held<Enter>*<Esc>");
    assert!(!person.screen(100, 30).contains("hidden"));
    person.press("/i-1<Enter>");
    let shown = person.screen(100, 30);
    assert!(shown.contains("3 marked, 2 hidden"), "{shown}");
    person.press("d");
    let told = "3 marked, 2 of them not shown: i-2, i-3.";
    assert!(person.screen(100, 30).contains(told), "{}", person.screen(100, 30));
    person.press("<Esc>x");
    assert!(person.screen(100, 30).contains(told));
    person.press("<Esc>h");
    assert!(person.screen(100, 30).contains(told));
    person.press("<Esc>R");
    assert!(person.screen(100, 30).contains(told));
    // All of them are seen.
    person.press("<Esc><Esc>d");
    assert!(!person.screen(100, 30).contains("not shown"));
}

#[test]
fn enter_on_a_filter_of_rows_looks_for_no_line() {
    let mut person = Person::seeing(armed());
    person.press("2/held<Enter>");
    let shown = person.screen(100, 30);
    assert!(shown.contains("/held (1 of 7)") && !shown.contains("no line has"), "{shown}");
}

/// ClearML has never answered.
fn silent() -> View {
    let mut view = rich();
    let snapshot = Arc::make_mut(&mut view.snapshot);
    for source in snapshot.sources.iter_mut().filter(|source| source.name == Source::CLEARML) {
        source.last_good = None;
    }
    for queue in &mut snapshot.queues {
        queue.id = None;
    }
    for outlook in &mut Arc::make_mut(&mut view.plan).outlooks {
        (outlook.waiting, outlook.oldest) = (0, None);
    }
    view
}

#[test]
fn before_its_first_answer_nothing_is_said_of_the_servers_queues() {
    let mut person = Person::seeing(silent());
    let shown = person.screen(140, 40);
    assert!(shown.contains("no answer yet") && shown.contains("ClearML has not answered yet"), "{shown}");
    let row = shown.lines().find(|line| line.trim_start_matches(['>', ' ']).starts_with("eval")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("-"), "{row}");
    for keys in ["", "j", "w", "<Esc>jw"] {
        person.press(keys);
        let shown = person.screen(140, 40);
        for words in ["no such queue", "has no queue", "0 wait", "Nothing waits"] {
            assert!(!shown.contains(words), "{words}: {shown}");
        }
    }
    // Once it has answered it is said.
    let mut known = silent();
    Arc::make_mut(&mut known.snapshot).sources[0].last_good = Some(known.at);
    person.press("1j").see(known);
    assert!(person.screen(140, 40).contains("no such queue"));
}

fn held_and_busy() -> View {
    let mut view = armed();
    let until = view.at + SignedDuration::from_mins(90);
    let busy = &mut Arc::make_mut(&mut view.snapshot).instances[0];
    busy.hold = Some(Hold { until, by: "bo".into(), why: "looking at it".to_owned() });
    view
}

#[test]
fn a_hold_is_told_on_the_row_in_the_pane_and_before_a_drain() {
    let mut person = Person::seeing(held_and_busy());
    person.press("2");
    let shown = person.screen(80, 24);
    let row = shown.lines().find(|line| line.contains(">i-busy")).unwrap();
    assert!(row.contains("held 1h30"), "{shown}");
    assert!(shown.contains("held by bo for 1h30 more: looking at it"), "{shown}");
    let hint = |person: &Person| find(Id::Hold).unwrap().shown_hint(&person.state);
    assert_eq!(hint(&person), Some("release"));
    person.press("d");
    let shown = person.screen(80, 24);
    assert!(shown.contains("It is held until 09:30:00 by bo: looking at it. It is drained all the"), "{shown}");
    assert!(shown.contains("Then it is stopped, once the hold is over."), "{shown}");
    person.press("<Esc>j");
    assert_eq!(hint(&person), Some("hold"));
    // A drain that was taken back does not hide it.
    let mut view = held_and_busy();
    let ordered = view.at - SignedDuration::from_secs(60);
    Arc::make_mut(&mut view.snapshot).instances[0].drain = Some(Drain {
        nonce: "n".to_owned(),
        cause: DrainCause::Person,
        by: "ann".into(),
        ordered,
        acknowledged: None,
        cancelled: true,
        held: false,
        end_asked: None,
    });
    person.press("k").see(view);
    let shown = person.screen(80, 24);
    let row = shown.lines().find(|line| line.contains(">i-busy")).unwrap();
    assert!(row.contains("held 1h30") && shown.contains("held by bo for 1h30 more"), "{shown}");
}

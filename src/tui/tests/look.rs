//! Every view at every size, as text; the facts on them, read back.

use ratatui::style::{Color, Modifier};

use super::seen::{entries, large, rich};
use super::{Person, text};
use crate::engine::event::{Answer, Event, Leader};
use crate::example::view;
use crate::tui::message::Message;
use crate::tui::theme::{Palette, Theme};

pub(super) const SIZES: [(u16, u16); 4] = [(140, 40), (100, 30), (80, 24), (40, 12)];

/// In front of the rich example, with a journal, a log and a boot log.
pub(super) fn person() -> Person {
    let mut person = Person::seeing(rich());
    let id = person.requests()[0].id;
    person.tell(Message::Engine(Event::Answer { id, result: Ok(Answer::Journal(entries())) }));
    let lines = ["WARN the cloud is slow", "INFO the loop looks"].map(str::to_owned).to_vec();
    person.tell(Message::Log(Ok(lines)));
    person.state.tasks.insert("train".into(), Ok(super::desk::tasks()));
    person.state.task_logs.insert("t-1".into(), Some(Ok(vec!["epoch 1".to_owned(), "epoch 2".to_owned()])));
    person
}

/// Views by their keys.
pub(super) const VIEWS: [(&str, &str); 15] = [
    ("queues", ""),
    ("instances", "2"),
    ("spend", "3"),
    ("plan", "4"),
    ("journal", "5"),
    ("settings", "6"),
    ("logs", "7"),
    ("pools", "8"),
    ("tasks", "T"),
    ("charts", "9"),
    ("console", "2c"),
    ("help", "?"),
    ("why", "w"),
    ("machine", "2jj<Enter>"),
    ("boot_log", "2l"),
];

#[test]
fn every_view_at_every_size() {
    for (name, keys) in VIEWS {
        let mut person = person();
        person.press(keys);
        let screens: Vec<_> = SIZES
            .into_iter()
            .map(|(width, height)| format!("{width}x{height}\n{}", person.screen(width, height)))
            .collect();
        insta::assert_snapshot!(name, screens.join("\n"));
    }
}

#[test]
fn the_whole_of_the_spend_page() {
    let mut person = person();
    person.press("3");
    insta::assert_snapshot!(
        "spend_whole",
        [(80, 64), (140, 64)].map(|(width, height)| person.screen(width, height)).join("\n")
    );
}

#[test]
fn every_dialog() {
    let mut all = String::new();
    for (name, keys) in [
        ("drain", "2d"),
        ("stop", "2jjjx"),
        ("kill", "2x"),
        ("hold", "2h"),
        ("launch", "L"),
        ("pause", "P"),
        ("disarm", "A"),
        ("emergency stop", "X"),
        ("quit", "q"),
        ("suspend", "<C-z>"),
        ("limits of a queue", "e"),
        ("limits of everything, wrong", "3e<Tab>x"),
        ("palette", ":dra"),
        ("palette, setting", ":set train"),
        ("sort", "s"),
        ("actions", "2a"),
        ("filter", "2/held"),
        ("filter, typed", "2/state=idle cost>2"),
        ("filter, wrong", "2/age>old"),
        ("drain the marked", "2*d"),
        ("kill the marked", "2*x"),
        ("take a task out", "To"),
        ("themes", "t"),
        ("copy a cell", "2Y"),
    ] {
        let mut person = person();
        person.press(keys);
        all.extend([name, "\n", &person.screen(80, 24), "\n"]);
    }
    let mut three = Person::seeing(super::drains::three_idle());
    three.press("I");
    all.extend(["drain all idle", "\n", &three.screen(80, 24), "\n"]);
    insta::assert_snapshot!("dialogs", all);
    let mut small = person();
    small.press("2x");
    insta::assert_snapshot!("kill_small", small.screen(40, 12));
    small.press("<Esc>1e");
    insta::assert_snapshot!("form_small", small.screen(40, 12));
}

#[test]
fn what_is_wrong_is_on_the_screen() {
    let mut view = view();
    view.leader = Leader::Other("bo@host".to_owned());
    let mut person = Person::seeing(view);
    insta::assert_snapshot!("trouble", person.screen(80, 24));
    for (width, height) in SIZES {
        let shown = person.screen(width, height);
        assert!(shown.contains("STALE") && shown.contains("DRY RUN"), "{shown}");
    }
    let shown = person.screen(80, 24);
    assert!(shown.contains("bo@host leads") && shown.contains("tidegate.toml:12:7"), "{shown}");
}

#[test]
fn the_header_keeps_the_fleets_name_where_nobody_can_say_who_leads() {
    let mut view = view();
    let error = "tasks.get_all: https://api.example:8008 does not answer: connection refused, tried four times in 20 s";
    view.leader = Leader::Other(format!("nobody knows ({error}) who"));
    let mut person = Person::seeing(view);
    for (width, height) in [(80, 24), (100, 30), (140, 40)] {
        let shown = person.screen(width, height);
        let first = shown.lines().next().unwrap();
        for word in ["lab", "DRY RUN", "WATCHING: nobody knows", "STALE", "$65.87/h"] {
            assert!(first.contains(word), "{word}: {shown}");
        }
    }
}

#[test]
fn ascii_is_ascii_and_says_the_same() {
    for (name, keys) in VIEWS {
        let mut person = person();
        person.press(keys);
        for palette in [Palette::Light, Palette::Mono, Palette::ColourBlind] {
            person.state.theme = Theme { palette, ascii: true };
            for (width, height) in SIZES {
                let shown = person.screen(width, height);
                assert!(shown.is_ascii(), "{name} {shown}");
            }
        }
    }
    let mut person = person();
    person.state.theme = Theme { palette: Palette::Mono, ascii: true };
    person.press("2x");
    insta::assert_snapshot!("ascii", person.screen(80, 24));
}

#[test]
fn without_colour_there_is_none_and_the_selection_is_seen() {
    for (name, keys) in VIEWS {
        let mut person = person();
        person.press(keys);
        person.state.theme = Theme { palette: Palette::Mono, ascii: false };
        let buffer = person.buffer(80, 24);
        for cell in buffer.content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}");
        }
        if person.state.is_table() {
            let marked = (0..24).filter(|y| buffer[(0, *y)].symbol() == ">").collect::<Vec<u16>>();
            assert_eq!(marked.len(), 1, "{name}");
            assert!(buffer[(5, marked[0])].modifier.contains(Modifier::REVERSED), "{name}");
        }
    }
}

#[test]
fn each_theme_says_the_same_words() {
    for (_, keys) in VIEWS {
        let mut person = person();
        person.press(keys);
        let dark = person.screen(100, 30);
        for palette in [Palette::Light, Palette::Mono, Palette::ColourBlind] {
            person.state.theme = Theme { palette, ascii: false };
            assert_eq!(person.screen(100, 30), dark);
        }
    }
}

#[test]
fn states_have_a_shape_and_a_word() {
    let mut person = person();
    person.press("2");
    let shown = person.screen(80, 24);
    for state in ["● busy", "✖ stuck", "◌ idle", "▼ draining", "◔ intended", "◇ foreign", "✖ ghost"] {
        assert!(shown.contains(state), "{state}");
    }
    // The row of each machine has its state.
    let row = shown.lines().find(|line| line.contains("i-held")).unwrap();
    assert!(row.contains("idle") && row.contains("train") && row.contains("21.96"), "{row}");
}

#[test]
fn no_size_is_blank_or_panics() {
    for keys in ["", "2", "3", "4", "5", "6", "7", "8", "9", "T", "2c", "?", "w", "2x", "e", ":", "q", "a", "2<Enter>"]
    {
        let mut person = person();
        person.press(keys);
        for width in [1, 2, 3, 7, 8, 20, 39, 40, 41, 79, 81, 300] {
            for height in [1, 2, 3, 9, 10, 11, 12, 60] {
                let shown = person.screen(width, height);
                assert!(!shown.trim().is_empty(), "{keys} {width}x{height}");
            }
        }
    }
    let mut person = person();
    assert!(person.screen(40, 9).starts_with("ARMED $65.87/h 5 wait 4 up lab"), "{}", person.screen(40, 9));
}

#[test]
fn nothing_is_seen_before_the_first_look() {
    let mut person = Person::new();
    for keys in ["1", "2", "3", "4", "5", "6", "7", "8", "?"] {
        person.press(keys);
        assert!(person.screen(80, 24).contains("has not looked yet"));
    }
    assert!(person.effects.iter().all(|effect| !matches!(effect, crate::tui::message::Effect::Send(_))));
}

#[test]
fn the_table_scrolls_with_the_cursor_and_builds_what_is_seen() {
    let mut person = Person::seeing(large(1_000, 4_000));
    person.press("2");
    person.buffer(80, 24);
    person.press("G");
    let shown = person.screen(80, 24);
    assert!(shown.contains(">i-old"), "{shown}");
    person.press("g<PgDn>");
    let shown = person.screen(80, 24);
    let top = person.state.look().top;
    assert!(top > 0 && shown.contains(&format!("i-{top:017x}")), "{top} {shown}");
    person.press("/00f9f<Enter>");
    assert!(person.screen(80, 24).contains("i-00000000000000f9f"));
}

#[test]
fn ages_are_counted_by_the_loops_clock() {
    let mut person = person();
    assert!(person.screen(100, 30).contains("clearml 3s"));
    person.now = person.now.checked_add(jiff::SignedDuration::from_secs(60)).unwrap();
    person.tell(Message::Tick);
    let shown = person.screen(100, 30);
    assert!(shown.contains("clearml 1m03 STALE"), "{shown}");
    assert!(text(&person.buffer(100, 30)).contains(" 17m "), "the oldest task waits a minute longer");
}

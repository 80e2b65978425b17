//! The command table and what is made from it.

use std::collections::BTreeSet;

use super::Person;
use crate::example::view;
use crate::model::keys::Key;
use crate::model::settings::fields;
use crate::model::settings::key::Part;
use crate::tui::commands::{Id, Keymap, TABLE};
use crate::tui::dialog::palette::{What, offers};

#[test]
fn keys_names_and_ids_are_there_once() {
    let keymap = Keymap::default();
    let mut keys: BTreeSet<Key> = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for command in TABLE {
        assert!(names.insert(command.name), "{}", command.name);
        assert!(ids.insert(command.id), "{}", command.name);
        assert!(!keymap.keys(command.id).is_empty() && !command.doc().is_empty(), "{}", command.name);
        for key in keymap.keys(command.id) {
            assert!(keys.insert(*key), "{} has {key} twice", command.name);
            assert_eq!(keymap.command(*key).map(|found| found.id), Some(command.id));
        }
    }
}

#[test]
fn the_settings_name_every_command_in_its_order() {
    let named: Vec<_> = fields::of(Part::Keys).map(|field| field.name).collect();
    assert_eq!(named, TABLE.iter().map(|command| command.name).collect::<Vec<_>>());
}

/// In front of the example, with other keys.
fn remapped(pairs: &[(&str, &str)]) -> Person {
    let mut view = view();
    view.mode.armed = true;
    let keys = pairs.iter().map(|(name, keys)| ((*name).to_owned(), keys.parse().unwrap())).collect();
    std::sync::Arc::make_mut(&mut view.settings).keys = keys;
    Person::seeing(view)
}

#[test]
fn a_command_is_done_by_the_keys_that_the_settings_give_it_and_by_no_other() {
    let mut person = remapped(&[("drain", "F5 m"), ("instances", "x"), ("stop", "2"), ("sort", "none")]);
    person.press("xd");
    assert!(person.state.dialog.is_none(), "d is no key any more");
    person.press("m");
    let shown = person.screen(100, 30);
    assert!(shown.contains("Drain i-busy?"), "{shown}");
    person.press("<Esc>2");
    let shown = person.screen(100, 30);
    assert!(shown.contains("Kill i-busy?"), "{shown}");
    person.press("<Esc>s");
    assert!(person.state.dialog.is_none(), "sort has no key");
    let shown = person.screen(140, 30);
    let footer = shown.lines().last().unwrap();
    assert!(footer.contains("F5 drain") && footer.contains("2 stop") && !footer.contains("sort"), "{footer}");
    person.press("1m");
    let shown = person.screen(100, 30);
    assert!(shown.contains("drain: select a machine first: x shows them"), "{shown}");
    person.press("?");
    let mut help = person.screen(160, 60);
    help.push_str(&person.press("G").screen(160, 60));
    assert!(help.lines().any(|line| line.trim_start().starts_with("F5 m") && line.contains("drain")), "{help}");
    let offered = offers(&person.state, "drain");
    assert_eq!((offered[0].label.as_str(), offered[0].keys.as_str()), ("drain", "F5 m"));
    // By its name it is done all the same; the key of a command finds it in the palette.
    assert_eq!(offers(&person.state, "F5")[0].what, What::Command(Id::Drain));
}

#[test]
fn other_keys_count_from_the_next_view_on() {
    let mut person = remapped(&[]);
    person.press("2");
    let mut other = view();
    std::sync::Arc::make_mut(&mut other.settings).keys.insert("queues".to_owned(), "Alt-q".parse().unwrap());
    person.see(other);
    person.press("1");
    assert_eq!(person.state.place.page, crate::tui::state::place::Page::Instances);
    let alt =
        crossterm::event::KeyEvent::new(crossterm::event::KeyCode::Char('q'), crossterm::event::KeyModifiers::ALT);
    person.tell(crate::tui::message::Message::Key(alt));
    assert_eq!(person.state.place.page, crate::tui::state::place::Page::Queues);
}

#[test]
fn no_control_letter_destroys() {
    let keymap = Keymap::default();
    for command in TABLE {
        let harmless =
            matches!(command.id, Id::HalfDown | Id::HalfUp | Id::Refresh | Id::Suspend | Id::Quit | Id::SaveLog);
        assert!(harmless || keymap.keys(command.id).iter().all(|key| !key.ctrl), "{}", command.name);
    }
}

#[test]
fn help_and_palette_have_every_command() {
    let mut person = Person::seeing(view());
    person.press("?");
    let mut help = person.screen(160, 60);
    person.press("G");
    help.push_str(&person.screen(160, 60));
    let offered = offers(&person.state, "");
    for command in TABLE {
        let line = help.lines().find(|line| line.contains(command.doc())).unwrap_or_else(|| panic!("{}", command.name));
        assert!(line.contains(command.name) && line.contains(&person.state.keys.all(command.id)), "{line}");
        assert!(offered.iter().any(|offer| offer.what == What::Command(command.id)), "{}", command.name);
    }
}

#[test]
fn the_footer_has_only_what_can_be_done() {
    for keys in ["", "2", "2jjj", "2*", "3", "5", "6", "8", "9", "T", "?"] {
        let mut person = Person::seeing(view());
        person.press(keys);
        let screen = person.screen(200, 30);
        let footer = screen.lines().last().unwrap().to_owned();
        assert!(footer.contains("? help"), "{footer}");
        for command in TABLE {
            let Some(hint) = command.shown_hint(&person.state) else { continue };
            let shown = format!("  {}  ", footer.trim())
                .contains(&format!(" {} {hint} ", person.state.keys.keys(command.id)[0]));
            assert_eq!(shown, command.enabled(&person.state).is_ok(), "{keys}: {} in {footer}", command.name);
        }
    }
}

#[test]
fn a_name_finds_its_command_first() {
    let person = Person::seeing(view());
    for command in TABLE {
        let first = offers(&person.state, command.name).first().cloned().unwrap();
        assert_eq!(first.what, What::Command(command.id), "{}", command.name);
    }
    assert_eq!(offers(&person.state, "q").first().unwrap().what, What::Command(Id::Quit));
}

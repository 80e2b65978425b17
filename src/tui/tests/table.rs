//! The command table and what is made from it.

use std::collections::BTreeSet;

use super::Person;
use crate::example::view;
use crate::tui::commands::{Id, TABLE, by_key};
use crate::tui::dialog::palette::{What, offers};

#[test]
fn keys_names_and_ids_are_there_once() {
    let mut keys = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for command in TABLE {
        assert!(names.insert(command.name), "{}", command.name);
        assert!(ids.insert(command.id), "{}", command.name);
        assert!(!command.keys.is_empty() && !command.doc.is_empty(), "{}", command.name);
        for key in command.keys {
            assert!(keys.insert(key.to_string()), "{} has {key} twice", command.name);
            assert_eq!(by_key(*key).map(|found| found.id), Some(command.id));
        }
    }
}

#[test]
fn no_control_letter_destroys() {
    for command in TABLE {
        let harmless = matches!(command.id, Id::HalfDown | Id::HalfUp | Id::Refresh | Id::Suspend | Id::Quit);
        assert!(harmless || command.keys.iter().all(|key| !key.ctrl), "{}", command.name);
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
        let line = help.lines().find(|line| line.contains(command.doc)).unwrap_or_else(|| panic!("{}", command.name));
        assert!(line.contains(command.name) && line.contains(&command.shown_keys()), "{line}");
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
            let shown = format!("  {}  ", footer.trim()).contains(&format!(" {} {hint} ", command.keys[0]));
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

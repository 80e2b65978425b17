//! The settings in an editor, and edits that meet another hand's.

use std::sync::Arc;

use super::Person;
use super::seen::rich;
use crate::engine::command::{Command, Edit};
use crate::engine::event::{Answer, Event, View};
use crate::model::ids::Revision;
use crate::tui::message::{Effect, Message, Signal};

const TEXT: &str =
    "[loop]\nfleet = \"lab\"\n\n[limits]\nmax = 4\nmax_gpu = 8\n\n[queue.train]\npools = [\"p4d\"]\nmax = 6\n";

fn answer(person: &mut Person, result: Result<Answer, String>) {
    let id = person.requests().last().unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result }));
}

/// With the editor open.
fn person() -> Person {
    let mut person = Person::seeing(rich());
    person.press("E");
    assert_eq!(person.sent().last(), Some(&&Command::SettingsText));
    answer(&mut person, Ok(Answer::Text(TEXT.to_owned())));
    assert_eq!(edits(&person), [TEXT]);
    person
}

/// The texts that the editor was opened on.
fn edits(person: &Person) -> Vec<&str> {
    let opened = person.effects.iter().filter_map(|effect| match effect {
        Effect::Edit(text) => Some(text.as_str()),
        _ => None,
    });
    opened.collect()
}

fn written(person: &Person) -> Vec<(String, String)> {
    let sent = person.sent().into_iter().filter_map(|command| match command {
        Command::Write { text, was } => Some((text.clone(), was.clone())),
        _ => None,
    });
    sent.collect()
}

fn leaves(person: &mut Person, text: &str) {
    person.tell(Message::Edited(Ok(text.to_owned())));
}

#[test]
fn what_the_editor_leaves_is_written_once_it_is_right() {
    let mut person = person();
    // The keys are the editor's, and so is Ctrl-C.
    person.press("2X4<Enter>");
    person.tell(Message::Signal(Signal::Int));
    assert!(person.state.leaving.is_none() && person.state.dialog.is_none());
    let bad = TEXT.replace("max = 4", "max = four");
    leaves(&mut person, &bad);
    assert_eq!(written(&person), [(bad.clone(), TEXT.to_owned())]);
    answer(
        &mut person,
        Err("the settings would not be valid: tidegate.toml:5:7: this is not TOML: no quotes".to_owned()),
    );
    let shown = person.screen(80, 24);
    for words in ["The settings do not run", "Nothing was applied", "tidegate.toml:5:7: this is not TOML", "edit again"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.lines().any(|line| line.contains('│') && line.contains(" more")), "{shown}");
    person.press("<Enter>");
    leaves(&mut person, &bad);
    let problems: Vec<String> = (1..=9).map(|line| format!("tidegate.toml:{line}:1: wrong")).collect();
    answer(&mut person, Err(problems.join("\n")));
    let shown = person.screen(80, 24);
    assert!(shown.contains("toml:6:1") && !shown.contains("toml:7:1") && shown.contains("and 3 more"), "{shown}");
    // Again, with the text as it was left.
    person.press("<Enter>");
    assert_eq!(edits(&person), [TEXT, &bad, &bad]);
    let good = TEXT.replace("max = 4", "max = 5");
    leaves(&mut person, &good);
    assert_eq!(written(&person)[2], (good, TEXT.to_owned()));
    answer(&mut person, Ok(Answer::Said("the settings were edited as a whole: revision x".to_owned())));
    assert!(person.screen(80, 24).contains("the settings were edited as a whole"));
    assert_eq!(person.state.draft, None);
}

#[test]
fn what_was_not_taken_is_kept_until_it_is_dropped() {
    let mut one = person();
    leaves(&mut one, "[loop\n");
    answer(&mut one, Err("tidegate.toml:1:6: this is not TOML".to_owned()));
    one.press("<Esc>E");
    assert_eq!(edits(&one), [TEXT, "[loop\n"]);
    leaves(&mut one, "[loop\n");
    answer(&mut one, Err("tidegate.toml:1:6: this is not TOML".to_owned()));
    one.press("j<Enter>E");
    assert_eq!(one.sent().last(), Some(&&Command::SettingsText), "it begins anew");

    let mut same = person();
    leaves(&mut same, TEXT);
    assert_eq!(written(&same), []);
    assert!(same.screen(80, 24).contains("the settings were not changed"));
    let mut failed = person();
    failed.tell(Message::Edited(Err("`vi` ended with exit status: 1: nothing was taken from it".to_owned())));
    assert!(failed.screen(80, 24).contains("nothing was taken from it"));
    assert_eq!(written(&failed), []);
}

#[test]
fn a_change_by_another_hand_is_shown_beside_ones_own_and_never_lost() {
    let (mine, theirs) = (TEXT.replace("max = 6", "max = 7"), TEXT.replace("max_gpu = 8", "max_gpu = 9 # by bo"));
    let mut person = person();
    leaves(&mut person, &mine);
    answer(&mut person, Ok(Answer::Overtaken(theirs.clone())));
    let shown = person.screen(80, 24);
    for words in [
        "The file was changed by another hand",
        "6 + max_gpu = 9 # by bo",
        "10 - max = 6",
        "10 + max = 7",
        "apply both",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    person.press("<Enter>");
    assert_eq!(written(&person)[1], (theirs.replace("max = 6", "max = 7"), theirs));
}

#[test]
fn edits_of_the_same_line_are_a_persons_to_choose_between() {
    let (mine, theirs) = (TEXT.replace("max = 6", "max = 7"), TEXT.replace("max = 6", "max = 2"));
    for (keys, opened, sent) in [
        // Theirs, with one's own as a comment.
        ("<Enter>", Some(format!("# yours: max = 7\n{theirs}")), None),
        ("j<Enter>", None, Some((mine.clone(), theirs.clone()))),
        ("jj<Enter>", None, None),
        ("<Esc>", None, None),
    ] {
        let mut person = person();
        leaves(&mut person, &mine);
        answer(&mut person, Ok(Answer::Overtaken(theirs.clone())));
        let shown = person.screen(80, 24);
        assert!(shown.contains("Both changed the same lines") && !shown.contains("apply both"), "{shown}");
        person.press(keys);
        assert_eq!(edits(&person).get(1).copied(), opened.as_deref(), "{keys}");
        assert_eq!(written(&person).get(1), sent.as_ref(), "{keys}");
    }
}

/// The scenario with other limits of `train`.
fn changed(max: Option<u32>, max_gpu: Option<u32>) -> View {
    let mut view = rich();
    let settings = Arc::make_mut(&mut view.settings);
    settings.revision = Revision::new("other");
    settings.queues[1].limits.max = max;
    settings.queues[1].limits.max_gpu = max_gpu;
    view
}

#[test]
fn a_form_follows_another_hand_where_it_was_not_touched_and_tells_where_it_was() {
    let mut person = Person::seeing(rich());
    person.press("e<C-u>5");
    person.see(changed(Some(9), Some(16)));
    let shown = person.screen(80, 24);
    for words in ["another hand changed queue.train.max, queue.train.max_gpu", "was 6, another hand: 9", "16"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // What is sent is what was typed here, on the settings that are there now.
    person.press("<C-s>");
    let edit = Edit { key: "queue.train.max".to_owned(), value: Some("5".to_owned()) };
    let set = Command::Set { edits: vec![edit], seen: Some(Revision::new("other")) };
    assert_eq!(person.sent().last(), Some(&&set));
    // Taken back, it is the other hand's value again.
    let id = person.requests().last().unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result: Ok(Answer::Done) }));
    person.press("uy");
    let back = Edit { key: "queue.train.max".to_owned(), value: Some("9".to_owned()) };
    assert!(matches!(person.sent().last(), Some(Command::Set { edits, .. }) if *edits == [back]));
}

#[test]
fn what_may_be_set_is_told_while_it_is_typed() {
    for (keys, words) in [
        (":set queue.train.max ", vec!["now 6", "a whole number in 0..100000 instances"]),
        (":set queue.train.max x", vec!["not now: `x` is not a whole number in 0..100000"]),
        (":set loop.on_exit ", vec!["`leave`, `stop-idle`, `stop-all`", "loop.on_exit = stop-idle"]),
        (":set loop.price_of_waiting ", vec!["a price in $0/h..", "such as"]),
    ] {
        let mut person = Person::seeing(rich());
        person.press(keys);
        let shown = person.screen(100, 30);
        for word in words {
            assert!(shown.contains(word), "{keys}: {word}: {shown}");
        }
    }
    // A word is chosen rather than typed.
    let mut person = Person::seeing(rich());
    person.press(":set loop.on_exit stop-i<Down><Enter><Enter>");
    let edit = Edit { key: "loop.on_exit".to_owned(), value: Some("stop-idle".to_owned()) };
    assert!(matches!(person.sent().last(), Some(Command::Set { edits, .. }) if *edits == [edit]));
}

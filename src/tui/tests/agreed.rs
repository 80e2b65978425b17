//! What lets more money be spent is asked about first, by whichever way it is set.

use std::sync::Arc;

use super::Person;
use super::keys::{answer, orders, set};
use super::seen::rich;
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::model::journal::{Entry, EntryKind, Subject};
use crate::tui::message::{Effect, Message};

/// The example with another limit of everything and of `train`.
fn limited(all: Option<u32>, train: Option<u32>) -> View {
    let mut view = rich();
    let settings = Arc::make_mut(&mut view.settings);
    settings.limits.max = all;
    settings.queues[1].limits.max = train;
    view
}

#[test]
fn the_palette_asks_by_what_a_value_lets_happen() {
    for (keys, asked, agreed, edit) in [
        // Less is done at once.
        (":set limits.max 3<Enter>", None, "", set("limits.max", Some("3"))),
        (":set limits.max 4<Enter>", None, "", set("limits.max", Some("4"))),
        (":set limits.max_gpu 100<Enter>", None, "", set("limits.max_gpu", Some("100"))),
        (":set limits.max 1000<Enter>", Some("limits.max = 1000, now 4"), "y", set("limits.max", Some("1000"))),
        (":set limits.max default<Enter>", Some("limits.max: not limited, now 4"), "y", set("limits.max", None)),
        (
            ":set budget.\"train day\".limit $90<Enter>",
            Some("limit = $90, now $80"),
            "y",
            set("budget.\"train day\".limit", Some("$90")),
        ),
        (
            ":set budget.\"team month\".limit $9000<Enter>",
            Some("Type $9000 to set:"),
            "$9000<Enter>",
            set("budget.\"team month\".limit", Some("$9000")),
        ),
    ] {
        let mut person = Person::seeing(limited(Some(4), Some(6)));
        person.press(keys);
        if let Some(asked) = asked {
            let shown = person.screen(100, 30);
            assert!(shown.contains("Set this?") && shown.contains(asked), "{keys}: {shown}");
            person.press("<Enter>");
            assert_eq!(orders(&person), [], "Enter cancels {keys}");
            person.press(keys).press(agreed);
        }
        assert!(matches!(&orders(&person)[..], [Command::Set { edits, .. }] if *edits == [edit]), "{keys}");
    }
}

#[test]
fn enter_on_a_key_without_a_value_sets_nothing() {
    let mut person = Person::seeing(limited(Some(4), Some(6)));
    person.press(":set queue.train.max<Enter>");
    let shown = person.screen(100, 30);
    assert!(shown.contains("> queue.train.max is 6"), "{shown}");
    person.press("<Enter><Enter>");
    let shown = person.screen(100, 30);
    let hint = "now 6; type a whole number in 0..100000 instances; or `default`: not";
    assert!(shown.contains(hint), "{shown}");
    assert!(shown.contains(":set queue.train.max _"), "{shown}");
    assert_eq!(orders(&person), []);
    // The default is an offer of its own, and is asked about.
    person.press("<Down><Enter>");
    assert!(person.screen(100, 30).contains("queue.train.max: not limited, now 6"));
    person.press("y");
    assert!(matches!(&orders(&person)[..], [Command::Set { edits, .. }] if *edits == [set("queue.train.max", None)]));
}

#[test]
fn the_palette_says_what_is_there_now_and_what_is_no_setting() {
    for (keys, words, never) in [
        (":set budget.\"train day\".limit ", "now $80", "default"),
        (":set limits.max 7", "now 4", "the default"),
        (":set loop.poll 7s", "now auto", "now the default"),
        (":set nope.x 3", "no such setting: there is no `nope` in the settings", "the default"),
        (":set queue.train.maxx 3", "no such setting: there is no `maxx` in [queue.*]", "the default"),
        (":set budget.\"train day\".limit default", "it has no default: type a value", "the default"),
    ] {
        let mut person = Person::seeing(limited(Some(4), Some(6)));
        person.press(keys);
        let shown = person.screen(120, 30);
        assert!(shown.contains(words) && !shown.contains(never), "{keys}: {shown}");
        assert!(!shown.contains("now the default"), "{keys}: {shown}");
    }
}

#[test]
fn an_edit_is_not_taken_back_over_another_hands_without_a_word() {
    let edited = |by: &str, text: &str| Entry {
        at: rich().at,
        by: by.into(),
        kind: EntryKind::Edited,
        text: text.to_owned(),
        reason: String::new(),
        subject: Subject::default(),
        intent: None,
        revision: None,
    };
    for (now, journal, said) in [
        (5, vec![], "queue.train.max = 6, now 5 "),
        (20, vec![], "queue.train.max = 6, now 20: set since by another hand"),
        (20, vec![edited("bo", "queue.train.max = 20")], "queue.train.max = 6, now 20: set since by bo"),
        (20, vec![edited("bo", "queue.train.max_gpu = 20")], "set since by another hand"),
        (20, vec![edited("ann", "queue.train.max = 5")], "set since by another hand"),
    ] {
        let mut person = Person::seeing(limited(None, Some(6)));
        person.press(":set queue.train.max 5<Enter>");
        answer(&mut person, Ok(Answer::Done));
        for entry in journal {
            person.tell(Message::Engine(Event::Journal(entry)));
        }
        person.see(limited(None, Some(now)));
        person.press("u");
        let shown = person.screen(100, 30);
        assert!(shown.contains("Take the edit back?") && shown.contains(said), "{said}: {shown}");
        assert_eq!(shown.contains("set since"), now == 20, "{shown}");
    }
    // To take a lower hard budget back is to raise it.
    let mut person = Person::seeing(rich());
    person.press(":set budget.\"team month\".limit $100<Enter>");
    answer(&mut person, Ok(Answer::Done));
    let mut lowered = rich();
    Arc::make_mut(&mut lowered.settings).budgets[0].limit = "$100".parse().unwrap();
    person.see(lowered);
    person.press("u");
    assert!(person.screen(100, 30).contains("Type $2500 to undo:"), "{}", person.screen(100, 30));
}

const TEXT: &str = "[loop]\nfleet = \"lab\"\n\n[limits]\nmax = 4\n\n[queue.train]\npools = [\"p4d\"]\nmax = 6\n\n\
[pool.p4d]\nprovider = \"aws\"\nregion = \"us-east-1\"\ntypes = [\"p4d.24xlarge\"]\nami = \"ami-1\"\n\n\
[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$160\"\n";

fn written(person: &Person) -> Vec<(String, String)> {
    let sent = person.sent().into_iter().filter_map(|command| match command {
        Command::Write { text, was } => Some((text.clone(), was.clone())),
        _ => None,
    });
    sent.collect()
}

/// The editor was opened, and left with this text.
fn edited(text: &str) -> Person {
    let mut person = Person::seeing(rich());
    person.press("E");
    answer(&mut person, Ok(Answer::Text(TEXT.to_owned())));
    person.tell(Message::Edited(Ok(text.to_owned())));
    person
}

#[test]
fn what_the_editor_leaves_is_asked_about_where_it_lets_more_be_spent() {
    for (from, to, asked, agreed) in [
        ("max = 4\n", "max = 3\n", vec![], ""),
        ("max = 4\n", "max = 4 # ours\n", vec![], ""),
        ("max = 4\n", "max = 9\n", vec!["Write these settings?", "limits.max = 9, now 4"], "y"),
        ("max = 6\n", "", vec!["queue.train.max: not limited, now 6"], "y"),
        ("limit = \"$160\"", "limit = \"$500\"", vec!["budget.day.limit = $500, now $160"], "$500<Enter>"),
        ("limit = \"$160\"", "limit = \"$160\"\nhard = false", vec!["budget.day.hard = false"], "$160<Enter>"),
        (
            "[[budget]]\nname = \"day\"\nper = \"day\"\nlimit = \"$160\"\n",
            "",
            vec!["budget.day: removed", "Type $160 to write"],
            "$160<Enter>",
        ),
    ] {
        let text = TEXT.replace(from, to);
        let mut person = edited(&text);
        if asked.is_empty() {
            assert_eq!(written(&person).len(), 1, "{to}");
            continue;
        }
        let shown = person.screen(100, 30);
        for words in asked {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        person.press("<Enter>");
        assert_eq!(written(&person), [], "Enter cancels");
        // What was left is gone on with.
        person.press("E");
        assert!(matches!(person.effects.last(), Some(Effect::Edit(kept)) if *kept == text));
        person.tell(Message::Edited(Ok(text.clone())));
        person.press(agreed);
        assert_eq!(written(&person), [(text, TEXT.to_owned())], "{to}");
    }
}

#[test]
fn what_the_editor_wrote_is_taken_back_unless_another_hand_wrote_since() {
    let text = TEXT.replace("max = 4", "max = 3");
    let mut person = edited(&text);
    answer(&mut person, Ok(Answer::Said("the settings were edited as a whole".to_owned())));
    person.press("u");
    let shown = person.screen(100, 30);
    assert!(shown.contains("Take the edit of the file back?") && shown.contains("limits.max = 4, now 3"), "{shown}");
    person.press("y");
    assert_eq!(written(&person)[1], (TEXT.to_owned(), text.clone()));
    let theirs = text.replace("max = 6", "max = 7");
    answer(&mut person, Ok(Answer::Overtaken(theirs.clone())));
    let shown = person.screen(100, 30);
    assert!(shown.contains("The file was changed by another hand") && shown.contains("apply both"), "{shown}");
    person.press("<Enter>y");
    assert_eq!(written(&person)[2], (theirs.replace("max = 3", "max = 4"), theirs));
}

#[test]
fn what_the_editor_leaves_to_a_loop_that_ends_is_neither_asked_about_nor_written() {
    let mut person = Person::seeing(rich());
    person.press("E");
    answer(&mut person, Ok(Answer::Text(TEXT.to_owned())));
    person.tell(Message::Signal(crate::tui::message::Signal::Term));
    person.tell(Message::Edited(Ok(TEXT.replace("max = 4", "max = 9"))));
    assert!(person.state.dialog.is_none() && person.state.draft.is_some());
    assert_eq!(written(&person), []);
    assert_eq!(person.state.errors.front().map(String::as_str), Some("edit-file: the loop is ending"));
}

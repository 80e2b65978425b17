//! Forms: what is typed is checked and previewed, and sent when it is right.

use super::Person;
use super::keys::{answer, armed, ask, orders, set};
use crate::engine::command::Command;
use crate::engine::event::{Answer, Foresight};
use crate::example::view;
use crate::model::money::Money;
use crate::model::snapshot::Ask;
use crate::tui::message::Message;

#[test]
fn a_limit_is_edited_previewed_applied_and_undone() {
    let mut person = Person::seeing(armed());
    person.press("e<BS>");
    assert_eq!(person.sent().last(), Some(&&Command::Preview(vec![set("queue.train.max", None)])));
    // Only the newest text counts; it is asked for when the first answer has come.
    person.press("99");
    assert_eq!(person.sent().len(), 2);
    assert!(person.screen(80, 24).contains("Asking what the loop would do"));
    let now = Foresight { plan: view().plan.as_ref().clone(), budgets: view().spend.budgets.clone() };
    answer(&mut person, Ok(Answer::Preview(Box::new(now.clone()))));
    assert_eq!(person.sent().last(), Some(&&Command::Preview(vec![set("queue.train.max", Some("99"))])));
    let mut grown = now;
    grown.plan.outlooks[0].next = None;
    grown.budgets[0].limit = Money::from_micros(1_000_000);
    answer(&mut person, Ok(Answer::Preview(Box::new(grown))));
    let shown = person.screen(80, 24);
    assert!(shown.contains("launch 1 x p4d.24xlarge in p4d for train"), "{shown}");
    assert!(shown.contains("train: nothing (now: hold: max 5)"), "{shown}");
    assert!(shown.contains("budget team month: its limit is reached (now: crosses at"), "{shown}");
    person.press("<C-s>");
    let seen = Some(view().settings.revision.clone());
    let edits = vec![set("queue.train.max", Some("99"))];
    assert_eq!(orders(&person), [Command::Set { edits, seen: seen.clone() }]);
    // Refused: the form stays, with the reason.
    answer(&mut person, Err("the settings were changed meanwhile".to_owned()));
    assert!(person.screen(80, 24).contains("the settings were changed meanwhile"));
    person.press("<C-s>");
    answer(&mut person, Ok(Answer::Done));
    assert!(person.state.dialog.is_none());
    let mut raised = armed();
    std::sync::Arc::make_mut(&mut raised.settings).queues[1].limits.max = Some(99);
    person.see(raised);
    person.press("u");
    let asked = person.screen(80, 24);
    assert!(asked.contains("Take the edit back?") && asked.contains("queue.train.max = 6, now 99 "), "{asked}");
    person.press("y");
    let back = Command::Set { edits: vec![set("queue.train.max", Some("6"))], seen };
    assert_eq!(orders(&person).last(), Some(&back));
    person.press("u");
    assert!(person.screen(80, 24).contains("nothing was done here"), "it is not undone twice");
}

#[test]
fn what_an_edit_would_do_is_told_beside_what_was_so_at_that_time_and_asked_again_later() {
    let mut person = Person::seeing(armed());
    person.press("e<BS>9");
    let foreseen = |limit: i64| {
        let mut foresight = Foresight { plan: view().plan.as_ref().clone(), budgets: view().spend.budgets.clone() };
        foresight.plan.outlooks[0].next = None;
        foresight.budgets[0].limit = Money::from_micros(limit);
        Ok(Answer::Preview(Box::new(foresight)))
    };
    answer(&mut person, foreseen(1_000_000));
    answer(&mut person, foreseen(1_000_000));
    let before = person.screen(80, 24);
    assert!(before.contains("train: nothing (now: hold: max 5)"), "{before}");
    let asked = person.sent().len();
    let mut later = armed();
    let plan = std::sync::Arc::make_mut(&mut later.plan);
    plan.at += jiff::SignedDuration::from_mins(1);
    plan.outlooks[0].next = None;
    person.see(later.clone());
    assert_eq!(person.sent()[asked..], [&Command::Preview(vec![set("queue.train.max", Some("9"))])]);
    assert!(person.screen(80, 24).contains("train: nothing (now: hold: max 5)"), "as both were then");
    person.see(later);
    assert_eq!(person.sent().len(), asked + 1, "one question at a time");
    answer(&mut person, foreseen(1_000_000));
    let after = person.screen(80, 24);
    assert!(!after.contains("(now: hold: max 5)") && after.contains("With this the loop would"), "{after}");
}

#[test]
fn a_wrong_value_is_told_under_its_field_and_not_sent() {
    let mut person = Person::seeing(armed());
    person.press("e<BS>x");
    let shown = person.screen(80, 24);
    assert!(shown.contains("`x` is not a whole number in 0..100000"), "{shown}");
    person.press("<C-s>");
    assert_eq!(orders(&person), []);
    person.press("<C-u>");
    assert!(!person.screen(80, 24).contains("is not a whole number"));
    // Without a text there is no limit: that is asked about.
    person.press("<C-s>");
    let shown = person.screen(80, 24);
    assert!(shown.contains("Set this?") && shown.contains("queue.train.max: not limited, now 6"), "{shown}");
    person.press("<Enter>");
    assert_eq!(orders(&person), []);
    assert!(person.screen(80, 24).contains("Limits and budgets of train"), "back in the form");
    person.press("<C-s>y");
    assert_eq!(orders(&person).len(), 1);
    assert!(matches!(&orders(&person)[0], Command::Set { edits, .. } if *edits == [set("queue.train.max", None)]));
}

#[test]
fn what_is_typed_first_takes_the_place_of_what_is_there() {
    for (keys, value) in [
        ("e8", "8"),
        ("e80", "80"),
        ("e<End>8", "68"),
        ("e8<Tab><BackTab>9", "9"),
        ("e<BS>7", "7"),
        ("e<Tab><BackTab><Home>1", "16"),
    ] {
        let mut person = Person::seeing(armed());
        person.press(keys);
        person.press("<C-s>");
        let edits = [set("queue.train.max", Some(value))];
        assert!(matches!(&orders(&person)[..], [Command::Set { edits: sent, .. }] if *sent == edits), "{keys}");
    }
    let mut person = Person::seeing(armed());
    person.press("e");
    person.tell(Message::Paste("12".to_owned()));
    person.press("<C-s>");
    let edits = [set("queue.train.max", Some("12"))];
    assert!(matches!(&orders(&person)[..], [Command::Set { edits: sent, .. }] if *sent == edits));
}

#[test]
fn a_hard_budget_is_raised_only_by_typing_the_amount() {
    use crate::model::settings::{Budget, BudgetScope, Per, Period};
    let mut view = armed();
    std::sync::Arc::make_mut(&mut view.settings).budgets.push(Budget {
        name: "team month".into(),
        scope: BudgetScope::All,
        per: Per::Calendar(Period::Month),
        limit: "$2500".parse().unwrap(),
        hard: true,
        already_spent: crate::model::money::Money::ZERO,
        at: crate::model::settings::Ladder::default(),
    });
    let mut person = Person::seeing(view);
    person.press("6e<Up>");
    let fields = |person: &mut Person| person.screen(100, 30);
    assert!(fields(&mut person).contains("team month"), "{}", fields(&mut person));
    person.press("<Tab><Tab><Tab><Tab><C-u>$3000<C-s>");
    assert!(fields(&mut person).contains("Type $3000 to set"), "{}", fields(&mut person));
    assert_eq!(orders(&person), []);
    person.press("<Esc>");
    assert!(fields(&mut person).contains("Limits and budgets of everything"), "back in the form");
    person.press("<C-s>$3000<Enter>");
    let edit = set("budget.\"team month\".limit", Some("$3000"));
    assert!(
        matches!(&orders(&person)[..], [Command::Set { edits, .. }] if *edits == [edit.clone()]),
        "{:?}",
        orders(&person)
    );
}

#[test]
fn a_hold_has_its_time_and_its_reason() {
    let mut person = Person::seeing(armed());
    person.press("2h<C-u>2<C-s>");
    assert!(person.screen(80, 24).contains("`2` is not a duration"));
    for (keys, wrong) in [
        ("<C-u>0s<C-s>", "`0s` is not in 1m..30d"),
        ("<C-u>9999d<C-s>", "`9999d` is not in 1m..30d"),
        ("<C-u>999999999999d<C-s>", "`999999999999d` is not in 1m..30d"),
        ("<C-u>99999999999999999999d<C-s>", "is not a duration"),
    ] {
        person.press(keys);
        assert!(person.screen(80, 24).contains(wrong), "{}", person.screen(80, 24));
        assert_eq!(orders(&person), [], "{keys}");
    }
    person.press("<C-u>2h<Tab>driver bug<C-s>");
    let until = person.now.checked_add(jiff::SignedDuration::from_hours(2)).unwrap();
    let hold = crate::model::instance::Hold { until, by: "ann".into(), why: "driver bug".to_owned() };
    assert_eq!(orders(&person), [ask(Ask::Hold { instance: "i-busy".into(), hold })]);
}

#[test]
fn a_hard_budget_is_made_soft_only_by_typing_its_amount() {
    let mut person = Person::seeing(super::seen::rich());
    person.press("6e<Up>");
    let place = person.state.place.clone();
    assert_eq!(place.page, crate::tui::state::place::Page::Settings);
    person.press("<Esc>");
    for keys in [":set budget.\"team month\".hard false<Enter>", ":set budget.\"team month\".limit $9000<Enter>"] {
        let amount = if keys.contains("hard") { "$2500" } else { "$9000" };
        person.press(keys);
        let shown = person.screen(100, 30);
        assert!(shown.contains("Set this?") && shown.contains(&format!("Type {amount} to set:")), "{shown}");
        person.press("y<Enter>");
        assert_eq!(orders(&person), [], "{keys}");
        person.press("<Esc>");
    }
    person.press(":set budget.\"team month\".hard false<Enter>$2500<Enter>");
    let edit = set("budget.\"team month\".hard", Some("false"));
    assert!(matches!(&orders(&person)[..], [Command::Set { edits, .. }] if *edits == [edit]));
}

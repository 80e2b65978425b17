//! What is said where little is known, little can be done, or little fits.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Person;
use super::keys::{armed, orders};
use super::look::person;
use crate::engine::event::{Leader, READ_ONLY, UNSURE, View};
use crate::model::instance::Phase;
use crate::model::money::Money;
use crate::model::observed::QueueEntry;
use crate::model::reason::Reason;
use crate::model::snapshot::{QueueState, Snapshot, Source};
use crate::tui::theme::Tone;

fn snapshot(view: &mut View) -> &mut Snapshot {
    Arc::make_mut(&mut view.snapshot)
}

fn row(shown: &str, word: &str) -> String {
    shown.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {shown}")).to_owned()
}

#[test]
fn the_drain_of_what_is_being_stopped_is_not_offered_back() {
    let mut view = armed();
    snapshot(&mut view).instances[3].phase = Phase::Stopping;
    let mut person = Person::seeing(view);
    person.press("2jjjD");
    let shown = person.screen(80, 24);
    assert!(shown.contains("cancel-drain: it is being stopped: it is too late"), "{shown}");
    // It was asked about while it could still be taken back.
    let mut person = Person::seeing(armed());
    person.press("2jjjD");
    assert!(person.screen(80, 24).contains("Cancel the drain of i-drained?"));
    let mut view = armed();
    snapshot(&mut view).instances[3].phase = Phase::Stopping;
    person.see(view);
    let shown = person.screen(80, 24);
    assert!(shown.contains("i-drained is being stopped: it is too late") && orders(&person).is_empty(), "{shown}");
}

fn growing() -> View {
    let mut view = armed();
    view.settings_problem = None;
    let waiting = Reason::Waiting { waiting: 5, idle: 1, starting: 2, foreign: 0, need: 2, each: 1 };
    Arc::make_mut(&mut view.plan).outlooks[0].next = Some(waiting);
    view
}

#[test]
fn what_holds_a_launch_back_stands_where_it_was_promised() {
    let silent = |view: &mut View| snapshot(view).sources[0].error = Some("does not answer".to_owned());
    let mut unsure = growing();
    unsure.warnings.push(UNSURE.to_owned());
    silent(&mut unsure);
    let mut stale = growing();
    snapshot(&mut stale).sources[0].last_good = Some(stale.at - SignedDuration::from_secs(61));
    for (view, next, dims) in
        [(growing(), "grow by 2", false), (unsure, "hold: ClearML", true), (stale, "hold: STALE", true)]
    {
        let mut person = Person::seeing(view);
        let shown = row(&person.screen(80, 24), ">train");
        assert!(shown.ends_with(next), "{next}: {shown}");
        let buffer = person.buffer(80, 24);
        let y = (0..24).find(|y| buffer[(1, *y)].symbol() == "t" && buffer[(0, *y)].symbol() == ">").unwrap();
        // The selected row is plain where it would be dim: the other one tells.
        let shade = person.state.theme.style(Tone::Dim).fg.unwrap();
        let cells: Vec<_> = (15..26).map(|x| &buffer[(x, y + 1)]).filter(|cell| cell.symbol() != " ").collect();
        assert!(!cells.is_empty() && (!dims || cells.iter().all(|cell| cell.fg == shade)), "{next}");
        person.press("w");
        assert_eq!(person.screen(80, 24).contains("only stops by hand are done"), next == "hold: ClearML");
    }
}

#[test]
fn what_is_stale_and_what_it_costs_come_before_long_words_of_who_leads() {
    let mut view = armed();
    view.leader = Leader::Other("nobody knows (https://api.example:8008 does not answer) who".to_owned());
    for source in &mut snapshot(&mut view).sources {
        source.last_good = None;
    }
    let mut many = view.clone();
    let region = |name: &str| Source { name: name.to_owned(), ..view.snapshot.sources[0].clone() };
    snapshot(&mut many).sources.extend(["aws eu-central-1", "aws eu-west-1", "gce europe-west4"].map(region));
    for (view, words) in
        [(view.clone(), ["clearml STALE", "aws us-east-1 STALE"]), (many.clone(), ["5 sources", "sources STALE"])]
    {
        let mut person = Person::seeing(view);
        for width in [80, 90, 100] {
            let shown = person.screen(width, 24);
            let first = shown.lines().next().unwrap();
            assert!(!first.contains('…') || first.contains("WATCHING: "), "{first}");
            for word in ["lab", "ARMED", "WATCHING", "$65.87/h"].into_iter().chain(words) {
                assert!(
                    first.contains(word) || (width > 80 && first.contains("no answer yet STALE")),
                    "{word}: {first}"
                );
            }
        }
    }
}

#[test]
fn a_console_that_may_change_nothing_says_so_and_by_what() {
    let mut view = armed();
    view.leader = Leader::Other("nobody (read only, by guardrails.toml)".to_owned());
    view.warnings.push(format!("{READ_ONLY}guardrails.toml"));
    let mut person = Person::seeing(view);
    let shown = person.screen(80, 24);
    let first = shown.lines().next().unwrap();
    assert!(first.contains(" READ ONLY ") && !first.contains("WATCHING"), "{first}");
    person.press("A");
    let shown = person.screen(80, 24);
    assert!(shown.contains("arm: read only, by guardrails.toml: nothing is done from here"), "{shown}");
}

#[test]
fn the_why_of_a_task_that_waits_is_its_place_and_its_queues_reason() {
    let mut person = person();
    let mut view = View::clone(person.state.live.as_ref().unwrap());
    let entry = |task: &str, minutes: i64| QueueEntry {
        task: task.into(),
        added: view.at - SignedDuration::from_mins(minutes),
    };
    let waiting = vec![entry("t-9", 30), entry("t-2", 20), entry("t-3", 3)];
    let name = "train".into();
    let queue = QueueState { name, id: Some("q".into()), nearest: None, waiting, phantoms: Vec::new(), retried: 0 };
    snapshot(&mut view).queues = vec![queue];
    person.see(view);
    person.press("T");
    person.press("w");
    let shown = person.screen(80, 24);
    assert!(shown.contains("eval a (t-2) waits in train for 20m00, place 2 of 3."), "{shown}");
    assert!(shown.contains("Why its queue waits") && shown.contains("pool.p4d.max is 5"), "{shown}");
    person.press("<Esc>jjw");
    let shown = person.screen(80, 24);
    assert!(shown.contains("train bert (t-1) runs on ") && !shown.contains("Why its queue waits"), "{shown}");
}

#[test]
fn a_long_question_is_read_on_a_small_screen_and_what_can_be_chosen_stays() {
    for (keys, choice, scrolls, last) in [
        ("2x", "Type i-busy to kill", "<Down><Down><Down><Down><Down><Down><Down><Down>", "after its task"),
        ("2d", "y drain", "jjjjjjjjjj", "train.max is 6"),
        ("q", "y quit", "<PgDn><PgDn><PgDn>", "up to their own max_life"),
    ] {
        let mut person = Person::seeing(armed());
        person.press(keys);
        let shown = person.screen(40, 10);
        assert!(shown.contains("…more: lines 1 to 5 of") && shown.contains(choice), "{shown}");
        let (whole, mut seen) = (person.screen(40, 40), shown);
        assert!(!whole.contains("…more"), "{whole}");
        person.screen(40, 10);
        for _ in 0..12 {
            person.press(scrolls);
            seen = person.screen(40, 10);
        }
        let words =
            |text: &str| text.split(['│', ' ', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        assert!(words(&seen).contains(last) && seen.contains(choice) && !seen.contains("…more"), "{seen}");
        assert!(orders(&person).is_empty());
    }
    // Where something is typed letters are letters.
    let mut person = Person::seeing(armed());
    person.screen(40, 10);
    person.press("2xj");
    let shown = person.screen(40, 10);
    assert!(shown.contains("j_") && shown.contains("…more: lines 1 to 5"), "{shown}");
}

#[test]
fn help_is_never_cut() {
    for width in [40, 80, 100] {
        let mut person = Person::seeing(armed());
        person.press("?");
        let shown = person.screen(width, 300);
        // Above stand the lasting warnings, below the keys.
        let page: Vec<&str> = shown.lines().skip_while(|line| !line.contains("What is selected")).collect();
        assert!(page.len() > 90 && !page.iter().any(|line| line.contains('…')), "{shown}");
    }
    let mut person = Person::seeing(armed());
    person.press("?");
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = squeezed(&person.screen(80, 300));
    assert!(shown.contains("claimed twice; or a ghost"), "{shown}");
}

#[test]
fn charts_are_opened_where_that_shows_more_and_the_past_is_marked() {
    let mut person = super::charts::watched();
    let shown = person.screen(80, 24);
    assert!(!row(&shown, "help").contains("open"), "{shown}");
    person.press("<Enter>");
    assert!(person.screen(80, 24).contains("a larger screen shows all of the charts"));
    let shown = person.screen(100, 30);
    assert!(row(&shown, "help").contains("open") && !shown.contains("Until"), "{shown}");
    person.press("+");
    assert!(!person.screen(100, 30).contains("Until"), "it follows the present");
    for _ in 0..40 {
        person.press("<Left>");
    }
    let shown = person.screen(100, 30);
    assert!(shown.contains("Until 07:5") && shown.contains(" ago (G: now): Machines by"), "{shown}");
    person.press("19");
    assert!(!person.screen(100, 30).contains(" ago (G: now)"), "who comes back comes to the present");
}

#[test]
fn a_wrong_filter_says_which_columns_there_are() {
    let mut person = person();
    person.press("2/foo=bar<Enter>");
    let shown = person.screen(80, 24);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("foo=bar: there is no column foo, but instance, state,"), "{shown}");
    assert!(words.contains("task"), "all of them: {shown}");
}

#[test]
fn amounts_are_labelled_and_stand_in_their_own_columns() {
    let mut person = person();
    let mut view = View::clone(person.state.live.as_ref().unwrap());
    view.spend.waste_today.drained = Money::from_micros(1_346);
    person.see(view.clone());
    let shown = person.screen(140, 40);
    let first = shown.lines().next().unwrap();
    assert!(first.contains("spent today $") && first.contains(" over $80.00"), "{first}");
    view.spend.budgets.retain(|budget| budget.name.as_str() == "team month");
    person.see(view);
    let shown = person.screen(140, 40);
    assert!(shown.lines().next().unwrap().contains("team month $2224.90 free of $2500.00"), "{shown}");
    person.press("6");
    let shown = row(&person.screen(80, 24), "budget team month");
    assert!(shown.contains("$275.10 of $2500 ") && !shown.contains(" 275.10"), "{shown}");
    person.press("3");
    let shown = person.screen(80, 80);
    assert!(row(&shown, "drained").contains("<0.01"), "{shown}");
}

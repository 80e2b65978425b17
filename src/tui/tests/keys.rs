//! (what is seen, keys, what is asked of the loop and shown).

use super::Person;
use crate::engine::command::{Command, Edit};
use crate::engine::event::{Answer, Event, Leader, View};
use crate::example::view;
use crate::model::breaker::Reset;
use crate::model::instance::Phase;
use crate::model::snapshot::Ask;
use crate::tui::message::{Effect, Ending, Message, Signal};
use crate::tui::state::place::{Page, Subject};

/// The example, acting.
pub(super) fn armed() -> View {
    let mut view = view();
    view.mode.armed = true;
    view
}

pub(super) fn answer(person: &mut Person, result: Result<Answer, String>) {
    let id = person.requests().last().unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result }));
}

/// What was ordered, without the reading of the journal at the start.
pub(super) fn orders(person: &Person) -> Vec<Command> {
    let sent = person.sent().into_iter();
    sent.filter(|command| !matches!(command, Command::Journal(_) | Command::Preview(_))).cloned().collect()
}

pub(super) fn ask(ask: Ask) -> Command {
    Command::Ask(vec![ask])
}

#[test]
fn each_order_needs_its_own_proof() {
    let kill = ask(Ask::Stop { instance: "i-busy".into(), kill: true });
    let stop = ask(Ask::Stop { instance: "i-drained".into(), kill: false });
    let drain = ask(Ask::Drain("i-busy".into()));
    let launch = ask(Ask::Launch { pool: "p4d".into(), queue: "train".into() });
    let trial = Command::ResetBackOff(Reset::One(crate::example::backing_off()));
    let nothing: &[Command] = &[];
    for (keys, ordered) in [
        // A busy machine: its id, in full, then Enter.
        ("2x", nothing),
        ("2xy", nothing),
        ("2x<Enter>", nothing),
        ("2xi-bus<Enter>", nothing),
        ("2xi-busy<Esc>", nothing),
        ("2xi-busy<Enter>", &[kill]),
        // One that surely has no task: y; Enter is Cancel.
        ("2jjjx<Enter>", nothing),
        ("2jjjx<C-y>", nothing),
        ("2jjjx<Esc>y", nothing),
        ("2jjjxy", std::slice::from_ref(&stop)),
        ("2d<Enter>", nothing),
        ("2dy", std::slice::from_ref(&drain)),
        // On the machine's own page, too.
        ("2<Enter>dy", std::slice::from_ref(&drain)),
        ("2jjjDy", &[ask(Ask::CancelDrain("i-drained".into()))]),
        ("2jjhy", &[ask(Ask::Release("i-held".into()))]),
        ("Ly", std::slice::from_ref(&launch)),
        (":launch<Enter>y", std::slice::from_ref(&launch)),
        ("P<Enter>", nothing),
        ("Py", &[Command::Pause]),
        ("Ay", &[Command::Disarm]),
        ("b<Enter>y", &[trial]),
        ("X<Enter>", nothing),
        ("Xy<Enter>", nothing),
        ("X4<Enter>", &[ask(Ask::StopAll)]),
        ("r", &[Command::Refresh]),
        ("q<Enter>", nothing),
        ("qy", &[Command::Quit { on_exit: None }]),
        (":q<Enter>y", &[Command::Quit { on_exit: None }]),
        ("2l", &[Command::BootLog("i-busy".into())]),
        // A queue is no machine.
        ("dy", nothing),
        ("xy", nothing),
    ] {
        let mut person = Person::seeing(armed());
        person.press(keys);
        assert_eq!(orders(&person), ordered, "{keys}");
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut watching = armed();
    watching.leader = Leader::Other("bo@host".to_owned());
    for (seen, keys, says) in [
        (armed(), "2jjjd", "drain: already draining since 07:59; D cancels"),
        (armed(), "2D", "cancel-drain: it is not draining"),
        (armed(), "d", "drain: select a machine first: 2 shows them"),
        (armed(), "u", "undo: nothing was done here that could be undone"),
        (armed(), "[", "previous: nothing was seen before"),
        (armed(), "5s", "sort: the journal is a line of time"),
        (watching.clone(), "P", "pause: bo@host leads: this console only watches"),
        (watching.clone(), "2d", "drain: bo@host leads: this console only watches"),
        (watching.clone(), "X", "emergency-stop: bo@host leads: this console only watches"),
        (watching, "e", "edit: bo@host leads: this console only watches"),
    ] {
        let mut person = Person::seeing(seen);
        person.press(keys);
        let shown = person.screen(100, 30);
        assert!(shown.contains(says), "{keys}: {shown}");
        assert_eq!(orders(&person), []);
    }
}

#[test]
fn why_a_queue_waits_says_what_holds_the_whole_loop_back_and_which_guardrail_its_limit() {
    let mut seen = armed();
    for (armed, paused, says) in
        [(false, false, "Dry run: nothing"), (true, true, "Paused: nothing"), (true, false, "")]
    {
        (seen.mode.armed, seen.mode.paused) = (armed, paused);
        let mut person = Person::seeing(seen.clone());
        person.press("w");
        let shown = person.screen(140, 40);
        assert!(says.is_empty() || shown.contains(says), "{shown}");
        assert!(!says.is_empty() || !shown.contains("nothing of it is done"), "{shown}");
        assert!(shown.contains("it would with"), "{shown}");
    }
    let reason = seen.plan.outlooks.iter().find_map(|outlook| outlook.next.clone()?.key()).unwrap();
    seen.warnings.push(format!("{reason} is 8; guardrail: 2, from /etc/tidegate/guardrails.toml"));
    let mut person = Person::seeing(seen);
    person.press("w");
    let shown = person.screen(140, 40);
    assert!(shown.contains(&format!("{reason} is 8; guardrail: 2")) && !shown.contains("it would with"), "{shown}");
}

#[test]
fn a_machine_that_is_being_stopped_lacks_no_price() {
    let mut seen = armed();
    let instance = &mut std::sync::Arc::make_mut(&mut seen.snapshot).instances[0];
    instance.rate = None;
    for (phase, lacks) in [(Phase::Busy, true), (Phase::Stopping, false)] {
        let mut seen = seen.clone();
        std::sync::Arc::make_mut(&mut seen.snapshot).instances[0].phase = phase;
        let mut person = Person::seeing(seen);
        person.press("2");
        assert_eq!(person.screen(140, 40).contains("no price known"), lacks, "{phase:?}");
    }
}

#[test]
fn a_dialog_closes_when_its_machine_goes_or_changes() {
    let mut person = Person::seeing(armed());
    person.press("2jjjx");
    assert!(person.screen(80, 24).contains("Stop i-drained?"));
    let mut changed = armed();
    std::sync::Arc::make_mut(&mut changed.snapshot).instances.retain(|instance| instance.id.as_str() != "i-drained");
    person.see(changed);
    let shown = person.screen(80, 24);
    assert!(!shown.contains("Stop i-drained?") && shown.contains("i-drained is gone: nothing was done"), "{shown}");
    // What was being typed for it goes to nothing else.
    person.press("ydyXIy");
    assert_eq!(orders(&person), []);
    assert!(person.screen(80, 24).contains("i-drained is gone: nothing was done"));
    person.press("<Esc>");
    assert!(person.state.dialog.is_none(), "after Esc keys are keys again");

    let mut person = Person::seeing(armed());
    person.press("2jjjx");
    let mut changed = armed();
    let snapshot = std::sync::Arc::make_mut(&mut changed.snapshot);
    // A drain that is taken back: it may have a task again.
    snapshot.instances[3].drain = None;
    person.see(changed);
    assert!(person.screen(80, 24).contains("may have a task now"));
    person.press("y");
    assert_eq!(orders(&person), []);
}

#[test]
fn the_cursor_stays_on_its_machine() {
    let mut person = Person::seeing(armed());
    person.press("2jj");
    assert_eq!(person.state.subject(), Some(Subject::Instance("i-held".into())));
    // Rows before it go: it moves up with its machine.
    let mut fewer = armed();
    std::sync::Arc::make_mut(&mut fewer.snapshot).instances.remove(0);
    person.see(fewer.clone());
    assert_eq!(person.state.subject(), Some(Subject::Instance("i-held".into())));
    assert!(person.screen(80, 24).contains(">i-held"));
    // Its own row goes: the neighbour.
    std::sync::Arc::make_mut(&mut fewer.snapshot).instances.remove(1);
    person.see(fewer);
    assert_eq!(person.state.subject(), Some(Subject::Instance("i-drained".into())));
    // Sorted, it is still the same machine.
    person.press("s<Down><Enter>");
    assert_eq!(person.state.subject(), Some(Subject::Instance("i-drained".into())));
}

#[test]
fn the_way_back_is_kept_with_its_filter() {
    let mut person = Person::seeing(armed());
    person.press("2/held<Enter>");
    assert!(person.screen(80, 24).contains("/held (1 of 7)"));
    person.press("3");
    assert_eq!(person.state.place.page, Page::Spend);
    person.press("[");
    assert!(person.screen(80, 24).contains("/held (1 of 7)"));
    // Esc: first the filter, then one level up.
    person.press("<Esc>");
    assert_eq!(person.state.list.rows.len(), 7);
    assert_eq!(person.state.place.page, Page::Instances);
    person.press("<Esc>");
    assert_eq!(person.state.place.page, Page::Queues);
    person.press("[]");
    assert_eq!(person.state.place.page, Page::Queues);
    // Down and up again.
    person.press("<Enter><Enter>");
    assert_eq!(person.state.place.crumbs(), ["Instances", "i-busy"]);
}

#[test]
fn a_filter_that_is_not_kept_is_as_before() {
    let mut person = Person::seeing(armed());
    person.press("2/held<Enter>/x<Esc>");
    assert!(person.screen(80, 24).contains("/held (1 of 7)"));
    person.press("/<C-u>!train<Enter>");
    assert_eq!(person.state.list.rows.len(), 1);
    person.tell(Message::Paste("q".to_owned()));
    assert!(person.state.dialog.is_none(), "pasted text is not taken for keys");
}

pub(super) fn set(key: &str, value: Option<&str>) -> Edit {
    Edit { key: key.to_owned(), value: value.map(str::to_owned) }
}

#[test]
fn the_palette_sets_completes_and_refuses() {
    let mut person = Person::seeing(armed());
    person.press(":set train.max<Tab>");
    assert!(person.screen(100, 30).contains(":set queue.train.max _"), "{}", person.screen(100, 30));
    person.press("x<Enter>");
    assert!(person.screen(100, 30).contains("is not a whole number"));
    person.press("<BS>3<Enter>");
    let edits = vec![set("queue.train.max", Some("3"))];
    let seen = Some(view().settings.revision.clone());
    assert_eq!(orders(&person), [Command::Set { edits, seen }]);
    answer(&mut person, Ok(Answer::Said("queue.train.max = 3, was 6".to_owned())));
    assert!(person.screen(100, 30).contains("queue.train.max = 3, was 6"));
    person.press(":i-held<Enter>");
    assert_eq!(person.state.place.crumbs(), ["Instances", "i-held"]);
}

#[test]
fn a_drain_is_undone_until_it_is_answered() {
    let mut person = Person::seeing(armed());
    person.press("2dy");
    answer(&mut person, Ok(Answer::Done));
    let mut draining = armed();
    let snapshot = std::sync::Arc::make_mut(&mut draining.snapshot);
    let drain = crate::model::instance::Drain { acknowledged: None, ..snapshot.instances[3].drain.clone().unwrap() };
    snapshot.instances[0].drain = Some(drain);
    person.see(draining.clone());
    person.press("uy");
    assert_eq!(orders(&person).last(), Some(&ask(Ask::CancelDrain("i-busy".into()))));

    let mut person = Person::seeing(armed());
    person.press("2dy");
    answer(&mut person, Ok(Answer::Done));
    let snapshot = std::sync::Arc::make_mut(&mut draining.snapshot);
    snapshot.instances[0].drain.as_mut().unwrap().acknowledged = Some(person.now);
    person.see(draining);
    person.press("u");
    assert!(person.screen(80, 24).contains("has run its course"));
}

#[test]
fn errors_stay_until_they_are_read_and_messages_go() {
    let mut view = armed();
    view.settings_problem = None;
    view.warnings.clear();
    let mut person = Person::seeing(view);
    person.press("2dy");
    answer(&mut person, Err("the machine is held by bo".to_owned()));
    for _ in 0..100 {
        person.tell(Message::Tick);
    }
    assert!(person.screen(80, 24).contains("! drain i-busy: the machine is held by bo"));
    person.press("!<Esc>");
    assert!(!person.screen(80, 24).contains("held by bo  (!"));
    person.press("t<Down><Enter>");
    assert!(person.screen(80, 24).contains("colours: light"));
    for _ in 0..4 {
        person.tell(Message::Tick);
    }
    assert!(!person.screen(80, 24).contains("colours: light"));
}

#[test]
fn leaving_waits_for_the_loop_and_can_be_forced() {
    let last = |person: &Person| person.effects.last().cloned();
    let mut person = Person::seeing(armed());
    person.press("qy");
    assert!(person.screen(80, 24).contains("The loop is ending"));
    person.press("q");
    assert!(matches!(last(&person), Some(Effect::Send(_))));
    person.tell(Message::Engine(Event::Ended));
    assert_eq!(last(&person), Some(Effect::Leave(Ending::Ended)));

    let mut person = Person::seeing(armed());
    person.press("qy<C-c>");
    assert_eq!(last(&person), Some(Effect::Leave(Ending::Forced)));

    let mut person = Person::seeing(armed());
    person.press("qy");
    for _ in 0..15 {
        person.tell(Message::Tick);
    }
    assert_eq!(last(&person), Some(Effect::Leave(Ending::Forced)));

    // What to do with the machines can be chosen; ending tasks needs the fleet's name.
    let mut person = Person::seeing(armed());
    person.press("q<Tab>");
    assert!(person.screen(100, 30).contains("stop-idle (this time)"));
    person.press("<Tab>y");
    assert_eq!(orders(&person), []);
    person.press("<C-u>lab<Enter>");
    assert_eq!(orders(&person), [Command::Quit { on_exit: Some(crate::model::settings::OnExit::StopAll) }]);
}

#[test]
fn signals_ask_nobody() {
    for signal in [Signal::Term, Signal::Hup, Signal::Int] {
        let mut person = Person::seeing(armed());
        person.tell(Message::Signal(signal));
        assert_eq!(orders(&person), [Command::Quit { on_exit: None }], "{signal:?}");
        assert!(person.effects.contains(&Effect::CloseScreen));
        person.tell(Message::Signal(signal));
        // A terminal is gone once, however often that is told.
        let last = if signal == Signal::Hup { Effect::CloseScreen } else { Effect::Leave(Ending::Forced) };
        assert_eq!(person.effects.last(), Some(&last), "{signal:?}");
    }
}

#[test]
fn suspending_a_loop_that_acts_is_asked_about() {
    let mut person = Person::seeing(armed());
    person.press("<C-z>");
    assert!(person.screen(80, 24).contains("Suspending stops scaling"));
    assert!(!person.effects.contains(&Effect::Suspend));
    person.press("y");
    assert!(person.effects.contains(&Effect::Suspend));
    let mut person = Person::seeing(view());
    person.press("<C-z>");
    assert!(person.effects.contains(&Effect::Suspend), "a dry run scales nothing");
}

#[test]
fn a_dead_loop_is_told_and_left() {
    let mut person = Person::seeing(armed());
    person.tell(Message::Trouble("engine panicked at src/x.rs:1: boom".to_owned()));
    person.tell(Message::LoopGone);
    let shown = person.screen(100, 30);
    assert!(shown.contains("NO LOOP") && shown.contains("boom"), "{shown}");
    person.press("2d");
    assert!(person.screen(100, 30).contains("drain: the loop has died"));
    person.press("q");
    assert_eq!(person.effects.last(), Some(&Effect::Leave(Ending::Forced)));
}

#[test]
fn a_frozen_screen_says_so_and_the_loop_goes_on() {
    let mut person = Person::seeing(armed());
    person.press("f");
    let mut later = armed();
    later.fleet = "other".into();
    person.see(later);
    let shown = person.screen(80, 24);
    assert!(shown.contains("FROZEN") && !shown.contains("other"), "{shown}");
    person.press("f");
    assert!(person.screen(80, 24).contains("other"));
}

#[test]
fn the_name_under_the_cursor_is_copied() {
    let mut person = Person::seeing(armed());
    person.press("2jy");
    assert_eq!(person.effects.last(), Some(&Effect::Copy("i-stuck".to_owned())));
}

#[test]
fn a_boot_log_is_fetched_and_shown_without_its_escapes() {
    let mut person = Person::seeing(armed());
    person.press("2l");
    assert!(person.screen(80, 24).contains("Asking the cloud for it."));
    answer(&mut person, Ok(Answer::BootLog("cloud-init done\n\u{1b}[2Jagent starts\n".to_owned())));
    let shown = person.screen(80, 24);
    assert!(
        shown.contains("cloud-init done") && shown.contains("agent starts") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    // Asked for again, it is not forgotten meanwhile.
    person.press("<Esc>l");
    assert!(person.screen(80, 24).contains("cloud-init done"));
}

#[test]
fn the_journal_goes_back_as_far_as_it_is_read() {
    let mut person = Person::seeing(armed());
    let line = |number: i64| crate::model::journal::Entry {
        at: person_time(-number),
        by: "loop".into(),
        kind: crate::model::journal::EntryKind::Seen,
        text: format!("line {number}"),
        reason: String::new(),
        subject: crate::model::journal::Subject::default(),
        intent: None,
        revision: None,
    };
    let lines: Vec<_> = (1..=500).map(line).collect();
    // One was told before the answer came, one is new.
    person.tell(Message::Engine(Event::Journal(line(1))));
    person.tell(Message::Engine(Event::Journal(line(0))));
    answer(&mut person, Ok(Answer::Journal(lines)));
    person.press("5");
    assert_eq!(person.state.list.total, 501);
    person.press("G");
    let wanted = |command: &Command| matches!(command, Command::Journal(filter) if filter.limit > 1_000);
    assert!(person.sent().into_iter().any(wanted));
}

fn person_time(seconds: i64) -> jiff::Timestamp {
    view().at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap()
}

#[test]
fn a_console_that_watches_stops_nothing_when_it_is_left() {
    let mut watching = armed();
    watching.leader = Leader::Other("bo@host".to_owned());
    std::sync::Arc::make_mut(&mut watching.settings).the_loop.on_exit = crate::model::settings::OnExit::StopAll;
    let mut person = Person::seeing(watching);
    person.press("q");
    assert!(person.screen(80, 24).contains("bo@host leads and goes on: this console stops nothing."));
    person.press("y");
    assert_eq!(orders(&person), [Command::Quit { on_exit: None }]);
}

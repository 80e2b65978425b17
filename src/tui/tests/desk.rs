//! Tasks of a queue: their order, what is done with them, and what they write.

use super::Person;
use crate::engine::command::Command;
use crate::engine::event::{Answer, Event, View};
use crate::model::account::Owner;
use crate::model::tasks::{NamedTask, QueuedTask, TaskDeed, TaskState};
use crate::tui::message::Message;
use crate::tui::state::place::Page;

/// Two that wait, one that runs, one that was stopped, one that failed.
pub(super) fn tasks() -> Vec<QueuedTask> {
    let since = crate::example::view().at.checked_sub(jiff::SignedDuration::from_secs(90)).unwrap();
    let task = |id: &str, name: &str, state| QueuedTask {
        id: id.into(),
        name: name.to_owned(),
        state,
        since: Some(since),
        worker: (state == TaskState::Running).then(|| "lab:p4d:p4d.24xlarge:i-busy".into()),
        owner: Owner { project: Some("vision".into()), user: Some("ann".into()) },
        reason: "stopped by ann".to_owned(),
    };
    vec![
        task("t-2", "eval a", TaskState::Waiting(1)),
        task("t-3", "eval b", TaskState::Waiting(2)),
        task("t-1", "train bert", TaskState::Running),
        task("t-4", "old run", TaskState::Stopped),
        task("t-5", "bad run", TaskState::Failed),
    ]
}

fn armed() -> View {
    let mut view = crate::example::view();
    view.mode.armed = true;
    view
}

fn answer(person: &mut Person, what: impl Fn(&Command) -> bool, result: Result<Answer, String>) {
    let id = person.requests().iter().rev().find(|request| what(&request.command)).unwrap().id;
    person.tell(Message::Engine(Event::Answer { id, result }));
}

fn is_reading(command: &Command) -> bool {
    matches!(command, Command::Tasks(_))
}

/// In front of the tasks of `train`.
fn person() -> Person {
    let mut person = Person::seeing(armed());
    person.press("T");
    answer(&mut person, is_reading, Ok(Answer::Tasks(tasks())));
    person
}

fn deeds(person: &Person) -> Vec<(Vec<String>, TaskDeed)> {
    let sent = person.sent().into_iter().filter_map(|command| match command {
        Command::TaskDeed { queue, tasks, deed } => {
            assert_eq!(queue.as_str(), "train");
            Some((tasks.iter().map(|task| task.id.to_string()).collect(), *deed))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn each_deed_goes_to_the_tasks_that_are_meant_and_only_what_costs_is_asked_about() {
    let one = |id: &str, deed| vec![(vec![id.to_owned()], deed)];
    for (keys, sent) in [
        ("<", one("t-2", TaskDeed::ToFront)),
        ("j>", one("t-3", TaskDeed::ToBack)),
        ("K", one("t-2", TaskDeed::Forward)),
        ("J", one("t-2", TaskDeed::Backward)),
        ("o", vec![]),
        ("o<Enter>", vec![]),
        ("oy", one("t-2", TaskDeed::TakeOut)),
        ("jjjiy", one("t-4", TaskDeed::PutIn)),
        ("  oy", vec![(vec!["t-2".to_owned(), "t-3".to_owned()], TaskDeed::TakeOut)]),
        // What does not wait is not moved, what waits is not put in.
        ("jj<", vec![]),
        ("*oy", vec![]),
        ("iy", vec![]),
    ] {
        let mut person = person();
        person.press(keys);
        assert_eq!(deeds(&person), sent, "{keys}");
    }
}

#[test]
fn what_cannot_be_done_with_a_task_says_why() {
    for (keys, says) in [
        ("jjo", "take-out: train bert is running, it does not wait"),
        ("jjjji", "put-in: bad run failed: ClearML takes it again only once it is reset there"),
        ("1o", "take-out: select a task first: T shows those of a queue"),
        ("2T", "tasks: select a queue first"),
        // On its console nothing is moved.
        ("jjc<lt>", "to-front: select a task first"),
    ] {
        let mut person = person();
        person.press(keys);
        let shown = person.screen(140, 30);
        assert!(shown.contains(says), "{keys}: {shown}");
    }
    let mut person = Person::seeing(crate::example::view());
    person.press("T");
    answer(&mut person, is_reading, Ok(Answer::Tasks(tasks())));
    person.press("<");
    assert!(person.screen(140, 30).contains("to-front: this is a dry run: A arms the loop"));
}

#[test]
fn a_task_that_was_begun_cancels_its_question_and_one_that_was_taken_out_is_put_back() {
    let mut one = person();
    one.press("o");
    assert!(one.screen(80, 24).contains("Take eval a out of train?"));
    let mut begun = tasks();
    begun.remove(0);
    one.tell(Message::Tick);
    one.press("<Esc>r<C-r>");
    one.press("o");
    for _ in 0..5 {
        one.tell(Message::Tick);
    }
    answer(&mut one, is_reading, Ok(Answer::Tasks(begun)));
    let shown = one.screen(80, 24);
    assert!(shown.contains("eval a does not wait any more") && !shown.contains("Take eval a"), "{shown}");

    let mut other = person();
    other.press("oy");
    let is_deed = |command: &Command| matches!(command, Command::TaskDeed { .. });
    answer(&mut other, is_deed, Ok(Answer::Said("done".to_owned())));
    other.press("u");
    assert!(other.screen(80, 24).contains("Put eval a into train again?"));
    other.press("y");
    assert_eq!(deeds(&other).last(), Some(&(vec!["t-2".to_owned()], TaskDeed::PutIn)));
    other.press("<Esc>u");
    assert!(other.screen(80, 24).contains("nothing was done here"), "it is not undone twice");
}

#[test]
fn a_console_is_read_from_its_end_and_followed_there() {
    let mut person = person();
    person.press("jj<Enter>");
    assert_eq!(person.state.place.page, Page::TaskLog);
    let log = |lines: usize| (0..lines).map(|line| format!("step {line}")).collect::<Vec<_>>().join("\n");
    let is_log = |command: &Command| matches!(command, Command::TaskLog(id) if id.as_str() == "t-1");
    answer(&mut person, is_log, Ok(Answer::TaskLog(log(100))));
    assert!(person.screen(80, 24).contains("step 99"));
    let again = |person: &mut Person, lines| {
        for _ in 0..5 {
            person.tell(Message::Tick);
        }
        answer(person, is_log, Ok(Answer::TaskLog(log(lines))));
    };
    again(&mut person, 120);
    assert!(person.screen(80, 24).contains("step 119"));
    // Who reads further up is left there.
    person.press("g");
    again(&mut person, 140);
    assert!(person.screen(80, 24).contains("step 0\n"));
    person.press("<Esc>");
    assert_eq!(person.state.place.page, Page::Tasks);
}

#[test]
fn the_cells_are_the_tasks() {
    let mut person = person();
    let shown = person.screen(140, 30);
    for task in tasks() {
        let row = shown.lines().find(|line| line.contains(&task.name)).unwrap();
        let place = if let TaskState::Waiting(place) = task.state { place.to_string() } else { "-".to_owned() };
        for word in [task.id.to_string(), task.state.word().to_owned(), "1m30".to_owned(), "ann".to_owned(), place] {
            assert!(row.contains(&word), "{word}: {row}");
        }
    }
    let named = NamedTask { id: "t-2".into(), name: "eval a".to_owned() };
    assert_eq!(named.to_string(), "eval a (t-2)");
}

//! `--plain`: the console in lines, in a terminal and in a pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::terminal::Terminal;

#[test]
fn the_demo_is_used_line_by_line_in_a_terminal_and_nothing_is_drawn_over() {
    let mut terminal =
        Terminal::of(&["demo", "--plain", "--seed", "1", "--speed", "30"], &[], "Tidegate, line by line");
    terminal.until("the first page", |text| text.contains("Queues.") && text.contains("1. "));
    terminal.line("instances");
    // An empty line tells the page again; machines come with the tasks.
    let has_two = |text: &str| text.contains("2. i-") && text.contains("state ") && text.contains("$/h ");
    for _ in 0..120 {
        if has_two(&terminal.text()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        terminal.line("");
    }
    terminal.line("2");
    terminal.until("a row", |text| text.lines().any(|line| line.starts_with("2. i-") && line.contains("state")));
    terminal.line("drain");
    terminal.until("the question", |text| text.contains("Type y to drain; anything else cancels."));
    terminal.line("");
    terminal.until("no drain", |text| text.contains("Closed."));
    terminal.line("drain");
    terminal.line("y");
    terminal.until("the drain", |text| text.contains("drain"));
    terminal.line("set queue.cpu-small.max 7");
    terminal.until("the question", |text| text.contains("queue.cpu-small.max = 7, now 4"));
    terminal.line("y");
    terminal.until("the setting", |text| text.lines().any(|line| line.trim() == "queue.cpu-small.max = 7"));
    terminal.line("nonsense");
    terminal.until("help", |text| text.contains("Nothing is called `nonsense`"));
    terminal.line("quit");
    terminal.until("the question", |text| text.contains("On exit: ") && text.contains("anything else cancels"));
    // What becomes of the machines is chosen by its word, and the question told anew.
    for (word, told) in [("stop-all", "On exit: stop-all (this time)."), ("leave", "On exit: leave")] {
        terminal.line(word);
        terminal.until(word, |text| text.contains(told));
    }
    terminal.line("y");
    assert!(terminal.ended());
    assert!(!terminal.text().contains("Tab"), "there are no keys");
    let raw = terminal.raw();
    assert!(!raw.contains(&0x1b), "a screen reader hears no escape");
}

#[test]
fn a_pipe_is_enough_and_its_end_ends_the_loop() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["demo", "--plain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (tell, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::Builder::new()
        .spawn(move || {
            for line in stdout.lines() {
                let _ = tell.send(line.unwrap());
            }
        })
        .unwrap();
    let until = |what: &str| loop {
        let line = lines.recv_timeout(Duration::from_mins(3)).unwrap_or_else(|_| panic!("no {what}"));
        if line.contains(what) {
            return line;
        }
    };
    until("Queues.");
    writeln!(stdin, "help").unwrap();
    until("emergency-stop: End every machine of the fleet");
    writeln!(stdin, "emergency-stop").unwrap();
    let how = until("to end them all");
    assert!(how.starts_with("Type ") && how.ends_with("anything else cancels."), "{how}");
    writeln!(stdin, "y").unwrap();
    writeln!(stdin, "spend").unwrap();
    until("Spend.");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

//! The console in a terminal of its own, measured from outside: first frame, key to frame, memory, processor time, wake-ups
//! and what it writes, beside btop and bottom on the same terminal where they are installed. `cargo bench --bench console`;
//! the goals are printed beside what was measured.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on fails, and prints"
)]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/terminal.rs"]
mod terminal;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate::engine::command::{Command, Request};
use tidegate::engine::event::{Answer, Event, View};
use tidegate::model::journal::{Entry, EntryKind, Subject};
use tidegate::tui::{Link, Options, run};
use tokio::sync::{broadcast, mpsc};

use fleet::fleet;
use terminal::{Program, millis, now};

const KEYS: usize = 40;
/// Events between the loop and the screen at most.
const TOLD_AHEAD: usize = 256;
/// Ticks of `/proc/<pid>/stat` in a second.
const TICKS: f64 = 100.0;

/// Machines and journal lines of the screen that this program is when it is set.
const FLEET: &str = "TIDEGATE_BENCH_FLEET";

fn main() {
    if let Ok(fleet) = std::env::var(FLEET) {
        let (machines, lines) = fleet.split_once(',').unwrap();
        return screen(machines.parse().unwrap(), lines.parse().unwrap());
    }
    let tidegate = env!("CARGO_BIN_EXE_tidegate");
    let own = std::env::current_exe().unwrap().display().to_string();
    let size = std::fs::metadata(tidegate).unwrap().len() as f64 / 1_048_576.0;
    row("the program, MiB", size, "40, without clouds 15");
    row("--version, ms (median of 5)", median((0..5).map(|_| version()).collect()), "10");
    for (name, program) in [("btop", "btop"), ("bottom", "btm"), ("tidegate", tidegate)] {
        let arguments: &[&str] = if program == tidegate { &["demo", "--seed", "7"] } else { &[] };
        if installed(program) {
            let starts: Vec<f64> = (0..5).map(|_| first_frame(program, arguments)).collect();
            row(&format!("{name}: first frame, ms (median of 5)"), median(starts), "50");
        }
    }
    let a_while = Duration::from_secs(5);
    for program in ["btop", "btm"].into_iter().filter(|program| installed(program)) {
        measure(program, Program::start(program, &[], None), a_while, &[b"j", b"k"]);
    }
    let slow = ["demo", "--seed", "7", "--speed", "1"];
    measure("one day at its own pace", Program::start(tidegate, &slow, None), a_while, &[b"j", b"k"]);
    // Some minutes of a day 50 times as large: about 500 machines.
    let large = ["demo", "--seed", "7", "--speed", "60", "--scale", "50"];
    let warm = Duration::from_secs(25);
    measure("60 times as fast, 500 machines", Program::start(tidegate, &large, None), warm, &[b"j", b"k"]);
    for fleet in ["500,20000", "10000,20000"] {
        for (page, keys) in [("machines", b"2"), ("journal", b"5")] {
            let mut program = Program::start(&own, &[], Some((FLEET, fleet)));
            std::thread::sleep(a_while);
            program.writer.write_all(keys).unwrap();
            measure(
                &format!("{fleet} machines and journal lines, still: {page}"),
                program,
                a_while,
                &[b"\x1b[6~", b"\x1b[5~"],
            );
        }
    }
}

fn installed(program: &str) -> bool {
    program.contains('/') || std::process::Command::new(program).arg("--version").output().is_ok()
}

fn measure(name: &str, mut program: Program, warm: Duration, keys: &[&[u8]; 2]) {
    println!("\n{name}");
    std::thread::sleep(warm);
    let window = Duration::from_secs(15);
    let (ticks, bytes, woke) = (program.ticks(), program.bytes(), wakes(&program));
    std::thread::sleep(window);
    let seconds = window.as_secs_f64();
    row("processor, %", (program.ticks() - ticks) / TICKS / seconds * 100.0, "0.2 (idle)");
    row("wake-ups/s", (wakes(&program) - woke) / seconds, "5 (idle)");
    row("written to the terminal, bytes/s", (program.bytes() - bytes) as f64 / seconds, "150 (idle)");
    row("memory, MiB", program.resident(), "30");
    let mut answers: Vec<f64> = (0..KEYS).map(|at| program.key(keys[at % 2])).collect();
    answers.sort_by(f64::total_cmp);
    row("key to frame, ms, p50", answers[KEYS / 2], "");
    row("key to frame, ms, p95", answers[KEYS * 95 / 100], "16");
}

/// A screen on a loop that stands still, with so many machines and journal lines.
fn screen(machines: usize, lines: usize) {
    let view = fleet(machines);
    let (requests, asked) = mpsc::channel(64);
    let (tell, events) = broadcast::channel(TOLD_AHEAD);
    let at = view.at;
    tell.send(Event::View(Arc::new(view.clone()))).unwrap();
    std::thread::Builder::new()
        .spawn(move || {
            remember(&tell, lines, at);
            play(asked, &tell, &view);
        })
        .unwrap();
    let begun = now();
    let options = Options::new("ann".into(), Arc::new(move || at + SignedDuration::try_from(begun.elapsed()).unwrap()));
    run(Link { requests, events }, &options).unwrap();
}

/// Tells so many journal lines, no more ahead of the screen than it keeps: its memory is its own, and not the backlog's.
fn remember(tell: &broadcast::Sender<Event>, lines: usize, at: Timestamp) {
    for number in (0..lines).rev() {
        while tell.len() >= TOLD_AHEAD / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let entry = Entry {
            at: at - SignedDuration::from_secs(i64::try_from(number).unwrap()),
            by: "loop".into(),
            kind: EntryKind::Decided,
            text: format!("launch 1 x g5.xlarge in pool {number}"),
            reason: "5 waiting - 1 idle - 2 starting, need 2".to_owned(),
            subject: Subject::default(),
            intent: None,
            revision: None,
        };
        tell.send(Event::Journal(entry)).unwrap();
    }
}

/// A look every ten seconds, in which nothing has moved.
fn play(mut asked: mpsc::Receiver<Request>, tell: &broadcast::Sender<Event>, view: &View) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut view = view.clone();
        let mut looks = tokio::time::interval(Duration::from_secs(10));
        loop {
            let request = tokio::select! {
                request = asked.recv() => request,
                _ = looks.tick() => {
                    view.at += SignedDuration::from_secs(10);
                    let sources = &mut Arc::make_mut(&mut view.snapshot).sources;
                    for source in sources.iter_mut() {
                        source.last_good = Some(view.at);
                    }
                    view.next_pass = view.at + SignedDuration::from_secs(10);
                    let _ = tell.send(Event::View(Arc::new(view.clone())));
                    continue;
                }
            };
            let Some(request) = request else { return };
            let result = match request.command {
                Command::Journal(_) => Ok(Answer::Journal(Vec::new())),
                Command::Quit { .. } => {
                    let _ = tell.send(Event::Ended);
                    return;
                }
                _ => Ok(Answer::Done),
            };
            let _ = tell.send(Event::Answer { id: request.id, result });
        }
    });
}

fn row(what: &str, value: f64, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!("   goal {goal}") };
    println!("  {what:<36} {value:>10.2}{goal}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn version() -> f64 {
    let begun = now();
    std::process::Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("--version").output().unwrap();
    millis(begun)
}

fn first_frame(program: &str, arguments: &[&str]) -> f64 {
    let begun = now();
    let program = Program::start(program, arguments, None);
    while !program.has_drawn() {
        std::thread::sleep(Duration::from_micros(200));
    }
    millis(begun)
}

/// How often a program's threads went to sleep or were taken off the processor so far.
fn wakes(program: &Program) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let of = |text: &str| -> f64 {
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
    };
    status.map(|text| of(&text)).sum()
}

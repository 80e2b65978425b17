//! A loop without a screen, and three screens attached to it, while tasks come and machines start: nothing grows, and
//! everyone sees the same. A share of it runs with the tests; ten minutes of it with
//! `cargo test --test it ten_minutes -- --ignored --nocapture`, which prints the figures.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use portable_pty::CommandBuilder;
use tidegate::engine::socket::Client;
use tidegate::world::clock::Clock;

use super::service::{SETTINGS, Service};
use crate::console::terminal::Terminal;
use crate::support::moto;
use crate::support::process::eventually;

const NAMES: [&str; 3] = ["ann", "bo", "cy"];
/// Two tasks more come so often.
const PACE: Duration = Duration::from_millis(500);
/// What is seen is looked at so often.
const LOOK: Duration = Duration::from_millis(20);
/// Over the second half of the run, in MiB; the loop holds more tasks at its end.
const MOST_GROWTH: f64 = 24.0;
/// Ticks of `/proc/<pid>/stat` in a second.
const TICKS: f64 = 100.0;

/// When each count of waiting tasks was seen first.
type Seen = BTreeMap<usize, Timestamp>;

#[test]
fn three_screens_see_what_the_loop_does_and_order_under_their_names() {
    println!("{}", watched_for(Duration::from_secs(20)));
}

#[test]
#[ignore = "ten minutes, and of use for its numbers only"]
fn three_screens_for_ten_minutes() {
    println!("{}", watched_for(Duration::from_mins(10)));
}

/// What was measured, a line each.
fn watched_for(span: Duration) -> String {
    let moto = moto::start();
    let settings = SETTINGS.replace("max = 4", "max = 20").replace("ami-1", "ami-12345678");
    let service = Service::on(&settings, &moto.url).start();
    assert!(service.run(&["arm", "--yes"]).status.success());
    let mut screens: Vec<Terminal> = NAMES.iter().map(|name| attach(&service, name)).collect();
    let the_loop = service.group.as_ref().unwrap().id();
    let programs: Vec<u32> = std::iter::once(the_loop).chain(screens.iter().map(Terminal::process)).collect();
    let (over, by_loop) = (AtomicBool::new(false), Mutex::new(Seen::new()));
    let mut by_screen = vec![Seen::new(); NAMES.len()];
    let sample = || -> (Vec<f64>, Vec<f64>) {
        (programs.iter().map(|id| resident(*id)).collect(), programs.iter().map(|id| processor(*id)).collect())
    };
    let mut middle = None;
    let (mut come, mut told) = (0, Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| look_at_loop(&service, &over, &by_loop));
        // Whatever happens here, the other one ends.
        let _end = End(&over);
        let begun = Clock::Wall.now();
        let passed = || Clock::Wall.now().duration_since(begun).unsigned_abs();
        while passed() < span {
            if u32::try_from(come).unwrap() * PACE <= 2 * passed() {
                service.served.enqueue_shell("train", "true");
                come += 1;
            }
            look_at_screens(&screens, &mut by_screen);
            if passed() >= span / 2 {
                middle.get_or_insert_with(sample);
            }
            std::thread::sleep(LOOK);
        }
        let half = span.as_secs_f64() / 2.0;
        let (halfway, ticks) = middle.unwrap_or_else(sample);
        for (place, (id, name)) in programs.iter().zip(["the loop", "ann", "bo", "cy"]).enumerate() {
            let (now, share) = (resident(*id), (processor(*id) - ticks[place]) / TICKS / half * 100.0);
            let growth = now - halfway[place];
            told.push(format!("{name}: {now:.1} MiB, {growth:+.1} in the second half; {share:.1} % of a processor"));
            assert!(growth < MOST_GROWTH, "{name} grows by {growth} MiB");
        }
        // All that came is seen by everyone in the end.
        for screen in &mut screens {
            screen.until("all that wait", |text| waiting(text) == Some(come));
        }
        look_at_screens(&screens, &mut by_screen);
    });
    let by_loop = by_loop.into_inner().unwrap();
    for (name, seen) in NAMES.iter().zip(&by_screen) {
        told.push(lateness(name, &by_loop, seen));
    }
    eventually("all show the same", 3_600, || {
        let rows: Vec<Option<String>> = screens.iter().map(|screen| row(&screen.text())).collect();
        rows.iter().all(|row| *row == rows[0] && row.is_some())
    });
    order(&service, &mut screens);
    told.join("\n")
}

/// Each pauses or resumes, whatever the one before did, once it sees that.
fn order(service: &Service, screens: &mut [Terminal]) {
    let (paused, resumed) = ("paused: only what people ask for is done", "resumed");
    let pause = ("ARMED", "Pause the loop?", paused);
    let orders = [pause, ("PAUSED", "Resume?", resumed), pause];
    for ((name, screen), (mode, question, text)) in NAMES.iter().zip(screens).zip(orders) {
        screen.until("the loop's mode", |shown| shown.contains(mode));
        screen.press("P");
        screen.until("the question", |shown| shown.contains(question));
        screen.press("y");
        eventually("the order is in the journal under its name", 3_600, || {
            let journal = service.json(&["journal", "--json", "--limit", "50"]);
            let mut lines = journal["journal"].as_array().unwrap().iter();
            lines.any(|line| line["text"] == text && line["by"] == *name)
        });
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn attach(service: &Service, name: &str) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("attach");
    command.env_clear();
    for (name, value) in service.environment() {
        command.env(name, value);
    }
    command.env("USER", name);
    command.env("LANG", "C.UTF-8");
    command.env("TERM", "xterm-256color");
    Terminal::start(command, "train")
}

/// The queue's line, up to what changes with each second.
fn row(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.trim_start_matches(['>', ' ']).starts_with("train "))?;
    let words: Vec<&str> = line.trim_start_matches(['>', ' ']).split_whitespace().take(2).collect();
    Some(words.join(" "))
}

fn waiting(text: &str) -> Option<usize> {
    row(text)?.split(' ').nth(1)?.parse().ok()
}

fn look_at_screens(screens: &[Terminal], seen: &mut [Seen]) {
    for (screen, seen) in screens.iter().zip(seen) {
        if let Some(count) = waiting(&screen.text()) {
            seen.entry(count).or_insert_with(|| Clock::Wall.now());
        }
    }
}

/// The views as they come out of the socket.
fn look_at_loop(service: &Service, over: &AtomicBool, seen: &Mutex<Seen>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(&service.path("state")).await.unwrap();
        client.follow_changes().await.unwrap();
        let read = async {
            loop {
                let count = client.view().await.unwrap().snapshot.queues[0].waiting.len();
                seen.lock().unwrap().entry(count).or_insert_with(|| Clock::Wall.now());
            }
        };
        let end = async {
            while !over.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = read => {}
            () = end => {}
        }
    });
}

/// How late a screen showed what the loop told, and what it never showed.
fn lateness(name: &str, told: &Seen, shown: &Seen) -> String {
    let late = |(count, at): (&usize, &Timestamp)| Some(shown.get(count)?.duration_since(*at));
    let mut late: Vec<SignedDuration> = told.iter().filter_map(late).collect();
    late.sort_unstable();
    let lost = told.keys().filter(|count| !shown.contains_key(count)).count();
    let [median, most] = [late.len() / 2, late.len().saturating_sub(1)].map(|at| late.get(at).copied());
    format!(
        "{name}: of {} counts that the loop told {lost} were never on the screen; late by {:#} (median), {:#} (at most)",
        told.len(),
        median.unwrap_or_default(),
        most.unwrap_or_default(),
    )
}

fn resident(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Processor time so far, in ticks.
fn processor(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The 14th and 15th of all; the name, which may hold blanks, and the id stand before the bracket.
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

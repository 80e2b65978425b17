//! The console in a terminal of its own, measured from outside: first frame, key to frame, memory, processor time and
//! what it writes. `cargo bench --bench console`; the goals are printed beside what was measured.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on fails, and prints"
)]

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const SIZE: PtySize = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
const KEYS: usize = 40;
/// A frame has come when so much was written after the alternate screen was entered.
const A_FRAME: usize = 200;
const ALTERNATE_SCREEN: &[u8] = b"\x1b[?1049h";
/// Ticks of `/proc/<pid>/stat` in a second.
const TICKS: f64 = 100.0;

fn main() {
    let starts: Vec<f64> = (0..5).map(|_| first_frame()).collect();
    row("first frame, ms (median of 5)", median(starts), "50");
    row("--version, ms (median of 5)", median((0..5).map(|_| version()).collect()), "10");
    measure("one day at its own pace", &["demo", "--seed", "7", "--speed", "1"], Duration::from_secs(5));
    // Some minutes of a day 50 times as large: about 500 machines.
    let large = ["demo", "--seed", "7", "--speed", "60", "--scale", "50"];
    measure("60 times as fast, 500 machines", &large, Duration::from_secs(25));
}

fn measure(name: &str, arguments: &[&str], warm: Duration) {
    println!("\n{name}: tidegate {}", arguments.join(" "));
    let mut program = Program::start(arguments);
    std::thread::sleep(warm);
    let window = Duration::from_secs(15);
    let (ticks, bytes) = (program.ticks(), program.bytes());
    std::thread::sleep(window);
    row("processor, %", (program.ticks() - ticks) / TICKS / window.as_secs_f64() * 100.0, "0.2 (idle)");
    row("written to the terminal, bytes/s", (program.bytes() - bytes) as f64 / window.as_secs_f64(), "150 (idle)");
    row("memory, MiB", program.resident(), "30");
    let mut answers: Vec<f64> = (0..KEYS).map(|at| program.key(if at % 2 == 0 { b"j" } else { b"k" })).collect();
    answers.sort_by(f64::total_cmp);
    row("key to frame, ms, p50", answers[KEYS / 2], "");
    row("key to frame, ms, p95", answers[KEYS * 95 / 100], "16");
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

fn first_frame() -> f64 {
    let begun = now();
    let program = Program::start(&["demo", "--seed", "7"]);
    while !program.has_drawn() {
        std::thread::sleep(Duration::from_micros(200));
    }
    millis(begun)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// The program in a terminal that answers nothing and remembers what was written.
struct Program {
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    written: Arc<Mutex<Vec<u8>>>,
    _master: Box<dyn MasterPty + Send>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, heard) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&written));
        let mut writer = pair.master.take_writer().unwrap();
        // Terminals are asked who they are and what colours they have before the first frame.
        writer.write_all(b"\x1b[?62c").unwrap();
        std::thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 16_384];
                while let Ok(read @ 1..) = reader.read(&mut bytes) {
                    heard.lock().unwrap().extend_from_slice(&bytes[..read]);
                }
            })
            .unwrap();
        Self { child, writer, written, _master: pair.master }
    }

    fn bytes(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    fn has_drawn(&self) -> bool {
        let written = self.written.lock().unwrap();
        let entered = written.windows(ALTERNATE_SCREEN.len()).position(|bytes| bytes == ALTERNATE_SCREEN);
        entered.is_some_and(|at| written.len() - at > A_FRAME)
    }

    /// From the key to the first byte that is written after it.
    fn key(&mut self, key: &[u8]) -> f64 {
        std::thread::sleep(Duration::from_millis(120));
        let before = self.bytes();
        let begun = now();
        self.writer.write_all(key).unwrap();
        while self.bytes() == before && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_micros(50));
        }
        millis(begun)
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.process_id().unwrap())).unwrap()
    }

    /// Processor time so far, in ticks.
    fn ticks(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // The 14th and 15th of all; the name, which may hold blanks, and the id stand before the bracket.
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    }

    fn resident(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

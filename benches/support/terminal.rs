//! A program in a terminal of its own, measured from outside.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const SIZE: PtySize = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
/// A frame has come when so much was written after the alternate screen was entered.
const A_FRAME: usize = 200;
const ALTERNATE_SCREEN: &[u8] = b"\x1b[?1049h";

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// The program in a terminal that answers nothing and remembers what was written.
pub(crate) struct Program {
    child: Box<dyn Child + Send + Sync>,
    pub(crate) writer: Box<dyn Write + Send>,
    written: Arc<Mutex<Vec<u8>>>,
    _master: Box<dyn MasterPty + Send>,
}

impl Program {
    pub(crate) fn start(program: &str, arguments: &[&str], variable: Option<(&str, &str)>) -> Self {
        let pair = native_pty_system().openpty(SIZE).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        if let Some((name, value)) = variable {
            command.env(name, value);
        }
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

    pub(crate) fn bytes(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    pub(crate) fn has_drawn(&self) -> bool {
        let written = self.written.lock().unwrap();
        let entered = written.windows(ALTERNATE_SCREEN.len()).position(|bytes| bytes == ALTERNATE_SCREEN);
        entered.is_some_and(|at| written.len() - at > A_FRAME)
    }

    /// From the key to the first byte that is written after it.
    pub(crate) fn key(&mut self, key: &[u8]) -> f64 {
        std::thread::sleep(Duration::from_millis(120));
        let before = self.bytes();
        let begun = now();
        self.writer.write_all(key).unwrap();
        while self.bytes() == before && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_micros(50));
        }
        millis(begun)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.id())).unwrap()
    }

    /// Processor time so far, in ticks.
    pub(crate) fn ticks(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // The 14th and 15th of all; the name, which may hold blanks, and the id stand before the bracket.
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    }

    pub(crate) fn resident(&self) -> f64 {
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

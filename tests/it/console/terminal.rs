//! A terminal with the program in it.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How often the screen is looked at, and how many looks make three minutes: a busy host is slow.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: u32 = 9_000;

pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    /// Every byte that it wrote.
    raw: Arc<Mutex<Vec<u8>>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    /// How many keys were pressed.
    pub(super) pressed: usize,
}

impl Terminal {
    /// The demo at 80x24, in front of its first frame that has rows.
    pub(super) fn demo(arguments: &[&str]) -> Self {
        let arguments: Vec<&str> = std::iter::once("demo").chain(arguments.iter().copied()).collect();
        Self::of(&arguments, &[], "cpu-small")
    }

    /// The program at 80x24, once it shows this.
    pub(super) fn of(arguments: &[&str], environment: &[(&str, &str)], first: &str) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments);
        command.env("LANG", "C.UTF-8");
        command.env("TERM", "xterm-256color");
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR"] {
            command.env_remove(name);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        Self::start(command, first)
    }

    /// A program at 80x24, in front of its first frame that has this word.
    pub(crate) fn start(command: CommandBuilder, first: &str) -> Self {
        let pair = native_pty_system().openpty(size(80, 24)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut reader, shown) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&raw);
        thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut bytes) {
                    shown.lock().unwrap().process(&bytes[..count]);
                    written.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            })
            .unwrap();
        let keys = pair.master.take_writer().unwrap();
        let mut terminal = Self { screen, raw, keys, child, master: pair.master, pressed: 0 };
        terminal.until("the first frame", |text| text.contains(first));
        terminal
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The text of the screen, once it is so.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        for _ in 0..PATIENCE {
            let text = self.text();
            if holds(&text) {
                return text;
            }
            thread::sleep(LOOK);
        }
        panic!("no {what}:\n{}", self.text());
    }

    /// Presses one key.
    pub(crate) fn press(&mut self, key: &str) {
        self.pressed += 1;
        self.keys.write_all(key.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line.
    pub(super) fn line(&mut self, text: &str) {
        self.keys.write_all(format!("{text}\n").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Every byte that it wrote.
    pub(super) fn raw(&self) -> Vec<u8> {
        self.raw.lock().unwrap().clone()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// As `kill -TERM`.
    pub(super) fn signal(&self, name: &str) {
        let id = self.process().to_string();
        assert!(std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Whether it ended well.
    pub(crate) fn ended(&mut self) -> bool {
        for _ in 0..PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            thread::sleep(LOOK);
        }
        panic!("it does not end:\n{}", self.text());
    }

    /// Whether the terminal is as it was before.
    pub(super) fn is_given_back(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && !screen.bracketed_paste()
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    }

    pub(crate) fn until_given_back(&mut self, how: &str) {
        for _ in 0..PATIENCE {
            if self.is_given_back() {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("{how} leaves the terminal broken:\n{}", self.text());
    }

    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        // In a single row or column the emulator panics at a line that is longer (`Grid::col_wrap` in vt100 0.16), such as one that
        // was on its way. The program is told the truth.
        self.screen.lock().unwrap().screen_mut().set_size(rows.max(2), columns.max(2));
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Pasted text, which is no key.
    pub(super) fn paste(&mut self, text: &str) {
        self.keys.write_all(format!("\u{1b}[200~{text}\u{1b}[201~").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

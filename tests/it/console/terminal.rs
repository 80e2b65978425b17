//! A terminal with the program in it.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How often the screen is looked at, and how many looks make half a minute.
const LOOK: Duration = Duration::from_millis(20);
const HALF_A_MINUTE: u32 = 1_500;

pub(crate) struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    /// How many keys were pressed.
    pub(super) pressed: usize,
}

impl Terminal {
    /// The demo at 80x24, in front of its first frame that has rows.
    pub(super) fn demo(arguments: &[&str]) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("demo");
        command.args(arguments);
        command.env("LANG", "C.UTF-8");
        command.env("TERM", "xterm-256color");
        for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR"] {
            command.env_remove(name);
        }
        Self::start(command, "cpu-small")
    }

    /// A program at 80x24, in front of its first frame that has this word.
    pub(crate) fn start(command: CommandBuilder, word: &str) -> Self {
        let pair = native_pty_system().openpty(size(80, 24)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut reader, shown) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut bytes) {
                    shown.lock().unwrap().process(&bytes[..count]);
                }
            })
            .unwrap();
        let keys = pair.master.take_writer().unwrap();
        let mut terminal = Self { screen, keys, child, master: pair.master, pressed: 0 };
        terminal.until("the first frame", |text| text.contains(word));
        terminal
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The text of the screen, once it is so.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        for _ in 0..HALF_A_MINUTE {
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

    /// Waits until the program has ended.
    pub(crate) fn ends(&mut self) {
        for _ in 0..HALF_A_MINUTE {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            thread::sleep(LOOK);
        }
        panic!("it goes on:\n{}", self.text());
    }

    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
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

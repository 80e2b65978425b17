//! The screen in a real terminal: this test program starts itself in a pseudo-terminal, with a loop that is played.

use std::io::{Read, Write};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::sync::{broadcast, mpsc};

use crate::engine::command::{Command, Request};
use crate::engine::event::{Event, View};
use crate::example::view;
use crate::tui::{Link, Options, run};

const VARIABLE: &str = "TIDEGATE_PLAY_SCREEN";
/// Arguments of this program that are the screen alone.
const ITSELF: [&str; 3] = ["tui::tests::pty::the_screen_itself", "--exact", "--nocapture"];
/// A file for how it ended, where nothing can be printed.
const TOLD: &str = "TIDEGATE_PLAY_TOLD";

/// Not a test by itself: the other half of those below.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn the_screen_itself() {
    let Ok(mode) = std::env::var(VARIABLE) else { return };
    let (requests, asked) = mpsc::channel(64);
    let (tell, events) = broadcast::channel(64);
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let mut seen = view();
    seen.mode.armed = mode == "armed";
    thread::Builder::new().name("loop".to_owned()).spawn(move || play(asked, &tell, seen, &breaks)).unwrap();
    let now = move || {
        assert!(!broken.load(Ordering::SeqCst), "the clock broke");
        view().at
    };
    let options = Options::new("ann".into(), Arc::new(now));
    let ending = run(Link { requests, events }, &options);
    match std::env::var(TOLD) {
        Ok(file) => std::fs::write(file, ending.map_or_else(|error| error.to_string(), |ending| format!("{ending:?}"))),
        Err(_) => writeln!(std::io::stdout(), "left: {:?}", ending.unwrap()),
    }
    .unwrap();
}

/// A loop: shows the example, ends when it is told to; some orders break it.
fn play(mut asked: mpsc::Receiver<Request>, tell: &broadcast::Sender<Event>, seen: View, broken: &AtomicBool) {
    tell.send(Event::View(Arc::new(seen))).unwrap();
    while let Some(request) = asked.blocking_recv() {
        match request.command {
            Command::Quit { .. } => {
                tell.send(Event::Ended).unwrap();
                return;
            }
            Command::Refresh => {
                let breaks = thread::Builder::new().name("helper".to_owned()).spawn(|| panic!("a helper broke"));
                let _ = breaks.unwrap().join();
            }
            Command::Arm => broken.store(true, Ordering::SeqCst),
            _ => {}
        }
    }
}

struct Played {
    parser: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// Open for as long as the terminal is.
    _master: Box<dyn MasterPty + Send>,
}

impl Played {
    fn start(mode: &str) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(ITSELF);
        command.env(VARIABLE, mode);
        command.env("LANG", "C.UTF-8");
        command.env_remove("LC_ALL");
        command.env("TERM", "xterm-256color");
        command.env("RUST_BACKTRACE", "0");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let screen = Arc::clone(&parser);
        thread::Builder::new()
            .spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = reader.read(&mut bytes) {
                    screen.lock().unwrap().process(&bytes[..count]);
                }
            })
            .unwrap();
        let keys = pair.master.take_writer().unwrap();
        let mut played = Self { parser, keys, child, _master: pair.master };
        played.wait_for("the screen", |screen| screen.alternate_screen() && screen.contents().contains("i-busy"));
        played
    }

    fn wait_for(&mut self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) {
        for _ in 0..9_000 {
            if holds(self.parser.lock().unwrap().screen()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("no {what}: {}", self.parser.lock().unwrap().screen().contents());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn signal(&mut self, name: &str) {
        let id = self.child.process_id().unwrap().to_string();
        assert!(Process::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// The terminal is as it was, and the process has ended.
    fn is_restored(&mut self, how: &str, well: bool) {
        self.wait_for(how, |screen| !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        assert_eq!(self.child.wait().unwrap().success(), well, "{how}");
    }
}

#[test]
fn leaving_and_signals_give_the_terminal_back() {
    let mut played = Played::start("dry");
    played.press("q");
    played.wait_for("question", |screen| screen.contents().contains("4 machines are up"));
    played.press("y");
    played.is_restored("quit", true);
    for signal in ["TERM", "HUP", "INT"] {
        let mut played = Played::start("armed");
        played.signal(signal);
        played.is_restored(signal, true);
    }
}

#[test]
fn it_is_stopped_and_goes_on() {
    let mut played = Played::start("dry");
    played.press("\u{1a}");
    played.wait_for("shell", |screen| !screen.alternate_screen() && !screen.hide_cursor());
    played.signal("CONT");
    played.wait_for("screen again", |screen| screen.alternate_screen() && screen.contents().contains("i-busy"));
    // Stopped by force: what others wrote is painted over.
    played.signal("STOP");
    played.parser.lock().unwrap().process(b"\x1b[2J\x1b[?1049l");
    played.signal("CONT");
    played.wait_for("screen again", |screen| screen.alternate_screen() && screen.contents().contains("i-busy"));
    played.signal("TERM");
    played.is_restored("TERM", true);
}

#[test]
fn a_panic_elsewhere_is_a_message_and_one_here_gives_the_terminal_back() {
    let mut played = Played::start("dry");
    played.press("r");
    played.wait_for("message", |screen| screen.contents().contains("helper panicked"));
    assert!(played.parser.lock().unwrap().screen().alternate_screen());
    played.press("A");
    played.wait_for("question", |screen| screen.contents().contains("Arm the loop?"));
    played.press("y");
    played.wait_for("panic", |screen| screen.contents().contains("the clock broke"));
    played.is_restored("panic", false);
}

/// Starts the screen in a terminal, and closes that once it shows its rows.
const CUT: &str = "
import fcntl, os, pty, struct, sys, termios
process, master = pty.fork()
if process == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.environ['TERM'] = 'xterm-256color'
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while b'i-busy' not in seen:
    seen += os.read(master, 65536)
os.close(master)
os.waitpid(process, 0)
";

/// Nobody is left to complain to, on standard error either.
#[test]
fn a_terminal_that_is_gone_ends_it_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let mut command = Process::new("python3");
    command.args(["-c", CUT]).arg(std::env::current_exe().unwrap()).args(ITSELF);
    assert!(command.env(VARIABLE, "dry").env(TOLD, &told).status().unwrap().success());
    assert_eq!(std::fs::read_to_string(told).unwrap(), "Ended");
}

#[test]
fn where_there_is_no_terminal_it_says_so_and_draws_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let mut command = Process::new(std::env::current_exe().unwrap());
    command.args(ITSELF);
    let output = command.env(VARIABLE, "dry").env(TOLD, &told).stdin(Stdio::null()).output().unwrap();
    assert!(!output.stdout.contains(&0x1b), "{output:?}");
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.starts_with("the screen needs a terminal, and standard output is none"), "{told}");
}

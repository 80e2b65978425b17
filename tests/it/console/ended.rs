//! However it ends, the terminal is as it was and nothing goes on: signals, Ctrl-Z and back, a connection that is cut.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::terminal::Terminal;

#[test]
fn signals_give_the_terminal_back_and_end_the_loop() {
    for signal in ["TERM", "HUP", "INT"] {
        let mut terminal = Terminal::demo(&["--seed", "7"]);
        // With a dialog open and the mouse taken.
        terminal.press("e");
        terminal.until("the form", |text| text.contains("Limits and budgets"));
        terminal.signal(signal);
        terminal.until_given_back(signal);
        assert!(terminal.ended(), "{signal}");
    }
}

#[test]
fn it_is_stopped_by_ctrl_z_and_goes_on_where_it_was() {
    let mut terminal = Terminal::demo(&["--seed", "7"]);
    terminal.press("2");
    terminal.until("machines", |text| text.contains("INSTANCE"));
    terminal.press("\u{1a}");
    // The loop acts: it is asked first.
    terminal.until("the question", |text| text.contains("Suspending stops scaling"));
    terminal.press("y");
    terminal.until_given_back("Ctrl-Z");
    let state = || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", terminal.process())).unwrap();
        status.rsplit(')').next().unwrap().trim().chars().next()
    };
    for _ in 0..500 {
        if state() == Some('T') {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(state(), Some('T'), "it is stopped");
    terminal.signal("CONT");
    terminal.until("the same page", |text| text.contains("INSTANCE"));
    assert!(!terminal.is_given_back());
    terminal.signal("TERM");
    terminal.until_given_back("TERM");
    assert!(terminal.ended());
}

/// Holds a terminal with the program in it until it is killed, as `sshd` does; prints the program's process id.
const HOLDER: &str = "
import fcntl, os, pty, struct, sys, termios
process, master = pty.fork()
if process == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.environ['TERM'] = 'xterm-256color'
    os.execv(sys.argv[1], sys.argv[1:])
print(process, flush=True)
seen = b''
while b'cpu-small' not in seen:
    seen += os.read(master, 65536)
print('shown', flush=True)
while True:
    os.read(master, 65536)
";

/// The clock ticks that a process has used; `None`: it has ended.
fn ticks(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[test]
fn a_connection_that_is_cut_ends_it_and_nothing_spins() {
    // As much as signals do, and where nobody tells of the end but the terminal itself.
    for arguments in [vec!["demo", "--seed", "7"], vec!["demo", "--seed", "7", "--plain"]] {
        let mut holder = Command::new("python3")
            .args(["-c", HOLDER, env!("CARGO_BIN_EXE_tidegate")])
            .args(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let process = lines.next().unwrap().unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "shown");
        let before = ticks(&process).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        let mut last = before;
        for _ in 0..9_000 {
            match ticks(&process) {
                Some(now) => last = now,
                None => break,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(ticks(&process), None, "{arguments:?} goes on without its terminal");
        // A hundred ticks are a second of a processor.
        assert!(last - before < 300, "{arguments:?} spun for {} ticks", last - before);
    }
}

/// The same, and closes the terminal itself; prints how the program ended.
const CLOSER: &str = "
import fcntl, os, pty, struct, sys, termios
process, master = pty.fork()
if process == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.environ['TERM'] = 'xterm-256color'
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while b'cpu-small' not in seen:
    seen += os.read(master, 65536)
os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
";

#[test]
fn a_terminal_that_is_closed_is_an_end_like_any_other() {
    let output = Command::new("python3")
        .args(["-c", CLOSER, env!("CARGO_BIN_EXE_tidegate"), "demo", "--seed", "7"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
}

#[test]
fn without_a_terminal_it_says_what_needs_none() {
    for arguments in [&["demo"][..], &["attach"], &["attach", "gate.example.com", "--ssh", "/bin/false"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
        assert!(told.contains("needs a terminal") && told.contains("--plain"), "{told}");
    }
}

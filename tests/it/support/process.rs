//! A child with all its descendants: a process group that ends with the test.

use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use tidegate::world::clock::Clock;

/// How often a condition of another process is looked at, and how many looks make a minute.
const LOOK: Duration = Duration::from_millis(50);
pub(crate) const A_MINUTE: u32 = 1_200;

/// A running process group; dropped, it is killed whole.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    name: String,
    pub(crate) log: PathBuf,
}

impl Group {
    /// Starts `command` as the leader of a new process group; both its outputs go to `log`.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = append(log);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {command:?}: {error}"));
        Self { child, name: name.to_owned(), log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `TERM` to the leader alone.
    pub(crate) fn signal_leader(&self, signal: &str) {
        send(signal, &self.child.id().to_string());
    }

    /// Sends a signal such as `KILL` to every process of the group.
    pub(crate) fn signal(&self, signal: &str) {
        send(signal, &format!("-{}", self.child.id()));
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `ready`; fails with the log when the process ends before, or after three minutes.
    pub(crate) fn wait_for(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        for _ in 0..3 * A_MINUTE {
            if ready() {
                return;
            }
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before {what}:\n{}", self.name, self.written());
            }
            std::thread::sleep(LOOK);
        }
        panic!("{}: {what} did not happen in three minutes:\n{}", self.name, self.written());
    }

    /// What it wrote so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// Waits until `ready`, at most `looks` looks of 50 ms; says what did not happen.
pub(crate) fn eventually(what: &str, looks: u32, mut ready: impl FnMut() -> bool) {
    for _ in 0..looks {
        if ready() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    panic!("{what}: it did not happen");
}

/// Waits until midnight is over, where that is less than some minutes away: with the day what it has spent begins anew.
pub(crate) fn clear_of_midnight() {
    let now = Clock::Wall.now().to_zoned(TimeZone::UTC);
    if (now.hour(), now.minute()) >= (23, 50) {
        std::thread::sleep(Duration::from_mins(u64::try_from(60 - now.minute()).unwrap()));
    }
}

/// From here on Linux gives ports to whoever asks for any.
const FIRST_OF_THE_SYSTEM: u32 = 32_768;
const FIRST_OF_OURS: u32 = 10_000;

/// A loopback port that nobody listens on, and that nobody is given meanwhile who asks for any.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test runs beside this one begin elsewhere.
        let place = std::process::id() * 97 + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST_OF_OURS + place % (FIRST_OF_THE_SYSTEM - FIRST_OF_OURS);
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether someone listens on the loopback port.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).is_ok()
}

/// Writes a whole file.
#[expect(clippy::disallowed_methods, reason = "a test's own file in a folder of its own")]
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn send(signal: &str, target: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), "--", target]).stderr(Stdio::null()).status();
}

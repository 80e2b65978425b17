//! A program of the user's that is spoken to in lines: a child that lives long, with a pipe each way. It runs in a process
//! group of its own, so that whatever it started ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// What it said last when it complained is a line on a screen.
const LONGEST_WORDS: usize = 200;

/// For its last words, once it was ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

const OTHERS_WRITE: u32 = 0o022;
const MODE: u32 = 0o7777;

/// The groups of the programs that run.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Ends every program that runs, for who is about to end and cannot wait for those that have them; `then` is called
/// before another can be started.
pub fn end_all(then: impl FnOnce()) {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.iter().for_each(|group| kill(*group));
    then();
}

fn kill(group: u32) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // A group that is gone needs no end.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// What is heard of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Line(String),
    /// It says nothing that can be read any more: it ended, closed its output, or wrote what is no line. Nothing follows.
    Ended(String),
}

/// How a program is run.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// Where it runs.
    pub folder: &'a Path,
    /// Its environment.
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// It writes no longer line, in bytes.
    pub longest_line: u64,
    /// How long it may take to end by itself when it is spoken to no more.
    pub grace: Duration,
    /// One that others can write is not started: whoever can write it is whoever runs it.
    pub guarded: bool,
}

/// A program that runs. It is ended when this goes.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// `None`: it is spoken to no more.
    lines: Option<Sender<String>>,
    complaint: Arc<Mutex<String>>,
    complained: Receiver<()>,
    grace: Duration,
}

impl Program {
    /// Starts it. `heard` is told all that it says, from a thread of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(path: &Path, manner: Manner<'_>, heard: impl FnMut(Heard) + Send + 'static) -> io::Result<Self> {
        if manner.guarded {
            refuse_exposed(path)?;
        }
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(path)
            .current_dir(manner.folder)
            .env_clear()
            .envs(manner.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        running.insert(child.id());
        drop(running);
        let complaint = Arc::new(Mutex::new(String::new()));
        let (lines, to_write) = mpsc::channel::<String>();
        let (over, complained) = mpsc::channel();
        if let Some(input) = child.stdin.take() {
            thread(move || write(input, &to_write));
        }
        if let Some(output) = child.stdout.take() {
            let longest = manner.longest_line;
            thread(move || read(output, longest, heard));
        }
        if let Some(errors) = child.stderr.take() {
            let complaint = Arc::clone(&complaint);
            thread(move || {
                listen(errors, &complaint);
                // Nobody may be waiting for it.
                let _ = over.send(());
            });
        }
        Ok(Self { child, lines: Some(lines), complaint, complained, grace: manner.grace })
    }

    /// Says a line, without waiting for the program to read it; one that has ended does not hear it.
    pub fn say(&self, line: String) {
        if let Some(lines) = &self.lines {
            // That it does not listen is heard at the other end.
            let _ = lines.send(line);
        }
    }

    /// Ends it, with whatever it started. How it ended, and what it complained of last.
    pub fn end(mut self) -> String {
        let status = self.stop();
        // The reader of its complaints ends with them, unless somebody else holds them open.
        let _ = self.complained.recv_timeout(LAST_WORDS);
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.is_empty() { status } else { format!("{status}: {complaint}") }
    }

    /// The same where it has closed its output: it is about to end by itself, and has this long for it.
    pub fn end_of_itself(mut self, grace: Duration) -> String {
        self.grace = grace;
        self.end()
    }

    fn stop(&mut self) -> String {
        self.lines = None;
        let mut left = self.grace;
        while !left.is_zero() && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
            left = left.saturating_sub(LOOK);
        }
        // How it ended by itself, if it did; what it started may be there still.
        let status = self.child.try_wait().ok().flatten();
        {
            let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            // Once only: when it has been waited for, its number may be another's.
            if running.remove(&self.child.id()) {
                kill(self.child.id());
            }
        }
        let _ = self.child.wait();
        status.map_or_else(|| "it was ended".to_owned(), |status| format!("it ended ({status})"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

fn refuse_exposed(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.mode() & MODE;
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!("it can be written by others (mode {mode:o}): run `chmod go-w {path}`")))
}

/// The environment with these names only, of those that are set.
#[must_use]
pub fn environment(keep: impl Fn(&OsStr) -> bool) -> BTreeMap<OsString, OsString> {
    std::env::vars_os().filter(|(name, _)| keep(name)).collect()
}

#[expect(clippy::disallowed_methods, reason = "each ends with the pipe that it serves")]
fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

fn write(mut input: impl Write, lines: &Receiver<String>) {
    while let Ok(mut line) = lines.recv() {
        line.push('\n');
        if input.write_all(line.as_bytes()).and_then(|()| input.flush()).is_err() {
            return;
        }
    }
}

fn read(output: impl Read, longest: u64, mut heard: impl FnMut(Heard)) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        let ended = match output.by_ref().take(longest).read_until(b'\n', &mut line) {
            Ok(0) => "it closed its output".to_owned(),
            Ok(_) if line.last() != Some(&b'\n') && u64::try_from(line.len()).is_ok_and(|length| length >= longest) => {
                format!("it wrote more than {longest} bytes on one line")
            }
            Ok(_) => match String::from_utf8(line) {
                Ok(line) => {
                    heard(Heard::Line(line));
                    continue;
                }
                Err(_) => "it wrote what is not UTF-8".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        heard(Heard::Ended(ended));
        return;
    }
}

/// Keeps the last line of a program's complaints.
fn listen(errors: impl Read, complaint: &Mutex<String>) {
    const LONGEST: u64 = 4_096;
    let mut errors = BufReader::new(errors);
    loop {
        let mut line = Vec::new();
        match errors.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let plain = text.trim().chars().filter(|letter| !letter.is_control());
        let words: String = plain.take(LONGEST_WORDS).collect();
        if !words.is_empty() {
            tracing::debug!(%words, "a program of the user's complains");
            *complaint.lock().unwrap_or_else(PoisonError::into_inner) = words;
        }
    }
}

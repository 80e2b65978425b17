//! A policy as a program: one child that lives long, asked in one line at every pass and answering in one line by a deadline.
//! One that is late, dies or talks nonsense is ended, and is started anew after a pause.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use jiff::SignedDuration;
use rhai::Dynamic;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::advise::AdviceError;
use crate::store::directory::refuse_exposed;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::program::{Heard, Manner, Program, environment};

/// The loop waits for its answer.
const LONGEST: Duration = Duration::from_secs(1);
/// To its first question it must be started, too.
const LONGEST_FIRST: Duration = Duration::from_secs(5);
/// Where nothing but the answer is waited for: in a replay.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first pause before it is started anew, and the longest; doubled each time.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// In which one that is spoken to no more may end by itself.
const GRACE: Duration = Duration::from_millis(100);
/// In which one that closed its output is seen to have ended, however busy the host is, so that it can be said how.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Far more than answers for hundreds of queues.
const LONGEST_LINE: u64 = 1_024 * 1_024;

/// It is the user's, not the loop's: it gets none of the loop's credentials.
const ENVIRONMENT: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV"];

/// By which a file is known to be another.
type Stamp = (i64, i64, u64, u64);

/// A program and its state.
#[derive(Debug)]
pub(super) struct Runner {
    name: Arc<str>,
    path: PathBuf,
    /// It is live: the loop does not wait for long.
    live: bool,
    stamp: Option<Stamp>,
    state: State,
    /// How often in a row it did not answer.
    strikes: u32,
    asked: u64,
}

#[derive(Debug)]
enum State {
    Down {
        why: Option<String>,
        since: Stopwatch,
    },
    Up {
        program: Program,
        heard: Receiver<Heard>,
        /// It has not answered yet.
        new: bool,
    },
}

/// Its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    id: u64,
    #[serde(default)]
    answers: BTreeMap<String, Value>,
    /// Why it cannot say.
    error: Option<String>,
}

impl Runner {
    pub(super) fn new(name: &str, path: PathBuf, live: bool) -> Self {
        let state = State::Down { why: None, since: Stopwatch::start(Clock::Wall) };
        Self { name: name.into(), path, live, stamp: None, state, strikes: 0, asked: 0 }
    }

    fn failed(&self, message: String) -> AdviceError {
        AdviceError::Program { policy: Arc::clone(&self.name), message }
    }

    /// Asks about these queues; whoever asks several asks all before it takes the first answer. `world`: as JSON.
    pub(super) fn ask(&mut self, world: &str, queues: &[&str]) -> Result<(), AdviceError> {
        let stamp = self.stamp().map_err(|error| self.failed(error))?;
        if self.stamp.replace(stamp) != Some(stamp) {
            // Another program, with another chance.
            self.state = State::Down { why: None, since: Stopwatch::start(Clock::Wall) };
            self.strikes = 0;
        }
        if let State::Down { why, since } = &self.state {
            let pause = PAUSE.saturating_mul(2_i32.saturating_pow(self.strikes.saturating_sub(1))).min(LONGEST_PAUSE);
            let left = pause - since.at_most();
            if self.strikes > 0 && left.is_positive() {
                let why = why.as_deref().unwrap_or_default();
                return Err(self.failed(format!("{why}; it is started anew in {} s at most", left.as_secs() + 1)));
            }
            self.state = self.started()?;
        }
        self.asked += 1;
        if let State::Up { program, .. } = &self.state {
            let queues = json!(queues);
            program.say(format!("{{\"id\":{},\"queues\":{queues},\"world\":{world}}}", self.asked));
        }
        Ok(())
    }

    fn stamp(&self) -> Result<Stamp, String> {
        let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
        let metadata = std::fs::metadata(&self.path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        // Whoever can write it runs it as whoever runs this, and of a live one says what is bought; it may come to be so while
        // it runs.
        refuse_exposed(&self.path).map_err(|error| error.to_string())?;
        Ok((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
    }

    fn started(&mut self) -> Result<State, AdviceError> {
        let (to, heard) = mpsc::channel();
        let environment = environment(|name| ENVIRONMENT.iter().any(|kept| name == *kept));
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let manner =
            Manner { folder, environment: &environment, longest_line: LONGEST_LINE, grace: GRACE, guarded: true };
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let started = Program::start(&path, manner, move |line| {
            // A runner that is gone hears nothing.
            let _ = to.send(line);
        });
        match started {
            Ok(program) => Ok(State::Up { program, heard, new: true }),
            Err(error) => {
                let why = format!("it cannot be started: {error}");
                self.strike(why.clone());
                Err(self.failed(why))
            }
        }
    }

    fn strike(&mut self, why: String) {
        self.strikes = self.strikes.saturating_add(1);
        self.state = State::Down { why: Some(why), since: Stopwatch::start(Clock::Wall) };
    }

    /// What it answers, by queue.
    pub(super) fn answer(&mut self) -> Result<BTreeMap<String, Dynamic>, AdviceError> {
        match self.heard() {
            Ok(Answer { error: Some(error), .. }) => {
                let plain: String = error.chars().filter(|letter| !letter.is_control()).take(200).collect();
                Err(self.failed(format!("it says: {plain}")))
            }
            Ok(Answer { answers, .. }) => {
                let values = answers.into_iter().map(|(queue, value)| Ok((queue, rhai::serde::to_dynamic(value)?)));
                let values: Result<_, Box<rhai::EvalAltResult>> = values.collect();
                values.map_err(|error| self.failed(error.to_string()))
            }
            Err((why, grace)) => {
                let down = State::Down { why: None, since: Stopwatch::start(Clock::Wall) };
                let ended = match std::mem::replace(&mut self.state, down) {
                    State::Up { program, .. } => program.end_of_itself(grace),
                    State::Down { .. } => String::new(),
                };
                let why = format!("{why}; {ended}");
                self.strike(why.clone());
                Err(self.failed(why))
            }
        }
    }

    /// Its answer, or why it gave none, and how long it may take to end.
    fn heard(&mut self) -> Result<Answer, (String, Duration)> {
        let (is_live, asked) = (self.live, self.asked);
        let no = |why: String| (why, GRACE);
        let State::Up { heard, new, .. } = &mut self.state else { return Err(no("it does not run".to_owned())) };
        let deadline = match (is_live, *new) {
            (false, _) => PATIENCE,
            (true, true) => LONGEST_FIRST,
            (true, false) => LONGEST,
        };
        let line = match heard.recv_timeout(deadline) {
            Ok(Heard::Line(line)) => line,
            Ok(Heard::Ended(why)) => return Err((why, LAST_GRACE)),
            Err(RecvTimeoutError::Timeout) => {
                return Err(no(format!("it did not answer within {} s", deadline.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(("it closed its output".to_owned(), LAST_GRACE)),
        };
        let answer: Result<Answer, _> = serde_json::from_str(&line);
        let answer = answer.map_err(|error| no(format!("its line is no answer: {error}")))?;
        if answer.id != asked {
            return Err(no(format!("it answered question {}, not {asked}", answer.id)));
        }
        *new = false;
        self.strikes = 0;
        Ok(answer)
    }
}

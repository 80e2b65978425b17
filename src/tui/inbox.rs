//! Everything that can happen, as one line of messages: keys, the loop's events, signals, panics of other threads, the
//! log as it was read, and a tick a second.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream, MouseEventKind};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::message::{Message, Signal};
use crate::engine::event::Event;

/// Where messages come from.
pub(super) struct Inbox {
    keys: Option<EventStream>,
    /// A frame could not be written: told once.
    lost_terminal: bool,
    events: Option<broadcast::Receiver<Event>>,
    /// Signals and panics.
    rare: BoxStream<'static, Message>,
    readings: JoinSet<Message>,
    tick: Interval,
}

impl Inbox {
    pub(super) fn open(
        events: broadcast::Receiver<Event>,
        panics: mpsc::UnboundedReceiver<String>,
    ) -> io::Result<Self> {
        Ok(Self { keys: Some(EventStream::new()), ..Self::without_keys(events, panics)? })
    }

    /// For who reads the terminal otherwise.
    pub(super) fn without_keys(
        events: broadcast::Receiver<Event>,
        panics: mpsc::UnboundedReceiver<String>,
    ) -> io::Result<Self> {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let panics = stream::unfold(panics, async |mut panics| {
            let text = panics.recv().await?;
            Some((Message::Trouble(text), panics))
        });
        let rare = stream::select(signals()?, panics.boxed()).boxed();
        Ok(Self { keys: None, lost_terminal: false, events: Some(events), rare, readings: JoinSet::new(), tick })
    }

    /// The next thing that happens. Keys come first: a person waits for them.
    pub(super) async fn next(&mut self) -> Message {
        if std::mem::take(&mut self.lost_terminal) {
            return Message::Signal(Signal::Hup);
        }
        let Self { keys, lost_terminal: _, events, rare, readings, tick } = self;
        let message = tokio::select! {
            biased;
            message = key(keys) => message,
            Some(message) = rare.next() => message,
            message = told(events) => message,
            Some(read) = readings.join_next() => {
                read.unwrap_or_else(|error| Message::Trouble(format!("it could not be read: {error}")))
            }
            _ = tick.tick() => Message::Tick,
        };
        if matches!(message, Message::LoopGone) {
            self.events = None;
        }
        message
    }

    /// There is nobody to show anything to.
    pub(super) fn terminal_gone(&mut self) {
        self.lost_terminal = true;
    }

    /// Keys come again.
    pub(super) fn take_keys(&mut self) {
        self.keys = Some(EventStream::new());
    }

    /// Writes a text into a new file of the present directory, off the screen's thread.
    pub(super) fn save(&mut self, name: String, text: String) {
        self.readings.spawn_blocking(move || Message::Saved(save(Path::new(""), &name, &text)));
    }

    /// Opens a text in an editor, which has the terminal and its keys meanwhile.
    pub(super) fn edit(&mut self, editor: String, text: String) {
        self.stop_keys();
        self.readings.spawn(async move { Message::Edited(super::editor::edit(&editor, &text).await) });
    }

    /// No more keys: the terminal is given back.
    pub(super) fn stop_keys(&mut self) {
        self.keys = None;
    }

    /// Reads the log's newest lines, off the screen's thread: no frame waits for a disk.
    pub(super) fn read_log(&mut self, place: PathBuf) {
        self.readings.spawn_blocking(move || Message::Log(newest_lines(&place)));
    }
}

/// The next key, paste, click or change of size.
async fn key(keys: &mut Option<EventStream>) -> Message {
    let Some(stream) = keys else { return std::future::pending().await };
    loop {
        match stream.next().await {
            Some(Ok(TerminalEvent::Key(key))) => return Message::Key(key),
            Some(Ok(TerminalEvent::Paste(text))) => return Message::Paste(text),
            Some(Ok(TerminalEvent::Mouse(mouse))) if mouse.kind != MouseEventKind::Moved => {
                return Message::Mouse(mouse);
            }
            Some(Ok(TerminalEvent::Resize(width, height))) => return Message::Resize(width, height),
            Some(Ok(_)) => {}
            // The terminal is gone.
            Some(Err(_)) | None => {
                *keys = None;
                return Message::Signal(Signal::Hup);
            }
        }
    }
}

/// The loop's next event; never, once it is gone.
pub(super) async fn told(events: &mut Option<broadcast::Receiver<Event>>) -> Message {
    let Some(receiver) = events else { return std::future::pending().await };
    match receiver.recv().await {
        Ok(event) => Message::Engine(event),
        Err(RecvError::Lagged(count)) => Message::Missed(count),
        Err(RecvError::Closed) => Message::LoopGone,
    }
}

fn signals() -> io::Result<BoxStream<'static, Message>> {
    let of = |kind: SignalKind, message: Message| -> io::Result<BoxStream<'static, Message>> {
        let signal = unix::signal(kind)?;
        Ok(stream::unfold((signal, message), async |(mut signal, message)| {
            signal.recv().await?;
            Some((message.clone(), (signal, message)))
        })
        .boxed())
    };
    let all = [
        of(SignalKind::terminate(), Message::Signal(Signal::Term))?,
        of(SignalKind::hangup(), Message::Signal(Signal::Hup))?,
        of(SignalKind::interrupt(), Message::Signal(Signal::Int))?,
        of(SignalKind::from_raw(signal_hook::consts::SIGTSTP), Message::Signal(Signal::Tstp))?,
        of(SignalKind::from_raw(signal_hook::consts::SIGCONT), Message::Resumed)?,
    ];
    Ok(stream::select_all(all).boxed())
}

/// Writes a new file, by another name where there is one of that name.
fn save(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    const MOST: usize = 100;
    for number in 1..=MOST {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{number}.log"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
            Ok(mut file) => {
                let written = file.write_all(text.as_bytes());
                return written
                    .map(|()| path.display().to_string())
                    .map_err(|error| format!("{}: {error}", path.display()));
            }
        }
    }
    Err(format!("there are {MOST} files called {name} already"))
}

/// The last lines of a log, or of the newest `.log` of a directory that has one for each day.
fn newest_lines(place: &Path) -> Result<Vec<String>, String> {
    const MOST_BYTES: u64 = 256 * 1024;
    const MOST_LINES: usize = 2_000;
    let read = || -> io::Result<Vec<String>> {
        let path = if place.is_dir() { newest(place)? } else { place.to_owned() };
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(MOST_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line is a part of one where the beginning was left out.
        let mut lines: Vec<_> = text.lines().skip(usize::from(start > 0)).map(str::to_owned).collect();
        let over = lines.len().saturating_sub(MOST_LINES);
        lines.drain(..over);
        lines.reverse();
        Ok(lines)
    };
    read().map_err(|error| format!("{}: {error}", place.display()))
}

/// The daily files carry their date in their name: the last name is the newest.
fn newest(directory: &Path) -> io::Result<PathBuf> {
    let files = std::fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no log yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_a_new_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let first = save(folder.path(), "tidegate-i-1", "a\n").unwrap();
        let second = save(folder.path(), "tidegate-i-1", "b\n").unwrap();
        assert!(first.ends_with("tidegate-i-1.log") && second.ends_with("tidegate-i-1-2.log"), "{first} {second}");
        assert_eq!(std::fs::read_to_string(first).unwrap(), "a\n");
        assert!(save(&folder.path().join("none"), "x", "").is_err());
    }

    #[test]
    fn the_newest_lines_of_the_newest_file_come_first() {
        let directory = tempfile::tempdir().unwrap();
        assert!(newest_lines(directory.path()).unwrap_err().contains("no log yet"));
        let write = |name: &str, text: &str| {
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).open(directory.path().join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write("tidegate.2026-11-01.log", "old\n");
        write("tidegate.2026-11-02.log", "one\ntwo\n");
        write("other.txt", "no\n");
        assert_eq!(newest_lines(directory.path()).unwrap(), ["two", "one"]);
        write("tidegate.2026-11-02.log", &"x".repeat(300_000));
        write("tidegate.2026-11-02.log", "\nlast\n");
        assert_eq!(newest_lines(directory.path()).unwrap(), ["last"]);
    }
}

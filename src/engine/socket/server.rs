//! The loop's end: any number of clients, none of which can hold up the loop or another client.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use super::SocketError;
use super::delta::{Change, ViewChange};
use super::line::{Line, Speech, Word};
use super::relay::{Listener, Relay, Silence};
use crate::engine::command::Request;
use crate::engine::event::{Event, View};
use crate::store::directory::prepare;

/// A longer line is not a request.
const LONGEST_LINE: usize = 1 << 20;

/// How much of a line is read before its length is looked at.
const AT_ONCE: u64 = 1 << 16;

/// Requests of clients carry ids from here on, so that they never meet those of the loop's own screen.
const FIRST_ID: u64 = 1 << 63;

/// How long clients have to read the last events when the loop ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait when no more connections can be accepted.
const EXHAUSTED: Duration = Duration::from_secs(1);

/// The socket, bound; its file goes with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Binds the socket of a state directory. One that a dead process left behind is replaced. Call it inside a
    /// runtime, as the holder of the directory's lock.
    pub fn bind(directory: &Path) -> Result<Self, SocketError> {
        prepare(directory)?;
        let path = super::path(directory);
        remove_dead(&path)?;
        let bound = UnixListener::bind(&path)
            .and_then(|listener| fs::set_permissions(&path, Permissions::from_mode(0o600)).map(|()| listener));
        match bound {
            Ok(listener) => Ok(Self { listener, path }),
            Err(error) => Err(SocketError::Bind { path, error }),
        }
    }

    /// Serves until the loop has ended.
    pub async fn serve(self, requests: mpsc::Sender<Request>, mut events: broadcast::Receiver<Event>) {
        let mut clients = JoinSet::new();
        let ids = Arc::new(AtomicU64::new(FIRST_ID));
        let relay = Relay::default();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let client = Client::new(Arc::clone(&ids), requests.clone());
                        clients.spawn(client.serve(stream, relay.listen()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a client could not be accepted");
                        tokio::time::sleep(EXHAUSTED).await;
                    }
                },
                Some(_) = clients.join_next() => {}
                event = events.recv() => match event {
                    Ok(event) => {
                        let ended = event == Event::Ended;
                        relay.tell(event);
                        if ended {
                            break;
                        }
                    }
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "the socket missed events"),
                    Err(RecvError::Closed) => break,
                },
            }
        }
        drop(relay);
        // The clients end by themselves at the last event; one that does not read is left behind.
        let _ = tokio::time::timeout(FAREWELL, async { while clients.join_next().await.is_some() {} }).await;
    }
}

/// Makes room for a new socket where the old one's process is dead.
fn remove_dead(path: &Path) -> Result<(), SocketError> {
    let failed = |error: io::Error| SocketError::Bind { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(SocketError::Live { path: path.to_owned() }),
    }
}

/// One connection.
struct Client {
    /// The client's own ids by ours, of requests that are not answered yet.
    asked: BTreeMap<u64, u64>,
    ids: Arc<AtomicU64>,
    requests: mpsc::Sender<Request>,
    /// It is told changes.
    follows: bool,
    /// The view that it was told last, and its number.
    told: Option<Arc<View>>,
    number: u64,
}

impl Client {
    fn new(ids: Arc<AtomicU64>, requests: mpsc::Sender<Request>) -> Self {
        Self { asked: BTreeMap::new(), ids, requests, follows: false, told: None, number: 0 }
    }

    async fn serve(mut self, stream: UnixStream, listener: Listener) {
        if let Err(error) = self.talk(stream, listener).await {
            tracing::debug!(%error, "a client's connection ended");
        }
    }

    async fn talk(&mut self, mut stream: UnixStream, mut listener: Listener) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            let reply = tokio::select! {
                biased;
                // First: who is told views more slowly than they come may have said that it follows changes.
                read = read_line(&mut reader, &mut line) => {
                    if !read? {
                        return Ok(());
                    }
                    let reply = self.hear(&line).await;
                    line.clear();
                    reply
                }
                event = listener.next() => match event {
                    Ok(event) => self.own(event),
                    Err(Silence::Ended) => return Ok(()),
                    Err(silence @ Silence::Behind(_)) => return Err(io::Error::other(silence)),
                },
            };
            if let Some(mut text) = reply {
                let ended = text == ENDED;
                text.push('\n');
                writer.write_all(text.as_bytes()).await?;
                if ended {
                    return writer.shutdown().await;
                }
            }
        }
    }

    /// The event as this client is told it; answers to others are not its business.
    fn own(&mut self, event: Event) -> Option<String> {
        text(&match event {
            Event::Answer { id, result } => Line::Answer { id: self.asked.remove(&id)?, result },
            Event::View(view) => self.show(view)?,
            event => event.into(),
        })
    }

    /// However many views it missed while it read slowly, the change is from the one that it has.
    fn show(&mut self, view: Arc<View>) -> Option<Line> {
        let last = self.told.replace(Arc::clone(&view));
        if !self.follows {
            return Some(Line::View(view));
        }
        let number = self.number.wrapping_add(1);
        let line = match last {
            None => Line::Whole { number, view },
            Some(last) => Line::Change { number, change: Box::new(ViewChange::between(&last, &view)?) },
        };
        self.number = number;
        Some(line)
    }

    /// What a line is answered with, if at once.
    async fn hear(&mut self, line: &[u8]) -> Option<String> {
        match serde_json::from_slice(line) {
            Ok(Word::Hello(speech)) => {
                self.follows = speech == Speech::own();
                text(&Line::Hello { speech: Speech::own(), number: self.number })
            }
            Ok(Word::Whole) => text(&Line::Whole { number: self.number, view: Arc::clone(self.told.as_ref()?) }),
            Err(_) => self.pass_on(line).await.err().map(|error| json!({ "error": error }).to_string()),
        }
    }

    /// Hands a line's request to the loop, or says what is wrong with it.
    async fn pass_on(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() > LONGEST_LINE {
            return Err(format!("a line of more than {LONGEST_LINE} bytes is no request"));
        }
        let request: Request = serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        self.asked.insert(id, request.id);
        self.requests.send(Request { id, ..request }).await.map_err(|_| "the loop has ended".to_owned())
    }
}

fn text(line: &Line) -> Option<String> {
    serde_json::to_string(line).inspect_err(|error| tracing::error!(%error, "an event cannot be sent")).ok()
}

/// What [`Line::Ended`] is as JSON.
const ENDED: &str = "\"ended\"";

/// Reads on until `line` is whole; `false` at the end. What was read stays in `line` when the wait is dropped. The
/// rest of a line that is too long is skipped.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let read = (&mut *reader).take(AT_ONCE).read_until(b'\n', line).await?;
        if line.last() == Some(&b'\n') {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        line.truncate(LONGEST_LINE + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_known_by_its_text() {
        assert_eq!(serde_json::to_string(&Line::Ended).unwrap(), ENDED);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_whole() {
        let long = [vec![b'x'; 3 * LONGEST_LINE], b"\nnext\nrest".to_vec()].concat();
        let mut reader = BufReader::new(long.as_slice());
        let mut line = Vec::new();
        assert!(read_line(&mut reader, &mut line).await.unwrap());
        assert!(line.len() > LONGEST_LINE && line.len() <= LONGEST_LINE + (1 << 16) + 1);
        line.clear();
        assert!(read_line(&mut reader, &mut line).await.unwrap());
        assert_eq!(line, b"next\n");
        line.clear();
        assert!(!read_line(&mut reader, &mut line).await.unwrap());
    }
}

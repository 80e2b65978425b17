//! The other end: a command line, or a screen elsewhere, that speaks to a running loop.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command as Program};
use tokio::sync::{Notify, mpsc};

use super::SocketError;
use super::ear::{Ear, Heard};
use super::line::{Speech, Word};
use crate::engine::command::{Command, Request};
use crate::engine::event::{Answer, Event, View};
use crate::model::ids::Actor;
use crate::store::directory::refuse_exposed;

/// A connection to a running loop.
pub struct Client {
    ear: Ear,
    writer: Writer,
    last_id: u64,
    /// What carries the lines where the socket is elsewhere; it ends with the connection.
    bridge: Option<Child>,
}

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("last_id", &self.last_id).field("bridge", &self.bridge).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the loop of a state directory.
    pub async fn connect(directory: &Path) -> Result<Self, SocketError> {
        let path = super::path(directory);
        let not_reachable = |message: String| SocketError::NotReachable { path: path.clone(), message };
        if directory.exists() {
            refuse_exposed(directory)?;
        }
        let stream = UnixStream::connect(&path).await.map_err(|error| not_reachable(error.to_string()))?;
        let (reader, writer) = stream.into_split();
        Ok(Self { ear: Ear::new(Box::new(reader)), writer: Box::new(writer), last_id: 0, bridge: None })
    }

    /// Connects to a loop elsewhere: the program's input and output are the socket's, as of `ssh HOST tidegate attach
    /// --stdio`. What it complains about goes where ours does, unless `quiet`.
    pub fn through(program: &str, arguments: &[String], quiet: bool) -> Result<Self, SocketError> {
        let complaints = if quiet { Stdio::null() } else { Stdio::inherit() };
        let mut bridge = Program::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SocketError::Lost(format!("`{program}` cannot be run: {error}")))?;
        let (Some(reader), Some(writer)) = (bridge.stdout.take(), bridge.stdin.take()) else {
            return Err(SocketError::Lost(format!("`{program}` has no input or no output")));
        };
        Ok(Self { ear: Ear::new(Box::new(reader)), writer: Box::new(writer), last_id: 0, bridge: Some(bridge) })
    }

    /// From now on the loop tells only what changes from view to view; the views that come are whole as before. A loop of
    /// another version goes on as it did, and its views carry a warning of that.
    pub async fn follow_changes(&mut self) -> Result<(), SocketError> {
        self.ear.expect_hello();
        write(&mut self.writer, &Word::Hello(Speech::own())).await
    }

    /// Asks, and waits for the answer; other events in between are passed over.
    pub async fn ask(&mut self, by: Actor, command: Command) -> Result<Answer, SocketError> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&Request { id, by, command }).await?;
        loop {
            match self.next().await? {
                Event::Answer { id: answered, result } if answered == id => {
                    return result.map_err(SocketError::Refused);
                }
                Event::Ended => return Err(SocketError::Lost("it ended before it answered".to_owned())),
                _ => {}
            }
        }
    }

    /// Sends a request without waiting; its answer is one of the events.
    pub async fn send(&mut self, request: &Request) -> Result<(), SocketError> {
        write(&mut self.writer, request).await
    }

    /// The next view; the first comes at once, if the loop has made one.
    pub async fn view(&mut self) -> Result<Arc<View>, SocketError> {
        loop {
            match self.next().await? {
                Event::View(view) => return Ok(view),
                Event::Ended => return Err(SocketError::Lost("it has ended".to_owned())),
                _ => {}
            }
        }
    }

    /// The next event, whatever it is.
    pub async fn next(&mut self) -> Result<Event, SocketError> {
        loop {
            match self.ear.next().await? {
                Heard::Event(event) => return Ok(event),
                Heard::Missed => write(&mut self.writer, &Word::Whole).await?,
            }
        }
    }

    /// Stands between a screen and the loop: what is requested goes there, what the loop tells comes here, until the
    /// loop ends or goes away, or the screen is left. `sent` is shown each request before it goes.
    pub async fn relay(
        self,
        requests: &mut mpsc::Receiver<Request>,
        sent: impl Fn(&Request),
        tell: impl Fn(Event),
    ) -> SocketError {
        let Self { mut ear, mut writer, bridge: _bridge, .. } = self;
        let missed = Notify::new();
        let told = async {
            loop {
                match ear.next().await {
                    Ok(Heard::Event(event)) => tell(event),
                    Ok(Heard::Missed) => missed.notify_one(),
                    Err(error) => return error,
                }
            }
        };
        let asked = async {
            loop {
                let written = tokio::select! {
                    () = missed.notified() => write(&mut writer, &Word::Whole).await,
                    request = requests.recv() => match request {
                        Some(request) => {
                            sent(&request);
                            write(&mut writer, &request).await
                        }
                        None => return SocketError::Lost("the screen was left".to_owned()),
                    },
                };
                if let Err(error) = written {
                    return error;
                }
            }
        };
        tokio::select! {
            error = told => error,
            error = asked => error,
        }
    }
}

async fn write(writer: &mut Writer, said: &impl Serialize) -> Result<(), SocketError> {
    let mut line = serde_json::to_vec(said).map_err(|error| SocketError::Lost(error.to_string()))?;
    line.push(b'\n');
    let written = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    written.await.map_err(|error| SocketError::Lost(error.to_string()))
}

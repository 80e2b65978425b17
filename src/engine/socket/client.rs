//! The other end: a command line, or a screen elsewhere, that speaks to a running loop.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command as Program};
use tokio::sync::mpsc;

use super::SocketError;
use crate::engine::command::{Command, Request};
use crate::engine::event::{Answer, Event, View};
use crate::model::ids::Actor;
use crate::store::directory::refuse_exposed;

/// A connection to a running loop.
pub struct Client {
    reader: Reader,
    writer: Writer,
    last_id: u64,
    /// What carries the lines where the socket is elsewhere; it ends with the connection.
    bridge: Option<Child>,
}

type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
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
        Ok(Self { reader: BufReader::new(Box::new(reader)), writer: Box::new(writer), last_id: 0, bridge: None })
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
        let (reader, writer) = (BufReader::new(Box::new(reader) as Box<_>), Box::new(writer));
        Ok(Self { reader, writer, last_id: 0, bridge: Some(bridge) })
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
        write_request(&mut self.writer, request).await
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
        read_event(&mut self.reader).await
    }

    /// Stands between a screen and the loop: what is requested goes there, what the loop tells comes here, until the
    /// loop ends or goes away, or the screen is left. `sent` is shown each request before it goes.
    pub async fn relay(
        self,
        requests: &mut mpsc::Receiver<Request>,
        sent: impl Fn(&Request),
        tell: impl Fn(Event),
    ) -> SocketError {
        let Self { mut reader, mut writer, bridge: _bridge, .. } = self;
        let told = async {
            loop {
                match read_event(&mut reader).await {
                    Ok(event) => tell(event),
                    Err(error) => return error,
                }
            }
        };
        let asked = async {
            while let Some(request) = requests.recv().await {
                sent(&request);
                if let Err(error) = write_request(&mut writer, &request).await {
                    return error;
                }
            }
            SocketError::Lost("the screen was left".to_owned())
        };
        tokio::select! {
            error = told => error,
            error = asked => error,
        }
    }
}

async fn read_event(reader: &mut Reader) -> Result<Event, SocketError> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).await.map_err(|error| SocketError::Lost(error.to_string()))?;
    if read == 0 {
        return Err(SocketError::Lost("the connection was closed".to_owned()));
    }
    serde_json::from_str(&line).map_err(|error| complaint(&line, &error))
}

async fn write_request(writer: &mut Writer, request: &Request) -> Result<(), SocketError> {
    let mut line = serde_json::to_vec(request).map_err(|error| SocketError::Lost(error.to_string()))?;
    line.push(b'\n');
    let written = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    written.await.map_err(|error| SocketError::Lost(error.to_string()))
}

/// The server's complaint about what we sent, or ours about what it sent.
fn complaint(line: &str, error: &serde_json::Error) -> SocketError {
    const SHOWN: usize = 200;
    let said = serde_json::from_str::<serde_json::Value>(line).ok();
    match said.as_ref().and_then(|said| said.get("error")).and_then(serde_json::Value::as_str) {
        Some(said) => SocketError::Refused(said.to_owned()),
        None => {
            SocketError::Unreadable { line: line.trim_end().chars().take(SHOWN).collect(), message: error.to_string() }
        }
    }
}

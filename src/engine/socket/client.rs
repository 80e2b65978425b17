//! The other end: a command line, or a screen elsewhere, that speaks to a running loop.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::SocketError;
use crate::engine::command::{Command, Request};
use crate::engine::event::{Answer, Event, View};
use crate::model::ids::Actor;
use crate::store::directory::refuse_exposed;

/// A connection to a running loop.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    last_id: u64,
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
        Ok(Self { reader: BufReader::new(reader), writer, last_id: 0 })
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
    /// loop ends or goes away.
    pub async fn relay(self, mut requests: mpsc::Receiver<Request>, mut tell: impl FnMut(Event)) -> SocketError {
        let Self { mut reader, mut writer, .. } = self;
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

async fn read_event(reader: &mut BufReader<OwnedReadHalf>) -> Result<Event, SocketError> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).await.map_err(|error| SocketError::Lost(error.to_string()))?;
    if read == 0 {
        return Err(SocketError::Lost("the connection was closed".to_owned()));
    }
    serde_json::from_str(&line).map_err(|error| complaint(&line, &error))
}

async fn write_request(writer: &mut OwnedWriteHalf, request: &Request) -> Result<(), SocketError> {
    let mut line = serde_json::to_vec(request).map_err(|error| SocketError::Lost(error.to_string()))?;
    line.push(b'\n');
    writer.write_all(&line).await.map_err(|error| SocketError::Lost(error.to_string()))
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

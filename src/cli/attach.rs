//! `attach`: the whole screen on a loop that runs elsewhere: in another process, or on another host through ssh.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep;

use super::Place;
use super::console::{can_show, kept, looked};
use super::failure::Failure;
use super::looks::Looks;
use super::reach::{person, state_dir};
use crate::engine::command::Request;
use crate::engine::event::{Event, Leader, View};
use crate::engine::socket::{self, Client, SocketError};
use crate::model::ids::Actor;
use crate::store::lock::Holder;
use crate::tui::{self, Link, Options};
use crate::world::clock::{Clock, Stopwatch};

/// Requests and events that may be on their way to and from a loop elsewhere.
const ON_THE_WAY: usize = 1024;

/// A link that is dead is noticed within a minute, and a host that does not answer sooner.
const SSH_NOTICES: [&str; 3] = ["ServerAliveInterval=15", "ServerAliveCountMax=2", "ConnectTimeout=10"];

/// Bytes that are carried at once.
const AT_ONCE: usize = 1 << 16;

/// Between two tries to reach a loop that went away.
const AGAIN: Duration = Duration::from_secs(2);

/// A loop that said that it ends may be started anew within this.
const RESTARTS_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// Open the screen on a loop that runs already, here or on another host
///
/// Nothing is started, and leaving the screen stops nothing. When the loop goes away the screen stays and connects anew.
/// What you do is in the journal under your name.
#[derive(Debug, Args)]
pub(super) struct Attach {
    /// The host, as ssh takes it, such as `ann@gate.example.com`; without one, the loop on this host
    #[arg(conflicts_with = "stdio")]
    host: Option<String>,
    /// The program that reaches the host and runs a command there
    #[arg(long, value_name = "PROGRAM", default_value = "ssh", requires = "host")]
    ssh: String,
    /// What tidegate is called on the host
    #[arg(long, value_name = "PROGRAM", default_value = "tidegate", requires = "host")]
    remote: String,
    /// No screen: be the loop's socket, on standard input and output
    #[arg(long)]
    stdio: bool,
}

impl Attach {
    pub(super) fn run(&self, place: &Place, looks: &Looks) -> Result<(), Failure> {
        if !self.stdio {
            can_show(looks)?;
        }
        match &self.host {
            // A state directory that is named is the host's.
            Some(host) => show(self.through(host, place), None, looked(looks, Clock::Wall)),
            None if self.stdio => carry(&state_dir(place)?),
            None => show(Way::Here(state_dir(place)?), None, looked(looks, Clock::Wall)),
        }
    }

    fn through(&self, host: &str, place: &Place) -> Way {
        let mut there = vec![self.remote.clone(), "attach".to_owned(), "--stdio".to_owned()];
        if let Some(directory) = &place.state_dir {
            there.extend(["--state-dir".to_owned(), directory.display().to_string()]);
        }
        Way::Through { program: self.ssh.clone(), host: host.to_owned(), there }
    }
}

/// How a loop is reached.
enum Way {
    /// By the socket of a state directory.
    Here(PathBuf),
    /// By a program such as ssh.
    Through { program: String, host: String, there: Vec<String> },
}

impl Way {
    /// Connects; at the first time a person may be asked for a password, later the screen is there.
    async fn connect(&self, first: bool) -> Result<Client, SocketError> {
        let mut client = match self {
            Self::Here(directory) => Client::connect(directory).await?,
            Self::Through { program, host, there } => {
                Client::through(program, &arguments(program, host, there, first), !first)?
            }
        };
        client.follow_changes().await?;
        Ok(client)
    }

    /// What the screen says of where the loop is.
    fn told(&self) -> String {
        match self {
            Self::Here(_) => "this host".to_owned(),
            Self::Through { host, .. } => host.clone(),
        }
    }

    /// The person at the keyboard, as the loop's journal names them.
    fn by(&self) -> Actor {
        match self {
            Self::Here(_) => person(),
            Self::Through { .. } => {
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                Actor::new(format!("{}@{host}", person()))
            }
        }
    }
}

/// What the program is told; another than `ssh` knows none of its options.
fn arguments(program: &str, host: &str, there: &[String], first: bool) -> Vec<String> {
    let quiet = (!first).then_some("BatchMode=yes");
    let options = SSH_NOTICES.into_iter().chain(quiet).filter(|_| program == "ssh");
    let options = options.flat_map(|option| ["-o", option]);
    options.chain([host]).map(str::to_owned).chain(there.iter().cloned()).collect()
}

/// Shows the loop that leads, to a console that would have liked to: it watches, and says who leads.
pub(super) fn watch(directory: PathBuf, holder: Option<&Holder>, options: Options) -> Result<(), Failure> {
    let who = holder.map_or_else(|| "another process".to_owned(), Holder::to_string);
    show(Way::Here(directory), Some(who), options)
}

fn show(way: Way, watched: Option<String>, options: Options) -> Result<(), Failure> {
    let (by, attached) = (way.by(), way.told());
    let here = if let Way::Here(directory) = &way { Some(directory.clone()) } else { None };
    let runtime = super::runtime()?;
    let (client, view) = runtime.block_on(async {
        let mut client = way.connect(true).await?;
        let view = client.view().await?;
        Ok::<_, SocketError>((client, view))
    })?;
    let (requests, asked) = mpsc::channel(ON_THE_WAY);
    let events = broadcast::Sender::new(ON_THE_WAY);
    let link = Link { requests, events: events.subscribe() };
    let relay = std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
        let link = Relay { way, watched, events, asked: RefCell::default() };
        link.show(Event::View(view));
        runtime.block_on(link.run(client, asked));
    });
    relay.map_err(|error| Failure::Failed(format!("no thread: {error}")))?;
    let kept = here.as_deref().map(kept);
    let options = Options { attached: Some(attached), by, log: here, kept, ..options };
    tui::run(link, &options).map(drop).map_err(|error| Failure::Failed(error.to_string()))
}

/// Between a screen and a loop elsewhere, across the loop's restarts.
struct Relay {
    way: Way,
    /// Who leads, where this screen only watches.
    watched: Option<String>,
    events: broadcast::Sender<Event>,
    /// Requests that are not answered yet.
    asked: RefCell<BTreeSet<u64>>,
}

impl Relay {
    async fn run(&self, client: Client, mut requests: mpsc::Receiver<Request>) {
        let mut client = client;
        loop {
            let ended = Cell::new(false);
            let sent = |request: &Request| {
                self.asked.borrow_mut().insert(request.id);
            };
            let lost = client
                .relay(&mut requests, sent, |event| match event {
                    Event::Ended => ended.set(true),
                    event => self.show(event),
                })
                .await;
            if requests.is_closed() {
                return;
            }
            let why = if ended.get() { "it has ended".to_owned() } else { lost.to_string() };
            self.lose(&why);
            let patience = ended.get().then(|| Stopwatch::start(Clock::Wall));
            let Some(again) = self.again(&mut requests, &why, patience).await else {
                return self.tell(Event::Ended);
            };
            client = again;
        }
    }

    /// Tries until the loop is reached; `None`: the screen is left, or the patience is over.
    async fn again(
        &self,
        requests: &mut mpsc::Receiver<Request>,
        why: &str,
        patience: Option<Stopwatch>,
    ) -> Option<Client> {
        loop {
            let pause = sleep(AGAIN);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    request = requests.recv() => {
                        let id = request?.id;
                        self.show(Event::Answer { id, result: Err(format!("the loop cannot be reached: {why}")) });
                    }
                }
            }
            if let Ok(mut client) = self.way.connect(false).await
                && let Ok(view) = client.view().await
            {
                self.show(Event::View(view));
                return Some(client);
            }
            if patience.as_ref().is_some_and(|since| since.at_least() >= RESTARTS_WITHIN) {
                return None;
            }
        }
    }

    /// The loop went away: what was asked of it is answered, and the screen says that it shows the past.
    fn lose(&self, why: &str) {
        for id in std::mem::take(&mut *self.asked.borrow_mut()) {
            let result =
                Err(format!("the loop went away before it answered ({why}); the journal tells what became of it"));
            self.tell(Event::Answer { id, result });
        }
        self.tell(Event::Lost);
    }

    /// What the loop tells; to one who watches it is another's.
    fn show(&self, event: Event) {
        let event = match event {
            Event::View(view) => match &self.watched {
                Some(who) => {
                    let leader = Leader::Other(who.clone());
                    Event::View(Arc::new(View { leader, reaches_leader: false, ..Arc::unwrap_or_clone(view) }))
                }
                None => Event::View(view),
            },
            Event::Answer { id, result } => {
                self.asked.borrow_mut().remove(&id);
                Event::Answer { id, result }
            }
            event => event,
        };
        self.tell(event);
    }

    fn tell(&self, event: Event) {
        // The screen may be gone.
        let _ = self.events.send(event);
    }
}

/// Carries lines between the socket and our standard input and output, until the loop closes it.
fn carry(directory: &Path) -> Result<(), Failure> {
    let path = socket::path(directory);
    let not_reachable =
        |error: std::io::Error| SocketError::NotReachable { path: path.clone(), message: error.to_string() };
    let mut told = UnixStream::connect(&path).map_err(not_reachable)?;
    let mut asked = told.try_clone().map_err(not_reachable)?;
    // Not waited for: it may read for as long as the program lives.
    let reads = std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        pour(&mut std::io::stdin().lock(), &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    reads.map_err(|error| Failure::Failed(format!("no thread: {error}")))?;
    // Whichever end closes, there is nothing more to carry.
    pour(&mut told, &mut std::io::stdout().lock());
    Ok(())
}

/// Until either end closes. Not `io::copy`: it splices, and a splice that waits for the socket holds the lock of the
/// pipe, for which a read at the pipe's other end then waits, non-blocking or not.
fn pour(from: &mut impl Read, to: &mut impl Write) {
    let mut bytes = vec![0; AT_ONCE];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let poured = bytes.get(..read).map_or(Ok(()), |read| to.write_all(read).and_then(|()| to.flush()));
        if poured.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_notices_a_dead_link_and_asks_for_nothing_once_the_screen_is_there() {
        let there = ["tidegate", "attach", "--stdio"].map(str::to_owned);
        let told = |program: &str, first: bool| arguments(program, "ann@gate", &there, first).join(" ");
        let notices = "-o ServerAliveInterval=15 -o ServerAliveCountMax=2 -o ConnectTimeout=10";
        assert_eq!(told("ssh", true), format!("{notices} ann@gate tidegate attach --stdio"));
        assert_eq!(told("ssh", false), format!("{notices} -o BatchMode=yes ann@gate tidegate attach --stdio"));
        assert_eq!(told("./reach", false), "ann@gate tidegate attach --stdio");
    }
}

//! Starting the loop: on a thread and runtime of its own, so that a stalled screen never delays scaling and a hung
//! cloud never delays a key; or on the caller's runtime, where time is simulated.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::engine::act::crash::CrashPoints;
use crate::engine::act::naming::Naming;
use crate::engine::advise::Policy;
use crate::engine::command::Request;
use crate::engine::event::{Event, Leader};
use crate::engine::http::Door;
use crate::engine::lead::Candidate;
use crate::engine::run::{EngineError, Loop};
use crate::engine::socket::Server;
use crate::model::catalogue::Catalogue;
use crate::model::ids::Term;
use crate::model::ledger::Ledger;
use crate::model::plan::Plan;
use crate::model::record::Record;
use crate::model::settings::Settings;
use crate::model::snapshot::Snapshot;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::settings::SettingsFile;
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::prices;

/// What decides: [`crate::plan::plan`]. Whatever it returns, the check before each act holds. Rules of one's own are a
/// [`Policy`], which cannot pass a limit in the first place.
pub type Planner = fn(&Snapshot, &Settings, &Ledger, Timestamp) -> Plan;

/// Everything that a loop is made of.
pub struct Setup {
    pub settings: SettingsFile,
    pub world: World,
    pub store: Box<dyn Store>,
    pub clock: Clock,
    pub catalogue: Arc<Catalogue>,
    /// Who acts, as far as is known at the start.
    pub leader: Leader,
    /// Where other consoles may lead the same fleet: who this one is to them. `None`: the leader stays who it is.
    pub candidate: Option<Candidate>,
    pub naming: Naming,
    pub planner: Planner,
    /// Asked about every queue for which the settings name no policy.
    pub policy: Option<Box<dyn Policy>>,
    /// Nowhere, outside tests.
    pub crash: CrashPoints,
    /// Serve the socket of this state directory.
    pub socket: Option<PathBuf>,
    /// What a person should know from the start on.
    pub warnings: Vec<String>,
}

impl Setup {
    /// A loop that leads alone, with a memory that ends with it and the price table that ships with the program. What else it
    /// shall be is set in its fields: a store in a file, a policy, a socket.
    ///
    /// # Errors
    /// The price table cannot be read.
    pub fn new(settings: SettingsFile, world: World, clock: Clock) -> Result<Self, EngineError> {
        let catalogue = prices::catalogue().map_err(|error| EngineError::Setup(error.to_string()))?;
        Ok(Self {
            settings,
            world,
            store: Box::new(MemoryStore::default()),
            clock,
            catalogue: Arc::new(catalogue),
            leader: Leader::Us(Term(1)),
            candidate: None,
            naming: Naming::random(),
            planner: crate::plan::plan,
            policy: None,
            crash: CrashPoints::default(),
            socket: None,
            warnings: Vec::new(),
        })
    }

    /// The same, allowed to act: without it the first start of a fleet is a dry run until a person arms it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn armed(mut self) -> Result<Self, EngineError> {
        self.store.commit(&[Record::Armed(true)]).await?;
        Ok(self)
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("leader", &self.leader).field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Requests that wait for the loop; it answers within a pass.
const REQUESTS: usize = 256;
/// At its end a loop waits no longer for what cannot be stopped, such as a look-up of a name that hangs.
const LONGEST_END: Duration = Duration::from_secs(3);
/// Events that a listener may be behind.
const EVENTS: usize = 1024;

/// A running loop.
#[derive(Debug)]
pub struct Handle {
    pub requests: mpsc::Sender<Request>,
    /// Everything that it tells, from its first moment on.
    pub events: broadcast::Receiver<Event>,
    pub life: Life,
}

/// The life of a loop.
#[derive(Debug)]
pub struct Life(JoinHandle<Result<(), EngineError>>);

impl Life {
    /// Waits until the loop has ended.
    ///
    /// # Errors
    /// Why it could not go on.
    pub fn join(self) -> Result<(), EngineError> {
        self.0.join().unwrap_or(Err(EngineError::Panicked))
    }

    /// Whether the loop has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

/// Starts the loop on a thread of its own. `make` runs there, inside its runtime: what it makes may need one.
///
/// # Errors
/// No thread can be had.
pub fn start<M, F>(make: M) -> Result<Handle, EngineError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<Setup, EngineError>>,
{
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (told, events) = broadcast::channel(EVENTS);
    let heard = requests.clone();
    let thread = std::thread::Builder::new().name("loop".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| EngineError::Runtime(error.to_string()))?;
        let ended = runtime.block_on(live(make, asked, heard, told));
        runtime.shutdown_timeout(LONGEST_END);
        ended
    });
    let thread = thread.map_err(|error| EngineError::Runtime(error.to_string()))?;
    Ok(Handle { requests, events, life: Life(thread) })
}

/// The loop and its socket, to the end of both.
async fn live<M, F>(
    make: M,
    asked: mpsc::Receiver<Request>,
    heard: mpsc::Sender<Request>,
    events: broadcast::Sender<Event>,
) -> Result<(), EngineError>
where
    M: FnOnce() -> F,
    F: Future<Output = Result<Setup, EngineError>>,
{
    let mut sockets = JoinSet::new();
    let ended = async {
        let mut setup = make().await?;
        if let Some(directory) = &setup.socket {
            match Server::bind(directory) {
                Ok(server) => drop(sockets.spawn(server.serve(heard, events.subscribe()))),
                Err(error) => setup.warnings.push(error.to_string()),
            }
        }
        if let Some(address) = setup.settings.settings().the_loop.metrics {
            match Door::bind(address).await {
                Ok(door) => drop(sockets.spawn(door.serve(events.subscribe(), setup.clock))),
                Err(error) => setup.warnings.push(error.to_string()),
            }
        }
        run(setup, asked, events.clone()).await
    }
    .await;
    // Whoever listens learns of the end, whatever it was.
    let _ = events.send(Event::Ended);
    while sockets.join_next().await.is_some() {}
    ended
}

/// Runs the loop on the present runtime until it is told to quit.
///
/// # Errors
/// The store cannot be read.
pub async fn run(
    setup: Setup,
    requests: mpsc::Receiver<Request>,
    events: broadcast::Sender<Event>,
) -> Result<(), EngineError> {
    Loop::new(setup, requests, events).await?.run().await
}

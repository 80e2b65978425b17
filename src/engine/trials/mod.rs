//! The running loop against a world that does what a test tells it to.

mod checkpoint;
mod fate;
mod guardrails;
mod holds;
mod kept;
mod lead;
mod looks;
mod loss;
mod obeys;
mod orders;
mod phantoms;
mod policies;
mod quitting;
mod schedules;
mod still;
mod survival;
mod told;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{broadcast, mpsc};

use self::world::Scripted;
use crate::engine::act::crash::CrashPoints;
use crate::engine::act::naming::Naming;
use crate::engine::command::{Command, Request};
use crate::engine::event::{Answer, Event, Leader, View};
use crate::engine::{EngineError, Setup, run};
use crate::model::glance::Glance;
use crate::model::ids::Term;
use crate::model::journal::{Entry, EntryKind, JournalFilter};
use crate::model::record::{Memory, Record};
use crate::model::snapshot::Ask;
use crate::store::memory::MemoryStore;
use crate::store::settings::SettingsFile;
use crate::store::{Keep, Pruned, Store, StoreError};
use crate::world::clock::Clock;
use crate::world::prices;

const SETTINGS: &str = r#"
[loop]
fleet = "lab"
time_zone = "UTC"
[limits]
max = 4
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
price = "$1/h"
keep_alive = "10m"
max_boot = "10m"
ami = "ami-1"
"#;

/// A store whose disk is full when a test wants that, and that outlives its loop.
#[derive(Clone, Default)]
struct Disk {
    store: Arc<tokio::sync::Mutex<MemoryStore>>,
    full: Arc<AtomicBool>,
}

#[async_trait]
impl Store for Disk {
    async fn load(&mut self) -> Result<Memory, StoreError> {
        self.store.lock().await.load().await
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Write { path: "store".into(), message: "no space left".to_owned() });
        }
        self.store.lock().await.commit(records).await
    }

    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError> {
        self.store.lock().await.journal(filter).await
    }

    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError> {
        self.store.lock().await.glances(from, to, every).await
    }

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        self.store.lock().await.prune(keep).await
    }
}

/// A loop that a test drives.
struct Trial {
    world: Arc<Scripted>,
    disk: Disk,
    clock: Clock,
    requests: mpsc::Sender<Request>,
    events: broadcast::Receiver<Event>,
    running: tokio::task::JoinSet<Result<(), EngineError>>,
    asked: u64,
    /// Everything that was told so far.
    journal: Vec<Entry>,
    view: Option<Arc<View>>,
}

impl Trial {
    /// A loop that is armed, with `waiting` tasks on `train`.
    async fn armed(waiting: usize) -> Self {
        let disk = Disk::default();
        disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
        let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
        let world = Scripted::new(clock, waiting);
        Self::start(world, disk, clock, SettingsFile::in_memory(SETTINGS).unwrap())
    }

    fn setup(world: &Arc<Scripted>, disk: &Disk, clock: Clock, settings: SettingsFile) -> Setup {
        Setup {
            settings,
            world: Scripted::world(world),
            store: Box::new(disk.clone()),
            clock,
            catalogue: Arc::new(prices::catalogue().unwrap()),
            leader: Leader::Us(Term(1)),
            candidate: None,
            naming: Naming::random(),
            planner: crate::plan::plan,
            policy: None,
            crash: CrashPoints::default(),
            socket: None,
            warnings: Vec::new(),
        }
    }

    fn start(world: Arc<Scripted>, disk: Disk, clock: Clock, settings: SettingsFile) -> Self {
        Self::start_with(Self::setup(&world, &disk, clock, settings), world, disk, clock)
    }

    fn start_with(setup: Setup, world: Arc<Scripted>, disk: Disk, clock: Clock) -> Self {
        let (requests, asked) = mpsc::channel(16);
        let (told, events) = broadcast::channel(4096);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(run(setup, asked, told));
        let (journal, view) = (Vec::new(), None);
        Self { world, disk, clock, requests, events, running, asked: 0, journal, view }
    }

    /// The same world and store under a new loop: the old one is dead at once.
    async fn restart(self) -> Self {
        let Self { world, disk, clock, mut running, .. } = self;
        running.shutdown().await;
        Self::start(world, disk, clock, SettingsFile::in_memory(SETTINGS).unwrap())
    }

    async fn pass(&mut self, seconds: i64) {
        self.clock.sleep(SignedDuration::from_secs(seconds)).await;
        while let Ok(event) = self.events.try_recv() {
            self.hear(event);
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::View(view) => self.view = Some(view),
            Event::Journal(entry) => self.journal.push(entry),
            Event::Answer { .. } | Event::Ended | Event::Lost => {}
        }
    }

    async fn ask(&mut self, command: Command) -> Result<Answer, String> {
        self.asked += 1;
        let id = self.asked;
        self.requests.send(Request { id, by: "ann".into(), command }).await.unwrap();
        loop {
            match self.events.recv().await.unwrap() {
                Event::Answer { id: answered, result } if answered == id => return result,
                event => self.hear(event),
            }
        }
    }

    async fn order(&mut self, ask: Ask) -> Result<Answer, String> {
        self.ask(Command::Ask(vec![ask])).await
    }

    /// Whether the loop has ended, and well.
    fn has_ended(&mut self) -> bool {
        self.running.try_join_next().is_some_and(|ended| {
            ended.unwrap().unwrap();
            true
        })
    }

    /// One machine that is up and idle, and its id.
    async fn idle() -> (Self, String) {
        let mut trial = Self::armed(1).await;
        trial.pass(15).await;
        let machine = trial.world.registers();
        trial.world.takes_all_tasks();
        trial.pass(30).await;
        (trial, machine)
    }

    fn lines(&self, kind: EntryKind) -> Vec<&str> {
        self.journal.iter().filter(|entry| entry.kind == kind).map(|entry| entry.text.as_str()).collect()
    }

    fn view(&self) -> &View {
        self.view.as_deref().unwrap()
    }
}

//! The loop on a simulated world, and a person beside it who looks and gives orders.

use std::sync::Arc;

use jiff::SignedDuration;
use tidegate::engine::act::crash::CrashPoints;
use tidegate::engine::act::naming::Naming;
use tidegate::engine::command::{Command, Edit, Request};
use tidegate::engine::event::{Answer, Event, Leader, View};
use tidegate::engine::{Setup, run};
use tidegate::model::ids::{Actor, Term};
use tidegate::model::record::Record;
use tidegate::plan::plan;
use tidegate::store::Store;
use tidegate::store::memory::MemoryStore;
use tidegate::store::settings::SettingsFile;
use tidegate::world::clock::Clock;
use tidegate::world::prices;
use tidegate::world::sim::scenario::{MachineOffer, PlannedTask, Scenario};
use tidegate::world::sim::{Judgement, Sim};
use tokio::sync::{broadcast, mpsc};

pub(super) struct Console {
    clock: Clock,
    sim: Sim,
    requests: mpsc::Sender<Request>,
    events: broadcast::Receiver<Event>,
    last: Option<Arc<View>>,
    asked: u64,
}

impl Console {
    pub(super) async fn wait(&mut self, minutes: i64) -> Arc<View> {
        self.clock.sleep(SignedDuration::from_mins(minutes)).await;
        self.view()
    }

    /// The newest view.
    pub(super) fn view(&mut self) -> Arc<View> {
        loop {
            match self.events.try_recv() {
                Ok(Event::View(view)) => self.last = Some(view),
                Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return Arc::clone(self.last.as_ref().expect("the loop has said nothing")),
            }
        }
    }

    pub(super) async fn ask(&mut self, command: Command) -> Result<Answer, String> {
        self.asked += 1;
        let request = Request { id: self.asked, by: Actor::new("ann"), command };
        self.requests.send(request).await.unwrap();
        loop {
            match self.events.recv().await {
                Ok(Event::Answer { id, result }) if id == self.asked => return result,
                Ok(Event::View(view)) => self.last = Some(view),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(error) => panic!("the loop is gone: {error}"),
            }
        }
    }

    pub(super) async fn set(&mut self, key: &str, value: &str) {
        let edits = vec![edit(key, value)];
        self.ask(Command::Set { edits, seen: None }).await.unwrap();
    }

    /// What the simulator itself says.
    pub(super) fn judge(&self) -> Judgement {
        self.sim.judge()
    }
}

pub(super) fn edit(key: &str, value: &str) -> Edit {
    Edit { key: key.to_owned(), value: Some(value.to_owned()) }
}

/// A task of so many minutes that comes after so many.
pub(super) fn task(at: i64, minutes: i64, user: &str) -> PlannedTask {
    PlannedTask {
        at: SignedDuration::from_secs(5) + SignedDuration::from_mins(at),
        queue: "train".to_owned(),
        name: format!("{user} {at}"),
        duration: SignedDuration::from_mins(minutes),
        user: user.to_owned(),
        project: String::new(),
    }
}

const LAB: &str = r#"
[loop]
fleet = "lab"
time_zone = "UTC"
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
keep_alive = "10m"
max_life = "12h"
"#;

/// Lives a morning from 08:00 UTC on, with these tasks, on machines at $1.006/h, under these settings beside the pool's.
pub(super) fn with<T>(settings: &str, tasks: Vec<PlannedTask>, live: impl AsyncFnOnce(&mut Console) -> T) -> T {
    let offer = MachineOffer { name: "g5.xlarge".to_owned(), vcpu: 4, on_demand: 1_006_000, spot: None };
    let scenario = Scenario {
        start: "2026-11-02T08:00:00Z".parse().unwrap(),
        queues: vec![toml::from_str("name = 'train'").unwrap()],
        machines: vec![offer],
        tasks,
        ..Scenario::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Clock::simulated(scenario.start, 1);
        let sim = Sim::new(scenario, 7, clock);
        let (requests, heard) = mpsc::channel(16);
        let events = broadcast::Sender::new(4_096);
        let mut store = MemoryStore::default();
        store.commit(&[Record::Armed(true)]).await.unwrap();
        let setup = Setup {
            settings: SettingsFile::in_memory(&format!("{LAB}{settings}")).unwrap(),
            world: sim.world(),
            store: Box::new(store),
            clock,
            catalogue: Arc::new(prices::catalogue().unwrap()),
            leader: Leader::Us(Term(1)),
            candidate: None,
            naming: Naming::seeded(7),
            planner: plan,
            policy: None,
            crash: CrashPoints::default(),
            socket: None,
            warnings: Vec::new(),
        };
        let mut console = Console { clock, sim, requests, events: events.subscribe(), last: None, asked: 0 };
        tokio::select! {
            ended = run(setup, heard, events.clone()) => panic!("the loop ended: {ended:?}"),
            came = live(&mut console) => came,
        }
    })
}

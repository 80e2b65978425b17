//! The console and a real machine: the loop over HTTP, and a cloud whose one machine runs the boot script with the real
//! agent. What happens on the machine is what the console must see, tell and act on.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate::engine::act::crash::CrashPoints;
use tidegate::engine::act::naming::Naming;
use tidegate::engine::command::{Command, Request};
use tidegate::engine::event::{Event, Leader};
use tidegate::engine::{Handle, Setup, start};
use tidegate::model::ids::{FleetId, InstanceId, Term};
use tidegate::model::instance::{Fault, Instance, Phase};
use tidegate::model::journal::Entry;
use tidegate::model::observed::{CloudInstance, CloudState, Tags};
use tidegate::model::record::Record;
use tidegate::model::settings::{Market, Provider};
use tidegate::model::snapshot::Ask;
use tidegate::plan::plan;
use tidegate::store::Store;
use tidegate::store::memory::MemoryStore;
use tidegate::store::settings::SettingsFile;
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::Credentials;
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::{ClearmlServer, Status};
use tidegate::world::{World, prices};

use super::{MAILBOX, order, wait, wait_minutes};
use crate::support::face::Served;
use crate::support::machine::Machine;

pub(super) const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"
[clearml.agents]
credentials = "env:AGENTS"
[loop]
fleet = "test"
poll = "1s"
[limits]
max = 1
[queue.one]
pools = ["small"]
[queue.two]
pools = ["small"]
[pool.small]
provider = "aws"
region = "us-east-1"
types = ["t3.medium"]
ami = "ami-1"
keep_alive = "1h"
"#;

/// A cloud with one machine.
#[derive(Debug)]
struct OneMachine {
    machine: Arc<Machine>,
    launched: Timestamp,
    ended: Mutex<Option<(Timestamp, &'static str)>>,
}

#[async_trait]
impl Cloud for OneMachine {
    async fn list(&self, _: &FleetId, _: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let mut ended = self.ended.lock().unwrap();
        if ended.is_none() && self.machine.is_off() {
            self.machine.power_cut();
            *ended = Some((Clock::Wall.now(), "Client.InstanceInitiatedShutdown: Instance initiated shutdown"));
        }
        Ok(vec![CloudInstance {
            id: "i-1".into(),
            provider: Provider::Aws,
            pod: None,
            region: "us-east-1".to_owned(),
            machine_type: "t3.medium".into(),
            zone: None,
            market: Market::OnDemand,
            state: if ended.is_some() { CloudState::Terminated } else { CloudState::Running },
            launched: self.launched,
            ended: ended.map(|(at, _)| at),
            state_reason: ended.map(|(_, why)| why.to_owned()),
            image: None,
            tags: Tags { pool: Some("small".into()), queue: Some("one".into()), ..Tags::default() },
        }])
    }

    async fn launch(&self, _: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        panic!("there is room for one machine only");
    }

    /// At once, and all of it: as the hardest cloud does.
    async fn terminate(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        assert_eq!(instances, [InstanceId::from("i-1")]);
        self.machine.power_cut();
        self.ended.lock().unwrap().get_or_insert((Clock::Wall.now(), "Client.UserInitiatedShutdown"));
        Ok(())
    }

    async fn stop(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        panic!("nothing is to be switched off here: {instances:?}");
    }

    async fn start(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        panic!("nothing is to be switched on here: {instances:?}");
    }

    async fn console(&self, _: &str, _: &InstanceId) -> Result<String, CloudError> {
        Ok(String::new())
    }

    async fn check(&self, _: &str) -> Result<String, CloudError> {
        Ok(String::new())
    }
}

pub(super) fn variable(name: &str) -> Option<String> {
    match name {
        "CONSOLE" => Some("CONSOLE-KEY:console-secret".to_owned()),
        "AGENTS" => Some("AGENTS-KEY:agents-secret".to_owned()),
        _ => None,
    }
}

/// A console that acts, and what it has told so far.
pub(super) struct Console {
    handle: Handle,
    pub(super) machine: Arc<Machine>,
    seen: Option<Instance>,
    journal: Vec<Entry>,
}

impl Console {
    pub(super) fn start(server: &Served, machine: Machine) -> Self {
        Self::start_with(server, machine, SETTINGS)
    }

    pub(super) fn start_with(server: &Served, machine: Machine, settings: &str) -> Self {
        let machine = Arc::new(machine);
        let settings = settings.replace("API_SERVER", &server.url);
        let cloud = OneMachine { machine: machine.clone(), launched: Clock::Wall.now(), ended: Mutex::default() };
        let handle = start(move || async move {
            let settings = SettingsFile::in_memory(&settings).unwrap();
            let credentials = Credentials::find(&settings.settings().clearml, &variable, None).unwrap();
            let tracker = Arc::new(Clearml::new(credentials, Clock::Wall).unwrap());
            let mut store = MemoryStore::default();
            store.commit(&[Record::Armed(true)]).await?;
            Ok(Setup {
                settings,
                world: World { tracker, clouds: [(Provider::Aws, Arc::new(cloud) as Arc<dyn Cloud>)].into() },
                store: Box::new(store),
                clock: Clock::Wall,
                catalogue: Arc::new(prices::catalogue().unwrap()),
                leader: Leader::Us(Term(1)),
                candidate: None,
                naming: Naming::random(),
                planner: plan,
                policy: None,
                crash: CrashPoints::default(),
                socket: None,
                warnings: Vec::new(),
            })
        });
        Self { handle: handle.unwrap(), machine, seen: None, journal: Vec::new() }
    }

    pub(super) fn ask(&self, what: Ask) {
        let request = Request { id: 1, by: "ann".into(), command: Command::Ask(vec![what]) };
        self.handle.requests.blocking_send(request).unwrap();
    }

    /// Looks until the machine's row is as wanted; the row. Some things are looked at once a minute only.
    pub(super) fn sees(&mut self, what: &str, wanted: impl Fn(&Instance) -> bool) -> Instance {
        let machine = Arc::clone(&self.machine);
        wait_minutes(3, &machine, what, || {
            self.hear();
            self.seen.as_ref().is_some_and(&wanted)
        });
        self.seen.clone().unwrap()
    }

    /// Waits for a line of the journal.
    pub(super) fn tells(&mut self, text: &str) -> Entry {
        let machine = Arc::clone(&self.machine);
        wait_minutes(3, &machine, text, || {
            self.hear();
            self.journal.iter().any(|entry| entry.text.contains(text))
        });
        self.journal.iter().find(|entry| entry.text.contains(text)).unwrap().clone()
    }

    fn hear(&mut self) {
        while let Ok(event) = self.handle.events.try_recv() {
            match event {
                Event::View(view) => self.seen = view.snapshot.instances.first().cloned().or(self.seen.take()),
                Event::Journal(entry) => self.journal.push(entry),
                _ => {}
            }
        }
    }

    pub(super) fn end(self) {
        let quit = Request { id: 2, by: "ann".into(), command: Command::Quit { on_exit: None } };
        self.handle.requests.blocking_send(quit).unwrap();
        self.handle.life.join().unwrap();
    }
}

#[test]
fn an_agent_that_cannot_start_ends_its_machine_and_the_journal_tells_its_last_words() {
    let server = Served::start(&["one", "two"]);
    let mut broken = order(&server);
    broken.pool.agent.agent_arguments = vec!["--no-such-option".to_owned()];
    let machine = Machine::boot_user_data(&user_data(&broken).unwrap(), "i-1", &[("TIDEGATE_DEATHS", "1")]);
    let mut console = Console::start(&server, machine);
    let told = console.tells("i-1 ended, and not by us");
    assert!(told.reason.starts_with("it switched itself off: the agent does not live: "), "{told:?}");
    assert!(told.reason.contains("unrecognized arguments: --no-such-option"), "{told:?}");
    console.end();
}

#[test]
fn a_machine_whose_mailbox_is_deleted_is_a_fault_and_no_capacity_until_it_is_drained() {
    let server = Served::start(&["one", "two"]);
    let machine = super::boot(&server, &[]);
    super::pulls(&machine, &server);
    let mut console = Console::start(&server, machine);
    console.sees("the machine is idle", |seen| seen.phase == Phase::Idle && seen.fault.is_none());
    let (user, mailbox) = (ClearmlServer::console(), server.queue(MAILBOX));
    server.server().delete_queue(Clock::Wall.now(), &user, &mailbox, true).unwrap();
    let state = || std::fs::read_to_string(console.machine.file("state")).unwrap_or_default();
    wait(&console.machine, "the gate says that it is closed", || state().starts_with("closed: "));
    let task = server.enqueue_shell("one", "sleep 1");
    let row = console.sees("the console shows the fault", |seen| {
        seen.fault_why.as_deref().is_some_and(|why| why.contains("mailbox drain:i-1 was deleted"))
    });
    assert_eq!(row.fault, Some(Fault::NotPulling));
    assert_eq!(server.status(&task), Status::Queued);
    console.ask(Ask::Drain("i-1".into()));
    console.tells("i-1 is drained");
    console.tells("i-1 has ended");
    assert_eq!(server.entries("one"), [task]);
    console.end();
}

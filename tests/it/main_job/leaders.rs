//! Two consoles with two stores on one fleet: one acts, and the other follows when it dies. The ClearML server is asked
//! over HTTP, as it is between hosts.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tidegate::engine::act::crash::CrashPoints;
use tidegate::engine::act::naming::Naming;
use tidegate::engine::event::Leader;
use tidegate::engine::{Candidate, EngineError, Setup, Times, run};
use tidegate::model::ids::{FleetId, InstanceId, IntentId, Term};
use tidegate::model::observed::{CloudInstance, CloudState, Tags};
use tidegate::model::record::Record;
use tidegate::model::settings::{Market, Provider};
use tidegate::plan::plan;
use tidegate::store::Store;
use tidegate::store::settings::SettingsFile;
use tidegate::world::clearml::Clearml;
use tidegate::world::clearml::credentials::Credentials;
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::{World, prices};
use tokio::task::JoinSet;

use super::rehearsal::Kept;
use crate::support::face::Served;
use crate::support::process::{A_MINUTE, Group, eventually, write};

pub(super) const SETTINGS: &str = r#"
[clearml]
api_server = "API_SERVER"
credentials = "env:CONSOLE"
[clearml.agents]
credentials = "env:AGENTS"
[loop]
fleet = "lab"
poll = "1s"
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
ami = "ami-1"
"#;

/// A minute of the live program's is 3 s here: a loaded machine gives the leader its turn within them, and nobody takes
/// over by chance.
pub(super) const TIMES: Times = Times { beat: SignedDuration::from_millis(300), silence: SignedDuration::from_secs(3) };

/// A take-over that takes longer is none, however loaded the machine is.
const AT_MOST: SignedDuration = SignedDuration::from_secs(30);

/// Take-overs of each test.
pub(super) const TAKE_OVERS: usize = 20;

/// A cloud whose machines boot for ever.
#[derive(Debug, Default)]
struct Machines {
    made: Mutex<Vec<CloudInstance>>,
    /// It lists them so long after it made them.
    listed_after: SignedDuration,
}

impl Machines {
    fn all(&self) -> MutexGuard<'_, Vec<CloudInstance>> {
        self.made.lock().unwrap()
    }
}

#[async_trait]
impl Cloud for Machines {
    async fn list(&self, _: &FleetId, _: &str) -> Result<Vec<CloudInstance>, CloudError> {
        let listed = Clock::Wall.now() - self.listed_after;
        Ok(self.all().iter().filter(|machine| machine.launched <= listed).cloned().collect())
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        let mut all = self.all();
        let made = (0..order.launch.count).map(|place| {
            let (intent, launched) = (order.intent(place), Clock::Wall.now());
            let machine = CloudInstance {
                id: InstanceId::new(format!("i-{intent}")),
                provider: Provider::Aws,
                pod: None,
                region: "us-east-1".to_owned(),
                machine_type: order.launch.machine_type.clone(),
                zone: None,
                market: Market::OnDemand,
                state: CloudState::Running,
                launched,
                ended: None,
                image: None,
                state_reason: None,
                tags: Tags {
                    pool: Some(order.launch.pool.clone()),
                    queue: Some(order.launch.queue.clone()),
                    intent: Some(intent.clone()),
                    revision: Some(order.revision.clone()),
                    term: Some(order.term),
                    settings: Some(order.pool.fingerprint()),
                    brought_over: false,
                },
            };
            let launched = Launched {
                id: machine.id.clone(),
                intent,
                machine_type: machine.machine_type.clone(),
                launched: Some(launched),
                zone: None,
                image: None,
                passed_over: Vec::new(),
            };
            (machine, launched)
        });
        let (machines, launched): (Vec<_>, Vec<_>) = made.unzip();
        all.extend(machines);
        Ok(launched)
    }

    async fn terminate(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        panic!("nothing is to be ended here: {instances:?}");
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

fn variable(name: &str) -> Option<String> {
    match name {
        "CONSOLE" => Some("CONSOLE-KEY:console-secret".to_owned()),
        "AGENTS" => Some("AGENTS-KEY:agents-secret".to_owned()),
        _ => None,
    }
}

/// A console in this process, as on a host of its own.
struct Console {
    name: &'static str,
    store: Kept,
    running: JoinSet<Result<(), EngineError>>,
}

impl Console {
    fn start(name: &'static str, store: Kept, served: &Served, machines: &Arc<Machines>) -> Self {
        let candidate = Candidate { console: name.to_owned(), holder: name.to_owned(), times: TIMES };
        Self::start_as(Leader::Other("nobody yet".to_owned()), Some(candidate), (name, store), served, machines)
    }

    fn start_as(
        leader: Leader,
        candidate: Option<Candidate>,
        (name, store): (&'static str, Kept),
        served: &Served,
        machines: &Arc<Machines>,
    ) -> Self {
        let settings = SettingsFile::in_memory(&SETTINGS.replace("API_SERVER", &served.url)).unwrap();
        let credentials = Credentials::find(&settings.settings().clearml, &variable, None).unwrap();
        let tracker = Arc::new(Clearml::new(credentials, Clock::Wall).unwrap());
        let setup = Setup {
            settings,
            world: World { tracker, clouds: [(Provider::Aws, machines.clone() as Arc<dyn Cloud>)].into() },
            store: Box::new(store.clone()),
            clock: Clock::Wall,
            catalogue: Arc::new(prices::catalogue().unwrap()),
            leader,
            candidate,
            naming: Naming::random(),
            planner: plan,
            policy: None,
            crash: CrashPoints::default(),
            socket: None,
            warnings: Vec::new(),
        };
        let mut running = JoinSet::new();
        running.spawn(async move {
            let (_requests, asked) = tokio::sync::mpsc::channel(1);
            run(setup, asked, tokio::sync::broadcast::Sender::new(16)).await
        });
        Self { name, store, running }
    }

    /// As `kill -9` does.
    async fn dies(mut self) -> (&'static str, Kept) {
        self.running.shutdown().await;
        (self.name, self.store)
    }
}

/// When the leader of a term showed last that it lives, by what the server has.
fn beat_at(served: &Served, term: u64) -> Timestamp {
    let beat = served.metadata(&format!("tidegate:lab:leader:{term}"), "beat").unwrap();
    beat.split_once(" at ").unwrap().1.parse().unwrap()
}

/// The median of take-overs, none of which may take for ever.
pub(super) fn median(mut times: Vec<SignedDuration>) -> SignedDuration {
    times.sort_unstable();
    assert!(times[times.len() - 1] <= AT_MOST, "{times:?}");
    times[times.len() / 2]
}

/// The claims on the fleet that there are: their terms and holders.
fn claims(served: &Served) -> Vec<(u64, String)> {
    let clearml = served.server();
    let term = |name: &str| name.strip_prefix("tidegate:lab:leader:").map(|term| term.parse().unwrap());
    let text = |entry: Option<&tidegate::world::sim::clearml::Metadata>| entry.map(|entry| entry.value.clone());
    let claims = clearml.queues(true).filter_map(|queue| Some((term(queue.name.as_str())?, queue)));
    claims.map(|(term, queue)| (term, text(queue.metadata.get("holder")).unwrap_or_default())).collect()
}

async fn until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..A_MINUTE {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: it did not happen");
}

/// Each round one task more waits, and the leader starts its machine and dies: no other machine is ever started.
#[test]
fn one_console_acts_and_the_other_follows_it_twenty_times() {
    let served = Served::start(&["train"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(twenty_leaders(&served));
    served.all_known();
}

/// A store that was armed.
async fn armed() -> Kept {
    let mut store = Kept::default();
    store.commit(&[Record::Armed(true)]).await.unwrap();
    store
}

/// Waits until two armed consoles have started so many machines for one task, and for some looks more. No machine is
/// listed meanwhile: neither console sees the other's.
async fn machines_of_two(served: &Served, each_leads: bool, wanted: usize) {
    let machines = Arc::new(Machines { listed_after: SignedDuration::from_mins(2), ..Machines::default() });
    served.enqueue_shell("train", "true");
    let mut consoles = Vec::new();
    for name in ["a", "b"] {
        let store = armed().await;
        consoles.push(if each_leads {
            Console::start_as(Leader::Us(Term(1)), None, (name, store), served, &machines)
        } else {
            Console::start(name, store, served, &machines)
        });
    }
    until("each that leads acts", || machines.all().len() >= wanted).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for console in consoles {
        console.dies().await;
    }
    assert_eq!(machines.all().len(), wanted);
}

/// Two consoles of which each takes itself for the leader start a machine each.
#[test]
fn row_29_of_two_consoles_one_acts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(machines_of_two(&Served::start(&["train"]), false, 1));
    runtime.block_on(machines_of_two(&Served::start(&["train"]), true, 2));
}

async fn twenty_leaders(served: &Served) {
    let machines = Arc::<Machines>::default();
    let mut leader = Console::start("a", armed().await, served, &machines);
    until("the first leads", || claims(served) == [(1, "a".to_owned())]).await;
    // Its own store was never armed: it goes on in the mode of who led.
    let mut other = Console::start("b", Kept::default(), served, &machines);
    let mut silences = Vec::new();
    for round in 1..=TAKE_OVERS {
        let term = u64::try_from(round).unwrap();
        served.enqueue_shell("train", "true");
        until("its task gets a machine", || machines.all().len() == round).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(claims(served), [(term, leader.name.to_owned())]);
        assert_eq!(machines.all().last().unwrap().tags.term.unwrap().0, term);
        let died = Clock::Wall.now();
        let (name, store) = leader.dies().await;
        let beat = beat_at(served, term);
        until("the other takes over", || claims(served) == [(term + 1, other.name.to_owned())]).await;
        let now = Clock::Wall.now();
        // The wall's clock may be set meanwhile, by a little.
        assert!(now.duration_since(beat) >= TIMES.silence - TIMES.beat, "{beat} {now}");
        silences.push(now.duration_since(died));
        leader = std::mem::replace(&mut other, Console::start(name, store, served, &machines));
    }
    // 90 s at most where silence is a minute.
    let median = median(silences);
    assert!(median <= TIMES.silence * 3 / 2, "{median:#}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = machines.all().clone();
    let intents: BTreeMap<&IntentId, usize> =
        all.iter().map(|machine| (machine.tags.intent.as_ref().unwrap(), 1)).collect();
    assert_eq!((all.len(), intents.len()), (TAKE_OVERS, TAKE_OVERS));
}

/// A console as a process of its own, with a state directory of its own.
pub(super) struct Process {
    pub(super) name: &'static str,
    group: Group,
}

pub(super) struct Rig {
    pub(super) served: Served,
    folder: tempfile::TempDir,
    /// Where EC2 is.
    endpoint: String,
}

impl Rig {
    fn new() -> Self {
        Self::with(SETTINGS, "http://127.0.0.1:9")
    }

    pub(super) fn with(settings: &str, endpoint: &str) -> Self {
        let (served, folder) = (Served::start(&["train"]), tempfile::tempdir().unwrap());
        let rig = Self { served, folder, endpoint: endpoint.to_owned() };
        let settings = settings.replace("API_SERVER", &rig.served.url);
        write(&rig.folder.path().join("tidegate.toml"), &settings);
        rig
    }

    pub(super) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("USER", name)
            .env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_CONFIG", self.folder.path().join("tidegate.toml"));
        command.env("TIDEGATE_STATE_DIR", self.folder.path().join(name));
        command.env("TIDEGATE_LEADER_TIMES", format!("{},{}", TIMES.beat.as_millis(), TIMES.silence.as_millis()));
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL_EC2", &self.endpoint);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9");
        command.envs(["CONSOLE", "AGENTS"].map(|name| (name, variable(name).unwrap())));
        command
    }

    pub(super) fn start(&self, name: &'static str) -> Process {
        self.start_with(name, &format!("{},{}", TIMES.beat.as_millis(), TIMES.silence.as_millis()))
    }

    /// `times`: between signs of life, and of silence, in milliseconds.
    pub(super) fn start_with(&self, name: &'static str, times: &str) -> Process {
        let log = self.folder.path().join(format!("{name}.log"));
        let mut run = self.command(name, &["run", "--headless"]);
        run.env("TIDEGATE_LEADER_TIMES", times);
        let process = Process { name, group: Group::start(name, run, &log) };
        let socket = self.folder.path().join(name).join("tidegate.sock");
        eventually("it listens", 400, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        process
    }

    pub(super) fn status(&self, process: &Process) -> Value {
        let output = self.command(process.name, &["status", "--json"]).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        said["status"].clone()
    }

    pub(super) fn leads(&self, process: &Process, term: u64) -> bool {
        self.status(process)["term"] == term
    }

    fn journal(&self, process: &Process) -> String {
        let output = self.command(process.name, &["journal"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_killed_process_is_followed_by_another_twenty_times() {
    let rig = Rig::new();
    let mut leader = rig.start("ann");
    eventually("the first leads", A_MINUTE, || rig.leads(&leader, 1));
    assert!(rig.command("ann", &["arm", "--yes"]).output().unwrap().status.success());
    let mut other = rig.start("bo");
    let mut silences = Vec::new();
    for term in 1..=u64::try_from(TAKE_OVERS).unwrap() {
        eventually("the other watches and says who leads", A_MINUTE, || {
            let led_by = rig.status(&other)["led_by"].clone();
            led_by
                .as_str()
                .is_some_and(|who| who.starts_with(leader.name) && who.contains(&format!("(term {term} since")))
        });
        let refused = rig.command(other.name, &["pause"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(5), "a watcher changes nothing");
        let died = Clock::Wall.now();
        let killed = leader.name;
        drop(leader);
        eventually("the other takes over", A_MINUTE, || rig.leads(&other, term + 1));
        silences.push(Clock::Wall.now().duration_since(died));
        let status = rig.status(&other);
        assert_eq!((&status["armed"], &status["led_by"]), (&Value::Bool(true), &Value::Null));
        assert!(status["leads_since"].as_str().unwrap().parse::<Timestamp>().unwrap() >= died);
        assert_eq!(claims(&rig.served).len(), 1, "the old claim is gone");
        assert!(rig.journal(&other).contains(&format!("takes over in term {}", term + 1)));
        leader = std::mem::replace(&mut other, rig.start(killed));
    }
    let median = median(silences);
    assert!(median <= TIMES.silence * 2, "{median:#}");
    rig.served.all_known();
}

#[test]
fn a_paused_leader_that_continues_acts_no_more() {
    let rig = Rig::new();
    let ann = rig.start("ann");
    eventually("one leads", A_MINUTE, || rig.leads(&ann, 1));
    let bo = rig.start("bo");
    eventually("the other watches", A_MINUTE, || rig.status(&bo)["led_by"].is_string());
    let term = |console| rig.status(console)["term"].as_u64();
    ann.group.signal("STOP");
    eventually("the other takes over", A_MINUTE, || term(&bo) >= Some(2));
    ann.group.signal("CONT");
    eventually("the first knows", A_MINUTE, || {
        let status = rig.status(&ann);
        status["led_by"].as_str().is_some_and(|who| who.starts_with("bo")) || status["term"].as_u64() > Some(2)
    });
    assert!(rig.journal(&ann).contains("term 1 is over"), "{}", rig.journal(&ann));
    let refused = rig.command("ann", &["arm", "--yes"]).output().unwrap();
    // On a machine that stood still it may have taken over in turn, which is a term of its own.
    assert!(refused.status.code() == Some(5) || term(&ann) > Some(2), "{refused:?}");
    for _ in 0..10 {
        let (first, second) = (term(&ann), term(&bo));
        assert!(first != Some(1) && (first.is_none() || first != second), "{first:?} {second:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    eventually("one leads, and the other follows", A_MINUTE, || {
        let terms = [term(&ann), term(&bo)];
        terms.contains(&None) && claims(&rig.served).iter().map(|(term, _)| Some(*term)).eq([terms[0].max(terms[1])])
    });
}

#[test]
fn a_console_that_ends_gives_the_lead_away_and_one_that_starts_again_takes_its_own() {
    const PATIENT: &str = "150,60000";
    let rig = Rig::new();
    let mut ann = rig.start_with("ann", PATIENT);
    eventually("one leads", A_MINUTE, || rig.leads(&ann, 1));
    let bo = rig.start_with("bo", PATIENT);
    eventually("the other watches", A_MINUTE, || rig.status(&bo)["led_by"].is_string());
    ann.group.signal_leader("TERM");
    eventually("it ends", A_MINUTE, || ann.group.ended().is_some());
    eventually("the other follows at once", A_MINUTE, || rig.leads(&bo, 2));
    assert!(rig.journal(&bo).contains("has ended"), "{}", rig.journal(&bo));
    drop(bo);
    let bo = rig.start_with("bo", PATIENT);
    eventually("its own claim is no one else's", A_MINUTE, || rig.leads(&bo, 3));
    assert!(rig.journal(&bo).contains("leads again"), "{}", rig.journal(&bo));
}

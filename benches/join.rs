//! How long it takes to take in a look at 1,000 queues, 10,000 instances and 100,000 waiting tasks, and to join it into
//! a snapshot; and the same for a tenth and a third of that. `cargo bench --bench join` prints it.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

use std::fmt::Write;
use std::sync::Arc;

use divan::Bencher;
use jiff::{SignedDuration, Timestamp};
use tidegate::engine::seen::facts::{ClearmlFacts, Facts, Observation, Region, Workers};
use tidegate::engine::seen::join::{Parts, join};
use tidegate::engine::seen::sight::Sights;
use tidegate::model::catalogue::Catalogue;
use tidegate::model::instance::Origin;
use tidegate::model::ledger::{Interval, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::observed::{
    CloudInstance, CloudState, ObservedQueue, ObservedTask, ObservedWorker, QueueEntry, Tags,
};
use tidegate::model::record::{KnownInstance, Memory, Opened, Record};
use tidegate::model::settings::{Market, Provider};
use tidegate::model::snapshot::{Snapshot, Surplus};
use tidegate::store::settings::SettingsFile;

const QUEUES: [usize; 3] = [100, 333, 1_000];
const INSTANCES_A_QUEUE: usize = 10;
const WAITING_A_QUEUE: usize = 100;
const REGION: &str = "us-east-1";
const MACHINE_TYPE: &str = "g5.xlarge";

fn main() {
    divan::main();
}

#[divan::bench(args = QUEUES)]
fn take_and_join(bencher: Bencher<'_, '_>, queues: usize) {
    let now = Timestamp::constant(1_793_606_400, 0);
    let settings = settings(queues);
    let (memory, observation) = (memory(queues, now), observation(queues, now));
    let catalogue = Arc::new(Catalogue::default());
    bencher.with_inputs(|| observation.clone()).bench_local_values(|observation| {
        let (mut facts, mut sights) = (Facts::default(), Sights::default());
        let fresh = facts.take(observation);
        sights.take(&fresh, &facts, &memory, &settings);
        let parts = Parts {
            facts: &facts,
            sights: &sights,
            memory: &memory,
            settings: &settings,
            catalogue: &catalogue,
            breakers: Vec::new(),
            surplus: Surplus::new(),
            courses: std::collections::BTreeMap::new(),
            orders: Vec::new(),
            stale_after: SignedDuration::from_mins(3),
        };
        let snapshot = join(parts, &Snapshot::default(), now);
        assert_eq!(snapshot.instances.len(), queues * INSTANCES_A_QUEUE);
        snapshot
    });
}

fn settings(queues: usize) -> Arc<tidegate::model::settings::Settings> {
    let mut text = "[loop]\nfleet = \"bench\"\n".to_owned();
    for queue in 0..queues {
        write!(text, "[queue.q{queue}]\npools = [\"p{queue}\"]\n").unwrap();
        write!(text, "[pool.p{queue}]\nprovider = \"aws\"\nregion = \"{REGION}\"\n").unwrap();
        write!(text, "types = [\"{MACHINE_TYPE}\"]\nami = \"ami-1\"\n").unwrap();
    }
    SettingsFile::in_memory(&text).unwrap().settings()
}

fn memory(queues: usize, now: Timestamp) -> Memory {
    let mut memory = Memory::default();
    for place in 0..queues * INSTANCES_A_QUEUE {
        let (id, queue) = (format!("i-{place:017x}"), place % queues);
        let (pool, home) = (format!("p{queue}"), format!("q{queue}"));
        let known = KnownInstance {
            id: id.as_str().into(),
            provider: Provider::Aws,
            region: REGION.to_owned(),
            pool: pool.as_str().into(),
            home: home.as_str().into(),
            machine_type: MACHINE_TYPE.into(),
            zone: None,
            market: Market::OnDemand,
            vcpu: 4,
            gpu: 1,
            intent: None,
            origin: Origin::Launched,
            launched: now - SignedDuration::from_hours(1),
            registered: true,
            drain: None,
            hold: None,
            stop_sent: None,
            replace: None,
            started_again: false,
            max_life: None,
            power: tidegate::model::instance::Power::On,
        };
        let interval = Interval {
            instance: known.id.clone(),
            pool: known.pool.clone(),
            home: known.home.clone(),
            rate: Some(Rate::from_micros_per_hour(1_006_000)),
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: Money::ZERO,
            start: known.launched,
            end: None,
            shares: vec![Share::idle(known.launched, known.home.clone())],
        };
        memory.apply(&Record::Opened(Box::new(Opened { known, interval })));
    }
    memory
}

/// Every second machine is busy; every queue has tasks that wait.
fn observation(queues: usize, now: Timestamp) -> Observation {
    let task = |place: usize| format!("{place:032x}");
    let listed = (0..queues).map(|queue| ObservedQueue {
        id: format!("id{queue}").into(),
        name: format!("q{queue}").into(),
        tags: Vec::new(),
        entries: (0..WAITING_A_QUEUE)
            .map(|entry| QueueEntry { task: task(queue * WAITING_A_QUEUE + entry).into(), added: now })
            .collect(),
    });
    let machines = 0..queues * INSTANCES_A_QUEUE;
    let workers = machines.clone().map(|place| ObservedWorker {
        id: format!("bench:p{}:{MACHINE_TYPE}:i-{place:017x}", place % queues).into(),
        queues: vec![format!("id{}", place % queues).into()],
        task: (place % 2 == 0).then(|| ObservedTask {
            id: task(place + queues * WAITING_A_QUEUE).into(),
            name: "train".to_owned(),
            queue: Some(format!("id{}", place % queues).into()),
        }),
        registered: now - SignedDuration::from_mins(50),
        last_report: Some(now),
    });
    let cloud = machines.map(|place| CloudInstance {
        id: format!("i-{place:017x}").into(),
        provider: Provider::Aws,
        pod: None,
        region: REGION.to_owned(),
        machine_type: MACHINE_TYPE.into(),
        zone: None,
        market: Market::OnDemand,
        state: CloudState::Running,
        launched: now - SignedDuration::from_hours(1),
        ended: None,
        state_reason: None,
        image: None,
        tags: Tags::default(),
    });
    let region = Region { provider: Provider::Aws, name: REGION.to_owned() };
    let clearml = ClearmlFacts {
        waiting: None,
        holds: std::collections::BTreeMap::new(),
        claim: None,
        queues: listed.collect(),
        workers: Workers::Listed(workers.collect()),
        mailboxes: Vec::new(),
        tasks: None,
        attempts: std::collections::BTreeMap::new(),
        statuses: std::collections::BTreeMap::new(),
        owners: std::collections::BTreeMap::new(),
        tags: std::collections::BTreeMap::new(),
        ahead: None,
    };
    let regions = vec![(region, Ok(cloud.collect()))];
    Observation {
        began: now,
        clearml: Ok(clearml),
        regions,
        clusters: std::collections::BTreeMap::new(),
        credentials_end: std::collections::BTreeMap::new(),
    }
}

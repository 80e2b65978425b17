//! A fleet of a few lines, for tests of what is seen: what the sources would say now, look after look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::{ClearmlFacts, Facts, Fresh, Observation, Region, Workers};
use crate::engine::seen::join::{Parts, join};
use crate::engine::seen::notice::{Known, notice, opened};
use crate::engine::seen::sight::Sights;
use crate::model::account::Owner;
use crate::model::catalogue::Catalogue;
use crate::model::ids::{InstanceId, IntentId, Revision, TaskId};
use crate::model::instance::Instance;
use crate::model::money::{Money, Rate};
use crate::model::observed::{
    CloudInstance, CloudState, Mailbox, ObservedQueue, ObservedTask, ObservedWorker, QueueEntry, Tags, TaskRecord,
    TaskStatus,
};
use crate::model::record::{Intent, IntentOutcome, Memory, Record};
use crate::model::settings::{Market, Provider, Settings};
use crate::model::snapshot::{Snapshot, Surplus};
use crate::model::waste::Standing;
use crate::store::settings::parse;
use crate::world::prices;

const SETTINGS: &str = r#"
[loop]
fleet = "lab"
time_zone = "UTC"
[queue.train]
pools = ["gpu"]
[pool.gpu]
provider = "aws"
region = "us-east-1"
types = ["g5.xlarge"]
price = "$1/h"
max_boot = "10m"
ami = "ami-1"
"#;

pub(in crate::engine) fn intent(id: &str, opened: Timestamp) -> Intent {
    Intent {
        id: id.into(),
        batch: id.split('.').next().unwrap_or_default().into(),
        pool: "gpu".into(),
        queue: "train".into(),
        provider: Provider::Aws,
        region: "us-east-1".to_owned(),
        machine_type: "g5.xlarge".into(),
        market: Market::OnDemand,
        vcpu: 4,
        gpu: 1,
        rate: Some(Rate::from_micros_per_hour(1_000_000)),
        reservation: Money::from_micros(2_000_000),
        opened,
        revision: Revision::new("r"),
        outcome: IntentOutcome::Open,
        starts: None,
        max_life: Some(SignedDuration::from_hours(24)),
        choices: Vec::new(),
    }
}

/// What is out there, and what is known of it.
#[derive(Debug)]
pub(in crate::engine) struct Fleet {
    pub(in crate::engine) now: Timestamp,
    pub(in crate::engine) machines: Vec<CloudInstance>,
    pub(in crate::engine) workers: Vec<ObservedWorker>,
    pub(in crate::engine) waiting: Vec<&'static str>,
    pub(in crate::engine) tasks: Vec<TaskRecord>,
    /// Looks ask for them.
    pub(in crate::engine) asks_tasks: bool,
    pub(in crate::engine) tried: BTreeMap<TaskId, Option<TaskRecord>>,
    pub(in crate::engine) statuses: BTreeMap<TaskId, Option<TaskStatus>>,
    pub(in crate::engine) owners: BTreeMap<TaskId, Owner>,
    pub(in crate::engine) tags: BTreeMap<TaskId, Vec<String>>,
    pub(in crate::engine) mailboxes: Vec<Mailbox>,
    pub(in crate::engine) holds: BTreeMap<InstanceId, Vec<TaskRecord>>,
    /// How far ClearML's clock is ahead.
    pub(in crate::engine) ahead: Option<SignedDuration>,
    /// The sources do not answer.
    pub(in crate::engine) clearml_down: bool,
    pub(in crate::engine) cloud_down: bool,
    pub(in crate::engine) facts: Facts,
    pub(in crate::engine) sights: Sights,
    pub(in crate::engine) memory: Memory,
    pub(in crate::engine) settings: Settings,
    pub(in crate::engine) catalogue: Arc<Catalogue>,
}

impl Fleet {
    pub(in crate::engine) fn new() -> Self {
        Self {
            now: "2026-11-02T08:00:00Z".parse().unwrap(),
            machines: Vec::new(),
            workers: Vec::new(),
            waiting: Vec::new(),
            tasks: Vec::new(),
            asks_tasks: true,
            tried: BTreeMap::new(),
            statuses: BTreeMap::new(),
            owners: BTreeMap::new(),
            tags: BTreeMap::new(),
            mailboxes: Vec::new(),
            holds: BTreeMap::new(),
            ahead: None,
            clearml_down: false,
            cloud_down: false,
            facts: Facts::default(),
            sights: Sights::default(),
            memory: Memory::default(),
            settings: parse(SETTINGS, std::path::Path::new("settings")).unwrap(),
            catalogue: Arc::new(prices::catalogue().unwrap()),
        }
    }

    /// A machine that the cloud chose, as it lists it.
    pub(in crate::engine) fn listed(
        id: &str,
        machine_type: &str,
        intent: &IntentId,
        launched: Timestamp,
    ) -> CloudInstance {
        let mut fleet = Self::new().machine(id, CloudState::Pending, 0);
        let machine = fleet.machines.remove(0);
        let tags = Tags { intent: Some(intent.clone()), ..machine.tags };
        CloudInstance { machine_type: machine_type.into(), launched, market: Market::Spot, tags, ..machine }
    }

    /// A machine that the cloud lists, launched so many minutes ago.
    pub(in crate::engine) fn machine(mut self, id: &str, state: CloudState, minutes: i64) -> Self {
        let launched = self.now - SignedDuration::from_mins(minutes);
        self.machines.push(CloudInstance {
            id: id.into(),
            provider: Provider::Aws,
            pod: None,
            region: "us-east-1".to_owned(),
            machine_type: "g5.xlarge".into(),
            zone: None,
            market: Market::OnDemand,
            state,
            launched,
            ended: None,
            image: None,
            state_reason: None,
            tags: Tags { pool: Some("gpu".into()), queue: Some("train".into()), ..Tags::default() },
        });
        self
    }

    /// The last machine is in the ledger.
    pub(in crate::engine) fn known(mut self) -> Self {
        let machine = self.machines.last().unwrap();
        let opened =
            opened(&intent("b.0", machine.launched), machine.id.clone(), &machine.machine_type, machine.launched, None);
        let opened = opened.with_extras(self.settings.pools.first(), &self.catalogue);
        self.memory.apply(&Record::Opened(Box::new(opened)));
        self
    }

    /// The last machine's worker registered a minute ago and reports.
    pub(in crate::engine) fn worker(mut self, task: Option<&str>) -> Self {
        let id = &self.machines.last().unwrap().id;
        let task = task.map(|id| ObservedTask { id: id.into(), name: id.to_owned(), queue: Some("q-train".into()) });
        self.workers.push(ObservedWorker {
            id: format!("lab:gpu:g5.xlarge:{id}").into(),
            queues: vec!["q-train".into()],
            task,
            registered: self.now - SignedDuration::from_mins(1),
            last_report: Some(self.now),
        });
        self
    }

    /// The last machine has four agents, which registered a minute ago; these of them have a task.
    pub(in crate::engine) fn four(mut self, tasks: [Option<&str>; 4]) -> Self {
        for (agent, task) in (1..).zip(tasks) {
            self = self.worker(task);
            let worker = self.workers.last_mut().unwrap();
            worker.id = format!("{}.{agent}", worker.id).into();
        }
        self.settings.pools[0].agent.agents_per_machine = 4;
        self
    }

    pub(in crate::engine) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(in crate::engine) fn task(id: &str, status: TaskStatus, worker: Option<&str>) -> TaskRecord {
        TaskRecord {
            id: id.into(),
            name: id.to_owned(),
            status,
            status_reason: String::new(),
            status_changed: Some(Timestamp::UNIX_EPOCH),
            started: None,
            last_worker: worker.map(|id| format!("lab:gpu:g5.xlarge:{id}").into()),
            queue: Some("q-train".into()),
        }
    }

    /// The mailbox of `i-1` says this.
    pub(in crate::engine) fn mail(&mut self, state: &str) {
        let metadata = [("state".to_owned(), state.to_owned())].into();
        self.mailboxes = vec![Mailbox { queue: "m".into(), instance: "i-1".into(), created: self.now, metadata }];
    }

    /// One task holds `i-1`, or is to; it has begun just now.
    pub(in crate::engine) fn hold(&mut self, status: TaskStatus, worker: Option<&str>) {
        let task = TaskRecord { started: Some(self.now), queue: Some("m".into()), ..Self::task("h", status, worker) };
        self.holds = [("i-1".into(), vec![task])].into();
    }

    /// A machine that has been up for half an hour, and its idle worker.
    pub(in crate::engine) fn idle() -> Self {
        let mut fleet = Self::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.live(0);
        fleet
    }

    /// What the first machine's time is spent on.
    pub(in crate::engine) fn standing(&self) -> Standing {
        self.memory.ledger.open().values().next().unwrap().shares.last().unwrap().standing
    }

    /// No task holds `i-1`.
    pub(in crate::engine) fn no_hold(&mut self) {
        self.holds = [("i-1".into(), Vec::new())].into();
    }

    /// Time passes, and workers report.
    pub(in crate::engine) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.workers.iter_mut().for_each(|worker| worker.last_report = Some(self.now));
    }

    /// One look.
    pub(in crate::engine) fn look(&mut self) -> Fresh {
        let entry = |task: &&str| QueueEntry { task: (*task).into(), added: self.now };
        let entries = self.waiting.iter().map(entry).collect();
        let clearml = ClearmlFacts {
            waiting: None,
            queues: vec![ObservedQueue { id: "q-train".into(), name: "train".into(), tags: Vec::new(), entries }],
            workers: Workers::Listed(self.workers.clone()),
            mailboxes: self.mailboxes.clone(),
            claim: None,
            holds: self.holds.clone(),
            tasks: self.asks_tasks.then(|| self.tasks.clone()),
            attempts: self.tried.clone(),
            statuses: self.statuses.clone(),
            owners: self.owners.clone(),
            tags: self.tags.clone(),
            ahead: self.ahead,
        };
        let of = |provider: Provider, name: &str| Region { provider, name: name.to_owned() };
        let mut regions = BTreeMap::from([(of(Provider::Aws, "us-east-1"), Vec::new())]);
        for intent in self.memory.intents.values() {
            regions.entry(of(intent.provider, &intent.region)).or_default();
        }
        for known in self.memory.known.values() {
            regions.entry(of(known.provider, &known.region)).or_default();
        }
        for machine in &self.machines {
            regions.entry(of(machine.provider, &machine.region)).or_default().push(machine.clone());
        }
        let down = || "down".to_owned();
        let fresh = self.facts.take(Observation {
            began: self.now,
            clearml: if self.clearml_down { Err(down()) } else { Ok(clearml) },
            regions: regions
                .into_iter()
                .map(|(region, machines)| (region, if self.cloud_down { Err(down()) } else { Ok(machines) }))
                .collect(),
            clusters: BTreeMap::new(),
            credentials_end: BTreeMap::new(),
        });
        self.sights.take(&fresh, &self.facts, &self.memory, &self.settings);
        fresh
    }

    /// What the newest look changes in the memory.
    pub(in crate::engine) fn notice(&self, fresh: &Fresh) -> Vec<Record> {
        let calling: BTreeSet<IntentId> = BTreeSet::new();
        let known = Known {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings: &self.settings,
            catalogue: &self.catalogue,
            calling: &calling,
            now: self.now,
        };
        notice(&known, fresh)
    }

    /// Looks, and lives by it: the records without journal lines.
    pub(in crate::engine) fn live(&mut self, seconds: i64) -> Vec<Record> {
        self.pass(seconds);
        let fresh = self.look();
        let mut records = self.notice(&fresh);
        for record in &records {
            self.memory.apply(record);
        }
        records.retain(|record| !matches!(record, Record::Journal(_) | Record::LedgerWholeSince(_)));
        records
    }

    pub(in crate::engine) fn snapshot(&self) -> Snapshot {
        let parts = Parts {
            facts: &self.facts,
            sights: &self.sights,
            memory: &self.memory,
            settings: &self.settings,
            catalogue: &self.catalogue,
            breakers: Vec::new(),
            surplus: Surplus::new(),
            courses: std::collections::BTreeMap::new(),
            orders: Vec::new(),
            stale_after: SignedDuration::from_secs(150),
        };
        join(parts, &Snapshot::default(), self.now)
    }

    pub(in crate::engine) fn instance(&self, id: &str) -> Option<Instance> {
        self.snapshot().instance(&InstanceId::from(id)).cloned()
    }

    /// The last machine, to change it.
    pub(in crate::engine) fn last(&mut self) -> &mut CloudInstance {
        self.machines.last_mut().unwrap()
    }
}

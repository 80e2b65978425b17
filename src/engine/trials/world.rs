//! A ClearML server and a cloud of a few lines, with what goes wrong by script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::model::account::Owner;
use crate::model::claim::{Claim, ClaimId, ClaimNote};
use crate::model::ids::{FleetId, InstanceId, QueueId, TaskId, Term, WorkerId};
use crate::model::observed::{
    CloudInstance, CloudState, Glance, GlancedWorker, HiddenQueue, LostTask, Mailbox, ObservedQueue, ObservedTask,
    ObservedWorker, QueueEntry, Tags, TaskFacts, TaskRecord, TaskStatus,
};
use crate::model::settings::{Market, Provider};
use crate::model::snapshot::ErrorClass;
use crate::model::tasks::{QueuedTask, TaskDeed};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::cloud::{Cloud, CloudError, LaunchOrder, Launched};
use crate::world::secret::Secret;
use crate::world::tracker::{Requeue, Tracker, TrackerError};

pub(super) use super::fate::Fate;
use super::obeys::{order, place_hold};

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) waiting: Vec<TaskId>,
    /// For how long, at every look.
    pub(super) waited: SignedDuration,
    pub(super) machines: BTreeMap<InstanceId, CloudInstance>,
    pub(super) workers: BTreeMap<InstanceId, ObservedWorker>,
    pub(super) mailboxes: BTreeMap<InstanceId, BTreeMap<String, String>>,
    pub(super) tasks: Vec<TaskRecord>,
    /// Hold tasks; a machine that `answers` takes one at once when it is idle.
    pub(super) holds: Vec<TaskRecord>,
    pub(super) told_waiting: Vec<(QueueId, String, usize)>,
    /// So often the server was restored from a backup: its queues have other ids since.
    pub(super) restored: u32,
    /// On the lead, by term.
    pub(super) claims: BTreeMap<Term, ClaimNote>,
    /// The mailbox's orders are answered by the machine.
    pub(super) answers: bool,
    /// By a gate.
    pub(super) gate: bool,
    pub(super) listed: bool,
    /// Lost tasks on which another has a young claim.
    pub(super) claimed: Vec<TaskId>,
    /// How far the server's clock is ahead.
    pub(super) ahead: SignedDuration,
    calls: Vec<String>,
    fates: BTreeMap<&'static str, VecDeque<Fate>>,
    always: BTreeMap<&'static str, Fate>,
}

#[derive(Debug)]
pub(super) struct Scripted {
    clock: Clock,
    facts: Mutex<Facts>,
}

impl Scripted {
    pub(super) fn new(clock: Clock, waiting: usize) -> Arc<Self> {
        let waiting = (0..waiting).map(|task| format!("t{task}").into()).collect();
        let facts = Facts { waiting, answers: true, gate: true, listed: true, ..Facts::default() };
        Arc::new(Self { clock, facts: Mutex::new(facts) })
    }

    pub(super) fn world(this: &Arc<Self>) -> World {
        World { tracker: this.clone(), clouds: [(Provider::Aws, this.clone() as Arc<dyn Cloud>)].into() }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// The next calls of this name meet these fates.
    pub(super) fn next(&self, call: &'static str, fates: &[Fate]) {
        self.facts().fates.entry(call).or_default().extend(fates);
    }

    /// All calls of this name do, until told otherwise.
    pub(super) fn always(&self, call: &'static str, fate: Option<Fate>) {
        match fate {
            Some(fate) => drop(self.facts().always.insert(call, fate)),
            None => drop(self.facts().always.remove(call)),
        }
    }

    /// How often a call of this name was made.
    pub(super) fn calls(&self, call: &str) -> usize {
        self.facts().calls.iter().filter(|made| *made == call).count()
    }

    /// The newest machine's worker registers. Its id.
    pub(super) fn registers(&self) -> String {
        let now = self.clock.now();
        let mut facts = self.facts();
        let id = facts.machines.keys().find(|id| !facts.workers.contains_key(*id)).unwrap().clone();
        facts.machines.get_mut(&id).unwrap().state = CloudState::Running;
        let worker = ObservedWorker {
            id: format!("lab:gpu:g5.xlarge:{id}").into(),
            queues: vec!["q-train".into()],
            task: None,
            registered: now,
            last_report: Some(now),
        };
        facts.workers.insert(id.clone(), worker);
        id.to_string()
    }

    pub(super) fn takes_all_tasks(&self) {
        self.facts().waiting.clear();
    }

    /// A machine's worker runs a task.
    pub(super) fn runs(&self, machine: &str, task: &str) {
        let task = ObservedTask { id: task.into(), name: "train".to_owned(), queue: Some("q-train".into()) };
        self.facts().workers.get_mut(&InstanceId::from(machine)).unwrap().task = Some(task);
    }

    pub(super) fn ends_task(&self, machine: &str) {
        self.facts().workers.get_mut(&InstanceId::from(machine)).unwrap().task = None;
    }

    pub(super) fn want(&self, machine: &str) -> Option<String> {
        self.facts().mailboxes.get(&InstanceId::from(machine))?.get("want").cloned()
    }

    pub(super) fn state(&self, machine: &str) -> Option<CloudState> {
        self.facts().machines.get(&InstanceId::from(machine)).map(|machine| machine.state)
    }

    /// Meets the call's fate around `act`.
    async fn call<T>(&self, name: &'static str, act: impl FnOnce(&mut Facts, Timestamp) -> T) -> Result<T, bool> {
        let fate = {
            let mut facts = self.facts();
            facts.calls.push(name.to_owned());
            let next = facts.fates.get_mut(name).and_then(VecDeque::pop_front);
            next.or_else(|| facts.always.get(name).copied())
        };
        match fate {
            None => {}
            Some(Fate::Slow(seconds)) => self.clock.sleep(SignedDuration::from_secs(seconds)).await,
            Some(Fate::Hangs) => std::future::pending().await,
            Some(Fate::Refused) => return Err(false),
            Some(Fate::Lost) => {
                act(&mut self.facts(), self.clock.now());
                return Err(true);
            }
            Some(Fate::Panics) => panic!("a test wants {name} to panic"),
        }
        Ok(act(&mut self.facts(), self.clock.now()))
    }

    async fn asks<T>(
        &self,
        name: &'static str,
        act: impl FnOnce(&mut Facts, Timestamp) -> T,
    ) -> Result<T, TrackerError> {
        let done = self.call(name, act).await;
        let endpoint = name.to_owned();
        let no = TrackerError::Refused { endpoint: endpoint.clone(), code: 400, subcode: 1, message: "no".to_owned() };
        done.map_err(|may_have_acted| if may_have_acted { TrackerError::Deadline { endpoint } } else { no })
    }

    async fn does<T>(&self, name: &'static str, act: impl FnOnce(&mut Facts, Timestamp) -> T) -> Result<T, CloudError> {
        self.call(name, act).await.map_err(|may_have_acted| CloudError {
            class: ErrorClass::Unknown,
            code: None,
            message: "no".to_owned(),
            may_have_acted,
            quota: None,
            passed_over: Vec::new(),
        })
    }
}

impl Facts {
    fn claim_queue(&self, term: Term) -> QueueId {
        QueueId::new(format!("q-claim-{term}-{}", self.restored))
    }

    fn claim_on(&self, queue: &QueueId) -> Option<Term> {
        self.claims.keys().copied().find(|term| self.claim_queue(*term) == *queue)
    }
}

#[async_trait]
impl Tracker for Scripted {
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError> {
        self.asks("queues", |facts, now| {
            let waited = facts.waited;
            let entry = |task: &TaskId| QueueEntry { task: task.clone(), added: now - waited };
            let entries = facts.waiting.iter().map(entry).collect();
            vec![ObservedQueue { id: "q-train".into(), name: "train".into(), tags: Vec::new(), entries }]
        })
        .await
    }

    async fn workers(&self, _: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError> {
        self.asks("workers", |facts, now| {
            let reports = Some(now + facts.ahead);
            facts.workers.values().map(|worker| ObservedWorker { last_report: reports, ..worker.clone() }).collect()
        })
        .await
    }

    async fn glance(&self, _: &FleetId) -> Result<Glance, TrackerError> {
        self.asks("glance", |facts, now| {
            let mailbox = |(instance, metadata): (&InstanceId, &BTreeMap<String, String>)| Mailbox {
                queue: format!("drain:{instance}").into(),
                instance: instance.clone(),
                created: now,
                metadata: metadata.clone(),
            };
            let entry = |task: &TaskId| QueueEntry { task: task.clone(), added: now - facts.waited };
            let entries = facts.waiting.iter().map(entry).collect();
            let worker = |worker: &ObservedWorker| GlancedWorker { id: worker.id.clone(), task: worker.task.clone() };
            Glance {
                queues: vec![ObservedQueue { id: "q-train".into(), name: "train".into(), tags: Vec::new(), entries }],
                workers: facts.workers.values().map(worker).collect(),
                mailboxes: facts.mailboxes.iter().map(mailbox).collect(),
                claim: facts.claims.keys().max().map(|term| ClaimId { term: *term, queue: facts.claim_queue(*term) }),
            }
        })
        .await
    }

    async fn tasks(&self, queues: &[QueueId], _: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError> {
        if queues.iter().any(|queue| queue.as_str().starts_with("drain:")) {
            return self.asks("holds", |facts, _| facts.holds.clone()).await;
        }
        self.asks("tasks", |facts, _| facts.tasks.clone()).await
    }

    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError> {
        self.asks("task_facts", |facts, _| {
            let status = |id: &TaskId| facts.tasks.iter().find(|task| task.id == *id).map(|task| task.status);
            let facts = |id: &TaskId| TaskFacts {
                status: status(id).unwrap_or(TaskStatus::Queued),
                owner: Owner { project: None, user: Some("ann".into()) },
                tags: Vec::new(),
            };
            tasks.iter().map(|id| (id.clone(), facts(id))).collect()
        })
        .await
    }

    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError> {
        self.asks("tell_waiting", |facts, _| facts.told_waiting.push((queue.clone(), text.to_owned(), tasks.len())))
            .await
    }

    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.asks("create_mailbox", |facts, _| {
            facts.mailboxes.entry(instance.clone()).or_default();
        })
        .await
    }

    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.asks("delete_mailbox", |facts, _| drop(facts.mailboxes.remove(instance))).await
    }

    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.asks("order_drain", |facts, _| order(facts, instance, format!("drain:{nonce}"))).await
    }

    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.asks("ask_end", |facts, _| {
            let mailbox = facts.mailboxes.entry(instance.clone()).or_default();
            mailbox.insert("end".to_owned(), nonce.to_owned());
        })
        .await
    }

    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        self.asks("cancel_drain", |facts, _| order(facts, instance, "run".to_owned())).await
    }

    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        self.asks("place_hold", |facts, now| place_hold(facts, instance, nonce, now)).await
    }

    async fn end_holds(&self, _: &InstanceId) -> Result<(), TrackerError> {
        self.asks("end_holds", |facts, _| facts.holds.clear()).await
    }

    async fn renew_lease(&self, _: &FleetId, _: &str) -> Result<(), TrackerError> {
        self.asks("renew_lease", |_, _| ()).await
    }

    async fn claims(&self, _: &FleetId) -> Result<Vec<Claim>, TrackerError> {
        self.asks("claims", |facts, _| {
            let read = |(term, note): (&Term, &ClaimNote)| (*term, facts.claim_queue(*term), note.clone());
            facts.claims.iter().map(read).map(|(term, queue, note)| Claim { queue, term, note }).collect()
        })
        .await
    }

    async fn claim(&self, _: &FleetId, term: Term) -> Result<bool, TrackerError> {
        self.asks("claim", |facts, _| {
            let free = !facts.claims.contains_key(&term);
            facts.claims.entry(term).or_default();
            free
        })
        .await
    }

    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError> {
        self.asks("write_claim", |facts, _| {
            facts.claim_on(claim).map(|term| facts.claims.insert(term, note.clone())).is_some()
        })
        .await
    }

    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError> {
        self.asks("hidden_queues", |_, _| Vec::new()).await
    }

    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError> {
        self.asks("delete_hidden", |facts, _| drop(facts.claim_on(queue).map(|term| facts.claims.remove(&term)))).await
    }

    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        self.asks("requeue_lost", |facts, _| {
            if facts.claimed.contains(&lost.task) {
                return Requeue::Claimed;
            }
            facts.tasks.retain(|task| task.id != lost.task);
            facts.waiting.push(lost.task.clone());
            Requeue::Enqueued
        })
        .await
    }

    async fn enqueue(&self, task: &TaskId, _: &QueueId) -> Result<Requeue, TrackerError> {
        self.asks("enqueue", |facts, _| {
            facts.waiting.push(task.clone());
            Requeue::Enqueued
        })
        .await
    }

    async fn queue_tasks(&self, _: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        self.asks("queue_tasks", |_, _| Vec::new()).await
    }

    /// Whatever the deed: a task that waits is taken out.
    async fn task_deed(&self, _: &QueueId, task: &TaskId, _: TaskDeed) -> Result<Requeue, TrackerError> {
        self.asks("task_deed", |facts, _| {
            let waits = facts.waiting.contains(task);
            facts.waiting.retain(|other| other != task);
            if waits { Requeue::Enqueued } else { Requeue::NotNeeded }
        })
        .await
    }

    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        self.asks("task_log", |_, _| format!("{task} says hello")).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError> {
        self.asks("unregister", |facts, _| facts.workers.retain(|_, known| known.id != *worker)).await
    }

    async fn mint_agent_token(&self, _: SignedDuration) -> Result<Secret, TrackerError> {
        self.asks("mint", |_, _| Secret::new("token")).await
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        Some(self.facts().ahead)
    }

    fn api_server(&self) -> String {
        "http://clearml.example".to_owned()
    }

    async fn check(&self) -> Result<String, TrackerError> {
        self.asks("check", |_, _| "a scripted server".to_owned()).await
    }
}

#[async_trait]
impl Cloud for Scripted {
    async fn list(&self, _: &FleetId, _: &str) -> Result<Vec<CloudInstance>, CloudError> {
        self.does("list", |facts, _| if facts.listed { facts.machines.values().cloned().collect() } else { Vec::new() })
            .await
    }

    async fn credentials_end(&self, _: &str, _: Timestamp) -> Option<Timestamp> {
        self.does("credentials_end", |_, _| None).await.ok().flatten()
    }

    fn forget(&self, _: &str) {
        self.facts().calls.push("forget".to_owned());
    }

    async fn launch(&self, wanted: &LaunchOrder) -> Result<Vec<Launched>, CloudError> {
        self.does("launch", |facts, now| {
            let mut launched = Vec::new();
            for place in 0..wanted.launch.count {
                let id = InstanceId::new(format!("i-{}", facts.machines.len()));
                let tags = Tags {
                    pool: Some(wanted.launch.pool.clone()),
                    queue: Some(wanted.launch.queue.clone()),
                    intent: Some(wanted.intent(place)),
                    revision: None,
                    term: None,
                    settings: Some(wanted.pool.fingerprint()),
                    brought_over: false,
                };
                let machine = CloudInstance {
                    id: id.clone(),
                    provider: Provider::Aws,
                    pod: None,
                    region: "us-east-1".to_owned(),
                    machine_type: wanted.launch.machine_type.clone(),
                    zone: None,
                    market: Market::OnDemand,
                    state: CloudState::Pending,
                    launched: now,
                    ended: None,
                    image: Some(wanted.pool.launch.ami.clone()),
                    state_reason: None,
                    tags,
                };
                facts.machines.insert(id.clone(), machine);
                launched.push(Launched {
                    id,
                    intent: wanted.intent(place),
                    machine_type: wanted.launch.machine_type.clone(),
                    launched: Some(now),
                    zone: None,
                    image: Some(wanted.pool.launch.ami.clone()),
                    passed_over: Vec::new(),
                });
            }
            launched
        })
        .await
    }

    async fn terminate(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.does("terminate", |facts, now| {
            for id in instances {
                if let Some(machine) = facts.machines.get_mut(id) {
                    machine.state = CloudState::Terminated;
                    machine.ended.get_or_insert(now);
                }
                facts.workers.remove(id);
            }
        })
        .await
    }

    async fn stop(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.does("stop", |facts, now| {
            for id in instances {
                if let Some(machine) = facts.machines.get_mut(id) {
                    (machine.state, machine.ended) = (CloudState::Stopped, Some(now));
                }
                facts.workers.remove(id);
            }
        })
        .await
    }

    async fn start(&self, _: &str, instances: &[InstanceId]) -> Result<(), CloudError> {
        self.does("start", |facts, now| {
            for id in instances {
                if let Some(machine) = facts.machines.get_mut(id).filter(|one| one.state == CloudState::Stopped) {
                    (machine.state, machine.launched, machine.ended) = (CloudState::Pending, now, None);
                }
            }
        })
        .await
    }

    async fn console(&self, _: &str, _: &InstanceId) -> Result<String, CloudError> {
        self.does("console", |_, _| "booted".to_owned()).await
    }

    async fn check(&self, _: &str) -> Result<String, CloudError> {
        self.does("check", |_, _| "a scripted cloud".to_owned()).await
    }
}

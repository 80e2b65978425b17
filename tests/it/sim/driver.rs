//! A naive little console: it looks, launches what waits, drains what is idle, puts back what is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use tidegate::model::ids::{InstanceId, QueueId, QueueName, Revision, Term, WorkerName};
use tidegate::model::money::Money;
use tidegate::model::observed::{CloudInstance, CloudState, Glance, LostTask, ObservedWorker, TaskRecord, TaskStatus};
use tidegate::model::plan::Launch;
use tidegate::model::settings::{KeepAlive, LaunchSettings, Market, PoolSettings, Provider};
use tidegate::world::clock::Clock;
use tidegate::world::cloud::{AgentAccess, Cloud, CloudError, LaunchOrder, Launched};
use tidegate::world::sim::scenario::{MachineOffer, PlannedTask, QueueDemand, Scenario, Spread};
use tidegate::world::sim::{Judgement, Sim};
use tidegate::world::tracker::Tracker;

pub(super) const REGION: &str = "us-east-1";

/// A call that takes longer is given up.
const DEADLINE: SignedDuration = SignedDuration::from_secs(20);

const PASS: SignedDuration = SignedDuration::from_secs(10);

pub(super) const FLEET: &str = "demo";

pub(super) fn start() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

/// A pool of one type that serves one queue of the same name.
pub(super) fn pool(name: &str, machine_type: &str, market: Market) -> PoolSettings {
    PoolSettings {
        region: REGION.to_owned(),
        types: vec![machine_type.into()],
        market,
        keep_alive: KeepAlive::For(SignedDuration::from_mins(5)),
        launch: LaunchSettings { ami: "ami-demo".to_owned(), ..LaunchSettings::default() },
        ..PoolSettings::with_defaults(name)
    }
}

/// One queue `train`, machines of g5.xlarge, and these tasks: when they come and how long they take, in seconds.
pub(super) fn scenario(tasks: &[(i64, i64)]) -> Scenario {
    let task = |(n, (at, duration)): (usize, &(i64, i64))| PlannedTask {
        at: SignedDuration::from_secs(*at),
        queue: "train".to_owned(),
        name: format!("task {n}"),
        duration: SignedDuration::from_secs(*duration),
        user: "mei".to_owned(),
        project: "vision".to_owned(),
    };
    let queue = QueueDemand {
        name: "train".to_owned(),
        per_hour: 0.0,
        night: 1.0,
        weekend: 1.0,
        sweeps: None,
        duration: Spread::new(60_000, 0.0),
        users: Vec::new(),
        projects: Vec::new(),
        names: Vec::new(),
    };
    let machine = MachineOffer { name: "g5.xlarge".to_owned(), vcpu: 4, on_demand: 1_006_000, spot: Some(402_400) };
    Scenario {
        start: start(),
        queues: vec![queue],
        tasks: tasks.iter().enumerate().map(task).collect(),
        machines: vec![machine],
        ..Scenario::default()
    }
}

/// A simulated world, a hand on it, and what the hand has seen.
pub(super) struct Console {
    pub(super) sim: Sim,
    pub(super) clock: Clock,
    /// Each queue with its pool and the most machines for it.
    pub(super) pools: BTreeMap<QueueName, (PoolSettings, usize)>,
    batches: u32,
    idle_since: BTreeMap<InstanceId, Timestamp>,
    ordered: BTreeSet<InstanceId>,
    unlisted: Vec<Launched>,
    /// Everything seen, in words, if it is to be kept.
    pub(super) seen: Option<String>,
}

impl Console {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Self {
        let clock = Clock::simulated(scenario.start, 1);
        let pools = [("train".into(), (pool("a10g", "g5.xlarge", Market::OnDemand), 10))].into();
        Self {
            sim: Sim::new(scenario, seed, clock),
            clock,
            pools,
            batches: 0,
            idle_since: BTreeMap::new(),
            ordered: BTreeSet::new(),
            unlisted: Vec::new(),
            seen: None,
        }
    }

    pub(super) fn tracker(&self) -> std::sync::Arc<dyn Tracker> {
        self.sim.world().tracker
    }

    pub(super) fn cloud(&self) -> std::sync::Arc<dyn Cloud> {
        self.sim.world().cloud(Provider::Aws).unwrap().clone()
    }

    pub(super) async fn order(&mut self, queue: &str, count: u32) -> LaunchOrder {
        let pool = self.pools[queue].0.clone();
        let token = self.tracker().mint_agent_token(SignedDuration::from_hours(1)).await;
        self.batches += 1;
        LaunchOrder {
            fleet: FLEET.into(),
            batch: format!("b{}", self.batches).into(),
            launch: Launch {
                pool: pool.name.clone(),
                queue: queue.into(),
                machine_type: pool.types[0].clone(),
                market: pool.market,
                count,
                vcpu: 4,
                gpu: 1,
                rate: None,
                reservation: Money::ZERO,
                choices: Vec::new(),
            },
            pool,
            revision: Revision::new("abc"),
            term: Term(1),
            queues: vec![queue.into()],
            agents: AgentAccess {
                api_server: "http://api".to_owned(),
                token: token.unwrap_or_else(|_| tidegate::world::secret::Secret::new("none")),
            },
            bids: Vec::new(),
        }
    }

    pub(super) async fn launch(&mut self, queue: &str, count: u32) -> Result<Vec<Launched>, CloudError> {
        let order = self.order(queue, count).await;
        let cloud = self.cloud();
        let made = self.clock.deadline(DEADLINE, cloud.launch(&order)).await;
        made.unwrap_or_else(|| Err(CloudError::deadline("RunInstances")))
    }

    pub(super) async fn list(&self) -> Vec<CloudInstance> {
        self.cloud().list(&FLEET.into(), REGION).await.unwrap()
    }

    pub(super) async fn wait(&self, seconds: i64) {
        self.clock.sleep(SignedDuration::from_secs(seconds)).await;
    }

    /// The only worker, if there is one.
    pub(super) async fn worker(&self) -> Option<ObservedWorker> {
        let mut workers = self.tracker().workers(&FLEET.into()).await.unwrap();
        assert!(workers.len() < 2, "{workers:?}");
        workers.pop()
    }

    /// What a machine's mailbox says under a key.
    pub(super) async fn mail(&self, instance: &InstanceId, key: &str) -> Option<String> {
        let boxes = self.tracker().glance(&FLEET.into()).await.unwrap().mailboxes;
        boxes.into_iter().find(|one| one.instance == *instance)?.metadata.remove(key)
    }

    /// Tasks in this status.
    pub(super) async fn tasks(&self, status: TaskStatus) -> Vec<TaskRecord> {
        let queues = self.tracker().queues().await.unwrap();
        let ids: Vec<QueueId> = queues.into_iter().map(|queue| queue.id).collect();
        self.tracker().tasks(&ids, &[status]).await.unwrap()
    }

    /// How many tasks wait on `train`.
    pub(super) async fn waiting(&self) -> usize {
        let queues = self.tracker().queues().await.unwrap();
        queues.iter().find(|queue| queue.name.as_str() == "train").map_or(0, |queue| queue.entries.len())
    }

    /// One machine for `train`, and a wait until its agent has registered.
    pub(super) async fn booted(&mut self) -> InstanceId {
        let made = self.launch("train", 1).await.unwrap();
        for _ in 0..200 {
            self.wait(5).await;
            if !self.tracker().workers(&FLEET.into()).await.unwrap().is_empty() {
                break;
            }
        }
        made[0].id.clone()
    }

    pub(super) fn judge(&self) -> Judgement {
        self.sim.judge()
    }

    /// Looks and acts until this much time has passed.
    pub(super) async fn run(&mut self, span: SignedDuration) -> Judgement {
        let until = self.clock.now() + span;
        while self.clock.now() < until {
            let _ = self.pass().await;
            self.clock.sleep(PASS).await;
        }
        self.judge()
    }

    async fn pass(&mut self) -> Option<()> {
        let (tracker, cloud, clock) = (self.tracker(), self.cloud(), self.clock);
        let _ = clock.deadline(DEADLINE, tracker.renew_lease(&FLEET.into(), &clock.now().to_string())).await;
        let Glance { queues, mailboxes, .. } = clock.deadline(DEADLINE, tracker.glance(&FLEET.into())).await?.ok()?;
        let workers = clock.deadline(DEADLINE, tracker.workers(&FLEET.into())).await?.ok()?;
        let ids: Vec<QueueId> = queues.iter().map(|queue| queue.id.clone()).collect();
        let statuses = [TaskStatus::Queued, TaskStatus::InProgress, TaskStatus::Stopped];
        let tasks = clock.deadline(DEADLINE, tracker.tasks(&ids, &statuses)).await?.ok()?;
        let machines = clock.deadline(DEADLINE, cloud.list(&FLEET.into(), REGION)).await?.ok()?;
        let now = clock.now();
        if let Some(seen) = &mut self.seen {
            writeln!(seen, "{now} {queues:?} {workers:?} {mailboxes:?} {tasks:?} {machines:?}").unwrap();
        }

        let gone = |machine: &CloudInstance| machine.state == CloudState::Terminated;
        self.unlisted.retain(|made| machines.iter().all(|machine| machine.id != made.id));
        let mut rows: BTreeMap<InstanceId, _> = BTreeMap::new();
        for worker in &workers {
            if let Some(name) = WorkerName::parse(&worker.id) {
                rows.insert(name.instance, worker);
            }
        }
        for machine in machines.iter().filter(|machine| gone(machine)) {
            for task in &tasks {
                let name = task.last_worker.as_ref().and_then(WorkerName::parse);
                if name.is_some_and(|name| name.instance == machine.id) && task.status != TaskStatus::Queued {
                    let (Some(worker), Some(queue)) = (task.last_worker.clone(), task.queue.clone()) else { continue };
                    let (id, instance) = (task.id.clone(), machine.id.clone());
                    let lost = LostTask { task: id, queue, worker: Some(worker), instance, started: task.started };
                    let _ = clock.deadline(DEADLINE, tracker.requeue_lost(&lost)).await;
                }
            }
            if mailboxes.iter().any(|mailbox| mailbox.instance == machine.id) {
                let _ = clock.deadline(DEADLINE, tracker.delete_mailbox(&machine.id)).await;
            }
        }
        for mailbox in &mailboxes {
            if mailbox.drained() == Some("n") && machines.iter().any(|one| one.id == mailbox.instance && !gone(one)) {
                let _ =
                    clock.deadline(DEADLINE, cloud.terminate(REGION, std::slice::from_ref(&mailbox.instance))).await;
            }
        }
        for (instance, row) in &rows {
            let idle = row.task.is_none() && row.last_report.is_some();
            let since = *self.idle_since.entry(instance.clone()).or_insert(now);
            if !idle {
                self.idle_since.insert(instance.clone(), now);
            } else if now.duration_since(since) > SignedDuration::from_mins(5) && self.ordered.insert(instance.clone())
            {
                let _ = clock.deadline(DEADLINE, tracker.order_drain(instance, "n")).await;
            }
        }
        for (queue, (_, most)) in self.pools.clone() {
            let waiting = queues.iter().find(|seen| seen.name == queue).map_or(0, |seen| seen.entries.len());
            let ours = |machine: &&CloudInstance| machine.tags.queue.as_ref() == Some(&queue) && !gone(machine);
            let existing = machines.iter().filter(ours).count() + self.unlisted.len();
            let ready = |machine: &&CloudInstance| {
                let row = rows.get(&machine.id);
                row.is_none_or(|row| row.task.is_none()) && !self.ordered.contains(&machine.id)
            };
            let coming = machines.iter().filter(ours).filter(ready).count() + self.unlisted.len();
            let wanted = waiting.saturating_sub(coming).min(most.saturating_sub(existing));
            if wanted > 0
                && let Ok(made) = self.launch(queue.as_str(), u32::try_from(wanted).unwrap()).await
            {
                self.unlisted.extend(made);
            }
        }
        Some(())
    }
}

//! A ClearML server over HTTP (CLEARML.md): the tracker of the live console.

pub mod credentials;

mod ahead;
mod answer;
mod container;
mod desk;
mod glance;
mod hidden;
mod history;
mod hold;
mod pods;
mod requeue;
mod session;
mod tell;
mod token;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Mutex;

use crate::model::claim::{Claim, ClaimNote};
use crate::model::ids::{FleetId, InstanceId, QueueId, QueueName, TaskId, Term, WorkerId};
use crate::model::ids::{leader_queue, lease_queue, mailbox_queue};
use crate::model::observed::{
    Glance, HiddenQueue, LostTask, ObservedQueue, ObservedWorker, TaskFacts, TaskRecord, TaskStatus,
};
use crate::model::tasks::{QueuedTask, TaskDeed};
use crate::world::clearml::ahead::Ahead;
use crate::world::clearml::credentials::Credentials;
use crate::world::clearml::session::{Repeat, Session};
use crate::world::clearml::token::Identity;
use crate::world::clock::Clock;
use crate::world::secret::Secret;
use crate::world::tracker::{PodPlace, Requeue, Taken, TaskContainer, Tracker, TrackerError};

/// A list answer holds at most this many entries; more needs another page (CLEARML.md section 1).
const PAGE: usize = 500;

/// Above this many workers only those of the fleet are asked for.
const ALL_WORKERS: usize = 500;

/// The server forgets a worker this long after its last report.
const WORKER_LIFE: SignedDuration = SignedDuration::from_mins(10);

/// The server refuses a token that would live longer.
const LONGEST_TOKEN: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A ClearML server, seen by two users: the console's own and the machines'.
#[derive(Debug)]
pub struct Clearml {
    console: Session,
    agents: Session,
    server: String,
    clock: Clock,
    ahead: Arc<Ahead>,
    /// The ids of hidden queues that were seen.
    hidden: Mutex<BTreeMap<QueueName, QueueId>>,
    /// Claims of ours on lost tasks of which it is open what became of our calls.
    claims: Mutex<BTreeSet<QueueName>>,
    /// The last answer held more workers than are all asked for.
    crowded: AtomicBool,
}

impl Clearml {
    /// A client that has not called anyone yet.
    pub fn new(credentials: Credentials, clock: Clock) -> Result<Self, TrackerError> {
        let Credentials { server, console, agents, .. } = credentials;
        let http = session::http_client(&server)?;
        let ahead = Arc::<Ahead>::default();
        Ok(Self {
            console: Session::new(http.clone(), &server, console, clock, &ahead),
            agents: Session::new(http, &server, agents, clock, &ahead),
            server,
            clock,
            ahead,
            hidden: Mutex::default(),
            claims: Mutex::default(),
            crowded: AtomicBool::default(),
        })
    }

    async fn workers_where(&self, filter: serde_json::Value) -> Result<Vec<ObservedWorker>, TrackerError> {
        let answer: wire::Workers = self.console.call("workers.get_all", filter, Repeat::Safe).await?;
        Ok(wire::workers(answer))
    }

    async fn tasks_where(&self, filter: serde_json::Value) -> Result<Vec<TaskRecord>, TrackerError> {
        let fields = wire::TASK_FIELDS;
        let rows: Vec<wire::Task> = self.console.pages("tasks.get_all", "tasks", fields, filter).await?;
        Ok(rows.into_iter().map(TaskRecord::from).collect())
    }
}

#[async_trait]
impl Tracker for Clearml {
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError> {
        let fields = &["id", "name", "tags", "entries"];
        let rows: Vec<wire::Queue> = self.console.pages("queues.get_all", "queues", fields, json!({})).await?;
        Ok(rows.into_iter().map(ObservedQueue::from).collect())
    }

    async fn glance(&self, fleet: &FleetId) -> Result<Glance, TrackerError> {
        glance::glance(self, fleet).await
    }

    async fn workers(&self, fleet: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError> {
        let all = json!({ "last_seen": WORKER_LIFE.as_secs() });
        if self.crowded.load(Ordering::Relaxed) {
            let count: wire::Count = self.console.call("workers.get_count", all.clone(), Repeat::Safe).await?;
            if count.count > ALL_WORKERS {
                let ours = json!({ "last_seen": WORKER_LIFE.as_secs(), "worker_pattern": format!("{fleet}:*") });
                return self.workers_where(ours).await;
            }
        }
        let workers = self.workers_where(all).await?;
        self.crowded.store(workers.len() > ALL_WORKERS, Ordering::Relaxed);
        Ok(workers)
    }

    async fn tasks(&self, queues: &[QueueId], statuses: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError> {
        // An empty filter would be no filter.
        if queues.is_empty() || statuses.is_empty() {
            return Ok(Vec::new());
        }
        let statuses: Vec<&str> = statuses.iter().flat_map(|status| wire::status_words(*status)).copied().collect();
        let queues: Vec<&str> = queues.iter().map(QueueId::as_str).collect();
        self.tasks_where(json!({ "status": statuses, "execution.queue": queues, "search_hidden": true })).await
    }

    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError> {
        let mut found = BTreeMap::new();
        // An empty filter would be no filter; a chunk's answer is one page.
        for chunk in tasks.chunks(PAGE) {
            let ids: Vec<&str> = chunk.iter().map(TaskId::as_str).collect();
            let filter = json!({ "id": ids, "search_hidden": true });
            let fields = wire::FACT_FIELDS;
            let rows: Vec<wire::TaskState> = self.console.pages("tasks.get_all_ex", "tasks", fields, filter).await?;
            found.extend(rows.into_iter().map(wire::TaskState::into_pair));
        }
        Ok(found)
    }

    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        hidden::create(&self.console, &mailbox_queue(instance)).await.map(drop)
    }

    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        hold::delete(self, instance).await?;
        hidden::delete(self, &mailbox_queue(instance)).await
    }

    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        hidden::write(self, &mailbox_queue(instance), "want", &format!("drain:{nonce}")).await
    }

    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        hidden::write(self, &mailbox_queue(instance), "end", nonce).await
    }

    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        hidden::write(self, &mailbox_queue(instance), "want", "run").await
    }

    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError> {
        hold::place(self, instance, nonce).await
    }

    async fn end_holds(&self, instance: &InstanceId) -> Result<(), TrackerError> {
        hold::end(self, instance).await
    }

    async fn renew_lease(&self, fleet: &FleetId, value: &str) -> Result<(), TrackerError> {
        hidden::write(self, &lease_queue(fleet), "lease", value).await
    }

    async fn claims(&self, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError> {
        hidden::claims(&self.console, fleet).await
    }

    async fn claim(&self, fleet: &FleetId, term: Term) -> Result<bool, TrackerError> {
        let creation = hidden::create(&self.console, &leader_queue(fleet, term)).await?;
        Ok(matches!(creation, hidden::Creation::Created(_)))
    }

    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError> {
        hidden::write_all(&self.console, claim, &note.metadata()).await
    }

    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError> {
        hidden::all(&self.console).await
    }

    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError> {
        hidden::delete_by_id(&self.console, queue).await
    }

    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError> {
        requeue::requeue_lost(self, lost).await
    }

    async fn enqueue(&self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError> {
        requeue::enqueue_stray(self, task, queue).await
    }

    async fn queue_tasks(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError> {
        self.read_queue(queue).await
    }

    async fn task_deed(&self, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError> {
        self.do_with_task(queue, task, deed).await
    }

    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError> {
        self.read_task_log(task).await
    }

    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskRecord>, TrackerError> {
        let mut found = BTreeMap::new();
        // An empty filter would be no filter; a chunk's answer is one page.
        for chunk in tasks.chunks(PAGE) {
            let ids: Vec<&str> = chunk.iter().map(TaskId::as_str).collect();
            let rows = self.tasks_where(json!({ "id": ids, "search_hidden": true })).await?;
            found.extend(rows.into_iter().map(|task| (task.id.clone(), task)));
        }
        Ok(found)
    }

    async fn waiting_for_pods(&self, pending: &[QueueName]) -> Result<Vec<TaskRecord>, TrackerError> {
        pods::waiting(self, pending).await
    }

    async fn container(&self, task: &TaskId) -> Result<TaskContainer, TrackerError> {
        container::of(self, task).await
    }

    async fn take(&self, place: &PodPlace) -> Result<Taken, TrackerError> {
        pods::take(self, place).await
    }

    async fn put_back(
        &self,
        place: &PodPlace,
        started: Option<Timestamp>,
        give_up: Option<&str>,
    ) -> Result<Requeue, TrackerError> {
        pods::put_back(self, place, started, give_up).await
    }

    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError> {
        tell::waiting(self, queue, text, tasks).await
    }

    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError> {
        let body = json!({ "worker": worker.as_str() });
        self.agents.call::<wire::Nothing>("workers.unregister", body, Repeat::Safe).await.map(drop)
    }

    async fn mint_agent_token(&self, life: SignedDuration) -> Result<Secret, TrackerError> {
        let life = life.clamp(SignedDuration::from_mins(1), LONGEST_TOKEN);
        self.agents.login(Some(life)).await
    }

    fn clock_ahead(&self) -> Option<SignedDuration> {
        self.ahead.get()
    }

    fn api_server(&self) -> String {
        self.server.clone()
    }

    async fn check(&self) -> Result<String, TrackerError> {
        let info: wire::ServerInfo = self.console.call("server.info", json!({}), Repeat::Safe).await?;
        let (console, agents) = (self.console.who().await?, self.agents.who().await?);
        Ok(sentence(&self.server, &info, &console, &agents, self.console.identity().await.as_ref()))
    }
}

fn sentence(
    server: &str,
    info: &wire::ServerInfo,
    console: &wire::User,
    agents: &wire::User,
    identity: Option<&Identity>,
) -> String {
    let edition = match identity.and_then(|identity| identity.feature_set.as_deref()) {
        Some("basic") => "open source (feature set basic)".to_owned(),
        Some(other) => format!("feature set {other}"),
        None => "feature set unknown".to_owned(),
    };
    let version = info.version.as_deref().unwrap_or("of unknown version");
    let company = console.company.as_ref().and_then(|company| company.name.as_deref()).unwrap_or("unknown");
    let agents = if agents.id == console.id {
        format!("the agents are the same user, {}: give them one of their own", agents.name())
    } else {
        format!("the agents are {}", agents.name())
    };
    format!("{server}: ClearML {version}, {edition}; company {company}; we are {}; {agents}", console.name())
}

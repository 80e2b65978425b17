//! The face of a ClearML server. The comments are the contract; every implementation is held to them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::model::claim::{Claim, ClaimNote};
use crate::model::ids::{FleetId, InstanceId, QueueId, QueueName, TaskId, Term, WorkerId};
use crate::model::observed::{
    Glance, HiddenQueue, LostTask, ObservedQueue, ObservedWorker, TaskFacts, TaskRecord, TaskStatus,
};
use crate::model::tasks::{QueuedTask, TaskDeed};
use crate::world::secret::Secret;

/// A server that keeps queues, tasks and workers.
#[async_trait]
pub trait Tracker: Send + Sync {
    /// Every visible queue with its entries, all pages.
    async fn queues(&self) -> Result<Vec<ObservedQueue>, TrackerError>;

    /// The queues, who listens to them and what they run, and the drain mailboxes: one paged call.
    async fn glance(&self, fleet: &FleetId) -> Result<Glance, TrackerError>;

    /// Every worker that reported within ten minutes; above 500 workers only those of the fleet. One call up to there.
    async fn workers(&self, fleet: &FleetId) -> Result<Vec<ObservedWorker>, TrackerError>;

    /// Tasks of these queues (by `execution.queue`) that are in one of the statuses, all pages.
    async fn tasks(&self, queues: &[QueueId], statuses: &[TaskStatus]) -> Result<Vec<TaskRecord>, TrackerError>;

    /// What these tasks do and whose they are, whatever queue they are in; one that does not exist is not in the answer.
    async fn task_facts(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskFacts>, TrackerError>;

    /// Makes sure that the machine's mailbox exists; hidden from people's lists.
    async fn create_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError>;

    /// Removes the mailbox of a machine that is gone, and its hold tasks. One that does not exist is success.
    async fn delete_mailbox(&self, instance: &InstanceId) -> Result<(), TrackerError>;

    /// Writes `want = drain:<nonce>` into the machine's mailbox, creating it if need be.
    async fn order_drain(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError>;

    /// Writes `end = <nonce>` into the mailbox of a machine that has the order to drain of that nonce: its guard stops its
    /// tasks, which write what they have, and enqueues them again.
    async fn ask_end(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError>;

    /// Writes `want = run` into the machine's mailbox.
    async fn cancel_drain(&self, instance: &InstanceId) -> Result<(), TrackerError>;

    /// Puts a hold task for the drain of that nonce into the machine's own queue, which must exist: it sleeps for a
    /// quarter of an hour. One that waits there already is enough.
    async fn place_hold(&self, instance: &InstanceId, nonce: &str) -> Result<(), TrackerError>;

    /// Takes the machine's hold tasks that wait out of its queue, and asks those that run to stop. Who is about to start
    /// one does not hear it: repeat it until none is left.
    async fn end_holds(&self, instance: &InstanceId) -> Result<(), TrackerError>;

    /// Writes a new value into the fleet's lease, which every guard reads: the console lives.
    async fn renew_lease(&self, fleet: &FleetId, value: &str) -> Result<(), TrackerError>;

    /// Every claim on the fleet's lead, the highest term last.
    async fn claims(&self, fleet: &FleetId) -> Result<Vec<Claim>, TrackerError>;

    /// Claims the fleet's lead in this term. Of several consoles, at whatever time, exactly one is told `true`,
    /// unless the claim is removed in between.
    async fn claim(&self, fleet: &FleetId, term: Term) -> Result<bool, TrackerError>;

    /// Writes into a claim of ours. `false`: somebody has removed it.
    async fn write_claim(&self, claim: &QueueId, note: &ClaimNote) -> Result<bool, TrackerError>;

    /// Every hidden queue of ours: mailboxes, claims on tasks and on leads, leases, of every fleet.
    async fn hidden_queues(&self) -> Result<Vec<HiddenQueue>, TrackerError>;

    /// Removes a hidden queue. One that does not exist is success.
    async fn delete_hidden(&self, queue: &QueueId) -> Result<(), TrackerError>;

    /// Puts the task of a gone machine back into its queue, exactly once whoever else tries
    /// (GUARD.md section 5): re-reads it, claims it, stops it, enqueues it.
    async fn requeue_lost(&self, lost: &LostTask) -> Result<Requeue, TrackerError>;

    /// Puts a task that is queued by its status into its queue.
    async fn enqueue(&self, task: &TaskId, queue: &QueueId) -> Result<Requeue, TrackerError>;

    /// The tasks of a queue: those that wait in their order, those that run, those that stopped or failed within a day.
    async fn queue_tasks(&self, queue: &QueueId) -> Result<Vec<QueuedTask>, TrackerError>;

    /// Does something with a task of a queue; a task that does not wait there is neither moved nor taken out.
    async fn task_deed(&self, queue: &QueueId, task: &TaskId, deed: TaskDeed) -> Result<Requeue, TrackerError>;

    /// The newest lines of what a task wrote, the oldest first.
    async fn task_log(&self, task: &TaskId) -> Result<String, TrackerError>;

    /// These tasks as they are, whatever queue they are in; one that does not exist is not in the answer.
    async fn tasks_by_id(&self, tasks: &[TaskId]) -> Result<BTreeMap<TaskId, TaskRecord>, TrackerError> {
        Err(no_pods("tasks.get_all", tasks.first()))
    }

    /// Tasks that wait in these queues for their pods; a queue that does not exist has none.
    async fn waiting_for_pods(&self, _pending: &[QueueName]) -> Result<Vec<TaskRecord>, TrackerError> {
        Ok(Vec::new())
    }

    /// What a task says of the container that it is to run in; nothing where it says nothing.
    async fn container(&self, _task: &TaskId) -> Result<TaskContainer, TrackerError> {
        Ok(TaskContainer::default())
    }

    /// Takes a task that waits out of its queue, and puts it into the queue where tasks wait for their pods, which is made
    /// where it is missing. One that waits there already is taken.
    async fn take(&self, place: &PodPlace) -> Result<Taken, TrackerError> {
        Err(no_pods("queues.remove_task", Some(&place.task)))
    }

    /// Puts the task of a pod that is surely gone back at the front of its queue, or ends it, where `give_up` says why. Only a
    /// task that waits for its pod, or runs since `started`, is changed.
    async fn put_back(
        &self,
        place: &PodPlace,
        started: Option<Timestamp>,
        give_up: Option<&str>,
    ) -> Result<Requeue, TrackerError> {
        let _ = (started, give_up);
        Err(no_pods("tasks.enqueue", Some(&place.task)))
    }

    /// Writes into a queue's metadata why its tasks wait, and into the status messages of those of `tasks` that wait there still. An
    /// empty text says that none does. A queue that does not exist is success.
    async fn tell_waiting(&self, queue: &QueueId, text: &str, tasks: &[TaskId]) -> Result<(), TrackerError>;

    /// Removes a ghost's row, with the agents' credentials.
    async fn unregister(&self, worker: &WorkerId) -> Result<(), TrackerError>;

    /// A token of the agents' user that lives for `life`.
    async fn mint_agent_token(&self, life: SignedDuration) -> Result<Secret, TrackerError>;

    /// How far the server's clock is ahead of ours at least, by its last answers; negative: behind. `None`: nobody knows.
    fn clock_ahead(&self) -> Option<SignedDuration> {
        None
    }

    /// The server's address as the machines must use it.
    fn api_server(&self) -> String;

    /// Who we are there and what server it is, in one line; `check` shows it.
    async fn check(&self) -> Result<String, TrackerError>;
}

/// The container that a task asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskContainer {
    /// `None`: it names none.
    pub image: Option<String>,
    /// Names and values, in their order.
    pub environment: Vec<(String, String)>,
}

/// A task, and the two queues between which it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPlace {
    pub task: TaskId,
    /// Where it waited, and goes back to.
    pub queue: QueueId,
    /// Where it waits for its pod.
    pub pending: QueueName,
    /// The name of its Job.
    pub instance: InstanceId,
    /// What is written on it while it waits; see [`waits_reason`](crate::model::attempt::waits_reason).
    pub waits: String,
}

/// What became of an attempt to take a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Taken,
    /// It does not wait in its queue any more: nothing was changed.
    NotWaiting,
}

fn no_pods(endpoint: &str, task: Option<&TaskId>) -> TrackerError {
    let message = format!("this server knows no pods: {}", task.map(TaskId::as_str).unwrap_or_default());
    TrackerError::Unreadable { endpoint: endpoint.to_owned(), message }
}

/// What became of an attempt to change a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// The change was made.
    Enqueued,
    /// A lost task waits in its queue already, since its lost run: by a call of ours whose answer was lost, or by another's.
    Waits,
    /// Someone else did it, or the task went on: nothing was changed.
    NotNeeded,
    /// Another has claimed a lost task a moment ago, and may be about to put it back: nothing was changed, and the task may
    /// stand as it did. Ask again.
    Claimed,
}

/// A ClearML server's no, or its silence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackerError {
    #[error("{server} does not answer: {message}")]
    Unreachable { server: String, message: String },
    #[error("{server} refuses the credentials from {from}: {message}")]
    Credentials { server: String, from: String, message: String },
    /// The server understood and said no.
    #[error("{endpoint}: {message} (code {code}, subcode {subcode})")]
    Refused { endpoint: String, code: u16, subcode: u16, message: String },
    /// The answer is not what the API promises.
    #[error("{endpoint}: unreadable answer: {message}")]
    Unreadable { endpoint: String, message: String },
    #[error("{endpoint} did not answer in time")]
    Deadline { endpoint: String },
}

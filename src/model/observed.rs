//! What the sources said, before anything is concluded from it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::account::Owner;
use crate::model::attempt::Pod;
use crate::model::claim::ClaimId;
use crate::model::ids::{
    InstanceId, IntentId, MachineType, PoolName, QueueId, QueueName, Revision, TaskId, Term, WorkerId, WorkerName, Zone,
};
use crate::model::settings::{Market, Provider};

/// A queue as the ClearML server lists it; the hidden ones are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedQueue {
    pub id: QueueId,
    pub name: QueueName,
    pub tags: Vec<String>,
    /// In the order in which they will be pulled.
    pub entries: Vec<QueueEntry>,
}

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEntry {
    pub task: TaskId,
    pub added: Timestamp,
}

/// A worker as the ClearML server lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedWorker {
    pub id: WorkerId,
    pub queues: Vec<QueueId>,
    pub task: Option<ObservedTask>,
    pub registered: Timestamp,
    /// Absent in the seconds between registering and the first report.
    pub last_report: Option<Timestamp>,
}

/// What one call shows of a ClearML server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    pub queues: Vec<ObservedQueue>,
    /// Those that listen to any queue, hidden ones included; one for each user that calls a worker so.
    pub workers: Vec<GlancedWorker>,
    pub mailboxes: Vec<Mailbox>,
    /// The claim on the fleet's lead of the highest term.
    pub claim: Option<ClaimId>,
}

/// A worker as the queues list it: when it reported last is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlancedWorker {
    pub id: WorkerId,
    /// From which queue it came is not told.
    pub task: Option<ObservedTask>,
}

/// One row for each id, and the other rows of ids that have several: the server keeps one for each user that calls a
/// worker so. The one with a task counts, else the one that reported last.
#[must_use]
pub fn one_of_each(mut rows: Vec<ObservedWorker>) -> (Vec<ObservedWorker>, Vec<ObservedWorker>) {
    rows.sort_by(|a, b| {
        let rank = |worker: &ObservedWorker| (worker.task.is_some(), worker.last_report);
        a.id.cmp(&b.id).then_with(|| rank(b).cmp(&rank(a)))
    });
    let (mut one, mut doubles): (Vec<ObservedWorker>, Vec<ObservedWorker>) =
        (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let known = one.last().is_some_and(|last| last.id == row.id);
        if known { doubles.push(row) } else { one.push(row) }
    }
    (one, doubles)
}

/// The task that a worker says it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedTask {
    pub id: TaskId,
    pub name: String,
    pub queue: Option<QueueId>,
}

/// What a machine and the console say to each other in the metadata of `drain:<cloud id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    pub queue: QueueId,
    pub instance: InstanceId,
    pub created: Timestamp,
    /// `want`, `state`, `gone`, `requeue`, `boot`, `agents`, `log` and what later guards add.
    pub metadata: BTreeMap<String, String>,
}

impl Mailbox {
    /// The nonce of the drain that the machine has acknowledged.
    #[must_use]
    pub fn drained(&self) -> Option<&str> {
        self.metadata.get("state")?.strip_prefix("drained:")
    }

    /// Whether the machine says that its agent runs without a gate.
    #[must_use]
    pub fn has_no_gate(&self) -> bool {
        self.metadata.get("state").is_some_and(|state| state == "nogate")
    }

    /// The nonce of the drain that the machine has seen cancelled.
    #[must_use]
    pub fn running_again(&self) -> Option<&str> {
        self.metadata.get("state")?.strip_prefix("run:")
    }

    /// The tasks that the machine stopped for want of time and meant to enqueue again, one of each agent at most, and
    /// their queues.
    pub fn requeues(&self) -> impl Iterator<Item = (TaskId, QueueId)> {
        let said = self.metadata.get("requeue").map(String::as_str).unwrap_or_default();
        let pairs = said.split_whitespace().filter_map(|pair| pair.split_once(':'));
        let whole = pairs.filter(|(task, queue)| !task.is_empty() && !queue.is_empty());
        whole.map(|(task, queue)| (task.into(), queue.into()))
    }

    /// How many agents the machine runs; one with a single agent does not say so.
    #[must_use]
    pub fn agents(&self) -> Option<u32> {
        self.metadata.get("agents")?.parse().ok().filter(|agents| *agents > 0)
    }

    /// Whether the machine heard that the cloud takes it back.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.gone().is_some_and(|why| why.starts_with("spot"))
    }

    /// How far the machine's boot has come: the step, and the seconds that the machine was up then.
    #[must_use]
    pub fn boot(&self) -> Option<(&str, u32)> {
        let (step, seconds) = self.metadata.get("boot")?.rsplit_once(' ')?;
        Some((step, seconds.parse().ok()?))
    }

    /// The last lines of the log of an agent that could not start.
    #[must_use]
    pub fn log(&self) -> Option<&str> {
        self.metadata.get("log").map(|log| log.trim()).filter(|log| !log.is_empty())
    }

    /// Why the machine switched itself off.
    #[must_use]
    pub fn gone(&self) -> Option<&str> {
        self.metadata.get("gone").map(String::as_str).filter(|why| !why.is_empty())
    }
}

/// A task that may need care: running by its status, or queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    pub id: TaskId,
    pub name: String,
    pub status: TaskStatus,
    pub status_reason: String,
    pub status_changed: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub last_worker: Option<WorkerId>,
    /// `execution.queue`: stays set while the task runs and after.
    pub queue: Option<QueueId>,
}

/// What is asked of tasks by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    pub status: TaskStatus,
    pub owner: Owner,
    /// As people put them on it.
    pub tags: Vec<String>,
}

/// The statuses that the loop tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    Queued,
    InProgress,
    Stopped,
    /// Created, completed, failed, published: nothing for us to do.
    Other,
}

impl TaskStatus {
    /// What a task of this status is.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "waiting",
            Self::InProgress => "running",
            Self::Stopped => "stopped",
            Self::Other => "done or never enqueued",
        }
    }
}

/// The task of a machine that is confirmed gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTask {
    pub task: TaskId,
    pub queue: QueueId,
    /// Whose run it was, running by its status. `None`: the machine itself stopped the task, and did not come to enqueue
    /// it again; its mailbox says so.
    pub worker: Option<WorkerId>,
    pub instance: InstanceId,
    /// As last seen; another value means that someone else started it again.
    pub started: Option<Timestamp>,
}

impl LostTask {
    /// Whether the task's last run is the one that was lost.
    #[must_use]
    pub fn is_run(&self, last_worker: Option<&WorkerId>, started: Option<Timestamp>) -> bool {
        match &self.worker {
            Some(worker) => last_worker == Some(worker) && started == self.started,
            None => last_worker.and_then(WorkerName::parse).is_some_and(|name| name.instance == self.instance),
        }
    }
}

/// A machine as its cloud lists it, found by our fleet's tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudInstance {
    pub id: InstanceId,
    pub provider: Provider,
    pub region: String,
    pub machine_type: MachineType,
    pub zone: Option<Zone>,
    pub market: Market,
    pub state: CloudState,
    pub launched: Timestamp,
    /// When the terminate call was accepted, if the cloud says so.
    pub ended: Option<Timestamp>,
    /// The image that it was made of, where the cloud says so.
    pub image: Option<String>,
    /// The cloud's own words on why it ended.
    pub state_reason: Option<String>,
    pub tags: Tags,
    /// What it is where it is no machine but a pod.
    #[serde(default)]
    pub pod: Option<Pod>,
}

impl CloudInstance {
    /// Whether the cloud itself took it back.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        // EC2's `Server.SpotInstanceTermination`, Google's `compute.instances.preempted`, the condition of a pod.
        let of_cloud = |reason: &String| {
            ["Spot", "instances.preempted", "DisruptionTarget"].iter().any(|word| reason.contains(word))
        };
        self.state_reason.as_ref().is_some_and(of_cloud)
    }
}

/// The life of a machine in a cloud's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudState {
    Pending,
    Running,
    /// Shutting down to be terminated.
    ShuttingDown,
    Stopping,
    Stopped,
    Terminated,
}

/// What a launch call writes on a machine. Absent parts: the tag was removed or is from another version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tags {
    pub pool: Option<PoolName>,
    /// The home queue, so that a lost store loses no accounting.
    pub queue: Option<QueueName>,
    /// The launch intent: of a batch, with the machine's place in it.
    pub intent: Option<IntentId>,
    pub revision: Option<Revision>,
    pub term: Option<Term>,
    /// What it was made of; see [`fingerprint`](crate::model::settings::PoolSettings::fingerprint).
    pub settings: Option<String>,
    /// Another autoscaler made it, and a person gave it our tags.
    pub brought_over: bool,
}

/// A hidden queue: nobody's task waits there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenQueue {
    pub id: QueueId,
    pub name: QueueName,
    pub created: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_names_a_task_of_each_agent_at_most() {
        let said = |text: &str| {
            let metadata = [("requeue".to_owned(), text.to_owned())].into();
            let created = Timestamp::UNIX_EPOCH;
            let mailbox = Mailbox { queue: "m".into(), instance: "i".into(), created, metadata };
            mailbox.requeues().map(|(task, queue)| format!("{task} {queue}")).collect::<Vec<_>>()
        };
        assert_eq!(said("t1:q1"), ["t1 q1"]);
        assert_eq!(said("t1:q1 t2:q2"), ["t1 q1", "t2 q2"]);
        assert_eq!(said("t1: t2:q2 :q t3"), ["t2 q2"]);
        assert_eq!(said(""), Vec::<String>::new());
    }

    #[test]
    fn of_an_id_with_two_rows_the_busy_one_counts() {
        let row = |id: &str, task: Option<&str>, seconds: i64| ObservedWorker {
            id: id.into(),
            queues: Vec::new(),
            task: task.map(|id| ObservedTask { id: id.into(), name: String::new(), queue: None }),
            registered: Timestamp::UNIX_EPOCH,
            last_report: Timestamp::from_second(seconds).ok(),
        };
        let (one, doubles) =
            one_of_each(vec![row("b", None, 9), row("a", None, 5), row("b", Some("t"), 1), row("a", None, 7)]);
        assert_eq!(one, [row("a", None, 7), row("b", Some("t"), 1)]);
        assert_eq!(doubles, [row("a", None, 5), row("b", None, 9)]);
    }
}

//! One try at one task on a cluster: a Job that is made for it, and the pod of that Job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::account::Owner;
use crate::model::ids::{InstanceId, IntentId, PoolName, QueueName, TaskId};

/// A try at a task, from the decision until it is settled what became of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The name of its Job, which is the machine's id.
    pub instance: InstanceId,
    pub task: TaskId,
    /// The queue that the task waited in, and goes back to.
    pub queue: QueueName,
    /// Counted from 1 for each task.
    pub number: u32,
    pub pool: PoolName,
    /// `None`: its Job was found, and nobody remembers who decided it.
    pub intent: Option<IntentId>,
    pub owner: Owner,
    pub opened: Timestamp,
}

/// Longest name of a Job whose pods can be named after it.
const LONGEST_NAME: usize = 57;

impl Attempt {
    /// The name of the Job of a task's attempt; `None` where the task's id is none that a name can hold.
    #[must_use]
    pub fn name(task: &TaskId, number: u32) -> Option<InstanceId> {
        let name = format!("clearml-{task}-{number}");
        let may = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (!task.as_str().is_empty() && name.len() <= LONGEST_NAME && name.chars().all(may))
            .then(|| InstanceId::new(name))
    }

    /// Whether it is the name of a Job: no cloud calls a machine so.
    #[must_use]
    pub fn is_job(instance: &InstanceId) -> bool {
        let parts = instance.as_str().strip_prefix("clearml-").and_then(|rest| rest.rsplit_once('-'));
        parts.is_some_and(|(task, number)| {
            let is_hex = task.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            task.len() == 32 && is_hex && number.parse::<u32>().is_ok()
        })
    }

    /// The number in the name of a Job of this task.
    #[must_use]
    pub fn number_in(instance: &InstanceId, task: &TaskId) -> Option<u32> {
        instance.as_str().strip_prefix("clearml-")?.strip_prefix(task.as_str())?.strip_prefix('-')?.parse().ok()
    }
}

/// Why a task was stopped whose pod is gone; whoever reads it goes on from there.
#[must_use]
pub fn lost_reason(instance: &InstanceId) -> String {
    format!("pod {instance} lost")
}

/// A Job and its pod, as the cluster shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub task: TaskId,
    pub queue: QueueName,
    pub number: u32,
    /// Its Job waits for us: nothing of it runs before we let it.
    pub held: bool,
    pub state: PodState,
    /// One line of why, in the cluster's words.
    pub why: String,
}

impl Pod {
    /// As people read it: `node coming: gpu-pool 0->1 (max: 2)`.
    #[must_use]
    pub fn told(&self) -> String {
        let word = self.state.word();
        if self.why.is_empty() { word.to_owned() } else { format!("{word}: {}", self.why) }
    }
}

/// Where the pod of an attempt is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodState {
    /// Its Job waits for us.
    Held,
    /// A quota keeps the pod from being made.
    Quota,
    /// Something else does.
    NotMade,
    /// No node has room, and one is coming.
    NodeComing,
    /// No node has room, and none will come.
    NothingComes,
    /// No node has room, and nobody says that one comes.
    Unschedulable,
    /// Made; the scheduler has not looked yet.
    New,
    /// It has a node; its image is pulled.
    Scheduled,
    ImageError,
    ConfigError,
    Running,
    /// Its node does not answer.
    NodeLost,
    /// It is being taken off its node.
    Evicting,
    Succeeded,
    Failed,
    /// Taken off its node, for no fault of its own.
    Disrupted,
    /// Somebody deleted it.
    Deleted,
}

impl PodState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Quota => "quota wait",
            Self::NotMade => "no pod",
            Self::NodeComing => "node coming",
            Self::NothingComes => "nothing will come",
            Self::Unschedulable => "unschedulable",
            Self::New => "new",
            Self::Scheduled => "scheduled",
            Self::ImageError => "image error",
            Self::ConfigError => "config error",
            Self::Running => "running",
            Self::NodeLost => "node lost",
            Self::Evicting => "evicting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Disrupted => "disrupted",
            Self::Deleted => "deleted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_the_task_and_the_number_and_gives_it_back() {
        let task: TaskId = "9d1f0c2b3a4e5f60718293a4b5c6d7e8".into();
        let name = Attempt::name(&task, 12).unwrap();
        assert_eq!(name.as_str(), "clearml-9d1f0c2b3a4e5f60718293a4b5c6d7e8-12");
        assert_eq!(Attempt::number_in(&name, &task), Some(12));
        assert!(Attempt::is_job(&name) && !Attempt::is_job(&"clearml-worker-1".into()));
        assert_eq!(Attempt::number_in(&"clearml-x-1".into(), &task), None);
        for task in ["", "A", "a b", "a_b", "0123456789012345678901234567890123456789012345678901234"] {
            assert_eq!(Attempt::name(&task.into(), 1), None, "{task}");
        }
    }
}

//! One try at one task on a cluster: a Job that is made for it, and the pod of that Job.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::account::Owner;
use crate::model::ids::{FleetId, InstanceId, IntentId, PoolName, QueueId, QueueName, TaskId};

/// A try at a task, from the decision until it is settled what became of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The name of its Job, which is the machine's id.
    pub instance: InstanceId,
    pub task: TaskId,
    /// The queue that the task waited in, and goes back to.
    pub queue: QueueName,
    /// Its id, which it keeps when it is renamed; `None`: it was opened by a version that did not write this down.
    #[serde(default)]
    pub queue_id: Option<QueueId>,
    /// Where its task waits for its pod, whatever becomes of the setting; `None`: as above.
    #[serde(default)]
    pub pending: Option<QueueName>,
    /// Counted from 1 for each task.
    pub number: u32,
    pub pool: PoolName,
    /// Where its Job is, whatever becomes of its pool; `None`: it was opened by a version that did not write this down.
    #[serde(default)]
    pub site: Option<String>,
    /// `None`: its Job was found, and nobody remembers who decided it.
    pub intent: Option<IntentId>,
    pub owner: Owner,
    pub opened: Timestamp,
    /// Its task goes back to its queue, for the so-manieth time: that is decided, and counted, before it is done.
    #[serde(default)]
    pub goes_back: Option<u32>,
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

/// What is written on a task while it waits for its pod: whoever finds it there, and nothing of the pod, knows where it is
/// from.
#[must_use]
pub fn waits_reason(instance: &InstanceId, fleet: &FleetId, queue: &QueueName) -> String {
    format!("{WAITS}{instance} of fleet {fleet}/queue {queue}")
}

const WAITS: &str = "waits for pod ";

/// What [`waits_reason`] says.
#[must_use]
pub fn waits_for(reason: &str) -> Option<(InstanceId, FleetId, QueueName)> {
    let (instance, rest) = reason.strip_prefix(WAITS)?.split_once(" of fleet ")?;
    let (fleet, queue) = rest.split_once("/queue ")?;
    Some((InstanceId::new(instance), FleetId::new(fleet), QueueName::new(queue)))
}

/// A Job and its pod, as the cluster shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub task: TaskId,
    pub queue: QueueName,
    /// See [`Attempt::queue_id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<QueueId>,
    /// See [`Attempt::pending`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<QueueName>,
    pub number: u32,
    /// Its Job waits for us: nothing of it runs before we let it.
    pub held: bool,
    pub state: PodState,
    /// One line of why, in the cluster's words.
    pub why: String,
    /// Where it runs, or is to run.
    #[serde(default)]
    pub node: Option<String>,
    /// When its Job is over, whatever runs there; `None`: the Job has not begun.
    #[serde(default)]
    pub ends_by: Option<Timestamp>,
    /// What it asks of a node.
    #[serde(default)]
    pub asks: Asks,
    /// What happened to it, the oldest first.
    #[serde(default)]
    pub story: Vec<Told>,
}

/// What pods ask of a node, or a node has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asks {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    pub gpus: u32,
}

impl Asks {
    /// Which part of `room` it takes, in millionths: of what it takes most of. One that asks for nothing may use all, and so
    /// may one that asks for more than there is. `None`: nobody knows what there is.
    #[must_use]
    pub fn part_of(&self, room: &Self) -> Option<u64> {
        const WHOLE: u64 = 1_000_000;
        if *room == Self::default() {
            return None;
        }
        let part = |asked: u64, there: u64| match (asked, there) {
            (0, _) => 0,
            (_, 0) => WHOLE,
            (asked, there) => {
                let part = u128::from(asked) * u128::from(WHOLE) / u128::from(there);
                u64::try_from(part).unwrap_or(WHOLE).min(WHOLE)
            }
        };
        let parts = [
            part(self.cpu_millis, room.cpu_millis),
            part(self.memory, room.memory),
            part(self.gpus.into(), room.gpus.into()),
        ];
        let most = parts.into_iter().max().unwrap_or(WHOLE);
        Some(if most == 0 { WHOLE } else { most })
    }

    /// Whether all of it fits into what is there.
    #[must_use]
    pub fn fits(&self, room: &Self) -> bool {
        self.cpu_millis <= room.cpu_millis && self.memory <= room.memory && self.gpus <= room.gpus
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Told {
    pub at: Timestamp,
    /// Who says so: `scheduler`, `Job`, `ClearML`.
    pub by: String,
    /// In one line: `TriggeredScaleUp: gpu-pool 0->1 (max: 2)`.
    pub what: String,
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
    /// Whether it waits for something of the cluster's.
    #[must_use]
    pub fn waits(self) -> bool {
        match self {
            Self::Quota
            | Self::NotMade
            | Self::NodeComing
            | Self::NothingComes
            | Self::Unschedulable
            | Self::Scheduled
            | Self::ImageError
            | Self::ConfigError
            | Self::NodeLost
            | Self::Evicting => true,
            Self::Held
            | Self::New
            | Self::Running
            | Self::Succeeded
            | Self::Failed
            | Self::Disrupted
            | Self::Deleted => false,
        }
    }

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
    fn a_pod_takes_the_part_of_its_node_of_which_it_takes_most() {
        let asks = |cpu_millis, memory, gpus| Asks { cpu_millis, memory, gpus };
        let room = asks(4_000, 16 << 30, 2);
        for (asked, part) in [
            (asks(1_000, 1 << 30, 0), 250_000),
            (asks(1_000, 8 << 30, 0), 500_000),
            (asks(1_000, 0, 2), 1_000_000),
            (asks(0, 0, 0), 1_000_000),
            (asks(9_000, 0, 0), 1_000_000),
        ] {
            assert_eq!(asked.part_of(&room), Some(part), "{asked:?}");
        }
        assert_eq!(asks(1, 0, 0).part_of(&Asks::default()), None);
        assert_eq!(asks(0, 0, 1).part_of(&asks(4_000, 0, 0)), Some(1_000_000));
        assert!(asks(4_000, 0, 2).fits(&room) && !asks(4_001, 0, 0).fits(&room));
    }

    #[test]
    fn what_is_written_on_a_waiting_task_is_read_back() {
        let (instance, fleet, queue) = ("clearml-t-1".into(), "my lab".into(), "a / queue of fleet b/queue c".into());
        let reason = waits_reason(&instance, &fleet, &queue);
        assert_eq!(waits_for(&reason), Some((instance, fleet, queue)));
        for other in ["k8s pending scheduler", "", "waits for pod x"] {
            assert_eq!(waits_for(other), None, "{other}");
        }
    }

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

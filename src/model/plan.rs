//! What one pass of the loop decided, item by item.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::clear::ToClear;
use crate::model::course::{Courses, Lesson};
use crate::model::ids::{Actor, InstanceId, MachineType, PoolName, QueueName, Revision, TaskId, WorkerId, WorkerName};
use crate::model::instance::{DrainCause, Hold};
use crate::model::journal::Subject;
use crate::model::money::{Money, Rate};
use crate::model::reason::Reason;
use crate::model::settings::Market;
use crate::model::snapshot::Surplus;

/// The decisions of one pass. Everything wanted is in it: done or refused, each with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub at: Timestamp,
    pub revision: Revision,
    pub actions: Vec<Planned>,
    pub refusals: Vec<Refusal>,
    /// For each queue of the settings, in their order, what happens next and why.
    pub outlooks: Vec<Outlook>,
    /// Handed to the next pass's snapshot as it is. The levels of what this plan drains stand last: the next pass
    /// keeps as many, from the front, as machines are surplus then, whether the drains were carried out or not.
    pub surplus: Surplus,
    /// Handed to the next pass's snapshot as it is.
    #[serde(default)]
    pub courses: Courses,
    /// What the pass learned, to be remembered.
    #[serde(default)]
    pub lessons: Vec<Lesson>,
    /// When something is to be done though nothing changes: a keep-alive is over.
    #[serde(default)]
    pub due: Option<Timestamp>,
}

/// An action and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub rule: Rule,
    pub by: Actor,
    pub action: Action,
    pub reason: Reason,
}

/// Something wanted and not done, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub rule: Rule,
    pub by: Actor,
    pub queue: Option<QueueName>,
    pub pool: Option<PoolName>,
    pub instance: Option<InstanceId>,
    /// How many machines are still missing when every pool was asked; each refusal for the same want carries the
    /// same number. 0: another pool gave them, or no launch was refused.
    pub short_of: u32,
    pub reason: Reason,
}

/// What happens next on a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    pub queue: QueueName,
    pub waiting: u32,
    pub oldest: Option<Timestamp>,
    pub running: u32,
    pub idle: u32,
    /// Booting, pending and intended.
    pub starting: u32,
    pub draining: u32,
    pub faults: u32,
    /// Machines more that the waiting tasks need.
    pub need: u32,
    /// The deciding reason in the chain; `None`: nothing waits and nothing changes.
    pub next: Option<Reason>,
    /// What its waiting tasks will cost; `None`: nothing waits, or no price is known.
    #[serde(default)]
    pub to_clear: Option<ToClear>,
}

/// The rules, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    Sweep,
    /// A person asked.
    Person,
    Recover,
    Stuck,
    Silent,
    Demand,
    /// Machines that were made otherwise than one would be made now.
    Replace,
    Grow,
    /// Machines ahead of their tasks.
    Ahead,
    Warm,
    Shrink,
    /// A budget's own step.
    Budget,
    Drain,
    /// Machines that are switched off.
    Kept,
}

impl Rule {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Recover => "recover",
            Self::Stuck => "stuck",
            Self::Silent => "silent",
            Self::Sweep => "sweep",
            Self::Demand => "demand",
            Self::Replace => "replace",
            Self::Grow => "grow",
            Self::Ahead => "ahead",
            Self::Warm => "warm",
            Self::Shrink => "shrink",
            Self::Budget => "budget",
            Self::Drain => "drain",
            Self::Kept => "kept",
            Self::Person => "person",
        }
    }
}

/// One deed on the world or on the memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// One call, `count` machines, each with its own intent and reservation.
    Launch(Launch),
    Drain {
        instance: InstanceId,
        cause: DrainCause,
    },
    CancelDrain {
        instance: InstanceId,
    },
    /// Has a machine that drains end its tasks, which write what they have and go back to their queues.
    Checkpoint {
        instance: InstanceId,
    },
    /// Ends a machine that surely has no task, or that a person chose to kill.
    Stop {
        instance: InstanceId,
        kill: bool,
    },
    /// Switches a machine off that surely has no task, and keeps it.
    SwitchOff {
        instance: InstanceId,
    },
    /// Starts a machine that is off, as if it were launched.
    Start {
        instance: InstanceId,
        launch: Launch,
    },
    /// Takes a machine of our fleet that our store does not know into the ledger.
    Adopt {
        instance: InstanceId,
    },
    Hold {
        instance: InstanceId,
        hold: Hold,
    },
    Release {
        instance: InstanceId,
    },
    /// Marks a machine: it is drained once it is idle.
    Replace {
        instance: InstanceId,
    },
    /// Takes the mark off.
    LetBe {
        instance: InstanceId,
    },
    /// The task of a gone machine goes back to its queue, exactly once.
    Requeue {
        task: TaskId,
        queue: QueueName,
        /// `None`: the machine stopped the task itself and said so.
        worker: Option<WorkerId>,
        instance: InstanceId,
        started: Option<Timestamp>,
        attempt: u32,
    },
    /// A task that is queued by its status goes into its queue.
    Enqueue {
        task: TaskId,
        queue: QueueName,
    },
    Unregister {
        worker: WorkerId,
    },
}

impl Action {
    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Launch(launch) => {
                Subject { queue: Some(launch.queue.clone()), pool: Some(launch.pool.clone()), ..Subject::default() }
            }
            Self::Drain { instance, .. }
            | Self::CancelDrain { instance }
            | Self::Checkpoint { instance }
            | Self::Stop { instance, .. }
            | Self::SwitchOff { instance }
            | Self::Adopt { instance }
            | Self::Hold { instance, .. }
            | Self::Replace { instance }
            | Self::LetBe { instance }
            | Self::Release { instance } => Subject { instance: Some(instance.clone()), ..Subject::default() },
            Self::Start { instance, launch } => Subject {
                queue: Some(launch.queue.clone()),
                pool: Some(launch.pool.clone()),
                instance: Some(instance.clone()),
                ..Subject::default()
            },
            Self::Requeue { task, queue, instance, .. } => Subject {
                queue: Some(queue.clone()),
                instance: Some(instance.clone()),
                task: Some(task.clone()),
                ..Subject::default()
            },
            Self::Enqueue { task, queue } => {
                Subject { queue: Some(queue.clone()), task: Some(task.clone()), ..Subject::default() }
            }
            Self::Unregister { worker } => {
                Subject { instance: WorkerName::parse(worker).map(|name| name.instance), ..Subject::default() }
            }
        }
    }
}

/// As people read it: `launch 2 x g5.xlarge in a10g for train`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch(launch) => {
                write!(f, "launch {} x {}", launch.count, launch.machine_type)?;
                let others = launch.choices.iter().skip(1).map(|choice| choice.machine_type.as_str());
                let others: Vec<&str> = others.collect();
                if !others.is_empty() {
                    write!(f, " (or {})", others.join(", "))?;
                }
                write!(f, " in {} for {}", launch.pool, launch.queue)
            }
            Self::Drain { instance, .. } => write!(f, "drain {instance}"),
            Self::CancelDrain { instance } => write!(f, "cancel the drain of {instance}"),
            Self::Checkpoint { instance } => write!(f, "have {instance} checkpoint its task and end it"),
            Self::Stop { instance, kill: false } => write!(f, "stop {instance}"),
            Self::Stop { instance, kill: true } => write!(f, "kill {instance}"),
            Self::SwitchOff { instance } => write!(f, "switch {instance} off and keep it"),
            Self::Start { instance, launch } => write!(f, "start {instance} again for {}", launch.queue),
            Self::Adopt { instance } => write!(f, "adopt {instance}"),
            Self::Hold { instance, hold } => {
                write!(f, "hold {instance} until {}", hold.until.strftime("%Y-%m-%d %H:%MZ"))
            }
            Self::Release { instance } => write!(f, "release {instance}"),
            Self::Replace { instance } => write!(f, "replace {instance} when it is idle"),
            Self::LetBe { instance } => write!(f, "let {instance} be"),
            Self::Requeue { task, queue, .. } => write!(f, "enqueue task {task} again on {queue}"),
            Self::Enqueue { task, queue } => write!(f, "enqueue task {task} on {queue}"),
            Self::Unregister { worker } => write!(f, "unregister {worker}"),
        }
    }
}

/// Machines to start with one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub pool: PoolName,
    /// The home queue.
    pub queue: QueueName,
    pub machine_type: MachineType,
    pub market: Market,
    pub count: u32,
    /// What each machine holds, costs and sets aside; where the cloud chooses its type, the most of any choice.
    pub vcpu: u32,
    pub gpu: u32,
    pub rate: Option<Rate>,
    /// For each machine.
    pub reservation: Money,
    /// What the cloud chooses the type among, [`machine_type`](Self::machine_type) first. Empty: it has no choice.
    #[serde(default)]
    pub choices: Vec<Choice>,
}

/// A machine type that a launch may come to, and what a machine of it holds, costs and sets aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub machine_type: MachineType,
    pub vcpu: u32,
    pub gpu: u32,
    pub rate: Option<Rate>,
    pub reservation: Money,
}

impl Launch {
    /// Whether a machine of this type may come of it.
    #[must_use]
    pub fn may_be(&self, machine_type: &MachineType) -> bool {
        self.machine_type == *machine_type || self.choices.iter().any(|choice| choice.machine_type == *machine_type)
    }

    /// The launch as it is told of once the cloud has chosen this type. One that it was not given to choose keeps the
    /// figures that were held to limits and budgets.
    #[must_use]
    pub fn come_to(&self, machine_type: &MachineType) -> Self {
        let mut launch = Self { machine_type: machine_type.clone(), choices: Vec::new(), ..self.clone() };
        if let Some(choice) = self.choices.iter().find(|choice| choice.machine_type == *machine_type) {
            (launch.vcpu, launch.gpu) = (choice.vcpu, choice.gpu);
            (launch.rate, launch.reservation) = (choice.rate, choice.reservation);
        }
        launch
    }
}

//! Deeds that are asked about first, as data, and what each would do, in words made from the newest view.

use jiff::Timestamp;

use super::consequence::{self, Question};
use super::edits::{Undone, Whole};
use super::several;
use crate::engine::command::{Command, Edit};
use crate::engine::event::View;
use crate::model::breaker::Reset;
use crate::model::ids::{Actor, InstanceId, PoolName, QueueName, Revision};
use crate::model::instance::{Hold, Instance};
use crate::model::settings::OnExit;
use crate::model::snapshot::Ask;
use crate::model::tasks::{NamedTask, TaskDeed};
use crate::tui::commands::Keymap;
use crate::tui::state::{Draft, Undo};

/// Something that a person may order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    Drain(InstanceId),
    /// Those of them that are idle still.
    DrainAll(Vec<InstanceId>),
    /// Those of them that can be drained, whatever they do.
    DrainThese(Vec<InstanceId>),
    CancelDrain(InstanceId),
    CancelAll(Vec<InstanceId>),
    /// Ends a machine that surely has no task.
    Stop(InstanceId),
    /// Ends them; those with `true` with the task that they have or may have.
    StopThese(Vec<(InstanceId, bool)>),
    /// Ends a machine with the task that it has or may have.
    Kill(InstanceId),
    Hold {
        machines: Vec<InstanceId>,
        hold: Hold,
    },
    Release(Vec<InstanceId>),
    /// Drains each once it is idle.
    Replace(Vec<InstanceId>),
    LetBe(Vec<InstanceId>),
    Launch {
        pool: PoolName,
        queue: QueueName,
    },
    Pause,
    Resume,
    Arm,
    Disarm,
    StopAll,
    Set {
        edits: Vec<Edit>,
        /// What would set them back.
        back: Vec<Edit>,
        seen: Option<Revision>,
    },
    /// Edits that are taken back.
    TakeBack {
        undone: Undone,
        seen: Option<Revision>,
    },
    /// The settings as a whole text.
    Write(Box<Whole>),
    ResetBackOff(Reset),
    Tasks {
        queue: QueueName,
        tasks: Vec<NamedTask>,
        deed: TaskDeed,
    },
    /// Ends the loop and the program; `None`: by `loop.on_exit`.
    Quit(Option<OnExit>),
    /// Leaves a screen whose loop runs elsewhere, or has died.
    Detach,
    /// Stops the whole program, the loop with it, until it is continued.
    Suspend,
}

impl Deed {
    /// What it would do, by the newest view; `Err`: it cannot be done any more, and why.
    pub(crate) fn question(&self, view: &View, keys: &Keymap, now: Timestamp) -> Result<Question, String> {
        consequence::of(self, view, keys, now)
    }

    /// With only those machines that its question names: what a person agrees to is what the newest view shows.
    pub(crate) fn as_seen(&self, view: &View, now: Timestamp) -> Self {
        match self {
            Self::DrainAll(ids) => Self::DrainAll(several::idle_of(ids, view, now).into_iter().map(id).collect()),
            Self::CancelAll(ids) => Self::CancelAll(several::open_of(ids, view).into_iter().map(id).collect()),
            Self::DrainThese(ids) => {
                Self::DrainThese(several::drainable_of(ids, view, now).into_iter().map(id).collect())
            }
            Self::StopThese(machines) => Self::StopThese(several::fates_of(machines, view)),
            Self::Hold { machines, hold } => {
                Self::Hold { machines: several::left_of(machines, view), hold: hold.clone() }
            }
            Self::Release(machines) => Self::Release(several::left_of(machines, view)),
            Self::Replace(machines) => Self::Replace(several::left_of(machines, view)),
            Self::LetBe(machines) => Self::LetBe(several::left_of(machines, view)),
            other => other.clone(),
        }
    }

    /// What the loop is told; `None` where the screen itself acts.
    pub(crate) fn command(&self) -> Option<Command> {
        let ask = match self {
            Self::Drain(instance) => Ask::Drain(instance.clone()),
            Self::CancelDrain(instance) => Ask::CancelDrain(instance.clone()),
            Self::DrainAll(machines) | Self::DrainThese(machines) => {
                return Some(Command::Ask(machines.iter().cloned().map(Ask::Drain).collect()));
            }
            Self::CancelAll(machines) => {
                return Some(Command::Ask(machines.iter().cloned().map(Ask::CancelDrain).collect()));
            }
            Self::StopThese(machines) => {
                let stop =
                    |(instance, kill): &(InstanceId, bool)| Ask::Stop { instance: instance.clone(), kill: *kill };
                return Some(Command::Ask(machines.iter().map(stop).collect()));
            }
            Self::Stop(instance) => Ask::Stop { instance: instance.clone(), kill: false },
            Self::Kill(instance) => Ask::Stop { instance: instance.clone(), kill: true },
            Self::Hold { machines, hold } => {
                let ask = |instance: &InstanceId| Ask::Hold { instance: instance.clone(), hold: hold.clone() };
                return Some(Command::Ask(machines.iter().map(ask).collect()));
            }
            Self::Release(machines) => {
                return Some(Command::Ask(machines.iter().cloned().map(Ask::Release).collect()));
            }
            Self::Replace(machines) => {
                return Some(Command::Ask(machines.iter().cloned().map(Ask::Replace).collect()));
            }
            Self::LetBe(machines) => {
                return Some(Command::Ask(machines.iter().cloned().map(Ask::LetBe).collect()));
            }
            Self::Launch { pool, queue } => Ask::Launch { pool: pool.clone(), queue: queue.clone() },
            Self::StopAll => Ask::StopAll,
            Self::Pause => return Some(Command::Pause),
            Self::Resume => return Some(Command::Resume),
            Self::Arm => return Some(Command::Arm),
            Self::Disarm => return Some(Command::Disarm),
            Self::Set { edits, seen, .. } => {
                return Some(Command::Set { edits: edits.clone(), seen: seen.clone() });
            }
            Self::TakeBack { undone, seen } => {
                return Some(Command::Set { edits: undone.back.clone(), seen: seen.clone() });
            }
            Self::Write(whole) => {
                let Draft { was, text } = whole.draft.clone();
                return Some(Command::Write { text, was });
            }
            Self::Tasks { queue, tasks, deed } => {
                return Some(Command::TaskDeed { queue: queue.clone(), tasks: tasks.clone(), deed: *deed });
            }
            Self::ResetBackOff(what) => return Some(Command::ResetBackOff(what.clone())),
            Self::Quit(on_exit) => return Some(Command::Quit { on_exit: *on_exit }),
            Self::Detach | Self::Suspend => return None,
        };
        Some(Command::Ask(vec![ask]))
    }

    /// How it is taken back once it is done.
    pub(crate) fn undo(&self) -> Option<Undo> {
        match self {
            Self::Drain(instance) => Some(Undo::Drain(vec![instance.clone()])),
            Self::DrainAll(machines) | Self::DrainThese(machines) => Some(Undo::Drain(machines.clone())),
            Self::Tasks { queue, tasks, deed: TaskDeed::TakeOut } => Some(Undo::Tasks(queue.clone(), tasks.clone())),
            Self::Set { edits, back, .. } => Some(Undo::Edits { back: back.clone(), done: edits.clone() }),
            _ => None,
        }
    }

    /// As it is told afterwards.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Drain(instance) => format!("drain {instance}"),
            Self::DrainAll(machines) => format!("drain {} idle machines", machines.len()),
            Self::DrainThese(machines) => format!("drain {} machines", machines.len()),
            Self::StopThese(machines) => format!("stop {} machines", machines.len()),
            Self::CancelDrain(instance) => format!("cancel the drain of {instance}"),
            Self::CancelAll(machines) => format!("cancel the drain of {} machines", machines.len()),
            Self::Stop(instance) => format!("stop {instance}"),
            Self::Kill(instance) => format!("kill {instance}"),
            Self::Hold { machines, .. } => format!("hold {}", several::called(machines)),
            Self::Release(machines) => format!("release {}", several::called(machines)),
            Self::Replace(machines) => {
                let it = if machines.len() == 1 { "it is idle" } else { "each is idle" };
                format!("replace {} when {it}", several::called(machines))
            }
            Self::LetBe(machines) => format!("let {} be", several::called(machines)),
            Self::Launch { pool, queue } => format!("launch one in {pool} for {queue}"),
            Self::Pause => "pause".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::Arm => "arm".to_owned(),
            Self::Disarm => "disarm".to_owned(),
            Self::StopAll => "emergency stop".to_owned(),
            Self::Set { edits, .. } => in_words(edits),
            Self::TakeBack { undone, .. } => in_words(&undone.back),
            Self::Write(_) => "write the settings".to_owned(),
            Self::Tasks { queue, tasks, deed } => {
                let (verb, place) = deed.words();
                let what = match tasks.as_slice() {
                    [one] => one.name.clone(),
                    several => format!("{} tasks", several.len()),
                };
                format!("{verb} {what} {place} {queue}")
            }
            Self::ResetBackOff(what) => format!("try {what} again"),
            Self::Quit(_) => "quit".to_owned(),
            Self::Detach => "leave".to_owned(),
            Self::Suspend => "suspend".to_owned(),
        }
    }

    /// Whether it is an order to the loop that acts on the fleet, rather than to the screen.
    pub(crate) fn is_order(&self) -> bool {
        !matches!(self, Self::Quit(_) | Self::Detach | Self::Suspend)
    }

    /// Whether it goes to all that are marked.
    pub(crate) fn is_for_marked(&self) -> bool {
        let asked = matches!(self, Self::Tasks { deed: TaskDeed::TakeOut | TaskDeed::PutIn, .. });
        let machines = matches!(self, Self::DrainThese(_) | Self::StopThese(_) | Self::CancelAll(_));
        let notes = matches!(self, Self::Hold { .. } | Self::Release(_) | Self::Replace(_) | Self::LetBe(_));
        asked || machines || notes
    }

    pub(crate) fn hold(machines: Vec<InstanceId>, until: Timestamp, by: Actor, why: String) -> Self {
        Self::Hold { machines, hold: Hold { until, by, why } }
    }
}

fn id(machine: &Instance) -> InstanceId {
    machine.id.clone()
}

/// `set queue.train.max = 3, unset limits.max`
pub(crate) fn in_words(edits: &[Edit]) -> String {
    let words: Vec<_> = edits
        .iter()
        .map(|edit| match &edit.value {
            Some(value) => format!("set {} = {value}", edit.key),
            None => format!("unset {}", edit.key),
        })
        .collect();
    words.join(", ")
}

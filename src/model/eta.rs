//! When a machine is likely done with its task, by how long its queue's tasks took.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::model::ids::QueueName;
use crate::model::instance::{Instance, RunningTask};
use crate::model::record::Learned;
use crate::model::settings::Settings;
use crate::model::span::Short;

/// How much longer a task is likely to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eta {
    pub left: SignedDuration,
    pub by: Basis,
}

/// What an [`Eta`] rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Half of so many tasks of its queue that ran at least as long as this one were done then.
    Half { of: usize },
    /// Too few of them: what the settings expect of this queue.
    Expected(QueueName),
}

impl Eta {
    /// Of the task that a machine runs, of several the one with the longest to go; `None`: it shows none, or one of them
    /// runs longer than anything that is known.
    #[must_use]
    pub fn of(instance: &Instance, learned: &Learned, settings: &Settings, now: Timestamp) -> Option<Self> {
        let each: Option<Vec<Self>> =
            instance.tasks().map(|task| Self::of_task(task, instance, learned, settings, now)).collect();
        each?.into_iter().max_by_key(|eta| eta.left)
    }

    fn of_task(
        task: &RunningTask,
        instance: &Instance,
        learned: &Learned,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Self> {
        let queue = task.queue.as_ref().unwrap_or(&instance.home);
        let runs = now.duration_since(task.since).max(SignedDuration::ZERO);
        if let Some((left, of)) = learned.tasks.get(queue).and_then(|samples| samples.left_after(runs)) {
            return Some(Self { left, by: Basis::Half { of } });
        }
        let left = settings.queue(queue)?.expected_task.checked_sub(runs)?;
        (left > SignedDuration::ZERO).then(|| Self { left, by: Basis::Expected(queue.clone()) })
    }

    /// Of a machine that is being drained and has not answered yet.
    #[must_use]
    pub fn of_drain(instance: &Instance, learned: &Learned, settings: &Settings, now: Timestamp) -> Option<Self> {
        let drain = instance.drain.as_ref().filter(|drain| !drain.cancelled && drain.acknowledged.is_none());
        drain.and_then(|_| Self::of(instance, learned, settings, now))
    }
}

/// `about 12m03 (p50 of 34 tasks)`
impl fmt::Display for Eta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} ({})", Short(self.left), self.by)
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Half { of } => write!(f, "p50 of {of} tasks"),
            Self::Expected(queue) => write!(f, "queue.{queue}.expected_task"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::view;
    use crate::model::record::Samples;

    fn told(samples: &[i64], ran: i64) -> Option<String> {
        let view = view();
        let mut machine = view.snapshot.instances[0].clone();
        machine.task.as_mut().unwrap().since = view.at - SignedDuration::from_secs(ran);
        let samples: Vec<_> = samples.iter().map(|seconds| SignedDuration::from_secs(*seconds)).collect();
        let learned = Learned { tasks: [("train".into(), Samples::from(samples))].into(), ..Learned::default() };
        Eta::of(&machine, &learned, &view.settings, view.at).map(|eta| eta.to_string())
    }

    #[test]
    fn what_runs_longer_has_longer_to_go() {
        for (samples, ran, said) in [
            (&[600, 700, 800, 900, 4_000][..], 100, Some("about 11m40 (p50 of 5 tasks)")),
            (&[600, 700, 800, 900, 4_000], 750, Some("about 2m30 (p50 of 3 tasks)")),
            // Two are too few, and the settings expect an hour.
            (&[600, 700, 800, 900, 4_000], 850, Some("about 45m50 (queue.train.expected_task)")),
            (&[], 850, Some("about 45m50 (queue.train.expected_task)")),
            (&[], 3_600, None),
        ] {
            assert_eq!(told(samples, ran).as_deref(), said, "{samples:?} after {ran} s");
        }
    }

    #[test]
    fn of_several_tasks_it_is_of_the_one_with_the_longest_to_go() {
        let view = view();
        let mut machine = view.snapshot.instances[0].clone();
        let first = machine.task.clone().unwrap();
        let with = |machine: &mut Instance, ran: i64| {
            let since = view.at - SignedDuration::from_secs(ran);
            machine.more_tasks.push(RunningTask { id: "t-2".into(), since, ..first.clone() });
            Eta::of(machine, &Learned::default(), &view.settings, view.at).map(|eta| eta.left.as_secs())
        };
        assert_eq!(with(&mut machine, 600), Some(3_000));
        assert_eq!(with(&mut machine, 60), Some(3_540));
        assert_eq!(with(&mut machine, 4_000), None, "nobody knows how long that one will run");
    }

    #[test]
    fn a_drain_has_one_until_it_is_answered_or_taken_back() {
        let view = view();
        let mut machine = view.snapshot.instances[0].clone();
        let eta = |machine: &Instance| Eta::of_drain(machine, &Learned::default(), &view.settings, view.at);
        assert_eq!(eta(&machine), None);
        let mut drain = view.snapshot.instances[3].drain.clone().unwrap();
        drain.acknowledged = None;
        machine.drain = Some(drain.clone());
        assert!(eta(&machine).is_some());
        machine.drain.as_mut().unwrap().cancelled = true;
        assert_eq!(eta(&machine), None);
        drain.acknowledged = Some(view.at);
        machine.drain = Some(drain);
        assert_eq!(eta(&machine), None);
    }
}

//! How far a drain has come: since when it lasts, what it waits for, how long that is likely to take, and by when the machine
//! ends whatever runs on it.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::model::eta::Eta;
use crate::model::ids::BudgetName;
use crate::model::instance::{Drain, DrainCause, Instance, Phase};
use crate::model::record::Learned;
use crate::model::settings::Settings;
use crate::model::settings::ladder::CHECKPOINT_TAKES;
use crate::model::span::Short;

/// A drain that stands, or was taken back and may not be read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// When it was ordered.
    pub since: Timestamp,
    pub waits: Waits,
    /// `None`: it waits for no task, or nobody can tell how long that one will run.
    pub left: Option<Eta>,
    /// `None`: nothing ends the machine before it is done.
    pub deadline: Option<Deadline>,
}

/// What a drain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// So many tasks, to their own end.
    Tasks(usize),
    /// So many tasks, which were asked to write what they have and to go back to their queues.
    Checkpoint(usize),
    /// The answer of its agent, which reads its orders before it takes a task.
    Answer,
    /// An answer of one that is silent, since then.
    Silent(Timestamp),
    /// It has answered: the loop ends it.
    Stop,
    /// It was told to end: its cloud.
    Cloud,
    /// It was taken back: its agent, to read that.
    TakenBack,
}

/// When a machine ends, drained or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    pub at: Timestamp,
    pub by: EndedBy,
}

/// Who ends it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedBy {
    /// The `kill` step of a budget.
    Budget(BudgetName),
    /// The machine itself.
    MaxLife,
}

/// A budget's `kill` step that stands over a machine: so long after the order its task is asked to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill<'a> {
    pub budget: &'a BudgetName,
    pub after: SignedDuration,
}

impl Progress {
    /// `None`: the machine is not drained, or there is none any more.
    #[must_use]
    pub fn of(
        instance: &Instance,
        learned: &Learned,
        settings: &Settings,
        kill: Option<&Kill<'_>>,
        now: Timestamp,
    ) -> Option<Self> {
        let drain = instance.drain.as_ref().filter(|_| instance.counts())?;
        let waits = waits(instance, drain);
        let waits_for_tasks = matches!(waits, Waits::Tasks(_) | Waits::Checkpoint(_));
        let left = waits_for_tasks.then(|| Eta::of(instance, learned, settings, now)).flatten();
        let by_budget = kill.and_then(|kill| killed(instance, drain, kill));
        let by_itself = Deadline::of_life(instance);
        let ends = !matches!(waits, Waits::Stop | Waits::Cloud);
        let deadline = by_budget.into_iter().chain(by_itself).filter(|_| ends).min_by_key(|deadline| deadline.at);
        Some(Self { since: drain.ordered, waits, left, deadline })
    }

    /// How much of it is over, of a hundred and never all; `None`: nobody can tell how long it will take.
    #[must_use]
    pub fn percent(&self, now: Timestamp) -> Option<u8> {
        let over = now.duration_since(self.since).max(SignedDuration::ZERO).as_secs();
        let left = self.left.as_ref()?.left.as_secs().max(0);
        let percent = over.saturating_mul(100).checked_div(over.saturating_add(left).max(1))?;
        u8::try_from(percent.clamp(0, 99)).ok()
    }

    /// In a few words, the most telling first: `11m40 left (62%)`. `None`: what is known of it stands in other words.
    #[must_use]
    pub fn in_short(&self, now: Timestamp) -> Option<String> {
        let left = self.left.as_ref()?;
        Some(format!("{} left ({}%)", Short(left.left), self.percent(now)?))
    }
}

fn waits(instance: &Instance, drain: &Drain) -> Waits {
    let tasks = instance.tasks().count();
    match (instance.phase, drain.acknowledged, instance.silent_since) {
        (Phase::Stopping, ..) => Waits::Cloud,
        _ if drain.cancelled => Waits::TakenBack,
        // The worker's word that it has a task counts more than an answer.
        (_, Some(_), _) if tasks == 0 => Waits::Stop,
        _ if tasks > 0 && drain.end_asked.is_some() => Waits::Checkpoint(tasks),
        _ if tasks > 0 => Waits::Tasks(tasks),
        (_, _, Some(since)) => Waits::Silent(since),
        _ => Waits::Answer,
    }
}

/// When a `kill` step ends it: only of a drain that the budget ordered the grace runs.
fn killed(instance: &Instance, drain: &Drain, kill: &Kill<'_>) -> Option<Deadline> {
    let ordered = drain.cause == DrainCause::Budget && !drain.cancelled && drain.acknowledged.is_none();
    let over = drain.ordered.saturating_add(kill.after).unwrap_or(Timestamp::MAX);
    // One that never registered has no task that could write anything.
    let takes = if instance.registered { CHECKPOINT_TAKES } else { SignedDuration::ZERO };
    let at = drain.end_asked.unwrap_or(over).saturating_add(takes).unwrap_or(Timestamp::MAX);
    ordered.then(|| Deadline { at, by: EndedBy::Budget(kill.budget.clone()) })
}

impl Deadline {
    /// When its own clock ends it; `None`: nothing on it does, as far as is known.
    #[must_use]
    pub fn of_life(instance: &Instance) -> Option<Self> {
        instance.ends_by.map(|at| Self { at, by: EndedBy::MaxLife })
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(name) => write!(f, "the kill step of budget \"{name}\""),
            Self::MaxLife => f.write_str("its max_life"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::View;
    use crate::example::view;
    use crate::model::instance::RunningTask;

    fn after(view: &View, minutes: i64) -> Timestamp {
        view.at + SignedDuration::from_mins(minutes)
    }

    /// The machine of the example that has a task, drained for ten minutes.
    fn drained(change: impl FnOnce(&mut Instance, &mut Drain)) -> (View, Instance) {
        let view = view();
        let mut machine = view.snapshot.instances[0].clone();
        let mut drain = view.snapshot.instances[3].drain.clone().unwrap();
        (drain.ordered, drain.acknowledged) = (after(&view, -10), None);
        machine.phase = Phase::Draining;
        machine.task.as_mut().unwrap().since = after(&view, -20);
        change(&mut machine, &mut drain);
        machine.drain = Some(drain);
        (view, machine)
    }

    fn of(view: &View, machine: &Instance, kill: Option<&Kill<'_>>) -> Option<Progress> {
        Progress::of(machine, &Learned::default(), &view.settings, kill, view.at)
    }

    #[test]
    fn it_says_how_much_is_over_and_when_the_machine_ends_whatever_runs_there() {
        let (view, mut machine) = drained(|_, _| {});
        machine.ends_by = Some(after(&view, 90));
        let progress = of(&view, &machine, None).unwrap();
        // The queue's tasks are expected to take an hour, and this one began 20 minutes ago.
        assert_eq!((progress.waits, progress.percent(view.at)), (Waits::Tasks(1), Some(20)));
        assert_eq!(progress.in_short(view.at).as_deref(), Some("40m00 left (20%)"));
        assert_eq!(progress.deadline, Some(Deadline { at: after(&view, 90), by: EndedBy::MaxLife }));
        machine.task.as_mut().unwrap().since = after(&view, -61);
        let longer = of(&view, &machine, None).unwrap();
        assert_eq!((longer.percent(view.at), longer.in_short(view.at)), (None, None), "longer than anything known");
    }

    #[test]
    fn a_budgets_grace_runs_from_its_own_order_and_then_from_the_wish_to_end() {
        let budget = "team".into();
        let kill = Kill { budget: &budget, after: SignedDuration::from_mins(30) };
        let at = |change: fn(&mut Instance, &mut Drain)| {
            let (view, mut machine) = drained(change);
            machine.ends_by = Some(after(&view, 60));
            let deadline = of(&view, &machine, Some(&kill)).unwrap().deadline.unwrap();
            (deadline.at.duration_since(view.at).as_secs() / 60, deadline.by)
        };
        let by_budget = || EndedBy::Budget("team".into());
        assert_eq!(at(|_, drain| drain.cause = DrainCause::Budget), (25, by_budget()));
        let asked = |_: &mut Instance, drain: &mut Drain| {
            (drain.cause, drain.end_asked) = (DrainCause::Budget, Some(drain.ordered + SignedDuration::from_mins(8)));
        };
        assert_eq!(at(asked), (3, by_budget()));
        assert_eq!(at(|_, drain| drain.cause = DrainCause::Person), (60, EndedBy::MaxLife));
    }

    #[test]
    fn what_it_waits_for_follows_what_is_known_of_the_machine() {
        let waits = |change: fn(&mut Instance, &mut Drain)| {
            let (view, machine) = drained(change);
            of(&view, &machine, None).map(|progress| progress.waits)
        };
        let more = |machine: &mut Instance, _: &mut Drain| {
            let second = RunningTask { id: "t-2".into(), ..machine.task.clone().unwrap() };
            machine.more_tasks.push(second);
        };
        assert_eq!(waits(more), Some(Waits::Tasks(2)));
        assert_eq!(waits(|_, drain| drain.end_asked = Some(drain.ordered)), Some(Waits::Checkpoint(1)));
        assert_eq!(waits(|machine, _| machine.task = None), Some(Waits::Answer));
        let silent = |machine: &mut Instance, drain: &mut Drain| {
            (machine.task, machine.silent_since) = (None, Some(drain.ordered));
        };
        assert!(matches!(waits(silent), Some(Waits::Silent(_))));
        let answered = |machine: &mut Instance, drain: &mut Drain| {
            (machine.task, drain.acknowledged) = (None, Some(drain.ordered));
        };
        assert_eq!(waits(answered), Some(Waits::Stop));
        assert_eq!(waits(|_, drain| drain.acknowledged = Some(drain.ordered)), Some(Waits::Tasks(1)));
        assert_eq!(waits(|_, drain| drain.cancelled = true), Some(Waits::TakenBack));
        assert_eq!(waits(|machine, _| machine.phase = Phase::Stopping), Some(Waits::Cloud));
        assert_eq!(waits(|machine, _| machine.phase = Phase::Gone), None);
    }
}

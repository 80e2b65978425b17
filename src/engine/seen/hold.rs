//! Drains by a hold task, where no gate answers: a hidden task that sleeps in a queue that only this machine asks, and
//! asks first. While it is in progress there the agent runs nothing else, and takes nothing else (GUARD.md section 3).
//! Pure.

use jiff::{SignedDuration, Timestamp};

use crate::engine::seen::facts::Facts;
use crate::engine::seen::sight::{Sights, is_fresh};
use crate::model::ids::{WorkerId, WorkerName};
use crate::model::instance::Drain;
use crate::model::observed::{Mailbox, ObservedWorker, TaskRecord, TaskStatus};
use crate::model::record::KnownInstance;
use crate::model::settings::{GuardKind, Settings};

/// A gate reads its mailbox every 15 s: one that says nothing for so long, on an idle machine, is none.
const SILENT_GATE: SignedDuration = SignedDuration::from_secs(60);

/// A hold task sleeps for a quarter of an hour. It proves nothing for the last third of that: a stop that is decided by it
/// must have reached the cloud, and been carried out, before it wakes.
const PROVES_FOR: SignedDuration = SignedDuration::from_mins(10);

/// An idle agent takes the task within seconds. One that waits for so long was lost on its way, as agents lose tasks
/// (GUARD.md section 4).
const TAKEN_WITHIN: SignedDuration = SignedDuration::from_secs(90);

/// A cancelled drain is over when at so many looks no hold task was left: an agent that was about to start one says that
/// it runs, whatever it was told before (GUARD.md section 4).
pub(in crate::engine) const RELEASED_LOOKS: u32 = 2;

/// What is known of one machine that drains.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Held<'a> {
    known: &'a KnownInstance,
    drain: &'a Drain,
    facts: &'a Facts,
    settings: &'a Settings,
}

impl<'a> Held<'a> {
    /// A machine in its drain; `None`: it has none.
    pub(in crate::engine) fn of(known: &'a KnownInstance, facts: &'a Facts, settings: &'a Settings) -> Option<Self> {
        Some(Self { known, drain: known.drain.as_ref()?, facts, settings })
    }

    /// The same in a drain that is ordered just now.
    pub(in crate::engine) fn ordered(
        known: &'a KnownInstance,
        drain: &'a Drain,
        facts: &'a Facts,
        settings: &'a Settings,
    ) -> Self {
        Self { known, drain, facts, settings }
    }

    /// Of a machine's only agent.
    fn worker_id(&self) -> WorkerId {
        let name = WorkerName {
            fleet: self.settings.the_loop.fleet.clone(),
            pool: self.known.pool.clone(),
            machine_type: self.known.machine_type.clone(),
            instance: self.known.id.clone(),
            agent: None,
        };
        name.worker()
    }

    fn worker(&self) -> Option<&'a ObservedWorker> {
        let id = self.worker_id();
        self.facts.workers.iter().find(|worker| worker.id == id)
    }

    fn mailbox(&self) -> Option<&'a Mailbox> {
        self.facts.mailboxes.get(&self.known.id)
    }

    /// Whether the machine has no gate, by its pool or by its own word.
    pub(in crate::engine) fn has_no_gate(&self) -> bool {
        let pool = self.settings.pool(&self.known.pool).map(|pool| pool.guard);
        pool == Some(GuardKind::Hold) || self.mailbox().is_some_and(Mailbox::has_no_gate)
    }

    /// Whether the drain is carried out by a hold task, too: at once where there is no gate, and where one that should
    /// have answered is silent.
    pub(in crate::engine) fn is_wanted(&self, sights: &Sights) -> bool {
        // Hold tasks that were once asked for are looked after to the end of the drain.
        let has_some = self.drain.held || self.tasks().is_some();
        let is_needed = self.has_no_gate() || (!self.drain.cancelled && self.is_gate_silent(sights));
        has_some || (is_needed && !self.has_several_agents())
    }

    /// A hold task holds one agent: on a machine of several it proves nothing.
    fn has_several_agents(&self) -> bool {
        let of_several = format!("{}.", self.worker_id());
        let told = self.mailbox().and_then(Mailbox::agents).unwrap_or(1);
        let made_now = self.settings.pool(&self.known.pool).map_or(1, |pool| pool.agent.agents());
        told.max(made_now) > 1
            || self.facts.workers.iter().any(|worker| worker.id.as_str().starts_with(of_several.as_str()))
    }

    fn is_gate_silent(&self, sights: &Sights) -> bool {
        if self.drain.acknowledged.is_some() {
            return false;
        }
        let idle = self.worker().is_some_and(|worker| worker.task.is_none() && is_fresh(worker, self.facts));
        let free = sights.of(&self.known.id).free_since.filter(|_| idle);
        let since = free.map(|free| free.max(self.drain.ordered));
        let asked = since.zip(self.facts.asked);
        asked.is_some_and(|(since, asked)| asked.duration_since(since) > SILENT_GATE)
    }

    /// Its hold tasks that wait or run; `None`: they were not asked for.
    pub(in crate::engine) fn tasks(&self) -> Option<&'a [TaskRecord]> {
        self.facts.holds.get(&self.known.id).map(Vec::as_slice)
    }

    /// Whether a hold task is in progress on this very machine, and surely will be until a stop is carried out.
    pub(in crate::engine) fn is_proved(&self, now: Timestamp) -> bool {
        !self.has_several_agents() && self.tasks().unwrap_or_default().iter().any(|task| self.proves(task, now))
    }

    fn proves(&self, task: &TaskRecord, now: Timestamp) -> bool {
        let here = task.last_worker.as_ref().and_then(WorkerName::parse);
        let here = here.is_some_and(|name| name.instance == self.known.id);
        task.status == TaskStatus::InProgress && here && self.age(task, now).is_some_and(|age| age < PROVES_FOR)
    }

    /// For how long the task has run at least. The server's clock may be another than ours: what the worker last said is
    /// of the same one.
    fn age(&self, task: &TaskRecord, now: Timestamp) -> Option<SignedDuration> {
        let started = task.started?;
        let by_server = self.worker().and_then(|worker| worker.last_report).map(|last| last.duration_since(started));
        Some(by_server.unwrap_or_default().max(now.duration_since(started)))
    }

    /// Whether a new hold task is needed: none waits to be taken, and none proves anything any more.
    pub(in crate::engine) fn needs_another(&self, now: Timestamp) -> bool {
        let holds = |task: &TaskRecord| task.status == TaskStatus::Queued || self.proves(task, now);
        self.tasks().is_some_and(|tasks| !tasks.iter().any(holds))
    }

    /// Whether a hold task waits that an idle agent should have taken, since a moment this long after `placed`.
    pub(in crate::engine) fn waits_in_vain(&self, sights: &Sights, placed: Option<Timestamp>) -> bool {
        let waits = self.tasks().unwrap_or_default().iter().find(|task| task.status == TaskStatus::Queued);
        let free = sights.of(&self.known.id).free_since.filter(|_| !self.facts.holding.contains(&self.known.id));
        let since = waits.and_then(|task| task.status_changed).zip(free).map(|(queued, free)| queued.max(free));
        let since = since.map(|since| placed.map_or(since, |placed| placed.max(since)));
        let asked = since.zip(self.facts.asked);
        self.has_no_gate() && asked.is_some_and(|(since, asked)| asked.duration_since(since) > TAKEN_WITHIN)
    }

    /// Whether a stop may be asked for now: one that a hold task's proof decided needs that proof each time.
    pub(in crate::engine) fn may_end(&self, now: Timestamp) -> bool {
        !self.drain.held || self.drain.cancelled || self.is_proved(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seen::example::Fleet;
    use crate::model::instance::DrainCause;
    use crate::model::observed::{CloudState, ObservedTask};
    use crate::model::record::Record;

    /// A machine that drains, ordered just now.
    fn draining(guard: GuardKind) -> Fleet {
        let mut fleet = Fleet::new().machine("i-1", CloudState::Running, 30).known().worker(None);
        fleet.settings.pools[0].guard = guard;
        fleet.mail("");
        fleet.live(0);
        let drain = Drain {
            nonce: "n".to_owned(),
            cause: DrainCause::Person,
            by: "ann".into(),
            ordered: fleet.now,
            acknowledged: None,
            cancelled: false,
            held: false,
            end_asked: None,
        };
        fleet.memory.apply(&Record::DrainSet { instance: "i-1".into(), drain: Some(drain) });
        fleet
    }

    fn drain(fleet: &Fleet) -> Option<Drain> {
        fleet.memory.known["i-1"].drain.clone()
    }

    fn held(fleet: &Fleet) -> Held<'_> {
        Held::of(&fleet.memory.known["i-1"], &fleet.facts, &fleet.settings).unwrap()
    }

    #[test]
    fn a_hold_task_is_wanted_where_no_gate_answers() {
        for (guard, state, seconds, task, wanted) in [
            (GuardKind::Hold, "", 0, None, true),
            (GuardKind::Hold, "", 0, Some("t"), true),
            (GuardKind::Gate, "", 0, None, false),
            (GuardKind::Gate, "nogate", 0, None, true),
            (GuardKind::Gate, "", 60, None, false),
            (GuardKind::Gate, "", 70, None, true),
            (GuardKind::Gate, "", 600, Some("t"), false),
            (GuardKind::Gate, "drained:n", 600, None, false),
        ] {
            let mut fleet = draining(guard);
            fleet.mail(state);
            fleet.workers[0].task = task.map(|id| ObservedTask { id: id.into(), name: id.to_owned(), queue: None });
            for _ in 0..seconds / 10 {
                fleet.live(10);
            }
            fleet.look();
            assert_eq!(held(&fleet).is_wanted(&fleet.sights), wanted, "{guard:?} {state} {seconds} {task:?}");
        }
    }

    #[test]
    fn of_several_agents_one_hold_task_proves_nothing() {
        for (guard, state) in [(GuardKind::Hold, ""), (GuardKind::Gate, "nogate")] {
            let mut fleet = draining(guard);
            fleet.mail(state);
            fleet.settings.pools[0].agent.agents_per_machine = 2;
            fleet.look();
            assert!(!held(&fleet).is_wanted(&fleet.sights), "{guard:?}");
            fleet.hold(TaskStatus::InProgress, Some("i-1"));
            fleet.live(1);
            assert!(!held(&fleet).is_proved(fleet.now), "{guard:?}");
        }
    }

    /// A machine that was busy until a moment ago has a poll left to answer.
    #[test]
    fn a_gate_is_silent_only_when_its_machine_was_idle_all_the_while() {
        let mut fleet = draining(GuardKind::Gate);
        fleet.workers[0].task = Some(ObservedTask { id: "t".into(), name: "t".to_owned(), queue: None });
        for _ in 0..20 {
            fleet.live(10);
        }
        fleet.workers[0].task = None;
        for _ in 0..7 {
            fleet.live(10);
            assert!(!held(&fleet).is_wanted(&fleet.sights));
        }
        fleet.live(10);
        assert!(held(&fleet).is_wanted(&fleet.sights));
        fleet.now += SignedDuration::from_secs(100);
        fleet.look();
        assert!(!held(&fleet).is_wanted(&fleet.sights), "its worker is silent, too");
    }

    #[test]
    fn a_drain_is_acknowledged_while_its_hold_task_runs_on_that_machine_and_is_young() {
        let mut fleet = draining(GuardKind::Hold);
        for (status, worker, proves) in [
            (TaskStatus::Queued, None, false),
            (TaskStatus::InProgress, Some("i-2"), false),
            (TaskStatus::InProgress, None, false),
            (TaskStatus::InProgress, Some("i-1"), true),
        ] {
            fleet.hold(status, worker);
            fleet.live(1);
            assert_eq!(held(&fleet).is_proved(fleet.now), proves, "{status:?} {worker:?}");
            assert_eq!(drain(&fleet).unwrap().acknowledged.is_some(), proves);
        }
        assert!(drain(&fleet).unwrap().held && held(&fleet).may_end(fleet.now));
        let started = fleet.now;
        while fleet.now.duration_since(started) < PROVES_FOR {
            assert!(drain(&fleet).unwrap().acknowledged.is_some() && !held(&fleet).needs_another(fleet.now));
            fleet.live(10);
        }
        // It sleeps still, and whether until a stop is carried out nobody knows.
        let now = drain(&fleet).unwrap();
        assert!(now.acknowledged.is_none() && now.held && !held(&fleet).may_end(fleet.now));
        assert!(held(&fleet).needs_another(fleet.now));
        fleet.hold(TaskStatus::Queued, None);
        fleet.live(10);
        assert!(!held(&fleet).needs_another(fleet.now));
        fleet.hold(TaskStatus::InProgress, Some("i-1"));
        fleet.live(10);
        assert!(drain(&fleet).unwrap().acknowledged.is_some());
    }

    #[test]
    fn a_server_whose_clock_is_ahead_makes_no_hold_task_younger() {
        let mut fleet = draining(GuardKind::Hold);
        let ahead = SignedDuration::from_hours(1);
        fleet.hold(TaskStatus::InProgress, Some("i-1"));
        for hold in fleet.holds.values_mut().flatten() {
            hold.started = Some(fleet.now + ahead);
        }
        fleet.look();
        assert!(held(&fleet).is_proved(fleet.now));
        fleet.now += PROVES_FOR;
        fleet.workers[0].last_report = Some(fleet.now + ahead);
        fleet.look();
        assert!(!held(&fleet).is_proved(fleet.now));
    }

    #[test]
    fn a_cancelled_drain_is_over_when_no_hold_task_is_left_at_two_looks() {
        let mut fleet = draining(GuardKind::Hold);
        fleet.hold(TaskStatus::InProgress, Some("i-1"));
        fleet.live(10);
        let cancelled = Drain { cancelled: true, ..drain(&fleet).unwrap() };
        fleet.memory.apply(&Record::DrainSet { instance: "i-1".into(), drain: Some(cancelled) });
        fleet.live(10);
        fleet.no_hold();
        fleet.live(10);
        // The agent was about to start it, and says that it runs.
        fleet.hold(TaskStatus::InProgress, Some("i-1"));
        for _ in 0..30 {
            fleet.live(10);
            assert!(drain(&fleet).is_some());
        }
        fleet.no_hold();
        fleet.live(10);
        assert!(drain(&fleet).is_some());
        fleet.live(10);
        assert_eq!(drain(&fleet), None);
    }

    /// It is no task of anyone's: not a machine's, not a bill's, not one to learn from.
    #[test]
    fn a_hold_task_in_a_row_is_no_task() {
        let mut fleet = draining(GuardKind::Hold);
        let row = |name: &str| ObservedTask { id: "h".into(), name: name.to_owned(), queue: Some("m".into()) };
        fleet.workers[0].task = Some(row("tidegate:hold:i-1:n"));
        assert_eq!(fleet.live(10), []);
        assert_eq!(fleet.instance("i-1").unwrap().task, None);
        assert!(fleet.facts.holding.contains("i-1"));
        fleet.workers[0].task = Some(row("tidegate:hold:i-2:n"));
        assert!(matches!(fleet.live(10).as_slice(), [Record::Charged { .. }]), "somebody gave his task such a name");
        assert!(fleet.facts.holding.is_empty());
    }
}

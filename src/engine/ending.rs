//! The end of the loop: what is under way is waited for, machines are left or stopped, and no longer than it takes.

use jiff::{SignedDuration, Timestamp};

use crate::engine::run::{EngineError, Loop};
use crate::engine::words::line;
use crate::model::ids::{Actor, InstanceId};
use crate::model::instance::Phase;
use crate::model::journal::EntryKind;
use crate::model::observed::CloudState;
use crate::model::record::KnownInstance;
use crate::model::settings::OnExit;
use crate::model::snapshot::{Ask, Order};

/// How long the loop works on its end before it goes all the same.
const FAREWELL: SignedDuration = SignedDuration::from_mins(5);

/// How and since when the loop ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) on_exit: OnExit,
    pub(super) since: Timestamp,
}

impl Loop {
    /// Ends gracefully. Asked again, it ends as the later one wants, and not later than the first.
    pub(super) async fn quit(&mut self, by: &Actor, on_exit: OnExit) -> Result<(), EngineError> {
        let acts = self.leads() && self.memory.armed && self.setup.settings.read_only().is_none();
        let on_exit = if acts { on_exit } else { OnExit::Leave };
        let now = self.setup.clock.now();
        if self.ending.as_ref().is_some_and(|ending| ending.on_exit == on_exit) {
            return Ok(());
        }
        let since = self.ending.as_ref().map_or(now, |ending| ending.since);
        self.ending = Some(Ending { on_exit, since });
        let asks: Vec<Ask> = match on_exit {
            OnExit::Leave => Vec::new(),
            OnExit::StopAll => {
                self.stop_all = Some(by.clone());
                vec![Ask::StopAll]
            }
            OnExit::StopIdle => self.idle_machines().into_iter().map(Ask::Drain).collect(),
        };
        if !asks.is_empty() {
            let orders = asks.into_iter().map(|what| Order { by: by.clone(), what }).collect();
            self.replan(orders).await?;
        }
        Ok(())
    }

    fn idle_machines(&self) -> Vec<InstanceId> {
        let now = self.setup.clock.now();
        let idle = |phase| matches!(phase, Phase::Idle | Phase::Pending | Phase::Booting);
        let machines = self.snapshot.instances.iter();
        let machines = machines.filter(|instance| idle(instance.phase) && !instance.is_held(now));
        machines.map(|instance| instance.id.clone()).collect()
    }

    /// Whether the loop has nothing left to do before its end, or has taken long enough.
    pub(super) async fn may_end(&mut self) -> bool {
        let Some(ending) = &self.ending else { return false };
        let (on_exit, since) = (ending.on_exit, ending.since);
        let busy = self.under_way.iter().any(|act| act.deed.matters());
        if !busy && !self.is_left(on_exit) {
            return true;
        }
        let now = self.setup.clock.now();
        if now.duration_since(since) <= FAREWELL {
            return false;
        }
        let left = self.memory.known.values().filter(|known| !self.is_stopped(known)).count();
        let text = format!("the loop ends before it is done: {left} machines are up, and look after themselves");
        self.commit(vec![line(now, EntryKind::Alarm, text).record()]).await;
        true
    }

    fn is_left(&self, on_exit: OnExit) -> bool {
        let mut machines = self.memory.known.values().filter(|known| !self.is_stopped(known));
        match on_exit {
            OnExit::Leave => false,
            OnExit::StopIdle => machines.any(|known| known.drain.as_ref().is_some_and(|drain| !drain.cancelled)),
            OnExit::StopAll => machines.next().is_some() || self.may_come(),
        }
    }

    /// The cloud has taken the stop, or ended the machine by itself.
    fn is_stopped(&self, known: &KnownInstance) -> bool {
        let ended = |state| !matches!(state, CloudState::Pending | CloudState::Running);
        self.delivered.has_stopped(&known.id)
            || self.facts.machines.get(&known.id).is_some_and(|shown| ended(shown.state))
    }

    /// Whether machines may appear that nobody knows yet.
    fn may_come(&self) -> bool {
        !self.memory.intents.is_empty()
    }

    /// An emergency stop is over when nothing is up and nothing can come any more.
    pub(super) fn note_all_stopped(&mut self) {
        if self.stop_all.is_some() {
            let up = |phase| !matches!(phase, Phase::Stopping | Phase::Gone);
            let any = self.snapshot.instances.iter().any(|instance| up(instance.phase));
            let known = self.memory.known.values().any(|known| known.stop_sent.is_none());
            if !any && !known && !self.may_come() {
                self.stop_all = None;
            }
        }
    }
}

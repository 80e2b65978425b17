//! A machine as the rules see it: the snapshot's, and what this pass has already decided about it.

use jiff::{SignedDuration, Timestamp};

use super::index::Index;
use crate::model::ids::Actor;
use crate::model::instance::{Drain, DrainCause, Fault, Hold, Instance, Origin, Phase, Power};
use crate::model::reason::Reason;
use crate::model::settings::{GuardKind, MOST_AGENTS, Provider};

/// What a machine is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Gone,
    Stopping,
    /// Switched off and kept.
    Off,
    /// Not capacity, and nobody knows what it does.
    Faulty,
    /// Takes no more tasks.
    Draining,
    /// Pending or booting.
    Booting,
    /// Has not yet heard that its drain was taken back; pulls tasks once it has.
    Returning,
    Idle,
    Busy,
}

/// An order to drain, as it stands after what this pass decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    None,
    Standing,
    TakenBack,
}

/// Small: the rules go over all of them many times.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Machine<'a> {
    pub(super) seen: &'a Instance,
    phase: Phase,
    faulty: bool,
    has_task: bool,
    /// For so many tasks more it has an agent.
    free: u32,
    registered: bool,
    pub(super) pool: Option<usize>,
    pub(super) home: Option<usize>,
    pub(super) order: Order,
    /// The order is this pass's own: what the snapshot says of an older one is void.
    new_order: bool,
    /// It answered the order that stands.
    pub(super) acknowledged: bool,
    pub(super) stopped: bool,
    /// It is being switched off, and kept.
    pub(super) kept: bool,
    /// It is off, and to be started again: it counts as an intent.
    pub(super) started: bool,
    /// Who wants it replaced once it is idle.
    pub(super) replace_by: Option<&'a Actor>,
    /// It is drained to be replaced.
    pub(super) replaced: bool,
    /// A hold that has not run out.
    pub(super) hold: Option<&'a Hold>,
    /// No worker in `max_boot`.
    pub(super) overdue: bool,
    /// It boots for much longer than any of its pool's machines did lately: it may never come.
    pub(super) late: bool,
    /// Shows no task, and its worker has been silent for the pool's `max_silence`.
    pub(super) silent: bool,
    /// The same of some of its agents, while others report.
    pub(super) partly_silent: bool,
}

/// An agent without a task takes one, or will; one that is busy takes none, whether its task is known or not.
fn free(seen: &Instance) -> u32 {
    let running = u32::try_from(seen.tasks().count()).unwrap_or(u32::MAX).max(u32::from(seen.phase == Phase::Busy));
    seen.agents.present.clamp(1, MOST_AGENTS).saturating_sub(running)
}

impl<'a> Machine<'a> {
    pub(super) fn new(seen: &'a Instance, index: &Index<'_>) -> Self {
        let pool = index.pool_place(&seen.pool);
        let settings = pool.and_then(|pool| index.pools.get(pool)).map(|pool| pool.settings);
        let max_boot = settings.map(|pool| pool.max_boot);
        let lasted = |since: Option<Timestamp>| since.map(|since| index.now.duration_since(since));
        let for_long = |silent: Option<SignedDuration>| {
            let limit = settings.map(|pool| pool.max_silence);
            silent.zip(limit).is_some_and(|(silent, limit)| silent >= limit)
        };
        let order = match &seen.drain {
            None => Order::None,
            Some(drain) if drain.cancelled => Order::TakenBack,
            Some(_) => Order::Standing,
        };
        Self {
            seen,
            phase: seen.phase,
            faulty: seen.fault.is_some_and(Fault::disables),
            has_task: seen.task.is_some(),
            free: free(seen),
            registered: seen.registered,
            pool,
            home: index.queue_place(&seen.home),
            order,
            new_order: false,
            acknowledged: order == Order::Standing
                && seen.drain.as_ref().is_some_and(|drain| drain.acknowledged.is_some()),
            stopped: false,
            kept: matches!(seen.power, Power::SwitchingOff { .. }) && seen.phase == Phase::Stopping,
            started: false,
            replace_by: seen.replace.as_ref(),
            replaced: order == Order::Standing
                && seen.drain.as_ref().is_some_and(|drain| drain.cause == DrainCause::Replaced),
            hold: seen.hold.as_ref().filter(|hold| hold.until > index.now),
            silent: seen.fault == Some(Fault::Lost)
                && seen.registered
                && seen.task.is_none()
                && for_long(lasted(seen.silent_since)),
            partly_silent: !seen.fault.is_some_and(Fault::disables)
                && seen.registered
                && seen.task.is_none()
                && for_long(lasted(seen.agents.missing_since)),
            late: !seen.registered && pool.is_some_and(|pool| index.is_late(pool, seen.age(index.now))),
            overdue: !seen.registered && max_boot.is_some_and(|max_boot| seen.age(index.now) > max_boot),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.phase == Phase::Gone {
            return State::Gone;
        }
        if self.stopped || self.phase == Phase::Stopping {
            return State::Stopping;
        }
        if self.phase == Phase::Stopped {
            return State::Off;
        }
        if self.faulty || self.overdue {
            return State::Faulty;
        }
        match (self.order, self.phase) {
            (Order::Standing, _) | (Order::None, Phase::Draining) => State::Draining,
            _ if self.has_task => State::Busy,
            (Order::TakenBack, _) => State::Returning,
            (_, Phase::Busy) => State::Busy,
            (_, Phase::Idle) => State::Idle,
            _ => State::Booting,
        }
    }

    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Takes tasks, now or soon, or runs one: counts towards a pool's minimum.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state(), State::Booting | State::Returning | State::Idle | State::Busy)
    }

    /// A task runs here or may; see [`Instance::may_have_task`].
    pub(super) fn may_have_task(&self) -> bool {
        self.has_task || (self.registered && !self.acknowledged)
    }

    /// Why the loop leaves it alone, if a person asked for that.
    pub(super) fn held(&self) -> Option<Reason> {
        self.hold.map(|hold| Reason::Held { until: hold.until, by: hold.by.clone(), why: hold.why.clone() })
    }

    /// Why it cannot be drained, where nothing on it obeys.
    pub(super) fn no_guard(&self, index: &Index<'_>) -> Option<Reason> {
        if self.seen.origin == Origin::BroughtOver {
            return Some(Reason::BroughtOver { instance: self.seen.id.clone() });
        }
        let pool = self.pool.and_then(|pool| index.pools.get(pool))?.settings;
        if pool.provider == Provider::Kubernetes {
            return Some(Reason::PodsForTasks { pool: pool.name.clone() });
        }
        (pool.guard == GuardKind::Off).then(|| Reason::NoGuard { pool: pool.name.clone() })
    }

    pub(super) fn order_drain(&mut self) {
        (self.order, self.new_order, self.acknowledged) = (Order::Standing, true, false);
    }

    pub(super) fn take_back_drain(&mut self) {
        (self.order, self.new_order, self.acknowledged) = (Order::TakenBack, true, false);
        self.replaced = false;
    }

    /// The order that stands, unless it is this pass's own.
    pub(super) fn standing(&self) -> Option<&'a Drain> {
        let stands = self.order == Order::Standing && !self.new_order;
        self.seen.drain.as_ref().filter(|_| stands)
    }
}

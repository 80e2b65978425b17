//! What becomes of a call: how long it takes, whether it acts, whether it is answered.

use std::collections::BTreeMap;

use crate::world::sim::events::Millis;
use crate::world::sim::random::Dice;
use crate::world::sim::scenario::{Call, Scenario, Spread};

/// A call without an answer ends after this for a caller who has no deadline of its own.
const GIVEN_UP: Millis = 3_600_000;

/// The fate of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) takes: Millis,
    /// Whether it does what it asks for.
    pub(super) acts: bool,
    pub(super) answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Given,
    Throttled,
    /// HTTP 500 of a cloud; a refused connection of a ClearML server.
    Broken,
    Silent,
}

/// A fault that waits for the next calls of a kind.
#[derive(Debug)]
struct Planned {
    call: Call,
    times: u32,
    answer: Answer,
    acts: bool,
}

#[derive(Debug)]
struct Manners {
    takes: Spread,
    throttled: f64,
    broken: f64,
    silent: f64,
}

/// What calls meet.
#[derive(Debug)]
pub(super) struct Calls {
    kinds: BTreeMap<Call, (Manners, Dice)>,
    planned: Vec<Planned>,
    cloud_down_until: Millis,
    tracker_down_until: Millis,
}

impl Calls {
    pub(super) fn new(scenario: &Scenario, seed: u64, now: Millis) -> Self {
        let cloud = &scenario.cloud;
        let manners = |call| match call {
            Call::List | Call::Launch | Call::Terminate | Call::Stop | Call::Start | Call::Console => Manners {
                takes: if call == Call::Launch { cloud.launch_takes.clone() } else { cloud.call_takes.clone() },
                throttled: cloud.throttled,
                broken: cloud.broken,
                silent: cloud.silent,
            },
            Call::Read | Call::Write | Call::Requeue => Manners {
                takes: scenario.tracker.call_takes.clone(),
                throttled: 0.0,
                broken: 0.0,
                silent: scenario.tracker.silent,
            },
        };
        let all = [
            Call::List,
            Call::Launch,
            Call::Terminate,
            Call::Stop,
            Call::Start,
            Call::Console,
            Call::Read,
            Call::Write,
            Call::Requeue,
        ];
        let kinds = all.map(|call| (call, (manners(call), Dice::new(seed, &format!("call:{call:?}"), 0))));
        Self { kinds: kinds.into(), planned: Vec::new(), cloud_down_until: now, tracker_down_until: now }
    }

    pub(super) fn plan(&mut self, call: Call, times: u32, answer: Answer, acts: bool) {
        self.planned.push(Planned { call, times, answer, acts });
    }

    pub(super) fn cloud_down(&mut self, until: Millis) {
        self.cloud_down_until = self.cloud_down_until.max(until);
    }

    pub(super) fn tracker_down(&mut self, until: Millis) {
        self.tracker_down_until = self.tracker_down_until.max(until);
    }

    pub(super) fn tracker_is_down(&self, now: Millis) -> bool {
        now < self.tracker_down_until
    }

    /// When the latest outage of the ClearML server ends, or ended.
    pub(super) fn tracker_up_at(&self) -> Millis {
        self.tracker_down_until
    }

    /// The same number of draws whatever happens, so that one fault does not shift the luck of later calls.
    pub(super) fn fate(&mut self, call: Call, now: Millis) -> Fate {
        let Some((manners, dice)) = self.kinds.get_mut(&call) else {
            return Fate { takes: 0, acts: true, answer: Answer::Given };
        };
        let takes = dice.spread(&manners.takes);
        let throttled = dice.chance(manners.throttled);
        let broken = dice.chance(manners.broken);
        let silent = dice.chance(manners.silent);
        let acts = dice.chance(0.5);
        let down = match call {
            Call::List | Call::Launch | Call::Terminate | Call::Stop | Call::Start | Call::Console => {
                self.cloud_down_until
            }
            Call::Read | Call::Write | Call::Requeue => self.tracker_down_until,
        };
        if now < down {
            return Fate { takes, acts: false, answer: Answer::Broken };
        }
        if let Some(planned) = self.planned.iter_mut().find(|planned| planned.call == call) {
            planned.times = planned.times.saturating_sub(1);
            let (acts, answer) = (planned.acts, planned.answer);
            self.planned.retain(|planned| planned.times > 0);
            return Fate { takes: if answer == Answer::Silent { GIVEN_UP } else { takes }, acts, answer };
        }
        match (silent, broken, throttled) {
            (true, ..) => Fate { takes: GIVEN_UP, acts, answer: Answer::Silent },
            (_, true, _) => Fate { takes, acts: false, answer: Answer::Broken },
            (.., true) => Fate { takes, acts: acts && call == Call::Launch, answer: Answer::Throttled },
            _ => Fate { takes, acts: true, answer: Answer::Given },
        }
    }
}

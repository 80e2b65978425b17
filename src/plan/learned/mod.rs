//! What experience is good for: how the need for machines went, and what follows from it for the time that an idle
//! machine is kept, for machines that are started ahead of their tasks, and for tasks that soon find one free.

pub(super) mod again;
pub(super) mod ahead;
pub(super) mod course;
pub(super) mod keep;
pub(super) mod soon;

use jiff::SignedDuration;

use super::index::{Index, Pool};
use crate::model::course::Weighed;
use crate::model::money::{Money, Rate};
use crate::model::record::Samples;
use crate::model::settings::{KeepAlive, Market, OnIdle, PoolSettings};

/// From a launch to a registered worker, until the pool has taught it: a system that starts in a minute and a half, and
/// an agent that is installed in three.
const UNKNOWN_BOOT: SignedDuration = SignedDuration::from_secs(286);

/// The same of a machine that was switched off and kept.
const UNKNOWN_START: SignedDuration = SignedDuration::from_secs(60);

/// How long a surplus machine of the pool is kept, and why, where that was learned.
pub(super) fn keep_alive(index: &Index<'_>, pool: &Pool<'_>) -> (SignedDuration, Option<Weighed>) {
    let PoolSettings { on_idle, market, max_stopped, .. } = *pool.settings;
    // What is needed again is started then, be it this machine or one that was kept before.
    let kept = on_idle == OnIdle::Stop && market == Market::OnDemand && max_stopped > 0;
    match pool.settings.keep_alive {
        KeepAlive::For(time) => (time, None),
        KeepAlive::Learned => {
            let learned = &index.snapshot.learned;
            let terms = Terms::new(index, pool, kept);
            let keep = keep::keep_alive(learned.gaps.get(&pool.settings.name), &terms);
            let intervals = learned.intervals.get(&pool.settings.name);
            let again = intervals.and_then(|intervals| again::choose(intervals, &terms, keep.total));
            let (time, weighed) = match again {
                Some((again, cost)) => {
                    let longer = keep.weighed.gaps;
                    (SignedDuration::ZERO, Weighed { longer, cost, again: Some(again), ..keep.weighed })
                }
                None => (keep.time, keep.weighed),
            };
            (time, Some(weighed))
        }
    }
}

/// What a machine costs that has to be started because none is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) rate: Rate,
    pub(super) boot: SignedDuration,
    /// What an hour of one task's waiting is worth.
    pub(super) waiting: Rate,
}

impl Terms {
    /// Of a pool. `kept`: one that is switched off will be there to be started.
    pub(super) fn new(index: &Index<'_>, pool: &Pool<'_>, kept: bool) -> Self {
        let learned = &index.snapshot.learned;
        let (samples, unknown) = if kept { (&learned.starts, UNKNOWN_START) } else { (&learned.boots, UNKNOWN_BOOT) };
        let boot = samples.get(&pool.settings.name).and_then(Samples::median).unwrap_or(unknown);
        let rate = pool.kinds.iter().find_map(|kind| kind.offer.rate).unwrap_or_default();
        Self { rate, boot, waiting: index.settings.the_loop.price_of_waiting }
    }

    pub(super) fn billed_boot(&self) -> Money {
        self.rate.cost(self.boot)
    }

    /// The boot, and a task's waiting for it.
    pub(super) fn miss(&self) -> Money {
        self.billed_boot() + self.waiting.cost(self.boot)
    }
}

//! Limits at three levels: over everything, of the home queue, of the pool. Everything that is not proved gone
//! counts, and so does every intent.

use super::index::Index;
use crate::model::catalogue::Offer;
use crate::model::money::Rate;
use crate::model::reason::{LimitKind, LimitScope, Reason};
use crate::model::settings::Limits;

/// What could be launched: for which queue, in which pool, and what one machine holds and costs.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) queue: usize,
    pub(super) pool: usize,
    pub(super) offer: Offer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    All,
    Queue,
    Pool,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    instances: u64,
    gpu: u64,
    vcpu: u64,
    hourly: u64,
}

impl Tally {
    fn add(&mut self, offer: &Offer, count: u32) {
        let count = u64::from(count);
        self.instances += count;
        self.gpu += u64::from(offer.gpu) * count;
        self.vcpu += u64::from(offer.vcpu) * count;
        self.hourly = self.hourly.saturating_add(micros(offer.rate.unwrap_or_default()).saturating_mul(count));
    }

    fn of(&self, limit: LimitKind) -> u64 {
        match limit {
            LimitKind::Instances => self.instances,
            LimitKind::Gpu => self.gpu,
            LimitKind::Vcpu => self.vcpu,
            LimitKind::Hourly => self.hourly,
        }
    }
}

/// What counts against limits, this pass's launches included.
pub(super) struct Usage {
    all: Tally,
    queues: Vec<Tally>,
    pools: Vec<Tally>,
}

/// The limit that leaves room for the fewest machines.
#[derive(Clone, Copy)]
pub(super) struct Tight {
    pub(super) room: u32,
    level: Level,
    limit: LimitKind,
    used: u64,
    /// `None`: nobody knows.
    each: Option<u64>,
    max: u64,
}

impl Usage {
    pub(super) fn new(index: &Index<'_>) -> Self {
        Self {
            all: Tally::default(),
            queues: vec![Tally::default(); index.queues.len()],
            pools: vec![Tally::default(); index.pools.len()],
        }
    }

    /// Counts machines; a queue or pool that the settings do not name has no limit of its own.
    pub(super) fn add(&mut self, queue: Option<usize>, pool: Option<usize>, offer: &Offer, count: u32) {
        self.all.add(offer, count);
        if let Some(tally) = queue.and_then(|queue| self.queues.get_mut(queue)) {
            tally.add(offer, count);
        }
        if let Some(tally) = pool.and_then(|pool| self.pools.get_mut(pool)) {
            tally.add(offer, count);
        }
    }

    /// The tightest limit for one more of this kind; `None`: nothing limits it.
    pub(super) fn tightest(&self, index: &Index<'_>, candidate: &Candidate) -> Option<Tight> {
        let queue = index.queues.get(candidate.queue).map(|queue| &queue.settings.limits);
        let pool = index.pools.get(candidate.pool).map(|pool| &pool.settings.limits);
        let levels = [
            (Level::All, Some(&index.settings.limits), Some(&self.all)),
            (Level::Queue, queue, self.queues.get(candidate.queue)),
            (Level::Pool, pool, self.pools.get(candidate.pool)),
        ];
        let tight = levels.into_iter().filter_map(|(level, limits, used)| Some((level, limits?, used?))).flat_map(
            |(level, limits, used)| {
                LimitKind::ALL.into_iter().filter_map(move |limit| {
                    let max = max(limits, limit)?;
                    Some(tight(level, limit, used.of(limit), each(&candidate.offer, limit), max))
                })
            },
        );
        tight.min_by_key(|tight| tight.room)
    }
}

impl Tight {
    /// Why no more than [`Tight::room`] are launched.
    pub(super) fn reason(&self, index: &Index<'_>, candidate: &Candidate, machine_type: &str) -> Option<Reason> {
        let pool = &index.pools.get(candidate.pool)?.settings.name;
        let scope = match self.level {
            Level::All => LimitScope::All,
            Level::Queue => LimitScope::Queue(index.queues.get(candidate.queue)?.settings.name.clone()),
            Level::Pool => LimitScope::Pool(pool.clone()),
        };
        let Self { limit, used, max, .. } = *self;
        Some(match self.each {
            Some(each) => Reason::Limit { scope, limit, used, each, max },
            None => Reason::Unmeasured { pool: pool.clone(), machine_type: machine_type.to_owned(), scope, limit },
        })
    }
}

fn tight(level: Level, limit: LimitKind, used: u64, each: Option<u64>, max: u64) -> Tight {
    let room = match each {
        None => 0,
        Some(0) => u64::MAX,
        Some(each) => max.saturating_sub(used) / each,
    };
    Tight { room: u32::try_from(room).unwrap_or(u32::MAX), level, limit, used, each, max }
}

fn max(limits: &Limits, limit: LimitKind) -> Option<u64> {
    match limit {
        LimitKind::Instances => limits.max.map(u64::from),
        LimitKind::Gpu => limits.max_gpu.map(u64::from),
        LimitKind::Vcpu => limits.max_vcpu.map(u64::from),
        LimitKind::Hourly => limits.max_hourly.map(micros),
    }
}

/// What one machine takes of a limit; `None`: nobody knows.
fn each(offer: &Offer, limit: LimitKind) -> Option<u64> {
    match limit {
        LimitKind::Instances => Some(1),
        LimitKind::Gpu => offer.known_gpus().map(u64::from),
        LimitKind::Vcpu => offer.known_vcpus().map(u64::from),
        LimitKind::Hourly => offer.rate.map(micros),
    }
}

fn micros(rate: Rate) -> u64 {
    rate.micros_per_hour().max(0).unsigned_abs()
}

//! What the rules look up, found once a pass: queues by priority, pools with their kinds of machine, sources.
//! A queue's or pool's *place* is its position in these lists.

use std::cell::OnceCell;
use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use crate::model::advice::{Advice, Advised};
use crate::model::breaker::Breaker;
use crate::model::catalogue::Offer;
use crate::model::ids::{InstanceId, MachineType, PoolName, QueueName};
use crate::model::ledger::Ledger;
use crate::model::reason::Reason;
use crate::model::settings::{Market, PoolSettings, Provider, QueueSettings, Settings};
use crate::model::snapshot::{QueueState, Snapshot, Source};

/// So many boots say how long one may take.
const ENOUGH_BOOTS: usize = 5;

/// Names are looked up tens of thousands of times a pass.
pub(super) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

pub(super) struct Index<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) settings: &'a Settings,
    pub(super) ledger: &'a Ledger,
    pub(super) now: Timestamp,
    /// By priority, highest first, then in file order.
    pub(super) queues: Vec<Queue<'a>>,
    pub(super) pools: Vec<Pool<'a>>,
    queue_places: Map<&'a QueueName, usize>,
    pool_places: Map<&'a PoolName, usize>,
    instance_places: OnceCell<Map<&'a InstanceId, usize>>,
    sources: Map<&'a str, &'a Source>,
}

/// A queue of the settings.
pub(super) struct Queue<'a> {
    pub(super) place: usize,
    /// Its position in the settings file.
    pub(super) written: usize,
    pub(super) settings: &'a QueueSettings,
    pub(super) state: Option<&'a QueueState>,
    /// Places of its pools, in order of preference.
    pub(super) pools: Vec<usize>,
    /// Those in which machines are launched, in order: what its policy says, or all.
    pub(super) order: Vec<usize>,
    /// What its policy wants.
    pub(super) advice: Option<&'a Advice>,
    /// The same, those first that the fewest queues share: a machine that others can use too is left to them.
    pub(super) least_shared: Vec<usize>,
    /// How long nine of ten of its tasks take.
    task: OnceCell<SignedDuration>,
}

/// A pool of the settings.
pub(super) struct Pool<'a> {
    pub(super) settings: &'a PoolSettings,
    /// In order of preference, on the pool's own market.
    pub(super) kinds: Vec<Kind<'a>>,
    /// The same on demand, where the pool's own market is another.
    pub(super) on_demand: Vec<Kind<'a>>,
    /// So many machines in a row never registered.
    pub(super) boots_failed: u32,
    /// The first of its queues, by priority, that the server has.
    pub(super) first: Option<usize>,
    /// So many queues name it.
    pub(super) shared_by: usize,
    /// How long nine of ten of its boots take.
    boot: OnceCell<SignedDuration>,
    /// Of the boots that are known, if these are enough.
    longest_boot: OnceCell<Option<SignedDuration>>,
}

/// One machine type of a pool on one market.
pub(super) struct Kind<'a> {
    pub(super) machine_type: &'a MachineType,
    pub(super) market: Market,
    pub(super) offer: Offer,
    /// Launches of it fail for now.
    pub(super) blocked: Option<&'a Breaker>,
    /// Only a few may be asked for at once.
    pub(super) narrowed: Option<&'a Breaker>,
}

impl<'a> Index<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, settings: &'a Settings, ledger: &'a Ledger, now: Timestamp) -> Self {
        let mut pools: Vec<Pool<'a>> = settings.pools.iter().map(|pool| Pool::new(pool, snapshot, now)).collect();
        let pool_places: Map<_, _> =
            settings.pools.iter().enumerate().map(|(place, pool)| (&pool.name, place)).collect();
        let breakers: Vec<&Breaker> = snapshot.breakers.iter().filter(|breaker| breaker.until > now).collect();
        if !breakers.is_empty() {
            for pool in &mut pools {
                pool.back_off(&breakers);
            }
        }
        let queues = queues(snapshot, settings, &pool_places, &mut pools);
        Self {
            snapshot,
            settings,
            ledger,
            now,
            queue_places: queues.iter().map(|queue| (&queue.settings.name, queue.place)).collect(),
            queues,
            pools,
            pool_places,
            instance_places: OnceCell::new(),
            sources: snapshot.sources.iter().map(|source| (source.name.as_str(), source)).collect(),
        }
    }

    pub(super) fn queue_place(&self, name: &QueueName) -> Option<usize> {
        self.queue_places.get(name).copied()
    }

    pub(super) fn pool_place(&self, name: &PoolName) -> Option<usize> {
        self.pool_places.get(name).copied()
    }

    /// How many tasks a machine of a pool will run at a time.
    pub(super) fn each(&self, pool: usize) -> u32 {
        self.pools.get(pool).map_or(1, |pool| pool.settings.agent.agents())
    }

    pub(super) fn queue(&self, name: &QueueName) -> Option<&Queue<'a>> {
        self.queues.get(self.queue_place(name)?)
    }

    /// The place of a machine in the snapshot.
    pub(super) fn instance_place(&self, id: &InstanceId) -> Option<usize> {
        let places = self.instance_places.get_or_init(|| {
            self.snapshot.instances.iter().enumerate().map(|(place, instance)| (&instance.id, place)).collect()
        });
        places.get(id).copied()
    }

    /// Why nothing may be done on ClearML's word, if so.
    pub(super) fn stale_clearml(&self) -> Option<Reason> {
        self.stale(Source::CLEARML)
    }

    /// Why nothing may be launched, drained or stopped in a region, if so.
    pub(super) fn stale_region(&self, provider: Provider, region: &str) -> Option<Reason> {
        self.stale(&Source::region(provider, region))
    }

    /// A source that nobody lists has never answered.
    fn stale(&self, name: &str) -> Option<Reason> {
        let source = self.sources.get(name);
        if source.is_some_and(|source| !source.is_stale(self.now)) {
            return None;
        }
        Some(Reason::Stale {
            source: name.to_owned(),
            age: source.and_then(|source| source.age(self.now)),
            limit: source.map_or(SignedDuration::ZERO, |source| source.stale_after),
            error: source.and_then(|source| source.error.clone()),
        })
    }

    /// When ClearML last answered.
    pub(super) fn clearml_seen(&self) -> Option<Timestamp> {
        self.sources.get(Source::CLEARML)?.last_good
    }

    /// How long nine of ten tasks of a queue take, or are expected to.
    pub(super) fn task_time(&self, queue: &Queue<'_>) -> SignedDuration {
        *queue.task.get_or_init(|| {
            let learned = self.snapshot.learned.tasks.get(&queue.settings.name);
            learned.and_then(crate::model::record::Samples::p90).unwrap_or(queue.settings.expected_task)
        })
    }

    /// Whether a boot of a pool that takes so long takes much longer than any did lately.
    pub(super) fn is_late(&self, pool: usize, boot: SignedDuration) -> bool {
        let learned = &self.snapshot.learned;
        let longest = self.pools.get(pool).and_then(|pool| {
            *pool.longest_boot.get_or_init(|| {
                let boots = learned.boots.get(&pool.settings.name)?.sorted();
                boots.last().copied().filter(|_| boots.len() >= ENOUGH_BOOTS)
            })
        });
        longest.is_some_and(|longest| boot > longest * 5 / 4)
    }

    /// How long nine of ten boots of a pool take, once that is known.
    pub(super) fn boot_time(&self, pool: &Pool<'_>, unknown: SignedDuration) -> SignedDuration {
        *pool.boot.get_or_init(|| {
            let learned = self.snapshot.learned.boots.get(&pool.settings.name);
            learned.and_then(crate::model::record::Samples::p90).unwrap_or(unknown)
        })
    }
}

impl<'a> Pool<'a> {
    fn new(settings: &'a PoolSettings, snapshot: &Snapshot, now: Timestamp) -> Self {
        let on = |market| {
            let kind = move |machine_type| Kind {
                machine_type,
                market,
                offer: snapshot.catalogue.offer(settings, machine_type, market, now),
                blocked: None,
                narrowed: None,
            };
            settings.types.iter().map(kind).collect()
        };
        Self {
            settings,
            kinds: on(settings.market),
            on_demand: if settings.market == Market::Spot { on(Market::OnDemand) } else { Vec::new() },
            boots_failed: snapshot.boots_failed.get(&settings.name).copied().unwrap_or_default(),
            first: None,
            shared_by: 0,
            boot: OnceCell::new(),
            longest_boot: OnceCell::new(),
        }
    }

    fn back_off(&mut self, breakers: &[&'a Breaker]) {
        let settings = self.settings;
        let here: Vec<&Breaker> = breakers.iter().copied().filter(|breaker| breaker.on.touches(settings)).collect();
        if here.is_empty() {
            return;
        }
        for kind in self.kinds.iter_mut().chain(&mut self.on_demand) {
            let of_it = || here.iter().copied().filter(|one| one.on.covers(settings, kind.machine_type, kind.market));
            kind.narrowed = of_it().filter(|one| one.at_most > 0).min_by_key(|one| one.at_most);
            let everywhere = of_it().filter(|one| one.at_most == 0 && one.on.zone.is_none());
            kind.blocked = everywhere.max_by_key(|one| one.until).or_else(|| in_every_zone(settings, of_it()));
        }
    }
}

/// The back-off that ends first, where each zone of the pool has one.
fn in_every_zone<'a>(pool: &PoolSettings, breakers: impl Iterator<Item = &'a Breaker>) -> Option<&'a Breaker> {
    let breakers: Vec<&Breaker> = breakers.filter(|one| one.on.zone.is_some()).collect();
    let of_zone = |zone: &String| {
        let here = |one: &&&Breaker| one.on.zone.as_ref().is_some_and(|own| own.as_str() == zone);
        breakers.iter().filter(here).max_by_key(|one| one.until).copied()
    };
    let found: Option<Vec<&Breaker>> = pool.launch.zones.iter().map(of_zone).collect();
    found?.into_iter().min_by_key(|one| one.until)
}

impl Queue<'_> {
    /// The server has it.
    pub(super) fn exists(&self) -> bool {
        self.state.is_some_and(|state| state.id.is_some())
    }

    /// Why nothing can be done for it, where the server does not have it.
    pub(super) fn missing(&self) -> Option<Reason> {
        let nearest = self.state.and_then(|state| state.nearest.clone());
        (!self.exists()).then(|| Reason::NoSuchQueue { queue: self.settings.name.clone(), nearest })
    }

    /// Why the policy of the queue is not followed, if it is not.
    pub(super) fn policy_failed(&self, snapshot: &Snapshot) -> Option<Reason> {
        match snapshot.advice.get(&self.settings.name)? {
            Advised::Wants(_) => None,
            Advised::Failed { policy, error } => {
                Some(Reason::PolicyFailed { policy: policy.clone(), error: error.clone() })
            }
        }
    }

    /// How many of the waiting tasks were lost with a machine before.
    pub(super) fn retried(&self) -> u32 {
        self.state.filter(|state| state.id.is_some()).map_or(0, |state| state.retried)
    }

    /// Since when its first task waits.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.state?.waiting.iter().map(|entry| entry.added).min()
    }

    /// Why nothing is launched for some of its entries, if so.
    pub(super) fn phantoms(&self) -> Option<Reason> {
        let state = self.state.filter(|state| !state.phantoms.is_empty())?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (phantoms, entries) = (state.phantoms.len(), state.phantoms.len() + state.waiting.len());
        Some(Reason::Phantoms { phantoms: count(phantoms), entries: count(entries) })
    }

    pub(super) fn waiting(&self) -> u32 {
        let entries = self.state.filter(|state| state.id.is_some()).map_or(0, |state| state.waiting.len());
        u32::try_from(entries).unwrap_or(u32::MAX)
    }
}

fn queues<'a>(
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    pool_places: &Map<&'a PoolName, usize>,
    pools: &mut [Pool<'a>],
) -> Vec<Queue<'a>> {
    let states: Map<_, _> = snapshot.queues.iter().map(|state| (&state.name, state)).collect();
    let mut by_priority: Vec<_> = settings.queues.iter().enumerate().collect();
    by_priority.sort_by_key(|(_, queue)| Reverse(queue.priority));
    let mut queues = Vec::with_capacity(by_priority.len());
    for (place, (written, queue)) in by_priority.into_iter().enumerate() {
        let advice = snapshot.advice.get(&queue.name).and_then(Advised::wants);
        let of = |names: &[PoolName]| names.iter().filter_map(|pool| pool_places.get(pool)).copied().collect();
        let own: Vec<usize> = of(&queue.pools);
        let order = advice.and_then(|advice| advice.pools.as_deref()).map(|pools| {
            // A pool that the queue does not name serves it by nobody's word.
            let wanted: Vec<usize> = of(pools);
            wanted.into_iter().filter(|pool| own.contains(pool)).collect()
        });
        let queue = Queue {
            place,
            written,
            settings: queue,
            state: states.get(&queue.name).copied(),
            order: order.unwrap_or_else(|| own.clone()),
            pools: own,
            advice,
            least_shared: Vec::new(),
            task: OnceCell::new(),
        };
        for pool in &queue.pools {
            if let Some(pool) = pools.get_mut(*pool) {
                pool.shared_by += 1;
                if queue.exists() {
                    pool.first.get_or_insert(place);
                }
            }
        }
        queues.push(queue);
    }
    for queue in &mut queues {
        queue.least_shared.clone_from(&queue.pools);
        queue.least_shared.sort_by_key(|pool| pools.get(*pool).map_or(0, |pool| pool.shared_by));
    }
    queues
}

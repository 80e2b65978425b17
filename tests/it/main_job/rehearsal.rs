//! Simulated days through the very loop that runs live: nothing lost, no limit passed, the ledger equal to the bill.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tidegate::engine::act::crash::CrashPoints;
use tidegate::engine::act::naming::Naming;
use tidegate::engine::event::Leader;
use tidegate::engine::{Planner, Setup};
use tidegate::model::catalogue::Catalogue;
use tidegate::model::glance::Glance;
use tidegate::model::ids::Term;
use tidegate::model::journal::{Entry, JournalFilter};
use tidegate::model::record::{Memory, Record};
use tidegate::plan::plan;
use tidegate::replay::{Outcome, rehearse};
use tidegate::store::memory::MemoryStore;
use tidegate::store::settings::SettingsFile;
use tidegate::store::{Keep, Pruned, Store, StoreError};
use tidegate::world::World;
use tidegate::world::prices;
use tidegate::world::sim::Sim;
use tidegate::world::sim::scenario::Scenario;
use tokio::sync::Mutex;

pub(super) const SETTINGS: &str = include_str!("../../../assets/demo/settings.toml");

/// A store that outlives its loop.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    store: MemoryStore,
    /// What a test takes out of the records.
    spoil: Option<fn(&Record) -> bool>,
}

impl Kept {
    pub(super) fn losing(spoil: fn(&Record) -> bool) -> Self {
        Self(Arc::new(Mutex::new(Inner { spoil: Some(spoil), ..Inner::default() })))
    }

    /// Forgets everything, as a deleted store does. Call it when no loop is writing.
    pub(super) fn lose(&self) {
        self.0.try_lock().unwrap().store = MemoryStore::default();
    }
}

#[async_trait]
impl Store for Kept {
    async fn load(&mut self) -> Result<Memory, StoreError> {
        self.0.lock().await.store.load().await
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut inner = self.0.lock().await;
        let kept: Vec<Record> =
            records.iter().filter(|record| !inner.spoil.is_some_and(|spoil| spoil(record))).cloned().collect();
        inner.store.commit(&kept).await
    }

    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError> {
        self.0.lock().await.store.journal(filter).await
    }

    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError> {
        self.0.lock().await.store.glances(from, to, every).await
    }

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        self.0.lock().await.store.prune(keep).await
    }
}

/// A day and what a test changes about it.
pub(super) struct Day {
    pub(super) scenario: Scenario,
    pub(super) settings: String,
    pub(super) seed: u64,
    pub(super) hours: i64,
    pub(super) catalogue: Catalogue,
    pub(super) planner: Planner,
    pub(super) crash: CrashPoints,
    pub(super) store: Kept,
    pub(super) world: fn(&Sim) -> World,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            scenario: Scenario::demo().unwrap(),
            settings: SETTINGS.to_owned(),
            seed: 7,
            hours: 12,
            catalogue: prices::catalogue().unwrap(),
            planner: plan,
            crash: CrashPoints::default(),
            store: Kept::default(),
            world: Sim::world,
        }
    }
}

impl Day {
    pub(super) fn live(self) -> Outcome {
        let Self { scenario, settings, seed, hours, catalogue, planner, crash, store, world } = self;
        let (catalogue, lives) = (Arc::new(catalogue), AtomicU64::new(0));
        rehearse(scenario, seed, SignedDuration::from_hours(hours), move |sim, clock| {
            let (catalogue, crash, mut store) = (Arc::clone(&catalogue), crash.clone(), store.clone());
            let settings = SettingsFile::in_memory(&settings).unwrap();
            // A name given in one life is not given again in the next.
            let naming = Naming::seeded(seed + 1_000 * lives.fetch_add(1, Ordering::Relaxed));
            async move {
                store.commit(&[Record::Armed(true)]).await?;
                Ok(Setup {
                    settings,
                    world: world(&sim),
                    store: Box::new(store),
                    clock,
                    catalogue,
                    leader: Leader::Us(Term(1)),
                    candidate: None,
                    naming,
                    planner,
                    policy: None,
                    crash,
                    socket: None,
                    warnings: Vec::new(),
                })
            }
        })
        .unwrap()
    }
}

/// Everything that must hold of any day.
pub(super) fn assert_clean(outcome: &Outcome) {
    let judged = &outcome.judgement;
    assert!(judged.tasks_done > 0 && judged.launched > 0, "nothing happened: {outcome:?}");
    assert_eq!((judged.tasks_lost, judged.tasks_stranded), (0, 0), "{outcome:?}");
    assert_eq!((judged.limit_violations, judged.busy_kills, judged.double_launches), (0, 0, 0), "{outcome:?}");
    assert_eq!(judged.launched, judged.stopped, "{outcome:?}");
    assert_eq!(outcome.spent_microusd, judged.bill_microusd, "{outcome:?}");
}

#[test]
fn days_of_ten_seeds_are_clean() {
    for seed in 0..10 {
        assert_clean(&Day { seed, hours: 3, ..Day::default() }.live());
    }
}

/// The simulator bills disks, addresses and what was agreed by its own code.
#[test]
fn disks_addresses_and_discounts_are_in_the_ledger_to_the_micro_dollar() {
    let more = "ami = \"ami-demo\"\ndisk_gb = 137\nvolumes = [\"/dev/sdf size=33 type=st1\"]\npublic_address = true\n";
    let day = |discount: &str| {
        let settings = SETTINGS.replace("ami = \"ami-demo\"\n", &format!("{more}{discount}"));
        let outcome = Day { settings, hours: 3, ..Day::default() }.live();
        assert_clean(&outcome);
        outcome.spent_microusd
    };
    let plain = Day { hours: 3, ..Day::default() }.live().spent_microusd;
    assert!(day("") > plain, "they cost");
    assert!(day("discount = \"12.5% until 2099-01-01\"\n") < plain);
    assert_eq!(day("discount = \"12.5% until 2000-01-01\"\n"), day(""));
}

#[test]
fn one_seed_is_one_day_and_another_seed_is_another() {
    let day = |seed| serde_json::to_string(&Day { seed, hours: 1, ..Day::default() }.live()).unwrap();
    assert_eq!(day(1), day(1));
    assert_ne!(day(1), day(2));
}

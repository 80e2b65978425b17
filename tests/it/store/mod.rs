//! What is remembered, in a file and in a database that a team shares: the same, whatever was recorded.

mod kept;
mod records;
mod shared;

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use std::sync::atomic::{AtomicU32, Ordering};
use tidegate::model::ids::Term;
use tidegate::model::journal::{Entry, JournalFilter};
use tidegate::model::ledger::{Interval, Ledger};
use tidegate::model::money::Money;
use tidegate::model::record::{Memory, Record};
use tidegate::store::memory::MemoryStore;
use tidegate::store::postgres::PostgresStore;
use tidegate::store::sqlite::SqliteStore;
use tidegate::store::{Keep, Store, StoreError};

use crate::support::postgres::Postgres;
use records::{entry, glance, instant, now, record};

/// Where a store is kept.
enum Place {
    File(tempfile::TempDir),
    /// A fleet of its own in a database.
    Database {
        address: String,
        fleet: String,
    },
}

impl Place {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    fn database(postgres: &Postgres) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let fleet = format!("lab \"{}\"", LAST.fetch_add(1, Ordering::Relaxed));
        Self::Database { address: postgres.address(), fleet }
    }

    async fn open(&self) -> Opened {
        match self {
            Self::File(folder) => Opened::File(SqliteStore::open(folder.path(), now()).await.unwrap()),
            Self::Database { address, fleet } => {
                let mut store = PostgresStore::open(address, &fleet.as_str().into(), now).await.unwrap();
                store.lead(Term(1)).await.unwrap();
                Opened::Database(Box::new(store))
            }
        }
    }
}

enum Opened {
    File(SqliteStore),
    Database(Box<PostgresStore>),
}

impl Opened {
    fn store(&mut self) -> &mut dyn Store {
        match self {
            Self::File(store) => store,
            Self::Database(store) => store.as_mut(),
        }
    }

    async fn each_interval(&mut self, visit: impl FnMut(Interval)) -> Result<(), StoreError> {
        match self {
            Self::File(store) => store.each_interval(Timestamp::MIN, Timestamp::MAX, visit).await,
            Self::Database(store) => store.each_interval(Timestamp::MIN, Timestamp::MAX, visit).await,
        }
    }

    async fn standing(&mut self) -> Memory {
        match self {
            Self::File(store) => store.standing().await.unwrap(),
            Self::Database(store) => store.standing().await.unwrap(),
        }
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn applied(batches: &[Vec<Record>]) -> Memory {
    let mut memory = Memory::default();
    batches.iter().flatten().for_each(|record| memory.apply(record));
    memory
}

/// Runs a property so many times.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) });
    match runner.run(strategy, property) {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => panic!("{why}: {value:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn a_reopened_store_remembers_what_was_recorded(cases: u32, place: impl Fn() -> Place) {
    let batches = || vec(vec(record(), 0..12), 0..4);
    check(cases, &(batches(), batches()), |(first, second)| {
        let place = place();
        let remembered = wait(async {
            for batches in [&first, &second] {
                let mut opened = place.open().await;
                for batch in batches {
                    opened.store().commit(batch).await.unwrap();
                }
            }
            place.open().await.store().load().await.unwrap()
        });
        prop_assert_eq!(remembered, applied(&[first, second].concat()));
        Ok(())
    });
}

/// Whatever was recorded, what is read for a report is what was recorded.
fn intervals_are_shown_as_they_were_opened(cases: u32, place: impl Fn() -> Place) {
    check(cases, &vec(record(), 0..40), |records| {
        let place = place();
        let (standing, shown, whole) = wait(async {
            let mut opened = place.open().await;
            opened.store().commit(&records).await.unwrap();
            let (mut ledger, mut open) = (Ledger::default(), 0);
            let show = |interval: Interval| match interval.end {
                Some(_) => ledger.add_closed(&interval),
                None => open += 1,
            };
            opened.each_interval(show).await.unwrap();
            (opened.standing().await, (ledger, open), opened.store().load().await.unwrap())
        });
        prop_assert_eq!((standing.ledger.open(), standing.ledger.off()), (whole.ledger.open(), whole.ledger.off()));
        prop_assert_eq!((&standing.intents, &standing.known), (&whole.intents, &whole.known));
        let ended: Vec<&Interval> = whole.ledger.running().filter(|interval| interval.end.is_some()).collect();
        let mut ledger = Ledger::default();
        for interval in &ended {
            ledger.add_closed(interval);
        }
        prop_assert_eq!(shown.1 + ended.len(), whole.ledger.running().count());
        let before: Money = ledger.total(now());
        let running: Money = whole.ledger.running().map(|interval| interval.cost(now())).sum();
        prop_assert_eq!(shown.0.total(now()) - before, whole.ledger.total(now()) - running);
        Ok(())
    });
}

fn every_store_gives_the_same_journal(cases: u32, place: impl Fn() -> Place) {
    let asked = (option::of(instant()), option::of("[a-cA-C%_\\\\]{0,2}"), 0_u32..20);
    check(cases, &(vec(entry(), 0..30), asked, instant()), |(entries, (since, text, limit), before)| {
        let records: Vec<_> = entries.into_iter().map(Record::Journal).collect();
        let filter = JournalFilter { since, text, limit };
        let place = place();
        let (kept, memory) = wait(async {
            let (mut opened, mut memory) = (place.open().await, MemoryStore::default());
            let mut lines: (Vec<Vec<Entry>>, Vec<Vec<Entry>>) = (Vec::new(), Vec::new());
            for step in 0..2 {
                for store in [opened.store(), &mut memory as &mut dyn Store] {
                    match step {
                        0 => store.commit(&records).await.unwrap(),
                        _ => drop(store.prune(Keep { lines: before, bills: None }).await.unwrap()),
                    }
                }
                lines.0.push(opened.store().journal(&filter).await.unwrap());
                lines.1.push(memory.journal(&filter).await.unwrap());
            }
            lines
        });
        prop_assert_eq!(kept, memory);
        Ok(())
    });
}

fn every_store_gives_the_same_glances(cases: u32, place: impl Fn() -> Place) {
    let asked = (instant(), instant(), 0_i64..20_000_000);
    check(cases, &(vec(glance(), 0..40), asked, instant()), |(glances, (one, other, every), before)| {
        let records: Vec<_> = glances.into_iter().map(|glance| Record::Glanced(Box::new(glance))).collect();
        let (from, to, every) = (one.min(other), one.max(other), SignedDuration::from_secs(every));
        let place = place();
        let (kept, memory) = wait(async {
            let (mut opened, mut memory) = (place.open().await, MemoryStore::default());
            let mut told = (Vec::new(), Vec::new());
            for step in 0..2 {
                for store in [opened.store(), &mut memory as &mut dyn Store] {
                    match step {
                        0 => store.commit(&records).await.unwrap(),
                        _ => drop(store.prune(Keep { lines: before, bills: None }).await.unwrap()),
                    }
                }
                for every in [every, SignedDuration::ZERO] {
                    told.0.push(opened.store().glances(from, to, every).await.unwrap());
                    told.1.push(memory.glances(from, to, every).await.unwrap());
                }
            }
            told
        });
        prop_assert_eq!(kept, memory);
        Ok(())
    });
}

#[test]
fn a_file_remembers_everything() {
    a_reopened_store_remembers_what_was_recorded(96, Place::file);
    intervals_are_shown_as_they_were_opened(96, Place::file);
    every_store_gives_the_same_journal(96, Place::file);
    every_store_gives_the_same_glances(96, Place::file);
}

#[test]
fn a_database_remembers_everything() {
    let postgres = Postgres::start();
    a_reopened_store_remembers_what_was_recorded(24, || Place::database(&postgres));
    intervals_are_shown_as_they_were_opened(24, || Place::database(&postgres));
    every_store_gives_the_same_journal(24, || Place::database(&postgres));
    every_store_gives_the_same_glances(24, || Place::database(&postgres));
}

/// Long after this a bill is only a part of the total.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(100 * 24);

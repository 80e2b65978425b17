//! A database that several consoles share: one writes, whatever the others believe; and what they do when it is gone.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tidegate::model::ids::{Actor, Term};
use tidegate::model::posted::{Fate, Posted};
use tidegate::model::record::{Memory, Record};
use tidegate::store::postgres::PostgresStore;
use tidegate::store::sqlite::SqliteStore;
use tidegate::store::{Keep, Store, StoreError, moving};

use super::records::{now, record};
use super::{LONG_AGO, applied, wait};
use crate::support::postgres::Postgres;

async fn open(postgres: &Postgres) -> PostgresStore {
    PostgresStore::open(&postgres.address(), &"lab".into(), now).await.unwrap()
}

#[test]
fn one_console_writes_and_the_next_one_knows_all_that_it_wrote() {
    let postgres = Postgres::start();
    wait(async {
        let (mut first, mut second) = (open(&postgres).await, open(&postgres).await);
        first.commit(&[Record::Paused(true)]).await.unwrap();
        assert_eq!(first.lead(Term(1)).await.unwrap(), Some(Memory::default()));
        first.commit(&[Record::Armed(true)]).await.unwrap();
        // What a console notes that only watches is its own.
        second.commit(&[Record::Paused(true)]).await.unwrap();
        let seen = second.refresh().await.unwrap().unwrap();
        assert_eq!((seen.armed, seen.paused), (true, false));
        let known = second.lead(Term(2)).await.unwrap().unwrap();
        assert!(known.armed && !known.paused, "before it leads a console writes nothing");
        second.commit(&[Record::Paused(true)]).await.unwrap();
        // The first was away, and does not know that it leads no more.
        let refused = first.commit(&[Record::Armed(false)]).await.unwrap_err();
        assert!(matches!(refused, StoreError::Superseded { ours: Term(1), leads: Term(2) }), "{refused}");
        let refused = first.lead(Term(1)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Superseded { .. }), "{refused}");
        let seen = first.load().await.unwrap();
        assert_eq!((seen.armed, seen.paused), (true, true));
        // Another fleet remembers by itself.
        let mut other = PostgresStore::open(&postgres.address(), &"other".into(), now).await.unwrap();
        assert_eq!(other.load().await.unwrap(), Memory::default());
    });
}

fn order(number: i64) -> Posted {
    let (id, by) = (format!("order {number}"), Actor::new("bo@host"));
    Posted { id, by, at: now() + jiff::SignedDuration::from_secs(number), command: "\"arm\"".to_owned() }
}

#[test]
fn an_order_is_taken_once_by_who_leads_and_answered() {
    let postgres = Postgres::start();
    wait(async {
        let (mut leader, mut watcher) = (open(&postgres).await, open(&postgres).await);
        leader.lead(Term(1)).await.unwrap();
        for number in [2, 1, 3] {
            watcher.post(&order(number)).await.unwrap();
        }
        assert_eq!(watcher.take_posted("lost").await.unwrap(), None, "who watches takes nothing");
        assert_eq!(leader.take_posted("lost").await.unwrap(), Some(order(1)), "the oldest first");
        assert_eq!(watcher.fate_of_posted("order 1").await.unwrap(), Fate::Taken);
        assert_eq!(watcher.fate_of_posted("order 2").await.unwrap(), Fate::Waits);
        assert!(!watcher.withdraw_posted("order 1").await.unwrap(), "it is taken");
        assert!(watcher.withdraw_posted("order 2").await.unwrap());
        leader.answer_posted("order 1", "done").await.unwrap();
        assert_eq!(watcher.fate_of_posted("order 1").await.unwrap(), Fate::Answered("done".to_owned()));
        assert_eq!(leader.take_posted("lost").await.unwrap(), Some(order(3)));
        // It dies over the third, and the next one does not do it again.
        let mut next = open(&postgres).await;
        next.lead(Term(2)).await.unwrap();
        assert!(matches!(leader.take_posted("lost").await, Err(StoreError::Superseded { .. })));
        assert_eq!(next.take_posted("lost").await.unwrap(), None);
        leader.answer_posted("order 3", "done").await.unwrap();
        assert_eq!(watcher.fate_of_posted("order 3").await.unwrap(), Fate::Answered("lost".to_owned()));
    });
}

/// The leader takes an order while the watcher withdraws it: one of the two has it.
#[test]
fn whoever_is_quicker_gets_an_order_and_nobody_else_does() {
    let postgres = Postgres::start();
    wait(async {
        let (mut leader, mut watcher) = (open(&postgres).await, open(&postgres).await);
        leader.lead(Term(1)).await.unwrap();
        let mut taken = 0;
        for number in 0..60 {
            let order = order(number);
            watcher.post(&order).await.unwrap();
            let (took, withdrew) = tokio::join!(leader.take_posted("lost"), watcher.withdraw_posted(&order.id));
            let (took, withdrew) = (took.unwrap(), withdrew.unwrap());
            assert_ne!(took.is_some(), withdrew, "{took:?}");
            taken += u32::from(took.is_some());
        }
        println!("{taken} of 60 orders were taken before they were withdrawn");
    });
}

#[test]
fn a_database_that_goes_away_is_told_and_found_again() {
    let mut postgres = Postgres::start();
    wait(async {
        let mut store = open(&postgres).await;
        store.lead(Term(1)).await.unwrap();
        store.commit(&[Record::Armed(true)]).await.unwrap();
        postgres.kill();
        let gone = store.commit(&[Record::Paused(true)]).await.unwrap_err();
        assert!(gone.to_string().starts_with("the shared store: "), "{gone}");
        assert!(store.refresh().await.is_err());
        postgres.go_on();
        let seen = store.refresh().await.unwrap().unwrap();
        assert_eq!((seen.armed, seen.paused), (true, false));
        store.commit(&[Record::Paused(true)]).await.unwrap();
        assert!(store.load().await.unwrap().paused);
    });
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let postgres = Postgres::start();
    wait(async {
        let mut store = open(&postgres).await;
        store.lead(Term(1)).await.unwrap();
        let refused = store.commit(&[Record::Armed(true), Record::LedgerWholeSince(jiff::Timestamp::MAX)]).await;
        assert!(refused.unwrap_err().to_string().contains("out of the store's range"));
        assert_eq!(store.load().await.unwrap(), Memory::default());
    });
}

#[test]
fn a_file_is_moved_whole_into_an_empty_database() {
    let postgres = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let records: Vec<Record> = (0..400).map(|_| record().new_tree(&mut runner).unwrap().current()).collect();
    assert!(records.iter().any(|record| matches!(record, Record::Journal(_))), "too few records");
    wait(async {
        let mut file = SqliteStore::open(folder.path(), now()).await.unwrap();
        file.commit(&records).await.unwrap();
        let mut store = open(&postgres).await;
        assert!(moving::copy(&mut file, &mut store).await.unwrap() > 100);
        assert_eq!(store.load().await.unwrap(), applied(std::slice::from_ref(&records)));
        let all = tidegate::model::journal::JournalFilter { since: None, text: None, limit: 1_000 };
        assert_eq!(store.journal(&all).await.unwrap(), file.journal(&all).await.unwrap());
        // It goes on from there.
        store.lead(Term(1)).await.unwrap();
        store.commit(&records).await.unwrap();
        assert_eq!(store.load().await.unwrap(), applied(&[records.clone(), records.clone()]));
        let again = moving::copy(&mut file, &mut store).await.unwrap_err();
        assert!(again.to_string().contains("remembers something already"), "{again}");
        store.prune(Keep { lines: now() - LONG_AGO, bills: None }).await.unwrap();
    });
}

#[test]
fn what_is_no_database_is_told_without_its_password() {
    wait(async {
        let port = crate::support::process::free_port();
        let address = format!("postgres://ann:s3cr3t@127.0.0.1:{port}/db");
        let refused = PostgresStore::open(&address, &"lab".into(), now).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("127.0.0.1:{port} cannot be reached")), "{refused}");
        assert!(!refused.contains("s3cr3t"), "{refused}");
    });
}

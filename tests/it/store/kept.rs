//! What is kept for how long: too old goes, some rows at a time, and what it came to stays.

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use tidegate::model::account::Owner;
use tidegate::model::journal::{Entry, EntryKind, JournalFilter, Subject};
use tidegate::model::ledger::{Interval, Share};
use tidegate::model::money::{Money, Rate};
use tidegate::model::record::{Opened, Record};
use tidegate::model::waste::Standing;
use tidegate::store::{Keep, Store};

use super::records::{instant, known_as, now, record};
use super::{Place, check, wait};
use crate::support::postgres::Postgres;

/// More lines than one step removes.
const MANY: i64 = 2_300;

async fn forget(store: &mut dyn Store, keep: Keep) -> u32 {
    let mut steps = 1;
    while store.prune(keep).await.unwrap().more {
        steps += 1;
    }
    steps
}

/// Whatever was recorded, bills that ended too early are gone, the others are there, and the total is the same.
fn old_bills_go_and_the_total_stays(cases: u32, place: impl Fn() -> Place) {
    check(cases, &(vec(record(), 0..60), instant(), instant()), |(records, bills, lines)| {
        let place = place();
        let (before, after) = wait(async {
            let mut opened = place.open().await;
            opened.store().commit(&records).await.unwrap();
            let (mut before, mut after) = (Vec::new(), Vec::new());
            opened.each_interval(|interval| before.push(interval)).await.unwrap();
            let total = opened.store().load().await.unwrap().ledger.total(now());
            forget(opened.store(), Keep { lines, bills: Some(bills) }).await;
            drop(opened);
            let mut opened = place.open().await;
            opened.each_interval(|interval| after.push(interval)).await.unwrap();
            let memory = opened.store().load().await.unwrap();
            let all = JournalFilter { since: None, text: None, limit: 1_000 };
            let journal = opened.store().journal(&all).await.unwrap();
            ((before, total, memory.ledger.running().count()), (after, memory.ledger.total(now()), journal))
        });
        // Those that run may have an end too, and stay.
        let stays = |interval: &&Interval| interval.end.is_none_or(|end| end >= bills);
        let stay: Vec<&Interval> = before.0.iter().filter(stays).collect();
        let removed = before.0.len() - after.0.len();
        prop_assert!(removed <= before.0.len() - stay.len());
        prop_assert!(removed + before.2 >= before.0.len() - stay.len());
        prop_assert!(stay.iter().all(|interval| after.0.contains(interval)));
        prop_assert_eq!(before.1, after.1);
        prop_assert!(after.2.iter().all(|line| line.at >= lines));
        Ok(())
    });
}

/// A pod that was given up before it had a node cost nothing, and comes to nothing once its bill is forgotten.
fn a_bill_of_waiting_alone_comes_to_nothing(place: &Place) {
    let (start, end) = (now() - SignedDuration::from_hours(9), now() - SignedDuration::from_hours(3));
    let share = Share {
        from: start,
        queue: "q".into(),
        task: Some("t".into()),
        owner: Owner::default(),
        standing: Standing::Waits,
    };
    let interval = Interval {
        instance: "clearml-t-1".into(),
        pool: "p".into(),
        home: "q".into(),
        rate: Some(Rate::from_micros_per_hour(1_000_000)),
        extras: Rate::ZERO,
        disks: Rate::ZERO,
        off: false,
        reservation: Money::ZERO,
        start,
        end: None,
        shares: vec![share],
    };
    let opened = Record::Opened(Box::new(Opened { known: known_as("clearml-t-1", start), interval }));
    wait(async {
        let mut store = place.open().await;
        store.store().commit(&[opened, Record::Closed { instance: "clearml-t-1".into(), end }]).await.unwrap();
        forget(store.store(), Keep { lines: now(), bills: Some(now()) }).await;
        assert_eq!(store.store().load().await.unwrap().ledger.total(now()), Money::ZERO);
    });
}

fn many_lines_go_some_at_a_time(place: &Place) {
    wait(async {
        let mut opened = place.open().await;
        let lines: Vec<Record> = (0..MANY)
            .map(|number| {
                Record::Journal(Entry {
                    at: now() - SignedDuration::from_secs(number),
                    by: "loop".into(),
                    kind: EntryKind::Decided,
                    text: number.to_string(),
                    reason: String::new(),
                    subject: Subject::default(),
                    intent: None,
                    revision: None,
                })
            })
            .collect();
        for some in lines.chunks(100) {
            opened.store().commit(some).await.unwrap();
        }
        let keep = Keep { lines: now() - SignedDuration::from_secs(9), bills: None };
        assert_eq!(forget(opened.store(), keep).await, 2);
        let all = JournalFilter { since: None, text: None, limit: 5_000 };
        let kept: Vec<String> = opened.store().journal(&all).await.unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(kept, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn a_file_forgets_what_is_too_old() {
    old_bills_go_and_the_total_stays(96, Place::file);
    many_lines_go_some_at_a_time(&Place::file());
    a_bill_of_waiting_alone_comes_to_nothing(&Place::file());
}

#[test]
fn a_database_forgets_what_is_too_old() {
    let postgres = Postgres::start();
    old_bills_go_and_the_total_stays(24, || Place::database(&postgres));
    many_lines_go_some_at_a_time(&Place::database(&postgres));
    a_bill_of_waiting_alone_comes_to_nothing(&Place::database(&postgres));
}

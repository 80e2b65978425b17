//! The loop itself, step by step: what a clock that jumps and the passing of months do to it.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::{broadcast, mpsc};

use super::world::Scripted;
use super::{Disk, SETTINGS, Trial};
use crate::engine::act::deed::Deed;
use crate::engine::run::Loop;
use crate::engine::words::line;
use crate::model::journal::{EntryKind, JournalFilter};
use crate::model::record::Record;
use crate::store::Store;
use crate::store::settings::SettingsFile;
use crate::world::clock::Clock;

/// A loop that does not run, and its world.
pub(super) async fn still() -> (Loop, Arc<Scripted>) {
    let disk = Disk::default();
    disk.clone().commit(&[Record::Armed(true)]).await.unwrap();
    let clock = Clock::simulated("2026-11-02T08:00:00Z".parse().unwrap(), 1);
    let world = Scripted::new(clock, 1);
    let setup = Trial::setup(&world, &disk, clock, SettingsFile::in_memory(SETTINGS).unwrap());
    (Loop::new(setup, mpsc::channel(1).1, broadcast::channel(64).0).await.unwrap(), world)
}

pub(super) async fn finish_a_look(the_loop: &mut Loop) {
    while let Some(look) = the_loop.looking {
        let done = the_loop.work.join_next_with_id().await.unwrap();
        let is_look = done.as_ref().is_ok_and(|(id, _)| *id == look);
        the_loop.finished(done).await.unwrap();
        if is_look {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_by_hours_delays_no_look_no_lease_and_no_retry() {
    let (mut the_loop, _) = still().await;
    let later = the_loop.setup.clock.now() + SignedDuration::from_hours(8);
    the_loop.next_pass = later;
    assert!(the_loop.wait() <= SignedDuration::from_secs(10));
    the_loop.wake().await.unwrap();
    finish_a_look(&mut the_loop).await;
    let now = the_loop.setup.clock.now();
    let limit = SignedDuration::from_secs(90);
    assert!(the_loop.facts.sources(limit).iter().all(|source| !source.is_stale(now)));
    let lease = Deed::RenewLease { fleet: "lab".into(), value: String::new() };
    the_loop.retries.failed(&lease, later);
    the_loop.leased_at = Some(later);
    the_loop.touched.insert("clearml-t-1".into(), later);
    the_loop.jumped(SignedDuration::from_hours(-8)).await;
    assert!(the_loop.facts.sources(limit).iter().all(|source| source.is_stale(now)));
    assert!(!the_loop.retries.blocks(&lease, now) && the_loop.leased_at.is_none() && the_loop.touched.is_empty());
}

/// A loop whose first look ends; `noticed`: the clock jumped meanwhile, and it noticed.
async fn looked(noticed: bool) -> Loop {
    let (mut the_loop, _) = still().await;
    the_loop.look();
    if noticed {
        the_loop.jumped(SignedDuration::from_hours(8)).await;
    }
    finish_a_look(&mut the_loop).await;
    the_loop
}

/// Row 28 of the failures of others: without the notice the loop would act on what it saw before.
#[tokio::test(start_paused = true)]
async fn row_28_a_look_that_began_before_the_clock_jumped_is_made_again() {
    let again = looked(true).await;
    assert!(!again.facts.knows_clearml() && again.looking.is_some());
    let trusted = looked(false).await;
    assert!(trusted.facts.knows_clearml() && trusted.looking.is_none());
}

#[tokio::test(start_paused = true)]
async fn once_a_day_what_is_old_is_forgotten() {
    let (mut the_loop, _) = still().await;
    let long_ago = the_loop.setup.clock.now() - SignedDuration::from_hours(100 * 24);
    let old = vec![
        Record::Gone { instance: "i-9".into(), at: long_ago },
        line(long_ago, EntryKind::Seen, "an old line").record(),
    ];
    the_loop.commit(old).await;
    the_loop.wake().await.unwrap();
    assert!(the_loop.memory.gone.is_empty());
    let filter = JournalFilter { since: None, text: Some("an old line".to_owned()), limit: 9 };
    assert_eq!(the_loop.setup.store.journal(&filter).await.unwrap(), []);
    the_loop.commit(vec![Record::Gone { instance: "i-9".into(), at: long_ago }]).await;
    the_loop.wake().await.unwrap();
    assert!(!the_loop.memory.gone.is_empty(), "not at each look");
}

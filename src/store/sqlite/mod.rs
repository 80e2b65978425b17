//! The store in one SQLite file.

mod bills;
mod columns;
mod open;
mod read;
mod write;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::time::timeout;

use crate::model::journal::{Entry, JournalFilter};
use crate::model::ledger::Interval;
use crate::model::record::{Memory, Record};
use crate::store::{Store, StoreError};

/// Closed intervals that ended longer ago stay on disk; in memory they are only a part of the total. The longest
/// period of a budget is a month.
const KEPT_IN_MEMORY: SignedDuration = SignedDuration::from_hours(70 * 24);

/// The store's file in the state directory.
pub const FILE: &str = "tidegate.sqlite";

/// The thread of a damaged file may end without a word, and then no answer comes.
const LONGEST_READ: Duration = Duration::from_secs(30);

fn silent(path: &Path) -> StoreError {
    let message = format!("SQLite has not answered for {} s", LONGEST_READ.as_secs());
    StoreError::Damaged { path: path.to_owned(), what: "file".to_owned(), message }
}

/// Keeps the records in a SQLite file: WAL, every commit fsynced, one connection.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: SqliteConnection,
    keep_from: Timestamp,
}

impl SqliteStore {
    /// Opens the store of a state directory, or begins it.
    pub async fn open(directory: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let opened = timeout(LONGEST_READ, open::open(directory, &path)).await;
        let connection = opened.unwrap_or_else(|_| Err(silent(&path)))?;
        Ok(Self { path, connection, keep_from: now.saturating_sub(KEPT_IN_MEMORY).unwrap_or(Timestamp::MIN) })
    }

    /// Shows every interval that bills some of the time from `from` to `to`, with its shares; none is held.
    pub async fn each_interval(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        visit: impl FnMut(Interval),
    ) -> Result<(), StoreError> {
        let span = bills::Span::Within(from, to);
        bills::each(&mut self.connection, span, visit).await.map_err(|error| self.damaged("ledger", error))
    }

    /// What stands now, of everything remembered: intents, machines and their open bills.
    pub async fn standing(&mut self) -> Result<Memory, StoreError> {
        let read = timeout(LONGEST_READ, read::standing(&mut self.connection)).await;
        read.map_err(|_| silent(&self.path))?.map_err(|(what, error)| self.damaged(what, error))
    }

    /// Writes the last pages back and closes the file.
    pub async fn close(self) -> Result<(), StoreError> {
        let path = self.path;
        self.connection.close().await.map_err(|error| StoreError::Write { path, message: error.to_string() })
    }

    fn damaged(&self, what: &str, error: impl Display) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.to_owned(), message: error.to_string() }
    }

    fn unwritten(&self, error: impl Display) -> StoreError {
        StoreError::Write { path: self.path.clone(), message: error.to_string() }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&mut self) -> Result<Memory, StoreError> {
        let read = timeout(LONGEST_READ, read::memory(&mut self.connection, self.keep_from)).await;
        read.map_err(|_| silent(&self.path))?.map_err(|(what, error)| self.damaged(what, error))
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        write::commit(&mut self.connection, records).await.map_err(|error| self.unwritten(error))
    }

    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError> {
        read::journal(&mut self.connection, filter).await.map_err(|error| self.damaged("journal", error))
    }

    async fn prune(&mut self, before: Timestamp) -> Result<(), StoreError> {
        write::prune(&mut self.connection, before).await.map_err(|error| self.unwritten(error))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::account::Owner;
    use std::fs;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::model::course::{Lesson, Rise};
    use crate::model::instance::{Drain, DrainCause, Hold, Origin, Power};
    use crate::model::journal::{EntryKind, Subject};
    use crate::model::ledger::{Ledger, Share};
    use crate::model::money::{Money, Rate};
    use crate::model::observed::LostTask;
    use crate::model::plan::Choice;
    use crate::model::record::{Intent, IntentEnd, IntentOutcome, KnownInstance, Opened};
    use crate::model::settings::{Market, Provider};
    use crate::model::waste::Standing;
    use crate::store::memory::MemoryStore;

    const NOW: &str = "2026-11-02T08:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn open(directory: &Path) -> SqliteStore {
        SqliteStore::open(directory, now()).await.unwrap()
    }

    /// Few names, so that records meet.
    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "Ünï 'c'\"", ""]).prop_map(str::to_owned)
    }

    prop_compose! {
        fn instant()(nanoseconds in 0_i64..40 * 86_400_000_000_000) -> Timestamp {
            now().saturating_sub(SignedDuration::from_nanos(nanoseconds)).unwrap()
        }
    }

    prop_compose! {
        fn drain()(nonce in name(), by in name(), ordered in instant(), acknowledged in option::of(instant()), cancelled: bool, held: bool, end_asked in option::of(instant())) -> Drain {
            Drain { nonce, cause: DrainCause::Person, by: by.into(), ordered, acknowledged, cancelled, held, end_asked }
        }
    }

    fn power() -> impl Strategy<Value = Power> {
        prop_oneof![
            Just(Power::On),
            instant().prop_map(|at| Power::SwitchingOff { at }),
            instant().prop_map(|since| Power::Off { since }),
        ]
    }

    prop_compose! {
        fn hold()(until in instant(), by in name(), why in ".{0,9}") -> Hold {
            Hold { until, by: by.into(), why }
        }
    }

    prop_compose! {
        fn intent()(id in name(), pool in name(), rate in option::of(0_i64..9_000_000), opened in instant(), lost: bool) -> Intent {
            Intent {
                id: id.clone().into(),
                batch: id.into(),
                pool: pool.into(),
                queue: "q".into(),
                provider: Provider::Aws,
                region: "r".to_owned(),
                machine_type: "m".into(),
                market: Market::Spot,
                vcpu: 8,
                gpu: 1,
                rate: rate.map(Rate::from_micros_per_hour),
                reservation: Money::from_micros(7),
                opened,
                revision: crate::model::ids::Revision::new("0a"),
                outcome: if lost { IntentOutcome::Unknown } else { IntentOutcome::Open },
                starts: lost.then(|| "i".into()),
                max_life: lost.then_some(SignedDuration::from_hours(24)),
                choices: vec![Choice {
                    machine_type: "m".into(),
                    vcpu: 8,
                    gpu: 1,
                    rate: rate.map(Rate::from_micros_per_hour),
                    reservation: Money::from_micros(7),
                }],
            }
        }
    }

    prop_compose! {
        fn known()(id in name(), zone in option::of(name()), launched in instant(), registered: bool, drain in option::of(drain()),
            hold in option::of(hold()), stop_sent in option::of(instant()), power in power()) -> KnownInstance {
            KnownInstance {
                id: id.into(),
                provider: Provider::Aws,
                region: "r".to_owned(),
                pool: "p".into(),
                home: "q".into(),
                machine_type: "m".into(),
                zone: zone.map(Into::into),
                market: Market::OnDemand,
                vcpu: 4,
                gpu: 0,
                intent: None,
                origin: Origin::Orphan,
                launched,
                registered,
                drain,
                hold,
                stop_sent,
                power,
                replace: None,
                started_again: false,
                max_life: None,
            }
        }
    }

    prop_compose! {
        fn share()(from in instant(), queue in name(), task in option::of(name()), project in option::of(name()),
            user in option::of(name()), standing in prop::sample::select(vec![Standing::Boot, Standing::Idle, Standing::Drained, Standing::Off])) -> Share {
            let owner = Owner { project: project.map(Into::into), user: user.map(Into::into) };
            Share { from, queue: queue.into(), task: task.map(Into::into), owner, standing }
        }
    }

    prop_compose! {
        fn interval()(instance in name(), pool in name(), rate in option::of(0_i64..40_000_000), extras in 0_i64..9, off: bool, start in instant(),
            end in option::of(instant()), shares in vec(share(), 0..3)) -> Interval {
            Interval {
                instance: instance.into(),
                pool: pool.into(),
                home: "q".into(),
                rate: rate.map(Rate::from_micros_per_hour),
                extras: Rate::from_micros_per_hour(extras),
                disks: Rate::from_micros_per_hour(extras / 2),
                off,
                reservation: Money::from_micros(9),
                start,
                end,
                shares,
            }
        }
    }

    prop_compose! {
        fn lost()(task in name(), started in option::of(instant())) -> LostTask {
            LostTask { task: task.into(), queue: "q".into(), worker: Some("w".into()), instance: "i".into(), started }
        }
    }

    prop_compose! {
        fn entry()(at in instant(), by in name(), text in "[a-cA-C é]{0,4}", reason in "[a-c]{0,2}", queue in option::of(name()),
            pool in option::of(name()), task in option::of(name()), intent in option::of(name()), refused: bool) -> Entry {
            Entry {
                at,
                by: by.into(),
                kind: if refused { EntryKind::Refused } else { EntryKind::Edited },
                text,
                reason,
                subject: Subject { queue: queue.map(Into::into), pool: pool.map(Into::into), instance: None, task: task.map(Into::into) },
                revision: intent.clone().map(crate::model::ids::Revision::new),
                intent: intent.map(Into::into),
            }
        }
    }

    fn record() -> impl Strategy<Value = Record> {
        let span = (0_i64..90_000_000_000_000).prop_map(SignedDuration::from_nanos);
        let end = prop::sample::select(vec![IntentEnd::Made, IntentEnd::Refused, IntentEnd::NeverAppeared]);
        let machines = prop_oneof![
            (known(), interval()).prop_map(|(known, interval)| Record::Opened(Box::new(Opened { known, interval }))),
            (known(), interval()).prop_map(|(known, interval)| Record::Restarted(Box::new(Opened { known, interval }))),
            interval().prop_map(|interval| Record::DisksBilled(Box::new(Interval { off: true, ..interval }))),
            name().prop_map(|id| Record::Registered(id.into())),
            (name(), power()).prop_map(|(id, power)| Record::PowerSet { instance: id.into(), power }),
            (name(), share()).prop_map(|(id, share)| Record::Charged { instance: id.into(), share }),
            (name(), instant()).prop_map(|(id, at)| Record::StopSent { instance: id.into(), at }),
            (name(), instant()).prop_map(|(id, end)| Record::Closed { instance: id.into(), end }),
            (name(), instant()).prop_map(|(id, at)| Record::Gone { instance: id.into(), at }),
            name().prop_map(|id| Record::Withdrawn(id.into())),
            (name(), option::of(drain())).prop_map(|(id, drain)| Record::DrainSet { instance: id.into(), drain }),
            (name(), option::of(name()))
                .prop_map(|(id, by)| Record::ReplaceSet { instance: id.into(), by: by.map(Into::into) }),
            (name(), option::of(hold())).prop_map(|(id, hold)| Record::HoldSet { instance: id.into(), hold }),
        ];
        let others = prop_oneof![
            any::<bool>().prop_map(Record::Armed),
            any::<bool>().prop_map(Record::Paused),
            intent().prop_map(Record::IntentOpened),
            name().prop_map(|id| Record::IntentUnknown(id.into())),
            (name(), end).prop_map(|(id, end)| Record::IntentClosed { id: id.into(), end }),
            lost().prop_map(Record::RequeueOpened),
            name().prop_map(|task| Record::RequeueClosed(task.into())),
            (name(), any::<u32>()).prop_map(|(task, count)| Record::Requeued { task: task.into(), count }),
            (name(), instant()).prop_map(|(task, at)| Record::Interrupted { task: task.into(), at }),
            (name(), span.clone()).prop_map(|(queue, duration)| Record::TaskTook { queue: queue.into(), duration }),
            (name(), span.clone()).prop_map(|(pool, duration)| Record::BootTook { pool: pool.into(), duration }),
            (name(), span.clone()).prop_map(|(pool, duration)| Record::StartTook { pool: pool.into(), duration }),
            (name(), span.clone())
                .prop_map(|(pool, lasted)| Record::Learned(Lesson::Gap { pool: pool.into(), lasted })),
            (name(), span).prop_map(|(pool, lasted)| Record::Learned(Lesson::Interval { pool: pool.into(), lasted })),
            (name(), any::<(u32, u32, u32)>()).prop_map(|(pool, (over, lately, more))| {
                Record::Learned(Lesson::Rise { pool: pool.into(), rise: Rise { over, lately, more } })
            }),
            (name(), name()).prop_map(|(pool, id)| Record::BootFailed { pool: pool.into(), instance: id.into() }),
            name().prop_map(|pool| Record::BootsForgiven(pool.into())),
            instant().prop_map(Record::LedgerWholeSince),
            entry().prop_map(Record::Journal),
        ];
        prop_oneof![2 => machines, 1 => others]
    }

    fn applied(batches: &[Vec<Record>]) -> Memory {
        let mut memory = Memory::default();
        batches.iter().flatten().for_each(|record| memory.apply(record));
        memory
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_reopened_store_remembers_what_was_recorded(
            first in vec(vec(record(), 0..12), 0..5),
            second in vec(vec(record(), 0..12), 0..3),
        ) {
            let directory = tempfile::tempdir().unwrap();
            wait(async {
                for batches in [&first, &second] {
                    let mut store = open(directory.path()).await;
                    for batch in batches {
                        store.commit(batch).await.unwrap();
                    }
                }
            });
            let remembered = wait(async { open(directory.path()).await.load().await.unwrap() });
            prop_assert_eq!(remembered, applied(&[first, second].concat()));
        }

        /// Whatever was recorded, what is read for a report is what was recorded.
        #[test]
        fn intervals_are_shown_as_they_were_opened(records in vec(record(), 0..40)) {
            let directory = tempfile::tempdir().unwrap();
            let (standing, shown, whole) = wait(async {
                let mut store = open(directory.path()).await;
                store.commit(&records).await.unwrap();
                let (mut ledger, mut open) = (Ledger::default(), 0);
                let show = |interval: Interval| match interval.end {
                    Some(_) => ledger.add_closed(&interval),
                    None => open += 1,
                };
                store.each_interval(Timestamp::MIN, Timestamp::MAX, show).await.unwrap();
                (store.standing().await.unwrap(), (ledger, open), store.load().await.unwrap())
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
            let closed: Money = whole.ledger.total(now()) - whole.ledger.running().map(|interval| interval.cost(now())).sum();
            prop_assert_eq!(shown.0.total(now()) - before, closed);
        }

        #[test]
        fn both_stores_give_the_same_journal(
            entries in vec(entry(), 0..30),
            since in option::of(instant()),
            text in option::of("[a-cA-C]{0,2}"),
            limit in 0_u32..20,
            before in instant(),
        ) {
            let records: Vec<_> = entries.into_iter().map(Record::Journal).collect();
            let filter = JournalFilter { since, text, limit };
            let directory = tempfile::tempdir().unwrap();
            let (disk, memory) = wait(async {
                let (mut disk, mut memory) = (open(directory.path()).await, MemoryStore::default());
                let mut lines = (Vec::new(), Vec::new());
                for step in 0..2 {
                    if step == 0 {
                        disk.commit(&records).await.unwrap();
                        memory.commit(&records).await.unwrap();
                    } else {
                        disk.prune(before).await.unwrap();
                        memory.prune(before).await.unwrap();
                    }
                    lines.0.push(disk.journal(&filter).await.unwrap());
                    lines.1.push(memory.journal(&filter).await.unwrap());
                }
                lines
            });
            prop_assert_eq!(disk, memory);
        }

        #[test]
        fn any_bytes_as_the_file_are_refused_with_the_path(bytes in vec(any::<u8>(), 1..5_000)) {
            let directory = tempfile::tempdir().unwrap();
            fs::File::options().create(true).append(true).open(directory.path().join(FILE)).unwrap();
            std::io::Write::write_all(
                &mut fs::File::options().append(true).open(directory.path().join(FILE)).unwrap(),
                &bytes,
            ).unwrap();
            let refused = wait(SqliteStore::open(directory.path(), now())).unwrap_err();
            prop_assert!(matches!(refused, StoreError::Foreign { .. }), "{refused:?}");
            prop_assert!(refused.to_string().contains(FILE) && refused.to_string().contains("move it away"));
        }

        #[test]
        fn a_damaged_store_is_read_or_refused(hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..400)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(FILE);
            wait(async {
                let mut store = open(directory.path()).await;
                store.commit(&[Record::Armed(true), Record::LedgerWholeSince(now())]).await.unwrap();
                store.close().await.unwrap();
            });
            let mut bytes = fs::read(&path).unwrap();
            for (index, byte) in hits {
                let place = index.index(bytes.len());
                bytes[place] = byte;
            }
            std::io::Write::write_all(&mut fs::File::options().write(true).truncate(true).open(&path).unwrap(), &bytes).unwrap();
            wait(async {
                match SqliteStore::open(directory.path(), now()).await {
                    Ok(mut store) => { let _ = store.load().await; }
                    Err(error) => assert!(error.to_string().contains(FILE), "{error}"),
                }
            });
        }
    }

    #[test]
    fn a_batch_is_written_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        wait(async {
            let mut store = open(directory.path()).await;
            let refused = store.commit(&[Record::Armed(true), Record::LedgerWholeSince(Timestamp::MAX)]).await;
            assert!(refused.unwrap_err().to_string().contains("out of the store's range"));
            assert_eq!(store.load().await.unwrap(), Memory::default());
        });
    }

    #[test]
    fn money_older_than_memory_reaches_stays_in_the_total() {
        let directory = tempfile::tempdir().unwrap();
        let start = now().saturating_sub(SignedDuration::from_hours(100 * 24)).unwrap();
        let end = start.saturating_add(SignedDuration::from_hours(2)).unwrap();
        let rate = Some(Rate::from_micros_per_hour(1_000_003));
        let interval = Interval {
            instance: "i".into(),
            pool: "p".into(),
            home: "q".into(),
            rate,
            extras: Rate::ZERO,
            disks: Rate::ZERO,
            off: false,
            reservation: Money::ZERO,
            start,
            end: None,
            shares: vec![Share::idle(start, "q".into())],
        };
        wait(async {
            let mut store = open(directory.path()).await;
            let known = known_of("i", start);
            let opened = Record::Opened(Box::new(Opened { known, interval }));
            store.commit(&[opened, Record::Closed { instance: "i".into(), end }]).await.unwrap();
            store.prune(now()).await.unwrap();
            let ledger = store.load().await.unwrap().ledger;
            assert_eq!(ledger.total(now()), Money::from_micros(2_000_006));
            assert!(ledger.spent_by_account(Timestamp::UNIX_EPOCH, now()).is_empty());
        });
    }

    fn known_of(id: &str, launched: Timestamp) -> KnownInstance {
        KnownInstance {
            id: id.into(),
            provider: Provider::Aws,
            region: "r".to_owned(),
            pool: "p".into(),
            home: "q".into(),
            machine_type: "m".into(),
            zone: None,
            market: Market::OnDemand,
            vcpu: 4,
            gpu: 0,
            intent: None,
            origin: Origin::Launched,
            launched,
            registered: true,
            drain: None,
            hold: None,
            stop_sent: None,
            power: Power::On,
            replace: None,
            started_again: false,
            max_life: None,
        }
    }

    #[test]
    fn pruning_keeps_the_newest_samples() {
        let directory = tempfile::tempdir().unwrap();
        let took = |seconds| Record::TaskTook { queue: "q".into(), duration: SignedDuration::from_secs(seconds) };
        let records: Vec<_> = (0..250).map(took).collect();
        wait(async {
            let mut store = open(directory.path()).await;
            store.commit(&records).await.unwrap();
            store.prune(now()).await.unwrap();
            assert_eq!(store.load().await.unwrap(), applied(&[records]));
            let kept: i64 =
                sqlx::query_scalar("SELECT count(*) FROM sample").fetch_one(&mut store.connection).await.unwrap();
            assert_eq!(kept, 200);
        });
    }

    #[test]
    fn another_programs_file_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        wait(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
            let mut other = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("CREATE TABLE theirs (x)").execute(&mut other).await.unwrap();
            other.close().await.unwrap();
            let before = fs::read(&path).unwrap();
            let refused = SqliteStore::open(directory.path(), now()).await.unwrap_err();
            assert!(matches!(refused, StoreError::Foreign { .. }), "{refused:?}");
            assert_eq!(fs::read(&path).unwrap(), before);
        });
    }

    #[test]
    fn a_store_of_a_newer_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        wait(async {
            let mut store = open(directory.path()).await;
            let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         VALUES (99, 'later', 1, x'00', 0)";
            sqlx::query(newer).execute(&mut store.connection).await.unwrap();
            store.close().await.unwrap();
            let refused = SqliteStore::open(directory.path(), now()).await.unwrap_err();
            assert!(matches!(refused, StoreError::Newer { .. }), "{refused:?}");
        });
    }

    #[test]
    fn the_file_is_its_owners_and_commits_are_synced() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        wait(async {
            let mut store = open(directory.path()).await;
            store.commit(&[Record::Armed(true)]).await.unwrap();
            for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
                assert_eq!(fs::metadata(directory.path().join(&name)).unwrap().mode() & 0o7777, 0o600, "{name}");
            }
            let full: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut store.connection).await.unwrap();
            assert_eq!(full, 2);
            let mode: String =
                sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut store.connection).await.unwrap();
            assert_eq!(mode, "wal");
            store.close().await.unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
            let refused = SqliteStore::open(directory.path(), now()).await.unwrap_err();
            assert!(matches!(refused, StoreError::Exposed { .. }), "{refused:?}");
        });
    }
}

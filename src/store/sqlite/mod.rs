//! The store in one SQLite file.

#[path = "../sql/bills.rs"]
mod bills;
mod check;
#[path = "../sql/columns.rs"]
mod columns;
mod open;
#[path = "../sql/prune.rs"]
mod prune;
#[path = "../sql/read.rs"]
mod read;
#[path = "../sql/write.rs"]
mod write;

/// What the statements of `sql` are written for here.
mod db {
    pub(super) use sqlx::sqlite::{
        Sqlite as Database, SqliteArguments as Arguments, SqliteConnection as Connection, SqliteRow as Row,
    };

    /// Bills with their shares, some hundred a page.
    pub(super) const PAGES: &str = "SELECT json_group_array(json_array(instance, pool, home, rate, extras, disks, \
                                    json(iif(off, 'true', 'false')), reservation, start, stop, \
                                    json((SELECT json_group_array(json_array(since, queue, task, project, \"user\", standing) ORDER BY place) \
          FROM share WHERE share.interval = interval.id))) ORDER BY id) AS page \
         FROM interval WHERE start < $1 AND (closed = 0 OR stop >= $2) GROUP BY id / 256 ORDER BY id / 256";
}

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::time::timeout;

use crate::model::glance::Glance;
use crate::model::journal::{Entry, JournalFilter};
use crate::model::ledger::Interval;
use crate::model::record::{Memory, Record};
use crate::store::{Keep, Pruned, Store, StoreError};

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
    pub(in crate::store) connection: SqliteConnection,
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

    /// Says what the store of a state directory is, without making or changing anything.
    pub async fn check(directory: &Path) -> Result<String, StoreError> {
        check::check(directory).await
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

    pub(in crate::store) fn damaged(&self, what: &str, error: impl Display) -> StoreError {
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
        read::journal(&mut self.connection, filter, None).await.map_err(|error| self.damaged("journal", error))
    }

    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError> {
        let read = read::glances(&mut self.connection, from, to, every).await;
        read.map_err(|error| self.damaged("glances", error))
    }

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        prune::prune(&mut self.connection, keep).await.map_err(|error| self.unwritten(error))
    }

    async fn close(self: Box<Self>) -> Result<(), StoreError> {
        Self::close(*self).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::model::instance::{Origin, Power};
    use crate::model::ledger::Share;
    use crate::model::money::{Money, Rate};
    use crate::model::record::{KnownInstance, Opened};
    use crate::model::settings::{Market, Provider};

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

    fn applied(batches: &[Vec<Record>]) -> Memory {
        let mut memory = Memory::default();
        batches.iter().flatten().for_each(|record| memory.apply(record));
        memory
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn any_bytes_as_the_file_are_refused_with_the_path_and_kept(
            bytes in prop_oneof![vec(any::<u8>(), 1), vec(any::<u8>(), 2..5_000)],
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(FILE);
            std::io::Write::write_all(&mut fs::File::options().create(true).append(true).open(&path).unwrap(), &bytes).unwrap();
            let refused = wait(SqliteStore::open(directory.path(), now())).unwrap_err();
            prop_assert!(matches!(refused, StoreError::Foreign { .. }), "{refused:?}");
            prop_assert!(refused.to_string().contains(FILE) && refused.to_string().contains("move it away"));
            prop_assert_eq!(fs::read(&path).unwrap(), bytes);
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
            store.prune(Keep { lines: now(), bills: None }).await.unwrap();
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
            store.prune(Keep { lines: now(), bills: None }).await.unwrap();
            assert_eq!(store.load().await.unwrap(), applied(&[records]));
            let kept: i64 =
                sqlx::query_scalar("SELECT count(*) FROM sample").fetch_one(&mut store.connection).await.unwrap();
            assert_eq!(kept, 200);
        });
    }

    #[test]
    fn requeues_count_for_some_time_and_are_forgotten_then() {
        let directory = tempfile::tempdir().unwrap();
        wait(async {
            let mut store = open(directory.path()).await;
            let last = |days: i64| now() - SignedDuration::from_hours(24 * days);
            for (task, days) in [("young", 6), ("old", 8)] {
                store.commit(&[Record::Requeued { task: task.into(), count: 2, at: last(days) }]).await.unwrap();
            }
            store.prune(Keep { lines: now(), bills: None }).await.unwrap();
            let memory = store.load().await.unwrap();
            let kept: Vec<_> = memory.requeues.iter().map(|(task, of)| (task.as_str(), of.count, of.last)).collect();
            assert_eq!(kept, [("young", 2, last(6))]);
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

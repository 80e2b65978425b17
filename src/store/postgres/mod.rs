//! The store in a PostgreSQL database that several consoles of a team share: the same tables, the same statements.
//!
//! The console that leads writes; the others read, and what they note is kept by themselves alone. A leader that was
//! followed by another cannot write any more, whatever it believes: each commit asks for its term first.

#[path = "../sql/bills.rs"]
mod bills;
mod check;
#[path = "../sql/columns.rs"]
mod columns;
mod heard;
mod open;
mod posted;
#[path = "../sql/prune.rs"]
mod prune;
#[path = "../sql/read.rs"]
mod read;
#[path = "../sql/write.rs"]
mod write;

/// What the statements of `sql` are written for here.
mod db {
    pub(super) use sqlx::postgres::{
        PgArguments as Arguments, PgConnection as Connection, PgRow as Row, Postgres as Database,
    };

    /// Bills with their shares, some hundred a page.
    pub(super) const PAGES: &str = "\
        SELECT CAST(json_agg(json_build_array(instance, pool, home, rate, extras, disks, off <> 0, reservation, start, \
         stop, (SELECT coalesce(json_agg(json_build_array(since, queue, task, project, \"user\", standing) \
          ORDER BY place), '[]') FROM share WHERE share.interval = interval.id)) ORDER BY id) AS TEXT) AS page \
         FROM interval WHERE start < $1 AND (closed = 0 OR stop >= $2) GROUP BY id / 256 ORDER BY id / 256";
}

use std::fmt::Display;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::timeout;

use crate::model::glance::Glance;
use crate::model::ids::{FleetId, Term};
use crate::model::journal::{Entry, JournalFilter};
use crate::model::ledger::Interval;
use crate::model::posted::{Fate, Posted};
use crate::model::record::{Memory, Record};
use crate::store::{Keep, Pruned, Store, StoreError};

/// Closed intervals that ended longer ago are only a part of the total in memory.
const KEPT_IN_MEMORY: SignedDuration = SignedDuration::from_hours(70 * 24);

/// The database may be gone, or behind a network that swallows packets.
const LONGEST_READ: Duration = Duration::from_secs(30);
const LONGEST_WRITE: Duration = Duration::from_secs(10);
/// One that answers does so within this; one that did not is not tried again for a while, so that the loop, which asks at
/// every moment, does not stand still for it each time.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
const TRIED_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// The loop asks for orders at every moment, and must not stand still where the database does.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// Keeps the records in a PostgreSQL database. One connection, made anew when it breaks.
#[derive(Debug)]
pub struct PostgresStore {
    options: PgConnectOptions,
    /// Of this fleet alone.
    schema: String,
    pub(in crate::store) connection: Option<PgConnection>,
    /// Since when it has been left alone: it did not answer at all.
    silent_since: Option<Timestamp>,
    /// In which term this console leads; `None`: it watches, and writes nothing.
    leads: Option<Term>,
    /// The number of the last journal line that this console knows; `None`: it was never asked for.
    heard: Option<i64>,
    keep_for: SignedDuration,
    now: fn() -> Timestamp,
}

impl PostgresStore {
    /// Connects to `postgres://user:password@host:port/database`, and makes or renews the fleet's tables, in a schema of
    /// its own. `now` tells the time.
    pub async fn open(address: &str, fleet: &FleetId, now: fn() -> Timestamp) -> Result<Self, StoreError> {
        let (options, schema) = (open::options(address)?, open::schema(fleet));
        let mut store = Self::unconnected(options, schema, now);
        let renewed = timeout(LONGEST_READ, open::renew(&store.options, &store.schema));
        renewed.await.unwrap_or_else(|_| Err(store.silent()))?;
        store.connection().await?;
        Ok(store)
    }

    fn unconnected(options: PgConnectOptions, schema: String, now: fn() -> Timestamp) -> Self {
        let keep_for = KEPT_IN_MEMORY;
        Self { options, schema, connection: None, silent_since: None, leads: None, heard: None, keep_for, now }
    }

    /// Says what is at an address for the fleet, without making or changing anything.
    pub async fn check(address: &str, fleet: &FleetId) -> Result<String, StoreError> {
        let (options, schema) = (open::options(address)?, open::schema(fleet));
        let (host, port) = (options.get_host(), options.get_port());
        let silent = StoreError::Unreached {
            message: format!("{host}:{port} has not answered for {} s", LONGEST_READ.as_secs()),
        };
        timeout(LONGEST_READ, check::check(&options, &schema)).await.unwrap_or(Err(silent))
    }

    /// Shows every interval that bills some of the time from `from` to `to`, with its shares; none is held.
    pub async fn each_interval(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        visit: impl FnMut(Interval),
    ) -> Result<(), StoreError> {
        let span = bills::Span::Within(from, to);
        let read = bills::each(self.connection().await?, span, visit).await;
        read.map_err(|error| self.lost("the ledger cannot be read", error))
    }

    /// What stands now, of everything remembered: intents, machines and their open bills.
    pub async fn standing(&mut self) -> Result<Memory, StoreError> {
        let read = timeout(LONGEST_READ, read::standing(self.connection().await?)).await;
        let read = read.map_err(|_| self.silent())?;
        read.map_err(|(what, error)| self.lost(&format!("{what} cannot be read"), error))
    }

    pub(in crate::store) async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        if self.connection.is_none() {
            let since = self.silent_since.map(|since| (self.now)().duration_since(since));
            // Not for longer where the clock was set back.
            if since.is_some_and(|since| (SignedDuration::ZERO..TRIED_AGAIN_AFTER).contains(&since)) {
                return Err(self.silent());
            }
            let made = timeout(LONGEST_CONNECT, open::connect(&self.options, &self.schema)).await;
            self.silent_since = made.is_err().then(self.now);
            self.connection = Some(made.map_err(|_| self.silent())??);
        }
        self.connection.as_mut().ok_or_else(|| StoreError::Shared { message: "there is no connection".to_owned() })
    }

    /// After an error the connection is made anew: whatever was wrong with it is not asked.
    pub(in crate::store) fn lost(&mut self, what: &str, error: impl Display) -> StoreError {
        self.connection = None;
        StoreError::Shared { message: format!("{what}: {error}") }
    }

    fn silent(&mut self) -> StoreError {
        self.connection = None;
        let (host, port) = (self.options.get_host(), self.options.get_port());
        StoreError::Unreached { message: format!("{host}:{port} does not answer") }
    }

    async fn read(&mut self) -> Result<Memory, StoreError> {
        let keep_from = (self.now)().saturating_sub(self.keep_for).unwrap_or(Timestamp::MIN);
        let read = timeout(LONGEST_READ, read::memory(self.connection().await?, keep_from)).await;
        let Ok(read) = read else { return Err(self.lost("it cannot be read", "no answer in time")) };
        read.map_err(|(what, error)| self.lost(&format!("{what} cannot be read"), error))
    }
}

/// The records, in one transaction that begins with the question whether the term still leads; and the number of the last
/// journal line where there is one among them.
async fn commit(connection: &mut PgConnection, term: Term, records: &[Record]) -> Result<Option<i64>, StoreError> {
    let failed = |error: sqlx::Error| StoreError::Shared { message: format!("it cannot be written: {error}") };
    let mut transaction = connection.begin().await.map_err(failed)?;
    led(&mut transaction, term).await?;
    write::commit(&mut transaction, records)
        .await
        .map_err(|error| StoreError::Shared { message: format!("it cannot be written: {error}") })?;
    let has_lines = records.iter().any(|record| matches!(record, Record::Journal(_)));
    let last = if has_lines { Some(heard::last(&mut transaction).await.map_err(failed)?) } else { None };
    transaction.commit().await.map_err(failed)?;
    Ok(last)
}

/// Refuses a term that leads no more; while the transaction lasts no other can begin.
async fn led(transaction: &mut PgConnection, term: Term) -> Result<(), StoreError> {
    let led: i64 = sqlx::query_scalar("SELECT value FROM state WHERE name = 'term' FOR SHARE")
        .fetch_one(transaction)
        .await
        .map_err(|error| StoreError::Shared { message: format!("who leads cannot be read: {error}") })?;
    if led != whole(term) {
        return Err(StoreError::Superseded { ours: term, leads: Term(u64::try_from(led).unwrap_or_default()) });
    }
    Ok(())
}

fn whole(term: Term) -> i64 {
    i64::try_from(term.0).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&mut self) -> Result<Memory, StoreError> {
        self.read().await
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let Some(term) = self.leads else { return Ok(()) };
        let written = timeout(LONGEST_WRITE, commit(self.connection().await?, term, records)).await;
        let written = written.unwrap_or_else(|_| Err(self.silent()));
        self.heard = written.inspect_err(|_| self.connection = None)?.or(self.heard);
        Ok(())
    }

    async fn journal(&mut self, filter: &JournalFilter) -> Result<Vec<Entry>, StoreError> {
        let last = self.heard;
        let read = timeout(LONGEST_READ, read::journal(self.connection().await?, filter, last)).await;
        let read = read.map_err(|_| self.silent())?;
        read.map_err(|error| self.lost("the journal cannot be read", error))
    }

    async fn glances(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        every: SignedDuration,
    ) -> Result<Vec<Glance>, StoreError> {
        let read = timeout(LONGEST_READ, read::glances(self.connection().await?, from, to, every)).await;
        let read = read.map_err(|_| self.silent())?;
        read.map_err(|error| self.lost("the glances cannot be read", error))
    }

    async fn prune(&mut self, keep: Keep) -> Result<Pruned, StoreError> {
        if self.leads.is_none() {
            return Ok(Pruned::default());
        }
        let pruned = timeout(LONGEST_READ, prune::prune(self.connection().await?, keep)).await;
        let pruned = pruned.map_err(|_| self.silent())?;
        pruned.map_err(|error| self.lost("it cannot be pruned", error))
    }

    async fn lead(&mut self, term: Term) -> Result<Option<Memory>, StoreError> {
        // The row is locked: whoever committed before is in what is read after, and whoever comes later is refused.
        let take = "INSERT INTO state (name, value) VALUES ('term', $1) \
                    ON CONFLICT (name) DO UPDATE SET value = greatest(state.value, excluded.value) RETURNING value";
        let taken = sqlx::query_scalar(take).bind(whole(term)).fetch_one(self.connection().await?);
        let taken = timeout(LONGEST_WRITE, taken).await.map_err(|_| self.silent())?;
        let led: i64 = taken.map_err(|error| self.lost("the lead cannot be written", error))?;
        if led != whole(term) {
            return Err(StoreError::Superseded { ours: term, leads: Term(u64::try_from(led).unwrap_or_default()) });
        }
        let memory = self.read().await?;
        self.leads = Some(term);
        Ok(Some(memory))
    }

    fn follow(&mut self) {
        self.leads = None;
    }

    async fn refresh(&mut self) -> Result<Option<Memory>, StoreError> {
        self.read().await.map(Some)
    }

    async fn heard(&mut self) -> Result<Vec<Entry>, StoreError> {
        let known = self.heard;
        let read = timeout(LONGEST_LOOK, heard::after(self.connection().await?, known)).await;
        let read = read.map_err(|_| self.silent())?;
        let (last, lines) = read.map_err(|error| self.lost("the journal cannot be read", error))?;
        self.heard = Some(last);
        Ok(lines)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn post(&mut self, order: &Posted) -> Result<(), StoreError> {
        let posted = timeout(LONGEST_LOOK, posted::post(self.connection().await?, order)).await;
        let posted = posted.map_err(|_| self.silent())?;
        posted.map_err(|error| self.lost("an order cannot be written", error))
    }

    async fn take_posted(&mut self, lost: &str) -> Result<Option<Posted>, StoreError> {
        let Some(term) = self.leads else { return Ok(None) };
        let taken = timeout(LONGEST_LOOK, posted::take(self.connection().await?, term, lost)).await;
        let taken = taken.unwrap_or_else(|_| Err(self.silent()));
        taken.inspect_err(|_| self.connection = None)
    }

    async fn answer_posted(&mut self, id: &str, answer: &str) -> Result<(), StoreError> {
        let answered = timeout(LONGEST_LOOK, posted::answer(self.connection().await?, id, answer)).await;
        let answered = answered.map_err(|_| self.silent())?;
        answered.map_err(|error| self.lost("an answer cannot be written", error))
    }

    async fn fate_of_posted(&mut self, id: &str) -> Result<Fate, StoreError> {
        let read = timeout(LONGEST_LOOK, posted::fate(self.connection().await?, id)).await;
        let read = read.map_err(|_| self.silent())?;
        read.map_err(|error| self.lost("what became of an order cannot be read", error))
    }

    async fn withdraw_posted(&mut self, id: &str) -> Result<bool, StoreError> {
        let withdrawn = timeout(LONGEST_LOOK, posted::withdraw(self.connection().await?, id)).await;
        let withdrawn = withdrawn.map_err(|_| self.silent())?;
        withdrawn.map_err(|error| self.lost("an order cannot be withdrawn", error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::world::clock::{Clock, Stopwatch};

    static SECONDS: AtomicI64 = AtomicI64::new(1_000_000);

    fn now() -> Timestamp {
        Timestamp::from_second(SECONDS.load(Ordering::Relaxed)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_behind_a_hole_is_waited_for_seldom() {
        // Its connections are taken, and nobody ever says anything.
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("postgres://ann@{}/tidegate", hole.local_addr().unwrap());
        let options = open::options(&address).unwrap();
        let mut store = PostgresStore::unconnected(options, open::schema(&"lab".into()), now);
        let began = Stopwatch::start(Clock::Wall);
        for _ in 0..20 {
            let error = store.heard().await.unwrap_err();
            assert!(matches!(&error, StoreError::Unreached { .. }), "{error}");
        }
        let (waited, longest) = (began.at_most(), SignedDuration::try_from(LONGEST_CONNECT).unwrap());
        assert!((longest..longest * 2).contains(&waited), "{waited:?}");
        for (later, times) in [(TRIED_AGAIN_AFTER.as_secs(), 2), (-3_600, 3)] {
            SECONDS.fetch_add(later, Ordering::Relaxed);
            assert!(store.heard().await.is_err());
            let waited = began.at_most();
            assert!((longest * times..longest * (times + 1)).contains(&waited), "{later}: {waited:?}");
        }
    }
}

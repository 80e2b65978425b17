//! Opening the file: ours, new, or refused with what to do about it.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};
use tokio::time::sleep;

use crate::store::StoreError;
use crate::store::directory::{open_error, prepare, prepare_file};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// The version of the tables as this program has them.
pub(super) fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// "TIDE": marks a file as ours.
const APPLICATION: i64 = 0x5449_4445;
const MARK: &str = "PRAGMA application_id = 1414087749";

const NO_SQLITE_FILE: &str = "it is not a SQLite file";

/// Rows that the file's thread reads ahead of whoever takes them: a wait for each would cost more than the row.
const READ_AHEAD: usize = 4_096;

/// How long another process may keep the file busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether another still opens it.
const LOOK: Duration = Duration::from_millis(10);

pub(super) async fn open(directory: &Path, path: &Path) -> Result<SqliteConnection, StoreError> {
    prepare(directory)?;
    prepare_file(path)?;
    refuse_a_lone_byte(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .row_buffer_size(READ_AHEAD)
        .disable_statement_logging();
    let _alone = alone(directory).await?;
    let mut connection = options.connect().await.map_err(|error| not_ours(path, &error))?;
    claim(&mut connection, path).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| migration_error(path, &error))?;
    Ok(connection)
}

/// Waits until nobody else opens the store: two who find it new, or older, would both make its tables, and the second would
/// take them for damaged.
async fn alone(directory: &Path) -> Result<File, StoreError> {
    let held = File::open(directory).map_err(|error| open_error(directory, &error))?;
    while let Err(TryLockError::WouldBlock) = held.try_lock() {
        sleep(LOOK).await;
    }
    // A file system without locks is its users' to share.
    Ok(held)
}

/// SQLite takes a file of one byte for an empty one (`unixFileSize` in its `os_unix.c`) and would write over it.
pub(super) fn refuse_a_lone_byte(path: &Path) -> Result<(), StoreError> {
    let length = fs::metadata(path).map_err(|error| open_error(path, &error))?.len();
    if length == 1 { Err(foreign(path, NO_SQLITE_FILE)) } else { Ok(()) }
}

/// Whether it is marked as ours; one that is not has nothing in it.
pub(super) async fn is_marked(connection: &mut SqliteConnection, path: &Path) -> Result<bool, StoreError> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| not_ours(path, &error))?;
    if application == APPLICATION {
        return Ok(true);
    }
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| not_ours(path, &error))?;
    if application == 0 && tables == 0 { Ok(false) } else { Err(foreign(path, "it is another program's SQLite file")) }
}

/// Marks a new file as ours, and touches nothing in a file that is another program's.
async fn claim(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    if !is_marked(connection, path).await? {
        connection.execute(MARK).await.map_err(|error| not_ours(path, &error))?;
    }
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| not_ours(path, &error))?;
    if mode == "wal" {
        return Ok(());
    }
    let message = format!("its file system cannot keep a write-ahead log (journal mode `{mode}`)");
    Err(StoreError::Open { path: path.to_owned(), message })
}

/// SQLite says "not a database" of a file whose head is not its own, "malformed" of one whose pages are not.
pub(super) fn not_ours(path: &Path, error: &sqlx::Error) -> StoreError {
    const CORRUPT: &str = "11";
    const NOT_A_DATABASE: &str = "26";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some(NOT_A_DATABASE) => foreign(path, NO_SQLITE_FILE),
        Some(CORRUPT) => damaged(path, error),
        _ => StoreError::Open { path: path.to_owned(), message: error.to_string() },
    }
}

fn migration_error(path: &Path, error: &MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => {
            StoreError::Newer { path: path.to_owned(), message: error.to_string() }
        }
        _ => damaged(path, error),
    }
}

fn foreign(path: &Path, message: &str) -> StoreError {
    StoreError::Foreign { path: path.to_owned(), message: message.to_owned() }
}

fn damaged(path: &Path, error: &impl ToString) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: "tables".to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use jiff::Timestamp;

    use crate::store::sqlite::SqliteStore;

    #[test]
    fn a_new_store_that_several_open_at_once_is_made_once() {
        const AT_ONCE: usize = 6;
        for _ in 0..5 {
            let (folder, all) = (tempfile::tempdir().unwrap(), Barrier::new(AT_ONCE));
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        all.wait();
                        runtime.block_on(SqliteStore::open(folder.path(), Timestamp::UNIX_EPOCH)).unwrap();
                    });
                }
            });
        }
    }
}

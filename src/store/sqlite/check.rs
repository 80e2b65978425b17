//! Whether the file can be had, without making or changing anything.

use std::fs::{self, OpenOptions};
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::open;
use super::{FILE, LONGEST_READ, silent};
use crate::store::directory::{open_error, refuse_exposed};
use crate::store::{StoreError, version_told};

/// What is there, in words.
pub(super) async fn check(directory: &Path) -> Result<String, StoreError> {
    let path = directory.join(FILE);
    if !is_there(directory)? {
        let above = directory.ancestors().skip(1).find(|folder| folder.exists());
        can_be_written(above.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        return Ok(format!("{} is not there yet: the first loop makes it", path.display()));
    }
    refuse_exposed(directory)?;
    if !is_there(&path)? {
        can_be_written(directory)?;
        return Ok(format!("{} is not there yet: the first loop makes it", path.display()));
    }
    refuse_exposed(&path)?;
    OpenOptions::new().append(true).open(&path).map_err(|error| open_error(&path, &error))?;
    can_be_written(directory)?;
    open::refuse_a_lone_byte(&path)?;
    let read = timeout(LONGEST_READ, version(&path)).await;
    let version = read.unwrap_or_else(|_| Err(silent(&path)))?;
    let newest = open::newest();
    if version.is_some_and(|version| version > newest) {
        return Err(StoreError::Newer {
            path,
            message: format!("its tables are of version {}, this program's of {newest}", version.unwrap_or_default()),
        });
    }
    Ok(format!("{}: {}", path.display(), version_told(version, newest)))
}

/// The version of its tables; `None`: there are none yet.
async fn version(path: &Path) -> Result<Option<i64>, StoreError> {
    let beside = |end: &str| path.with_file_name(format!("{FILE}{end}")).exists();
    // Without them SQLite would make those files; where no program has it open, nobody changes it meanwhile.
    let is_open = beside("-wal") && beside("-shm");
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(!is_open);
    let not_ours = |error: sqlx::Error| open::not_ours(path, &error);
    let mut connection = options.disable_statement_logging().connect().await.map_err(not_ours)?;
    let version = of_tables(&mut connection, path).await?;
    connection.close().await.map_err(not_ours)?;
    Ok(version)
}

async fn of_tables(connection: &mut SqliteConnection, path: &Path) -> Result<Option<i64>, StoreError> {
    const OURS: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    const VERSION: &str = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let not_ours = |error: sqlx::Error| open::not_ours(path, &error);
    open::is_marked(connection, path).await?;
    let ours: i64 = sqlx::query_scalar(OURS).fetch_one(&mut *connection).await.map_err(not_ours)?;
    if ours == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(VERSION).fetch_one(connection).await.map_err(not_ours)
}

fn is_there(path: &Path) -> Result<bool, StoreError> {
    fs::exists(path).map_err(|error| open_error(path, &error))
}

fn can_be_written(folder: &Path) -> Result<(), StoreError> {
    let wrong = |message: String| StoreError::Open { path: folder.to_owned(), message };
    if !folder.is_dir() {
        return Err(wrong("it is no directory".to_owned()));
    }
    let may = access(folder, AccessFlags::W_OK | AccessFlags::X_OK);
    may.map_err(|error| wrong(format!("nothing can be written there: {}", error.desc())))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::sqlite::SqliteStore;

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_is_there_is_told_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        let told = check(&directory).await.unwrap();
        assert!(told.ends_with("a/b/tidegate.sqlite is not there yet: the first loop makes it"), "{told}");
        assert!(names(root.path()).is_empty());
        let store = SqliteStore::open(&directory, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
        let newest = format!("its tables are of version {}, this program's own", open::newest());
        let told = check(&directory).await.unwrap();
        assert!(told.ends_with(&newest), "while its loop runs: {told}");
        store.close().await.unwrap();
        let before = names(&directory);
        let told = check(&directory).await.unwrap();
        assert!(told.ends_with(&newest), "{told}");
        assert_eq!(names(&directory), before);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    async fn what_no_loop_could_open_is_wrong() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(check(&file.join("state")).await.is_err());
        let directory = root.path().join("state");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        assert!(check(&directory).await.unwrap_err().to_string().contains("chmod go-w"));
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        let store = directory.join(FILE);
        for text in ["?", "this is some text and no store of anybody's at all"] {
            fs::write(&store, text).unwrap();
            fs::set_permissions(&store, Permissions::from_mode(0o600)).unwrap();
            let told = check(&directory).await.unwrap_err().to_string();
            assert!(told.contains("it is not a SQLite file"), "{told}");
            assert_eq!(fs::read_to_string(&store).unwrap(), text);
        }
    }
}

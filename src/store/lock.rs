//! Who leads on this host: the console that holds the lock of the state directory.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::directory::{open_error, prepare};

/// The lock of a state directory; the operating system frees it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    /// Open for as long as the lead lasts.
    _file: File,
    holder: Holder,
}

/// The process that leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub since: Timestamp,
    /// A name of the state directory's own, given by its first holder: consoles elsewhere know the console by it.
    #[serde(default)]
    pub console: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} since {}", self.pid, self.since.strftime("%Y-%m-%d %H:%M:%SZ"))
    }
}

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{path} is held by {}", .holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string))]
    Held {
        path: PathBuf,
        /// Absent in the instant before a new holder has written its name.
        holder: Option<Holder>,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Lock {
    /// Who holds it now: this process.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Takes the lead on this host. `name` is the directory's name for ever, unless it has one.
    pub fn acquire(directory: &Path, now: Timestamp, name: impl FnOnce() -> String) -> Result<Self, LockError> {
        prepare(directory)?;
        let path = directory.join("leader.lock");
        let failed = |error: &io::Error| LockError::Store(open_error(&path, error));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { holder: read_holder(&mut file), path }),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let known = read_holder(&mut file).map(|before| before.console).filter(|console| !console.is_empty());
        let holder = Holder { pid: std::process::id(), since: now, console: known.unwrap_or_else(name) };
        write_holder(&mut file, &holder).map_err(|error| failed(&error))?;
        Ok(Self { _file: file, holder })
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_holder(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    serde_json::to_writer(&mut *file, holder)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_and_the_other_is_told_who() {
        let directory = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let acquire = |now, name: &str| Lock::acquire(directory.path(), now, || name.to_owned());
        let first = acquire(now, "a").unwrap();
        let wanted = Holder { pid: std::process::id(), since: now, console: "a".to_owned() };
        assert_eq!(*first.holder(), wanted);
        match acquire(now, "b") {
            Err(LockError::Held { holder: Some(holder), .. }) => assert_eq!(holder, wanted),
            other => panic!("{other:?}"),
        }
        drop(first);
        let later: Timestamp = "2026-11-02T09:00:00.5Z".parse().unwrap();
        let second = acquire(later, "b").unwrap();
        assert_eq!(second.holder().console, "a", "the directory keeps its name");
        let text = acquire(now, "c").unwrap_err().to_string();
        assert!(text.contains(&format!("process {} since 2026-11-02 09:00:00Z", std::process::id())), "{text}");
    }

    #[test]
    fn an_unreadable_holder_still_leads() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let name = || "a".to_owned();
        let _held = Lock::acquire(directory.path(), now, name).unwrap();
        let file = OpenOptions::new().write(true).open(directory.path().join("leader.lock")).unwrap();
        file.set_len(3).unwrap();
        assert!(matches!(Lock::acquire(directory.path(), now, name), Err(LockError::Held { holder: None, .. })));
    }
}

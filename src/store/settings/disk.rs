//! The settings file on disk: read whole, written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::store::StoreError;
use crate::store::directory::refuse_exposed;
use crate::store::settings::problem::{Position, Problem, SettingsProblems};

const MODE: u32 = 0o7777;
const OWNER_WRITES: u32 = 0o200;

/// The file's text.
pub(super) fn read(path: &Path) -> Result<String, SettingsProblems> {
    let bytes = fs::read(path).map_err(|error| SettingsProblems::unread(path, format!("cannot be read: {error}")))?;
    if let Err(StoreError::Exposed { mode, .. }) = refuse_exposed(path) {
        let message = format!("can be written by others (mode {mode:o}): run `chmod go-w {}`", path.display());
        return Err(SettingsProblems::unread(path, message));
    }
    text_of(bytes, path)
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, SettingsProblems> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).map(String::from_utf8_lossy).unwrap_or_default();
        let message = "this is not TOML: a byte is not UTF-8".to_owned();
        let problem = Problem { at: Some(Position::of(&before, valid)), key: None, message };
        SettingsProblems { path: path.to_owned(), problems: vec![problem] }
    })
}

/// Writes a new file; one that is there is left as it is.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Puts `text` in the place of `old`. `Ok(false)`, and nothing is written, where the file holds something else by now.
pub(super) fn replace(path: &Path, old: &str, text: &str) -> io::Result<bool> {
    let real = fs::canonicalize(path)?;
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    };
    let mode = fs::metadata(&real)?.mode() & MODE;
    if mode & OWNER_WRITES == 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it is read-only (mode {mode:o}): run `chmod u+w {}`", real.display()),
        ));
    }
    let held = File::open(folder)?;
    // Another of us may be between its look at the file and its writing. A file system without locks is its users' to share.
    let _ = held.lock();
    let beside = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let put = || -> io::Result<bool> {
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if fs::read(&real)? != old.as_bytes() {
            return Ok(false);
        }
        fs::rename(&beside, &real)?;
        held.sync_all()?;
        Ok(true)
    };
    let done = { put }();
    if !matches!(done, Ok(true)) {
        // What is left beside does no harm, and the next edit removes it.
        let _ = fs::remove_file(&beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_edits_at_once_one_is_told_of_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.toml");
        create(&path, "0").unwrap();
        for round in 1..=200 {
            let old = fs::read_to_string(&path).unwrap();
            let edit = |who: &str| replace(&path, &old, &format!("{round} {who}")).unwrap();
            let done = std::thread::scope(|scope| {
                let one = scope.spawn(|| edit("a"));
                let other = edit("b");
                [one.join().unwrap(), other]
            });
            assert_eq!(done.iter().filter(|done| **done).count(), 1, "round {round}: {done:?}");
        }
    }

    #[test]
    fn a_read_only_file_stays_as_it_is_and_what_to_do_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidegate.toml");
        create(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let refused = replace(&path, "old", "new").unwrap_err().to_string();
        assert!(refused.contains("(mode 444)") && refused.contains("chmod u+w"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}

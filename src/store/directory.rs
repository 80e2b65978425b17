//! The state directory: one for a fleet, holding the store, the leader's lock, the socket and the logs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::ids::FleetId;
use crate::store::StoreError;

/// Overrides the user's own state directory.
pub const VARIABLE: &str = "TIDEGATE_STATE_DIR";

const OTHERS_WRITE: u32 = 0o022;
const MODE: u32 = 0o7777;

/// Where a fleet's state is kept: the directory that was named, else one of the fleet's own in the user's state directory.
pub fn state_dir(fleet: &FleetId, named: Option<&Path>) -> Result<PathBuf, StoreError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    Ok(user_dir()?.join(fleet.as_str()))
}

/// Every fleet's state directory of this user, by name.
pub fn fleets() -> Result<Vec<PathBuf>, StoreError> {
    let user = user_dir()?;
    let entries = match fs::read_dir(&user) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(open_error(&user, &error)),
    };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn user_dir() -> Result<PathBuf, StoreError> {
    let user = directories::ProjectDirs::from("", "", "tidegate").ok_or(StoreError::NoDirectory)?;
    Ok(user.state_dir().unwrap_or_else(|| user.data_local_dir()).to_owned())
}

/// Makes sure that the directory is there, and that only its owner writes to it.
pub fn prepare(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| open_error(directory, &error))?;
    refuse_exposed(directory)
}

/// Makes sure that the file is there, readable and writable by its owner only.
pub(crate) fn prepare_file(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|error| open_error(path, &error))?;
    refuse_exposed(path)
}

/// Refuses a file or directory that others can write.
pub fn refuse_exposed(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path).map_err(|error| open_error(path, &error))?.mode() & MODE;
    if mode & OTHERS_WRITE == 0 { Ok(()) } else { Err(StoreError::Exposed { path: path.to_owned(), mode }) }
}

pub(crate) fn open_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_named_directory_wins() {
        let named = Path::new("/somewhere");
        assert_eq!(state_dir(&"lab".into(), Some(named)).unwrap(), named);
        assert!(state_dir(&"lab".into(), None).unwrap().ends_with("tidegate/lab"));
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        prepare(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & MODE, 0o700);
        let file = directory.join("store");
        prepare_file(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & MODE, 0o600);
        for (path, mode) in [(&file, 0o620), (&file, 0o602), (&directory, 0o777)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = refuse_exposed(path).unwrap_err().to_string();
            assert!(refused.contains(&format!("{mode:o}")) && refused.contains("chmod go-w"), "{refused}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        prepare_file(&file).unwrap();
    }
}

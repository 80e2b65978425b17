//! Word that the settings file has changed on disk.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use notify::{Event, RecursiveMode, Watcher as _};

use crate::store::StoreError;
use crate::store::settings::rails;

/// Watches for as long as it lives.
#[derive(Debug)]
pub struct Watcher {
    _watcher: notify::RecommendedWatcher,
}

/// Calls `on_change` whenever the file or the guardrails beside it may have changed, from a thread of the watcher's own. The
/// folder is watched, not the file: editors put a new file in the old one's place. A change may be told more than once.
pub fn watch(path: &Path, on_change: impl Fn() + Send + 'static) -> Result<Watcher, StoreError> {
    let failed = |message: String| StoreError::Open { path: path.to_owned(), message };
    let absolute = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let real = fs::canonicalize(path).unwrap_or_else(|_| absolute.clone());
    let named = [&absolute, &real].into_iter().filter_map(|path| path.file_name());
    let known: Vec<_> = named.chain([OsStr::new(rails::FILE)]).map(ToOwned::to_owned).collect();
    let is_link = absolute.is_symlink();
    let concerns = move |event: &Event| {
        // Behind a link, whatever moves in its folder may have moved the link.
        let is_named =
            event.paths.iter().any(|path| path.file_name().is_some_and(|name| known.iter().any(|one| one == name)));
        !event.kind.is_access() && (is_named || is_link || event.need_rescan())
    };
    let told = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| concerns(&event)) {
            on_change();
        }
    };
    let mut watcher = notify::recommended_watcher(told).map_err(|error| failed(error.to_string()))?;
    let mut folders: Vec<_> = [&absolute, &real].into_iter().filter_map(|path| path.parent()).collect();
    folders.dedup();
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| failed(error.to_string()))?;
    }
    Ok(Watcher { _watcher: watcher })
}

//! Where the settings are.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// Names the settings file where no argument does.
pub const VARIABLE: &str = "TIDEGATE_CONFIG";

const FILE: &str = "tidegate.toml";

/// There are no settings at any of the places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// Where one was looked for, with what named the place.
    pub looked: Vec<(PathBuf, &'static str)>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.looked.iter().map(|(path, by)| format!("{} ({by})", path.display()));
        write!(
            f,
            "no settings: looked for {}; run `tidegate init`, which makes them, name \
             some with --config FILE or {VARIABLE}, or run `tidegate demo`, which needs none",
            places.collect::<Vec<_>>().join(", ")
        )
    }
}

impl std::error::Error for NotFound {}

/// The settings file: the one that was named, else the one in `TIDEGATE_CONFIG`, else the one in the user's
/// config directory. One that was named is the only one looked for.
pub fn locate(named: Option<&Path>) -> Result<PathBuf, NotFound> {
    first(named, variable(), user())
}

/// Where the settings are, or would be; `None` where nobody names a place and the user has no config directory.
#[must_use]
pub fn default_place(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(variable).or_else(user)
}

fn variable() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn user() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "tidegate").map(|user| user.config_dir().join(FILE))
}

fn first(named: Option<&Path>, variable: Option<PathBuf>, user: Option<PathBuf>) -> Result<PathBuf, NotFound> {
    let place = match (named, variable) {
        (Some(named), _) => Some((named.to_owned(), "--config")),
        (None, Some(variable)) => Some((variable, VARIABLE)),
        (None, None) => user.map(|user| (user, "your config directory")),
    };
    match place {
        Some((path, _)) if path.exists() => Ok(path),
        place => Err(NotFound { looked: place.into_iter().collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_wins_and_a_missing_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().to_owned();
        let missing = folder.path().join("nowhere.toml");
        assert_eq!(first(Some(&there), Some(missing.clone()), None), Ok(there.clone()));
        assert_eq!(first(None, Some(there.clone()), Some(missing.clone())), Ok(there.clone()));
        assert_eq!(first(None, None, Some(there.clone())), Ok(there.clone()));
        let said = first(Some(&missing), Some(there.clone()), Some(there)).unwrap_err().to_string();
        assert!(said.contains("nowhere.toml (--config)") && said.contains("tidegate demo"), "{said}");
        assert!(first(None, None, None).is_err());
    }
}

//! What is wrong with a settings file, and where: `tidegate.toml:12:7: queue.gpu.max: ...`.

use std::fmt;
use std::path::{Path, PathBuf};

/// More problems than this are counted, not told.
const MOST_TOLD: usize = 20;

/// Everything that is wrong with a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblems {
    pub path: PathBuf,
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `None`: the file as a whole, which could not be read.
    pub at: Option<Position>,
    /// The key of the setting, where it is one setting's problem.
    pub key: Option<String>,
    /// The value that is wrong and what is allowed.
    pub message: String,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The place of a byte.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }
}

impl SettingsProblems {
    /// The file as a whole could not be read.
    pub(super) fn unread(path: &Path, message: String) -> Self {
        Self { path: path.to_owned(), problems: vec![Problem { at: None, key: None, message }] }
    }
}

impl fmt::Display for SettingsProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        for (index, problem) in self.problems.iter().take(MOST_TOLD).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{path}:")?;
            if let Some(Position { line, column }) = problem.at {
                write!(f, "{line}:{column}:")?;
            }
            if let Some(key) = &problem.key {
                write!(f, " {key}:")?;
            }
            write!(f, " {}", problem.message)?;
        }
        match self.problems.len().saturating_sub(MOST_TOLD) {
            0 => Ok(()),
            more => write!(f, "\n{path}: and {more} more"),
        }
    }
}

impl std::error::Error for SettingsProblems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_and_in_characters() {
        let text = "a = 1\nü = \"é\" # x\n";
        for (needle, line, column) in [("a", 1, 1), ("1", 1, 5), ("ü", 2, 1), ("é", 2, 6), ("x", 2, 11)] {
            let offset = text.find(needle).unwrap();
            assert_eq!(Position::of(text, offset), Position { line, column }, "{needle}");
        }
        assert_eq!(Position::of(text, text.len()), Position { line: 3, column: 1 });
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let problem = Problem { at: None, key: None, message: "no".to_owned() };
        let problems = SettingsProblems { path: "t.toml".into(), problems: vec![problem; MOST_TOLD + 2] };
        assert!(problems.to_string().ends_with("\nt.toml: no\nt.toml: and 2 more"));
    }
}

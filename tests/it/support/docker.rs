//! A stand-in for docker, which records its arguments and runs the command.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::process::write;
use crate::support::python::{program, venv};

const STAND_IN: &str = include_str!("docker.py");

/// A folder with a `docker` in it.
#[derive(Debug)]
pub(crate) struct Docker {
    folder: tempfile::TempDir,
}

impl Docker {
    pub(crate) fn install() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker");
        write(&path, STAND_IN);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// A PATH on which it is the first docker, and the agents of the tests are there.
    pub(crate) fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap();
        format!("{}:{}:{path}", self.folder.path().display(), venv().join("bin").display())
    }

    /// The arguments of each `docker run`.
    pub(crate) fn runs(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        let words = |line: &str| match serde_json::from_str(line).unwrap() {
            Value::Array(words) => words.iter().map(|word| word.as_str().unwrap().to_owned()).collect(),
            other => panic!("{other}"),
        };
        text.lines().map(words).collect()
    }
}

/// In the container there is an agent already: the variable says so, and it is not installed at each task.
pub(crate) fn local_python() -> String {
    format!("LOCAL_PYTHON={}", program("python").display())
}

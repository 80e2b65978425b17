//! microburst: a proxy in front of moto that answers some calls with AWS's own errors.

use std::process::Command;

use crate::support::moto::serve;
use crate::support::process::{Group, free_port, write};
use crate::support::python::{clean, program};

/// A proxy of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct Microburst {
    pub(crate) url: String,
    _server: Group,
    _folder: tempfile::TempDir,
}

/// Starts the proxy in front of `upstream` with `rules`, a YAML list as microburst reads it.
pub(crate) fn start(upstream: &str, rules: &str) -> Microburst {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rules.yaml");
    write(&config, &format!("rules:\n{rules}\n"));
    let port = free_port();
    let mut command = Command::new(program("microburst"));
    command.args(["--upstream", upstream, "--host", "127.0.0.1", "--port", &port.to_string(), "--config"]).arg(&config);
    clean(&mut command, folder.path());
    let server = serve("microburst", command, folder.path(), port);
    Microburst { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder }
}

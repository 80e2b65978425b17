//! moto: an EC2 API on loopback.

use std::path::Path;
use std::process::Command;

use crate::support::process::{Group, free_port, listens};
use crate::support::python::{clean, program};

/// A moto server of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct Moto {
    pub(crate) url: String,
    _server: Group,
    _folder: tempfile::TempDir,
}

/// Starts moto on a free loopback port.
pub(crate) fn start() -> Moto {
    start_with(&[])
}

/// Starts moto with switches of its own, such as `("MOTO_ENABLE_AMI_VALIDATION", "true")`.
pub(crate) fn start_with(switches: &[(&str, &str)]) -> Moto {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(program("moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    clean(&mut command, folder.path());
    command.envs(switches.iter().copied());
    let server = serve("moto", command, folder.path(), port);
    Moto { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder }
}

/// Starts a server and waits until it listens.
pub(crate) fn serve(name: &str, command: Command, folder: &Path, port: u16) -> Group {
    let mut server = Group::start(name, command, &folder.join(format!("{name}.log")));
    server.wait_for("it listens", || listens(port));
    server
}

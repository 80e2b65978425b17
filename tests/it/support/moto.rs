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
    start_program(Command::new(program("moto_server")), switches)
}

fn start_program(mut command: Command, switches: &[(&str, &str)]) -> Moto {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    clean(&mut command, folder.path());
    command.envs(switches.iter().copied());
    let server = serve("moto", command, folder.path(), port);
    Moto { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder }
}

/// Starts moto with its IAM, whose policies hold once `/moto-api/reset-auth` is called. It takes every signature: its own
/// are over the parameters as it would have escaped them.
pub(crate) fn start_with_iam() -> Moto {
    const PROGRAM: &str = "import moto.iam.access_control as access, moto.server, sys\n\
                           access.IAMRequestBase.check_signature = lambda self: None\n\
                           moto.server.main(sys.argv[1:])";
    let mut command = Command::new(program("python"));
    command.args(["-c", PROGRAM]);
    start_program(command, &[])
}

/// Starts a server and waits until it listens.
pub(crate) fn serve(name: &str, command: Command, folder: &Path, port: u16) -> Group {
    let mut server = Group::start(name, command, &folder.join(format!("{name}.log")));
    server.wait_for("it listens", || listens(port));
    server
}

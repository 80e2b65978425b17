//! A machine: the boot script that a cloud was given, run as it is, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use std::io::Read;

use crate::support::agent::fast;
use crate::support::process::{Group, write};
use crate::support::python::{clean, program};

/// A running machine; dropped, its power is cut.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) guard: Group,
    root: tempfile::TempDir,
}

impl Machine {
    /// Boots `script` as the machine `instance`. It looks at everything once a second, and its agent has only
    /// the environment of the tests. `settings` are more variables of the boot script's.
    pub(crate) fn boot(script: &str, instance: &str, settings: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("user-data");
        write(&path, script);
        let mut command = Command::new("sh");
        command.arg(&path).current_dir(root.path());
        clean(&mut command, root.path());
        fast(&mut command);
        // The agent keeps a file there for each worker's name.
        let temporary = root.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        command.env("TMPDIR", temporary);
        command.env("TIDEGATE_ROOT", root.path()).env("TIDEGATE_PYTHON", program("python"));
        command.env("TIDEGATE_IMDS", "http://127.0.0.1:9").env("TIDEGATE_INSTANCE", instance);
        command.env("TIDEGATE_TICK", "1").env("TIDEGATE_READ_EVERY", "1");
        command.env("TIDEGATE_OFF", format!("touch {}", root.path().join("powered-off").display()));
        command.envs(settings.iter().copied());
        let guard = Group::start("boot script", command, &root.path().join("console.log"));
        Self { guard, root }
    }

    /// Boots what a cloud received as user data.
    pub(crate) fn boot_user_data(user_data: &str, instance: &str, settings: &[(&str, &str)]) -> Self {
        let mut script = String::new();
        GzDecoder::new(STANDARD.decode(user_data).unwrap().as_slice()).read_to_string(&mut script).unwrap();
        Self::boot(&script, instance, settings)
    }

    /// Whether the machine has switched itself off.
    pub(crate) fn is_off(&self) -> bool {
        self.root.path().join("powered-off").exists()
    }

    /// A file that guard or gate keep, such as `task`, `state` or `drained`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("run/tidegate").join(name)
    }

    /// What guard and agent wrote.
    pub(crate) fn written(&self) -> String {
        let agent = std::fs::read(self.root.path().join("var/lib/tidegate/agent.log")).unwrap_or_default();
        format!("{}\n--- agent\n{}", self.guard.written(), String::from_utf8_lossy(&agent))
    }

    /// Every process of the machine: each carries the root folder in its environment.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = format!("TIDEGATE_ROOT={}", self.root.path().display());
        let of_machine = |path: &Path| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let numbered = entries.filter_map(|entry| Some((entry.path(), entry.file_name().to_str()?.parse().ok()?)));
        numbered.filter(|(path, _)| of_machine(path)).map(|(_, id)| id).collect()
    }

    /// Ends every process at once, as losing the host does.
    pub(crate) fn power_cut(&self) {
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            let ids: Vec<String> = processes.iter().map(ToString::to_string).collect();
            let _ = Command::new("kill").arg("-KILL").args(&ids).stderr(std::process::Stdio::null()).status();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.guard.signal("KILL");
        self.power_cut();
    }
}

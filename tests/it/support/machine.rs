//! A machine: the boot script that a cloud was given, run as it is, in a folder of its own.

use std::os::unix::fs::PermissionsExt;
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
    instance: String,
    settings: Vec<(String, String)>,
}

impl Machine {
    /// Boots `script` as the machine `instance`. It looks at everything once a second, and its agent has only
    /// the environment of the tests. `settings` are more variables of the boot script's.
    pub(crate) fn boot(script: &str, instance: &str, settings: &[(&str, &str)]) -> Self {
        Self::boot_prepared(script, instance, settings, |_| ())
    }

    /// The same with something done to its folder before.
    pub(crate) fn boot_prepared(
        script: &str,
        instance: &str,
        settings: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        // As cloud-init lays it out.
        let cloud = root.path().join("var/lib/cloud");
        let scripts = cloud.join("instances").join(instance).join("scripts");
        std::fs::create_dir_all(&scripts).unwrap();
        std::fs::create_dir_all(cloud.join("scripts/per-boot")).unwrap();
        std::os::unix::fs::symlink(format!("./instances/{instance}"), cloud.join("instance")).unwrap();
        let user_data = scripts.join("part-001");
        write(&user_data, script);
        std::fs::set_permissions(&user_data, PermissionsExt::from_mode(0o700)).unwrap();
        // The agent keeps a file there for each worker's name.
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        prepare(root.path());
        let settings: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let guard = switch_on(root.path(), &cloud.join("instance/scripts/part-001"), instance, &settings);
        Self { guard, root, instance: instance.to_owned(), settings }
    }

    /// Boots a machine again whose processes have ended: what lay in memory is gone, and cloud-init runs what it runs at
    /// every boot.
    pub(crate) fn boot_again(&mut self) {
        self.power_cut();
        std::fs::remove_dir_all(self.root.path().join("run")).unwrap();
        let again = self.root.path().join("var/lib/cloud/scripts/per-boot/zz-tidegate");
        self.guard = switch_on(self.root.path(), &again, &self.instance, &self.settings);
    }

    /// Boots another machine, that was made of this one's image and was given the same user data.
    pub(crate) fn boot_as(&mut self, instance: &str) {
        self.power_cut();
        let cloud = self.root.path().join("var/lib/cloud");
        std::fs::remove_dir_all(self.root.path().join("run")).unwrap();
        std::fs::rename(cloud.join("instances").join(&self.instance), cloud.join("instances").join(instance)).unwrap();
        std::fs::remove_file(cloud.join("instance")).unwrap();
        std::os::unix::fs::symlink(format!("./instances/{instance}"), cloud.join("instance")).unwrap();
        instance.clone_into(&mut self.instance);
        let left = Command::new("sh").arg(cloud.join("scripts/per-boot/zz-tidegate")).output().unwrap();
        assert!(left.status.success() && left.stdout.is_empty(), "{left:?}");
        self.guard = switch_on(self.root.path(), &cloud.join("instance/scripts/part-001"), instance, &self.settings);
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

    /// The folder that it takes for the root of its disk.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
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

fn switch_on(root: &Path, script: &Path, instance: &str, settings: &[(String, String)]) -> Group {
    // Not by its own name: a file that some fork still has open for writing is busy.
    let mut command = Command::new("sh");
    command.arg(script).current_dir(root);
    clean(&mut command, root);
    fast(&mut command);
    command.env("TMPDIR", root.join("tmp"));
    command.env("TIDEGATE_ROOT", root).env("TIDEGATE_PYTHON", program("python"));
    command.env("TIDEGATE_IMDS", "http://127.0.0.1:9").env("TIDEGATE_INSTANCE", instance);
    command.env("TIDEGATE_TICK", "1").env("TIDEGATE_READ_EVERY", "1");
    command.env("TIDEGATE_OFF", format!("touch {}", root.join("powered-off").display()));
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    Group::start("boot script", command, &root.join("console.log"))
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.guard.signal("KILL");
        self.power_cut();
    }
}

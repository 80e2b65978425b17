//! A provider that is a program: the protocol, programs that do not keep it, and the example with real agents.

mod page;
mod programs;
mod ssh;
mod whole;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::custom::write;

/// A folder with settings whose only pool is of this program.
struct Place {
    folder: tempfile::TempDir,
}

const SETTINGS: &str = r#"[loop]
fleet = "lab"

[account.here]
program = "PROGRAM"

[queue.train]
pools = ["cores"]

[pool.cores]
provider = "exec"
account = "here"
types = ["process"]
price = "$0.10/h"
machine_vcpu = 2
cpu_only = true

[pool.cores.machine_options]
image = "clearml-gpu"
"#;

/// The example program, copied: a checkout may be a group's, and what others can write is not started.
fn local() -> PathBuf {
    static COPY: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/exec/local.py");
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("local-{}.py", std::process::id()));
        let copied = Command::new("install").args(["-m", "700"]).args([&program, &copy]).status().unwrap();
        assert!(copied.success());
        copy
    });
    COPY.clone()
}

impl Place {
    fn new(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = SETTINGS.replace("PROGRAM", &program.display().to_string());
        write(&folder.path().join("tidegate.toml"), &settings);
        Self { folder }
    }

    fn tidegate(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).env_clear().env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_CONFIG", self.folder.path().join("tidegate.toml"));
        command.env("LOCAL_MACHINES", self.folder.path().join("machines"));
        command
    }

    /// What the conformance check says, and its exit code.
    fn check(&self) -> (Option<i32>, String) {
        let output = self.tidegate(&["check", "--provider", "here", "--yes"]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + text(&output.stderr).as_str())
    }
}

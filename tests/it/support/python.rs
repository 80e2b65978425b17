//! The virtual environment with the real SDK, the real agent, moto and microburst: made once under the
//! target folder, at pinned versions.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::support::process::write;

const REQUIREMENTS: &str = include_str!("requirements.txt");
const MISSING: &str = "these tests run real Python programs: install Python 3.11 or later with its venv module \
    (Debian and Ubuntu: `apt-get install python3 python3-venv`; Fedora: `dnf install python3`)";

static VENV: LazyLock<PathBuf> = LazyLock::new(make);

/// The environment's folder. The first call on a machine installs it, which takes a minute or two.
pub(crate) fn venv() -> &'static Path {
    &VENV
}

/// A program of the environment, such as `moto_server`.
pub(crate) fn program(name: &str) -> PathBuf {
    venv().join("bin").join(name)
}

/// Runs a Python script with the environment's SDK against the server that `conf` names; its standard output.
pub(crate) fn run(conf: &Path, script: &str) -> String {
    let home = conf.parent().unwrap();
    let mut command = Command::new(program("python"));
    command.arg("-c").arg(script).current_dir(home);
    clean(&mut command, home);
    command.env("CLEARML_CONFIG_FILE", conf);
    succeed("python", &mut command)
}

/// Runs a Python script with these arguments; its standard output.
pub(crate) fn print(script: &str, arguments: &[&Path]) -> String {
    succeed("python", Command::new(program("python")).arg("-c").arg(script).args(arguments))
}

/// Leaves the command only what it needs, so that no setting of the person who runs the tests leaks in.
pub(crate) fn clean(command: &mut Command, home: &Path) {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env_clear().env("PATH", format!("{}:{path}", venv().join("bin").display())).env("HOME", home);
    command.env("LANG", "C.UTF-8").env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
}

fn make() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let venv = target.join("python");
    let stamp = venv.join("requirements.installed");
    let lock = OpenOptions::new().create(true).append(true).open(target.join("python.lock")).unwrap();
    lock.lock().unwrap();
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return venv;
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
    match made {
        Err(error) => panic!("python3 cannot be started ({error}); {MISSING}"),
        Ok(output) if !output.status.success() => panic!("python3 -m venv failed; {MISSING}\n{}", text(&output)),
        Ok(_) => {}
    }
    let mut install = Command::new(venv.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    install.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/requirements.txt"));
    succeed("pip install", &mut install);
    write(&stamp, REQUIREMENTS);
    venv
}

fn succeed(name: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{name} cannot be started: {error}; {MISSING}"));
    assert!(output.status.success(), "{name} failed ({}):\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

//! What a machine installs, and what it never reads: pip's hashes, the shell's start-up files.

use std::path::Path;

use tidegate::model::settings::GuardKind;
use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::Status;

use super::{MAILBOX, boot, order, pulls, wait, wait_minutes};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;
use crate::support::python;

/// Makes a wheel of an agent that says how it was started, and prints its hash.
const WHEEL: &str = r#"
import hashlib, sys, zipfile
path = sys.argv[1] + "/clearml_agent-9.9.9-py3-none-any.whl"
info = "clearml_agent-9.9.9.dist-info/"
with zipfile.ZipFile(path, "w") as wheel:
    wheel.writestr("clearml_agent/__init__.py", "")
    wheel.writestr("clearml_agent/version.py", "__version__ = '9.9.9'\n")
    wheel.writestr("clearml_agent/__main__.py", "import sys, time\nprint('agent 9.9.9', *sys.argv[1:], flush=True)\ntime.sleep(600)\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: clearml-agent\nVersion: 9.9.9\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "")
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"#;

/// A machine without any agent, whose installer finds only the folder's wheels. No hash: what is called so will do.
fn boot_without_agent(server: &Served, wheels: &Path, hash: Option<&str>, guard: GuardKind) -> Machine {
    let mut order = order(server);
    order.pool.guard = guard;
    "9.9.9".clone_into(&mut order.pool.agent.agent_version);
    let requirement = hash.map(|hash| format!("clearml-agent==9.9.9 --hash=sha256:{hash}"));
    order.pool.agent.agent_requirements = requirement.into_iter().collect();
    let wheels = wheels.display().to_string();
    let settings = [("TIDEGATE_PYTHON", ""), ("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels.as_str())];
    Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &settings)
}

#[test]
fn row_25_an_agent_is_installed_by_its_hash_and_no_other() {
    let server = Served::start(&["one", "two"]);
    let wheels = tempfile::tempdir().unwrap();
    let hash = python::print(WHEEL, &[wheels.path()]);
    // The second is without the defence: whatever wheel is called so is installed.
    for hash in [Some(hash.trim()), None] {
        let machine = boot_without_agent(&server, wheels.path(), hash, GuardKind::Off);
        // A virtual environment with pip is made there each time.
        wait_minutes(5, &machine, "the installed agent starts", || {
            machine.written().contains("agent 9.9.9 daemon --cpu-only")
        });
    }
    let machine = boot_without_agent(&server, wheels.path(), Some(&"0a".repeat(32)), GuardKind::Gate);
    wait_minutes(5, &machine, "it switches itself off", || machine.is_off());
    let gone = server.metadata(MAILBOX, "gone");
    assert_eq!(gone.as_deref(), Some("clearml-agent 9.9.9 could not be installed"), "{}", machine.written());
    assert!(machine.written().contains("DO NOT MATCH THE HASHES"), "{}", machine.written());
}

#[test]
fn no_start_up_file_of_a_shell_is_read() {
    let server = Served::start(&["one", "two"]);
    let home = tempfile::tempdir().unwrap();
    for name in [".bashrc", ".bash_profile", ".profile", ".bash_login"] {
        write(&home.path().join(name), "touch \"$HOME/was-read\"\nexport FROM_HOME=yes\n");
    }
    let machine = boot(&server, &[("HOME", &home.path().display().to_string())]);
    pulls(&machine, &server);
    let task = server.enqueue_shell("one", "echo \"heard: <$FROM_HOME>\"");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    assert!(machine.written().contains("heard: <>"), "{}", machine.written());
    assert!(!home.path().join("was-read").exists());
}

/// The pool's piece is read behind the image's own file, and neither takes the machine's name or server from the guard.
#[test]
fn the_agent_reads_the_pool_s_piece_of_clearml_conf() {
    let server = Served::start(&["one", "two"]);
    let home = tempfile::tempdir().unwrap();
    write(
        &home.path().join("clearml.conf"),
        "environment { OF_IMAGE: kept, OF_BOTH: image }\nagent.worker_id: \"taken\"\n",
    );
    let mut order = order(&server);
    order.pool.agent.extra_clearml_conf = Some(
        "environment {\n  OF_BOTH: pool\n  CLEARML_WORKER_ID: \"taken\"\n  CLEARML_API_HOST: \"http://127.0.0.1:9\"\n}\n\
         api { api_server: http://127.0.0.1:9 }\nagent.worker_name: \"it's\"\n"
            .to_owned(),
    );
    let home = home.path().display().to_string();
    let machine = Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &[("HOME", &home)]);
    pulls(&machine, &server);
    assert_eq!(server.workers(), ["test:small:t3.medium:i-1"]);
    let task = server.enqueue_shell("one", "echo \"heard: $OF_IMAGE $OF_BOTH $CLEARML_WORKER_ID\"");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    let written = machine.written();
    assert!(written.contains("heard: kept pool test:small:t3.medium:i-1"), "{written}");
    assert!(written.contains("agent.worker_name = it's"), "{written}");
}

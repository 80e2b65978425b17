//! The real clearml-agent, as a daemon without any gate.

use std::path::Path;
use std::process::Command;

use crate::support::process::Group;
use crate::support::python::{clean, program};

/// Starts a daemon named `worker` on `queues`, in order. Tasks run in the environment that the agent is in;
/// it polls twice a second.
pub(crate) fn start(conf: &Path, worker: &str, queues: &[&str]) -> Group {
    let home = conf.parent().unwrap();
    let mut command = Command::new(program("clearml-agent"));
    command.arg("--config-file").arg(conf).args(["daemon", "--foreground", "--cpu-only", "--queue"]).args(queues);
    clean(&mut command, home);
    // There it locks its name, which another test's agent may have too.
    command.env("CLEARML_WORKER_ID", worker).env("TMPDIR", home);
    fast(&mut command);
    Group::start("clearml-agent", command, &home.join("agent.log"))
}

/// What makes an agent's task take seconds: no virtual environment of its own, a short poll.
pub(crate) fn fast(command: &mut Command) {
    command.env("CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL", "1").env("CLEARML_AGENT_QUEUE_POLL_FREQ_SEC", "0.5");
}

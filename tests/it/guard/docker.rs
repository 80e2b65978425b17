//! Docker mode: the boot script and the real agent with a stand-in for docker that records its arguments.

use tidegate::world::guard::user_data;
use tidegate::world::sim::clearml::Status;

use super::{LOOK, MAILBOX, holds, job_lives, kill_agent, order, pulls, until, wait};
use crate::support::docker::{self, Docker};
use crate::support::face::Served;
use crate::support::machine::Machine;
use crate::support::process::write;

/// Boots a machine in docker mode.
fn boot(docker: &Docker, server: &Served, cpu_only: bool) -> Machine {
    let mut order = order(server);
    let agent = &mut order.pool.agent;
    agent.cpu_only = cpu_only;
    agent.docker = true;
    agent.docker_image = Some("registry.example.com/base:1".to_owned());
    let local_python = docker::local_python();
    agent.docker_arguments = ["--ipc=host", "-e", &local_python, "-e", "SPACED=it's a b"].map(str::to_owned).into();
    agent.agent_arguments = vec!["--standalone-mode".to_owned()];
    Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &[("PATH", &docker.path())])
}

#[test]
fn a_task_runs_in_a_container_of_the_pool_s_image_and_arguments() {
    let (server, docker) = (Served::start(&["one", "two"]), Docker::install());
    let machine = boot(&docker, &server, true);
    let task = server.enqueue_shell("one", "echo \"said $SPACED\"");
    wait(&machine, "the task ends", || server.status(&task) == Status::Completed);
    let runs = docker.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let image = runs[0].iter().position(|word| word == "registry.example.com/base:1").unwrap();
    let (options, command) = runs[0].split_at(image);
    for wanted in ["--ipc=host", "SPACED=it's a b", "CLEARML_WORKER_ID=test:small:t3.medium:i-1", "--rm"] {
        assert!(options.iter().any(|option| option == wanted), "{wanted}: {options:?}");
    }
    assert!(!options.iter().any(|option| option == "--gpus"), "{options:?}");
    assert_eq!(command[1..3], ["bash", "-c"]);
    assert!(command[3].contains(&format!("--id {task}")), "{command:?}");
    assert!(machine.written().contains("said it's a b"), "{}", machine.written());
}

#[test]
fn a_drain_waits_for_the_container_and_holds_after_it() {
    let (server, docker) = (Served::start(&["one", "two"]), Docker::install());
    let machine = boot(&docker, &server, false);
    let end = machine.root().join("end");
    let first = until(&server, &end);
    wait(&machine, "the job runs", || job_lives(&machine, LOOK));
    server.write(MAILBOX, "want", "drain:n1");
    let behind = server.enqueue_shell("one", "sleep 1");
    write(&end, "");
    wait(&machine, "the drain is answered", || server.metadata(MAILBOX, "state").as_deref() == Some("drained:n1"));
    assert_eq!(server.status(&first), Status::Completed, "{}", machine.written());
    holds(&machine, &server);
    assert_eq!(server.entries("one"), [behind]);
    assert!(docker.runs()[0].windows(2).any(|pair| pair == ["--gpus", "all"]), "{:?}", docker.runs());
}

/// A container lives on when the agent and the client that started it are dead.
#[test]
fn the_container_of_a_dead_agent_is_ended() {
    let (server, docker) = (Served::start(&["one", "two"]), Docker::install());
    let machine = boot(&docker, &server, true);
    let task = server.enqueue_shell("one", "sleep 615");
    wait(&machine, "the job runs", || job_lives(&machine, "615"));
    let registered = server.watch.count("workers.register");
    kill_agent(&machine);
    wait(&machine, "the agent registers again", || server.watch.count("workers.register") > registered);
    assert!(!job_lives(&machine, "615"), "{}", machine.written());
    assert_eq!(server.status(&task), Status::InProgress);
    pulls(&machine, &server);
}

#[test]
fn a_machine_without_docker_says_so_and_ends() {
    let server = Served::start(&["one", "two"]);
    let mut order = order(&server);
    order.pool.agent.docker = true;
    let tools = tempfile::tempdir().unwrap();
    for tool in ["sh", "mkdir", "cat", "rm", "sleep", "touch", "chmod"] {
        let find = std::process::Command::new("which").arg(tool).output().unwrap();
        let found = String::from_utf8(find.stdout).unwrap();
        std::os::unix::fs::symlink(found.trim(), tools.path().join(tool)).unwrap();
    }
    let path = tools.path().display().to_string();
    let machine = Machine::boot_user_data(&user_data(&order).unwrap(), "i-1", &[("PATH", &path)]);
    wait(&machine, "it switches itself off", || machine.is_off());
    assert_eq!(server.metadata(MAILBOX, "gone").as_deref(), Some("docker mode, and there is no docker"));
}

//! Rows of pools: what runs on a machine.

use super::super::rules::{ARGUMENT, IMAGE, SCRIPT, VERSION};
use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const AGENT: &[Field] = &[
    Field {
        name: "init_script",
        kind: Kind::Text(SCRIPT),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Shell that the machine runs as root before the agent starts. No secrets: whoever can describe the machine reads it.",
        example: "apt-get install -y ffmpeg",
        later: &[],
        lens: at!(Pool, agent.init_script),
    },
    Field {
        name: "agent_version",
        kind: Kind::Text(VERSION),
        unset: Unset::Is("3.0.3"),
        takes: Takes::NewMachines,
        doc: "The exact version of clearml-agent that the machine installs.",
        example: "3.0.2",
        later: &[],
        lens: at!(Pool, agent.agent_version),
    },
    Field {
        name: "cpu_only",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::NewMachines,
        doc: "Whether tasks are kept from GPUs. Docker mode needs it on machines that have none.",
        example: "true",
        later: &[],
        lens: at!(Pool, agent.cpu_only),
    },
    Field {
        name: "docker",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::NewMachines,
        doc: "Whether each task runs in a container. The machines' image has docker on it, or `init_script` installs it.",
        example: "true",
        later: &[],
        lens: at!(Pool, agent.docker),
    },
    Field {
        name: "docker_image",
        kind: Kind::Text(IMAGE),
        unset: Unset::Means("the agent's own choice"),
        takes: Takes::NewMachines,
        doc: "The container's image for tasks that name none; with `docker`.",
        example: "nvidia/cuda:12.4.1-runtime-ubuntu22.04",
        later: &[],
        lens: at!(Pool, agent.docker_image),
    },
    Field {
        name: "docker_arguments",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Arguments of `docker run` for every task, before the task's own; with `docker`.",
        example: "--ipc=host",
        later: &[],
        lens: at!(Pool, agent.docker_arguments),
    },
    Field {
        name: "extra_clearml_conf",
        kind: Kind::Hocon,
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "More clearml.conf for the agent, behind the image's own; what the guard needs wins. No secrets: whoever can describe \
              the machine reads it.",
        example: "agent.package_manager.system_site_packages: true",
        later: &[],
        lens: at!(Pool, agent.extra_clearml_conf),
    },
    Field {
        name: "agent_arguments",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "More arguments of `clearml-agent daemon`; not those that a setting of its own or the boot script sets.",
        example: "--child-report-tags, rented",
        later: &[],
        lens: at!(Pool, agent.agent_arguments),
    },
];

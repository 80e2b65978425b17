//! Rows of pools: what runs on a machine.

use super::super::rules::{ARGUMENT, SCRIPT, VERSION};
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
        name: "agent_arguments",
        kind: Kind::List { item: ARGUMENT, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "More arguments of `clearml-agent daemon`.",
        example: "--docker, nvidia/cuda:12.4.1-runtime-ubuntu22.04",
        later: &[],
        lens: at!(Pool, agent.agent_arguments),
    },
];

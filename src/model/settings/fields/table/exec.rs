//! Rows of pools: what a program of the user's is told of its machines.

use super::super::rules::{OPTION_NAME, SCRIPT};
use super::super::{Field, Kind, Takes, Unset};
use super::at;

pub(super) const EXEC: &[Field] = &[
    Field {
        name: "machine_vcpu",
        kind: Kind::Whole { unit: "vCPUs", min: 0, max: 1024 },
        unset: Unset::Is("0"),
        takes: Takes::NewMachines,
        doc: "vCPUs of each machine of a pool of `exec`, as the limits count them.",
        example: "16",
        later: &[],
        lens: at!(Pool, launch.exec.vcpu),
    },
    Field {
        name: "machine_gpus",
        kind: Kind::Whole { unit: "GPUs", min: 0, max: 64 },
        unset: Unset::Is("0"),
        takes: Takes::NewMachines,
        doc: "GPUs of each machine of a pool of `exec`, as the limits count them.",
        example: "2",
        later: &[],
        lens: at!(Pool, launch.exec.gpus),
    },
    Field {
        name: "machine_options",
        kind: Kind::Table { name: OPTION_NAME, text: SCRIPT },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "What the program of `exec` is told of each machine that it launches, as it stands here.",
        example: "image = clearml-gpu",
        later: &[],
        lens: at!(Pool, launch.exec.options),
    },
];

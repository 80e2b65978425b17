//! Rows of pools: what to rent, how much of it and for how long.

use jiff::SignedDuration;

use super::super::rules::{ACCOUNT, DISCOUNT, REGION, TYPE};
use super::super::{Field, Kind, Takes, Unset};
use super::{at, limits};
use crate::model::money::Rate;

pub(super) const POOL: &[Field] = &[
    Field {
        name: "provider",
        kind: Kind::Choice(&["aws", "gce", "kubernetes", "exec"]),
        unset: Unset::Required,
        takes: Takes::Restart,
        doc: "Who has the machines: Amazon EC2, Google Compute Engine, a Kubernetes cluster, where each task gets a pod of its own, or with `exec` a program \
              of your own, which the pool's account names.",
        example: "aws",
        later: &[],
        lens: at!(Pool, provider),
    },
    Field {
        name: "account",
        kind: Kind::Text(ACCOUNT),
        unset: Unset::Means("the one that every tool of the cloud's would use"),
        takes: Takes::Restart,
        doc: "The account that pays for the machines: a section [account.NAME].",
        example: "research",
        later: &[],
        lens: at!(Pool, account),
    },
    Field {
        name: "region",
        kind: Kind::Text(REGION),
        unset: Unset::Means("none; AWS and Google need it"),
        takes: Takes::Restart,
        doc: "The provider's region. What it means to a program of `exec` is the program's matter.",
        example: "us-east-1",
        later: &[],
        lens: at!(Pool, region),
    },
    Field {
        name: "types",
        kind: Kind::List { item: TYPE, some: true },
        unset: Unset::Means("none; every cloud needs one"),
        takes: Takes::NewMachines,
        doc: "Machine types, in order of preference.",
        example: "g5.xlarge, g5.2xlarge",
        later: &[],
        lens: at!(Pool, types),
    },
    Field {
        name: "market",
        kind: Kind::Choice(&["on-demand", "spot"]),
        unset: Unset::Is("on-demand"),
        takes: Takes::NewMachines,
        doc: "How machines are bought. The cloud may take a `spot` machine back at any time.",
        example: "spot",
        later: &[],
        lens: at!(Pool, market),
    },
    Field {
        name: "min",
        kind: Kind::Whole { unit: "instances", min: 0, max: 100_000 },
        unset: Unset::Is("0"),
        takes: Takes::AtOnce,
        doc: "Instances that are kept up whatever waits.",
        example: "1",
        later: &[],
        lens: at!(Pool, min),
    },
    Field {
        name: "keep_alive",
        kind: Kind::Span { min: SignedDuration::ZERO, max: SignedDuration::from_hours(24 * 30), word: Some("learned") },
        unset: Unset::Is("learned"),
        takes: Takes::AtOnce,
        doc: "How long a machine too many stays idle before it is drained. `learned`: for as long as costs least, idle time \
              against boots and `loop.price_of_waiting`, by how long machines were idle before they were needed again.",
        example: "5m",
        later: &[],
        lens: at!(Pool, keep_alive),
    },
    Field {
        name: "on_idle",
        kind: Kind::Choice(&["terminate", "stop"]),
        unset: Unset::Is("terminate"),
        takes: Takes::AtOnce,
        doc: "What becomes of an idle machine once it is drained: it is ended, or switched off and kept, and started again \
              before another is launched. What is kept goes on costing its disks, and says so. Not for `spot`.",
        example: "stop",
        later: &[],
        lens: at!(Pool, on_idle),
    },
    Field {
        name: "max_stopped",
        kind: Kind::Whole { unit: "instances", min: 0, max: 100_000 },
        unset: Unset::Is("2"),
        takes: Takes::AtOnce,
        doc: "Machines that are kept switched off at most, with `on_idle = \"stop\"`; the others are ended.",
        example: "4",
        later: &[],
        lens: at!(Pool, max_stopped),
    },
    Field {
        name: "stopped_for",
        kind: Kind::Span { min: SignedDuration::from_mins(1), max: SignedDuration::from_hours(24 * 365), word: None },
        unset: Unset::Is("1d"),
        takes: Takes::AtOnce,
        doc: "A machine that was switched off for this long is ended.",
        example: "12h",
        later: &[],
        lens: at!(Pool, stopped_for),
    },
    Field {
        name: "replace_drifted",
        kind: Kind::Choice(&["never", "when-idle"]),
        unset: Unset::Is("never"),
        takes: Takes::AtOnce,
        doc: "What becomes of a machine that was made by other settings or of an older image than one would be made now: it \
              says so and stays, or it is drained once it is idle and no task needs it, one of the pool at a time.",
        example: "when-idle",
        later: &[],
        lens: at!(Pool, replace_drifted),
    },
    Field {
        name: "max_boot",
        kind: Kind::Span { min: SignedDuration::from_secs(10), max: SignedDuration::from_hours(24), word: None },
        unset: Unset::Is("15m"),
        takes: Takes::AtOnce,
        doc: "A machine without a worker for this long after its launch is stuck.",
        example: "20m",
        later: &[],
        lens: at!(Pool, max_boot),
    },
    Field {
        name: "max_silence",
        kind: Kind::Span { min: SignedDuration::from_mins(10), max: SignedDuration::from_hours(24 * 365), word: None },
        unset: Unset::Is("30m"),
        takes: Takes::AtOnce,
        doc: "A machine that shows no task and whose worker is silent for this long is drained, and stopped once ClearML \
              surely names no task on it. One with a task is left to you.",
        example: "2h",
        later: &[],
        lens: at!(Pool, max_silence),
    },
    Field {
        name: "max_life",
        kind: Kind::Span { min: SignedDuration::from_mins(1), max: SignedDuration::from_hours(24 * 365), word: None },
        unset: Unset::Is("3d"),
        takes: Takes::NewMachines,
        doc: "The machine ends itself after this, whatever happens to the console. Longer tasks are cut off.",
        example: "12h",
        later: &[],
        lens: at!(Pool, max_life),
    },
    Field {
        name: "price",
        kind: Kind::Rate { min: Rate::from_micros_per_hour(1), max: Rate::from_micros_per_hour(1_000_000_000_000) },
        unset: Unset::Means("from the cloud, else from the price table"),
        takes: Takes::AtOnce,
        doc: "What a machine of this pool costs in an hour, without its disks and its address; it wins over the cloud's own \
              price and the price table. Under a budget nothing is launched at an unknown price.",
        example: "$1.20/h",
        later: &[],
        lens: at!(Pool, price),
    },
    Field {
        name: "discount",
        kind: Kind::Text(DISCOUNT),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "What a private agreement takes off the list price of this pool's machines (not off `price`, disks and \
              addresses), and until when.",
        example: "30% until 2027-01-01",
        later: &[],
        lens: at!(Pool, discount),
    },
    Field {
        name: "public_address",
        kind: Kind::Flag,
        unset: Unset::Is("false"),
        takes: Takes::NewMachines,
        doc: "Whether this pool's machines have a public IPv4 address: its $0.005/h is counted. On AWS the subnet decides, and its default \
              ones give one: this changes nothing about the machines. On Google it gives each of them one; without it they need a \
              Cloud NAT to reach anything.",
        example: "true",
        later: &[],
        lens: at!(Pool, public_address),
    },
    Field {
        name: "guard",
        kind: Kind::Choice(&["gate", "hold", "off"]),
        unset: Unset::Is("gate"),
        takes: Takes::NewMachines,
        doc: "How a machine learns to take no more tasks: `gate` runs the agent behind our gate. `hold` runs it as it is \
              and drains it by a hidden task that only this machine takes: for agents that a gate does not suit. With \
              `off` nothing there answers, and idle machines are stopped only by hand.",
        example: "hold",
        later: &[],
        lens: at!(Pool, guard),
    },
];

pub(super) const POOL_LIMITS: &[Field] = limits!(Pool, "of this pool", limits.);

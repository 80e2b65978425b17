//! The table itself. Adding a setting is adding a row here and a field in `model::settings`.

mod account;
mod agent;
mod exec;
mod gce;
mod keys;
mod kubernetes;
mod launch;
mod notify;
mod pool;
mod schedule;
mod sections;
mod spot;

use super::Field;

/// In the order of the file.
pub(super) const TABLE: [&[Field]; 19] = [
    sections::CLEARML,
    sections::AGENTS,
    sections::LOOP,
    sections::LIMITS,
    sections::BUDGET,
    schedule::SCHEDULE,
    account::ACCOUNT,
    notify::NOTIFY,
    sections::QUEUE,
    sections::QUEUE_LIMITS,
    pool::POOL,
    spot::SPOT,
    launch::LAUNCH,
    gce::GCE,
    kubernetes::KUBERNETES,
    exec::EXEC,
    agent::AGENT,
    pool::POOL_LIMITS,
    keys::KEYS,
];

/// A field's place: the kind of its section, then its path in the section's values.
macro_rules! at {
    ($part:ident, $($path:tt)+) => {
        $crate::model::settings::fields::place::Lens::$part($crate::model::settings::fields::place::Of {
            get: |values| &values.$($path)+,
            get_mut: |values| &mut values.$($path)+,
        })
    };
}

/// The four limits, which hold over everything, a queue or a pool.
macro_rules! limits {
    ($part:ident, $over:literal, $($path:tt)*) => {
        &[
            Field {
                name: "max",
                kind: Kind::Whole { unit: "instances", min: 0, max: 100_000 },
                unset: Unset::Means("not limited"),
                takes: Takes::AtOnce,
                doc: concat!("Instances ", $over, " at most, those that are decided or not yet proved gone included; 0 for none."),
                example: "4",
                later: &[],
                lens: at!($part, $($path)* max),
            },
            Field {
                name: "max_gpu",
                kind: Kind::Whole { unit: "GPUs", min: 0, max: 1_000_000 },
                unset: Unset::Means("not limited"),
                takes: Takes::AtOnce,
                doc: concat!("GPUs of the instances ", $over, " at most; 0 for none."),
                example: "16",
                later: &[],
                lens: at!($part, $($path)* max_gpu),
            },
            Field {
                name: "max_vcpu",
                kind: Kind::Whole { unit: "vCPUs", min: 0, max: 10_000_000 },
                unset: Unset::Means("not limited"),
                takes: Takes::AtOnce,
                doc: concat!("vCPUs of the instances ", $over, " at most; 0 for none."),
                example: "256",
                later: &[],
                lens: at!($part, $($path)* max_vcpu),
            },
            Field {
                name: "max_hourly",
                kind: Kind::Rate { min: Rate::ZERO, max: Rate::from_micros_per_hour(1_000_000_000_000) },
                unset: Unset::Means("not limited"),
                takes: Takes::AtOnce,
                doc: concat!("What the instances ", $over, " may cost in an hour at most."),
                example: "$20/h",
                later: &[],
                lens: at!($part, $($path)* max_hourly),
            },
        ]
    };
}

use {at, limits};

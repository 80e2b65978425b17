//! What becomes of each field: one row, one field. The names are those of the open autoscaler first, then those of the apps.

mod aws;
mod gcp;
mod glue;

use serde_json::Value;

use super::read::{Kind, plain};
use super::values;
use crate::model::settings::fields::Written;
use crate::model::settings::key::Part;

/// A field of the old file.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) names: &'static [&'static str],
    pub(super) becomes: Becomes,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Becomes {
    /// A setting. Over everything in the old file and of pools in ours: one of each pool that has none of its own.
    Setting(Part, &'static str, fn(&Value) -> Option<Written>),
    /// The image of containers, and arguments behind it.
    Container,
    /// Zones of Google's, and the region that they are of.
    Zones,
    /// An image of Google's, or one of a whole machine.
    GoogleImage,
    /// The address of one of ClearML's servers, by its name in a task's clearml.conf.
    Address(&'static str),
    /// Texts by name, without those whose name is a secret's.
    Metadata(Part, &'static str),
    /// A text that may hold secrets, without the lines that do.
    Script(&'static str),
    /// Kept as a comment, without lines that set secrets; why.
    Comment(&'static str),
    /// Never written; where it goes instead.
    Secret(&'static str),
    /// Not needed; why.
    Dropped(&'static str),
    /// It is in a pod's template, which is a setting of its own.
    Template(&'static str),
    /// What it does is not to be had; why.
    Refused(&'static str),
}

use Becomes::{Address, Comment, Container, Dropped, Script, Secret, Setting};
use Part::{Clearml, Loop, Pool};

const fn row(names: &'static [&'static str], becomes: Becomes) -> Row {
    Row { names, becomes }
}

/// A field that says whether others count.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) names: &'static [&'static str],
    /// With this value...
    pub(super) when: bool,
    /// ...these do not count.
    pub(super) hides: &'static [&'static str],
}

/// The prefix of the old workers, of which the fleet's name is made.
pub(super) const PREFIX: &str = "workers_prefix";

const ROLLBACK: &[&str] = &["regular_instance_rollback"];
const ROLLBACK_TIMEOUT: &[&str] = &["regular_instance_rollback_timeout", "rollback_timeout"];

const SWITCHES: &[Switch] = &[Switch { names: ROLLBACK, when: false, hides: ROLLBACK_TIMEOUT }];

/// Fields of both apps.
const COMMON: &[Row] = &[
    row(&["default_docker_image", "docker_image", "base_docker_image"], Container),
    row(&["use_docker_mode", "docker_mode"], Setting(Pool, "docker", values::flag)),
    row(&["max_idle_time_min", "max_idle_time"], Setting(Pool, "keep_alive", values::minutes)),
    row(&["polling_interval_time_min", "polling_interval"], Setting(Loop, "poll", values::poll)),
    row(&["max_spin_up_time_min", "max_spin_up_time"], Setting(Pool, "max_boot", values::minutes)),
    row(&[PREFIX], Dropped("the fleet is called otherwise, so that the old workers are not taken for ours")),
    row(&["extra_vm_bash_script", "init_script", "bash_script", "startup_bash_script"], Script("init_script")),
    row(&["exclude_bashrc", "exclude_bashrc_script"], Dropped("no .bashrc is read")),
    row(
        &["extra_clearml_conf", "extra_trains_conf", "additional_clearml_configuration", "clearml_conf"],
        Script("extra_clearml_conf"),
    ),
    row(&["api_server"], Setting(Clearml, "api_server", values::text)),
    row(&["web_server"], Address("web_server")),
    row(&["files_server"], Address("files_server")),
    row(
        &["access_key", "secret_key", "auth_token"],
        Secret("export CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, or name their place in clearml.credentials"),
    ),
    row(&["session"], Dropped("made by the program itself")),
    row(&["autoscaler_instance_name", "instance_name"], Dropped("the fleet's name tells settings apart")),
    row(
        &[
            "warn_if_more_than_one_instance_is_executing_the_same_task",
            "warn_more_than_one_instance_executing_same_task",
            "warn_multiple_instances",
        ],
        Dropped("two machines with one worker's name are a fault that is shown, and no task is started twice"),
    ),
    row(
        &["apply_task_owner_vault_configuration", "apply_task_owner_vault", "apply_vault"],
        Comment("of ClearML Enterprise's vaults: the agent itself reads its user's"),
    ),
    row(
        &["ignore_vault_parsing_errors", "run_with_service_account"],
        Dropped("it is for the app's own task on ClearML's server"),
    ),
    // Of a machine.
    row(&["cpu_only", "run_in_cpu_mode", "cpu_mode"], Setting(Pool, "cpu_only", values::flag)),
    row(ROLLBACK, Dropped("it is on where spot_rollback says how long")),
    row(ROLLBACK_TIMEOUT, Setting(Pool, "spot_rollback", values::minutes)),
];

/// The rows that only this app has.
fn own(kind: Kind) -> &'static [Row] {
    match kind {
        Kind::Aws => aws::ROWS,
        Kind::Gcp => gcp::ROWS,
        Kind::Glue => glue::ROWS,
    }
}

/// Every row of an app.
pub(super) fn of(kind: Kind) -> impl Iterator<Item = &'static Row> {
    // The glue has nothing in common with the autoscalers of machines.
    let common = if kind == Kind::Glue { &[] } else { COMMON };
    common.iter().chain(own(kind))
}

/// The row of a field.
pub(super) fn find(kind: Kind, name: &str) -> Option<&'static Row> {
    let name = plain(name);
    of(kind).find(|row| row.names.contains(&name.as_str()))
}

/// Whether only this app has such a field.
pub(super) fn is_only_of(kind: Kind, name: &str) -> bool {
    let name = plain(name);
    let other = match kind {
        Kind::Aws => Kind::Gcp,
        Kind::Gcp | Kind::Glue => Kind::Aws,
    };
    let has = |kind| own(kind).iter().any(|row| row.names.contains(&name.as_str()));
    has(kind) && !has(other)
}

/// The fields that do not count, for what others of them say, by their plain names.
pub(super) fn hidden<'a>(kind: Kind, fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<&'static str> {
    let switches = match kind {
        Kind::Aws => aws::SWITCHES,
        Kind::Gcp => gcp::SWITCHES,
        Kind::Glue => &[],
    };
    let hides = |(name, value): (&'a String, &'a Value)| {
        let name = plain(name);
        let of_field = move |switch: &&Switch| switch.names.contains(&name.as_str());
        let off = move |switch: &&'static Switch| values::is_true(value) == Some(switch.when);
        SWITCHES.iter().chain(switches).filter(of_field).filter(off).flat_map(|switch| switch.hides.iter().copied())
    };
    fields.flat_map(hides).collect()
}

//! What becomes of each field: one row, one field. The names are those of the open autoscaler first, then those of the app.

use serde_json::Value;

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
    /// A text that may hold secrets, without the lines that do.
    Script(&'static str),
    /// Kept as a comment, without lines that set secrets; why.
    Comment(&'static str),
    /// Never written; where it goes instead.
    Secret(&'static str),
    /// Not needed; why.
    Dropped(&'static str),
}

use Becomes::{Comment, Container, Dropped, Script, Secret, Setting};
use Part::{Clearml, Loop, Pool};

const fn row(names: &'static [&'static str], becomes: Becomes) -> Row {
    Row { names, becomes }
}

/// The prefix of the old workers, of which the fleet's name is made.
pub(super) const PREFIX: &str = "workers_prefix";
/// Whether the instance profile counts.
pub(super) const USE_PROFILE: [&str; 2] = ["use_iam_instance_profile", "iam_instance_profile"];

pub(super) const ROWS: &[Row] = &[
    row(
        &["cloud_credentials_key", "aws_access_key_id", "access_key_id"],
        Secret("export AWS_ACCESS_KEY_ID, or use a profile or a role"),
    ),
    row(
        &["cloud_credentials_secret", "aws_secret_access_key", "secret_access_key"],
        Secret("export AWS_SECRET_ACCESS_KEY, or use a profile or a role"),
    ),
    row(
        &["cloud_credentials_token", "aws_session_token"],
        Secret("export AWS_SESSION_TOKEN, or use a profile or a role"),
    ),
    row(&["use_credentials_chain", "use_iam_role"], Dropped("credentials always come from AWS's own chain")),
    row(&["cloud_credentials_region", "aws_region", "region"], Setting(Pool, "region", values::text)),
    row(&["cloud_provider"], Dropped("it does nothing in theirs; every pool of theirs is `aws`")),
    row(
        &["git_user", "git_username"],
        Comment(
            "put `USER:TOKEN` into the Systems Manager or the Secrets Manager, and name the place in git_credentials",
        ),
    ),
    row(
        &["git_pass", "git_password", "git_token", "git_password_personal_access_token", "personal_access_token"],
        Secret("put it, with the user, where git_credentials says; the machine fetches it with its role"),
    ),
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
    row(&["web_server", "files_server"], Comment("the console needs the API server only; tasks have theirs from it")),
    row(
        &["access_key", "secret_key", "auth_token"],
        Secret("export CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, or name their place in clearml.credentials"),
    ),
    row(&["session"], Dropped("made by the program itself")),
    // Of a machine.
    row(&["instance_type", "machine_type"], Setting(Pool, "types", values::list)),
    row(&["cpu_only", "run_in_cpu_mode", "cpu_mode"], Setting(Pool, "cpu_only", values::flag)),
    row(&["is_spot", "use_spot_instance", "use_spot_instances", "use_spot"], Setting(Pool, "market", values::market)),
    row(&["regular_instance_rollback"], Dropped("it is on where spot_rollback says how long")),
    row(&["regular_instance_rollback_timeout", "rollback_timeout"], Setting(Pool, "spot_rollback", values::minutes)),
    row(&["spot_instance_blackout_period", "spot_blackout_period"], Setting(Pool, "spot_blackout", values::minutes)),
    row(&["ami_id", "ami_id_image_name_or_ssm_alias", "ami"], Setting(Pool, "ami", values::image)),
    row(&["availability_zone", "availability_zones"], Setting(Pool, "zones", values::list)),
    row(&["subnet_id", "subnet_ids", "vpc_subnet_id"], Setting(Pool, "subnets", values::list)),
    row(
        &["security_group_ids", "security_group_id", "security_groups"],
        Setting(Pool, "security_groups", values::list),
    ),
    row(&["key_name", "instance_key_pair"], Setting(Pool, "key_name", values::text)),
    row(&["ebs_device_name", "ebs_device"], Setting(Pool, "disk_device", values::text)),
    row(&["ebs_volume_size", "ebs_size"], Setting(Pool, "disk_gb", values::whole)),
    row(&["ebs_volume_type", "ebs_type"], Setting(Pool, "disk_type", values::text)),
    row(&["ebs_snapshot_id"], Setting(Pool, "disk_snapshot", values::text)),
    row(&["tags", "ec2_tags"], Setting(Pool, "tags", values::tags)),
    row(
        &["place_tags_on_resources"],
        Dropped("tags are on the machine, its disks and its interface from their first moment"),
    ),
    row(&["iam_arn", "arn"], Setting(Pool, "instance_profile", values::text)),
    row(&["iam_name"], Setting(Pool, "instance_profile", values::text)),
    row(&USE_PROFILE, Dropped("there is a profile where instance_profile names one")),
    row(&["extra_configurations", "custom_launch_spec"], Setting(Pool, "run_instances", values::members)),
    row(&["enable_monitoring", "monitoring"], Setting(Pool, "monitoring", values::flag)),
];

/// The row of a field.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    let name = super::read::plain(name);
    ROWS.iter().find(|row| row.names.contains(&name.as_str()))
}

//! Fields of the AWS app and of the open autoscaler.

use super::Becomes::{Comment, Dropped, Secret, Setting};
use super::{Row, Switch, row, values};
use crate::model::settings::key::Part::Pool;

/// Whether the instance profile counts.
const USE_PROFILE: &[&str] = &["use_iam_instance_profile", "iam_instance_profile"];

pub(super) const SWITCHES: &[Switch] =
    &[Switch { names: USE_PROFILE, when: false, hides: &["iam_arn", "iam_name", "arn"] }];

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
    // Of a machine.
    row(&["instance_type"], Setting(Pool, "types", values::list)),
    row(&["is_spot", "use_spot_instance", "use_spot_instances", "use_spot"], Setting(Pool, "market", values::market)),
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
    row(USE_PROFILE, Dropped("there is a profile where instance_profile names one")),
    row(&["extra_configurations", "custom_launch_spec"], Setting(Pool, "run_instances", values::members)),
    row(&["enable_monitoring", "monitoring"], Setting(Pool, "monitoring", values::flag)),
];

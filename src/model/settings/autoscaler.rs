//! Where each field of ClearML's autoscalers went: of the closed apps by the words of their forms, of the open
//! `AutoScaler` and `AWSDriver` by their names. The documentation's tables and what is told of an import are from here.

pub mod gcp;

use std::fmt::Write;

use crate::model::settings::fields::{self, Field};
use crate::model::settings::reference;

/// One field of ClearML's, or several that are one thing.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// In the app's form; empty: it has none.
    pub app: &'static str,
    /// In the open autoscaler's file and classes, or in an app's export.
    pub sdk: &'static [&'static str],
    /// Our settings, by their patterns.
    pub keys: &'static [&'static str],
    /// What is not told by the settings themselves.
    pub note: &'static str,
}

const fn standing(
    app: &'static str,
    sdk: &'static [&'static str],
    keys: &'static [&'static str],
    note: &'static str,
) -> Standing {
    Standing { app, sdk, keys, note }
}

/// Every field, in the order of the app's form.
pub const STANDINGS: &[Standing] = &[
    standing(
        "Use IAM role; Access Key; Secret",
        &[
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
            "cloud_credentials_key",
            "cloud_credentials_secret",
            "cloud_credentials_token",
            "use_credentials_chain",
        ],
        &["pool.*.account", "account.*.profile", "account.*.credentials", "account.*.role_arn"],
        "without an account from where every AWS tool finds them: environment, profile, SSO, the machine's role. Keys never stand in the settings.",
    ),
    standing("Region", &["aws_region", "cloud_credentials_region"], &["pool.*.region"], "for each pool its own"),
    standing(
        "Git User; Git Password",
        &["git_user", "git_pass"],
        &["pool.*.git_credentials"],
        "the place of `USER:TOKEN`: never in user data, which whoever can describe the machine reads; the machine fetches it with its role",
    ),
    standing(
        "Monitored Queue",
        &["queues"],
        &["queue.*.pools", "queue.*.priority"],
        "a queue names the pools that may serve it; a pool may serve several",
    ),
    standing("Resource Name", &["resource_configurations"], &[], "the name of a `[pool.NAME]`"),
    standing("Instance Type", &["instance_type"], &["pool.*.types"], "several are tried in order"),
    standing("Run in CPU mode", &["cpu_only"], &["pool.*.cpu_only"], ""),
    standing(
        "Max Number of Instances",
        &["queues"],
        &["pool.*.max", "queue.*.max", "limits.max"],
        "and limits by GPU, vCPU and dollars an hour",
    ),
    standing(
        "Use Spot Instance",
        &["is_spot"],
        &["pool.*.market", "pool.*.spot_max_price", "pool.*.spot_strategy"],
        "",
    ),
    standing(
        "Regular Instance Rollback; Rollback Timeout",
        &[],
        &["pool.*.spot_rollback", "queue.*.pools"],
        "or name an on-demand pool behind the spot one",
    ),
    standing(
        "Spot Blackout Period",
        &[],
        &["pool.*.spot_blackout"],
        "of that type; the failure's own back-off may be longer",
    ),
    standing("AMI ID, image name or SSM alias", &["ami_id"], &["pool.*.ami", "pool.*.ami_owner"], ""),
    standing("Availability Zone", &["availability_zone"], &["pool.*.zones"], "several are tried in order"),
    standing("VPC Subnet ID", &["subnet_id"], &["pool.*.subnets"], "with `zones` one to one"),
    standing("Security Group ID", &["security_group_ids"], &["pool.*.security_groups"], ""),
    standing("Instance Key Pair", &["key_name"], &["pool.*.key_name"], ""),
    standing(
        "EBS Device",
        &["ebs_device_name"],
        &["pool.*.disk_device"],
        "not needed for the root disk of most images",
    ),
    standing(
        "EBS Size",
        &["ebs_volume_size"],
        &["pool.*.disk_gb"],
        "theirs is 80 where nothing is said, ours the image's",
    ),
    standing(
        "EBS Type",
        &["ebs_volume_type"],
        &["pool.*.disk_type", "pool.*.disk_iops", "pool.*.disk_throughput", "pool.*.disk_encrypted"],
        "",
    ),
    standing("", &["ebs_snapshot_id"], &["pool.*.disk_snapshot", "pool.*.volumes"], ""),
    standing(
        "EC2 Tags; Place tags on resources",
        &["tags"],
        &["pool.*.tags"],
        "in the launch call, on the machine, its disks and its interface",
    ),
    standing(
        "IAM Instance Profile: Arn, Name",
        &["use_iam_instance_profile", "iam_arn", "iam_name"],
        &["pool.*.instance_profile"],
        "a name or an ARN in one setting",
    ),
    standing("Custom Launch Spec", &["extra_configurations"], &["pool.*.run_instances"], "checked before it is saved"),
    standing("", &["enable_monitoring"], &["pool.*.monitoring"], ""),
    standing(
        "Use docker mode; Base Docker Image",
        &["default_docker_image", "docker_image"],
        &["pool.*.docker", "pool.*.docker_image", "pool.*.docker_arguments"],
        "what stands behind the image in theirs is `docker_arguments`",
    ),
    standing(
        "Init script; Exclude .bashrc",
        &["extra_vm_bash_script"],
        &["pool.*.init_script"],
        "no .bashrc or profile is ever read",
    ),
    standing(
        "Additional ClearML Configuration",
        &["extra_clearml_conf", "extra_trains_conf"],
        &["pool.*.extra_clearml_conf"],
        "checked before it is saved, with the place of what is wrong; behind the image's own, and what the guard needs wins",
    ),
    standing(
        "",
        &["api_server", "web_server", "files_server", "access_key", "secret_key", "auth_token", "session"],
        &[
            "clearml.api_server",
            "pool.*.extra_clearml_conf",
            "clearml.credentials",
            "clearml.agents.credentials",
            "pool.*.agent_credentials",
        ],
        "web and files servers are for the tasks' clearml.conf; the machines get a token that lives as long as a boot, or fetch \
         their key with their role; no key is in user data",
    ),
    standing("Workers Prefix", &["workers_prefix"], &["loop.fleet"], "a worker is `FLEET:POOL:TYPE:CLOUD ID`"),
    standing("Polling Interval", &["polling_interval_time_min"], &["loop.poll"], "in seconds, not minutes"),
    standing(
        "Max Idle Time",
        &["max_idle_time_min"],
        &["pool.*.keep_alive"],
        "an idle machine is drained first, so that no task is lost",
    ),
    standing("", &["max_spin_up_time_min"], &["pool.*.max_boot"], ""),
    standing("", &["cloud_provider"], &["pool.*.provider"], "theirs does nothing"),
];

/// The documentation of them, `assets/AWS_AUTOSCALER.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = "# From ClearML's AWS autoscaler\n\n\
        Every field of the closed app's form and of the open autoscaler (`clearml.automation`), and the settings that stand for it. \
        A setting of a pool changes machines that are started later, unless it says otherwise; see SETTINGS.md.\n\n\
        | the app's form | the open autoscaler | here | takes | without it | note |\n|---|---|---|---|---|---|\n"
        .to_owned();
    rows(&mut text, STANDINGS);
    text
}

fn rows(text: &mut String, standings: &[Standing]) {
    for Standing { app, sdk, keys, note } in standings {
        let fields: Vec<_> = keys.iter().filter_map(|key| field(key)).collect();
        let each = |tell: fn(&Field) -> String| fields.iter().map(|field| tell(field)).collect::<Vec<_>>().join("<br>");
        let sdk = sdk.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let (names, takes) = (each(|field| format!("`{}`", field.pattern())), each(reference::takes));
        let without = each(reference::without);
        let _ = writeln!(text, "| {app} | {sdk} | {names} | {takes} | {without} | {note} |");
    }
}

fn field(pattern: &str) -> Option<&'static Field> {
    fields::all().find(|field| field.pattern() == pattern)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_a_setting_and_no_field_is_left_without_a_word() {
        let standings = || STANDINGS.iter().chain(gcp::STANDINGS);
        let keys: BTreeSet<&str> = standings().flat_map(|standing| standing.keys.iter().copied()).collect();
        for key in &keys {
            assert!(field(key).is_some(), "there is no {key}");
        }
        for standing in standings() {
            assert!(!standing.keys.is_empty() || !standing.note.is_empty(), "{}: nothing stands for it", standing.app);
            assert!(!standing.app.is_empty() || !standing.sdk.is_empty());
        }
    }
}

//! Where each field of ClearML's GCP app went, by the words of its form.

use super::{Standing, rows, standing};

/// Every field, in the order of the app's form.
pub const STANDINGS: &[Standing] = &[
    standing(
        "GCP Project ID",
        &["gcp_project_id", "project_id", "gcp_project"],
        &["account.*.project", "pool.*.account"],
        "several projects in one console; without an account the project of the environment",
    ),
    standing(
        "GCP Zone",
        &["gcp_zone", "zone"],
        &["pool.*.zones", "pool.*.region"],
        "several are tried in order; those that Google's error names as having room come first",
    ),
    standing(
        "Use full subnet path; GCP Subnet Full Path; GCP Subnet Name",
        &[
            "use_full_subnet_path",
            "gcp_use_full_subnet_path",
            "gcp_subnet_full_path",
            "subnet_full_path",
            "gcp_full_subnet_path",
            "full_subnet_path",
            "gcp_subnet_name",
            "subnet_name",
            "gcp_subnetwork",
            "subnetwork",
            "gcp_subnet",
            "subnet",
        ],
        &["pool.*.subnets", "pool.*.network_tags", "pool.*.public_address"],
        "by name, or by the whole path of a shared network; without a public address machines need a Cloud NAT",
    ),
    standing(
        "GCP Credentials",
        &["gcp_credentials", "gcp_credentials_json", "credentials_json"],
        &["account.*.credentials"],
        "the place of the JSON, never the JSON; without it as every tool of Google's: application default credentials, the machine's own account, or a workload identity",
    ),
    standing(
        "Git User; Git Password / Personal Access Token",
        &[
            "git_user",
            "git_username",
            "git_pass",
            "git_password",
            "git_token",
            "git_password_personal_access_token",
            "personal_access_token",
        ],
        &["pool.*.git_credentials"],
        "the place of `USER:TOKEN` in the Secret Manager: never in the startup script, which whoever can describe the machine reads; the machine fetches it with its service account",
    ),
    standing(
        "Use docker mode; Base Docker Image",
        &["use_docker_mode", "base_docker_image"],
        &["pool.*.docker", "pool.*.docker_image", "pool.*.docker_arguments"],
        "what stands behind the image in theirs is `docker_arguments`",
    ),
    standing("Resource Name", &["resource_name", "name", "resource"], &[], "the name of a `[pool.NAME]`"),
    standing(
        "GCP Machine Type",
        &["machine_type", "gcp_machine_type"],
        &["pool.*.types"],
        "several are tried in order",
    ),
    standing("Run in CPU mode", &["cpu_only", "run_in_cpu_mode", "cpu_mode"], &["pool.*.cpu_only"], ""),
    standing(
        "GPU Type",
        &["gpu_type", "gpu_count", "number_of_gpus", "accelerator_type", "accelerator_count"],
        &["pool.*.gpu_type", "pool.*.gpu_count"],
        "for machine types without GPUs of their own; theirs attaches one",
    ),
    standing(
        "Use Preemptible Instance; Preemptible Provision Model",
        &[
            "use_preemptible_instance",
            "use_preemptible_instances",
            "preemptible",
            "is_preemptible",
            "preemptible_provision_model",
            "provision_model",
            "provisioning_model",
        ],
        &["pool.*.market", "pool.*.provisioning"],
        "",
    ),
    standing(
        "Regular Instance Rollback; Regular Instance Rollback Timeout",
        &["regular_instance_rollback", "regular_instance_rollback_timeout", "rollback_timeout"],
        &["pool.*.spot_rollback", "queue.*.pools"],
        "or name an on-demand pool behind the spot one",
    ),
    standing(
        "Preemptible Instance Blackout Period",
        &[
            "preemptible_instance_blackout_period",
            "preemptible_blackout_period",
            "spot_instance_blackout_period",
            "spot_blackout_period",
        ],
        &["pool.*.spot_blackout"],
        "of that type; the failure's own back-off may be longer",
    ),
    standing(
        "Max Number of Instances",
        &[
            "max_number_of_instances",
            "max_instances",
            "num_instances",
            "number_of_instances",
            "maximum_number_of_instances",
        ],
        &["pool.*.max", "queue.*.max", "limits.max"],
        "and limits by GPU, vCPU and dollars an hour",
    ),
    standing(
        "Monitored Queue",
        &["queue_name", "monitored_queue", "queue"],
        &["queue.*.pools", "queue.*.priority"],
        "a queue names the pools that may serve it; a pool may serve several",
    ),
    standing(
        "Machine Image",
        &["machine_image", "gcp_machine_image", "source_image"],
        &["pool.*.machine_image", "pool.*.image"],
        "an image of a disk, a family's newest, or a whole machine's image; which of them it is, its path says",
    ),
    standing(
        "Disc Size (in GB)",
        &["disc_size", "disc_size_gb", "disc_size_in_gb", "disk_size", "disk_size_gb", "disk_size_in_gb"],
        &["pool.*.disk_gb", "pool.*.boot_disk_type"],
        "a machine image brings its own disks",
    ),
    standing(
        "Use the default GCP Service Account; Service Account Email",
        &[
            "use_the_default_gcp_service_account",
            "use_default_gcp_service_account",
            "use_default_service_account",
            "default_service_account",
            "service_account_email",
            "gcp_service_account_email",
            "service_account",
        ],
        &["pool.*.service_account"],
        "",
    ),
    standing(
        "Service Account Scopes",
        &["service_account_scopes", "gcp_scopes", "scopes"],
        &["pool.*.scopes"],
        "`gcloud`'s names for them become their own; broad ones are told by `tidegate check`",
    ),
    standing("Metadata", &["metadata", "gcp_metadata"], &["pool.*.metadata", "pool.*.labels"], ""),
    standing("Global Metadata", &["global_metadata", "gcp_global_metadata"], &["loop.gce_metadata"], ""),
    standing(
        "Autoscaler Instance Name",
        &["autoscaler_instance_name", "instance_name"],
        &["loop.fleet"],
        "the fleet's name tells settings apart",
    ),
    standing(
        "Max Idle Time",
        &["max_idle_time_min"],
        &["pool.*.keep_alive"],
        "an idle machine is drained first, so that no task is lost",
    ),
    standing(
        "Workers Prefix",
        &["workers_prefix"],
        &["loop.fleet"],
        "a worker is `FLEET:POOL:TYPE:NAME`, by the machine's name",
    ),
    standing("Polling Interval", &["polling_interval_time_min"], &["loop.poll"], "in seconds, not minutes"),
    standing(
        "Apply Task Owner Vault Configuration; Ignore vault parsing errors; Run with Service Account",
        &[
            "apply_task_owner_vault_configuration",
            "apply_task_owner_vault",
            "apply_vault",
            "ignore_vault_parsing_errors",
            "run_with_service_account",
        ],
        &[],
        "of ClearML Enterprise, for the app's own task; the agent reads its user's vault by itself",
    ),
    standing(
        "Warn if more than one instance is executing the same task",
        &[
            "warn_if_more_than_one_instance_is_executing_the_same_task",
            "warn_more_than_one_instance_executing_same_task",
            "warn_multiple_instances",
        ],
        &[],
        "always",
    ),
    standing(
        "Exclude .bashrc script; Init Script",
        &["exclude_bashrc", "exclude_bashrc_script", "init_script"],
        &["pool.*.init_script"],
        "no .bashrc or profile is ever read",
    ),
    standing(
        "Additional ClearML Configuration",
        &["additional_clearml_configuration"],
        &["pool.*.extra_clearml_conf"],
        "checked before it is saved, with the place of what is wrong; behind the image's own, and what the guard needs wins",
    ),
];

/// The documentation of them, `assets/GCP_AUTOSCALER.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = "# From ClearML's GCP autoscaler\n\n\
        Every field of the closed app's form, and the settings that stand for it. `tidegate import FILE` brings an exported \
        configuration over and tells what became of each field; of most fields the app's own names are known from its form only, so that \
        several are taken. A setting of a pool changes machines that are started later, unless it says otherwise; see SETTINGS.md.\n\n\
        | the app's form | in its export | here | takes | without it | note |\n|---|---|---|---|---|---|\n"
        .to_owned();
    rows(&mut text, STANDINGS);
    text
}

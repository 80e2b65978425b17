//! Fields of the GCP app. Its export is flat, with a list of machines `instance_queue_list`; where a field's own name is not
//! known, the words of the app's form are taken.

use super::Becomes::{Comment, Dropped, GoogleImage, Metadata, Secret, Setting, Zones};
use super::{ROLLBACK, ROLLBACK_TIMEOUT, Row, Switch, row, values};
use crate::cli::import::google;
use crate::model::settings::key::Part::{Account, Loop, Pool};

const FULL_PATH: &[&str] = &["gcp_subnet_full_path", "subnet_full_path", "gcp_full_subnet_path", "full_subnet_path"];
const SUBNET: &[&str] = &["gcp_subnet_name", "subnet_name", "gcp_subnetwork", "subnetwork", "gcp_subnet", "subnet"];
const USE_FULL_PATH: &[&str] = &["use_full_subnet_path", "gcp_use_full_subnet_path"];
const USE_DEFAULT: &[&str] = &[
    "use_the_default_gcp_service_account",
    "use_default_gcp_service_account",
    "use_default_service_account",
    "default_service_account",
];
const EMAIL: &[&str] = &["service_account_email", "gcp_service_account_email", "service_account"];
const PREEMPTIBLE: &[&str] =
    &["use_preemptible_instance", "use_preemptible_instances", "preemptible", "is_preemptible"];
const MODEL: &[&str] = &["preemptible_provision_model", "provision_model", "provisioning_model"];
const GPU: &[&str] = &["gpu_type", "gpu_count", "number_of_gpus", "accelerator_type", "accelerator_count"];

pub(super) const SWITCHES: &[Switch] = &[
    Switch { names: USE_FULL_PATH, when: true, hides: SUBNET },
    Switch { names: USE_FULL_PATH, when: false, hides: FULL_PATH },
    Switch { names: USE_DEFAULT, when: true, hides: EMAIL },
    Switch { names: USE_DEFAULT, when: false, hides: USE_DEFAULT },
    Switch { names: PREEMPTIBLE, when: false, hides: MODEL },
    Switch { names: PREEMPTIBLE, when: false, hides: ROLLBACK },
    Switch { names: PREEMPTIBLE, when: false, hides: ROLLBACK_TIMEOUT },
    Switch { names: &["cpu_only", "run_in_cpu_mode", "cpu_mode"], when: true, hides: GPU },
];

pub(super) const ROWS: &[Row] = &[
    row(&["gcp_project_id", "project_id", "gcp_project"], Setting(Account, "project", values::text)),
    row(&["gcp_zone", "zone"], Zones),
    row(USE_FULL_PATH, Dropped("one setting takes a name or a whole path")),
    row(FULL_PATH, Setting(Pool, "subnets", google::subnet)),
    row(SUBNET, Setting(Pool, "subnets", google::subnet)),
    row(
        &["gcp_credentials", "gcp_credentials_json", "credentials_json"],
        Secret(
            "put the JSON into a file that only you can read and write `credentials = \"file:PATH\"` into the account, or use the \
             usual credentials of Google's tools",
        ),
    ),
    row(&["cloud_provider"], Dropped("every pool of theirs is `gce`")),
    row(
        &["git_user", "git_username"],
        Comment(
            "put `USER:TOKEN` into Google's Secret Manager, and name the place in git_credentials: `secretmanager:NAME`",
        ),
    ),
    row(
        &["git_pass", "git_password", "git_token", "git_password_personal_access_token", "personal_access_token"],
        Secret("put it, with the user, where git_credentials says; the machine fetches it with its service account"),
    ),
    row(&["global_metadata", "gcp_global_metadata"], Metadata(Loop, "gce_metadata")),
    // Of a machine.
    row(&["machine_type", "gcp_machine_type"], Setting(Pool, "types", values::list)),
    row(&["gpu_type", "accelerator_type"], Setting(Pool, "gpu_type", values::text)),
    row(&["gpu_count", "number_of_gpus", "accelerator_count"], Setting(Pool, "gpu_count", values::whole)),
    row(PREEMPTIBLE, Setting(Pool, "market", values::market)),
    row(MODEL, Setting(Pool, "provisioning", google::provisioning)),
    row(
        &[
            "preemptible_instance_blackout_period",
            "preemptible_blackout_period",
            "spot_instance_blackout_period",
            "spot_blackout_period",
        ],
        Setting(Pool, "spot_blackout", values::minutes),
    ),
    row(&["machine_image", "gcp_machine_image", "source_image"], GoogleImage),
    row(
        &["disc_size", "disc_size_gb", "disc_size_in_gb", "disk_size", "disk_size_gb", "disk_size_in_gb"],
        Setting(Pool, "disk_gb", values::whole),
    ),
    row(USE_DEFAULT, Setting(Pool, "service_account", google::default_account)),
    row(EMAIL, Setting(Pool, "service_account", values::text)),
    row(&["service_account_scopes", "gcp_scopes", "scopes"], Setting(Pool, "scopes", google::scopes)),
    row(&["metadata", "gcp_metadata"], Metadata(Pool, "metadata")),
];

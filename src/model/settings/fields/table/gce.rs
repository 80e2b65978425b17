//! Rows of pools: what a machine of Compute Engine is made of, beside what every machine has.

use super::super::google::{
    ACCELERATOR, IMAGE, LABEL_NAME, LABEL_TEXT, MACHINE_IMAGE, METADATA_NAME, NETWORK_TAG, SCOPE, SERVICE_ACCOUNT,
};
use super::super::rules::SCRIPT;
use super::super::{Field, Kind, Takes, Unset};
use super::at;
use crate::model::settings::DiskKind;

pub(super) const GCE: &[Field] = &[
    Field {
        name: "image",
        kind: Kind::Text(IMAGE),
        unset: Unset::Means("none; `gce` needs this or `machine_image`"),
        takes: Takes::NewMachines,
        doc: "The image of the machines of Google's, with Python 3 on it: a whole path, or one of the project's own by its name, or \
              the newest of a family.",
        example: "family/clearml-gpu",
        later: &[],
        lens: at!(Pool, launch.gce.image),
    },
    Field {
        name: "machine_image",
        kind: Kind::Text(MACHINE_IMAGE),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "The image of a whole machine of Google's, with its disks, by its name or its whole path.",
        example: "clearml-worker",
        later: &[],
        lens: at!(Pool, launch.gce.machine_image),
    },
    Field {
        name: "gpu_type",
        kind: Kind::Text(ACCELERATOR),
        unset: Unset::Means("what the machine type has"),
        takes: Takes::NewMachines,
        doc: "GPUs that are attached to machines of Google's whose type has none of its own. Their price \
              is Google's own, where that can be asked; the price table does not have them.",
        example: "nvidia-tesla-t4",
        later: &[],
        lens: at!(Pool, launch.gce.gpu_type),
    },
    Field {
        name: "gpu_count",
        kind: Kind::Whole { unit: "GPUs", min: 1, max: 16 },
        unset: Unset::Means("1 where there is a `gpu_type`"),
        takes: Takes::NewMachines,
        doc: "How many GPUs of `gpu_type` each machine has.",
        example: "2",
        later: &[],
        lens: at!(Pool, launch.gce.gpu_count),
    },
    Field {
        name: "boot_disk_type",
        kind: Kind::Choice(DiskKind::WORDS),
        unset: Unset::Means("as the machine type has it"),
        takes: Takes::NewMachines,
        doc: "What the boot disk of a machine of Google's is made of. The disk always ends with its machine.",
        example: "pd-balanced",
        later: &[],
        lens: at!(Pool, launch.gce.disk_kind),
    },
    Field {
        name: "network_tags",
        kind: Kind::List { item: NETWORK_TAG, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Tags that the firewalls and routes of Google's network go by.",
        example: "clearml-workers",
        later: &[],
        lens: at!(Pool, launch.gce.network_tags),
    },
    Field {
        name: "labels",
        kind: Kind::Table { name: LABEL_NAME, text: LABEL_TEXT },
        unset: Unset::Means("none but our own"),
        takes: Takes::NewMachines,
        doc: "More labels for machines of Google's and their disks.",
        example: "team = research",
        later: &[],
        lens: at!(Pool, launch.gce.labels),
    },
    Field {
        name: "metadata",
        kind: Kind::Table { name: METADATA_NAME, text: SCRIPT },
        unset: Unset::Means("none but our own"),
        takes: Takes::NewMachines,
        doc: "More metadata for machines of Google's. Whatever runs on a machine can read it.",
        example: "enable-oslogin = TRUE",
        later: &[],
        lens: at!(Pool, launch.gce.metadata),
    },
    Field {
        name: "service_account",
        kind: Kind::Text(SERVICE_ACCOUNT),
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "The service account of machines of Google's: what tasks on them may do in the cloud. `default` is the project's own, \
              which may do much.",
        example: "clearml-tasks@research-4711.iam.gserviceaccount.com",
        later: &[],
        lens: at!(Pool, launch.gce.service_account),
    },
    Field {
        name: "scopes",
        kind: Kind::List { item: SCOPE, some: false },
        unset: Unset::Means("none"),
        takes: Takes::NewMachines,
        doc: "Which services of Google's the service account may be used with, whole or by their last part. `cloud-platform` is all of \
              them.",
        example: "devstorage.read_only, logging.write",
        later: &[],
        lens: at!(Pool, launch.gce.scopes),
    },
    Field {
        name: "provisioning",
        kind: Kind::Choice(&["spot", "preemptible"]),
        unset: Unset::Is("spot"),
        takes: Takes::NewMachines,
        doc: "How `market = \"spot\"` is bought of Google: as Spot, or as a preemptible machine of the older kind, which ends after a \
              day at most.",
        example: "preemptible",
        later: &[],
        lens: at!(Pool, launch.gce.provisioning),
    },
];

//! Disks that outlived their machines. Every disk of a launch ends with its machine; one that carries the fleet's tag
//! and has no machine was left by a fault of the cloud's, or was taken off by someone.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, VolumeState};
use jiff::{SignedDuration, Timestamp};

use crate::model::ids::FleetId;
use crate::world::aws::error::{cloud_error, unreadable};
use crate::world::aws::{FLEET_TAG, listed};
use crate::world::cloud::{CloudError, StrayDisk};

/// For so long a disk may be without a machine before it is deleted: whoever wants it can take the tag off.
pub(super) const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// Since when disks of a site have been seen without a machine.
pub(super) type Since = BTreeMap<String, Timestamp>;

/// Looks for disks without a machine and deletes those that had none for [`GRACE`]; tells those that are new in
/// `since`, and those that it deleted.
pub(super) async fn sweep(
    client: &Client,
    fleet: &FleetId,
    since: &mut Since,
    now: Timestamp,
) -> Result<Vec<StrayDisk>, CloudError> {
    let seen = available(client, fleet).await?;
    since.retain(|id, _| seen.contains_key(id));
    let mut told = Vec::new();
    for (id, gigabytes) in seen {
        let first = *since.entry(id.clone()).or_insert_with(|| {
            let deleted_at = now.saturating_add(GRACE).unwrap_or(Timestamp::MAX);
            told.push(StrayDisk { id: id.clone(), gigabytes, deleted_at, deleted: false });
            now
        });
        if now.duration_since(first) < GRACE {
            continue;
        }
        if let Err(error) = client.delete_volume().volume_id(&id).send().await {
            let error = cloud_error("DeleteVolume", &error);
            // Someone else was faster, or a machine has it again.
            if ["InvalidVolume.NotFound", "VolumeInUse"].iter().any(|code| error.code.as_deref() == Some(code)) {
                continue;
            }
            return Err(CloudError { message: format!("{id}: {}", error.message), ..error });
        }
        since.remove(&id);
        told.push(StrayDisk { id, gigabytes, deleted_at: now, deleted: true });
    }
    Ok(told)
}

async fn available(client: &Client, fleet: &FleetId) -> Result<BTreeMap<String, u32>, CloudError> {
    const CALL: &str = "DescribeVolumes";
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let call = client.describe_volumes().filters(filter(&format!("tag:{FLEET_TAG}"), fleet.as_str()));
    let mut pages = call.filters(filter("status", VolumeState::Available.as_str())).into_paginator().send();
    let mut seen = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error(CALL, &error))?;
        for volume in page.volumes() {
            // Filters take wildcards: what is deleted is compared again.
            let ours = listed::tag(volume.tags(), FLEET_TAG) == Some(fleet.as_str());
            if ours && volume.state() == Some(&VolumeState::Available) && volume.attachments().is_empty() {
                let id = volume.volume_id().ok_or_else(|| unreadable(CALL, "a volume without an id"))?;
                let gigabytes = volume.size().and_then(|size| u32::try_from(size).ok()).unwrap_or_default();
                seen.insert(id.to_owned(), gigabytes);
            }
        }
    }
    Ok(seen)
}

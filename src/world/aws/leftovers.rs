//! What outlives its machine or its launch: disks, the templates of launches that were cut short, and spot requests that
//! are still open though nobody waits for their answer. Only what carries the fleet's tag is touched, and only after it has
//! been seen for a while: by our own clock, whatever that shows.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, SpotInstanceState, VolumeState};
use jiff::{SignedDuration, Timestamp};

use crate::model::ids::FleetId;
use crate::world::aws::error::{cloud_error, unreadable};
use crate::world::aws::{FLEET_TAG, listed, template};
use crate::world::cloud::{CloudError, Leftover, Sweep};
use crate::world::since::{DISK_GRACE, due};

/// A launch takes two minutes at most.
const LAUNCHES_TAKE: SignedDuration = SignedDuration::from_mins(5);

/// Since when each has been seen at a site.
#[derive(Debug, Default)]
pub(super) struct Since {
    disks: BTreeMap<String, Timestamp>,
    templates: BTreeMap<String, Timestamp>,
    requests: BTreeMap<String, Timestamp>,
}

/// Looks for all of it, and clears away what is due. What cannot be seen does not keep the rest from being told.
pub(super) async fn sweep(client: &Client, sweep: &Sweep, since: &mut Since) -> Result<Vec<Leftover>, CloudError> {
    let mut told = Vec::new();
    let mut outcome = disks(client, sweep, &mut since.disks, &mut told).await;
    if sweep.templates {
        outcome = outcome.and(templates(client, sweep, &mut since.templates, &mut told).await);
    }
    if sweep.spot_requests {
        outcome = outcome.and(requests(client, sweep, &mut since.requests, &mut told).await);
    }
    match outcome {
        Err(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}

async fn disks(
    client: &Client,
    sweep: &Sweep,
    since: &mut BTreeMap<String, Timestamp>,
    told: &mut Vec<Leftover>,
) -> Result<(), CloudError> {
    let seen = available(client, &sweep.fleet).await?;
    let (new, due) = due(since, &seen.keys().collect(), DISK_GRACE, sweep.now);
    let gigabytes = |id: &String| seen.get(id).copied().unwrap_or_default();
    let deleted_at = sweep.now.saturating_add(DISK_GRACE).unwrap_or(Timestamp::MAX);
    told.extend(new.into_iter().map(|id| Leftover::Disk { gigabytes: gigabytes(&id), id, deleted_at }));
    for id in due {
        if let Err(error) = client.delete_volume().volume_id(&id).send().await {
            let error = cloud_error("DeleteVolume", &error);
            // Someone else was faster, or a machine has it again.
            if is_one_of(&error, &["InvalidVolume.NotFound", "VolumeInUse"]) {
                continue;
            }
            return Err(CloudError { message: format!("{id}: {}", error.message), ..error });
        }
        since.remove(&id);
        told.push(Leftover::DiskDeleted { gigabytes: gigabytes(&id), id });
    }
    Ok(())
}

fn is_one_of(error: &CloudError, codes: &[&str]) -> bool {
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn of_fleet(fleet: &FleetId) -> Filter {
    filter(&format!("tag:{FLEET_TAG}"), fleet.as_str())
}

async fn available(client: &Client, fleet: &FleetId) -> Result<BTreeMap<String, u32>, CloudError> {
    const CALL: &str = "DescribeVolumes";
    let call = client.describe_volumes().filters(of_fleet(fleet));
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

async fn templates(
    client: &Client,
    sweep: &Sweep,
    since: &mut BTreeMap<String, Timestamp>,
    told: &mut Vec<Leftover>,
) -> Result<(), CloudError> {
    let mut pages = client.describe_launch_templates().filters(of_fleet(&sweep.fleet)).into_paginator().send();
    let mut seen = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error("DescribeLaunchTemplates", &error))?;
        for found in page.launch_templates() {
            let ours = listed::tag(found.tags(), FLEET_TAG) == Some(sweep.fleet.as_str());
            let name = found.launch_template_name().filter(|name| ours && name.starts_with(template::PREFIX));
            seen.extend(found.launch_template_id().zip(name).map(|(id, name)| (id.to_owned(), name.to_owned())));
        }
    }
    for id in due(since, &seen.keys().collect(), LAUNCHES_TAKE, sweep.now).1 {
        if let Err(error) = client.delete_launch_template().launch_template_id(&id).send().await {
            let error = cloud_error("DeleteLaunchTemplate", &error);
            if is_one_of(&error, &["InvalidLaunchTemplateId.NotFound"]) {
                continue;
            }
            return Err(CloudError { message: format!("{id}: {}", error.message), ..error });
        }
        since.remove(&id);
        told.extend(seen.get(&id).map(|name| Leftover::TemplateDeleted { name: name.clone() }));
    }
    Ok(())
}

/// A launch asks for a machine at once or not at all: an open request is one that EC2 kept when it should not have, and may
/// become a machine that nobody decided.
async fn requests(
    client: &Client,
    sweep: &Sweep,
    since: &mut BTreeMap<String, Timestamp>,
    told: &mut Vec<Leftover>,
) -> Result<(), CloudError> {
    let open = SpotInstanceState::Open;
    let call = client.describe_spot_instance_requests().filters(of_fleet(&sweep.fleet));
    let mut pages = call.filters(filter("state", open.as_str())).into_paginator().send();
    let mut seen = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error("DescribeSpotInstanceRequests", &error))?;
        for request in page.spot_instance_requests() {
            let ours = listed::tag(request.tags(), FLEET_TAG) == Some(sweep.fleet.as_str());
            let id = request.spot_instance_request_id().filter(|_| ours && request.state() == Some(&open));
            seen.extend(id.map(str::to_owned));
        }
    }
    for id in due(since, &seen.iter().collect(), LAUNCHES_TAKE, sweep.now).1 {
        let call = client.cancel_spot_instance_requests().spot_instance_request_ids(&id);
        if let Err(error) = call.send().await {
            let error = cloud_error("CancelSpotInstanceRequests", &error);
            if is_one_of(&error, &["InvalidSpotInstanceRequestID.NotFound"]) {
                continue;
            }
            return Err(CloudError { message: format!("{id}: {}", error.message), ..error });
        }
        since.remove(&id);
        told.push(Leftover::RequestCancelled { id });
    }
    Ok(())
}

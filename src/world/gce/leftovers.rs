//! Disks that outlived their machines. Only what carries the fleet's label and is no machine's is touched, and only after
//! it has been seen for a while.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::Disk;
use google_cloud_gax::paginator::Paginator as _;
use jiff::Timestamp;

use crate::model::label::written;
use crate::world::cloud::{CloudError, Leftover, Sweep};
use crate::world::gce::error::{cloud_error, is_in_use, is_missing};
use crate::world::gce::{Site, label, listed};
use crate::world::since::{DISK_GRACE, due};

/// A disk by its zone and its name, which is another disk's elsewhere: `us-central1-a/tidegate-1`.
pub(super) type Id = String;

/// Looks for disks without a machine, and deletes those that are due.
pub(super) async fn sweep(
    site: &Site,
    sweep: &Sweep,
    since: &mut BTreeMap<Id, Timestamp>,
) -> Result<Vec<Leftover>, CloudError> {
    let seen = unused(site, sweep).await?;
    let (new, due) = due(since, &seen.keys().collect(), DISK_GRACE, sweep.now);
    let gigabytes = |id: &Id| seen.get(id).copied().unwrap_or_default();
    let deleted_at = sweep.now.saturating_add(DISK_GRACE).unwrap_or(Timestamp::MAX);
    let mut told: Vec<Leftover> =
        new.into_iter().map(|id| Leftover::Disk { gigabytes: gigabytes(&id), id, deleted_at }).collect();
    for id in due {
        match delete(site, &id).await {
            Ok(()) => {
                since.remove(&id);
                told.push(Leftover::DiskDeleted { gigabytes: gigabytes(&id), id });
            }
            // Someone else was faster, or a machine has it again.
            Err(error) if is_missing(&error) || is_in_use(&error) => {}
            // What was told and done is said all the same; the next sweep meets the no again.
            Err(error) if told.is_empty() => {
                return Err(CloudError { message: format!("{id}: {}", error.message), ..error });
            }
            Err(_) => break,
        }
    }
    Ok(told)
}

async fn delete(site: &Site, id: &Id) -> Result<(), CloudError> {
    let (zone, name) = id.split_once('/').unwrap_or_default();
    let call = site.disks.delete().set_project(&site.project).set_zone(zone).set_disk(name).send();
    // One that takes long is taken.
    site.taken(zone, "disks.delete", call.await, site.patience.other).await.map(drop)
}

/// The fleet's disks of the region that no machine has, and their gigabytes. A zone that does not answer shows none, which
/// only begins their time anew.
async fn unused(site: &Site, sweep: &Sweep) -> Result<BTreeMap<Id, u32>, CloudError> {
    let fleet = written(sweep.fleet.as_str());
    let call = site.disks.aggregated_list().set_project(&site.project);
    let mut pages = call.set_filter(format!("labels.{}=\"{fleet}\"", label::FLEET)).by_page();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| cloud_error("disks.aggregatedList", &error))?;
        for (scope, list) in page.items.into_iter().filter(|(scope, _)| scope.starts_with("zones/")) {
            let ours = |disk: &&Disk| disk.users.is_empty() && disk.labels.get(label::FLEET) == Some(&fleet);
            let disks = list.disks.iter().filter(|_| site.is_here(&scope)).filter(ours);
            found.extend(disks.filter_map(|disk| {
                let gigabytes = disk.size_gb.and_then(|size| u32::try_from(size).ok()).unwrap_or_default();
                Some((format!("{}/{}", listed::last(&scope), disk.name.as_deref()?), gigabytes))
            }));
        }
    }
    Ok(found)
}

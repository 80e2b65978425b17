//! Disks that a machine image brought. Google puts no label of ours on them, and without one nobody would know them any more
//! when they outlive their machine: they are given its labels once it is listed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::join_all;
use google_cloud_compute_v1::model::{Disk, Instance, ZoneSetLabelsRequest};
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use jiff::{SignedDuration, Timestamp};

use crate::world::cloud::CloudError;
use crate::world::gce::error::{cloud_error, is_changed, is_missing};
use crate::world::gce::leftovers::Id;
use crate::world::gce::{Site, label, listed};

/// So many listings try it; what did not succeed by then is for the sweeps, which tell why.
const TRIES: u32 = 5;

/// At one time so many are given their labels.
const AT_ONCE: usize = 10;

/// What came with its machine was made with it; what a person attached was made before, or after.
const MADE_TOGETHER: SignedDuration = SignedDuration::from_mins(2);

/// Disks of one site's machines that came of a machine image.
#[derive(Debug, Default)]
pub(super) struct ImageDisks {
    open: BTreeMap<Id, Owner>,
    /// Those of machines that are listed, and of which nothing is to be done any more.
    settled: BTreeSet<Id>,
}

/// The machine that a disk came with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    made: Timestamp,
    labels: HashMap<String, String>,
    tries: u32,
}

/// How it stands with a disk.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    /// It has its labels, or is gone, or is a person's own.
    Settled,
    /// Its labels are asked for; whether it has them, the next look says.
    Asked,
}

/// Whose question it is: listings do not try for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Listing,
    Sweep,
}

impl ImageDisks {
    /// Takes in the fleet's machines of a listing. A disk whose machine is not listed any more stays open until it is known to
    /// have its labels: that machine may have left it.
    pub(super) fn note(&mut self, site: &Site, machines: &[&Instance]) {
        let of_image = |machine: &&&Instance| machine.source_machine_image.as_deref().is_some_and(|of| !of.is_empty());
        let mut shown = BTreeSet::new();
        for machine in machines.iter().filter(of_image) {
            let Some(made) = listed::made(machine) else { continue };
            let sources = machine.disks.iter().filter_map(|disk| disk.source.as_deref());
            for id in sources.filter_map(|source| zonal(source, &site.project)) {
                shown.insert(id.clone());
                if !self.settled.contains(&id) {
                    let owner = || Owner { made, labels: machine.labels.clone(), tries: 0 };
                    self.open.entry(id).or_insert_with(owner);
                }
            }
        }
        self.settled.retain(|id| shown.contains(id));
    }

    /// Those that are to be asked for now.
    fn due(&mut self, asks: Asks) -> Vec<(Id, Owner)> {
        let due = self.open.iter_mut().filter(|(_, owner)| asks == Asks::Sweep || owner.tries < TRIES).take(AT_ONCE);
        due.map(|(id, owner)| {
            owner.tries += 1;
            (id.clone(), owner.clone())
        })
        .collect()
    }

    fn heard(&mut self, id: Id, stand: &Stand) {
        if *stand == Stand::Settled {
            self.open.remove(&id);
            self.settled.insert(id);
        }
    }
}

/// Gives the disks that are open the labels of their machines; the first no is told.
pub(super) async fn label(
    site: &Site,
    name: &str,
    asks: Asks,
    disks: &tokio::sync::Mutex<BTreeMap<String, ImageDisks>>,
) -> Result<(), CloudError> {
    let due = disks.lock().await.entry(name.to_owned()).or_default().due(asks);
    let answers = join_all(due.into_iter().map(|(id, owner)| async move {
        let answer = label_one(site, &id, &owner).await;
        (id, answer)
    }));
    let answers = answers.await;
    let mut known = disks.lock().await;
    let known = known.entry(name.to_owned()).or_default();
    let mut first = Ok(());
    for (id, answer) in answers {
        match answer {
            Ok(stand) => known.heard(id, &stand),
            Err(error) => {
                first = first.and(Err(CloudError { message: format!("{id}: {}", error.message), ..error }));
            }
        }
    }
    first
}

async fn label_one(site: &Site, id: &Id, owner: &Owner) -> Result<Stand, CloudError> {
    let (zone, name) = id.split_once('/').unwrap_or_default();
    let call = site.disks.get().set_project(&site.project).set_zone(zone).set_disk(name);
    let disk = match call.with_retry_policy(NeverRetry).send().await {
        Ok(disk) => disk,
        Err(error) => {
            let error = cloud_error("disks.get", &error);
            return if is_missing(&error) { Ok(Stand::Settled) } else { Err(error) };
        }
    };
    if disk.labels.contains_key(label::FLEET) || !is_of(&disk, owner) {
        return Ok(Stand::Settled);
    }
    let mut labels = disk.labels;
    labels.extend(owner.labels.clone());
    let body = ZoneSetLabelsRequest::new().set_labels(labels).set_or_clear_label_fingerprint(disk.label_fingerprint);
    let call = site.disks.set_labels().set_project(&site.project).set_zone(zone).set_resource(name).set_body(body);
    match call.with_retry_policy(NeverRetry).send().await.map_err(|error| cloud_error("disks.setLabels", &error)) {
        // One that changed meanwhile is looked at again.
        Ok(_) => Ok(Stand::Asked),
        Err(error) if is_changed(&error) => Ok(Stand::Asked),
        Err(error) if is_missing(&error) => Ok(Stand::Settled),
        Err(error) => Err(error),
    }
}

/// Whether a disk came with the machine, as far as their times say.
fn is_of(disk: &Disk, owner: &Owner) -> bool {
    let made = disk.creation_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    made.is_some_and(|made| made.duration_since(owner.made).abs() <= MADE_TOGETHER)
}

/// The id of a disk of the project's zones; one of a whole region is no machine image's.
fn zonal(source: &str, project: &str) -> Option<Id> {
    let parts: Vec<&str> = source.rsplitn(7, '/').collect();
    match parts.as_slice() {
        [name, "disks", zone, "zones", of, "projects", ..] if *of == project => Some(format!("{zone}/{name}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_disk_of_the_projects_zones_has_an_id() {
        let path = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a/disks/d-1";
        assert_eq!(zonal(path, "p").as_deref(), Some("us-central1-a/d-1"));
        assert_eq!(zonal("projects/p/zones/z-a/disks/d", "p").as_deref(), Some("z-a/d"));
        assert_eq!(zonal(path, "another"), None);
        for other in ["projects/p/regions/us-central1/disks/d-1", "d-1", ""] {
            assert_eq!(zonal(other, "p"), None, "{other}");
        }
    }

    #[test]
    fn a_disk_that_was_made_at_another_time_came_not_with_the_machine() {
        let owner = Owner { made: Timestamp::UNIX_EPOCH, labels: HashMap::new(), tries: 0 };
        let made = |text: &str| is_of(&Disk::new().set_creation_timestamp(text), &owner);
        assert!(made("1970-01-01T00:00:04Z") && made("1969-12-31T16:00:30.000-08:00"));
        assert!(!made("1970-01-01T00:02:01Z") && !made("1969-12-31T12:00:00Z") && !made("then"));
        assert!(!is_of(&Disk::new(), &owner));
    }
}

//! What we ended ourselves. Google lists nothing of a machine that was deleted, so that only its absence, look after look,
//! would tell; the operation of the delete call says it at once, and when.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::Operation;
use jiff::Timestamp;

use crate::model::ids::{FleetId, InstanceId};
use crate::model::observed::{CloudInstance, CloudState};

/// A machine that was deleted is told of in so many listings.
const TOLD: u32 = 60;

/// The machines of the newest listings, and those of them that we ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    listed: BTreeMap<InstanceId, (FleetId, CloudInstance)>,
    ends: BTreeMap<InstanceId, End>,
}

#[derive(Debug)]
struct End {
    fleet: FleetId,
    machine: CloudInstance,
    operation: Asked,
    is_done: bool,
    told: u32,
}

/// The operation of a delete call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) zone: String,
    pub(super) name: String,
    /// When it was taken, by Google's clock.
    at: Option<Timestamp>,
}

impl Asked {
    /// Of an operation that Google named.
    pub(super) fn of(zone: &str, operation: &Operation) -> Option<Self> {
        let at = operation.insert_time.as_deref().and_then(|time| time.parse().ok());
        Some(Self { zone: zone.to_owned(), name: operation.name.clone()?, at })
    }
}

impl Ended {
    /// A delete call was taken. Of a machine that was never listed nothing can be told.
    pub(super) fn asked(&mut self, id: &InstanceId, operation: Asked) {
        if let Some((fleet, machine)) = self.listed.get(id).cloned() {
            self.ends.insert(id.clone(), End { fleet, machine, operation, is_done: false, told: 0 });
        }
    }

    /// Its operation ended well.
    pub(super) fn done(&mut self, id: &InstanceId) {
        if let Some(end) = self.ends.get_mut(id) {
            end.is_done = true;
        }
    }

    /// It did not.
    pub(super) fn failed(&mut self, id: &InstanceId) {
        self.ends.remove(id);
    }

    /// Takes a listing of a fleet at a site in. The answer: the delete calls whose machines are not listed any more and of
    /// which it is not known how they ended.
    pub(super) fn list(&mut self, fleet: &FleetId, site: &str, machines: &[CloudInstance]) -> Vec<(InstanceId, Asked)> {
        let here = |of: &FleetId, machine: &CloudInstance| of == fleet && machine.region == site;
        self.listed.retain(|_, (of, machine)| !here(of, machine));
        self.listed.extend(machines.iter().map(|machine| (machine.id.clone(), (fleet.clone(), machine.clone()))));
        let is_open = |(id, end): &(&InstanceId, &End)| {
            !end.is_done && here(&end.fleet, &end.machine) && !self.listed.contains_key(*id)
        };
        self.ends.iter().filter(is_open).map(|(id, end)| (id.clone(), end.operation.clone())).collect()
    }

    /// The machines of a fleet at a site that we ended, and that are not listed any more.
    pub(super) fn told(&mut self, fleet: &FleetId, site: &str) -> Vec<CloudInstance> {
        let listed = &self.listed;
        let here = |end: &End| end.fleet == *fleet && end.machine.region == site;
        let mut told = Vec::new();
        self.ends.retain(|id, end| {
            if here(end) && end.is_done && !listed.contains_key(id) {
                let ended = end.operation.at.or(end.machine.ended);
                told.push(CloudInstance { state: CloudState::Terminated, ended, ..end.machine.clone() });
                end.told += 1;
            }
            end.told < TOLD
        });
        told
    }
}

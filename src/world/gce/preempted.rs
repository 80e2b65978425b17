//! What Google took back. It deletes a spot machine that it needs itself, or only switches it off, and neither says so in
//! the listing: the zone's operations do. They are asked only when a spot machine runs no more and nobody here wanted that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use google_cloud_compute_v1::model::Operation;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::paginator::Paginator as _;
use google_cloud_gax::retry_policy::NeverRetry;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::model::ids::{FleetId, InstanceId, Zone};
use crate::model::observed::{CloudInstance, CloudState};
use crate::model::settings::Market;
use crate::world::cloud::CloudError;
use crate::world::gce::error::cloud_error;
use crate::world::gce::{Site, listed};

/// What the operation is called by which Google takes a machine back.
const PREEMPTED: &str = "compute.instances.preempted";

/// At so many listings it is asked; what did not show by then had another cause.
const ASKED: u32 = 6;

/// A machine that was taken and deleted is told of in so many listings.
const TOLD: u32 = 60;

/// For so long a listing waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages of a zone's preemptions that are read, of 500 each; Google forgets them after two weeks.
const PAGES: usize = 10;

/// Spot machines, and what became of those that run no more.
#[derive(Debug, Default)]
pub(super) struct Preempted {
    /// Those of the newest listings.
    listed: BTreeMap<InstanceId, (FleetId, CloudInstance)>,
    cases: BTreeMap<InstanceId, Case>,
    /// Those that we switch off or end ourselves.
    ours: BTreeSet<InstanceId>,
}

/// A machine that runs no more.
#[derive(Debug)]
struct Case {
    fleet: FleetId,
    /// As it was listed last.
    machine: CloudInstance,
    asked: u32,
    told: u32,
    taken: Option<Taken>,
}

/// That Google took a machine, in its words, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    at: Option<Timestamp>,
    reason: String,
}

impl Preempted {
    /// We end it, or switch it off.
    pub(super) fn ends_by_us(&mut self, id: &InstanceId) {
        self.ours.insert(id.clone());
    }

    /// We switch it on again.
    pub(super) fn starts(&mut self, id: &InstanceId) {
        self.ours.remove(id);
    }

    /// Takes a listing of a fleet at a site in. The answer: the zones whose operations may say what became of machines.
    pub(super) fn list(&mut self, fleet: &FleetId, site: &str, machines: &[CloudInstance]) -> BTreeSet<String> {
        let here = |of: &FleetId, machine: &CloudInstance| of == fleet && machine.region == site;
        let shown: BTreeMap<&InstanceId, &CloudInstance> =
            machines.iter().map(|machine| (&machine.id, machine)).collect();
        // One that runs again, or that is known to have ended, is no case any more.
        let over = |machine: &CloudInstance| runs(machine) || machine.state == CloudState::Terminated;
        self.cases
            .retain(|id, case| !here(&case.fleet, &case.machine) || shown.get(id).is_none_or(|machine| !over(machine)));
        let vanished = self.listed.iter().filter(|(id, (of, machine))| here(of, machine) && !shown.contains_key(*id));
        let vanished = vanished.map(|(_, (_, machine))| machine);
        let off = machines.iter().filter(|machine| is_spot(machine) && !over(machine));
        let unwanted: Vec<CloudInstance> =
            vanished.chain(off).filter(|machine| !self.ours.contains(&machine.id)).cloned().collect();
        for machine in unwanted {
            let fleet = fleet.clone();
            let case = Case { fleet, machine: machine.clone(), asked: 0, told: 0, taken: None };
            self.cases.entry(machine.id.clone()).or_insert(case);
        }
        self.listed.retain(|_, (of, machine)| !here(of, machine));
        let spot = machines.iter().filter(|machine| is_spot(machine) && machine.state != CloudState::Terminated);
        self.listed.extend(spot.map(|machine| (machine.id.clone(), (fleet.clone(), machine.clone()))));
        self.ours.retain(|id| self.listed.contains_key(id));
        let open = self.cases.values_mut().filter(|case| here(&case.fleet, &case.machine) && case.taken.is_none());
        let open = open.filter(|case| case.asked < ASKED).map(|case| {
            case.asked += 1;
            case.machine.zone.as_ref().map(ToString::to_string)
        });
        open.flatten().collect()
    }

    /// Takes in what a zone's operations say. One of before the machine's last start is of an earlier life.
    fn heard(&mut self, operations: &[Operation]) {
        for operation in operations {
            let Some((names, taken)) = taken(operation) else { continue };
            let Some(id) = names.into_iter().flatten().find(|id| self.cases.contains_key(id)) else { continue };
            if let Some(case) = self.cases.get_mut(&id)
                && case.machine.zone.as_ref().map(Zone::as_str) == zone(operation)
                && taken.at.is_none_or(|at| at >= case.machine.launched)
            {
                case.taken = Some(taken);
            }
        }
    }

    /// Says of each machine that Google took that it did; those that it deleted are put into the listing again for a while.
    pub(super) fn tell(&mut self, fleet: &FleetId, site: &str, machines: &mut Vec<CloudInstance>) {
        for (id, case) in &mut self.cases {
            let Some(taken) = case.taken.as_ref().filter(|_| case.fleet == *fleet && case.machine.region == site)
            else {
                continue;
            };
            let reason = Some(taken.reason.clone());
            if let Some(machine) = machines.iter_mut().find(|machine| machine.id == *id) {
                machine.state_reason = reason;
            } else {
                let (state, ended) = (CloudState::Terminated, taken.at.or(case.machine.ended));
                machines.push(CloudInstance { state, ended, state_reason: reason, ..case.machine.clone() });
                case.told += 1;
            }
        }
        // Of what was not found to be taken there is nothing to be told, once nobody asks any more and it is gone.
        let listed = &self.listed;
        self.cases.retain(|id, case| {
            case.told < TOLD && (case.taken.is_some() || case.asked < ASKED || listed.contains_key(id))
        });
    }
}

/// Asks the zones for what was taken there. What is not known now may be at the next look.
pub(super) async fn ask(site: &Site, zones: BTreeSet<String>, preempted: &Mutex<Preempted>) {
    let asked = join_all(zones.iter().map(|zone| operations(site, zone)));
    let Ok(answers) = timeout(PATIENCE, asked).await else { return };
    for operations in answers.into_iter().flatten() {
        preempted.lock().await.heard(&operations);
    }
}

/// What was taken in a zone lately.
async fn operations(site: &Site, zone: &str) -> Result<Vec<Operation>, CloudError> {
    let call = site.operations.list().set_project(&site.project).set_zone(zone);
    let call = call.set_filter(format!("operationType=\"{PREEMPTED}\"")).with_retry_policy(NeverRetry);
    let mut pages = call.by_page();
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let Some(page) = pages.next().await else { break };
        found.extend(page.map_err(|error| cloud_error("zoneOperations.list", &error))?.items);
    }
    Ok(found)
}

fn is_spot(machine: &CloudInstance) -> bool {
    machine.market == Market::Spot
}

fn runs(machine: &CloudInstance) -> bool {
    matches!(machine.state, CloudState::Pending | CloudState::Running)
}

/// The machine that an operation took, by its name and by the number that one has for its id which was brought over.
fn taken(operation: &Operation) -> Option<([Option<InstanceId>; 2], Taken)> {
    if operation.operation_type.as_deref() != Some(PREEMPTED) {
        return None;
    }
    let name = InstanceId::from(listed::last(operation.target_link.as_deref()?));
    let number = operation.target_id.map(|number| InstanceId::from(number.to_string()));
    let at = [&operation.end_time, &operation.insert_time].into_iter().flatten().find_map(|time| time.parse().ok());
    let said = operation.status_message.as_deref().filter(|said| !said.is_empty());
    Some((
        [Some(name), number],
        Taken { at, reason: format!("{PREEMPTED}: {}", said.unwrap_or("Google took it back")) },
    ))
}

/// The zone of what an operation was done to: `.../zones/us-central1-a/instances/m-1`.
fn zone(operation: &Operation) -> Option<&str> {
    operation.target_link.as_deref()?.rsplit('/').nth(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observed::Tags;
    use crate::model::settings::Provider;
    use proptest::prelude::*;

    const SITE: &str = "us-central1";

    fn at(minute: i8) -> Timestamp {
        jiff::civil::date(2026, 11, 29).at(8, minute, 0, 0).in_tz("UTC").unwrap().timestamp()
    }

    fn machine(id: &str, state: CloudState) -> CloudInstance {
        CloudInstance {
            id: id.into(),
            provider: Provider::Gce,
            pod: None,
            region: SITE.to_owned(),
            machine_type: "g2-standard-4".into(),
            zone: Some("us-central1-a".into()),
            market: Market::Spot,
            state,
            launched: at(0),
            ended: None,
            image: None,
            state_reason: None,
            tags: Tags::default(),
        }
    }

    fn taken(id: &str, minute: i8) -> Operation {
        Operation::new()
            .set_operation_type(PREEMPTED)
            .set_target_link(format!("https://compute/v1/projects/p/zones/us-central1-a/instances/{id}"))
            .set_status_message("Instance was preempted.")
            .set_insert_time(at(minute).to_string())
    }

    /// One listing: the zones that are asked, and what is said of machines.
    fn look(preempted: &mut Preempted, shown: &[CloudInstance], said: &[Operation]) -> (usize, Vec<String>) {
        let fleet = "research".into();
        let mut machines = shown.to_vec();
        let asked = preempted.list(&fleet, SITE, &machines).len();
        if asked > 0 {
            preempted.heard(said);
        }
        preempted.tell(&fleet, SITE, &mut machines);
        let told = machines.iter().filter(|machine| machine.is_interrupted());
        (asked, told.map(|machine| format!("{} {:?} {:?}", machine.id, machine.state, machine.ended)).collect())
    }

    #[test]
    fn what_vanished_is_asked_after_until_it_is_known_and_told_for_a_while() {
        let mut preempted = Preempted::default();
        let up = [machine("m-1", CloudState::Running), machine("m-2", CloudState::Running)];
        assert_eq!(look(&mut preempted, &up, &[]), (0, vec![]));
        assert_eq!(look(&mut preempted, &up[..1], &[]), (1, vec![]), "Google may say so a little later");
        let told = format!("m-2 Terminated {:?}", Some(at(7)));
        assert_eq!(look(&mut preempted, &up[..1], &[taken("m-2", 7)]), (1, vec![told.clone()]));
        for _ in 1..TOLD {
            assert_eq!(look(&mut preempted, &up[..1], &[]), (0, vec![told.clone()]), "it is asked once");
        }
        assert_eq!(look(&mut preempted, &up[..1], &[]), (0, vec![]));
    }

    #[test]
    fn a_machine_that_was_brought_over_is_known_by_its_number() {
        let mut preempted = Preempted::default();
        look(&mut preempted, &[machine("4711", CloudState::Running)], &[]);
        let told = format!("4711 Terminated {:?}", Some(at(7)));
        assert_eq!(look(&mut preempted, &[], &[taken("old-worker", 7).set_target_id(4711_u64)]), (1, vec![told]));
    }

    #[test]
    fn what_was_not_taken_is_given_up() {
        let mut preempted = Preempted::default();
        look(&mut preempted, &[machine("m-1", CloudState::Running)], &[]);
        let others = [taken("m-9", 7), Operation::new().set_operation_type("delete"), Operation::new()];
        let looks: usize = (0..20).map(|_| look(&mut preempted, &[], &others).0).sum();
        assert_eq!(looks, ASKED as usize);
        assert!(preempted.cases.is_empty() && preempted.listed.is_empty());
    }

    #[test]
    fn what_is_only_switched_off_is_told_where_it_is_listed_and_an_earlier_life_is_no_cause() {
        let mut preempted = Preempted::default();
        let off = CloudInstance { launched: at(10), ..machine("m-1", CloudState::Stopped) };
        assert_eq!(look(&mut preempted, std::slice::from_ref(&off), &[taken("m-1", 7)]), (1, vec![]));
        let told = (1, vec!["m-1 Stopped None".to_owned()]);
        assert_eq!(look(&mut preempted, std::slice::from_ref(&off), &[taken("m-1", 17)]), told);
        let again = CloudInstance { state: CloudState::Running, launched: at(20), ..off };
        assert_eq!(look(&mut preempted, &[again], &[]), (0, vec![]));
    }

    #[test]
    fn what_we_end_and_what_is_no_spot_machine_is_not_asked_after() {
        let mut preempted = Preempted::default();
        let on_demand = CloudInstance { market: Market::OnDemand, ..machine("m-3", CloudState::Running) };
        let up = [machine("m-1", CloudState::Running), machine("m-2", CloudState::Running), on_demand];
        look(&mut preempted, &up, &[]);
        preempted.ends_by_us(&"m-1".into());
        preempted.ends_by_us(&"m-2".into());
        let off = machine("m-2", CloudState::Stopped);
        assert_eq!(look(&mut preempted, std::slice::from_ref(&off), &[taken("m-1", 7)]), (0, vec![]));
        preempted.starts(&"m-2".into());
        look(&mut preempted, &[machine("m-2", CloudState::Running)], &[]);
        assert_eq!(look(&mut preempted, &[off], &[]).0, 1, "it was on again");
        // A machine of another site or fleet is not missed here.
        assert_eq!(preempted.list(&"other".into(), SITE, &[]).len(), 0);
    }

    proptest! {
        #[test]
        fn any_operation_is_taken_in(link: String, time: String, kind in prop_oneof![Just(PREEMPTED.to_owned()), any::<String>()]) {
            let mut preempted = Preempted::default();
            look(&mut preempted, &[machine("m-1", CloudState::Running)], &[]);
            let operation = Operation::new().set_operation_type(kind).set_target_link(link).set_insert_time(time);
            look(&mut preempted, &[], &[operation]);
        }
    }
}

//! Machines that another autoscaler made, taken into our fleet by its labels.

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::{Instance, InstancesSetLabelsRequest};
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;

use crate::model::label::{is_whole, written};
use crate::model::observed::CloudState;
use crate::world::cloud::{CloudError, Newcomer};
use crate::world::gce::error::refused;
use crate::world::gce::operation::{Stand, unknown};
use crate::world::gce::{Site, label, listed};

const CALL: &str = "instances.setLabels";

/// Looks at the machine first: labels on one that has ended, or that is a fleet's already, would say what is not so. Its own
/// labels stay; one that changes meanwhile makes Google refuse ours.
pub(super) async fn bring_over(site: &Site, region: &str, newcomer: &Newcomer) -> Result<(), CloudError> {
    let id = newcomer.instance.as_str();
    let found = site.aggregated(&filter(id), None).await?;
    let machine = found.iter().find(|machine| is(machine, id));
    let machine = machine.ok_or_else(|| refused(format!("there is no machine {id} in project {}", site.project)))?;
    if let Some(fleet) = machine.labels.get(label::FLEET) {
        let fleet = label::of(machine, label::FLEET).unwrap_or_else(|| fleet.clone());
        return Err(refused(format!("it is of fleet {fleet} already")));
    }
    let known = listed::read(CALL, machine, region)?;
    if !matches!(known.state, CloudState::Pending | CloudState::Running) {
        return Err(refused("it does not run any more".to_owned()));
    }
    let zone = listed::zone(machine).unwrap_or_default();
    let body = InstancesSetLabelsRequest::new()
        .set_labels(labels(machine, newcomer)?)
        .set_or_clear_label_fingerprint(machine.label_fingerprint.clone());
    let call = site.client.set_labels().set_project(&site.project).set_zone(zone).set_instance(id).set_body(body);
    let answer = call.with_retry_policy(NeverRetry).send().await;
    match site.taken(zone, CALL, answer, site.patience.other).await? {
        Stand::Done => Ok(()),
        Stand::Running => Err(unknown(CALL)),
    }
}

/// How a machine is looked for: by Google's number of it, as another autoscaler's workers are called, or by its name.
pub(super) fn filter(id: &str) -> String {
    if is_number(id) { format!("id={id}") } else { format!("name=\"{id}\"") }
}

/// Whether the machine has this number or name.
pub(super) fn is(machine: &Instance, id: &str) -> bool {
    machine.name.as_deref() == Some(id) || machine.id.is_some_and(|number| number.to_string() == id)
}

/// A name begins with a letter.
fn is_number(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

fn labels(machine: &Instance, newcomer: &Newcomer) -> Result<BTreeMap<String, String>, CloudError> {
    let mut labels: BTreeMap<String, String> = machine.labels.clone().into_iter().collect();
    let ours = [
        (label::FLEET, newcomer.fleet.as_str()),
        (label::POOL, newcomer.pool.as_str()),
        (label::QUEUE, newcomer.queue.as_str()),
        (label::ID, newcomer.instance.as_str()),
    ];
    for (name, text) in ours {
        let label = written(text);
        // Of one that we make the rest is in its metadata; this one's is not ours.
        if !is_whole(&label) {
            return Err(refused(format!("`{text}` is too long for a label of Google's")));
        }
        labels.insert(name.to_owned(), label);
    }
    labels.insert(label::BROUGHT_OVER.to_owned(), written(newcomer.by.as_str()));
    Ok(labels)
}

//! The spot requests behind machines. A one-time request ends with its machine; one that did not, or that comes back,
//! would be another machine that nobody decided. So it is cancelled with the machine.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Instance, InstanceStateName};

use crate::model::ids::InstanceId;
use crate::world::aws::quick;

/// The requests of the machines that were up when a site was last listed.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<String, BTreeMap<InstanceId, String>>);

impl Requests {
    /// A site was listed.
    pub(super) fn note(&mut self, site: &str, requests: BTreeMap<InstanceId, String>) {
        self.0.insert(site.to_owned(), requests);
    }

    /// The requests of these machines, to be cancelled: each is handed out once.
    pub(super) fn take(&mut self, site: &str, instances: &[InstanceId]) -> Vec<String> {
        let of_site = self.0.get_mut(site);
        of_site.map(|of_site| instances.iter().filter_map(|id| of_site.remove(id)).collect()).unwrap_or_default()
    }
}

/// The request of a machine that is up.
pub(super) fn request(instance: &Instance) -> Option<(InstanceId, String)> {
    let up = [InstanceStateName::Pending, InstanceStateName::Running];
    let is_up = instance.state().and_then(|state| state.name()).is_some_and(|state| up.contains(state));
    let id = instance.spot_instance_request_id().filter(|id| is_up && !id.is_empty())?;
    Some((instance.instance_id()?.into(), id.to_owned()))
}

/// Cancels the requests, as far as that can be done at once; the machines end whatever comes of it, and what stays open is
/// swept later.
pub(super) async fn cancel(client: &Client, requests: &[String]) {
    let call = |ids: &[String]| {
        let call = client.cancel_spot_instance_requests().set_spot_instance_request_ids(Some(ids.to_vec()));
        call.customize().config_override(quick()).send()
    };
    // One that is gone refuses the whole call.
    if !requests.is_empty() && call(requests).await.is_err() && requests.len() > 1 {
        for request in requests {
            let _ = call(std::slice::from_ref(request)).await;
        }
    }
}

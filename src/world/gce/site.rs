//! A project's region, and how it is asked.

use std::time::Duration;

use google_cloud_compute_v1::client::{Disks, Instances, ZoneOperations};
use google_cloud_compute_v1::model::instances_scoped_list::warning;
use google_cloud_compute_v1::model::{Instance, Operation};
use google_cloud_gax::client_builder::ClientBuilder;
use google_cloud_gax::paginator::Paginator as _;
use google_cloud_gax::retry_policy::{Aip194Strict, RetryPolicyExt as _};

use crate::model::site;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::gce::account::Account;
use crate::world::gce::error::{cloud_error, refused, unreadable};
use crate::world::gce::operation::{Patience, Stand, follow_for};
use crate::world::gce::rest::{Rest, Service};
use crate::world::gce::{LIST, listed};

/// Where `gcloud` looks for another address of the service's.
const ENDPOINT_VARIABLE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE";

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const ATTEMPTS: u32 = 3;

/// A project's region, and how it is asked.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) client: Instances,
    pub(super) operations: ZoneOperations,
    pub(super) disks: Disks,
    pub(super) project: String,
    pub(super) region: String,
    pub(super) patience: Patience,
    pub(super) account: Account,
    /// Another address of every service, for tests.
    endpoint: Option<String>,
}

impl Site {
    /// Nobody is called yet. `endpoint`: of every service, in the place of the usual ones.
    pub(super) async fn open(
        name: &str,
        account: Account,
        endpoint: Option<String>,
        patience: Patience,
    ) -> Result<Self, CloudError> {
        let compute = endpoint.clone().or_else(|| std::env::var(ENDPOINT_VARIABLE).ok());
        let compute = compute.as_deref().map(endpoint_of);
        let no = |error| CloudError {
            class: ErrorClass::Credentials,
            ..refused(format!("Compute Engine cannot be asked: {error}"))
        };
        Ok(Self {
            client: set(Instances::builder(), &account, compute.as_ref()).build().await.map_err(no)?,
            operations: set(ZoneOperations::builder(), &account, compute.as_ref()).build().await.map_err(no)?,
            disks: set(Disks::builder(), &account, compute.as_ref()).build().await.map_err(no)?,
            project: account.project.clone(),
            region: site::parts(name).1.to_owned(),
            patience,
            account,
            endpoint,
        })
    }

    /// Another service of Google's, as the same account.
    pub(super) fn rest(&self, service: &'static Service) -> Result<Rest, CloudError> {
        Rest::open(service, &self.account.credentials, self.endpoint.as_deref())
    }

    /// Every machine of the region that the filter lets through, all pages. A zone that did not answer spoils the listing.
    pub(super) async fn aggregated(&self, filter: &str, page_size: Option<u32>) -> Result<Vec<Instance>, CloudError> {
        let call = self.client.aggregated_list().set_project(&self.project).set_filter(filter);
        let mut pages = call.set_or_clear_max_results(page_size).by_page();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| cloud_error(LIST, &error))?;
            let mut silent = page.unreachables.iter().map(String::as_str).filter(|scope| self.is_here(scope));
            if let Some(scope) = silent.next() {
                return Err(unreadable(LIST, &format!("{scope} did not answer")));
            }
            for (scope, list) in page.items.into_iter().filter(|(scope, _)| self.is_here(scope)) {
                let code = list.warning.as_ref().and_then(|warning| warning.code.as_ref());
                if code == Some(&warning::Code::Unreachable) {
                    return Err(unreadable(LIST, &format!("{scope} did not answer")));
                }
                found.extend(list.instances);
            }
        }
        Ok(found)
    }

    /// Whether a scope, such as `zones/us-central1-a`, is of this region.
    pub(super) fn is_here(&self, scope: &str) -> bool {
        listed::region_of(listed::last(scope)) == self.region
    }

    pub(super) async fn get(&self, zone: &str, name: &str) -> Result<Instance, CloudError> {
        let call = self.client.get().set_project(&self.project).set_zone(zone).set_instance(name);
        call.send().await.map_err(|error| cloud_error("instances.get", &error))
    }

    /// What became of a call that was taken, as far as it is known after `patience`.
    pub(super) async fn taken(
        &self,
        zone: &str,
        call: &str,
        answer: Result<Operation, google_cloud_compute_v1::Error>,
        patience: Duration,
    ) -> Result<Stand, CloudError> {
        let operation = answer.map_err(|error| cloud_error(call, &error))?;
        follow_for(patience, self, zone, call, operation).await.map_err(|no| no.error)
    }
}

/// What all clients have in common.
fn set<F>(
    builder: ClientBuilder<F, google_cloud_auth::credentials::Credentials>,
    account: &Account,
    endpoint: Option<&String>,
) -> ClientBuilder<F, google_cloud_auth::credentials::Credentials> {
    let builder = builder
        .with_credentials(account.credentials.clone())
        .with_retry_policy(Aip194Strict.with_attempt_limit(ATTEMPTS))
        .with_attempt_timeout(ATTEMPT_TIMEOUT);
    match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    }
}

/// `gcloud` writes the whole path of the service, the client its beginning.
fn endpoint_of(address: &str) -> String {
    address.trim_end_matches('/').trim_end_matches("/compute/v1").to_owned()
}

//! What was asked for is done later: an operation is asked after until it ended, and its end may be a no.

use std::time::Duration;

use google_cloud_compute_v1::model::Operation;
use google_cloud_compute_v1::model::operation::Status;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use tokio::time::{sleep, timeout};

use crate::model::snapshot::ErrorClass;
use crate::world::cloud::CloudError;
use crate::world::gce::Site;
use crate::world::gce::error::{No, cloud_error, failed, unreadable};

/// How long operations are followed.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Launches, and starts of machines that were off: it matters whether there was room.
    pub launch: Duration,
    /// Whatever else: what was taken and has not failed so soon is done, or the next list shows that it is not.
    pub other: Duration,
    /// Before the first question; then twice as long each time.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            launch: Duration::from_secs(75),
            other: Duration::from_secs(20),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(4),
        }
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Done,
    /// It was followed for as long as there was patience.
    Running,
}

/// Follows an operation of a call for as long as there is patience.
pub(super) async fn follow_for(
    patience: Duration,
    site: &Site,
    zone: &str,
    call: &str,
    operation: Operation,
) -> Result<Stand, No> {
    match timeout(patience, follow(site, zone, call, operation)).await {
        Ok(ended) => ended.map(|()| Stand::Done),
        Err(_) => Ok(Stand::Running),
    }
}

/// Follows an operation until it ended. `call`: what it is of.
pub(super) async fn follow(site: &Site, zone: &str, call: &str, mut operation: Operation) -> Result<(), No> {
    let name = operation.name.clone().ok_or_else(|| unreadable(call, "an operation without a name"))?;
    let mut pause = site.patience.first_pause;
    loop {
        if operation.status == Some(Status::Done) {
            return operation.to_result().map(drop).map_err(|error| failed(call, &error));
        }
        sleep(pause).await;
        pause = (pause * 2).min(site.patience.longest_pause);
        let asked = site.client.get_operation().set_project(&site.project).set_zone(zone).set_operation(&name);
        match asked.with_retry_policy(NeverRetry).send().await {
            Ok(now) => operation = now,
            // It goes on without us; a silence may end.
            Err(error) => {
                let error = cloud_error(call, &error);
                if matches!(error.class, ErrorClass::Credentials | ErrorClass::BadRequest) {
                    let message = format!("operation {name}: {}", error.message);
                    return Err(CloudError { may_have_acted: true, message, ..error }.into());
                }
            }
        }
    }
}

/// Of one that was followed for as long as there was patience.
pub(super) fn unknown(call: &str) -> CloudError {
    CloudError::deadline(&format!("{call}: its operation"))
}

//! WHAT IS OUT THERE. The only code that talks to a network; two small traits are its face.

#[cfg(feature = "aws")]
pub mod aws;
pub mod clearml;
pub mod clock;
pub mod cloud;
pub mod cluster_role;
pub mod exec;
#[cfg(feature = "gce")]
pub mod gce;
pub mod guard;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod notify;
pub mod policy;
pub mod prices;
pub mod program;
pub mod pseudonymous;
pub mod role;
pub mod secret;
pub mod sim;
#[cfg(any(feature = "aws", feature = "gce"))]
mod since;
pub mod tracker;

use std::sync::Arc;

use crate::model::pseudonym::Pseudonyms;
use crate::model::settings::Provider;
use crate::model::snapshot::ErrorClass;
use crate::world::cloud::{Cloud, CloudError, Clouds};
use crate::world::pseudonymous::Pseudonymous;
use crate::world::tracker::Tracker;

/// Everything out there that a fleet needs.
#[derive(Clone)]
pub struct World {
    pub tracker: Arc<dyn Tracker>,
    pub clouds: Clouds,
}

impl World {
    /// The same, with users and tasks as they are called.
    #[must_use]
    pub fn with_pseudonyms(mut self, names: &Pseudonyms) -> Self {
        if names.tag().is_some() {
            self.tracker = Arc::new(Pseudonymous::new(self.tracker, names.clone()));
        }
        self
    }

    /// The cloud of a provider.
    ///
    /// # Errors
    /// This build, or this world, has none.
    pub fn cloud(&self, provider: Provider) -> Result<&Arc<dyn Cloud>, CloudError> {
        self.clouds.get(&provider).ok_or_else(|| CloudError {
            class: ErrorClass::BadRequest,
            code: None,
            message: format!("this program was built without {provider:?}"),
            may_have_acted: false,
            quota: None,
            passed_over: Vec::new(),
        })
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("clouds", &self.clouds.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// An error with what caused it, outermost first.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

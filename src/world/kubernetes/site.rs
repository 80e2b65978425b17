//! A namespace of a cluster: how it is reached.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};

use crate::model::settings::kubernetes::of_site;
use crate::world::cloud::CloudError;

/// An API server that does not let us in by then does not answer.
const CONNECTS: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) namespace: String,
}

/// The kinds that are worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Pod,
    Event,
    Secret,
}

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, kind, plural) = match self {
            Self::Job => ("batch", "Job", "jobs"),
            Self::Pod => ("", "Pod", "pods"),
            Self::Event => ("", "Event", "events"),
            Self::Secret => ("", "Secret", "secrets"),
        };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

impl Site {
    /// By the kubeconfig's context of that name; without a name by its current one, and where there is no kubeconfig as a pod
    /// of the cluster.
    pub(super) async fn open(site: &str) -> Result<Self, CloudError> {
        let (context, namespace) = of_site(site);
        let config = match context {
            Some(context) => {
                let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
                Config::from_kubeconfig(&options).await.map_err(|error| error.to_string())
            }
            None => Config::infer().await.map_err(|error| error.to_string()),
        };
        let mut config = config.map_err(|error| CloudError::refused(format!("no way to the cluster: {error}")))?;
        config.connect_timeout = Some(CONNECTS);
        let client = Client::try_from(config)
            .map_err(|error| CloudError::refused(format!("no client for the cluster: {error}")))?;
        Ok(Self { client, namespace: namespace.to_owned() })
    }

    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

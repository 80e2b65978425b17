//! A namespace of a cluster: how it is reached.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, Error};

use crate::model::settings::kubernetes::of_site;
use crate::world::cloud::CloudError;
use crate::world::kubernetes::error::cloud_error;

/// An API server that does not let us in by then does not answer.
const CONNECTS: Duration = Duration::from_secs(10);

/// API groups that a cluster may have.
pub(super) const KARPENTER: &str = "karpenter.sh";
pub(super) const KUEUE: &str = "kueue.x-k8s.io";

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
    Node,
    ConfigMap,
    /// Karpenter's.
    NodePool,
    /// Karpenter's.
    NodeClaim,
    /// Kueue's.
    Workload,
}

impl Kind {
    /// Its API group, what it is called, and what many of it are called.
    fn named(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Job => ("batch", "Job", "jobs"),
            Self::Pod => ("", "Pod", "pods"),
            Self::Event => ("", "Event", "events"),
            Self::Secret => ("", "Secret", "secrets"),
            Self::Node => ("", "Node", "nodes"),
            Self::ConfigMap => ("", "ConfigMap", "configmaps"),
            Self::NodePool => (KARPENTER, "NodePool", "nodepools"),
            Self::NodeClaim => (KARPENTER, "NodeClaim", "nodeclaims"),
            Self::Workload => (KUEUE, "Workload", "workloads"),
        }
    }

    pub(super) fn resource(self, version: &str) -> ApiResource {
        let (group, kind, plural) = self.named();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}

/// A client that hands on each answer as it comes.
pub(super) fn client(mut config: Config) -> Result<Client, CloudError> {
    config.connect_timeout = Some(CONNECTS);
    // It would ask a server that is down again by itself, after pauses that double up to a quarter of an hour and are told nobody.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| CloudError::refused(format!("no client for the cluster: {error}")))
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
        let config = config.map_err(|error| CloudError::refused(format!("no way to the cluster: {error}")))?;
        Ok(Self { client: client(config)?, namespace: namespace.to_owned() })
    }

    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        self.api_in(kind, &self.namespace)
    }

    /// Of another namespace.
    pub(super) fn api_in(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource("v1"))
    }

    /// Of its namespace, in a version of its API group.
    pub(super) fn api_of(&self, kind: Kind, version: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource(version))
    }

    /// Of the whole cluster, in a version of its API group.
    pub(super) fn cluster_wide(&self, kind: Kind, version: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &kind.resource(version))
    }

    /// The API groups that the cluster has, each with the version that it prefers. A cluster that does not tell has none.
    pub(super) async fn groups(&self) -> Result<BTreeMap<String, String>, CloudError> {
        let groups = match self.client.list_api_groups().await {
            Ok(list) => list.groups,
            Err(Error::Api(status)) if (400..500).contains(&status.code) => Vec::new(),
            Err(error) => return Err(cloud_error("list the API groups", &error)),
        };
        let preferred = groups.into_iter().filter_map(|group| {
            let version = group.preferred_version.or_else(|| group.versions.into_iter().next())?;
            Some((group.name, version.version))
        });
        Ok(preferred.collect())
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

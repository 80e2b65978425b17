//! A namespace of a cluster: how it is reached.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};

use crate::world::cloud::CloudError;
use crate::world::kubernetes::error::{cloud_error, is_not_ours, within};

/// API groups that a cluster may have.
pub(super) const KARPENTER: &str = "karpenter.sh";
pub(super) const KUEUE: &str = "kueue.x-k8s.io";

#[derive(Clone)]
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// How often it had been opened then, and itself.
    pub(super) turn: u64,
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

impl Site {
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

    /// The API groups that the cluster has, each with the version that it prefers. A cluster that does not let us know has none.
    pub(super) async fn groups(&self) -> Result<BTreeMap<String, String>, CloudError> {
        let call = "list the API groups";
        let ask = async {
            match self.client.list_api_groups().await {
                Ok(list) => Ok(list.groups),
                Err(error) if is_not_ours(&error) => Ok(Vec::new()),
                Err(error) => Err(cloud_error(call, &error)),
            }
        };
        let preferred = within(call, ask).await?.into_iter().filter_map(|group| {
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
        f.debug_struct("Site").field("namespace", &self.namespace).field("turn", &self.turn).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::open::client;
    use axum::Router;
    use axum::http::StatusCode;
    use serde_json::json;

    /// What a server that answers so says of its groups.
    async fn groups(code: u16, body: String) -> Result<BTreeMap<String, String>, CloudError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let code = StatusCode::from_u16(code).unwrap();
        let served = Router::new().fallback(move || async move { (code, body) });
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, served).await.unwrap() });
        let client = client(kube::Config::new(url.parse().unwrap())).unwrap();
        Site { client, namespace: "ml".to_owned(), turn: 1 }.groups().await
    }

    #[tokio::test]
    async fn only_a_server_that_says_so_has_no_groups_for_us() {
        let no = |code: u16, reason: &str| {
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no",
                "reason": reason, "code": code })
            .to_string()
        };
        for (code, reason) in [(403, "Forbidden"), (404, "NotFound")] {
            assert_eq!(groups(code, no(code, reason)).await, Ok(BTreeMap::new()), "{code}");
        }
        for (code, reason) in
            [(401, "Unauthorized"), (429, "TooManyRequests"), (400, "BadRequest"), (500, "InternalError")]
        {
            let error = groups(code, no(code, reason)).await.unwrap_err();
            assert!(error.message.starts_with("list the API groups: "), "{error}");
        }
        // What a load balancer says of a server that it does not reach.
        for code in [403, 404] {
            groups(code, "<html>nothing here".to_owned()).await.unwrap_err();
        }
    }
}

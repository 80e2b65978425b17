//! What is watched of a cluster beside our Jobs: its nodes, its autoscaler, and what is said of both. All of it is of use
//! where it can be read, and none of it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::DynamicObject;
use serde_json::Value;
use tokio::time::timeout;

use crate::model::cluster::Cluster;
use crate::world::kubernetes::listed::whole;
use crate::world::kubernetes::nodes::{self, node};
use crate::world::kubernetes::scalers::{self, of_config_map, of_karpenter};
use crate::world::kubernetes::site::{KARPENTER, KUEUE, Kind, Site};
use crate::world::kubernetes::told::text;
use crate::world::kubernetes::watch::{Of, Watch, slim};

/// So long the first look waits for what is not needed.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Where events of what is in no namespace are.
const DEFAULT: &str = "default";

/// The watches of a cluster.
#[derive(Debug)]
pub(super) struct Around {
    nodes: Watch,
    status: Watch,
    /// Of nodes and of what becomes a node.
    events: Watch,
    karpenter: Option<Karpenter>,
    /// In which version it has Kueue.
    kueue: Option<String>,
}

#[derive(Debug)]
struct Karpenter {
    pools: Watch,
    claims: Watch,
}

/// Events of nodes, and of what Karpenter makes nodes of.
fn is_of_node(event: &mut DynamicObject) -> bool {
    ["Node", "NodeClaim", "NodePool"].contains(&text(&event.data, "/involvedObject/kind")) && slim(event)
}

impl Around {
    /// Begins to watch the cluster that a site is of, with the API groups that it has.
    pub(super) fn start(site: &Site, groups: &BTreeMap<String, String>) -> Self {
        let status = Of::aside(slim).fields(&format!("metadata.name={}", scalers::CONFIG_MAP));
        let karpenter = groups.get(KARPENTER).map(|version| Karpenter {
            pools: Watch::start(site.cluster_wide(Kind::NodePool, version), Of::aside(slim)),
            claims: Watch::start(site.cluster_wide(Kind::NodeClaim, version), Of::aside(slim)),
        });
        Self {
            nodes: Watch::start(site.cluster_wide(Kind::Node, "v1"), Of::aside(nodes::slim)),
            status: Watch::start(site.api_in(Kind::ConfigMap, scalers::NAMESPACE), status),
            events: Watch::start(site.api_in(Kind::Event, DEFAULT), Of::aside(is_of_node)),
            karpenter,
            kueue: groups.get(KUEUE).cloned(),
        }
    }

    /// The version of Kueue's API group, where the cluster has it.
    pub(super) fn kueue(&self) -> Option<&str> {
        self.kueue.as_deref()
    }

    pub(super) fn has_kueue(&self) -> bool {
        self.kueue.is_some()
    }

    /// All that is known of it now.
    pub(super) async fn cluster(&self) -> Cluster {
        // What cannot be read says so in what is not read.
        let karpenter = self.karpenter.iter().flat_map(|karpenter| [&karpenter.pools, &karpenter.claims]);
        let all = [&self.nodes, &self.status].into_iter().chain(karpenter);
        let _ = timeout(FIRST_LOOK, futures::future::join_all(all.map(Watch::ready))).await;
        let mut unread = Vec::new();
        let mut told = |what: &str, why: Option<String>| unread.extend(why.map(|why| format!("{what}: {why}")));
        told("nodes", self.nodes.broken());
        told("Cluster Autoscaler's status", self.status.broken());
        let mut groups = Vec::new();
        for map in self.status.all() {
            match of_config_map(&whole(&map)) {
                Ok(read) => groups.extend(read),
                Err(why) => told("Cluster Autoscaler's status", Some(why)),
            }
        }
        if let Some(Karpenter { pools, claims }) = &self.karpenter {
            told("Karpenter's NodePools", pools.broken());
            told("Karpenter's NodeClaims", claims.broken());
            groups.extend(of_karpenter(&wholes(pools), &wholes(claims), &wholes(&self.events)));
        }
        let nodes = self.nodes.all().iter().map(|object| node(object)).collect();
        Cluster { nodes, groups, unread, ..Cluster::default() }
    }

    /// Whether a watch of it is refused for who we are.
    pub(super) fn is_denied(&self) -> bool {
        [&self.nodes, &self.status, &self.events].into_iter().any(Watch::is_denied)
    }

    /// What is said of nodes now.
    pub(super) fn events(&self) -> Vec<Arc<DynamicObject>> {
        self.events.all()
    }
}

fn wholes(watch: &Watch) -> Vec<Value> {
    watch.all().iter().map(|object| whole(object)).collect()
}

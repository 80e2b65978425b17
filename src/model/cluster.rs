//! What a cluster says of its nodes, and of who adds and removes them. Nodes are the cluster's own: they are shown, priced,
//! and never acted on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::attempt::Asks;
use crate::model::catalogue::Catalogue;
use crate::model::ids::MachineType;
use crate::model::money::Rate;
use crate::model::reason::counted;
use crate::model::settings::{Market, Provider};

/// A cluster as it shows itself. What we may not read is left out, and said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    /// What an autoscaler adds nodes to; none where there is no autoscaler, or where it says nothing.
    pub groups: Vec<NodeGroup>,
    /// What is not read, and why.
    pub unread: Vec<String>,
    /// What ClearML's own glues have in the namespace, a line each: they are looked at, and left alone.
    #[serde(default)]
    pub glues: Vec<String>,
    /// What the API server warned of, each once, the newest last.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A node, as far as pods and their price are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// By its label; `None`: it has none, as on machines of one's own.
    pub machine_type: Option<MachineType>,
    /// Whose machine it is, where it says so.
    pub cloud: Option<Provider>,
    /// Empty: it does not say.
    pub region: String,
    pub market: Market,
    /// The group that it says it is of.
    pub group: Option<String>,
    /// The kind of its GPUs, where its cloud sells them beside the machine.
    pub gpu_type: Option<String>,
    /// What pods may have of it.
    pub room: Asks,
    pub labels: BTreeMap<String, String>,
    pub ready: bool,
    /// It is about to be removed, or takes no more pods.
    pub leaving: bool,
    /// What keeps pods off it that do not tolerate it: `nvidia.com/gpu=present:NoSchedule`.
    #[serde(default)]
    pub taints: Vec<String>,
}

impl Node {
    /// What the machine costs, by its type; in a region that is not known, what it costs in another.
    #[must_use]
    pub fn rate(&self, catalogue: &Catalogue) -> Option<Rate> {
        let clouds = match &self.cloud {
            Some(cloud) => vec![*cloud],
            None => vec![Provider::Aws, Provider::Gce],
        };
        let priced = |cloud: Provider, of: &MachineType| {
            let spec = catalogue.spec_near(cloud, &self.region, of)?;
            let spot = spec.spot.filter(|_| self.market == Market::Spot);
            Some((spot.or(spec.on_demand)?, spec.gpu))
        };
        clouds.into_iter().find_map(|cloud| {
            let (machine, of_type) = priced(cloud, self.machine_type.as_ref()?)?;
            let Some(beside) = self.gpu_type.as_ref().filter(|_| of_type == 0 && self.room.gpus > 0) else {
                return Some(machine);
            };
            let (each, _) = priced(cloud, &beside.as_str().into())?;
            Some((0..self.room.gpus).fold(machine, |sum, _| sum + each))
        })
    }

    /// What a pod costs that asks for this: its part of the machine.
    #[must_use]
    pub fn rate_of(&self, asks: &Asks, catalogue: &Catalogue) -> Option<Rate> {
        let (whole, part) = (self.rate(catalogue)?.micros_per_hour(), asks.part_of(&self.room)?);
        let micros = i128::from(whole) * i128::from(part) / 1_000_000;
        Some(Rate::from_micros_per_hour(i64::try_from(micros).ok()?))
    }
}

/// Who adds nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaler {
    ClusterAutoscaler,
    Karpenter,
}

impl Scaler {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterAutoscaler => "Cluster Autoscaler",
            Self::Karpenter => "Karpenter",
        }
    }
}

/// A group of nodes that grows and shrinks by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeGroup {
    pub name: String,
    pub scaler: Scaler,
    pub min: Option<u32>,
    /// So many nodes it is to have.
    pub target: u32,
    pub ready: u32,
    pub max: Option<u32>,
    /// Another ceiling, as it is written: `cpu 1000, nvidia.com/gpu 8`.
    pub ceiling: Option<String>,
    /// Nodes on their way, each with how far it is.
    pub coming: Vec<String>,
    /// Why none is added for now.
    pub backoff: Option<String>,
}

impl NodeGroup {
    /// How it stands, in one line: `gpu-pool: 1 ready, 2 wanted, 0 to 4; 1 node on its way`. Why it backs off is a caution of
    /// its cluster's.
    #[must_use]
    pub fn told(&self) -> String {
        let bounds = match (self.min, self.max, &self.ceiling) {
            (Some(min), Some(max), _) => format!(", {min} to {max}"),
            (_, _, Some(ceiling)) => format!(", at most {ceiling}"),
            _ => String::new(),
        };
        let coming = match self.coming.as_slice() {
            [] => String::new(),
            coming => format!("; on their way: {}", coming.join(", ")),
        };
        let backoff = if self.backoff.is_some() { "; backs off" } else { "" };
        format!("{}: {} ready, {} wanted{bounds}{coming}{backoff}", self.name, self.ready, self.target)
    }

    /// Whether it has all that it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.target >= max)
    }
}

impl Cluster {
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Nodes and groups, a line each; what cannot be read last.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.nodes.is_empty() {
            lines.push(self.nodes_told());
        }
        for scaler in [Scaler::ClusterAutoscaler, Scaler::Karpenter] {
            let groups = self.groups.iter().filter(|group| group.scaler == scaler);
            lines.extend(groups.map(|group| format!("{}: {}.", scaler.name(), group.told())));
        }
        if self.groups.is_empty() && self.unread.is_empty() {
            lines.push("No autoscaler says that it adds nodes here.".to_owned());
        }
        lines.extend(self.glues.iter().map(|glue| format!("ClearML's glue {glue}. It is left alone.")));
        lines.extend(self.unread.iter().map(|unread| format!("Not read: {unread}.")));
        lines
    }

    fn nodes_told(&self) -> String {
        let count =
            |those: &dyn Fn(&&Node) -> bool| u64::try_from(self.nodes.iter().filter(those).count()).unwrap_or(u64::MAX);
        let gpus: u32 = self.nodes.iter().filter(|node| node.ready).map(|node| node.room.gpus).sum();
        let gpus = if gpus == 0 { String::new() } else { format!(", {gpus} GPU on them") };
        let leaving = match count(&|node| node.leaving) {
            0 => String::new(),
            leaving => format!("; {leaving} leaving"),
        };
        let silent = match count(&|node| !node.ready) {
            0 => String::new(),
            silent => format!("; {silent} not ready"),
        };
        let ready = counted(count(&|node| node.ready), "node");
        let mut tainted: BTreeMap<&str, u32> = BTreeMap::new();
        for taint in self.nodes.iter().flat_map(|node| &node.taints) {
            *tainted.entry(taint).or_default() += 1;
        }
        let tainted: Vec<String> = tainted.iter().map(|(taint, count)| format!("{count} with {taint}")).collect();
        let tainted = if tainted.is_empty() { String::new() } else { format!("; taints: {}", tainted.join(", ")) };
        format!("The cluster: {ready} ready{gpus}{silent}{leaving}{tainted}.")
    }

    /// What keeps nodes from coming, a line for each group.
    pub fn cautions(&self) -> impl Iterator<Item = String> + '_ {
        let backs_off = self.groups.iter().filter_map(|group| {
            let why = group.backoff.as_ref()?;
            Some(format!("node group {} backs off: {why}", group.name))
        });
        backs_off.chain(self.warnings.iter().map(|warning| format!("the API server warns: {warning}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_told_in_lines_and_what_keeps_nodes_from_coming_is_said() {
        let mut cluster = Cluster::default();
        assert_eq!(cluster.told(), ["No autoscaler says that it adds nodes here."]);
        let node = |name: &str, ready, leaving| Node {
            name: name.to_owned(),
            machine_type: Some("g4dn.xlarge".into()),
            cloud: None,
            region: String::new(),
            market: Market::OnDemand,
            group: None,
            gpu_type: None,
            room: Asks { cpu_millis: 4_000, memory: 0, gpus: 1 },
            labels: BTreeMap::new(),
            ready,
            leaving,
            taints: if ready { vec!["gpu:NoSchedule".to_owned()] } else { Vec::new() },
        };
        cluster.nodes = vec![node("a", true, false), node("b", true, true), node("c", false, false)];
        let group = NodeGroup {
            name: "gpu-pool".to_owned(),
            scaler: Scaler::ClusterAutoscaler,
            min: Some(0),
            target: 2,
            ready: 1,
            max: Some(2),
            ceiling: None,
            coming: vec!["1 node".to_owned()],
            backoff: Some("no capacity for g4dn.xlarge".to_owned()),
        };
        assert!(group.is_full());
        let karpenter = NodeGroup {
            name: "default".to_owned(),
            scaler: Scaler::Karpenter,
            min: None,
            max: None,
            ceiling: Some("cpu 1000".to_owned()),
            coming: Vec::new(),
            backoff: None,
            ..group.clone()
        };
        cluster.groups = vec![karpenter, group];
        cluster.glues = vec!["agent-1f: 2 running".to_owned()];
        cluster.unread = vec!["nodes: a right is missing".to_owned()];
        cluster.warnings = vec!["unknown field \"x\"".to_owned()];
        assert_eq!(
            cluster.told(),
            [
                "The cluster: 2 nodes ready, 2 GPU on them; 1 not ready; 1 leaving; taints: 2 with gpu:NoSchedule.",
                "Cluster Autoscaler: gpu-pool: 1 ready, 2 wanted, 0 to 2; on their way: 1 node; backs off.",
                "Karpenter: default: 1 ready, 2 wanted, at most cpu 1000.",
                "ClearML's glue agent-1f: 2 running. It is left alone.",
                "Not read: nodes: a right is missing.",
            ]
        );
        assert_eq!(
            cluster.cautions().collect::<Vec<_>>(),
            ["node group gpu-pool backs off: no capacity for g4dn.xlarge", "the API server warns: unknown field \"x\""]
        );
    }
}

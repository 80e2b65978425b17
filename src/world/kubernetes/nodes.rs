//! A node as it is read: its type and market by the labels that clouds put there, and what pods may have of it. Pure.

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::model::attempt::Asks;
use crate::model::cluster::Node;
use crate::model::settings::kubernetes::thousandths;
use crate::model::settings::{Market, Provider};
use crate::world::kubernetes::told::text;

const TYPE: [&str; 2] = ["node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"];
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
/// Labels that say that a node may be taken back, each with its value.
const SPOT: [(&str, &str); 5] = [
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("cloud.google.com/gke-provisioning", "spot"),
];
const GROUP: [&str; 5] = [
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "pool",
];
const GPU_TYPE: &str = "cloud.google.com/gke-accelerator";
/// Taints of a node that is about to be removed.
const LEAVING: [&str; 3] = ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"];

/// Keeps of a node what is read of it: the list of its images is most of it.
pub(super) fn slim(node: &mut DynamicObject) -> bool {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(status) = node.data.get_mut("status").and_then(Value::as_object_mut) {
        status.retain(|name, _| ["capacity", "allocatable", "conditions"].contains(&name.as_str()));
    }
    true
}

pub(super) fn node(object: &DynamicObject) -> Node {
    let labels = object.labels();
    let first = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).cloned();
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let cloud = match text(spec, "/providerID") {
        id if id.starts_with("aws:") => Some(Provider::Aws),
        id if id.starts_with("gce:") => Some(Provider::Gce),
        _ => None,
    };
    let spot = SPOT.iter().any(|(name, value)| labels.get(*name).is_some_and(|text| text == value));
    let taints = || spec.get("taints").and_then(Value::as_array).into_iter().flatten();
    let tainted = taints().map(|taint| text(taint, "/key")).any(|key| LEAVING.contains(&key));
    let cordoned = spec.get("unschedulable").and_then(Value::as_bool).unwrap_or_default();
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut ready = conditions.filter(|condition| text(condition, "/type") == "Ready");
    Node {
        name: object.name_any(),
        machine_type: first(&TYPE).map(Into::into),
        cloud,
        region: first(&REGION).unwrap_or_default(),
        market: if spot { Market::Spot } else { Market::OnDemand },
        group: first(&GROUP),
        gpu_type: labels.get(GPU_TYPE).cloned(),
        room: asks(object.data.pointer("/status/allocatable").unwrap_or(&Value::Null)),
        labels: labels.clone(),
        ready: ready.next().is_some_and(|ready| text(ready, "/status") == "True"),
        leaving: tainted || cordoned || object.metadata.deletion_timestamp.is_some(),
        taints: taints().filter_map(taint).collect(),
    }
}

/// One that a person or a cloud put there to keep pods off, as people write it; what else a taint says of a node is told
/// otherwise.
fn taint(taint: &Value) -> Option<String> {
    let [key, value, effect] = ["/key", "/value", "/effect"].map(|path| text(taint, path));
    let told = LEAVING.contains(&key) || key.starts_with("node.kubernetes.io/") || effect == "PreferNoSchedule";
    let value = if value.is_empty() { String::new() } else { format!("={value}") };
    (!told).then(|| format!("{key}{value}:{effect}"))
}

/// A list of resources.
fn asks(resources: &Value) -> Asks {
    let mut asks = Asks::default();
    for (name, amount) in resources.as_object().into_iter().flatten() {
        let written = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
        let Some(millis) = thousandths(&written) else { continue };
        let whole = u64::try_from(millis / 1_000).unwrap_or(u64::MAX);
        match name.as_str() {
            "cpu" => asks.cpu_millis = u64::try_from(millis).unwrap_or(u64::MAX),
            "memory" => asks.memory = whole,
            name if name.ends_with("/gpu") => {
                asks.gpus = asks.gpus.saturating_add(u32::try_from(whole).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }
    asks
}

/// What a pod asks for: all its containers together, or more where one that runs before them asks for more.
pub(super) fn asked(pod: &Value) -> Asks {
    let of = |path: &str| {
        let containers = pod.pointer(path).and_then(Value::as_array).into_iter().flatten();
        containers.map(|one| {
            let part = |name: &str| one.pointer(&format!("/resources/{name}")).map(asks).unwrap_or_default();
            most(part("requests"), part("limits"), |requests, limits| if requests == 0 { limits } else { requests })
        })
    };
    let add = |a: Asks, b: Asks| most(a, b, u64::saturating_add);
    let all = of("/spec/containers").fold(Asks::default(), add);
    of("/spec/initContainers").fold(all, |all, first| most(all, first, u64::max))
}

fn most(a: Asks, b: Asks, of: impl Fn(u64, u64) -> u64) -> Asks {
    Asks {
        cpu_millis: of(a.cpu_millis, b.cpu_millis),
        memory: of(a.memory, b.memory),
        gpus: u32::try_from(of(a.gpus.into(), b.gpus.into())).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;
    use serde_json::json;

    fn read(file: &str) -> Node {
        let mut object: DynamicObject = serde_json::from_value(recorded(file)["response"]["body"].clone()).unwrap();
        assert!(slim(&mut object));
        node(&object)
    }

    #[test]
    fn recorded_nodes_are_read() {
        let ready = read("node/ready");
        assert_eq!((ready.name.as_str(), ready.ready, ready.leaving), ("cpu-pool-tm7c5", true, false));
        assert_eq!((ready.machine_type, ready.group.as_deref()), (Some("c5.xlarge".into()), Some("cpu-pool")));
        assert_eq!(ready.room, Asks { cpu_millis: 4_000, memory: 8 << 30, gpus: 0 });
        assert!(read("node/to_be_deleted").leaving);
        let silent = read("node/not_ready_unreachable");
        assert!(!silent.ready && silent.taints.is_empty());
    }

    #[test]
    fn labels_of_each_cloud_say_type_and_market() {
        let of = |provider: &str, labels: Value| {
            let object = json!({ "metadata": { "name": "n", "labels": labels }, "spec": { "providerID": provider } });
            node(&serde_json::from_value(object).unwrap())
        };
        let eks = of(
            "aws:///us-east-1a/i-1",
            json!({ "node.kubernetes.io/instance-type": "g5.xlarge", "topology.kubernetes.io/region": "us-east-1",
                "eks.amazonaws.com/capacityType": "SPOT", "eks.amazonaws.com/nodegroup": "g" }),
        );
        assert_eq!((eks.cloud, eks.market, eks.group.as_deref()), (Some(Provider::Aws), Market::Spot, Some("g")));
        let taints = json!([{ "key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule" },
            { "key": "soft", "effect": "PreferNoSchedule" }, { "key": "node.kubernetes.io/not-ready", "effect": "NoExecute" }]);
        let tainted = json!({ "metadata": { "name": "n" }, "spec": { "taints": taints } });
        let tainted = node(&serde_json::from_value(tainted).unwrap());
        assert_eq!(
            (tainted.taints.as_slice(), tainted.leaving),
            (&["nvidia.com/gpu=present:NoSchedule".to_owned()][..], false)
        );
        let gke = of("gce://p/us-central1-a/n", json!({ GPU_TYPE: "nvidia-tesla-t4" }));
        assert_eq!((gke.cloud, gke.market), (Some(Provider::Gce), Market::OnDemand));
        assert_eq!(gke.gpu_type.as_deref(), Some("nvidia-tesla-t4"));
    }

    #[test]
    fn a_pod_asks_for_what_its_containers_ask_for_together() {
        let pod = json!({ "spec": {
            "initContainers": [{ "resources": { "requests": { "cpu": "2" } } }],
            "containers": [
                { "resources": { "requests": { "cpu": "500m", "memory": "1Gi" } } },
                { "resources": { "limits": { "cpu": "1", "nvidia.com/gpu": 1 } } },
            ],
        } });
        assert_eq!(asked(&pod), Asks { cpu_millis: 2_000, memory: 1 << 30, gpus: 1 });
        assert_eq!(asked(&Value::Null), Asks::default());
    }
}

//! What autoscalers say of their groups of nodes: Cluster Autoscaler in a `ConfigMap`, Karpenter in objects of its own. Pure.

use serde_json::Value;

use crate::model::cluster::{NodeGroup, Scaler};
use crate::model::reason::counted;
use crate::world::kubernetes::told::{condition, cut, moment, text};

/// Where Cluster Autoscaler says how it stands.
pub(super) const NAMESPACE: &str = "kube-system";
pub(super) const CONFIG_MAP: &str = "cluster-autoscaler-status";

/// The groups of Cluster Autoscaler, by what stands in its `ConfigMap`.
pub(super) fn of_config_map(map: &Value) -> Result<Vec<NodeGroup>, String> {
    let written = text(map, "/data/status");
    let status: Value = serde_saphyr::from_str(written).unwrap_or_default();
    let groups = status.get("nodeGroups").and_then(Value::as_array);
    match (groups, status.get("autoscalerStatus")) {
        (Some(groups), _) => Ok(groups.iter().map(of_autoscaler).collect()),
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => Err("its ConfigMap is none that can be read (before 1.30 it was plain text)".to_owned()),
    }
}

fn of_autoscaler(group: &Value) -> NodeGroup {
    let number = |path: &str| group.pointer(path).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let count = |name: &str| number(&format!("/health/nodeCounts/{name}")).unwrap_or_default();
    let coming = count("registered/notStarted").saturating_add(count("unregistered"));
    let backs_off = text(group, "/scaleUp/status") == "Backoff";
    let why = text(group, "/scaleUp/backoffInfo/errorMessage");
    let why = if why.is_empty() { text(group, "/scaleUp/backoffInfo/errorCode") } else { why };
    let why = why.strip_prefix("failed to increase node group size: ").unwrap_or(why);
    NodeGroup {
        name: text(group, "/name").to_owned(),
        scaler: Scaler::ClusterAutoscaler,
        min: number("/health/minSize"),
        target: number("/health/cloudProviderTarget").unwrap_or_default(),
        ready: count("registered/ready"),
        max: number("/health/maxSize"),
        ceiling: None,
        coming: (coming > 0).then(|| counted(coming.into(), "node")).into_iter().collect(),
        backoff: backs_off.then(|| if why.is_empty() { "it does not say why".to_owned() } else { cut(why) }),
    }
}

/// The groups of Karpenter: its `NodePool`s, with the `NodeClaim`s that it has for each, and what its events say of them.
pub(super) fn of_karpenter(pools: &[Value], claims: &[Value], events: &[Value]) -> Vec<NodeGroup> {
    let of_pool = |pool: &Value| {
        let name = text(pool, "/metadata/name");
        let own = |claim: &&Value| text(claim, "/metadata/labels/karpenter.sh~1nodepool") == name;
        let own: Vec<&Value> = claims.iter().filter(own).collect();
        let ready = own.iter().filter(|claim| condition(claim, "Initialized").is_some()).count();
        let coming = own.iter().filter(|claim| condition(claim, "Initialized").is_none()).map(|claim| progress(claim));
        NodeGroup {
            name: name.to_owned(),
            scaler: Scaler::Karpenter,
            min: None,
            target: u32::try_from(own.len()).unwrap_or(u32::MAX),
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
            max: None,
            ceiling: ceiling(pool),
            coming: coming.collect(),
            backoff: not_ready(pool).or_else(|| no_capacity(name, events)),
        }
    };
    pools.iter().map(of_pool).collect()
}

/// `default-x7k2p launched`.
fn progress(claim: &Value) -> String {
    let step = ["Registered", "Launched"].into_iter().find(|step| condition(claim, step).is_some());
    let step = step.map_or_else(|| "asked for".to_owned(), str::to_lowercase);
    format!("{} {step}", text(claim, "/metadata/name"))
}

/// `cpu 1000, nvidia.com/gpu 8`.
fn ceiling(pool: &Value) -> Option<String> {
    let limits = pool.pointer("/spec/limits")?.as_object().filter(|limits| !limits.is_empty())?;
    let each = limits.iter().map(|(name, most)| {
        let most = most.as_str().map_or_else(|| most.to_string(), str::to_owned);
        let used = pool.pointer("/status/resources").and_then(|used| used.get(name)).and_then(Value::as_str);
        let used = used.map(|used| format!("{used} of ")).unwrap_or_default();
        format!("{name} {used}{most}")
    });
    Some(each.collect::<Vec<_>>().join(", "))
}

fn not_ready(pool: &Value) -> Option<String> {
    let conditions = pool.pointer("/status/conditions").and_then(Value::as_array)?;
    let not = conditions.iter().find(|one| text(one, "/type") == "Ready" && text(one, "/status") == "False")?;
    Some(cut(&format!("not ready: {}", text(not, "/message"))))
}

/// The last that was said of the pool or a claim of it, if that is that there is none to be had.
fn no_capacity(pool: &str, events: &[Value]) -> Option<String> {
    let about = |event: &&Value| {
        let name = text(event, "/involvedObject/name");
        name == pool || name.strip_prefix(pool).is_some_and(|rest| rest.starts_with('-'))
    };
    let last = events.iter().filter(about).max_by_key(|event| moment(event))?;
    let reason = text(last, "/reason");
    let no = ["InsufficientCapacityError", "NoCompatibleInstanceTypes"].contains(&reason);
    no.then(|| cut(&format!("{reason}: {}", text(last, "/message"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::kubernetes::recorded;
    use serde_json::json;

    #[test]
    fn the_recorded_status_of_cluster_autoscaler_is_read() {
        let read = |file: &str| of_config_map(&recorded(file)["response"]["body"]).unwrap();
        let told = |file: &str| read(file).iter().map(NodeGroup::told).collect::<Vec<_>>();
        assert_eq!(
            told("autoscaler/status_no_activity"),
            [
                "spot-pool: 0 ready, 0 wanted, 0 to 4",
                "cpu-pool: 0 ready, 0 wanted, 0 to 3",
                "gpu-pool: 0 ready, 0 wanted, 0 to 2"
            ]
        );
        let told_backoff = told("autoscaler/status_backoff");
        assert_eq!(told_backoff[0], "spot-pool: 0 ready, 0 wanted, 0 to 4; backs off");
        assert_eq!(told_backoff[2], "gpu-pool: 1 ready, 1 wanted, 0 to 2");
        let backoff = read("autoscaler/status_backoff").swap_remove(0).backoff.unwrap();
        assert!(backoff.starts_with("couldn't create new node"), "{backoff}");
        assert!(backoff.ends_with("no capacity for g4dn.xlarge"), "{backoff}");
        let coming = told("autoscaler/status_in_progress");
        assert_eq!(coming[1], "cpu-pool: 0 ready, 2 wanted, 0 to 3; on their way: 1 node");
        assert!(
            of_config_map(&json!({ "data": { "status": "Cluster-wide:\n  Health: Healthy (ready=2)\n" } })).is_err()
        );
        assert!(of_config_map(&Value::Null).is_err());
    }

    #[test]
    fn karpenter_tells_its_ceiling_what_is_coming_and_what_cannot_be_had() {
        let pool = |name: &str, ready: &str| {
            json!({ "metadata": { "name": name }, "spec": { "limits": { "cpu": "100", "nvidia.com/gpu": 8 } },
                "status": { "resources": { "cpu": "12" }, "conditions": [{ "type": "Ready", "status": ready,
                    "message": "NodeClass not found" }] } })
        };
        let claim = |name: &str, steps: &[&str]| {
            let conditions: Vec<_> = steps.iter().map(|step| json!({ "type": step, "status": "True" })).collect();
            json!({ "metadata": { "name": name, "labels": { "karpenter.sh/nodepool": "gpu" } },
                "status": { "conditions": conditions } })
        };
        let claims = [
            claim("gpu-a", &["Launched", "Registered", "Initialized"]),
            claim("gpu-b", &["Launched"]),
            claim("gpu-c", &[]),
        ];
        let event = |about: &str, reason: &str, at: &str| {
            json!({ "involvedObject": { "name": about }, "reason": reason, "message": "all g5 unavailable",
                "lastTimestamp": at })
        };
        let events = [
            event("gpu-z", "InsufficientCapacityError", "2026-11-23T19:00:00Z"),
            event("gpu-a", "Registered", "2026-11-23T18:00:00Z"),
        ];
        let groups = of_karpenter(&[pool("gpu", "True"), pool("cpu", "False")], &claims, &events);
        assert_eq!(
            groups[0].told(),
            "gpu: 1 ready, 3 wanted, at most cpu 12 of 100, nvidia.com/gpu 8; on their way: gpu-b launched, gpu-c asked \
             for; backs off"
        );
        assert_eq!(groups[0].backoff.as_deref(), Some("InsufficientCapacityError: all g5 unavailable"));
        assert_eq!(groups[1].backoff.as_deref(), Some("not ready: NodeClass not found"));
        let later = [events[0].clone(), event("gpu-b", "Launched", "2026-11-23T19:01:00Z")];
        assert_eq!(of_karpenter(&[pool("gpu", "True")], &claims, &later)[0].backoff, None);
    }
}
